"""What a job used, and what it had asked for, as its receipt says."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

_STATUS = Path("/proc/self/status")
_STAT = Path("/proc/self/stat")
_STARTED = 19
"""Field of `/proc/self/stat` behind the name of the process: when it began, in ticks after boot."""


@dataclass(frozen=True, kw_only=True)
class JobUsage:
    """What the process of a job used from its start until its receipt was written.

    Attributes
    ----------
    memory_mb : float
        Peak of its resident memory, in MB (10^6 bytes).
    seconds : float
        Its duration.
    cpu_seconds : float
        Processor time of all its threads.
    threads : int
        Number of threads that it was given.
    asked_mb : float, optional
        The memory that its rule asked for, ``mem_mb``; None if it asked for none.
    asked_seconds : float, optional
        The time that its rule asked for, ``runtime``; None if it asked for none.
    """

    memory_mb: float
    seconds: float
    cpu_seconds: float
    threads: int
    asked_mb: float | None = None
    asked_seconds: float | None = None

    @classmethod
    def of_this_process(
        cls, threads: int, *, asked_mb: float | None = None, asked_minutes: float | None = None
    ) -> JobUsage:
        """What this process has used so far.

        Parameters
        ----------
        threads : int
            Number of threads that it was given.
        asked_mb, asked_minutes : float, optional
            What its rule asked for.
        """
        used = resource.getrusage(resource.RUSAGE_SELF)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor = (used.ru_utime, used.ru_stime, children.ru_utime, children.ru_stime)
        return cls(
            memory_mb=round((_peak_bytes(used) + 1024 * children.ru_maxrss) / 1e6, 1),
            seconds=round(_age_s(), 3),
            cpu_seconds=round(sum(processor), 3),
            threads=threads,
            asked_mb=asked_mb,
            asked_seconds=None if asked_minutes is None else 60 * asked_minutes,
        )


def _peak_bytes(used: resource.struct_rusage) -> int:
    """Peak resident memory of this process.

    The kernel's `ru_maxrss` includes what the process was before its program was started: a copy
    of its parent, here Snakemake with the whole plan. `VmHWM` does not.
    """
    try:
        peak = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return 1024 * int(peak.split()[1])
    except (OSError, StopIteration, ValueError):  # no Linux
        return 1024 * used.ru_maxrss


def _age_s() -> float:
    """Seconds since this process was started."""
    try:
        after_name = _STAT.read_text().rpartition(")")[2].split()
        begun = int(after_name[_STARTED]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - begun
    except (OSError, AttributeError):  # no Linux
        return time.process_time()

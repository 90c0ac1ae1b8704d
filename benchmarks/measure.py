"""Runs jobs as processes of their own and measures them: seconds, and the peak of their memory."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from threading import Event, Thread
from typing import Any

from benchmarks.jobs.protocol import find_result

ROOT = Path(__file__).parent.parent
LIMIT_S = 3600.0
_PAGE = os.sysconf("SC_PAGE_SIZE")
_SAMPLE_S = 0.05


class JobFailedError(Exception):
    """A job ended without a result; the message is the last thing it said."""


@dataclass(frozen=True)
class Result:
    """What one run of a job took.

    Attributes
    ----------
    call_s : float
        Seconds of the call itself: imports done, inputs opened.
    process_s : float
        Seconds of the whole process, from its start to its end.
    cpu_s : float
        Seconds that the processors spent on it, all threads and processes.
    peak_mb : float
        Peak resident memory in MB (10^6 bytes). Where a job starts processes of its own, the
        highest sum that was seen, with what they share counted once.
    notes : mapping
        What else the job reports.
    """

    call_s: float
    process_s: float
    cpu_s: float
    peak_mb: float
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """A program that does one job once.

    Attributes
    ----------
    module : str
        Module in ``benchmarks.jobs``.
    arguments : mapping
        Its keyword arguments, as JSON has them.
    python : Path
        The interpreter of its environment.
    """

    module: str
    arguments: Mapping[str, Any]
    python: Path = Path(sys.executable)

    def run(self) -> Result:
        """Do it once.

        Raises
        ------
        JobFailedError
            If it fails.
        """
        command = [self.python, "-m", f"benchmarks.jobs.{self.module}"]
        result, output = run_process([*map(str, command), json.dumps(dict(self.arguments))])
        notes = find_result(output)
        untimed = notes.pop("untimed_s", 0.0)
        peak_mb = max(result.peak_mb, notes.pop("peak_mb"))
        return replace(
            result,
            call_s=notes.pop("call_s"),
            process_s=result.process_s - untimed,
            cpu_s=result.cpu_s - notes.pop("untimed_cpu_s", 0.0),
            peak_mb=peak_mb,
            notes=notes,
        )


def run_process(command: Sequence[str], cwd: Path = ROOT) -> tuple[Result, str]:
    """Run a command; what it took, and what it wrote to stdout.

    Raises
    ------
    JobFailedError
        If its exit code is not 0, or it takes longer than an hour.
    """
    begun, cpu_before = time.perf_counter(), _cpu_of_children_s()
    with subprocess.Popen(
        command,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        watch = _Watch(process.pid)
        try:
            output, errors = process.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            raise JobFailedError(f"took longer than {LIMIT_S:.0f} s") from None
        finally:
            if process.poll() is None:  # stopped: the group is the job's own, with its workers
                os.killpg(process.pid, signal.SIGKILL)
            seconds = time.perf_counter() - begun
            watch.stop()
    if process.returncode:
        said = [line for line in errors.splitlines() if line.strip()]
        raise JobFailedError(said[-1].strip() if said else f"exit code {process.returncode}")
    cpu_s = _cpu_of_children_s() - cpu_before
    return Result(seconds, seconds, cpu_s, watch.peak_bytes / 1e6), output


def interleave(
    sides: Mapping[str, Callable[[], Result]], rounds: int
) -> dict[str, list[Result] | JobFailedError]:
    """Run every side once a round, beginning with another one each time.

    Parameters
    ----------
    sides : mapping of str to callable
        Does the job of each side once.
    rounds : int
        How often.

    Returns
    -------
    dict
        The results of each side, one for each round; or why it failed, and then it is not
        tried again.
    """
    found: dict[str, list[Result] | JobFailedError] = {name: [] for name in sides}
    order = list(sides)
    for turn in range(rounds):
        first = turn % len(order)
        for name in order[first:] + order[:first]:
            results = found[name]
            if isinstance(results, JobFailedError):
                continue
            os.sync()  # what others have written is not for this one to wait for
            try:
                results.append(sides[name]())
            except JobFailedError as failure:
                found[name] = failure
    return found


def typical(results: Sequence[Result]) -> Result:
    """The median of every quantity; notes are those of the last run."""
    return Result(
        median(r.call_s for r in results),
        median(r.process_s for r in results),
        median(r.cpu_s for r in results),
        median(r.peak_mb for r in results),
        results[-1].notes,
    )


def paired_ratio(
    results: Sequence[Result], others: Sequence[Result], quantity: str = "call_s"
) -> float:
    """Median over the rounds of one side's seconds divided by the other's in the same round.

    Examples
    --------
    >>> one, other = [Result(2, 3, 3, 9), Result(4, 5, 5, 9)], [Result(1, 1, 1, 9)] * 2
    >>> paired_ratio(one, other)
    3.0
    """
    pairs = zip(results, others, strict=True)
    return float(median(getattr(a, quantity) / getattr(b, quantity) for a, b in pairs))


def _cpu_of_children_s() -> float:
    """Of all processes that have ended and were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class _Watch:
    """Follows the memory of a process and of those that it starts, until told to stop."""

    def __init__(self, pid: int) -> None:
        self.peak_bytes = 0
        self._pid = pid
        self._over = Event()
        self._thread = Thread(target=self._follow, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._over.wait(_SAMPLE_S):
            resident, _ = _memory(self._pid)
            private = sum(_memory(pid)[1] for pid in descendants(self._pid))
            self.peak_bytes = max(self.peak_bytes, resident + private)


def descendants(pid: int) -> list[int]:
    """All processes that a process and its children have started and that still run."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            # After the name, which is in brackets and may hold anything: state, parent, ...
            after = (folder / "stat").read_text().rpartition(")")[2].split()
            parents[int(folder.name)] = int(after[1])
    family, new = [], {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new}
        family += sorted(new)
    return family


def _memory(pid: int) -> tuple[int, int]:
    """Bytes of a process in memory, and how many of them no file or other process shares."""
    with suppress(OSError):
        _, resident, shared, *_ = map(int, Path(f"/proc/{pid}/statm").read_text().split())
        return resident * _PAGE, (resident - shared) * _PAGE
    return 0, 0

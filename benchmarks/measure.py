"""Run jobs in separate processes and measure their time and peak memory."""

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
    """A job ended without a result; the message is the last line of its error output."""


@dataclass(frozen=True)
class Result:
    """Time and memory of one run of a job.

    Attributes
    ----------
    call_s : float
        Seconds of the call alone, after imports and after inputs were opened.
    process_s : float
        Seconds of the whole process, from its start to its end.
    cpu_s : float
        Processor time of all threads and processes, in seconds.
    peak_mb : float
        Peak resident memory in MB (10^6 bytes). If a job starts processes, the largest sum of
        all samples, with shared memory counted once.
    notes : mapping
        Everything else that the job reports.
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
        Its keyword arguments, as JSON values.
    python : Path
        The interpreter of its environment.
    """

    module: str
    arguments: Mapping[str, Any]
    python: Path = Path(sys.executable)

    def run(self) -> Result:
        """Run the job once.

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
    """Run a command; return its result and its standard output.

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
            if process.poll() is None:  # the group contains the job and its workers, nothing else
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
    """Run every side once in each round; each round begins with a different side.

    Parameters
    ----------
    sides : mapping of str to callable
        For each side, a function that does the job once.
    rounds : int
        Number of rounds.

    Returns
    -------
    dict
        For each side the results, one for each round, or the error. A side that failed is not
        run again.
    """
    found: dict[str, list[Result] | JobFailedError] = {name: [] for name in sides}
    order = list(sides)
    for turn in range(rounds):
        first = turn % len(order)
        for name in order[first:] + order[:first]:
            results = found[name]
            if isinstance(results, JobFailedError):
                continue
            os.sync()  # so that a side does not wait for data that another side has written
            try:
                results.append(sides[name]())
            except JobFailedError as failure:
                found[name] = failure
    return found


def typical(results: Sequence[Result]) -> Result:
    """Return the median of every quantity, with the notes of the last run."""
    return Result(
        median(r.call_s for r in results),
        median(r.process_s for r in results),
        median(r.cpu_s for r in results),
        median(r.peak_mb for r in results),
        results[-1].notes,
    )


def in_turn(results: Sequence[Result]) -> Result:
    """The result of jobs that are done one after another, as if they were one.

    Examples
    --------
    >>> in_turn([Result(1, 2, 3, 90, {"read_mb": 5}), Result(1, 1, 1, 80, {"read_mb": 2})])
    Result(call_s=2, process_s=3, cpu_s=4, peak_mb=90, notes={'read_mb': 7})
    """
    return Result(
        sum(r.call_s for r in results),
        sum(r.process_s for r in results),
        sum(r.cpu_s for r in results),
        max(r.peak_mb for r in results),
        {name: sum(r.notes[name] for r in results) for name in results[0].notes},
    )


def paired_ratio(
    results: Sequence[Result], others: Sequence[Result], quantity: str = "call_s"
) -> float:
    """Return the median over the rounds of the ratio of two sides in the same round.

    Examples
    --------
    >>> one, other = [Result(2, 3, 3, 9), Result(4, 5, 5, 9)], [Result(1, 1, 1, 9)] * 2
    >>> paired_ratio(one, other)
    3.0
    """
    pairs = zip(results, others, strict=True)
    return float(median(getattr(a, quantity) / getattr(b, quantity) for a, b in pairs))


def _cpu_of_children_s() -> float:
    """Processor time of all child processes that have ended and were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class _Watch:
    """Samples the memory of a process and of its descendants until `stop` is called."""

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
    """Return the running descendants of a process."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            # The name is in brackets and may contain anything; after it: state, parent, ...
            after = (folder / "stat").read_text().rpartition(")")[2].split()
            parents[int(folder.name)] = int(after[1])
    family, new = [], {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new}
        family += sorted(new)
    return family


def _memory(pid: int) -> tuple[int, int]:
    """Return the resident memory of a process and its unshared part, in bytes."""
    with suppress(OSError):
        _, resident, shared, *_ = map(int, Path(f"/proc/{pid}/statm").read_text().split())
        return resident * _PAGE, (resident - shared) * _PAGE
    return 0, 0

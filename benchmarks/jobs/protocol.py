"""Pass arguments to a job and its result back: JSON on the command line and on stdout."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MARK = "BENCHMARK-RESULT "


def run_job(prepare: Callable[..., Callable[[], object]]) -> None:
    """Run the job with the arguments of the command line, and print its result to stdout.

    Parameters
    ----------
    prepare : callable
        Called with the arguments. Imports modules and opens inputs, and returns the function
        whose call is timed.
    """
    call = prepare(**json.loads(sys.argv[1]))
    before, begun = _transferred_mb(), time.perf_counter()
    call()
    result: dict[str, Any] = {"call_s": time.perf_counter() - begun, "peak_mb": _peak_mb()}
    after = _transferred_mb()
    result |= {"read_mb": after[0] - before[0], "written_mb": after[1] - before[1]}
    result.update(getattr(call, "notes", {}))
    print(MARK + json.dumps(result), flush=True)


def _peak_mb() -> float:
    """Return the peak resident memory of this process, in MB (10^6 bytes).

    ``ru_maxrss`` is not used, because it begins with the memory of the parent process.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def _transferred_mb() -> tuple[float, float]:
    """MB that this process and its running children have read from files and written to them.

    Also what the page cache held. Workers that have ended do not count.
    """
    children = Path("/proc/self/task").glob("*/children")
    processes = ["self", *(pid for file in children for pid in file.read_text().split())]
    total = {"rchar": 0, "wchar": 0}
    for pid in processes:
        for line in Path(f"/proc/{pid}/io").read_text().splitlines():
            name, _, value = line.partition(": ")
            if name in total:
                total[name] += int(value)
    return total["rchar"] / 1e6, total["wchar"] / 1e6


def find_result(output: str) -> dict[str, Any]:
    """Return the result in the standard output of a job.

    Raises
    ------
    ValueError
        If the output contains no result.
    """
    for line in reversed(output.splitlines()):
        if line.startswith(MARK):
            found: dict[str, Any] = json.loads(line.removeprefix(MARK))
            return found
    raise ValueError("the job wrote no result")

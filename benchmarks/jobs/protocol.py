"""How a job is told what to do, and how it says what it measured."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MARK = "BENCHMARK-RESULT "


def run_job(prepare: Callable[..., Callable[[], object]]) -> None:
    """Run the job of this process: arguments from the command line, result to stdout.

    Parameters
    ----------
    prepare : callable
        Called with the arguments; imports and opens what the job needs, and returns the
        function whose call is timed.
    """
    call = prepare(**json.loads(sys.argv[1]))
    begun = time.perf_counter()
    call()
    result: dict[str, Any] = {"call_s": time.perf_counter() - begun, "peak_mb": _peak_mb()}
    result.update(getattr(call, "notes", {}))
    print(MARK + json.dumps(result), flush=True)


def _peak_mb() -> float:
    """Peak resident memory of this process, MB of 10^6 bytes.

    Not ``ru_maxrss``, which starts with the memory of the process that started this one.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def find_result(output: str) -> dict[str, Any]:
    """The result in what a job wrote to stdout.

    Raises
    ------
    ValueError
        If there is none.
    """
    for line in reversed(output.splitlines()):
        if line.startswith(MARK):
            found: dict[str, Any] = json.loads(line.removeprefix(MARK))
            return found
    raise ValueError("the job wrote no result")

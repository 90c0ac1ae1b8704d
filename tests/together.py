"""Two processes that do the same work on one plate, begun at nearly the same time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]

_SCRIPT = """
import os, random, sys, time
from pathlib import Path
from platefuse.errors import LockError

names = {}
exec(sys.argv[1], names)
apart, moments = float(sys.argv[2]), random.Random(int(sys.argv[3]))
for folder in sys.argv[4:]:
    children = []
    for delay in (0, moments.uniform(0, apart)):
        child = os.fork()
        if child == 0:
            time.sleep(delay)
            code = 1
            try:
                names["work"](Path(folder))
                code = 0
            except LockError as error:
                code = 3 if "in use by process" in str(error) else 4
            finally:
                os._exit(code)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    print(*codes, flush=True)
"""
DONE, IN_USE = 0, 3


def work_together(
    work: str, folders: Sequence[Path], *, apart_s: float, seed: int
) -> list[tuple[int, int]]:
    """Do some work twice in each folder, in two processes.

    Parameters
    ----------
    work : str
        Source of a function ``work(folder)``, and of all that it needs.
    folders : sequence of Path
        The folders.
    apart_s : float
        The second process begins at most so much later, in seconds.
    seed : int
        Of the moments.

    Returns
    -------
    list of (int, int)
        For each folder the exit codes of both: `DONE`, `IN_USE` if it stopped because the other one
        was at work, or anything else.
    """
    command = [sys.executable, "-c", _SCRIPT, work, str(apart_s), str(seed)]
    run = subprocess.run(
        [*command, *map(str, folders)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    pairs = [tuple(map(int, line.split())) for line in run.stdout.splitlines()]
    assert len(pairs) == len(folders), run.stderr
    return [(one, other) for one, other in pairs]

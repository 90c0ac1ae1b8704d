"""Kill processes at a chosen system call, with strace: many wells in one trace."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]

_SCRIPT = """
import ctypes, os, sys
from pathlib import Path
from platefuse.ngff.well import Well

# strace counts the calls of each process: so many in vain, and the next is the one to die at.
libc = ctypes.CDLL(None)
vain = {
    "renameat2": lambda: libc.renameat2(-1, b"", -1, b"", 2),
    "rename": lambda: libc.rename(b"", b""),
    "fsync": lambda: libc.fsync(-1),
    "syncfs": lambda: libc.syncfs(-1),
    "unlinkat": lambda: libc.unlinkat(-1, b"", 0),
    "rmdir": lambda: libc.rmdir(b""),
}
work, last, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
names = {}
exec(work, names)
for plate in sorted(folder.iterdir()):
    child = os.fork()
    if child == 0:
        name, number = plate.name.split("_")
        for _ in range(last - int(number)):
            vain[name]()
        names["work"](Well.read(plate / "p.zarr", "B", "03"))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(plate.name, os.waitstatus_to_exitcode(status), flush=True)
"""


def die_at_calls(work: str, folder: Path, calls: Sequence[str], last: int = 50) -> dict[str, int]:
    """Work on each plate of a folder, in a process that dies at a call.

    Parameters
    ----------
    work : str
        Source of a function ``work(well)``, and of all that it needs.
    folder : Path
        Holds a folder for each plate, named after the call to die at and its number: ``rename_2``.
    calls : sequence of str
        The system calls.
    last : int
        More calls of one kind than the work makes.

    Returns
    -------
    dict of str to int
        Exit codes by the names of the folders: 0 if the work was done before the call.
    """
    listed = ",".join(calls)
    trace = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={listed}"]
    inject = ["-e", f"inject={listed}:signal=KILL:when={last}"]
    script = [sys.executable, "-B", "-c", _SCRIPT, work, str(last), str(folder)]
    done = subprocess.run(
        [*trace, *inject, *script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = (line.split() for line in done.stdout.splitlines())
    return {name: int(code) for name, code in lines}

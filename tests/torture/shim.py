"""The shim `shim.c` as Python has it: compiled, loaded, and told which call to disturb."""

from __future__ import annotations

import ctypes
import errno
import shutil
import subprocess
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

SOURCE = Path(__file__).with_name("shim.c")

Action = Literal["watch", "before", "inside", "after", "fail", "short", "pause"]
ACTIONS: tuple[Action, ...] = get_args(Action)
ERRORS = ("ENOSPC", "EIO", "EDQUOT", "EACCES", "EROFS")
FLUSHES = ("fsync", "fdatasync", "syncfs", "sync_file_range")
WRITES = ("write", "pwrite", "writev", "pwritev", "pwritev2", "sendfile", "copy_file_range")


@dataclass(frozen=True)
class Disturbance:
    """What happens to the calls of a process.

    Attributes
    ----------
    action : str
        ``watch`` disturbs nothing. The process dies ``before``, ``inside`` or ``after`` a call; of
        a call that writes, ``inside`` makes half. The call may ``fail`` with an error; ``short``:
        half is written, and every call after it fails. ``pause``: another run is begun before the
        call, and the process goes on when that has ended, or waits for it.
    at : int
        Number of the call, from 1.
    error : str
        Name of the error.
    from_there_on : bool
        Whether all later calls fail as well.
    no_exchange : bool
        Whether the filesystem cannot exchange two folders.
    """

    action: Action = "watch"
    at: int = 0
    error: str = ""
    from_there_on: bool = False
    no_exchange: bool = False

    @property
    def kills(self) -> bool:
        """Whether the process dies."""
        return self.action in ("before", "inside", "after")

    @property
    def kind(self) -> str:
        """What it does, without where."""
        if self.kills:
            return f"killed {self.action}"
        if self.action == "pause":
            return "another run"
        often = "a part written, then " if self.action == "short" else ""
        return f"{often}{self.error} {'from there on' if self.from_there_on else 'once'}"

    def as_json(self) -> dict[str, object]:
        """For the process that does the work."""
        return asdict(self)


@dataclass(frozen=True)
class Call:
    """A call that changes files.

    Attributes
    ----------
    number : int
        Its number in the process, from 1.
    name : str
        What it does: several functions of the C library have one name here.
    path, target : str
        The path, and the second one of a call with two.
    """

    number: int
    name: str
    path: str
    target: str = ""


@cache
def compiler() -> str | None:
    """A C compiler that has the headers of the C library, if there is one."""
    program = "#include <stdio.h>\nint main(void) { return 0; }\n"
    for name in ("cc", "gcc", "clang"):
        command = [name, "-x", "c", "-", "-o", "/dev/null"]
        if shutil.which(name) is None:
            continue
        if subprocess.run(command, input=program, text=True, capture_output=True).returncode == 0:
            return name
    return None


def compile_shim(folder: Path) -> Path:
    """Compile the shim into a folder."""
    library, cc = folder / "shim.so", compiler()
    assert cc is not None, "needs a C compiler"
    flags = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-shared", "-fPIC"]
    subprocess.run([cc, *flags, "-o", library, SOURCE, "-ldl"], check=True, text=True)
    return library


class Shim:
    """The shim in this process, which was started with it."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        self._library.torture_count.restype = ctypes.c_long
        self._library.torture_prepare()

    def arm(self, root: Path, what: Disturbance, log: int = -1) -> None:
        """From now on, number the calls below a folder, disturb one, log all to an open file."""
        number = getattr(errno, what.error) if what.error else 0
        self._library.torture_arm(
            bytes(root), log, ACTIONS.index(what.action), ctypes.c_long(what.at), number,
            int(what.from_there_on), int(what.no_exchange), 1,
        )  # fmt: skip

    def count(self) -> int:
        """The number of calls since `arm`, also those of a child."""
        return int(self._library.torture_count())


def read_log(file: Path) -> list[Call]:
    """The calls that were logged."""
    calls = []
    for line in file.read_text().splitlines():
        number, name, path, target = line.split("\t")
        calls.append(Call(int(number), name, path, target))
    return calls

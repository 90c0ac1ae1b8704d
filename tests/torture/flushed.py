"""What is on disk after each call, by the rules of POSIX, from the log of a process.

Data of a file are on disk after an ``fsync`` of it, an entry of a folder after an ``fsync`` of the
folder, and all of it after a ``syncfs``.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath

from tests.torture.shim import WRITES, Call

_ENTRIES = ("mkdir", "unlink", "rmdir", "symlink")
_DATA = (*WRITES, "ftruncate", "truncate")


class Disk:
    """What is written and not yet on disk.

    Attributes
    ----------
    data : set of str
        Files whose bytes are not.
    entries : set of str
        Folders of which an entry is not.
    """

    def __init__(self) -> None:
        self.data: set[str] = set()
        self.entries: set[str] = set()

    def follow(self, call: Call) -> None:
        """Take a call into account."""
        name, path = call.name, call.path
        if name in ("syncfs", "sync"):
            self.data, self.entries = set(), set()
        elif name in ("fsync", "fdatasync"):
            self.data.discard(path)
            self.entries.discard(path)
        elif name in _DATA:
            self.data.add(path)
        elif name == "open" or name in _ENTRIES:
            self.entries.add(_parent(path))
            if name in ("unlink", "rmdir"):
                self.data.discard(path)
                self.entries.discard(path)
        elif name == "link":
            self.entries.add(_parent(call.target))
            if path in self.data:
                self.data.add(call.target)
        elif name in ("rename", "exchange"):
            self._rename(path, call.target, both=name == "exchange")

    def _rename(self, one: str, two: str, *, both: bool) -> None:
        self.data = set(_renamed(self.data, one, two, both))
        self.entries = {*_renamed(self.entries, one, two, both), _parent(one), _parent(two)}

    def unsafe(self, folder: str) -> list[str]:
        """What below a folder, or in it, is not on disk."""
        return sorted(p for p in self.data | self.entries if is_below(p, folder))


def is_below(path: str, folder: str) -> bool:
    """Whether a path is a folder or below it."""
    return path == folder or path.startswith(f"{folder}/")


def _parent(path: str) -> str:
    return str(PurePath(path).parent)


def _renamed(paths: Iterable[str], one: str, two: str, both: bool) -> Iterable[str]:
    for path in paths:
        if is_below(path, one):
            yield two + path[len(one) :]
        elif not is_below(path, two):
            yield path
        elif both:
            yield one + path[len(two) :]

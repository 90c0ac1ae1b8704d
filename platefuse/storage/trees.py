"""Walk through the files below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from platefuse.storage.stray import is_stray


def walk_files(
    folder: Path, *, without: str | None = None
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Files and links below a folder, but those that systems leave there (`is_stray`).

    Links are not followed. A folder that is removed in the meantime is left out.

    Parameters
    ----------
    folder : Path
        The folder; there need not be one.
    without : str, optional
        Name of an entry of the folder that is left out, with all that lies in it.

    Yields
    ------
    name : str
        The path in the folder, with ``/`` between its parts. The order is that of the disk: to be
        independent of it, sort by `in_order`.
    entry : os.DirEntry
        The file or link.

    Raises
    ------
    OSError
        If a folder cannot be read.
    """
    pending = [("", os.fspath(folder))]
    while pending:
        above, path = pending.pop()
        try:
            with os.scandir(path) as found:
                entries = tuple(found)
        except (FileNotFoundError, NotADirectoryError):
            continue
        for entry in entries:
            if above == "" and entry.name == without:
                continue
            if entry.is_dir(follow_symlinks=False):
                pending.append((f"{above}{entry.name}/", entry.path))
            elif not is_stray(entry.name):
                yield above + entry.name, entry


def in_order(walked: tuple[str, os.DirEntry[str]]) -> list[str]:
    """The key by which files are sorted for a digest: the parts of their paths.

    Examples
    --------
    >>> names = ["a-b", "a/b", "a"]
    >>> sorted(names, key=lambda name: in_order((name, None)))
    ['a', 'a/b', 'a-b']
    """
    return walked[0].split("/")

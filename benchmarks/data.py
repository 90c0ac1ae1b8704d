"""What is measured on: made once, kept between runs, and read before each run."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

HOME = Path(__file__).parent / ".data"
_METADATA = (".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json")


def cached(name: str, made_from: str, make: Callable[[Path], object]) -> Path:
    """A folder that `make` fills the first time.

    Parameters
    ----------
    name : str
        Name of the folder.
    made_from : str
        Everything that decides its content; if it changes, the folder is made anew.
    make : callable
        Called with the folder, which does not exist.
    """
    folder = HOME / f"{name}-{hashlib.sha256(made_from.encode()).hexdigest()[:12]}"
    if not folder.exists():
        print(f"making {name}", file=sys.stderr, flush=True)
        unfinished = folder.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        make(unfinished)
        unfinished.rename(folder)
    return folder


def last_run(name: str) -> Path:
    """Where a run leaves its output until the next one of that name."""
    return HOME / "runs" / name


def run_folder(name: str) -> Path:
    """The same, with nothing there."""
    folder = last_run(name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder


def lend(source: Path, target: Path) -> Path:
    """A copy of a folder that may be changed: chunks are links to those of the source.

    No side writes into a stored chunk: they write new ones and remove the old.
    """

    def copy(old: str, new: str) -> None:
        if Path(old).name in _METADATA or "tables" in Path(old).parts:
            shutil.copy2(old, new)
        else:
            os.link(old, new)

    shutil.copytree(source, target, copy_function=copy)
    return target


def warm(folders: Iterable[Path]) -> None:
    """Read every file, so that the disk plays no part."""
    for folder in folders:
        for file in folder.rglob("*"):
            if file.is_file():
                with file.open("rb") as stream:
                    while stream.read(2**22):
                        pass


def size_mb(folder: Path) -> float:
    """Bytes of all files, in MB of 10^6 bytes."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6

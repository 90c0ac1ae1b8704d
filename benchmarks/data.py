"""Input and output folders of the benchmarks; inputs are made once and kept between runs."""

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
    """Return a folder in the cache; it is made if it does not exist.

    Parameters
    ----------
    name : str
        Name of the folder.
    made_from : str
        Everything that its content depends on; if this changes, the folder is made again.
    make : callable
        Makes the folder; called with its path.
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
    """Path of a run's output, which is kept until the next run with this name."""
    return HOME / "runs" / name


def run_folder(name: str) -> Path:
    """Path for a run's output; the output of the previous run is removed."""
    folder = last_run(name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder


def lend(source: Path, target: Path) -> Path:
    """Copy a folder, so that a run may change the copy; chunks are hard links to the source.

    This is safe because no side writes into an existing chunk file: all of them write new files
    and remove the old ones.
    """

    def copy(old: str, new: str) -> None:
        if Path(old).name in _METADATA or "tables" in Path(old).parts:
            shutil.copy2(old, new)
        else:
            os.link(old, new)

    shutil.copytree(source, target, copy_function=copy)
    return target


def warm(folders: Iterable[Path]) -> None:
    """Read every file, so that it is in the page cache and disk speed has no influence."""
    for folder in folders:
        for file in folder.rglob("*"):
            if file.is_file():
                with file.open("rb") as stream:
                    while stream.read(2**22):
                        pass

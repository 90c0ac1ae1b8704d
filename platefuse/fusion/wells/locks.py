"""The locks of what is fused: who comes second to a well, or to a part of one, stops at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platefuse.ngff.paths import staging_root
from platefuse.storage.locks import claim, exclusive_lock, shared_folder


@contextmanager
def fused_well_lock(target: Path, part: int | None = None) -> Iterator[None]:
    """Hold the lock of a well of a fused plate: alone, or with the jobs of its other parts.

    Parameters
    ----------
    target : Path
        The fused well.
    part : int, optional
        The part that is fused.

    Raises
    ------
    LockError
        If another process or thread fuses the well, or this part of it.
    """
    root = staging_root(target.parent.parent)
    well = f"{target.parent.name},{target.name}"
    is_part = part is not None
    with shared_folder(root), claim(root / f".{well}.fused.lock", str(target), shared=is_part):
        if part is None:
            yield
            return
        with claim(root / f".{well},{part}.part.lock", f"{target}, part {part}"):
            yield


@contextmanager
def fused_plate_lock(fused: Path) -> Iterator[None]:
    """Wait for the lock of the metadata of a fused plate, and hold it."""
    root = staging_root(fused)
    with shared_folder(root), exclusive_lock(root / ".plate.lock"):
        yield

"""The locks of a well and its images, for all that writes to them.

Jobs of one well run at the same time, so what takes long is locked for each image: from before
anything is removed until the swap. Who comes second stops at once. The lock of the well is for what
takes an instant, and is waited for. See `docs/design/swap.md`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from platefuse.ngff.paths import staging_root
from platefuse.ngff.well import Well, WellImage
from platefuse.storage.locks import claim, exclusive_lock, shared_folder


@contextmanager
def image_lock(image: WellImage) -> Iterator[None]:
    """Hold the lock of an image: for whoever makes or moves what takes its place.

    Raises
    ------
    LockError
        If another process or thread holds it; nothing is changed.
    """
    root = staging_root(image.well.plate)
    file = root / f".{_name(image.well)},{image.name}.image.lock"
    with shared_folder(root), claim(file, str(image.live)):
        yield


@contextmanager
def image_locks(images: Sequence[WellImage]) -> Iterator[None]:
    """Hold the locks of several images; see `image_lock`."""
    with ExitStack() as locks:
        for image in images:
            locks.enter_context(image_lock(image))
        yield


@contextmanager
def well_lock(well: Well) -> Iterator[None]:
    """Wait for the lock of a well, and hold it: while its images or metadata are exchanged."""
    root = staging_root(well.plate)
    with shared_folder(root), exclusive_lock(root / f".{_name(well)}.well.lock"):
        yield


def _name(well: Well) -> str:
    """One name for a well, also where another name of it is a link in the plate."""
    return ",".join(Path(os.path.realpath(well.path)).parts[-2:])

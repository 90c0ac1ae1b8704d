"""Check that folders can be written and removed, before the first of them is changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from platefuse.errors import PlateError, PlatefuseError

_BESIDE = 20
"""Letters that names get beside the final one: ``.<name>.removed``, ``.<name>.<16 digits>``."""
_BELOW = 255
"""Room for what lies in a folder, in the longest path that the system takes."""


def check_new(path: Path, what: str, kind: type[PlatefuseError] = PlateError) -> None:
    """Check that a folder or file can be made, or exists and can be written to.

    Parameters
    ----------
    path : Path
        The folder or file. It and the folders above it need not exist.
    what : str
        What it is for; begins the error message.
    kind : type
        Class of the error.

    Raises
    ------
    PlatefuseError
        If a name is too long, what is there is no folder, or a folder cannot be written to.
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100  # also of a path that is too long
    above = next(p for p in path.parents if os.path.lexists(p))
    if not os.path.isdir(above):  # noqa: PTH112  # False where the system refuses to look
        raise kind(f"{what}: {above} is no folder, so {path} cannot be made. Move it away.")
    _check_lengths(path, above, what, kind)
    if not os.path.lexists(path):
        folder = above
    elif os.path.isdir(path):  # noqa: PTH112
        folder = path
    elif os.path.isfile(path):  # noqa: PTH113
        folder = path.parent
    else:
        raise kind(f"{what}: {path} is no folder, and cannot be written. Move it away.")
    check_writable(folder, what, kind)


def check_writable(folder: Path, what: str, kind: type[PlatefuseError] = PlateError) -> None:
    """Check that something can be made in a folder, and removed from it.

    Raises
    ------
    PlatefuseError
        If not: the caller may not, or the filesystem is mounted for reading only.
    """
    if not os.access(folder, os.W_OK | os.X_OK):
        raise kind(
            f"{what}: {folder} cannot be written to by this user. Change its permissions, mount "
            "its disk for writing, or use another folder."
        )


def check_removable(folder: Path, what: str, kind: type[PlatefuseError] = PlateError) -> None:
    """Check that a folder can be removed with all that it holds: one look at each folder in it.

    Raises
    ------
    PlatefuseError
        If a folder in it does not let its content be removed.
    """
    for each in _folders(os.fspath(folder)):
        if not os.access(each, os.R_OK | os.W_OK | os.X_OK):
            raise kind(
                f"{what}: the folder {each} is protected, so {folder} could not be removed when it "
                "has been replaced. Change its permissions (chmod u+rwx), or keep the originals."
            )


def _folders(folder: str) -> Iterator[str]:
    """A folder and all folders in it; links are not followed."""
    yield folder
    with os.scandir(folder) as found:
        below = [entry.path for entry in found if entry.is_dir(follow_symlinks=False)]
    for each in below:
        yield from _folders(each)


def _check_lengths(path: Path, above: Path, what: str, kind: type[PlatefuseError]) -> None:
    longest = os.pathconf(above, "PC_NAME_MAX") - _BESIDE
    for name in path.relative_to(above).parts:
        if len(os.fsencode(name)) > longest:
            raise kind(
                f"{what}: the name {name!r} has {len(os.fsencode(name))} bytes; the filesystem "
                f"takes {longest}, with what temporary names add. Give it a shorter name."
            )
    if len(os.fsencode(path)) > os.pathconf(above, "PC_PATH_MAX") - _BELOW:
        raise kind(
            f"{what}: its path has {len(os.fsencode(path))} bytes, more than the system takes with "
            f"the files in it. Move the plate to a folder with a shorter path: {path}"
        )

"""Paths that stay in the plate, whatever names and links a plate holds."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from platefuse.errors import MetadataError, PlateError
from platefuse.ngff.metadata import find_attributes, is_node
from platefuse.storage.files import entries


def real_plate(plate: Path) -> Path:
    """The folder of a plate; of a link to a plate, the folder that it leads to.

    What is made of a plate lies next to this folder, and is named after it.
    """
    is_link = plate.is_symlink() and plate.is_dir()
    return plate.resolve() if is_link or plate.name in ("", "..") else plate


def staging_root(plate: Path) -> Path:
    """The folder beside a plate where its images are made and kept before they are live."""
    return plate.parent / f"{plate.name}.staging"


def staging_folder(plate: Path, row: str, column: str) -> Path:
    """The folder beside a plate for what is made of one of its wells.

    Raises
    ------
    PlateError
        If a link, or anything else that is no folder, lies in its place or above it.
    """
    root = staging_root(plate)
    folder = root / row / column
    check_own_folders(root, root / row, folder)
    return folder


def check_own_folders(*folders: Path) -> None:
    """Check that what platefuse replaces and removes are folders, and none a link; or missing.

    Parameters
    ----------
    *folders : Path
        The folders, each in the one before.

    Raises
    ------
    PlateError
        If one is a link, or no folder.
    """
    for folder in folders:
        try:
            mode = folder.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return  # and so nothing is in it
        if stat.S_ISLNK(mode):
            raise PlateError(
                f"{folder} is a link to {os.readlink(folder)}. platefuse replaces and removes what "  # noqa: PTH115
                "lies there, and does so in no folder that it reaches by a link. Take the link "
                "away; what it leads to may be given as a path in its own right."
            )
        if not stat.S_ISDIR(mode):
            what = "a file" if stat.S_ISREG(mode) else "no folder"
            raise PlateError(
                f"{folder} is {what}, and has the name of a folder that platefuse makes. Move it "
                "away or give it another name."
            )


def fused_plate_path(plate: str | Path, output: str | None = None) -> Path:
    """Where the fused plate goes: `output`, or ``<plate>_fused.zarr`` beside the plate."""
    path = Path(plate)
    name = path.name.removesuffix(".zarr")
    return Path(output) if output else path.with_name(f"{name}_fused.zarr")


def check_outside_groups(path: Path) -> None:
    """Check that something new does not lie inside a plate, an image or another Zarr group.

    Raises
    ------
    PlateError
        If a folder above it is a Zarr group or array.
    """
    for parent in path.resolve().parents:
        if is_node(parent):
            raise PlateError(
                f"{path} lies inside {parent}, which is a Zarr group: what is written there would "
                "become a part of it, or replace one. Choose a path outside of it."
            )


def safe_name(name: object, what: str) -> str:
    """`name` if it is one path component that stays where it is put.

    Parameters
    ----------
    name : object
        A name that came from a file.
    what : str
        What the name is for; begins the error message.

    Raises
    ------
    PlateError
        If it is not a string, is empty, hidden, ``.`` or ``..``, has a separator, or characters
        that no file's name can have.
    """
    if (
        not isinstance(name, str)
        or not name
        or name.startswith(".")
        or any(c in name for c in "/\\\0\n\r")
        or not _is_path(name)
    ):
        raise PlateError(
            f"{what} is named {name!r}, which is not safe as a path. Expected one non-empty "
            "path component that does not begin with a dot and has no slash."
        )
    return name


def _is_path(name: str) -> bool:
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return True


def inside(path: Path, plate: Path) -> Path:
    """`path` if it leads nowhere but into the plate, whatever links are on its way.

    Raises
    ------
    PlateError
        If a link leads out of the plate, or in a circle.
    """
    if path.is_relative_to(plate) and not _has_link(path, plate):
        return path  # as nearly always: two looks cost much less than to resolve two paths
    try:
        end = path.resolve()
        if end.is_symlink():  # from Python 3.13 on, links in a circle are left as they are
            raise RuntimeError(f"{end} is part of a circle of links")
    except (OSError, RuntimeError) as error:
        raise PlateError(
            f"{path} is a link that leads nowhere ({error}). Replace it by what it stands for."
        ) from error
    if not end.is_relative_to(plate.resolve()):
        raise PlateError(
            f"{path} is a link that leads out of the plate to {end}. platefuse uses nothing "
            "outside the plate; replace the link by what it leads to."
        )
    return path


def _has_link(path: Path, plate: Path) -> bool:
    """Whether a link, or a step up, is on the way from the plate to a path below it."""
    below, at = path.relative_to(plate).parts, os.fspath(plate)
    if ".." in below:
        return True
    for part in below:
        at = os.path.join(at, part)  # noqa: PTH118  (a plan asks for thousands: paths take longer)
        if os.path.islink(at):  # noqa: PTH114
            return True
    return False


def check_folder(folder: Path, plate: Path) -> None:
    """Check the links that lie in a folder itself; no matter if there is no such folder.

    Raises
    ------
    PlateError
        If one leads out of the plate, or in a circle.
    """
    for entry in entries(folder):
        if entry.is_symlink():
            inside(Path(entry.path), plate)


def check_tree(top: Path, plate: Path) -> None:
    """Check every entry of a folder that is to be copied with all that it holds.

    Links that stay inside the plate are followed, as copying does.

    Parameters
    ----------
    top : Path
        The folder, or a file; it need not be there.
    plate : Path
        The plate.

    Raises
    ------
    PlateError
        If a link leads out of the plate, nowhere, or to a folder that it lies in itself; if there
        is a pipe, a socket or a device, which cannot be copied.
    """
    if not top.is_symlink() and (top.is_file() or _is_plain(top)):
        return  # as nearly always: one look at each folder
    pending: list[tuple[Path, tuple[Path, ...]]] = [(top, (top.parent.resolve(),))]
    while pending:
        path, above = pending.pop()
        real = above[-1] / path.name
        if path.is_symlink():
            real = inside(path, plate).resolve()
            if real in above or not real.exists():
                end = "which holds the link itself" if real in above else "which is not there"
                raise PlateError(
                    f"{path} is a link to {real}, {end}. Replace it by what it stands for."
                )
        if path.is_dir():
            pending += [(Path(entry.path), (*above, real)) for entry in entries(path)]
        elif path.exists() and not path.is_file():
            raise PlateError(
                f"{path} is a pipe, a socket or a device, which cannot be copied into a new image. "
                "Move it away."
            )


def _is_plain(folder: Path | str) -> bool:
    """Whether all that a folder holds, also in folders in it, are files. False for what is none."""
    try:
        with os.scandir(folder) as found:
            return all(
                entry.is_file(follow_symlinks=False)
                or (entry.is_dir(follow_symlinks=False) and _is_plain(entry.path))
                for entry in found
            )
    except OSError:
        return False


def groups_below(labels: Path) -> list[Path]:
    """Everything in a folder of labels, and in groups of labels in it; nothing that is in a label.

    These are the labels, the groups, and whatever else lies beside them.
    """
    found = []
    for entry in entries(labels):
        folder = Path(entry.path)
        found.append(folder)
        with suppress(MetadataError):  # a label that is needed is read later
            if is_node(folder) and "multiscales" not in (find_attributes(folder) or {}):
                found += groups_below(folder)
    return found

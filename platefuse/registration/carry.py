"""What a registered image keeps of its original besides pixels and tables: carried, or refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

from platefuse.errors import ImageError, TableError
from platefuse.ngff.chunk_files import stray_entries
from platefuse.ngff.image import Image, Multiscale, foreign_files
from platefuse.ngff.multiscales import dataset_path, datasets_of
from platefuse.ngff.paths import check_tree
from platefuse.ngff.tables.stray import stray_files
from platefuse.ngff.zarr_format import V2, V3
from platefuse.storage.files import copy_tree
from platefuse.storage.removing import remove_tree
from platefuse.storage.typed_json import list_of, object_of


def check_carried(image: Image) -> None:
    """Check that nothing in an image would stay behind, or unmoved beside pixels that move.

    Parameters
    ----------
    image : Image
        The image, with its labels. Chunks are not looked at.

    Raises
    ------
    ImageError
        If a level has metadata of both Zarr formats, lies in another level, or belongs to a further
        entry of `multiscales`; if a file has the name of the folder of labels or tables.
    """
    for name in ("labels", "tables"):
        folder = image.path / name
        if folder.exists() and not folder.is_dir():
            raise ImageError(
                f"{folder} is a file, and has the name of the folder of the image's {name}. Move "
                "it away or give it another name."
            )
    for part in image.parts:
        _check_levels(part)
        _check_further_entries(part)


def _check_levels(part: Multiscale) -> None:
    for one, other in pairwise(sorted(Path(path).parts for path in part.paths)):
        if other[: len(one)] == one:
            raise ImageError(
                f"{part.path}: the level {'/'.join(other)!r} lies in the level {'/'.join(one)!r}; "
                "expected a folder of its own for each level."
            )
    for path in part.level_paths:
        if all((path / kind.array_file).is_file() for kind in (V2, V3)):
            raise ImageError(
                f"{path}: the level has metadata of both Zarr formats, `{V2.array_file}` and "
                f"`{V3.array_file}`, and readers may take either. Move the one away that does not "
                "describe its chunks."
            )


def _check_further_entries(part: Multiscale) -> None:
    """Check that all entries of `multiscales` are about the levels of the first one."""
    for number, entry in enumerate(list_of(part.attributes.get("multiscales"))[1:], 1):
        datasets = object_of(entry)
        paths = [dataset_path(part.path, d) for d in datasets_of(part.path, datasets)]
        if further := [path for path in paths if path not in part.paths]:
            raise ImageError(
                f"{part.path}: entry {number} of `multiscales` (counted from 0) has the levels "
                f"{further}, which are not those of entry 0. Only the levels of entry 0 are moved, "
                "and these would stay where they are: move the entry and its levels into an image "
                "of its own."
            )


def carried_files(image: Image, plate: Path) -> list[Path]:
    """All files and folders in an image that are copied as they are. Looks at all chunks' names.

    Tables and what lies in their folder are left out: see `carry_table_files`.

    Parameters
    ----------
    image : Image
        The image, with its labels.
    plate : Path
        The plate.

    Raises
    ------
    PlatefuseError
        If a link leads out of the plate, or something is neither a file, a folder nor a link.
    """
    found = [*foreign_files(image), *_in_levels(image)]
    for path in found:
        check_tree(path, plate)
    return found


def _in_levels(image: Image) -> Iterator[Path]:
    for part in image.parts:
        for path, level in zip(part.level_paths, part.levels, strict=True):
            yield from stray_entries(path, level)


def copy_carried(files: Iterable[Path], source: Path, target: Path) -> None:
    """Copy files and folders of one folder to the same places in another."""
    for path in files:
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        copy_tree(path, place)


def check_table_files(own: Path, reference: Path, names: Iterable[str]) -> None:
    """Check that notes in tables of an image have a place in those that replace them.

    Parameters
    ----------
    own, reference : Path
        The folder ``tables`` of an image, and that of its reference.
    names : iterable of str
        The tables that come from the reference.

    Raises
    ------
    TableError
        If the reference's table has something else of that name.
    """
    for name in names:
        for path in stray_files(own / name):
            other = reference / path.relative_to(own)
            is_other = path.is_dir() or other.is_dir()
            if other.exists() and (is_other or other.read_bytes() != path.read_bytes()):
                raise TableError(
                    f"{path}: this file is no part of the table, which is replaced by that of the "
                    f"reference, and {other} has the same name and another content. Rename one of "
                    "the two."
                )


def carry_table_files(own: Path, new: Path) -> None:
    """Copy what lies in a table and is no part of it into the table that replaces it.

    Parameters
    ----------
    own, new : Path
        The table's group in the image, which need not exist, and in its new image.
    """
    missing = [p for p in stray_files(own) if not (new / p.relative_to(own)).exists()]
    copy_carried(missing, own, new)


def remove_stray_files(table: Path) -> None:
    """Remove what lies in a copy of a table and is no part of it."""
    for path in stray_files(table):
        if path.is_dir():
            remove_tree(path)
        else:
            path.unlink()

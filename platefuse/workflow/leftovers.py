"""What killed runs have left of a plate: found by place, record and content, then removed.

A name alone proves nothing. What is listed here lies where platefuse puts it, under a name that
no image, label or table can have, or beside the live image whose record says that it is not needed;
and a temporary file has no writer any more.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from platefuse.fusion.wells.scatter import Scatter
from platefuse.ngff.metadata import all_attributes
from platefuse.ngff.paths import groups_below
from platefuse.ngff.tables.table import table_names, table_path
from platefuse.ngff.well import Well, WellImage
from platefuse.ngff.zarr_format import CONSOLIDATED_FILE, METADATA_FILES
from platefuse.records import KEY, FusedWellRecord, RegistrationRecord
from platefuse.registration.originals import kept_file, restored_file
from platefuse.registration.request import RegistrationRequest
from platefuse.registration.swap import check_registered
from platefuse.storage.files import entries, replaced
from platefuse.storage.removing import (
    RANDOM,
    all_aside,
    is_dead,
    remove_aside,
    remove_if_dead,
    remove_tree,
    temporaries,
)

ASIDE = "set aside to be removed"
TEMPORARY = "a temporary file whose writer was killed"


@dataclass(frozen=True)
class Found:
    """Something in a staging folder or a plate.

    Attributes
    ----------
    path : Path
        Where it is. Of what was set aside, the path that it had.
    why : str
        Why it is left over, or why it stays.
    kind : str
        How it is removed; ``stays``: it is not.
    """

    path: Path
    why: str
    kind: Literal["folder", "aside", "temporary", "note", "stays"] = "folder"

    @property
    def shown(self) -> Path:
        """Where it lies now."""
        return all_aside(self.path)[-1] if self.kind == "aside" else self.path

    def remove(self) -> bool:
        """Remove it; whether nothing of it is left."""
        match self.kind:
            case "folder":
                return remove_tree(self.path)
            case "aside":
                return remove_aside(self.path)
            case "temporary":
                return remove_if_dead(self.path)
            case "note":
                self.path.unlink(missing_ok=True)
        return True


def in_staging(well: Well, *, originals: bool = False) -> Iterator[Found]:
    """What lies in the staging folder of a well. To be removed under the lock of the well.

    Parameters
    ----------
    well : Well
        The well.
    originals : bool
        Whether kept originals are left over, too.

    Raises
    ------
    PlatefuseError
        If an original is to be removed, and the live image is not as its record has it.
    """
    known: set[str] = set()
    for image in well.listed_images:
        image.check_inside()
        measured = image.staged.with_name(f"{image.name}.measured")
        yield from _aside(image.staged, image.backup, measured)
        if measured.is_dir():
            yield Found(measured, "a table that was being written")
        yield from _temporaries(kept_file(image), restored_file(image))
        yield from _of_image(image, originals=originals)
        places = (image.staged, image.backup, measured, kept_file(image), restored_file(image))
        known |= {path.name for path in places}
    for entry in entries(well.staging):
        if entry.name not in known and not entry.name.startswith("."):
            yield Found(Path(entry.path), "not known to platefuse", "stays")


def _of_image(image: WellImage, *, originals: bool) -> Iterator[Found]:
    live, staged = RegistrationRecord.read(image.live), RegistrationRecord.read(image.staged)
    if live is not None and restored_file(image).exists():
        yield Found(restored_file(image), "its image is registered again", "note")
    if live is not None and image.backup.is_dir() and RegistrationRecord.read(image.backup) is None:
        if originals:
            check_registered(image, RegistrationRequest(**asdict(live.request)))
            yield Found(image.backup, "the original, and its registered image is complete")
        elif kept_file(image).exists():
            yield Found(image.backup, "a kept original: --originals removes it", "stays")
        else:
            yield Found(image.backup, "an original: the next run, or --originals, decides", "stays")
        if originals and kept_file(image).exists():
            yield Found(kept_file(image), "its original is removed", "note")
    elif image.backup.is_dir():
        yield Found(image.backup, "an original whose image is not registered", "stays")
    elif kept_file(image).exists() and not _may_be_original(image):
        yield Found(kept_file(image), "there is no original", "note")
    if image.staged.is_dir():
        yield _staged(image, live, staged)


def _staged(
    image: WellImage, live: RegistrationRecord | None, staged: RegistrationRecord | None
) -> Found:
    if live is not None and live.complete and staged is not None:
        if _same(live, staged):
            return Found(image.staged, "the same registered image is in its place")
        return Found(image.staged, "a new image with another record", "stays")
    if live is not None and live.complete and image.backup.is_dir():
        return Found(image.staged, "unfinished, and its registered image is in its place")
    if live is not None:
        return Found(image.staged, "perhaps the original: the next run decides", "stays")
    if staged is not None:
        return Found(image.staged, "a new image: the next run goes on with it", "stays")
    return Found(image.staged, "an unfinished image: the next run begins it anew", "stays")


def _may_be_original(image: WellImage) -> bool:
    """Whether what is staged may be the original: killed between an exchange and a renaming."""
    return image.staged.is_dir() and RegistrationRecord.read(image.staged) is None


def _same(one: RegistrationRecord, other: RegistrationRecord) -> bool:
    """Whether two records tell of the same pixels."""
    return (one.request, one.digests, one.rois, one.illumination) == (
        other.request,
        other.digests,
        other.rois,
        other.illumination,
    )


def in_plate(well: Well, top: Collection[Path] = ()) -> Iterator[Found]:
    """What lies in a well itself: temporary files, and tables that were replaced.

    Parameters
    ----------
    well : Well
        The well.
    top : collection of Path
        Folders above it, which are looked at as well.
    """
    for folder in (*top, well.path):
        yield from _metadata_temporaries(folder)
    for image in well.listed_images:
        image.check_links()
        for live in (image.live, image.registered):
            if live.is_dir():
                yield from in_image(live)


def in_image(image: Path) -> Iterator[Found]:
    """What lies in one image of a plate; chunks are not looked at."""
    labels, tables = image / "labels", image / "tables"
    for folder in (image, labels, *groups_below(labels), tables):
        yield from _metadata_temporaries(folder)
    for name in table_names(image):
        table = table_path(image, name)
        yield from _metadata_temporaries(table)
        yield from _aside(table, replaced(table))
        if KEY in all_attributes(table) and KEY in all_attributes(replaced(table)):
            yield Found(replaced(table), "a table that was replaced by a newer one")


def in_fused_staging(well: Path, staged: Path) -> Iterator[Found]:
    """What lies of a fused well: in its plate, and in the staging folder of that.

    Parameters
    ----------
    well : Path
        The fused well.
    staged : Path
        Where it is made.
    """
    old, tables = replaced(well), staged.with_name(f"{staged.name}.tables")
    yield from _aside(well, old, staged, tables)
    is_done = FusedWellRecord.read(well) is not None
    if is_done and FusedWellRecord.read(old) is not None:
        yield Found(old, "a fused well that was replaced by a newer one")
    if tables.is_dir():
        yield Found(tables, "tables for a fusion that has ended")
    if staged.is_dir():
        if is_done or FusedWellRecord.read(staged) is None:
            yield Found(staged, "an unfinished fused well: a run begins it anew")
        else:
            yield Found(staged, "a complete fused well that is not in its place", "stays")
    for part in Scatter(staged).part_folders():
        yield from _aside(part)
        if part.is_dir():
            if is_done:
                yield Found(part, "a part of a fused well that is complete")
            else:
                yield Found(part, "a part of a fused well: the next run uses it", "stays")


def _aside(*paths: Path) -> Iterator[Found]:
    for path in paths:
        if all_aside(path):
            yield Found(path, ASIDE, "aside")


def _temporaries(*files: Path) -> Iterator[Found]:
    for file in files:
        for temporary in temporaries(file):
            yield _temporary(temporary)


_OF_METADATA = re.compile(
    rf"\.({'|'.join(map(re.escape, (*METADATA_FILES, CONSOLIDATED_FILE)))})\.{RANDOM}"
)


def _metadata_temporaries(folder: Path) -> Iterator[Found]:
    """Temporary files of the metadata of a group."""
    for entry in entries(folder):
        if _OF_METADATA.fullmatch(entry.name) and not entry.is_dir(follow_symlinks=False):
            yield _temporary(Path(entry.path))


def _temporary(path: Path) -> Found:
    if is_dead(path):
        return Found(path, TEMPORARY, "temporary")
    return Found(path, "a temporary file that is being written, or cannot be checked", "stays")

"""What a staged image was made from, and whether it is complete and still of use.

A staged image may wait for days, if a run was killed. What replaces the live image must be made
from all that the live image holds: so its state is kept next to the staged image, and compared
again right before the exchange. What cannot be read is not complete, whatever it is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from platefuse.errors import PlatefuseError, RecordError, SwapError
from platefuse.ngff.chunk_files import is_chunk_name
from platefuse.ngff.image import Image
from platefuse.ngff.tables.table import table_path
from platefuse.ngff.well import WellImage
from platefuse.records import PixelFiles, RegistrationRecord, digest_tree
from platefuse.registration.request import RegistrationRequest
from platefuse.storage.files import read_json, write_json
from platefuse.storage.trees import walk_files
from platefuse.storage.typed_json import UnexpectedJson, from_json, object_to_json

STAGE_AGAIN = "The image is unchanged. Start again: it is staged anew."


@dataclass(frozen=True)
class FolderState:
    """The files of a folder. It differs if any of them was added, removed or changed.

    Attributes
    ----------
    files, bytes : int
        Their number and size.
    digest : str
        SHA-256 of the name, size and time of the last change (ctime) of each.
    """

    files: int
    bytes: int
    digest: str

    @classmethod
    def of(cls, folder: Path, *, without: str | None = None) -> FolderState:
        """The state of a folder, without one of its sub-folders; there need not be a folder."""
        total, count, size = hashlib.sha256(), 0, 0
        for name, entry in sorted(walk_files(folder, without=without), key=lambda own: own[0]):
            status = entry.stat(follow_symlinks=False)
            line = f"{name}\0{status.st_size}\0{status.st_ctime_ns}\n"
            total.update(line.encode(errors="surrogateescape"))
            count, size = count + 1, size + status.st_size
        return cls(count, size, total.hexdigest())


@dataclass(frozen=True)
class StagedFrom:
    """The live image from which a staged image was made.

    Attributes
    ----------
    image : FolderState
        All of it but the tables.
    tables : FolderState, optional
        Its own tables; None until they are copied.
    """

    image: FolderState
    tables: FolderState | None = None

    @classmethod
    def of(cls, image: WellImage, *, tables: bool = False) -> StagedFrom:
        """The live image as it is now; or its backup, if a kill left only that."""
        folder = image.live if image.live.exists() else image.backup
        return cls(
            FolderState.of(folder, without="tables"),
            FolderState.of(folder / "tables") if tables else None,
        )

    @classmethod
    def read(cls, image: WellImage) -> StagedFrom | None:
        """What was kept of a staged image; None if nothing was, or it cannot be read."""
        try:
            return from_json(cls, read_json(image.staged_from), "staged from")
        except (OSError, PlatefuseError, UnexpectedJson):
            return None

    def write(self, image: WellImage) -> None:
        """Keep it next to the staged image."""
        write_json(image.staged_from, object_to_json(self))


def pixel_files(folder: Path) -> PixelFiles:
    """Number and size of the chunk files of an image and its labels, all levels.

    Other files in the folders of the levels do not count.
    """
    sizes = [
        entry.stat(follow_symlinks=False).st_size
        for part in Image.read(folder).parts
        for level in part.level_paths
        for name, entry in walk_files(level)
        if is_chunk_name(name)
    ]
    return PixelFiles(len(sizes), sum(sizes))


def staged_record(image: WellImage, request: RegistrationRequest) -> RegistrationRecord | None:
    """The record of a staged image of this registration, if all its pixels are there.

    Its tables may not be there yet.

    Returns
    -------
    RegistrationRecord or None
        None if there is no staged image, if it is not complete or of another registration, or if
        anything of it cannot be read.
    """
    try:
        record = RegistrationRecord.read(image.staged)
        if record is None or record.request != request.identity:
            return None
        if record.pixel_files is None or record.pixel_files != pixel_files(image.staged):
            return None
    except (OSError, PlatefuseError):
        return None
    return record


def is_made_from(image: WellImage, source: StagedFrom) -> bool:
    """Whether the staged image was made from a state of the live one; the tables do not count."""
    before = StagedFrom.read(image)
    return before is not None and before.image == source.image


def check_staged(image: WellImage, request: RegistrationRequest) -> RegistrationRecord:
    """Check that a staged image is complete, and made from all that the live image holds.

    Returns
    -------
    RegistrationRecord
        Its record.

    Raises
    ------
    RecordError
        If there is no complete staged image, or it is not as its record has it.
    SwapError
        If the live image has changed since the staged one was made.
    """
    record = staged_record(image, request)
    before = StagedFrom.read(image)
    if record is None or record.tables is None or before is None:
        raise RecordError(
            f"{image.live}: no complete staged image at {image.staged}. Run `register_image` "
            f"and `copy_tables` for this image first (the workflow does). {STAGE_AGAIN}"
        )
    for name, table in record.tables.items():
        if digest_tree(table_path(image.staged, name)) != table.sha256:
            raise RecordError(
                f"{table_path(image.staged, name)}: the table is not the one that the record of "
                f"the staged image has. {STAGE_AGAIN}"
            )
    _check_unchanged(image, before)
    return record


def is_staged(image: WellImage, request: RegistrationRequest, *, tables: bool) -> bool:
    """Whether a staged image is what the next step needs.

    Parameters
    ----------
    image : WellImage
        The image.
    request : RegistrationRequest
        The registration.
    tables : bool
        Whether its tables are to be there, too: the next step is the swap, and not `copy_tables`.
    """
    try:
        if tables:
            return bool(check_staged(image, request))
        return staged_record(image, request) is not None and is_made_from(
            image, StagedFrom.of(image)
        )
    except (OSError, PlatefuseError):
        return False


def _check_unchanged(image: WellImage, before: StagedFrom) -> None:
    if not image.live.exists() and not image.backup.exists():
        return  # there is nothing to be lost
    now = StagedFrom.of(image, tables=True)
    for what, old, new in (("", before.image, now.image), (" tables", before.tables, now.tables)):
        if old != new and old is not None and new is not None:
            raise SwapError(
                f"{image.live}: its{what or ' pixels, labels or metadata'} have changed since its "
                f"new image was made ({old.files} files of {old.bytes} bytes then, {new.files} of "
                f"{new.bytes} now); what is new would be lost. {STAGE_AGAIN}"
            )

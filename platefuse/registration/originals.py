"""Notes about originals, in the staging folder: which are kept, and which were put back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from platefuse.ngff.paths import staging_root
from platefuse.ngff.well import BACKUP_SUFFIX, WellImage
from platefuse.records import KeptOriginal, RegistrationRecord, RestoredOriginal
from platefuse.registration.staged import FolderState
from platefuse.storage.files import entries
from platefuse.storage.flush import flush_folder
from platefuse.storage.removing import remove_dead

_KEPT, _RESTORED = ".kept.json", ".restored.json"


def kept_file(image: WellImage) -> Path:
    """Where it is written that the original is kept. No image has a name like this one."""
    return image.well.staging / f".{image.name}{_KEPT}"


def restored_file(image: WellImage) -> Path:
    """Where it is written that the original was put back."""
    return image.well.staging / f".{image.name}{_RESTORED}"


def mark_original(image: WellImage, *, keep: bool) -> None:
    """Write down that the original of an image is kept, or is not. It is on disk at the end."""
    file = kept_file(image)
    if file.exists() == keep:
        return
    if keep:
        KeptOriginal(well=image.well.name, image=image.name).write(file)
    else:
        file.unlink(missing_ok=True)
    flush_folder(file.parent)


def note_registered(image: WellImage) -> None:
    """Write down the files of a live registered image whose original is kept, unless it is known.

    It is then known whether somebody has changed them: see `was_changed`.
    """
    if _known_state(image) is None:
        state = FolderState.of(image.live).digest
        note = KeptOriginal(well=image.well.name, image=image.name, registered=state)
        note.write(kept_file(image))


def was_changed(image: WellImage, registered: Path) -> bool:
    """Whether files of a registered image were added or changed after its well was done."""
    known = _known_state(image)
    return known is not None and FolderState.of(registered).digest != known


def _known_state(image: WellImage) -> str | None:
    file = kept_file(image)
    return KeptOriginal.read(file).registered if file.exists() else None


def note_restored(image: WellImage, record: RegistrationRecord | None) -> None:
    """Write down that the original of an image is put back now, in the place of `record`."""
    note = RestoredOriginal(well=image.well.name, image=image.name, record=record)
    note.write(restored_file(image))


def forget_restored(image: WellImage) -> None:
    """Remove what is written of a restored original, and what killed writers left of notes."""
    restored_file(image).unlink(missing_ok=True)
    remove_dead(restored_file(image))
    remove_dead(kept_file(image))


def restored_original(image: WellImage) -> RestoredOriginal | None:
    """What is written of a restored original; None if there is nothing.

    It is written before the original is put back: it holds only if the live image has no record.

    Raises
    ------
    PlatefuseError
        If the file cannot be read.
    """
    if not os.path.lexists(restored_file(image)):
        return None
    return RestoredOriginal.read(restored_file(image))


def kept_originals(plate: Path) -> int:
    """Number of originals of a plate that a run was told to keep. Reads no image."""
    return sum(
        (well / f"{name[1:].removesuffix(_KEPT)}{BACKUP_SUFFIX}").is_dir()
        for well, name in _notes(plate, _KEPT)
    )


def restored_wells(plate: Path) -> set[tuple[str, str]]:
    """Rows and columns of the wells of which an original may have been put back."""
    return {(well.parent.name, well.name) for well, _ in _notes(plate, _RESTORED)}


def _notes(plate: Path, suffix: str) -> Iterator[tuple[Path, str]]:
    """Each note of one kind: the folder of its well, and its name."""
    for row in entries(staging_root(plate)):
        for column in entries(row.path) if row.is_dir(follow_symlinks=False) else ():
            for file in entries(column.path) if column.is_dir(follow_symlinks=False) else ():
                if file.name.startswith(".") and file.name.endswith(suffix):
                    yield Path(column.path), file.name

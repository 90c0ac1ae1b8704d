"""Records and receipts in general: how they are read, written and removed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Self

from platefuse import __version__
from platefuse.errors import MetadataError, RecordError
from platefuse.ngff.metadata import all_attributes, is_consolidated, replace_attributes
from platefuse.ngff.zarr_format import V2, Format
from platefuse.records.usage import JobUsage
from platefuse.storage.files import read_json, write_json
from platefuse.storage.typed_json import JsonObject, UnexpectedJson, from_json, object_to_json

KEY = "platefuse"
"""The attribute of a Zarr group that holds its record."""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, kw_only=True)
class _Stamped:
    """The keys with which every record and receipt begins.

    Attributes
    ----------
    platefuse_version : str
        The version that wrote it.
    time : str
        When it was made: UTC, as ISO 8601 writes it, to the second.
    """

    platefuse_version: str = __version__
    time: str = field(default_factory=_now)

    def as_json(self) -> JsonObject:
        """The JSON object, with its keys in the order in which they are written."""
        return object_to_json(self)


class Record(_Stamped):
    """A record: one section of the object under `KEY`."""

    section: ClassVar[str]
    what: ClassVar[str]
    remedy: ClassVar[str]

    @classmethod
    def read(cls, group: Path) -> Self | None:
        """Read the record of a Zarr group.

        Parameters
        ----------
        group : Path
            Folder of the image or the well; it need not exist.

        Returns
        -------
        record or None
            None if the group has no attribute `KEY`, or no section of this record in it.

        Raises
        ------
        RecordError
            If the record is damaged: a key is missing, or a value is of another type.
        PlatefuseError
            If the attributes are not a JSON object.
        """
        attributes = all_attributes(group)
        if KEY not in attributes:
            return None
        try:
            content = attributes[KEY]
            if isinstance(content, dict):
                if cls.section not in content:
                    return None
                return from_json(cls, content[cls.section], f"{KEY}.{cls.section}")
            raise UnexpectedJson(f"`{KEY}` is {content!r}, expected an object")
        except UnexpectedJson as error:
            file = (Format.of(group) or V2).attributes_path(group)
            raise RecordError(
                f"{file}: the {cls.what} is damaged: {error}. {cls.remedy}"
            ) from error

    def write(self, group: Path) -> None:
        """Write the record to a Zarr group, in place of any other; other attributes are kept.

        Raises
        ------
        MetadataError
            If the group has no metadata.
        """
        if Format.of(group) is None:
            raise MetadataError(
                f"{group}: not a Zarr group; expected a file `.zgroup` or `zarr.json` in it."
            )
        record = {KEY: {self.section: self.as_json()}}
        replace_attributes(group, {**all_attributes(group), **record})


@dataclass(frozen=True, kw_only=True)
class Receipt(_Stamped):
    """A receipt: the JSON file of a finished job.

    Attributes
    ----------
    used : JobUsage, optional
        What the job used. None in receipts of older versions, and in those of the single steps of
        a job that does several: its own receipt says what all of them used.
    """

    used: JobUsage | None = None

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a receipt.

        Raises
        ------
        RecordError
            If it is damaged, or the receipt of another job.
        PlatefuseError
            If the file does not hold a JSON object.
        """
        try:
            return from_json(cls, read_json(Path(path)), "receipt")
        except UnexpectedJson as error:
            raise RecordError(
                f"{path}: the receipt is damaged: {error}. Remove it and run the job again."
            ) from error

    def write(self, path: str | Path) -> None:
        """Write the receipt atomically; its folder is created if it does not exist."""
        write_json(Path(path), self.as_json())


def forget_record(group: Path) -> None:
    """Remove the record from a copied Zarr group, because it describes the source only.

    A copy of the metadata below the group, which Zarr v3 may keep, is removed as well.
    """
    attributes = all_attributes(group)
    if KEY in attributes or is_consolidated(group):
        replace_attributes(group, {k: v for k, v in attributes.items() if k != KEY})

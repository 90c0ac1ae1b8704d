"""Records and receipts: what was done, kept with the pixels and beside the workflow.

A *record* is the JSON object under ``platefuse`` in an image's own attributes. It is written
last, so an image that carries one is complete. A *receipt* is the small JSON file that a
finished job leaves; it is Snakemake's sentinel.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from platefuse import __version__
from platefuse.errors import PlateError
from platefuse.ngff.metadata import all_attributes, read_json, replace_attributes
from platefuse.storage.files import write_json

KEY = "platefuse"


def read_record(group: Path) -> dict[str, Any] | None:
    """The record in the attributes of a Zarr group; None if it has none or is no group.

    Raises
    ------
    PlateError
        If the attributes are not a JSON object.
    """
    record = all_attributes(group).get(KEY)
    return record if isinstance(record, dict) else None


def write_record(group: Path, record: dict[str, Any]) -> None:
    """Put a record into the attributes of a Zarr group; every other attribute is kept.

    Raises
    ------
    PlateError
        If the group has no metadata.
    """
    if not any((group / name).is_file() for name in ("zarr.json", ".zattrs", ".zgroup")):
        raise PlateError(f"{group}: not a Zarr group; expected `.zgroup` or `zarr.json` there.")
    replace_attributes(group, {**all_attributes(group), KEY: record})


def forget_record(group: Path) -> None:
    """Take from a copied Zarr group what holds for its source alone.

    That is the record, and the copy of all metadata below it that zarr keeps in format 3.
    """
    file = group / "zarr.json"
    consolidated = file.is_file() and "consolidated_metadata" in read_json(file)
    if consolidated or read_record(group) is not None:
        kept = {name: value for name, value in all_attributes(group).items() if name != KEY}
        replace_attributes(group, kept)


def stamp() -> dict[str, str]:
    """Version and time, for records and receipts."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"platefuse_version": __version__, "time": now}


def write_receipt(path: str | Path, content: dict[str, Any]) -> None:
    """Leave a finished job's receipt, atomically.

    Parameters
    ----------
    path : str or Path
        The receipt.
    content : dict
        What the job did; version and time are added.
    """
    write_json(Path(path), {**stamp(), **content})


def digest_tree(path: Path) -> str:
    """SHA-256 of names and contents of all files below a folder."""
    total = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        total.update(file.relative_to(path).as_posix().encode() + b"\0")
        total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def digest_json(content: Any) -> str:
    """SHA-256 of something that can be written as JSON, in whatever order its keys are."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

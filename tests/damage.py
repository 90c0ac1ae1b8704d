"""Helpers for tests with damaged plates: a small plate, functions that damage it, checks."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from platefuse import apply_registration_to_image
from platefuse.errors import PlatefuseError
from tests.conftest import SMALL

TABLE = "registered_FOV_ROI_table"
SPEC = replace(
    SMALL,
    wells=("B/03",),
    acquisitions=SMALL.acquisitions[:2],
    field_shape=(40, 44),
    nucleus_diameter_um=9.0,
    levels=2,
    tables=("FOV_ROI_table", TABLE, "nuclei_features"),
)


def state(folder: Path) -> dict[str, bytes | str | None]:
    """Return the content of every file, the target of every link, and every folder (None)."""
    found: dict[str, bytes | str | None] = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = str(path.readlink())
        else:  # a pipe, which is not read, counts as a folder
            found[name] = path.read_bytes() if path.is_file() else None
    return found


def register(plate: Path, image: str = "1", **options: Any) -> None:
    url = str(plate / "B" / "03" / image)
    apply_registration_to_image(zarr_url=url, registered_roi_table=TABLE, **options)


def refused(plate: Path, *said: str, staged: bool = False) -> None:
    """Check that registering raises one `PlatefuseError` and leaves the plate unchanged.

    The message must contain all words. Nothing else may be written, unless the fault is only
    found when pixels are read (`staged`).
    """
    before = state(plate.parent)
    with pytest.raises(PlatefuseError) as caught:
        register(plate)
    for part in said:
        assert part in str(caught.value)
    after = state(plate.parent)
    if staged:
        staging = f"{plate.name}.staging"
        after = {k: v for k, v in after.items() if k.split("/")[0] != staging}
    assert after == before


def group_file(group: Path) -> Path:
    return next(f for f in (group / "zarr.json", group / ".zattrs") if f.is_file())


def array_file(array: Path) -> Path:
    return next(f for f in (array / "zarr.json", array / ".zarray") if f.is_file())


def change(file: Path, edit: Callable[[Any], object]) -> None:
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))


def with_attributes(group: Path, edit: Callable[[Any], object]) -> None:
    """Change the attributes of a group: at the top level, in `attributes` or in `ome`."""

    def inner(content: Any) -> None:
        attributes = content.get("attributes", content)
        edit(attributes.get("ome", attributes))

    change(group_file(group), inner)


def chunk_of(array: Path) -> Path:
    return next(p for p in sorted(array.rglob("*")) if p.is_file() and p.name[0].isdigit())

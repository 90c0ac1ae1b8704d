"""A well of the least that counts as images, in any state that a swap can leave."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from platefuse.ngff.well import Well, WellImage
from platefuse.records import PixelFiles, digest_tree
from platefuse.registration.request import RegistrationRequest
from platefuse.registration.staged import StagedFrom
from tests.records import COPIED, registration_record

REQUEST = RegistrationRequest("registered_FOV_ROI_table")


def make_image(path: Path, content: str, request: RegistrationRequest | None = None) -> None:
    """The least that counts as an image; with a complete record if it is registered."""
    (path / "0" / "0").mkdir(parents=True)
    (path / "0" / "0" / "0").write_text(content)
    (path / "0" / ".zarray").write_text('{"shape": [8, 8], "dtype": "|u1", "zarr_format": 2}')
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    scale = {"coordinateTransformations": [{"type": "scale", "scale": [1, 1]}]}
    entry = {"axes": [{"name": "y"}, {"name": "x"}], "datasets": [{"path": "0", **scale}]}
    (path / ".zattrs").write_text(json.dumps({"multiscales": [entry]}))
    if request is not None:
        (path / "tables" / "t").mkdir(parents=True)
        copied = replace(COPIED, sha256=digest_tree(path / "tables" / "t"))
        record = registration_record(identity=request.identity, tables={"t": copied})
        replace(record, pixel_files=PixelFiles(1, len(content))).write(path)


def make_well(root: Path, images: tuple[str, ...] = ("0",)) -> Well:
    folder = root / "p.zarr" / "B" / "03"
    folder.mkdir(parents=True)
    entries = [{"path": path, "acquisition": int(path)} for path in images]
    (folder / ".zattrs").write_text(json.dumps({"well": {"images": entries}}))
    (folder / ".zgroup").write_text('{"zarr_format": 2}')
    return Well.read(root / "p.zarr", "B", "03")


def content(image: Path) -> str | None:
    """What an image shows; None if it is not there or not whole."""
    whole = all((image / name).is_file() for name in ("0/.zarray", ".zattrs", "0/0/0"))
    return (image / "0" / "0" / "0").read_text() if whole else None


def tree(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


def put(well: Well, live: str, staged: str, backup: str) -> None:
    places = {well.path / "0": live, well.staging / "0": staged, well.image("0").backup: backup}
    for path, what in places.items():
        if what != "absent":
            make_image(path, what, REQUEST if what == "new" else None)
    if staged == "new":
        StagedFrom.of(well.image("0"), tables=True).write(well.image("0"))


def stage(image: WellImage, request: RegistrationRequest = REQUEST) -> None:
    """An image and its staged image, of this registration."""
    make_image(image.live, "old")
    make_image(image.staged, "new", request)
    StagedFrom.of(image, tables=True).write(image)

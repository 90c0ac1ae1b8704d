"""A well is fused again if something it is made from has changed, and for nothing else."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from platefuse.fusion.fields.measured import pixel_state
from platefuse.fusion.options import FusionOptions
from platefuse.fusion.wells.fingerprint import SourceFiles, same_content, same_identities
from platefuse.fusion.wells.scatter import Scatter
from platefuse.ngff.image import Multiscale
from platefuse.ngff.plate import Plate
from platefuse.records import FusedWellRecord
from tests.conftest import PlateFactory
from tests.fused import BARE, SMALL_CHUNKS, WELL, fuse_well, fuse_well_part

TABLES = replace(BARE, grid=(1, 2), tables=("FOV_ROI_table", "nuclei_features"))
OPTIONS = FusionOptions(output_chunksize=SMALL_CHUNKS)


@pytest.fixture
def plate(example_plate: PlateFactory) -> Path:
    return example_plate(TABLES).path


def fuse(plate: Path, fused: Path) -> str:
    return fuse_well(Plate.open(plate).read_wells()[0], fused, OPTIONS).action


def files(plate: Path) -> SourceFiles:
    return SourceFiles(plate / WELL / "0", ("0",))


def first_file(folder: Path) -> Path:
    return next(p for p in sorted(folder.rglob("*")) if p.is_file() and not p.name.startswith("."))


def change_a_byte(file: Path) -> None:
    """Same size, and the same time of modification."""
    stat, content = file.stat(), bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_a_copied_plate_is_not_fused_again(plate: Path, tmp_path: Path) -> None:
    fused = tmp_path / "fused.zarr"
    assert fuse(plate, fused) == "fused"
    copy = tmp_path / "copy.zarr"
    shutil.copytree(plate, copy, copy_function=shutil.copyfile)
    assert fuse(copy, fused) == "fused before"


def test_a_touched_plate_is_not_fused_again(plate: Path, tmp_path: Path) -> None:
    fused = tmp_path / "fused.zarr"
    assert fuse(plate, fused) == "fused"
    for file in plate.rglob("*"):
        file.touch()
    assert fuse(plate, fused) == "fused before"


@pytest.mark.parametrize(("spacing", "action"), [(1.3, "fused"), (1.95, "fused before")])
def test_a_level_that_was_read_and_has_changed_is_read_again(
    plate: Path, tmp_path: Path, spacing: float, action: str
) -> None:
    """As if the pyramid had been wrong and was made again."""
    options = replace(OPTIONS, output_spacing={"y": spacing, "x": spacing})
    well = Plate.open(plate).read_wells()[0]
    assert fuse_well(well, tmp_path / "fused.zarr", options).action == "fused"
    level = zarr.open_array(plate / WELL / "0" / "1", mode="r+")
    level[...] = np.asarray(level[...]) + 1
    assert fuse_well(well, tmp_path / "fused.zarr", options).action == action


STRAY = (".DS_Store", "Thumbs.db", "._0", ".nfs000000000a1b2c3d00000001")


@pytest.mark.parametrize("where", ["0/0/0", "labels", "tables/FOV_ROI_table"])
def test_stray_files_are_no_change(plate: Path, tmp_path: Path, where: str) -> None:
    fused = tmp_path / "fused.zarr"
    assert fuse(plate, fused) == "fused"
    folder = plate / WELL / "0" / where
    for name in STRAY:
        (folder / name).write_bytes(b"Bud1")
    assert fuse(plate, fused) == "fused before"
    (folder / "notes.txt").write_text("anything else is a change")
    assert fuse(plate, fused) == "fused"


def test_a_stray_file_does_not_change_what_was_measured(plate: Path) -> None:
    image = Multiscale.read(plate / WELL / "0")
    before = pixel_state(image)
    (plate / WELL / "0" / "0" / ".DS_Store").write_bytes(b"Bud1")
    assert pixel_state(image) == before


@pytest.mark.parametrize("where", ["0", "labels", "tables"])
def test_a_changed_byte_of_a_source_is_noticed(plate: Path, tmp_path: Path, where: str) -> None:
    fused = tmp_path / "fused.zarr"
    assert fuse(plate, fused) == "fused"
    before = files(plate)
    state = before.state(1)
    assert files(plate).matches(state, 2)
    change_a_byte(first_file(plate / WELL / "0" / where))
    after = files(plate)
    assert after.state(1) | {"changed_ns": 0, "content": ""} == state | {
        "changed_ns": 0,
        "content": "",
    }
    assert not after.matches(state, 1)


@pytest.mark.parametrize("change", [lambda f: f.unlink(), lambda f: f.write_bytes(b"longer" * 99)])
def test_files_that_are_gone_or_have_another_size_are_noticed(
    plate: Path, change: Callable[[Path], Any]
) -> None:
    state = files(plate).state(1)
    change(first_file(plate / WELL / "0" / "0"))
    assert not files(plate).matches(state, 1)


def test_files_are_read_only_if_their_times_differ(
    plate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = files(plate).state(1)
    monkeypatch.setattr(SourceFiles, "content", lambda self, threads: pytest.fail("was read"))
    assert files(plate).matches(state, 1)


def test_the_digest_depends_on_names_and_not_on_threads(plate: Path) -> None:
    content = files(plate).content(1)
    assert files(plate).content(3) == content
    file = first_file(plate / WELL / "0" / "0")
    file.rename(file.with_name("17"))
    assert files(plate).content(1) != content


def test_records_of_0_1_0_have_no_digest_and_need_the_same_times(plate: Path) -> None:
    now = files(plate)
    old = {
        "files": len(now.stats),
        "bytes": sum(stat.st_size for stat in now.stats.values()),
        "newest_ns": max(stat.st_mtime_ns for stat in now.stats.values()),
    }
    assert now.matches(old, 1)
    for key, value in old.items():
        assert not now.matches({**old, key: value + 1}, 1)


def test_sources_are_the_same_images_with_the_same_identity(plate: Path) -> None:
    own = {"0": {"attributes": "a"}}
    state = {"0": {"attributes": "a", **files(plate).state(1)}}
    found = {"0": files(plate)}
    assert same_identities(state, own)
    assert same_content(state, found, 1)
    assert not same_identities({}, own)
    assert not same_identities(state, {"0": {"attributes": "b"}})
    assert not same_identities({**state, "1": {}}, own)
    assert not same_content({"0": {**state["0"], "files": 0}}, found, 1)


class TestParts:
    def test_parts_do_not_look_at_every_file(
        self, plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(SourceFiles, "_walk", lambda self: pytest.fail("walked"))
        well = Plate.open(plate).read_wells()[0]
        for part in range(2):
            assert fuse_well_part(well, tmp_path / "f.zarr", OPTIONS, part, 2).action == "fused"

    def test_a_part_older_than_a_change_of_its_sources_is_written_again(
        self, plate: Path, tmp_path: Path
    ) -> None:
        well, fused = Plate.open(plate).read_wells()[0], tmp_path / "f.zarr"
        for part in range(2):
            fuse_well_part(well, fused, OPTIONS, part, 2)
            assert fuse_well_part(well, fused, OPTIONS, part, 2).action == "fused before"
        file = first_file(plate / WELL / "0" / "0")
        file.write_bytes(file.read_bytes())
        assert fuse_well_part(well, fused, OPTIONS, 0, 2).action == "fused"
        begun: list[int | None] = []
        with pytest.MonkeyPatch.context() as patch:
            begin = Scatter.begin

            def watched(part: Scatter) -> None:
                begun.append(part.number)
                begin(part)

            patch.setattr(Scatter, "begin", watched)
            assert fuse_well(well, fused, OPTIONS, scatter=2).action == "fused"
        assert begun == [1]

    def test_a_mark_of_other_sources_or_parts_does_not_count(self, tmp_path: Path) -> None:
        part = Scatter(tmp_path / "staged", 2, 1)
        assert not part.is_complete(1, {}, lambda: 0)
        part.begin()
        assert not part.is_complete(1, {}, lambda: 0)
        part.mark_complete({"options": 1})
        mark = json.loads((part.target / "part.json").read_text())
        begun = mark["begun_ns"]
        assert part.is_complete(1, {"options": 1}, lambda: begun - 1)
        assert not part.is_complete(1, {"options": 1}, lambda: begun)
        assert not part.is_complete(1, {"options": 2}, lambda: 0)
        assert not part.is_complete(0, {"options": 1}, lambda: 0)
        other = Scatter(tmp_path / "staged", 3, 1)
        assert not other.is_complete(1, {"options": 1}, lambda: 0)


def test_the_record_keeps_the_state_of_every_image(plate: Path, tmp_path: Path) -> None:
    fuse(plate, tmp_path / "f.zarr")
    record = FusedWellRecord.read(tmp_path / "f.zarr" / WELL)
    assert record is not None
    sources: Any = record.fingerprint["sources"]
    (source,) = sources.values()
    assert list(source) == [
        "attributes",
        "tile_table",
        "registration",
        "illumination",
        "files",
        "bytes",
        "changed_ns",
        "content",
    ]

"""Links: those that stay inside the plate are followed, any other is refused before the start."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.conftest import ExamplePlate, PlateFactory
from tests.damage import SPEC, TABLE, refused, register
from tests.truth import assert_registered


@pytest.fixture
def plate(example_plate: PlateFactory) -> ExamplePlate:
    """A plate of one well and two acquisitions."""
    return example_plate(SPEC)


PARTS = (
    "1",
    "1/0",
    "1/labels",
    "1/labels/nuclei",
    "1/labels/nuclei/0",
    "1/tables",
    f"1/tables/{TABLE}",
    "1/tables/nuclei_features",
    "0",
    f"0/tables/{TABLE}",
)


def move_behind_link(path: Path, folder: Path, *, relative: bool = False) -> None:
    """Move something to another folder and leave a link in its place."""
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / path.name
    path.rename(new)
    path.symlink_to(os.path.relpath(new, path.parent) if relative else new)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("part", PARTS)
def test_a_link_out_of_the_plate(
    plate: ExamplePlate, tmp_path: Path, part: str, relative: bool
) -> None:
    link = plate.path / "B" / "03" / part
    move_behind_link(link, tmp_path / "outside", relative=relative)
    refused(plate.path, f"{link} is a link that leads out of the plate to {tmp_path}/outside")


@pytest.mark.parametrize("part", ["1/notes", "1/labels/mine", "1/tables/mine"])
@pytest.mark.parametrize("end", ["there", "nowhere"])
def test_a_link_that_nothing_lists_leads_out_of_the_plate(
    plate: ExamplePlate, tmp_path: Path, part: str, end: str
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "secret").write_text("not to be copied")
    link = plate.path / "B" / "03" / part
    link.symlink_to(tmp_path / end)
    refused(plate.path, f"{link} is a link that leads out of the plate to {tmp_path / end}")


def test_a_link_out_of_the_plate_behind_one_that_stays_inside(
    plate: ExamplePlate, tmp_path: Path
) -> None:
    label = plate.path / "B" / "03" / "1" / "labels" / "nuclei"
    move_behind_link(label, plate.path / "elsewhere")
    move_behind_link(label / "0", tmp_path / "outside")
    refused(plate.path, "labels/nuclei/0 is a link that leads out of the plate")


@pytest.mark.parametrize("part", PARTS)
def test_a_link_in_a_circle(plate: ExamplePlate, part: str) -> None:
    link = plate.path / "B" / "03" / part
    shutil.rmtree(link)
    link.symlink_to(link.name)
    refused(plate.path, f"{link} is a link that leads nowhere")


@pytest.mark.parametrize("part", [part for part in PARTS if part != "1"])
def test_a_link_that_stays_inside_the_plate(plate: ExamplePlate, part: str) -> None:
    move_behind_link(plate.path / "B" / "03" / part, plate.path / "elsewhere")
    register(plate.path)
    assert_registered(plate.path, plate.truth, "B/03", "1")
    assert not plate.path.with_name("plate.zarr.staging").exists()


@pytest.mark.parametrize("relative", [False, True])
def test_an_image_that_is_a_link_inside_the_plate(plate: ExamplePlate, relative: bool) -> None:
    image = plate.path / "B" / "03" / "1"
    move_behind_link(image, plate.path / "elsewhere", relative=relative)
    register(plate.path)
    assert_registered(plate.path, plate.truth, "B/03", "1")
    assert not plate.path.with_name("plate.zarr.staging").exists()


# a table is copied with all that it holds
@pytest.mark.parametrize("part", [f"0/tables/{TABLE}/mine", "1/tables/nuclei_features/X/mine"])
@pytest.mark.parametrize("folder", [False, True])
def test_a_link_out_of_the_plate_inside_a_table(
    plate: ExamplePlate, tmp_path: Path, part: str, folder: bool
) -> None:
    secret = tmp_path / "outside" / "secret"
    secret.parent.mkdir()
    secret.write_text("not to be copied")
    end = secret.parent if folder else secret
    link = plate.path / "B" / "03" / part
    link.symlink_to(end)
    refused(plate.path, f"{link} is a link that leads out of the plate to {end}")


def test_a_link_out_of_the_plate_behind_one_in_a_folder_of_notes(
    plate: ExamplePlate, tmp_path: Path
) -> None:
    notes, inner = plate.path / "B" / "03" / "1" / "notes", plate.path / "elsewhere"
    notes.mkdir()
    inner.mkdir()
    (notes / "more").symlink_to(inner)
    (inner / "out").symlink_to(tmp_path)
    refused(plate.path, f"{notes}/more/out is a link that leads out of the plate to {tmp_path}")


@pytest.mark.parametrize(
    ("end", "said"),
    [("..", "which holds the link itself"), ("nowhere", "which is not there")],
)
@pytest.mark.parametrize("part", ["tables/nuclei_features/mine", "labels/nuclei/notes/mine"])
def test_a_link_that_nothing_can_be_copied_of(
    plate: ExamplePlate, part: str, end: str, said: str
) -> None:
    link = plate.path / "B" / "03" / "1" / part
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(end)
    refused(plate.path, f"{link} is a link to ", said, "Replace it by what it stands for")

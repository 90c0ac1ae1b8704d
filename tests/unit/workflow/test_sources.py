"""Raw images that are fused at their registered places: as if they were registered first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zarr

from platefuse import apply_registration_to_image
from platefuse.errors import RecordError, TableError
from platefuse.fusion.measured import pixel_state
from platefuse.fusion.options import FusionOptions
from platefuse.fusion.well import fuse_well, fuse_well_part
from platefuse.measuring.receipt import MeasuredWell
from platefuse.ngff.image import Multiscale
from platefuse.ngff.paths import fused_plate_path
from platefuse.ngff.plate import Plate, Well
from platefuse.records import FieldKey, FieldPlace, FusedImageRecord, write_places
from platefuse.registration.request import RegistrationRequest
from platefuse.testing import AcquisitionSpec, PlateSpec
from platefuse.workflow.receipts import measured_receipt
from platefuse.workflow.sources import FusionSources
from tests.conftest import SMALL, PlateFactory
from tests.damage import state
from tests.fused import TINY, everything, fuse, number_fields_one_by_one
from tests.raw_plate import RawPlate
from tests.truth import read_level

REQUEST = RegistrationRequest()

MOVED = replace(
    TINY,
    acquisitions=(
        AcquisitionSpec(0),
        AcquisitionSpec(2, shift_px=(3, -5)),
        AcquisitionSpec(3, field_shifts_px=((1, 2), (-4, 0), (0, 6), (2, -3))),
    ),
    grid=(2, 2),
)
CASES: dict[str, tuple[PlateSpec, dict[str, Any]]] = {
    "two acquisitions": (TINY, {}),
    "each field has its shift": (MOVED, {}),
    "all backends of tables": (SMALL, {}),
    "stacked": (MOVED, {"layout": "stacked"}),
    "scattered": (MOVED, {"scatter": 3}),
    "0.5 and shards": (
        replace(MOVED, ngff_version="0.5"),
        {
            "ngff_version": "0.5",
            "output_chunksize": {"z": 1, "y": 16, "x": 16},
            "shards": {"z": 1, "y": 64, "x": 64},
        },
    ),
    "by the well's table": (
        replace(TINY, tables=(*TINY.tables, "registered_well_ROI_table")),
        {"roi_table": "registered_well_ROI_table"},
    ),
    "planes and shifts in z": (
        replace(TINY, planes=4, acquisitions=(AcquisitionSpec(0), AcquisitionSpec(1, (1, 3, -2)))),
        {},
    ),
    "mean of all fields": (MOVED, {"method": "mean"}),
    "merged labels": (MOVED, {"merge_labels": 0.5}),
}


def register(plate: Path, roi_table: str) -> None:
    """Register a plate in place: the reference last, whose tables the others need."""
    for well in Plate.open(plate).read_wells():
        for image in sorted(well.images, key=lambda image: image.name, reverse=True):
            apply_registration_to_image(zarr_url=str(image.live), registered_roi_table=roi_table)


def without_records(files: dict[Path, Any]) -> dict[Path, Any]:
    """The content of all files but for what tells how the plate was made."""
    for content in files.values():
        if isinstance(content, dict):
            for holder in (content, content.get("attributes", {})):
                holder.pop("platefuse", None)
    return files


@pytest.mark.parametrize("name", CASES)
def test_the_fused_plate_is_that_of_two_steps(example_plate: PlateFactory, name: str) -> None:
    spec, given = CASES[name]
    options = dict(given)
    roi_table = options.pop("roi_table", REQUEST.roi_table)
    request = RegistrationRequest(roi_table)
    raw, registered = (example_plate(spec, f"{kind}/p.zarr") for kind in ("raw", "two"))
    if "merge_labels" in options:
        for plate in (raw, registered):
            for image in Plate.open(plate.path).well("B", "03").images:
                number_fields_one_by_one(plate, image.name)
    before = state(raw.path)
    fused = fuse(raw.path, request, store=False, **options)
    assert state(raw.path) == before
    assert sorted(p.name for p in raw.path.parent.iterdir()) == [raw.path.name, fused.name]
    register(registered.path, roi_table)
    expected = fuse(registered.path, request, **options)
    got = without_records(everything(fused))
    wanted = without_records(everything(expected))
    assert sorted(got) == sorted(wanted)
    for file, content in wanted.items():
        assert got[file] == content, file


def test_the_record_says_where_fields_were_placed(example_plate: PlateFactory) -> None:
    fused = fuse(example_plate(MOVED).path, REQUEST, store=False)
    record = FusedImageRecord.read(fused / "B" / "03" / "3")
    assert record is not None
    assert record.fields is not None
    shifts = [field.shift_px[-2:] for field in record.fields]
    assert shifts == [(1.0, 2.0), (-4.0, 0.0), (0.0, 6.0), (2.0, -3.0)]


def test_registered_images_are_not_moved_again(example_plate: PlateFactory) -> None:
    plate = example_plate(TINY)
    register(plate.path, REQUEST.roi_table)
    stored = everything(fuse(plate.path, REQUEST, output=plate.path.with_name("a.zarr")))
    again = fuse(plate.path, REQUEST, store=False, output=plate.path.with_name("a2.zarr"))
    found = everything(again)
    assert all(found[file] == content for file, content in stored.items() if "c" in file.parts)
    other = RegistrationRequest("registered_well_ROI_table")
    well = next(iter(Plate.open(plate.path).read_wells()))
    with pytest.raises(RecordError, match="registered already"):
        FusionSources(FusionOptions(), request=other, store=False).reader(well)


def test_a_missing_registered_table_is_an_error(example_plate: PlateFactory) -> None:
    plate = example_plate(replace(TINY, tables=("FOV_ROI_table",)))
    with pytest.raises(TableError, match="registered_FOV_ROI_table"):
        fuse(plate.path, REQUEST, store=False)
    assert not fused_plate_path(plate.path).exists()


RAW = RawPlate(grid=(1, 2), side=48, step=40)


def measured_sources(folder: Path) -> tuple[Well, FusionSources]:
    """A raw plate whose measured places lie next to it, with the receipt of its well."""
    well = Plate.open(RAW.write(folder / "p.zarr")).well("B", "03")
    images = [Multiscale.read(image.live) for image in well.images]
    places = [
        FieldPlace(
            "p",
            FieldKey("B/03", n // 2, str(n), str(n)),
            (0.0, 20.0 * (n % 2)),
            (0.5, 20.0 * (n % 2)),
            (0.0, 1.0, 0.0),
            0.0,
            0.9,
            0.1,
            "measured",
        )
        for n in range(4)
    ]
    file = folder / "results" / "fields.tsv"
    write_places(file, places)
    MeasuredWell(
        well="B/03",
        fields=(),
        pairs=(),
        made_from={"pixels": {image.path.name: pixel_state(image) for image in images}},
        read_bytes=0,
        seconds=0.0,
    ).write(measured_receipt(file, well))
    options = FusionOptions(output_chunksize={"z": 1, "y": 64, "x": 64})
    return well, FusionSources(options, request=REQUEST, store=False, places=str(file))


def test_a_well_at_measured_places_is_fused_once(tmp_path: Path) -> None:
    well, sources = measured_sources(tmp_path)
    fused = tmp_path / "fused.zarr"
    assert fuse_well(well, fused, sources.reader(well)).action == "fused"
    assert fuse_well(well, fused, sources.reader(well)).action == "fused before"
    for file in (tmp_path / "p.zarr").rglob("*"):
        file.touch()  # it is what it was
    assert fuse_well(well, fused, sources.reader(well)).action == "fused before"


def test_replaced_pixels_are_not_fused_at_places_that_were_measured_before(tmp_path: Path) -> None:
    well, sources = measured_sources(tmp_path)
    fused = tmp_path / "fused.zarr"
    fuse_well(well, fused, sources.reader(well))
    before = everything(fused)
    level = well.images[2].live / "0"
    pixels = read_level(well.images[2].live)
    zarr.open_array(level, mode="r+")[...] = pixels[..., ::-1]
    command = r"start Snakemake with --forcerun measure_well.*results/B/03/measure_well.json"
    with pytest.raises(RecordError, match=f"2: its pixels are not those .*{command}"):
        fuse_well(well, fused, sources.reader(well))
    with pytest.raises(RecordError, match="its pixels are not those"):
        fuse_well_part(well, fused, sources.reader(well), 0, 2)
    assert everything(fused) == before
    assert sources.places is not None
    measured_receipt(Path(sources.places), well).unlink()  # then nothing is known of them
    assert fuse_well(well, fused, sources.reader(well)).action == "fused"


def test_another_pixel_size_is_noticed(tmp_path: Path) -> None:
    """Shifts are kept in pixels."""
    well, sources = measured_sources(tmp_path)
    for image in well.images:
        file = image.live / ".zattrs"
        file.write_text(file.read_text().replace("0.5", "0.6"))
    with pytest.raises(RecordError, match=r"different: pixel_size_um"):
        fuse_well(well, tmp_path / "fused.zarr", sources.reader(well))

"""Raw images that are fused at their registered places: as if they were registered first."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

from platefuse import apply_registration_to_image
from platefuse.errors import RecordError, TableError
from platefuse.fusion.fields.measured import pixel_state
from platefuse.fusion.options import FusionOptions
from platefuse.fusion.wells.well import fuse_well, fuse_well_part
from platefuse.measuring.receipt import MeasuredWell
from platefuse.ngff.create import write_group
from platefuse.ngff.image import Multiscale
from platefuse.ngff.paths import fused_plate_path
from platefuse.ngff.plate import Plate
from platefuse.ngff.tables.table import read_table, write_roi_table
from platefuse.ngff.well import Well
from platefuse.records import FieldKey, FieldPlace, FusedImageRecord, write_places
from platefuse.registration.request import RegistrationRequest
from platefuse.testing import AcquisitionSpec, PlateSpec
from platefuse.workflow.receipts import measured_receipt
from platefuse.workflow.sources import FusionSources
from tests.conftest import SMALL, PlateFactory
from tests.damage import state
from tests.fields_plate import PIXEL_UM
from tests.fused import TINY, everything, fuse, number_fields_one_by_one
from tests.raw_plate import RawPlate, write_mosaic, write_plate
from tests.truth import read_level

REQUEST = RegistrationRequest()
Numbers = NDArray[np.float64]

MOVED = replace(
    TINY,
    acquisitions=(
        AcquisitionSpec(0),
        AcquisitionSpec(2, shift_px=(3, -5)),
        AcquisitionSpec(3, field_shifts_px=((1, 2), (-4, 0), (0, 6), (2, -3))),
    ),
    grid=(2, 2),
)
FEW_PLANES = replace(
    TINY,
    planes=5,
    acquisitions=(
        AcquisitionSpec(0),
        AcquisitionSpec(1, (1, 3, -2)),
        AcquisitionSpec(2, (-1, 0, 4)),
    ),
    table_backends={"nuclei_ROI_table": "csv"},
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


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(replace(FEW_PLANES, label_axes="yx"), id="the label has no planes"),
        pytest.param(replace(FEW_PLANES, planes=3), id="one plane of the label remains"),
    ],
)
def test_boxes_of_objects_lie_in_the_planes_of_two_steps(
    example_plate: PlateFactory, spec: PlateSpec
) -> None:
    """Where the fused label has one plane, its pixels do not tell those of the boxes."""
    raw, registered = (example_plate(spec, f"{kind}/p.zarr") for kind in ("raw", "two"))
    for plate in (raw.path, registered.path):
        for image in ("0", "1", "2"):
            put_boxes_in_plane(plate / "B" / "03" / image, 2)
    fused = fuse(raw.path, REQUEST, store=False)
    register(registered.path, REQUEST.roi_table)
    expected = fuse(registered.path, REQUEST)
    for image in ("0", "1", "2"):
        got, wanted = (
            read_table(plate / "B" / "03" / image, "nuclei_ROI_table")
            for plate in (fused, expected)
        )
        assert got.names
        assert (got.names, got.columns) == (wanted.names, wanted.columns)
        well = read_table(fused / "B" / "03" / image, "well_ROI_table")
        last = np.add(got.column("z_micrometer"), got.column("len_z_micrometer"))
        assert last.max() <= well.column("len_z_micrometer")[0]


def put_boxes_in_plane(image: Path, plane: int) -> None:
    """Say in the table of a label that all of its objects are in one plane."""
    file = image / "tables" / "nuclei_ROI_table" / "table.csv"
    with file.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    with file.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(row | {"z_micrometer": plane, "len_z_micrometer": 1} for row in rows)


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


@dataclass(frozen=True)
class SmoothPlate:
    """Two fields and two acquisitions, at any fractions of a pixel, of a scene of long waves.

    Attributes
    ----------
    stage_px, shift_px : ndarray, shape (2 fields, 2)
        Stage positions, and shifts of acquisition 1 onto the reference, on y and x.
    seed : int
        Chooses the waves.
    """

    stage_px: Numbers
    shift_px: Numbers
    seed: int

    def scene(self, y: Numbers, x: Numbers) -> Numbers:
        """Intensities between 2000 and 42000, at places in pixels: waves of 14 to 40 pixels."""
        random = np.random.default_rng(self.seed)
        angle, length, phase = random.uniform((0, 14, 0), (np.pi, 40, 2 * np.pi), (6, 3)).T
        along = np.multiply.outer(y, np.sin(angle)) + np.multiply.outer(x, np.cos(angle))
        waves = np.cos(2 * np.pi * along / length + phase).mean(axis=-1)
        return np.asarray(22_000 + 20_000 * waves)

    def write(self, path: Path) -> Path:
        """Write the plate with registered ROI tables."""
        write_plate(path, ["B/03"])
        images = [{"path": str(a), "acquisition": a} for a in (0, 1)]
        write_group(path / "B" / "03", {"well": {"images": images, "version": "0.4"}}, "0.4")
        high, low = np.maximum(self.shift_px, 0), np.minimum(self.shift_px, 0)
        for a in (0, 1):
            begin = self.stage_px + a * self.shift_px
            y, x = np.mgrid[:64, :72]
            fields = [self.scene(y + top, x + left) for top, left in begin]
            image = path / "B" / "03" / str(a)
            pixels = np.rint(fields).astype(np.uint16)
            write_mosaic(image, pixels, self.stage_px * PIXEL_UM)
            rows = {}
            for k in range(2):
                start = (high[k] - a * self.shift_px[k] + (0, 72 * k)) * PIXEL_UM
                length = ((64, 72) - high[k] + low[k]) * PIXEL_UM
                row = {"z_micrometer": 0.0, "len_z_micrometer": 1.0}
                for axis, own, extent in zip("yx", start, length, strict=True):
                    row |= {f"{axis}_micrometer": own, f"len_{axis}_micrometer": extent}
                rows[f"FOV_{k + 1}"] = row
            write_roi_table(image, REQUEST.roi_table, rows)
        return path


def error_of(fused: Path, spec: SmoothPlate) -> float:
    """Mean absolute error of acquisition 1 to the scene, away from the border of the mosaic."""
    image = fused / "B" / "03" / "1"
    record = FusedImageRecord.read(image)
    assert record is not None
    pixels = read_level(image)[0, 0].astype(float)
    top, left = (record.origin_um[axis] / PIXEL_UM for axis in "yx")
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    inside = binary_erosion(pixels > 0, iterations=4)
    assert inside.mean() > 0.5
    return float(np.abs(pixels - spec.scene(y + top, x + left))[inside].mean())


fractions = st.floats(-6, 6)


@settings(max_examples=6, deadline=None)
@given(
    stage=st.tuples(*[st.floats(0, 1)] * 4),
    shift=st.tuples(*[fractions] * 4),
    seed=st.integers(0, 99),
)
def test_one_pass_is_at_least_as_close_to_the_scene_as_two_steps(
    tmp_path_factory: pytest.TempPathFactory,
    stage: tuple[float, ...],
    shift: tuple[float, ...],
    seed: int,
) -> None:
    """Two steps interpolate twice, once when registering and once when fusing."""
    corner = np.array([[10.0, 10.0], [10.0, 70.0]])
    spec = SmoothPlate(corner + np.reshape(stage, (2, 2)), np.reshape(shift, (2, 2)), seed)
    folder = tmp_path_factory.mktemp("p")
    raw, two = spec.write(folder / "raw.zarr"), spec.write(folder / "two.zarr")
    request = replace(REQUEST, interpolation="linear")
    one_pass = error_of(fuse(raw, request, store=False), spec)
    for image in ("1", "0"):
        apply_registration_to_image(
            zarr_url=str(two / "B" / "03" / image),
            registered_roi_table=REQUEST.roi_table,
            interpolation="linear",
        )
    two_steps = error_of(fuse(two, request), spec)
    assert one_pass <= 1.02 * two_steps + 1  # of 20,000; pixels are rounded once or twice
    assert one_pass < 200

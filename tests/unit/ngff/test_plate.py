from __future__ import annotations

import contextlib
import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platefuse.errors import PlateError, PlatefuseError
from platefuse.ngff.metadata import read_attributes
from platefuse.ngff.paths import safe_name, staging_root
from platefuse.ngff.plate import Plate
from platefuse.ngff.well import Well

UNSAFE = ["", ".", "..", "../x", "/etc", "a/b", "a\\b", ".hidden", "a\0b", "a\nb", None, 3, ["a"]]
UNSAFE += ["a\ud800b"]  # half a character: no file can have it in its name
PLATE = {"plate": {"wells": [{"path": "B/03"}, {"path": "C/04"}], "version": "0.4"}}
WELL = {"well": {"images": [{"path": "0", "acquisition": 0}, {"path": "1", "acquisition": 1}]}}


def write(group: Path, attributes: object, version: str = "0.4") -> None:
    group.mkdir(parents=True, exist_ok=True)
    if version == "0.4":
        (group / ".zattrs").write_text(json.dumps(attributes))
    else:
        (group / "zarr.json").write_text(json.dumps({"attributes": {"ome": attributes}}))


@pytest.fixture(params=["0.4", "0.5"])
def plate(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Metadata of a plate of two wells with two images, in both versions of OME-NGFF."""
    path = tmp_path / "p.zarr"
    write(path, PLATE, request.param)
    for well in ("B/03", "C/04"):
        write(path / well, WELL, request.param)
        for image in ("0", "1"):
            (path / well / image).mkdir()
    return path


def test_wells_and_images_are_read_in_the_order_of_the_metadata(plate: Path) -> None:
    opened = Plate.open(str(plate))
    assert [well.name for well in opened.wells] == ["B/03", "C/04"]
    well = opened.well("C", "04")
    assert [(image.name, image.acquisition) for image in well.images] == [("0", 0), ("1", 1)]
    assert well.path == plate / "C" / "04"
    image = well.image("1")
    assert image in well.images
    assert image.live == plate / "C" / "04" / "1"
    assert image.registered == plate / "C" / "04" / "1_registered"
    assert image.staged == plate.parent / "p.zarr.staging" / "C" / "04" / "1"
    assert image.backup == plate.parent / "p.zarr.staging" / "C" / "04" / "1.original"
    assert image.destination(overwrite=True) == image.live
    assert image.destination(overwrite=False) == image.registered
    assert well.staging == plate.parent / "p.zarr.staging" / "C" / "04"
    assert staging_root(plate) in well.staging.parents
    with pytest.raises(PlateError, match=r"no well X/1; it has \['B/03', 'C/04'\]"):
        opened.well("X", "1")


@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe_names_are_refused_wherever_they_come_from(tmp_path: Path, name: object) -> None:
    with pytest.raises(PlateError, match=r"^a row is named .* not safe as a path"):
        safe_name(name, "a row")
    plate_ = tmp_path / "p.zarr"
    if isinstance(name, str) and name not in ("", ".") and "/" not in name:
        for entry in (f"{name}/03", f"B/{name}"):
            write(plate_, {"plate": {"wells": [{"path": entry}]}})
            with pytest.raises(PlateError, match="a row or column is named"):
                Plate.open(plate_)
    write(plate_ / "B" / "03", {"well": {"images": [{"path": name}]}})
    with pytest.raises(PlateError, match="an image is named"):
        Well.read(plate_, "B", "03")
    if isinstance(name, str):
        with pytest.raises(PlateError, match="not safe as a path"):
            Well(plate_, "B", "03").image(name)


@pytest.mark.parametrize("path", ["B", "B/03/0", "/B/03", "../B/03", "B/../03", "", None, 7, "B/"])
def test_wells_that_are_not_row_and_column_are_refused(tmp_path: Path, path: object) -> None:
    write(tmp_path / "p.zarr", {"plate": {"wells": [{"path": path}]}})
    with pytest.raises(PlateError):
        Plate.open(tmp_path / "p.zarr")


def test_links_out_of_the_plate_are_refused(plate: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "0").mkdir(parents=True)
    shutil.rmtree(plate / "B" / "03" / "1")
    (plate / "B" / "03" / "1").symlink_to(outside)
    with pytest.raises(PlateError, match="leads out of the plate"):
        Plate.open(plate).well("B", "03").image("1")
    shutil.rmtree(plate / "C" / "04")
    (plate / "C" / "04").symlink_to(outside)
    with pytest.raises(PlateError, match="leads out of the plate"):
        Plate.open(plate)


def test_a_link_out_of_the_staging_folder_is_refused(plate: Path, tmp_path: Path) -> None:
    # What lies in staging is replaced and removed: nothing of it may be somewhere else.
    well = Plate.open(plate).well("B", "03")
    staging_root(plate).mkdir()
    (tmp_path / "precious" / "03").mkdir(parents=True)
    (staging_root(plate) / "B").symlink_to(tmp_path / "precious")
    with pytest.raises(PlateError, match=r"is a link to .*precious"):
        well.read_again()


def test_a_plate_may_be_reached_through_a_link(plate: Path, tmp_path: Path) -> None:
    (tmp_path / "link.zarr").symlink_to(plate)
    assert Plate.open(tmp_path / "link.zarr").well("B", "03").image("1").live.is_dir()


def test_images_that_platefuse_added_are_not_acquired_ones(plate: Path) -> None:
    images = [{"path": p, "acquisition": 0} for p in ("0", "0_registered", "x_registered")]
    write(plate / "B" / "03", {"well": {"images": images}})
    (plate / "B" / "03" / "zarr.json").unlink(missing_ok=True)
    well = Well.read(plate, "B", "03")
    assert [image.name for image in well.images] == ["0", "x_registered"]
    assert [image.name for image in well.listed_images] == ["0", "0_registered", "x_registered"]


@pytest.mark.parametrize(
    ("images", "image", "expected"),
    [
        ([("0", 0), ("1", 1)], "1", "0"),
        ([("0", 0), ("0_illum", 0), ("1", 1), ("1_illum", 1)], "1_illum", "0_illum"),
        ([("0", 0), ("0_illum", 0), ("1", 1), ("1_illum", 1)], "1", "0"),
        ([("0_a_b", 0), ("0_b", 0), ("1_a_b", 1)], "1_a_b", "0_a_b"),
        ([("0", 0), ("0_illum", 0), ("1_other", 1)], "1_other", r"suffix 'other'"),
        ([("0_x", 0), ("9_x", 0), ("1_x", 1)], "1_x", "not exactly one"),
        (
            [("1", 1), ("2", 2)],
            "1",
            r"acquisition 0 \(the well's metadata has acquisitions \[1, 2\]",
        ),
        ([("0", None), ("1", 1)], "1", "0"),
    ],
)
def test_the_reference_is_the_image_of_the_reference_acquisition(
    tmp_path: Path, images: list[tuple[str, int | None]], image: str, expected: str
) -> None:
    entries = [{"path": p} | ({} if a is None else {"acquisition": a}) for p, a in images]
    write(tmp_path / "p.zarr" / "B" / "03", {"well": {"images": entries}})
    well = Well.read(tmp_path / "p.zarr", "B", "03")
    if expected in dict(images):
        assert well.reference_image(image, 0).name == expected
    else:
        with pytest.raises(PlateError, match=expected):
            well.reference_image(image, 0)


@pytest.mark.parametrize("acquisition", [True, "1", 1.5, [0]])
def test_an_acquisition_is_an_integer(tmp_path: Path, acquisition: object) -> None:
    entry = {"path": "0", "acquisition": acquisition}
    write(tmp_path / "p.zarr" / "B" / "03", {"well": {"images": [entry]}})
    with pytest.raises(PlateError, match="expected an integer") as raised:
        Well.read(tmp_path / "p.zarr", "B", "03")
    assert ("write it without quotes" in str(raised.value)) == (acquisition == "1")


A_PLATE = {"plate": {"wells": [{"path": "B/03"}]}}


@pytest.mark.parametrize(
    ("given", "attributes", "message"),
    [
        ("none.zarr", {}, "no such plate in {cwd}, where relative paths start .* Correct the path"),
        ("s3://bucket/p.zarr", {}, "this is an address; .* on this machine"),
        ("p.zarr/.zattrs", {"p.zarr": A_PLATE}, "this is a file; expected the folder"),
        ("my.yaml", {}, "looks like a config; .* Give the path that it names"),
        ("p.zarr/B", {"p.zarr": A_PLATE}, "a part of the plate {cwd}/p.zarr: give that path"),
        (
            "p.zarr/B/03/0",
            {"p.zarr": A_PLATE, "p.zarr/B/03/0": {"multiscales": []}},
            "no `plate` section.* a part of the plate {cwd}/p.zarr: give that path",
        ),
        ("a", {"a/p.zarr": A_PLATE}, r"There is one in it: a/p\.zarr\. Give its path"),
        ("0.zarr", {"0.zarr": {"multiscales": []}}, "It is a single image, and .* needs a plate"),
        ("a", {"a": {"x": 1}}, "Give the folder that holds the `plate` metadata"),
        ("p.zarr/..", {}, "Images in other formats must be converted to OME-Zarr first"),
        ("a", {"a": {"plate": []}}, "Give the folder that holds the `plate` metadata"),
    ],
)
def test_what_is_given_in_the_place_of_a_plate_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: str,
    attributes: dict[str, dict[str, Any]],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, content in attributes.items():
        write(tmp_path / folder, content)
    (tmp_path / "p.zarr" / "B").mkdir(parents=True, exist_ok=True)
    (tmp_path / "my.yaml").touch()
    with pytest.raises(PlateError, match=message.format(cwd=tmp_path)):
        Plate.open(given)


def test_a_missing_plate_and_what_is_no_plate_are_errors(tmp_path: Path) -> None:
    with pytest.raises(PlateError, match=r"missing\.zarr: no such plate \("):
        Plate.open(tmp_path / "missing.zarr")
    with pytest.raises(PlateError, match="not an OME-Zarr group"):
        Plate.open(tmp_path)
    with pytest.raises(PlateError, match=r"B/03: no such folder\. .*take it off"):
        Well.read(tmp_path, "B", "03")
    write(tmp_path, {"well": {}})
    with pytest.raises(PlateError, match="not an OME-Zarr plate"):
        Plate.open(tmp_path)
    (tmp_path / ".zattrs").write_text("{")
    with pytest.raises(PlateError, match="broken JSON"):
        Plate.open(tmp_path)
    (tmp_path / ".zattrs").write_bytes(b"\xff\xfe")
    with pytest.raises(PlateError, match="broken JSON"):
        Plate.open(tmp_path)


def places(document: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value in a JSON document."""
    found = [at] if at else []
    items: Any = ()
    if isinstance(document, dict | list):
        items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in items:
        found += places(value, (*at, key))
    return found


def spoilt(document: Any, at: tuple[Any, ...], value: object) -> Any:
    """The document with another value at one place."""
    new = copy.deepcopy(document)
    inner = new
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = value
    return new


junk: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 2.5, 10**30, "", "x", "..", [], [None], [1, "a"], {}, {"a": 1}, [[]], [{}]]
)


@settings(max_examples=200)
@given(
    data=st.data(),
    version=st.sampled_from(["0.4", "0.5"]),
    broken=st.sampled_from(["plate", "well"]),
    value=junk,
)
def test_whatever_stands_in_the_metadata_it_is_read_or_it_is_our_error(
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    version: str,
    broken: str,
    value: object,
) -> None:
    path = tmp_path_factory.mktemp("plate") / "p.zarr"
    original: Any = PLATE if broken == "plate" else WELL
    if version == "0.5":
        original = {"attributes": {"ome": original}}
    document = spoilt(original, data.draw(st.sampled_from(places(original))), value)
    name = ".zattrs" if version == "0.4" else "zarr.json"
    write(path, PLATE, version)
    for well in ("B/03", "C/04"):
        write(path / well, WELL, version)
    (path / ("" if broken == "plate" else "B/03") / name).write_text(json.dumps(document))

    def use() -> None:
        for well in Plate.open(path).read_wells():
            for image in well.images:
                well.image(image.name)
                well.reference_image(image.name, 0)

    ours(use)


def ours(use: Callable[[], object]) -> None:
    """Call it; any error but ours fails the test."""
    with contextlib.suppress(PlatefuseError):
        use()


def test_attributes_that_are_no_object_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "zarr.json").write_text('{"attributes": [1]}')
    with pytest.raises(PlateError):
        read_attributes(tmp_path)


def test_reading_a_plate_imports_no_array_library(plate: Path) -> None:
    # Snakemake reads plates in every process of a run.
    code = (
        "import sys; from platefuse.ngff.plate import Plate;"
        f"[w.images for w in Plate.open({str(plate)!r}).read_wells()];"
        "sys.exit(' '.join({'numpy', 'zarr', 'pandas', 'dask', 'xarray'} & set(sys.modules)) or 0)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")

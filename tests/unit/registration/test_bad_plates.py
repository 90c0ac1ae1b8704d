"""Plates that cannot be registered: one message says why, and no byte of the plate changes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import pytest

from platefuse import write_registered_zarr
from platefuse.errors import PlatefuseError
from platefuse.ngff.plate import Plate
from platefuse.registration.request import RegistrationRequest
from platefuse.testing import Truth, make_plate
from tests.checks import check_plate
from tests.conftest import ExamplePlate, PlateFactory
from tests.damage import (
    SPEC,
    TABLE,
    array_file,
    change,
    chunk_of,
    group_file,
    refused,
    register,
    state,
    with_attributes,
)
from tests.truth import assert_registered

Damage = Callable[[Path], object]


@pytest.fixture(params=["0.4", "0.5"])
def plate(request: pytest.FixtureRequest, example_plate: PlateFactory) -> ExamplePlate:
    """A plate of one well and two acquisitions, in both versions of OME-NGFF."""
    return example_plate(replace(SPEC, ngff_version=request.param))


@pytest.fixture
def plate_04(example_plate: PlateFactory) -> ExamplePlate:
    """The same in the older version alone, where the version makes no difference."""
    return example_plate(SPEC)


def in_image(part: str, how: Callable[[Any], object]) -> Damage:
    """Change the entry of `multiscales` of an image or label."""
    return lambda well: with_attributes(well / part, lambda a: how(a["multiscales"][0]))


def scaled(value: Any) -> Callable[[Any], object]:
    def how(entry: Any) -> None:
        for dataset in entry["datasets"]:
            dataset["coordinateTransformations"][0]["scale"][-1] = value

    return how


def both(how: Callable[[Any], object]) -> Damage:
    """Change the entry of `multiscales` of both acquisitions."""
    return lambda well: [in_image(image, how)(well) for image in ("0", "1")]


def in_array(part: str, key: str, value: object) -> Damage:
    return lambda well: change(array_file(well / part), lambda c: c.__setitem__(key, value))


def listed(group: str, key: str, name: str) -> Damage:
    return lambda well: with_attributes(well / group, lambda a: a.__setitem__(key, [name]))


def image_listed(name: str) -> Damage:
    entry = {"path": name, "acquisition": 2}
    return lambda well: with_attributes(well, lambda a: a["well"]["images"].append(entry))


def pickled(array: Path) -> None:
    """Have an array decoded by pickle, which would run what the file says."""
    if array_file(array).name == ".zarray":
        change(array_file(array), lambda c: c.__setitem__("filters", [{"id": "pickle"}]))
    else:
        codecs = [{"name": "numcodecs.pickle", "configuration": {}}]
        change(array_file(array), lambda c: c.__setitem__("codecs", codecs))


def complex_pixels(metadata: Any) -> None:
    key, value = ("dtype", "<c8") if "dtype" in metadata else ("data_type", "complex64")
    metadata[key] = value


def no_acquisitions(well: Path) -> None:
    def how(attributes: Any) -> None:
        for entry in attributes["well"]["images"]:
            del entry["acquisition"]

    with_attributes(well, how)


METADATA: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "pixel size of 0": (in_image("1", scaled(0)), ("B/03/1", "0]; expected 4 numbers above zero")),
    "pixel size below 0": (in_image("1", scaled(-1)), ("-1]; expected 4 numbers above zero",)),
    "pixel size of nan": (in_image("1", scaled(float("nan"))), ("nan]; expected 4 numbers",)),
    "pixel size in nanometres": (
        both(scaled(650.0)),
        (f"{TABLE}: ROI 'FOV_1' is", "a pixel is 650 µm. Expected at least one pixel"),
    ),
    "pixel size of next to nothing": (
        both(scaled(1e-308)),
        ("ROI 'FOV_1' is", "a pixel is 1e-308 µm", "Check the table and the pixel"),
    ),
    "pixel size of the other objective": (
        in_image("1", scaled(0.325)),
        ("B/03/1: its pixels are 0.325 µm in x", "B/03/0 are 0.65 µm", "or resample the image"),
    ),
    "no pixel size": (
        in_image("1", lambda e: [d.pop("coordinateTransformations") for d in e["datasets"]]),
        ("B/03/1", "scale of '0' is None", "expected 4 numbers"),
    ),
    "pixel size of a label": (in_image("1/labels/nuclei", scaled(0)), ("1/labels/nuclei", "0]")),
    "seconds for lengths": (
        in_image("1", lambda e: e["axes"][-1].__setitem__("unit", "second")),
        ("B/03/1", "axis x", "'second'", "not a length", "micrometer"),
    ),
    "seconds in a label": (
        in_image("1/labels/nuclei", lambda e: e["axes"][-1].__setitem__("unit", "second")),
        ("1/labels/nuclei", "axis x", "'second'"),
    ),
    "levels in the wrong order": (
        in_image("1", lambda e: e["datasets"].reverse()),
        ("B/03/1: level 0 has", "Expected the levels from the finest to the coarsest"),
    ),
    "pixels that are no numbers": (
        lambda well: change(array_file(well / "1/0"), complex_pixels),
        ("B/03/1/0", "data type '", "expected integers, floats or booleans"),
    ),
    "axes of another number": (
        in_image("1", lambda e: e["axes"].pop(0)),
        ("B/03/1", "the scale of '0' is", "expected 3 numbers"),
    ),
    "a label that is too small": (
        lambda well: change(
            array_file(well / "1/labels/nuclei/0"), lambda c: c["shape"].__setitem__(-1, 44)
        ),
        ("covers pixels", "in x", "has 44"),
    ),
    "a label of other axes": (
        in_array("1/labels/nuclei/0", "shape", [4]),
        ("1/labels/nuclei/0", "[4]; expected 3 lengths"),
    ),
    "no acquisitions": (no_acquisitions, ("B/03", "acquisition 0", "Give each its `acquisition`")),
    "no images": (
        lambda well: with_attributes(well, lambda a: a["well"]["images"].clear()),
        ("B/03", "no image of the reference acquisition 0"),
    ),
    "an image's name": (image_listed("../../x"), ("an image is named '../../x'", "not safe")),
    "an image's path": (image_listed("/etc"), ("an image is named '/etc'", "not safe")),
    "a label's name": (
        listed("1/labels", "labels", "../../0/labels/nuclei"),
        ("1/labels", "a part of the label '../../0/labels/nuclei'", "not safe"),
    ),
    "a label's path": (listed("1/labels", "labels", "/etc"), ("a part of the label '/etc'",)),
    "a level's name": (
        in_image("1", lambda e: e["datasets"][0].__setitem__("path", "../0/0")),
        ("a part of a level's path is named '..'", "not safe"),
    ),
    "a level's path": (
        in_image("1", lambda e: e["datasets"][0].__setitem__("path", "/etc")),
        ("a part of a level's path is named '/'", "not safe"),
    ),
}


@pytest.mark.parametrize("fault", METADATA)
def test_metadata_that_cannot_be_used(plate: ExamplePlate, fault: str) -> None:
    damage, said = METADATA[fault]
    damage(plate.path / "B" / "03")
    refused(plate.path, *said)


def test_an_image_that_the_well_does_not_list_gets_none_beside_it(plate: ExamplePlate) -> None:
    well = plate.path / "B" / "03"
    with_attributes(well, lambda a: a["well"]["images"].pop())
    before = state(plate.path.parent)
    with pytest.raises(PlatefuseError, match=r"lists the images \['0'\], and not '1'"):
        register(plate.path, overwrite_input=False)
    assert state(plate.path.parent) == before


@pytest.mark.parametrize("image", ["0", "1"])
@pytest.mark.parametrize("name", ["../../0/tables/x", "/etc"])
def test_names_of_tables_that_lead_elsewhere(plate_04: ExamplePlate, image: str, name: str) -> None:
    listed(f"{image}/tables", "tables", name)(plate_04.path / "B" / "03")
    refused(plate_04.path, f"{image}/tables", f"a table is named {name!r}", "not safe", staged=True)


@pytest.mark.parametrize(
    "part", ["", "1", "1/labels/nuclei", f"1/tables/{TABLE}", f"0/tables/{TABLE}"]
)
@pytest.mark.parametrize("text", ['{"a": ', "[1]"])
def test_attributes_that_are_no_json_object(plate: ExamplePlate, part: str, text: str) -> None:
    file = group_file(plate.path / "B" / "03" / part)
    file.write_text(text)
    refused(plate.path, str(file), "JSON")


@pytest.mark.parametrize("part", ["1/tables", "0/tables", "1/tables/nuclei_features"])
def test_tables_whose_attributes_are_no_json(plate: ExamplePlate, part: str) -> None:
    file = group_file(plate.path / "B" / "03" / part)
    file.write_text('{"a": ')
    refused(plate.path, str(file), "broken JSON", staged=True)


@pytest.mark.parametrize("part", ["1/0", "1/1", "1/labels/nuclei/0", f"1/tables/{TABLE}/X"])
def test_arrays_whose_metadata_are_no_json(plate: ExamplePlate, part: str) -> None:
    array_file(plate.path / "B" / "03" / part).write_text('{"a": ')
    refused(plate.path, part.removesuffix("/X"))


@pytest.mark.parametrize("part", ["1/0", "1/labels/nuclei/0", f"1/tables/{TABLE}/X"])
def test_nothing_is_unpickled(plate: ExamplePlate, part: str) -> None:
    pickled(plate.path / "B" / "03" / part)
    refused(plate.path, part.removesuffix("/X"), "pickle", staged=True)


@pytest.mark.parametrize("part", ["1/0", "1/labels/nuclei/0"])
@pytest.mark.parametrize("content", [b"", b"broken"])
def test_a_broken_chunk_is_named_and_what_is_left_does_no_harm(
    plate: ExamplePlate, part: str, content: bytes
) -> None:
    chunk = chunk_of(plate.path / "B" / "03" / part)
    whole = chunk.read_bytes()
    chunk.write_bytes(content)
    refused(plate.path, f"{chunk}: the chunk cannot be read", "Restore it", staged=True)
    chunk.write_bytes(whole)
    register(plate.path)
    assert_registered(plate.path, plate.truth, "B/03", "1")
    assert not plate.path.with_name("plate.zarr.staging").exists()


@pytest.mark.parametrize("image", ["0", "1"])
def test_a_broken_chunk_of_a_table_is_named(plate_04: ExamplePlate, image: str) -> None:
    table = plate_04.path / "B" / "03" / image / "tables" / TABLE
    chunk_of(table / "X").write_bytes(b"broken")
    refused(plate_04.path, f"{table}: the anndata table cannot be read", "Write it again")


# --- a full disk -----------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 4 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("only root can mount a small tmpfs here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="session")
def incompressible(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    """A plate whose files all take up space."""
    path = tmp_path_factory.mktemp("noise") / "p.zarr"
    return path, make_plate(path, replace(SPEC, noise=True))


@pytest.mark.parametrize("pages", [0, 8, 20, 60, 100])
def test_on_a_full_disk_the_plate_stays_and_a_second_run_is_exact(
    small_disk: Path, incompressible: tuple[Path, Truth], pages: int
) -> None:
    original, truth = incompressible
    plate = small_disk / "p.zarr"
    shutil.copytree(original, plate)
    before, page = state(plate), os.sysconf("SC_PAGE_SIZE")
    free = shutil.disk_usage(small_disk).free
    assert free > pages * page, "the plate has outgrown the disk of this test"
    (small_disk / "ballast").write_bytes(bytes(free - pages * page))
    with pytest.raises((PlatefuseError, OSError), match=r"No space left|os error 28"):
        register(plate)
    assert state(plate) == before
    (small_disk / "ballast").unlink()
    for image in ("1", "0"):
        register(plate, image)
        assert_registered(plate, truth, "B/03", image)
    assert sorted(p.name for p in small_disk.iterdir()) == ["p.zarr"]


def test_a_plate_without_wells(plate: ExamplePlate) -> None:
    with_attributes(plate.path, lambda a: a["plate"].__setitem__("wells", []))
    with pytest.raises(PlatefuseError, match=r"lists no wells \(`plate\.wells` is \[\]\)"):
        Plate.open(plate.path)


def test_a_full_disk_is_an_error_of_ours_whatever_is_written(
    small_disk: Path, incompressible: tuple[Path, Truth]
) -> None:
    plate = small_disk / "p.zarr"
    shutil.copytree(incompressible[0], plate)
    (small_disk / "ballast").write_bytes(bytes(shutil.disk_usage(small_disk).free))
    with pytest.raises(PlatefuseError, match=r"[Ff]ree"):
        register(plate)
    image = incompressible[0] / "B" / "03" / "1"
    table = anndata.read_zarr(image / "tables" / "FOV_ROI_table")
    with pytest.raises(PlatefuseError, match=r"[Ff]ree"):
        write_registered_zarr(image, small_disk / "new.zarr", table, table, 2)


def test_a_broken_list_of_labels(plate_04: ExamplePlate) -> None:
    file = group_file(plate_04.path / "B" / "03" / "1" / "labels")
    file.write_text('{"a": ')
    refused(plate_04.path, str(file), "broken JSON")


def test_all_tables_are_checked_before_anything_is_written(plate_04: ExamplePlate) -> None:
    listed("1/tables", "tables", "/etc")(plate_04.path / "B" / "03")
    refused(plate_04.path, "a table is named '/etc'")


def test_a_label_that_is_too_small_is_named(plate_04: ExamplePlate) -> None:
    label = plate_04.path / "B" / "03" / "1" / "labels" / "nuclei"
    change(array_file(label / "0"), lambda c: c["shape"].__setitem__(-1, 44))
    refused(plate_04.path, "labels/nuclei")


def test_a_plate_that_is_not_there_is_not_begun(tmp_path: Path) -> None:
    with pytest.raises(PlatefuseError):
        register(tmp_path / "mistyped" / "plate.zarr")
    assert not list(tmp_path.iterdir())


# --- axes, and what lies in the way ----------------------------------------------------------


def test_acquisitions_of_other_axes(
    plate: ExamplePlate, example_plate: PlateFactory, request: pytest.FixtureRequest
) -> None:
    version = request.node.callspec.params["plate"]
    flat = example_plate(replace(SPEC, axes="cyx", ngff_version=version), "flat.zarr")
    image = plate.path / "B" / "03" / "1"
    shutil.rmtree(image)
    shutil.copytree(flat.path / "B" / "03" / "1", image)
    refused(plate.path, f"{image}: the axes are 'cyx', but 'czyx' in the reference", "B/03/0")


@pytest.mark.parametrize("part", ["", "B", "B/03"])
def test_a_file_where_new_images_are_made(plate_04: ExamplePlate, part: str) -> None:
    file = plate_04.path.with_name("plate.zarr.staging") / part
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("mine")
    said = f"{file} is a file, and has the name of a folder that platefuse makes"
    refused(plate_04.path, said, "Move it away")
    with pytest.raises(PlatefuseError, match="is a file"):
        check_plate(Plate.open(plate_04.path), RegistrationRequest(TABLE))

"""What a registered image keeps of its original besides pixels and tables."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platefuse.errors import PlatefuseError
from platefuse.ngff.plate import Plate
from platefuse.registration.request import RegistrationRequest
from platefuse.testing import PlateSpec, make_plate
from platefuse.workflow.checks.preflight import check_well_inputs
from platefuse.workflow.config.model import Config, read_config
from tests.access import access_in, share
from tests.conftest import ExamplePlate, PlateFactory
from tests.damage import (
    SPEC,
    TABLE,
    array_file,
    chunk_of,
    refused,
    register,
    state,
    with_attributes,
)

REQUEST = RegistrationRequest(TABLE)


@pytest.fixture(params=["0.4", "0.5"])
def plate(request: pytest.FixtureRequest, example_plate: PlateFactory) -> ExamplePlate:
    return example_plate(replace(SPEC, ngff_version=request.param))


def config_of(plate: Path) -> Config:
    return read_config({"plates": {"p": str(plate)}, "fusion": {"enabled": False}})


def write(file: Path, text: str = "mine") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


STRAY = [
    "0/note.txt",
    "0/.DS_Store",
    "0/99/0/0/0",
    "1/0/note.txt",
    "0/7.0.0.0",
    "0/c/0/note.txt",
    "labels/nuclei/0/note.txt",
    "labels/nuclei/1/.hidden",
    "labels/note.txt",
    "labels/mine/note.txt",
    "tables/FOV_ROI_table/note.txt",
    "tables/FOV_ROI_table/obs/note.txt",
    "tables/FOV_ROI_table/X/note.txt",
    "tables/FOV_ROI_table/mine/deep/note.txt",
    "tables/nuclei_features/note.txt",
    "tables/note.txt",
    "tables/mine/note.txt",
    "mine/deep/note.txt",
    ".hidden",
]


def test_files_of_a_user_are_in_the_registered_image(plate: ExamplePlate) -> None:
    image = plate.path / "B" / "03" / "1"
    for name in STRAY:
        write(image / name, name)
    (image / "0" / "link").symlink_to(write(image / "note.txt"))
    register(plate.path)
    assert {name: (image / name).read_text() for name in STRAY} == {name: name for name in STRAY}
    assert (image / "0" / "link").read_text() == "mine"


def test_a_note_in_a_table_that_moves_with_the_pixels_is_kept(plate: ExamplePlate) -> None:
    image = plate.path / "B" / "03" / "1"
    own = image / "tables" / "own"
    shutil.copytree(image / "tables" / "FOV_ROI_table", own)
    for name in ("note.txt", "var/note.txt"):
        write(own / name)
    register(plate.path)
    assert (own / "note.txt").read_text() == (own / "var" / "note.txt").read_text() == "mine"


def test_files_and_arrays_next_to_nested_levels_are_kept(plate: ExamplePlate) -> None:
    image = plate.path / "B" / "03" / "1"
    (image / "s").mkdir()
    for level in ("0", "1"):
        (image / level).rename(image / "s" / level)

    def nested(attributes: Any) -> None:
        for dataset in attributes["multiscales"][0]["datasets"]:
            dataset["path"] = f"s/{dataset['path']}"

    with_attributes(image, nested)
    shutil.copytree(image / "s" / "0", image / "s" / "raw")
    write(image / "s" / "note.txt")
    before = state(image / "s" / "raw")
    register(plate.path)
    assert (image / "s" / "note.txt").read_text() == "mine"
    assert state(image / "s" / "raw") == before


def both_formats(image: Path) -> None:
    level = image / "0"
    old = json.loads(array_file(level).read_text())
    if "dtype" in old:
        new = {"zarr_format": 3, "node_type": "array", "data_type": "uint16"}
        write(level / "zarr.json", json.dumps({**new, "shape": old["shape"]}))
    else:
        new = {"zarr_format": 2, "chunks": [1, 1, 2, 2], "dtype": "<u2"}
        write(level / ".zarray", json.dumps({**new, "shape": old["shape"]}))


def further_entry(image: Path) -> None:
    shutil.copytree(image / "0", image / "other")

    def add(attributes: Any) -> None:
        entry = json.loads(json.dumps(attributes["multiscales"][0]))
        entry["datasets"] = [{**entry["datasets"][0], "path": "other"}]
        attributes["multiscales"].append(entry)

    with_attributes(image, add)


def nested_level(image: Path) -> None:
    (image / "1").rename(image / "0" / "s")
    with_attributes(image, lambda a: a["multiscales"][0]["datasets"][1].__setitem__("path", "0/s"))


def replaced(name: str) -> Callable[[Path], object]:
    def damage(image: Path) -> None:
        shutil.rmtree(image / name)
        write(image / name)

    return damage


REFUSED: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "two formats": (both_formats, ("B/03/1/0", "both Zarr formats", "zarr.json")),
    "further entry": (further_entry, ("entry 1 of `multiscales`", "['other']")),
    "a level in a level": (nested_level, ("the level '0/s' lies in the level '0'",)),
    "labels is a file": (replaced("labels"), ("labels is a file",)),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_would_be_lost_is_refused_before_the_first_job(
    plate: ExamplePlate, fault: str
) -> None:
    damage, said = REFUSED[fault]
    damage(plate.path / "B" / "03" / "1")
    refused(plate.path, *said)
    before = state(plate.path.parent)
    with pytest.raises(PlatefuseError) as caught:
        check_well_inputs(Plate.open(plate.path).well("B", "03"), config_of(plate.path))
    assert all(part in str(caught.value) for part in said)
    assert state(plate.path.parent) == before


def test_a_further_entry_about_the_same_levels_is_kept(plate: ExamplePlate) -> None:
    image = plate.path / "B" / "03" / "1"
    with_attributes(image, lambda a: a["multiscales"].append({**a["multiscales"][0], "name": "b"}))
    register(plate.path)
    found: list[str] = []
    with_attributes(image, lambda a: found.append(a["multiscales"][1]["name"]))
    assert found == ["b"]


def test_two_notes_of_one_name_are_refused(plate: ExamplePlate) -> None:
    well = plate.path / "B" / "03"
    write(well / "0/tables/FOV_ROI_table/note.txt", "of the reference")
    write(well / "1/tables/FOV_ROI_table/note.txt", "mine")
    refused(plate.path, "1/tables/FOV_ROI_table/note.txt", "Rename one of the two")


@pytest.mark.parametrize("name", ["0/pipe", "tables/pipe"])
def test_a_pipe_is_refused(example_plate: PlateFactory, name: str) -> None:
    plate = example_plate(SPEC)
    path = plate.path / "B" / "03" / "1" / name
    path.parent.mkdir(exist_ok=True)
    os.mkfifo(path)
    with pytest.raises(PlatefuseError, match="pipe"):
        register(plate.path)
    assert not (plate.path.parent / "plate.zarr.staging").exists()


@pytest.mark.parametrize("level", ["0", "1"])
def test_a_pipe_in_the_place_of_a_chunk_is_refused(example_plate: PlateFactory, level: str) -> None:
    plate = example_plate(SPEC)
    chunk = chunk_of(plate.path / "B" / "03" / "1" / level)
    chunk.unlink()
    os.mkfifo(chunk)
    with pytest.raises(PlatefuseError, match="expected a file"):
        register(plate.path)


NAMES = st.sampled_from(
    ["note.txt", ".hidden", "c", "0", "1", "9", "0.0.0.0", "c.0", "X", "Zellen ä", "a b", "mine"]
)
PLACES = st.sampled_from(
    "|0|1|labels|labels/nuclei|labels/nuclei/0|tables|tables/FOV_ROI_table|mine|0/0|0/0/1|0/c/0|"
    f"tables/nuclei_features/obs|tables/{TABLE}/X".split("|")
)


@settings(max_examples=8)
@given(
    stray=st.lists(st.tuples(PLACES, NAMES, st.binary(max_size=9)), min_size=1, max_size=6),
    version=st.sampled_from(["0.4", "0.5"]),
)
def test_everything_of_the_user_is_there_or_nothing_is_changed(
    tmp_path_factory: pytest.TempPathFactory, stray: list[tuple[str, str, bytes]], version: str
) -> None:
    path = tmp_path_factory.mktemp("law") / "p.zarr"
    spec: PlateSpec = replace(SPEC, ngff_version=version, field_shape=(20, 22), levels=2)
    make_plate(path, replace(spec, tables=("FOV_ROI_table", TABLE, "nuclei_features")))
    image = path / "B" / "03" / "1"
    made = set(state(image))
    for place, name, content in stray:
        file = image / place / name
        if not any(p.is_file() for p in file.parents) and not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    before = state(path.parent)
    users = {n: c for n, c in state(image).items() if n not in made and c is not None}
    try:
        register(path)
    except PlatefuseError:
        assert state(path.parent) == before
        return
    after = state(image)
    chunks = {n for n in users if _is_chunk(image, n)}
    assert {n: after.get(n) for n in users if n not in chunks} == {
        n: c for n, c in users.items() if n not in chunks
    }


def _is_chunk(image: Path, name: str) -> bool:
    """Whether a file has the place of a chunk of the image, the label or a table."""
    for array in [p.parent for p in image.rglob("*") if p.name in (".zarray", "zarr.json")]:
        if not (image / name).is_relative_to(array):
            continue
        content = json.loads(
            next(f for f in (array / "zarr.json", array / ".zarray") if f.is_file()).read_text()
        )
        if "shape" not in content:
            continue
        encoding = content.get("chunk_key_encoding")
        separator = (
            encoding["configuration"]["separator"]
            if encoding
            else content.get("dimension_separator", ".")
        )
        key = (image / name).relative_to(array).as_posix()
        parts = key.removeprefix(f"c{separator}").split(separator)
        is_key = len(parts) == len(content["shape"]) and all(p.isdigit() for p in parts)
        if is_key and key.startswith("c") == bool(encoding):
            return True
    return False


@pytest.fixture
def _private() -> Iterator[None]:
    old = os.umask(0o077)
    yield
    os.umask(old)


@pytest.mark.usefixtures("_private")
@pytest.mark.parametrize("in_place", [True, False])
def test_a_shared_image_stays_shared(plate: ExamplePlate, *, in_place: bool) -> None:
    share(plate.path)
    image = plate.path / "B" / "03" / "1"
    before = access_in(image)
    register(plate.path, overwrite_input=in_place)
    after = access_in(image if in_place else image.with_name("1_registered"))
    assert {name: after[name] for name in before.keys() & after.keys()} == {
        name: before[name] for name in before.keys() & after.keys()
    }
    for name in after.keys() - before.keys():
        assert after[name][1:3] in {found[1:3] for found in before.values()}
    well = access_in(image.parent)
    assert all(mode & 0o040 for _, _, mode, _ in well.values())

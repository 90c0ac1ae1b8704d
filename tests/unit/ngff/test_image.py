from __future__ import annotations

import contextlib
import copy
import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platefuse.errors import ImageError, PlatefuseError
from platefuse.ngff.create import copy_metadata, derive_pyramid, level_shapes
from platefuse.ngff.image import (
    Image,
    Multiscale,
    check_pixel_sizes,
    foreign_files,
)
from platefuse.ngff.labels import label_names
from platefuse.ngff.metadata import update_attributes

AXES = ("yx", "zyx", "cyx", "czyx", "tyx", "tzyx", "tcyx", "tczyx")


def entry_of(axes: str, levels: int = 2, unit: str | None = "micrometer") -> dict[str, Any]:
    def axis(name: str) -> dict[str, Any]:
        kinds: dict[str, dict[str, Any]] = {"t": {"type": "time"}, "c": {"type": "channel"}}
        space = {"type": "space"} | ({} if unit is None else {"unit": unit})
        return {"name": name, **kinds.get(name, space)}

    def scale(level: int) -> list[float]:
        of = {"z": 2.0, "y": 0.5 * 2**level, "x": 0.25 * 2**level}
        return [of.get(a, 1.0) for a in axes]

    datasets = [
        {
            "path": str(level),
            "coordinateTransformations": [{"type": "scale", "scale": scale(level)}],
        }
        for level in range(levels)
    ]
    return {"version": "0.4", "axes": [axis(a) for a in axes], "datasets": datasets}


def write(
    path: Path, entry: dict[str, Any], shapes: list[tuple[int, ...]], version: str = "0.4"
) -> Path:
    """The metadata of an image, arrays without a chunk."""
    path.mkdir(parents=True, exist_ok=True)
    attributes = {"multiscales": [entry], "omero": {"channels": []}}
    if version == "0.4":
        (path / ".zgroup").write_text('{"zarr_format": 2}')
        (path / ".zattrs").write_text(json.dumps({**attributes, "foreign": 1}))
    else:
        content = {"attributes": {"ome": {"version": "0.5", **attributes}, "foreign": 1}}
        (path / "zarr.json").write_text(json.dumps({"node_type": "group", **content}))
    for dataset, shape in zip(entry["datasets"], shapes, strict=True):
        array = path / dataset["path"]
        array.mkdir(parents=True)
        (array / (".zarray" if version == "0.4" else "zarr.json")).write_text(
            json.dumps(
                {"shape": list(shape), "zarr_format": 2, "dtype": "<u2"}
                if version == "0.4"
                else {"shape": list(shape), "zarr_format": 3, "data_type": "uint16"}
            )
        )
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", AXES)
def test_every_combination_of_axes_is_read(tmp_path: Path, axes: str, version: str) -> None:
    shape = tuple({"t": 2, "c": 3, "z": 4, "y": 10, "x": 13}[a] for a in axes)
    coarse = (*shape[:-2], 5, 6)
    image = Multiscale.read(write(tmp_path, entry_of(axes), [shape, coarse], version))
    assert image.axes == axes
    assert image.spatial == axes.replace("t", "").replace("c", "")
    sizes = {"z": 2.0, "y": 0.5, "x": 0.25}
    assert image.pixel_size_um == {a: sizes[a] for a in image.spatial}
    assert image.paths == ("0", "1")
    assert image.shapes == (shape, coarse)
    assert image.factors == ((*(1,) * (len(axes) - 2), 2, 2),)


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        *(
            (unit, 1)
            for unit in (None, "", "micrometer", "um", "µm", "μm", "micron", "Micrometres")
        ),
        ("nanometer", 1e-3),
        ("nm", 1e-3),
        ("millimeter", 1e3),
        ("angstrom", 1e-4),
    ],
)
def test_lengths_are_micrometres_whatever_their_unit(
    tmp_path: Path, unit: str | None, factor: float
) -> None:
    image = Multiscale.read(write(tmp_path, entry_of("yx", 1, unit), [(4, 4)]))
    assert image.pixel_size_um == pytest.approx({"y": 0.5 * factor, "x": 0.25 * factor})


@pytest.mark.parametrize("objects", [True, False], ids=["objects", "names"])
def test_axes_may_have_upper_case_names(tmp_path: Path, objects: bool) -> None:
    entry = entry_of("tczyx", unit="nanometer")
    entry["axes"][0]["unit"] = "second"
    for axis in entry["axes"]:
        axis["name"] = axis["name"].upper()
    if not objects:
        entry["axes"] = [axis["name"] for axis in entry["axes"]]
    image = Multiscale.read(write(tmp_path, entry, [(1, 2, 3, 8, 8), (1, 2, 3, 4, 4)]))
    assert image.axes == "tczyx"
    assert image.spatial == "zyx"
    assert image.um_per_unit == (1, 1, *[0.001 if objects else 1] * 3)
    assert image.other_units == ({"t": "second"} if objects else {})
    assert image.has_pixel_size


@pytest.mark.parametrize("unit", ["second", 5, ["micrometer"], {"a": 1}])
def test_a_unit_that_is_no_length_is_an_error(tmp_path: Path, unit: Any) -> None:
    write(tmp_path, entry_of("yx", 1, unit), [(4, 4)])
    with pytest.raises(ImageError, match=r"axis y has the unit .*, which is not a length"):
        Multiscale.read(tmp_path)


def test_a_scale_of_the_whole_image_multiplies_those_of_its_levels(tmp_path: Path) -> None:
    entry = entry_of("yx", 1)
    entry["coordinateTransformations"] = [{"type": "scale", "scale": [2, 3]}]
    assert Multiscale.read(write(tmp_path, entry, [(4, 4)])).scales == ((1.0, 0.75),)


@pytest.mark.parametrize("scale", [[0, -1], [None, "x"], [float("nan"), []], [1e400, False], []])
def test_the_scale_of_time_and_channels_is_not_looked_at(tmp_path: Path, scale: list[Any]) -> None:
    entry = entry_of("tcyx", 1)
    entry["datasets"][0]["coordinateTransformations"][0]["scale"] = [*scale, 0.5, 0.25]
    image = Multiscale.read(write(tmp_path / "image", entry, [(2, 3, 4, 4)]))
    assert image.scales == ((1.0, 1.0, 0.5, 0.25),)
    derive_pyramid(image, tmp_path / "new", 2, 2)
    attributes = json.loads((tmp_path / "new" / ".zattrs").read_text())
    written = attributes["multiscales"][0]["datasets"][1]["coordinateTransformations"]
    assert written == [{"type": "scale", "scale": [1, 1, 1, 0.5]}]


@pytest.mark.parametrize(
    ("planes", "z", "x", "message"),
    [
        (3, 2.0, 0.25, None),
        (3, 2.0, 0.2500001, None),
        (3, 1.0, 0.25, "are 2 µm in z, those of the reference .* are 1 µm"),
        (1, 1.0, 0.25, None),  # one plane has no neighbour
        ((1, 5), 1.0, 0.25, None),
        ((5, 1), 1.0, 0.25, None),
        (3, 2.0, 0.26, "are 0.25 µm in x, those of .* are 0.26 µm"),
    ],
)
def test_pixel_sizes_agree_to_less_than_a_pixel_of_the_image(
    tmp_path: Path, planes: int | tuple[int, int], z: float, x: float, message: str | None
) -> None:
    own, there = (planes, planes) if isinstance(planes, int) else planes
    image = Multiscale.read(write(tmp_path / "1", entry_of("zyx", 1), [(own, 40, 40)]))
    entry = entry_of("zyx", 1)
    entry["datasets"][0]["coordinateTransformations"][0]["scale"] = [z, 0.5, x]
    reference = Multiscale.read(write(tmp_path / "0", entry, [(there, 40, 40)]))
    raised = pytest.raises(ImageError, match=message) if message else contextlib.nullcontext()
    with raised:
        check_pixel_sizes(image, reference)


@settings(max_examples=60)
@given(
    n=st.integers(1, 40),
    factor=st.integers(1, 4),
    up=st.booleans(),
    levels=st.integers(2, 4),
)
def test_factors_are_found_for_shapes_rounded_up_or_down(
    tmp_path_factory: pytest.TempPathFactory, n: int, factor: int, up: bool, levels: int
) -> None:
    entry = entry_of("yx", levels)
    shapes: list[tuple[int, ...]] = [(n, n)]
    for level in range(levels):
        scale = [float(factor**level)] * 2
        entry["datasets"][level]["coordinateTransformations"][0]["scale"] = scale
        if level:
            last = shapes[-1][0]
            shapes.append((-(-last // factor) if up else max(1, last // factor),) * 2)
    image = Multiscale.read(write(tmp_path_factory.mktemp("image"), entry, shapes))
    assert image.factors == ((factor, factor),) * (levels - 1)


def test_levels_that_are_no_whole_groups_are_an_error(tmp_path: Path) -> None:
    write(tmp_path, entry_of("yx"), [(10, 10), (7, 5)])
    with pytest.raises(ImageError, match="level 1 has 7 pixels in y, level 0 has 10"):
        _ = Multiscale.read(tmp_path).factors


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ([(3, 10, 10), (3, 5, 5)], r"has the shape \[3, 10, 10\]; expected 2 lengths"),
        ([(10,), (5,)], r"\[10\]; expected 2 lengths above 0, .* axes 'yx'"),
        ([(10, "a"), (5, 5)], r"\[10, 'a'\]"),
        ([(10, 0), (5, 1)], r"\[10, 0\]"),
    ],
)
def test_arrays_that_do_not_have_the_axes_are_an_error(
    tmp_path: Path, shapes: list[tuple[Any, ...]], said: str
) -> None:
    write(tmp_path, entry_of("yx"), shapes)
    with pytest.raises(ImageError, match=said):
        _ = Multiscale.read(tmp_path).shapes


@pytest.mark.parametrize("name", ["..", "/etc", "../../0", "a/../b", "", ".hidden", None, 3, "."])
def test_paths_of_levels_are_checked(tmp_path: Path, name: object) -> None:
    entry = entry_of("yx", 1)
    write(tmp_path, entry, [(4, 4)])
    entry["datasets"][0]["path"] = name
    (tmp_path / ".zattrs").write_text(json.dumps({"multiscales": [entry]}))
    with pytest.raises(PlatefuseError):
        _ = Multiscale.read(tmp_path).shapes


def places(document: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value in a JSON document."""
    found = [at] if at else []
    items: Any = ()
    if isinstance(document, dict | list):
        items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in items:
        found += places(value, (*at, key))
    return found


junk: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 2.5, 10**30, "", "x", "..", [], [None], [1, "a"], {}, {"a": 1}, [[]], [{}]]
)


@settings(max_examples=150)
@given(data=st.data(), version=st.sampled_from(["0.4", "0.5"]), value=junk)
def test_whatever_stands_in_the_metadata_it_is_read_or_it_is_our_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, version: str, value: object
) -> None:
    path = tmp_path_factory.mktemp("image") / "0"
    write(path, entry_of("czyx"), [(2, 3, 10, 12), (2, 3, 5, 6)], version)
    (path / "labels").mkdir()
    shutil.copytree(path / "0", path / "labels" / "nuclei")
    group = ".zattrs" if version == "0.4" else "zarr.json"
    labels: Any = {"labels": ["nuclei"]}
    wrapped = labels if version == "0.4" else {"attributes": {"ome": labels}}
    (path / "labels" / group).write_text(json.dumps(wrapped))
    array = "0/.zarray" if version == "0.4" else "0/zarr.json"
    file = path / data.draw(st.sampled_from([group, array, f"labels/{group}"]))
    document = json.loads(file.read_text())
    at = data.draw(st.sampled_from(places(document)))
    inner = document = copy.deepcopy(document)
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = value
    file.write_text(json.dumps(document))
    with contextlib.suppress(PlatefuseError):
        image = Multiscale.read(path)
        _ = image.shapes, image.factors, image.pixel_size_um
    with contextlib.suppress(PlatefuseError):
        label_names(path)


@pytest.mark.parametrize("group", [".zgroup", "zarr.json", None])
def test_a_group_of_labels_without_attributes_has_no_labels(
    tmp_path: Path, group: str | None
) -> None:
    """As some converters leave it: the group is made, and no label is written."""
    write(tmp_path, entry_of("yx", 1), [(4, 4)])
    (tmp_path / "labels").mkdir()
    if group is not None:
        text = '{"zarr_format": 2}' if group == ".zgroup" else '{"zarr_format": 3}'
        (tmp_path / "labels" / group).write_text(text)
    image = Image.read(tmp_path)
    assert image.labels == {}
    assert image.parts == (image,)
    assert foreign_files(image) == []


def test_a_listed_level_that_is_missing_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, entry_of("yx", 2), [(4, 4), (2, 2)])
    shutil.rmtree(tmp_path / "1")
    with pytest.raises(ImageError, match="no Zarr array"):
        Multiscale.read(tmp_path)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_metadata_is_copied_without_a_chunk(tmp_path: Path, version: str) -> None:
    source = write(tmp_path / "a", entry_of("yx"), [(4, 4), (2, 2)], version)
    (source / "0" / "0").mkdir()
    (source / "0" / "0" / "0").write_text("pixels")
    (source / "other").write_text("foreign")
    copy_metadata(Multiscale.read(source), tmp_path / "b")
    copied = {
        p.relative_to(tmp_path / "b").as_posix() for p in (tmp_path / "b").rglob("*") if p.is_file()
    }
    names = {".zgroup", ".zattrs", "0/.zarray", "1/.zarray"}
    assert copied == (names if version == "0.4" else {"zarr.json", "0/zarr.json", "1/zarr.json"})
    assert Multiscale.read(tmp_path / "b").shapes == ((4, 4), (2, 2))


def test_foreign_files_are_neither_levels_nor_labels_nor_tables(tmp_path: Path) -> None:
    label = tmp_path / "labels" / "nuclei"
    for path in (tmp_path, label):
        write(path, entry_of("yx"), [(4, 4), (2, 2)])
        (path / "mine").mkdir()
    (tmp_path / "tables").mkdir()
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "labels" / "method.txt").write_text("")
    found = [str(path.relative_to(tmp_path)) for path in foreign_files(Image.read(tmp_path))]
    assert found == ["mine", "notes.txt", "labels/method.txt", "labels/nuclei/mine"]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_changing_attributes_keeps_all_others(tmp_path: Path, version: str) -> None:
    write(tmp_path, entry_of("yx", 1), [(4, 4)], version)
    update_attributes(tmp_path, {"omero": {"new": 1}})
    file = tmp_path / (".zattrs" if version == "0.4" else "zarr.json")
    content = json.loads(file.read_text())
    attributes = content if version == "0.4" else content["attributes"]
    assert attributes["foreign"] == 1
    section = attributes if version == "0.4" else attributes["ome"]
    assert section["omero"] == {"new": 1}
    assert len(section["multiscales"]) == 1


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(("levels", "coarsening"), [(1, 2), (2, 2), (4, 2), (3, 3)])
def test_a_pyramid_like_another_has_the_levels_asked_for(
    tmp_path: Path, version: str, levels: int, coarsening: int
) -> None:
    source = write(tmp_path / "a", entry_of("zyx"), [(3, 21, 30), (3, 10, 15)], version)
    derived = derive_pyramid(Multiscale.read(source), tmp_path / "b", levels, coarsening)
    expected: list[tuple[int, ...]] = [(3, 21, 30)]
    for _ in range(levels - 1):
        expected.append((3, *(max(1, n // coarsening) for n in expected[-1][1:])))
    assert list(derived.shapes) == expected
    assert derived.factors == ((1, coarsening, coarsening),) * (levels - 1)
    assert derived.scales[-1] == (2.0, *(s * coarsening ** (levels - 1) for s in (0.5, 0.25)))


@given(
    shape=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    factors=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    levels=st.integers(1, 6),
)
def test_new_levels_are_rounded_down_and_never_empty(
    shape: tuple[int, int], factors: tuple[int, int], levels: int
) -> None:
    shapes = level_shapes(shape, factors, levels)
    assert shapes[0] == shape
    assert len(shapes) == levels
    for fine, coarse in itertools.pairwise(shapes):
        assert coarse == tuple(max(1, n // f) for n, f in zip(fine, factors, strict=True))


def test_levels_that_are_not_sorted_are_refused(tmp_path: Path) -> None:
    """The first level is taken for the finest: the image would be read at a half of its pixels."""
    write(tmp_path, entry_of("yx"), [(4, 6), (8, 12)])
    words = r"level 1 has the shape \[8, 12\] and comes after level 0 with \[4, 6\]"
    with pytest.raises(ImageError, match=words):
        Multiscale.read(tmp_path)

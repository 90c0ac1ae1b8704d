from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import zarr
from scipy.sparse import csr_matrix

from platefuse import apply_registration_to_image
from platefuse.errors import TableError
from platefuse.ngff.metadata import all_attributes
from platefuse.ngff.tables.anndata_format import replace_numbers, write_anndata, write_numbers
from platefuse.ngff.tables.backends import backend_of, copy_table
from platefuse.ngff.tables.move import MovedRegion, move_table
from platefuse.ngff.tables.table import read_table, table_names, write_roi_table
from platefuse.ngff.zarr_format import FORMATS
from platefuse.testing.spec import TABLES
from tests.conftest import SMALL, PlateFactory
from tests.damage import state

VERSIONS = ("0.4", "0.5")
ROWS = {
    name: {f"{p}{a}_micrometer": float(k + 1) for p in ("", "len_") for a in "xyz"}
    for k, name in enumerate(("FOV_1", "FOV_2", "FOV_3"))
}


def encode(frame: Any, encoding: str, missing: int | None = None) -> None:
    """Write the index of a frame anew, in an encoding of the specification of AnnData."""
    name = str(frame.attrs["_index"])
    texts = np.array(frame[name][:], object)
    numbers = np.arange(len(texts))
    parts = {"values": texts, "mask": numbers == missing}
    attributes: dict[str, Any] = {"encoding-version": "0.1.0"}
    if encoding == "categorical":
        codes = np.where(numbers == missing, -1, numbers).astype(np.int8)
        parts = {"codes": codes, "categories": texts}
        attributes = {"encoding-version": "0.2.0", "ordered": False}
    del frame[name]
    group = frame.create_group(name)
    group.attrs.update({"encoding-type": encoding, **attributes})
    with anndata.settings.override(auto_shard_zarr_v3=False):
        for part, values in parts.items():
            anndata.io.write_elem(group, part, values)


def table_with(path: Path, version: str) -> Path:
    path.mkdir()
    (path / ("zarr.json" if version == "0.5" else ".zgroup")).write_text("{}")
    write_roi_table(path, "t", ROWS)
    return path / "tables" / "t"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("encoding", ["categorical", "nullable-string-array"])
def test_names_are_read_in_every_encoding(tmp_path: Path, version: str, encoding: str) -> None:
    path = table_with(tmp_path / "image", version)
    expected = read_table(tmp_path / "image", "t")
    group: Any = zarr.open_group(path, mode="r+")
    for axis in ("obs", "var"):
        encode(group[axis], encoding)
    assert read_table(tmp_path / "image", "t") == expected
    theirs = anndata.io.read_elem(zarr.open_group(path, mode="r"))
    assert tuple(theirs.obs_names) == expected.names == tuple(ROWS)
    assert set(theirs.var_names) == set(expected.columns)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("encoding", ["categorical", "nullable-string-array"])
@pytest.mark.parametrize(("axis", "entry"), [("obs", "row 1"), ("var", "column 1")])
def test_a_missing_name_is_an_error_that_names_the_row(
    tmp_path: Path, version: str, encoding: str, axis: str, entry: str
) -> None:
    path = table_with(tmp_path / "image", version)
    group: Any = zarr.open_group(path, mode="r+")
    encode(group[axis], encoding, missing=1)
    with pytest.raises(TableError, match=f"tables/t/{axis}: {entry} .* has no name"):
        read_table(tmp_path / "image", "t")


@pytest.mark.parametrize("version", VERSIONS)
def test_an_index_is_written_in_the_encoding_that_old_programs_read(
    tmp_path: Path, version: str
) -> None:
    group: Any = zarr.open_group(tmp_path, mode="w", zarr_format=3 if version == "0.5" else 2)
    names = pd.Index(["a", "b"], dtype="string")
    frames = (pd.DataFrame(index=names.rename("FieldIndex")), pd.DataFrame(index=names))
    write_anndata(group, "t", anndata.AnnData(np.eye(2, dtype=np.float32), *frames))
    for array in ("t/obs/FieldIndex", "t/var/_index"):
        assert group[array].attrs["encoding-type"] == "string-array"


def test_an_index_with_missing_names_is_written_as_it_is(tmp_path: Path) -> None:
    group: Any = zarr.open_group(tmp_path / "a", mode="w", zarr_format=2)
    names = pd.Index(["a", "b"])
    table = anndata.AnnData(np.eye(2), pd.DataFrame(index=names), pd.DataFrame(index=names))
    write_anndata(group, "t", table)
    group["t"].attrs["backend"] = "anndata"
    encode(group["t/obs"], "nullable-string-array", missing=0)
    assert copy_table(tmp_path / "a" / "t", tmp_path / "b" / "t", "0.5") is None
    copied: Any = zarr.open_group(tmp_path / "b" / "t", mode="r")
    assert copied["obs/_index/mask"][:].tolist() == [True, False]


def with_new_index(plate: Path) -> None:
    """All tables of a plate as anndata 0.13 writes them with pandas 3."""
    for obs in plate.rglob("tables/*/obs"):
        for frame in (obs, obs.with_name("var")):
            group: Any = zarr.open_group(frame, mode="r+")
            if not isinstance(group[str(group.attrs["_index"])], zarr.Group):
                encode(group, "nullable-string-array")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_plate_of_a_new_anndata_is_registered_as_one_of_an_old(
    example_plate: PlateFactory, version: str
) -> None:
    spec = replace(
        SMALL,
        ngff_version=version,
        wells=("A/1",),
        acquisitions=SMALL.acquisitions[:2],
        field_shape=(40, 44),
        levels=1,
        tables=TABLES,
        table_backends=dict.fromkeys(TABLES, "anndata"),
    )
    old, new = (example_plate(spec, f"{k}.zarr").path / "A" / "1" / "1" for k in range(2))
    with_new_index(new.parents[2])
    for image in (old, new):
        apply_registration_to_image(
            zarr_url=str(image), registered_roi_table="registered_FOV_ROI_table"
        )
    assert table_names(new) == table_names(old)
    kinds = set()
    for name in table_names(new):
        if backend_of(new / "tables" / name) == "anndata":
            kinds.add(all_attributes(new / "tables" / name).get("type"))
            a, b = (read_table(image, name) for image in (old, new))
            assert (a.names, a.columns) == (b.names, b.columns)
    assert kinds >= {"roi_table", "masking_roi_table", "feature_table"}


def encodings(table: Path) -> dict[str, str]:
    """The encoding of everything in an AnnData table, by its path."""
    folders = [table, *(path for path in table.rglob("*") if path.is_dir())]
    found = {f.relative_to(table).as_posix(): all_attributes(f) for f in folders}
    return {path: str(a["encoding-type"]) for path, a in found.items() if "encoding-type" in a}


def as_anndata_0_10_writes(table: Path, *, without: tuple[str, ...] = ("raw",)) -> None:
    for name in without:
        shutil.rmtree(table / name, ignore_errors=True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("without", [("raw",), ("raw", "layers", "varm")])
def test_a_rewritten_table_has_what_its_source_has(
    tmp_path: Path, version: str, without: tuple[str, ...]
) -> None:
    path = table_with(tmp_path / "image", version)
    as_anndata_0_10_writes(path, without=without)
    old = encodings(path)
    assert old["obs/FieldIndex"] == "string-array"
    move_table(tmp_path / "image", "t", [MovedRegion((0, 0, 0), (99, 99, 99), (0, 2, 3))], "zyx")
    assert read_table(tmp_path / "image", "t").column("y_micrometer")[0] == 3
    assert encodings(path) == old
    other = {"0.4": "0.5", "0.5": "0.4"}[version]
    assert copy_table(path, tmp_path / "converted", other) is None
    assert encodings(tmp_path / "converted") == old


PLAIN = pd.DataFrame(
    {
        "word": ["u", "v", "u"],
        "area": [1.5, 2.5, 3.5],
        "count": [1, 2, 3],
        "seen": [True, False, True],
    },
    index=["a", "b", "c"],
)
NEW = {"y": np.array([7.25, 8.25, 9.25])}


def measured(path: Path, version: str, table: anndata.AnnData) -> Path:
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    write_anndata(group, "t", table)
    return path / "t"


def with_numbers(obs: pd.DataFrame, x: Any = None) -> anndata.AnnData:
    numbers = np.arange(6, dtype=np.float32).reshape(3, 2) if x is None else x
    return anndata.AnnData(numbers, obs.copy(), pd.DataFrame(index=["y", "z"]))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kept", [[], [0], [0, 2], [0, 1, 2]])
def test_rows_and_numbers_are_replaced_as_anndata_does_it(
    tmp_path: Path, version: str, kept: list[int]
) -> None:
    keep = np.isin(np.arange(3), kept)
    path = measured(tmp_path / "ours", version, with_numbers(PLAIN))
    forms = encodings(path)
    assert replace_numbers(path, NEW, keep)
    assert encodings(path) == forms
    expected = with_numbers(PLAIN)
    expected.X[:, 0] = NEW["y"]
    theirs = measured(tmp_path / "theirs", version, expected[keep].copy())
    ours, theirs = (anndata.io.read_elem(zarr.open_group(p, mode="r")) for p in (path, theirs))
    assert ours.X.dtype == theirs.X.dtype
    np.testing.assert_array_equal(ours.X, theirs.X)
    pd.testing.assert_frame_equal(ours.obs, theirs.obs)
    pd.testing.assert_frame_equal(ours.var, theirs.var)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("what", "drops"),
    [
        ("integers", False),
        ("sparse", False),
        ("nullable", False),
        ("category", True),
        ("obsm", True),
    ],
)
def test_what_has_to_be_written_anew_is_left_to_anndata(
    tmp_path: Path, version: str, what: str, drops: bool
) -> None:
    obs = PLAIN[["area"]].copy()
    if what == "category":
        obs["kind"] = pd.Categorical(["u", "v", "w"])
    x: Any = np.eye(3, 2)
    x = {"integers": x.astype(int), "sparse": csr_matrix(x)}.get(what, x)
    table = with_numbers(obs, x)
    if what == "obsm":
        table.obsm["place"] = np.ones((3, 2))
    path = measured(tmp_path / "g", version, table)
    if what == "nullable":
        encode(zarr.open_group(path, mode="r+")["obs"], "nullable-string-array")
    before = state(path)
    assert not replace_numbers(path, NEW, np.array([True, False, True]))
    assert state(path) == before
    assert replace_numbers(path, NEW, np.ones(3, bool)) == drops


def test_a_new_table_has_nothing_that_old_programs_cannot_read(tmp_path: Path) -> None:
    found = encodings(table_with(tmp_path / "image", "0.4"))
    assert set(found.values()) == {"anndata", "array", "dataframe", "dict", "string-array"}
    assert "raw" not in found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("missing", [None, 1])
def test_nullable_texts_are_converted_in_both_directions(
    tmp_path: Path, version: str, missing: int | None
) -> None:
    """As anndata 0.13 writes tables with pandas 3: indices of rows and columns, and columns."""
    group: Any = zarr.open_group(tmp_path, mode="w", zarr_format=2 if version == "0.4" else 3)
    names = pd.Index(["a", "b"], dtype="string")
    words = pd.array(["u", None if missing else "v"], dtype="string")
    numbers = pd.array([1, None], dtype="Int64")
    obs = pd.DataFrame({"word": words, "number": numbers}, index=names)
    table = anndata.AnnData(np.eye(2), obs, pd.DataFrame({"word": words}, index=names))
    with anndata.settings.override(auto_shard_zarr_v3=False, allow_write_nullable_strings=True):
        anndata.io.write_elem(group, "t", table)
    for axis in ("obs", "var"):
        if encodings(tmp_path / "t")[f"{axis}/_index"] == "string-array":
            encode(group[f"t/{axis}"], "nullable-string-array")
    other = {"0.4": "0.5", "0.5": "0.4"}[version]
    assert copy_table(tmp_path / "t", tmp_path / "new", other) is None
    new = anndata.io.read_elem(zarr.open_group(tmp_path / "new", mode="r"))
    assert list(new.obs_names) == list(new.var_names) == ["a", "b"]
    expected = ["u"] if missing else ["u", "v"]
    assert [list(frame["word"].dropna()) for frame in (new.obs, new.var)] == [expected] * 2
    assert new.obs["number"].isna().tolist() == [False, True]
    encoding = encodings(tmp_path / "new")["obs/word"]
    assert encoding == ("nullable-string-array" if missing else "string-array")


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("count", [0, 1, 54])
@pytest.mark.parametrize(
    ("dtype", "texts"), [("float32", {}), ("float64", {"plate": "p", "µ": ""})]
)
def test_numbers_are_written_as_anndata_writes_them(
    tmp_path: Path, zarr_format: Any, count: int, dtype: str, texts: dict[str, str]
) -> None:
    columns = ["x_micrometer", "len_x_micrometer", "µ"]
    numbers = np.random.default_rng(1).random((count, 3)).astype(dtype)
    in_obs = {name: [f"{text}{k}" for k in range(count)] for name, text in texts.items()}
    names = [f"FOV_{k}" for k in range(count)]
    theirs = zarr.open_group(tmp_path / "b", mode="w", zarr_format=zarr_format)
    kind = FORMATS[zarr_format]
    for k in (1, 0):  # the second replaces the first
        new = (numbers + k).astype(dtype)
        write_numbers(tmp_path / "a" / "t", kind, new, names, columns, texts=in_obs)
    obs = pd.DataFrame(in_obs, index=pd.Index(names, dtype=object, name="FieldIndex"), dtype=object)
    table = anndata.AnnData(numbers, obs, pd.DataFrame(index=columns))
    write_anndata(theirs, "t", table)
    files = [
        {
            p.relative_to(tmp_path / n / "t"): p.read_bytes()
            for p in (tmp_path / n / "t").rglob("*")
            if p.is_file()
        }
        for n in "ab"
    ]
    assert files[0] == files[1]

"""A backend is one class: whoever reads, moves or converts a table finds it by its name."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import zarr
from numpy.typing import NDArray

from platefuse.errors import TableError
from platefuse.ngff.create import write_group
from platefuse.ngff.metadata import all_attributes
from platefuse.ngff.tables.anndata_format import write_anndata
from platefuse.ngff.tables.backends import BACKENDS, Backend, copy_table, find_backend
from platefuse.ngff.tables.move import MovedRegion, move_table
from platefuse.ngff.tables.rows import Content
from platefuse.ngff.tables.table import read_table
from platefuse.ngff.zarr_format import V2, V3, Format
from tests.tables import write_table


class Lines(Backend):
    """Boxes on the axis x, one a line."""

    name = "lines"

    def read(self, path: Path, index_key: str | None) -> Content:
        lines = [line.split() for line in (path / "boxes.txt").read_text().splitlines()]
        numbers = {
            "x_micrometer": [float(line[1]) for line in lines],
            "len_x_micrometer": [float(line[2]) for line in lines],
        }
        return [line[0] for line in lines], numbers

    def rewrite(
        self, path: Path, numbers: Mapping[str, NDArray[np.float64]], keep: NDArray[np.bool_]
    ) -> None:
        names = self.read(path, None)[0]
        rows = zip(names, numbers["x_micrometer"], numbers["len_x_micrometer"], keep, strict=True)
        text = "".join(f"{name} {x:g} {length:g}\n" for name, x, length, kept in rows if kept)
        (path / "boxes.txt").write_text(text)

    def convert(self, source: Path, target: Path, kind: Format) -> str | None:
        kind.write_group(target, {**all_attributes(source), "converted": kind.number})
        (target / "boxes.txt").write_bytes((source / "boxes.txt").read_bytes())
        return None


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An image with a table of a backend that was added."""
    monkeypatch.setitem(BACKENDS, Lines.name, Lines())
    table = tmp_path / "tables" / "t"
    write_group(table, {"type": "roi_table", "backend": "lines_v1"}, "0.4")
    (table / "boxes.txt").write_text("a 1 2\nb 90 5\n")
    return tmp_path


def test_a_new_backend_is_read_moved_and_converted(image: Path) -> None:
    table = read_table(image, "t")
    assert (table.names, table.columns["x_micrometer"]) == (("a", "b"), (1.0, 90.0))
    assert move_table(image, "t", [MovedRegion((0.0,), (50.0,), (3.0,))], "x") == 1
    assert (table.path / "boxes.txt").read_text() == "a 4 2\n"
    for version, kind in (("0.4", V2), ("0.5", V3)):
        new = image / "new" / version
        assert copy_table(table.path, new, version) is None
        assert Format.of(new) is kind
        assert all_attributes(new).get("converted") == (None if kind is V2 else 3)


FRAME = pd.DataFrame({"x": [1, 2, 3], "area": [4, 5, 6]}, index=["a", "b", "c"])
MOVED = {"x": np.array([1.25, 2.5, 3.75])}
KEEP = np.array([True, False, True])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_rewritten_table_has_the_new_numbers_in_the_rows_that_are_kept(
    tmp_path: Path, backend: str
) -> None:
    """Whole numbers become fractions where they must; all else is as it was."""
    write_table(tmp_path / "t", backend, FRAME, "roi_table")
    attributes = all_attributes(tmp_path / "t")
    BACKENDS[backend].rewrite(tmp_path / "t", MOVED, KEEP)
    names, columns = BACKENDS[backend].read(tmp_path / "t", None)
    assert (names, columns["x"], columns["area"]) == (["a", "c"], [1.25, 3.75], [4.0, 6.0])
    assert {key: all_attributes(tmp_path / "t")[key] for key in attributes} == attributes


def test_numbers_of_single_precision_stay_single(tmp_path: Path) -> None:
    for backend in ("anndata", "parquet"):
        write_table(tmp_path / backend, backend, FRAME.astype(np.float32), "roi_table")
        BACKENDS[backend].rewrite(tmp_path / backend, MOVED, KEEP)
    assert zarr.open_array(tmp_path / "anndata" / "X", mode="r").dtype == np.float32
    new = pd.read_parquet(tmp_path / "parquet" / "table.parquet")
    assert new.dtypes["x"] == np.float32


JSON: list[Any] = [
    {"FieldIndex": ["a", "b", "c"], "x": [1, 2, 3]},
    {"FieldIndex": {"0": "a", "1": "b", "2": "c"}, "x": {"0": 1, "1": 2, "2": 3}},
    [{"FieldIndex": "a", "x": 1}, {"FieldIndex": "b", "x": 2}, {"FieldIndex": "c", "x": 3}],
]


@pytest.mark.parametrize("content", JSON, ids=["lists", "objects", "rows"])
@pytest.mark.parametrize("place", ["file", "group"])
def test_json_keeps_its_form_and_its_place(tmp_path: Path, content: Any, place: str) -> None:
    if place == "group" and isinstance(content, list):
        return  # attributes are an object
    write_group(tmp_path / "t", {"backend": "json"}, "0.4")
    if place == "group":
        write_group(tmp_path / "t" / "table", content, "0.4")
    else:
        (tmp_path / "t" / "table.json").write_text(json.dumps(content))
    files = {path.relative_to(tmp_path) for path in tmp_path.rglob("*")}
    backend = BACKENDS["json"]
    assert backend.read(tmp_path / "t", None)[0] == ["a", "b", "c"]
    backend.rewrite(tmp_path / "t", MOVED, KEEP)
    assert {path.relative_to(tmp_path) for path in tmp_path.rglob("*")} == files
    names, columns = backend.read(tmp_path / "t", None)
    assert (names, columns["x"]) == (["a", "c"], [1.25, 3.75])
    file = tmp_path / "t" / ("table/.zattrs" if place == "group" else "table.json")
    new = json.loads(file.read_text())
    if isinstance(content, list):
        assert new == [{"FieldIndex": "a", "x": 1.25}, {"FieldIndex": "c", "x": 3.75}]
    else:
        assert {name: type(column) for name, column in new.items()} == {
            name: type(column) for name, column in content.items()
        }


@pytest.mark.parametrize(
    ("rows", "index_key", "names"),
    [
        ("id,label,x\n7,8,1\n", "id", ["7"]),
        ("id,label,x\n7,8,1\n", "gone", ["8"]),
        ("id,label,x\n7,8,1\n", None, ["8"]),
        ("id,x\n7,1\n", None, ["0"]),
    ],
)
def test_row_names_come_from_the_named_column_or_a_usual_one_or_are_numbers(
    tmp_path: Path, rows: str, index_key: str | None, names: list[str]
) -> None:
    (tmp_path / "table.csv").write_text(rows)
    assert BACKENDS["csv"].read(tmp_path, index_key)[0] == names


def test_empty_cells_are_no_numbers_and_text_is_no_column(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("label,x,kind\n1,2.5,big\n2,,small\n")
    names, columns = BACKENDS["csv"].read(tmp_path, None)
    assert names == ["1", "2"]
    assert columns["x"] == pytest.approx([2.5, math.nan], nan_ok=True)
    assert list(columns) == ["label", "x"]
    (tmp_path / "table.json").write_text('{"x": [null, 1]}')
    assert BACKENDS["json"].read(tmp_path, None)[1]["x"] == pytest.approx(
        [math.nan, 1], nan_ok=True
    )


@pytest.mark.parametrize(("own", "other"), [("0.4", "0.5"), ("0.5", "0.4")])
def test_a_table_in_files_keeps_them_and_its_attributes_in_another_format(
    tmp_path: Path, own: str, other: str
) -> None:
    attributes = {"backend": "mine_v3", "type": "odd"}
    Format.for_ngff(own).write_group(tmp_path / "t", attributes)
    Format.for_ngff(own).write_group(tmp_path / "t" / "inner", {"deep": 1})
    for folder in ("t", "t/inner"):
        (tmp_path / folder / "data.bin").write_bytes(b"\0\1")
    (tmp_path / "t" / ".zmetadata").write_text("{}")
    assert copy_table(tmp_path / "t", tmp_path / "new", other) is None
    assert all_attributes(tmp_path / "new") == attributes
    assert all_attributes(tmp_path / "new" / "inner") == {"deep": 1}
    metadata = {"zarr.json"} if other == "0.5" else {".zgroup", ".zattrs"}
    for folder in ("new", "new/inner"):
        files = {path.name for path in (tmp_path / folder).iterdir() if path.is_file()}
        assert files == {"data.bin", *metadata}
        assert (tmp_path / folder / "data.bin").read_bytes() == b"\0\1"
    assert copy_table(tmp_path / "t", tmp_path / "same", own) is None
    assert (tmp_path / "same" / ".zmetadata").exists()


@pytest.mark.parametrize("backend", BACKENDS)
def test_columns_of_text_are_those_that_are_no_numbers(tmp_path: Path, backend: str) -> None:
    if backend == "anndata":  # its text is in the annotations of rows
        group = zarr.open_group(tmp_path, mode="a", zarr_format=2)
        rows = pd.DataFrame({"kind": ["big", "small", ""]}, index=FRAME.index)
        table = anndata.AnnData(FRAME.to_numpy(np.float32), rows, pd.DataFrame(index=["x", "area"]))
        write_anndata(group, "t", table)
    else:
        text = FRAME.assign(kind=pd.Series({"a": "big", "b": "small"}))
        write_table(tmp_path / "t", backend, text, "roi_table")
    assert BACKENDS[backend].texts(tmp_path / "t")["kind"] == ["big", "small", ""]
    assert "x" not in BACKENDS[backend].texts(tmp_path / "t")


@pytest.mark.parametrize("backend", BACKENDS)
def test_instances_are_a_column_as_text_or_none(tmp_path: Path, backend: str) -> None:
    write_table(tmp_path / "t", backend, FRAME.assign(area=[4.0, 5.5, 6.0]), "roi_table")
    assert BACKENDS[backend].instances(tmp_path / "t", "area") == ["4", "5.5", "6"]
    assert BACKENDS[backend].instances(tmp_path / "t", "gone") is None


def test_instances_of_anndata_are_in_the_annotations_of_rows_too(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path, mode="a", zarr_format=2)
    rows = pd.DataFrame({"label": ["7", "8", "9"]}, index=FRAME.index)
    table = anndata.AnnData(FRAME.to_numpy(np.float32), rows, pd.DataFrame(index=["label", "x"]))
    write_anndata(group, "t", table)
    assert BACKENDS["anndata"].instances(tmp_path / "t", "label") == ["7", "8", "9"]


def test_a_json_table_without_columns_is_empty(tmp_path: Path) -> None:
    write_group(tmp_path / "t" / "table", {}, "0.4")
    assert BACKENDS["json"].read(tmp_path / "t", None) == ([], {})
    (tmp_path / "t" / "table.json").write_text('{"x": [1]}')  # the columns are in a file
    assert BACKENDS["json"].read(tmp_path / "t", None) == (["0"], {"": [0.0], "x": [1.0]})
    assert BACKENDS["json"].texts(tmp_path / "t") == {}


def test_an_anndata_table_that_does_not_name_its_backend_is_converted(tmp_path: Path) -> None:
    write_table(tmp_path / "t", "anndata", FRAME.astype(np.float32), "roi_table")
    attributes = {"type": "roi_table", **zarr.open_group(tmp_path / "t", mode="r").attrs.asdict()}
    del attributes["backend"]
    zarr.open_group(tmp_path / "t", mode="r+").attrs.put(attributes)
    (own, other) = ("0.4", "0.5") if Format.of(tmp_path / "t") is V2 else ("0.5", "0.4")
    assert copy_table(tmp_path / "t", tmp_path / "new", other) is None
    assert Format.of(tmp_path / "new") is Format.for_ngff(other) is not Format.for_ngff(own)
    assert all_attributes(tmp_path / "new") == attributes
    assert find_backend(tmp_path / "new").read(tmp_path / "new", None)[0] == ["a", "b", "c"]


def test_a_backend_that_nobody_knows_is_named(image: Path) -> None:
    write_group(image / "tables" / "odd", {"backend": "odd_v2"}, "0.4")
    with pytest.raises(TableError, match=r"'odd' is unknown; .* \['anndata', 'csv', 'json'"):
        find_backend(image / "tables" / "odd")


def test_a_table_that_names_anndata_and_is_none_is_not_converted_by_anndata(image: Path) -> None:
    """Without arrays it is copied as it is; with arrays, the reason is given."""
    table = image / "tables" / "damaged"
    write_group(table, {"backend": "anndata"}, "0.4")
    assert copy_table(table, image / "new", "0.5") is None
    assert all_attributes(image / "new") == {"backend": "anndata"}
    (table / "X").mkdir()
    (table / "X" / ".zarray").write_text("{}")
    reason = copy_table(table, image / "newer", "0.5")
    assert reason == "its backend 'anndata' is unknown, and it is of another Zarr format"
    assert not (image / "newer").exists()

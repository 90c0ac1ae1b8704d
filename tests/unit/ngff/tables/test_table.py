from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import anndata
import numpy as np
import pandas as pd
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from platefuse.errors import PlateError, PlatefuseError, TableError
from platefuse.ngff.metadata import all_attributes
from platefuse.ngff.tables.table import (
    Table,
    has_boxes,
    is_standard_name,
    read_table,
    stale_names,
    table_names,
    table_path,
    table_type,
    why_not_moved,
    write_roi_table,
    write_table_list,
)
from platefuse.testing import make_plate
from tests.conftest import SMALL

BACKENDS = ("anndata", "csv", "json", "parquet")
COLUMNS = [f"{kind}{axis}_micrometer" for kind in ("", "len_") for axis in "xyz"]


def good_rows(count: int = 2) -> dict[str, dict[str, float]]:
    values = (1.5, 2.5, 0.0, 10.0, 20.0, 1.0)
    return {f"FOV_{i}": dict(zip(COLUMNS, values, strict=True)) for i in range(1, count + 1)}


def image(tmp_path: Path, version: str = "0.4") -> Path:
    path = tmp_path / "image"
    path.mkdir(exist_ok=True)
    (path / ("zarr.json" if version == "0.5" else ".zgroup")).write_text("{}")
    return path


def write_csv(path: Path, name: str, text: str, **attributes: object) -> Path:
    group = path / "tables" / name
    group.mkdir(parents=True)
    (group / ".zgroup").write_text('{"zarr_format": 2}')
    (group / ".zattrs").write_text(json.dumps({"backend": "csv", **attributes}))
    (group / "table.csv").write_text(text)
    return group


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_all_backends_read_equal(tmp_path: Path, version: str) -> None:
    tables = ("FOV_ROI_table", "registered_FOV_ROI_table", "nuclei_ROI_table")
    for backend in BACKENDS:
        spec = replace(
            SMALL,
            ngff_version=version,
            wells=("A/1",),
            acquisitions=SMALL.acquisitions[:2],
            field_shape=(40, 44),
            tables=tables,
            table_backends=dict.fromkeys(tables, backend),
            levels=1,
        )
        make_plate(tmp_path / f"{backend}.zarr", spec)
    for name in tables:
        first, *others = (
            read_table(tmp_path / f"{backend}.zarr" / "A" / "1" / "1", name) for backend in BACKENDS
        )
        assert first.names
        for other in others:
            assert other.names == first.names
            for column in COLUMNS:
                np.testing.assert_allclose(other.column(column), first.column(column), rtol=1e-6)
            assert [roi.name for roi in other.rois("zyx")] == list(first.names)


def test_json_is_read_as_fractal_writes_it(tmp_path: Path) -> None:
    """Columns as attributes of the group ``table``, in Zarr v2 and v3."""
    columns = {"FieldIndex": ["a", "b"], "x_micrometer": [1, 2.5]}
    for name, file in (("two", ".zattrs"), ("three", "zarr.json")):
        group = image(tmp_path) / "tables" / name
        (group / "table").mkdir(parents=True)
        attributes: dict[str, Any] = {"backend": "json", "index_key": "FieldIndex"}
        wrap = (lambda v: {"attributes": v}) if file == "zarr.json" else (lambda v: v)
        (group / file).write_text(json.dumps(wrap(attributes)))
        (group / "table" / file).write_text(json.dumps(wrap(columns)))
        table = read_table(tmp_path / "image", name)
        assert table.names == ("a", "b")
        assert table.column("x_micrometer") == (1.0, 2.5)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@settings(max_examples=5)
@given(
    rows=st.dictionaries(
        st.text("abcXYZ_09 é", min_size=1, max_size=8),
        st.fixed_dictionaries({c: st.floats(0.5, 1e5, width=32) for c in COLUMNS}),
        min_size=1,
        max_size=5,
    )
)
def test_a_roi_table_that_was_written_reads_back(
    tmp_path_factory: pytest.TempPathFactory, version: str, rows: dict[str, dict[str, float]]
) -> None:
    path = image(tmp_path_factory.mktemp("image"), version)
    write_roi_table(path, "FOV_ROI_table", rows)
    table = read_table(path, "FOV_ROI_table")
    assert table.names == tuple(rows)
    for column in COLUMNS:
        assert list(table.column(column)) == [row[column] for row in rows.values()]
    assert table_names(path) == ["FOV_ROI_table"]
    assert is_standard_name("FOV_ROI_table")
    assert table_type(path, "FOV_ROI_table") == "roi_table"


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_second_table_is_entered_in_the_list_once(tmp_path: Path, version: str) -> None:
    path = image(tmp_path, version)
    for name in ("FOV_ROI_table", "well_ROI_table"):
        write_roi_table(path, name, good_rows())
    assert table_names(path) == ["FOV_ROI_table", "well_ROI_table"]
    write_roi_table(path, "FOV_ROI_table", good_rows(1))
    assert all_attributes(path / "tables")["tables"] == ["well_ROI_table", "FOV_ROI_table"]
    assert read_table(path, "FOV_ROI_table").names == ("FOV_1",)


@pytest.mark.parametrize("version", [2, 3])
def test_a_list_of_tables_keeps_the_format_and_other_attributes_of_its_group(
    tmp_path: Path, version: Literal[2, 3]
) -> None:
    zarr.open_group(tmp_path, mode="w", zarr_format=version, attributes={"mine": 1})
    files = {path.name for path in tmp_path.iterdir()}
    write_table_list(tmp_path, ["b", "a"])
    assert all_attributes(tmp_path) == {"mine": 1, "tables": ["b", "a"]}
    assert {path.name for path in tmp_path.iterdir()} == files


def test_a_list_of_tables_makes_its_group(tmp_path: Path) -> None:
    write_table_list(tmp_path / "tables", ["a"])
    assert all_attributes(tmp_path / "tables") == {"tables": ["a"]}
    assert zarr.open_group(tmp_path / "tables", mode="r").metadata.zarr_format == 2


@pytest.mark.parametrize(("version", "number"), [("0.4", 2), ("0.5", 3)])
def test_a_roi_table_has_the_zarr_format_of_its_image(
    tmp_path: Path, version: str, number: int
) -> None:
    path = image(tmp_path, version)
    write_roi_table(path, "t", good_rows())
    for group in (path / "tables", path / "tables" / "t"):
        assert zarr.open_group(group, mode="r").metadata.zarr_format == number


@pytest.mark.parametrize(
    ("name", "standard"),
    [
        ("FOV_ROI_table", True),
        ("registered_FOV_ROI_table", True),
        ("well_ROI_table_2", True),
        ("nuclei_ROI_table", False),
        ("FOV", False),
    ],
)
def test_a_table_is_standard_by_a_part_of_its_name(name: str, standard: bool) -> None:
    assert is_standard_name(name) == standard


def test_anndata_itself_reads_what_is_written(tmp_path: Path) -> None:
    write_roi_table(image(tmp_path), "t", good_rows())
    table = anndata.read_zarr(tmp_path / "image" / "tables" / "t")
    assert list(table.obs_names) == ["FOV_1", "FOV_2"]
    assert list(table.var_names) == COLUMNS
    assert table.X.dtype == np.float32


def test_a_table_in_memory_is_read_like_one_on_disk(tmp_path: Path) -> None:
    rows = good_rows()
    frame = pd.DataFrame.from_dict(rows, orient="index").astype(np.float32)
    table = Table.of_anndata(anndata.AnnData(frame), "here")
    assert table.names == ("FOV_1", "FOV_2")
    assert table.rois("zyx")[1].start_um == {"z": 0.0, "y": 2.5, "x": 1.5}
    with pytest.raises(TableError, match=r"^here: the table has no column 'z'"):
        table.column("z")


@pytest.mark.parametrize("lacking", ["X", "var_names", "obs_names"])
def test_an_object_that_is_only_half_a_table_is_an_error(lacking: str) -> None:
    parts = {"X": np.zeros((1, 1)), "var_names": ["a"], "obs_names": ["1"]}
    assert Table.of_anndata(SimpleNamespace(**parts), "here").column("a") == (0.0,)
    del parts[lacking]
    with pytest.raises(TableError, match=r"^here is a SimpleNamespace; expected an AnnData object"):
        Table.of_anndata(SimpleNamespace(**parts), "here")


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("x_micrometer", math.nan, "x_micrometer of row 'FOV_1' is nan; expected a finite number"),
        ("len_y_micrometer", math.inf, "len_y_micrometer of row 'FOV_1' is inf"),
        ("y_micrometer", -math.inf, "y_micrometer of row 'FOV_1' is -inf"),
        ("x_micrometer", -0.5, "ROI 'FOV_1' begins at -0.5 µm in x and is 10 µm long; expected"),
        ("len_x_micrometer", 0, "ROI 'FOV_1' begins at 1.5 µm in x and is 0 µm long; expected"),
        ("len_z_micrometer", -3, "ROI 'FOV_1' begins at 0 µm in z and is -3 µm long; expected"),
    ],
)
def test_bad_boxes_are_errors_that_name_table_roi_got_and_expected(
    tmp_path: Path, column: str, value: float, said: str
) -> None:
    rows = good_rows()
    rows["FOV_1"][column] = value
    write_roi_table(image(tmp_path), "bad", rows)
    with pytest.raises(TableError, match=f"image/tables/bad: {said}"):
        read_table(tmp_path / "image", "bad").rois("zyx")


def test_what_float32_leaves_below_zero_is_zero(tmp_path: Path) -> None:
    rows = good_rows()
    rows["FOV_1"]["x_micrometer"] = -1e-5
    write_roi_table(image(tmp_path), "noise", rows)
    assert read_table(tmp_path / "image", "noise").rois("yx")[0].start_um["x"] == 0


@pytest.mark.parametrize("start", [-1e-4, -1.001e-4])
def test_a_start_below_zero_is_noise_up_to_a_tenth_of_a_nanometre(start: float) -> None:
    table = Table(Path("t"), ("a",), {"x_micrometer": (start,), "len_x_micrometer": (1.0,)})
    if start == -1e-4:
        assert table.rois("x")[0].start_um == {"x": 0.0}
    else:
        with pytest.raises(TableError, match="expected a start of 0 or more"):
            table.rois("x")


def test_boxes_are_relative_to_an_origin() -> None:
    columns = {"x_micrometer": (-20.0, -4.0), "len_x_micrometer": (5.0, 5.0)}
    rois = Table(Path("t"), ("a", "b"), columns).rois("x", {"x": -20.0})
    assert [roi.start_um["x"] for roi in rois] == [0.0, 16.0]


@pytest.mark.parametrize(("backend", "moves"), [("csv", True), ("csv_v1", True), ("odd", False)])
def test_boxes_of_a_backend_that_is_unknown_cannot_be_moved(
    tmp_path: Path, backend: str, moves: bool
) -> None:
    write_csv(image(tmp_path), "t", "x\n1\n", backend=backend)
    reason = why_not_moved(tmp_path / "image", "t")
    assert (reason is None) == moves
    assert moves or "its backend 'odd' is unknown" in str(reason)


@pytest.mark.parametrize(
    ("columns", "boxes"),
    [
        ("x_micrometer,len_x_micrometer", True),
        ("x_micrometer,area", False),
        ("area,len_x_micrometer", False),
        ("area,volume", False),
    ],
)
def test_a_table_of_no_type_has_boxes_if_it_has_their_columns(
    tmp_path: Path, columns: str, boxes: bool
) -> None:
    write_csv(image(tmp_path), "t", f"FieldIndex,{columns}\na,1,2\n")
    assert has_boxes(tmp_path / "image", "t") == boxes


@pytest.mark.parametrize("kind", ["roi_table", "masking_roi_table", "feature_table", "other"])
def test_the_type_of_a_table_decides_whatever_its_columns(tmp_path: Path, kind: str) -> None:
    write_csv(image(tmp_path), "t", "FieldIndex,x_micrometer,len_x_micrometer\na,1,2\n", type=kind)
    assert has_boxes(tmp_path / "image", "t") == kind.endswith("roi_table")


def test_a_bad_box_on_an_axis_that_the_image_lacks_does_not_matter(tmp_path: Path) -> None:
    rows = good_rows()
    rows["FOV_1"]["len_z_micrometer"] = math.nan
    write_roi_table(image(tmp_path), "flat", rows)
    assert len(read_table(tmp_path / "image", "flat").rois("yx")) == 2


def test_an_empty_table_and_missing_columns_are_errors(tmp_path: Path) -> None:
    write_csv(image(tmp_path), "empty", ",".join(["FieldIndex", *COLUMNS]) + "\n")
    with pytest.raises(TableError, match="empty; expected a row for every ROI"):
        read_table(tmp_path / "image", "empty").rois("yx")
    rows = {name: {"x_micrometer": row["x_micrometer"]} for name, row in good_rows().items()}
    write_roi_table(tmp_path / "image", "narrow", rows)
    with pytest.raises(TableError, match=r"no column 'y_micrometer'; it has \['x_micrometer'\]"):
        read_table(tmp_path / "image", "narrow").rois("yx")


def test_a_missing_table_is_an_error_that_says_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(
        TableError, match=r"no table 'other'; the image has \[\]\. .* fusion\.tile_table"
    ):
        read_table(image(tmp_path), "other")
    write_roi_table(tmp_path / "image", "FOV_ROI_table", good_rows())
    with pytest.raises(TableError, match=r"the image has \['FOV_ROI_table'\]"):
        read_table(tmp_path / "image", "other")


@pytest.mark.parametrize("name", ["..", "../../../etc", "/etc", "a/b", "", ".x"])
def test_names_of_tables_are_checked(tmp_path: Path, name: str) -> None:
    with pytest.raises(PlateError, match="not safe as a path"):
        table_path(image(tmp_path), name)
    (tmp_path / "image" / "tables").mkdir()
    (tmp_path / "image" / "tables" / ".zattrs").write_text(json.dumps({"tables": [name]}))
    with pytest.raises(PlateError, match="not safe as a path"):
        table_names(tmp_path / "image")


def test_a_backend_that_nobody_knows_is_an_error(tmp_path: Path) -> None:
    write_csv(image(tmp_path), "t", "x\n1\n", backend="sqlite")
    with pytest.raises(TableError, match=r"backend 'sqlite' is unknown; .* one of \['anndata'"):
        read_table(tmp_path / "image", "t")


@pytest.mark.parametrize(
    ("text", "index_key", "names"),
    [
        ("FieldIndex,x_micrometer\na,1\nb,2\n", "FieldIndex", ("a", "b")),
        ("x_micrometer,label\n1,7\n2,8\n", None, ("7", "8")),
        ("x_micrometer,id\n1,7\n2,8\n", "id", ("7", "8")),
        ("x_micrometer\n1\n2\n", None, ("0", "1")),
        (",x_micrometer\na,1\nb,2\n", None, ("a", "b")),
    ],
)
def test_the_names_of_rows_come_from_the_index(
    tmp_path: Path, text: str, index_key: str | None, names: tuple[str, ...]
) -> None:
    write_csv(image(tmp_path), "t", text, index_key=index_key)
    table = read_table(tmp_path / "image", "t")
    assert table.names == names
    assert table.column("x_micrometer") == (1.0, 2.0)


def chunk_of(array: Path) -> Path:
    (chunk,) = (p for p in array.rglob("*") if p.is_file() and not p.name.startswith("."))
    return chunk


@pytest.mark.parametrize(
    "spoil",
    [
        lambda table: (table / ".zattrs").write_text("{"),
        lambda table: (table / ".zattrs").write_text("[]"),
        lambda table: (table / "X" / ".zarray").unlink(),
        lambda table: (table / "X" / ".zarray").write_text("{}"),
        lambda table: (table / "obs" / ".zattrs").write_text('{"_index": "gone"}'),
        lambda table: (table / "obs" / ".zattrs").write_text('{"_index": 5}'),
        lambda table: chunk_of(table / "X").write_bytes(b"broken"),
        lambda table: chunk_of(table / "obs" / "FieldIndex").write_bytes(b"broken"),
        lambda table: (table / "X" / ".zarray").write_text(
            (table / "X" / ".zarray").read_text().replace('"shape"', '"shapes"')
        ),
    ],
)
def test_a_broken_anndata_table_is_our_error(tmp_path: Path, spoil: Any) -> None:
    write_roi_table(image(tmp_path), "t", good_rows())
    spoil(tmp_path / "image" / "tables" / "t")
    with pytest.raises(TableError, match="image/tables/t"):
        read_table(tmp_path / "image", "t").rois("zyx")


@pytest.mark.parametrize("backend", ["csv", "parquet", "json"])
@pytest.mark.parametrize(
    "content", [None, b"", b"\xff\xfe\0", b"[1, 2]", b"a,b\n1\n1,2,3\n", b"{}"]
)
def test_a_broken_file_is_our_error_or_has_no_boxes(
    tmp_path: Path, backend: str, content: bytes | None
) -> None:
    group = write_csv(image(tmp_path), "t", "", backend=backend)
    for file in (group / f"table.{backend}", group / "table" / ".zattrs"):
        file.unlink(missing_ok=True)
        if content is not None:
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(content)
    with pytest.raises(TableError, match="image/tables/t"):
        read_table(tmp_path / "image", "t").rois("yx")


@pytest.mark.parametrize("listed", [None, 5, "text", [None], {"a": 1}, [["a"]]])
def test_a_list_of_tables_that_is_none_is_our_error(tmp_path: Path, listed: object) -> None:
    folder = image(tmp_path) / "tables"
    folder.mkdir()
    (folder / ".zattrs").write_text(json.dumps({"tables": listed}))
    with pytest.raises(PlatefuseError, match="image/tables"):
        table_names(tmp_path / "image")


def test_names_without_a_table_are_known(tmp_path: Path) -> None:
    path = image(tmp_path)
    write_roi_table(path, "a", good_rows())
    (path / "tables" / ".zattrs").write_text('{"tables": ["gone", "a", "gone"]}')
    assert (table_names(path), stale_names(path)) == (["a"], ["gone"])
    assert stale_names(tmp_path / "nothing") == []


def test_tables_that_nobody_listed_are_found_too(tmp_path: Path) -> None:
    path = image(tmp_path)
    for name in ("b", "a"):
        write_roi_table(path, name, good_rows())
    (path / "tables" / ".zattrs").write_text('{"tables": ["b"]}')
    (path / "tables" / "no_group").mkdir()
    assert table_names(path) == ["b", "a"]
    assert table_names(tmp_path / "nothing") == []

"""A backend is one class: whoever reads, moves or converts a table finds it by its name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from platefuse.errors import TableError
from platefuse.ngff.create import write_group
from platefuse.ngff.metadata import V2, V3, Format, all_attributes
from platefuse.tables.backends import BACKENDS, Backend, copy_table, find_backend
from platefuse.tables.move import MovedRegion, move_table
from platefuse.tables.rows import Content
from platefuse.tables.table import read_table


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

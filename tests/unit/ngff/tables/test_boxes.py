"""Boxes on images without a pixel size, with one plane, and at negative positions."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from platefuse.errors import ImageError, TableError
from platefuse.ngff.create import create_image
from platefuse.ngff.image import Multiscale
from platefuse.ngff.tables.boxes import boxes_in, check_known_size
from platefuse.ngff.tables.table import Table

Row = tuple[float, float, float, float]
GRID: list[Row] = [(y, x, 2160, 2560) for y in (0, 2160) for x in (0, 2560)]


def image_at(
    path: Path, chunks: Sequence[int] = (2160, 2560), size: float = 1.0, unit: str | None = None
) -> Multiscale:
    """A flat image of 2 × 2 fields of 2160 × 2560 pixels, without a chunk."""
    create_image(
        path, name="0", axes="yx", pixel_size=[size] * 2, shape=[4320, 5120],
        dtype=np.dtype(np.uint16), chunks=chunks, shards=None, version="0.4",
    )  # fmt: skip
    attributes = json.loads((path / ".zattrs").read_text())
    for axis in attributes["multiscales"][0]["axes"]:
        axis.pop("unit")
        axis |= {"unit": unit} if unit else {}
    (path / ".zattrs").write_text(json.dumps(attributes))
    return Multiscale.read(path)


def table_of(rows: Sequence[Row], factor: float = 1.0) -> Table:
    names = ("y_micrometer", "x_micrometer", "len_y_micrometer", "len_x_micrometer")
    columns = {name: tuple(row[k] * factor for row in rows) for k, name in enumerate(names)}
    return Table(Path("T"), tuple(f"FOV_{k}" for k in range(len(rows))), columns)


def check(image: Multiscale, table: Table) -> None:
    check_known_size(image, boxes_in(image, "yx", table)[0], table)


WHOLE: list[Row] = [(0, 0, 4320, 5120)]


@pytest.mark.parametrize(
    ("rows", "factor"),
    [(GRID, 0.1625), (GRID, 1 / 3), (GRID, 0.5), (GRID, 0.65), (WHOLE, 0.325), (WHOLE, 0.65)],
)
def test_boxes_in_micrometres_need_a_pixel_size(
    tmp_path: Path, rows: list[Row], factor: float
) -> None:
    table = table_of(rows, factor)
    with pytest.raises(ImageError, match=r"has no pixel size .* cover \d+ % of y and \d+ % of x"):
        check(image_at(tmp_path / "0"), table)
    check(image_at(tmp_path / "1", unit="micrometer"), table)


@pytest.mark.parametrize(
    ("rows", "warned"),
    [
        (GRID, False),
        ([(0, 0, 4320, 5120)], False),
        (GRID[:1], True),  # three fields are not in the table
        (GRID[1:3], False),
        ([(0, 2560, 2160, 2560), (2160, 2560, 2160, 2560)], True),
        ([(12, 7, 4300, 5100)], True),  # what all acquisitions show
        ([(y + 12, x, 2140, 2553.2) for y, x, *_ in GRID], True),
    ],
)
def test_boxes_in_pixels_are_never_refused(
    tmp_path: Path, rows: list[Row], warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "platefuse"):
        check(image_at(tmp_path), table_of(rows))
    assert bool(caplog.messages) == warned
    assert not warned or "taken for pixels" in caplog.text


def test_negative_positions_are_relative_to_the_smallest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = image_at(tmp_path, size=0.5, unit="micrometer")
    rows = [(y - 2160, x - 99, h - 3, w - 4) for y, x, h, w in GRID]
    acquired = [(y + 3, x - 4, h, w) for y, x, h, w in rows]
    boxes, others = boxes_in(image, "yx", table_of(rows, 0.5), table_of(acquired, 0.5))
    assert boxes[0].start_um == {"y": 0.0, "x": 2.0}
    assert others[3].start_um == {"y": 1081.5, "x": 1280.0}
    assert "T: its boxes begin at negative positions" in caplog.text


def test_negative_positions_that_do_not_fit_are_an_error(tmp_path: Path) -> None:
    image = image_at(tmp_path, size=0.5, unit="micrometer")
    rows = [(y - 2160, 2 * x - 99, h, w) for y, x, h, w in GRID]
    with pytest.raises(TableError, match=r"ROI 'FOV_0' begins at -1080 µm in y"):
        boxes_in(image, "yx", table_of(rows, 0.5))

"""Where the wells of a plate are drawn, in units of a map: x to the right, y down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from platefuse.quality.model import JudgedWell, PlateReport

PITCH = 40
"""Distance between the centres of neighbouring wells."""

SIZE = 36
"""Edge of the square of a well."""


@dataclass(frozen=True)
class Spot:
    """One place of the plate's layout.

    Attributes
    ----------
    name : str
        Name of the well, for example ``"B/03"``.
    row, column : int
        Its indices in the layout.
    index : int, optional
        Index of the well among the wells of the report; None if it was not checked.
    well : JudgedWell, optional
        The well.
    left_out : str
        Why it was left out; empty if it was not.
    """

    name: str
    row: int
    column: int
    index: int | None = None
    well: JudgedWell | None = None
    left_out: str = ""


@dataclass(frozen=True)
class Layout:
    """The layout of a plate.

    Attributes
    ----------
    rows, columns : tuple of str
        Their names, in order.
    spots : tuple of Spot
        All places, row by row.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    spots: tuple[Spot, ...]

    @classmethod
    def of(cls, report: PlateReport) -> Layout:
        """The layout of a plate, with rows and columns that only its wells name at the end."""
        names = [w.checked.well for w in report.wells] + list(report.left_out)
        rows = tuple(dict.fromkeys([*report.rows, *(split(n)[0] for n in names)]))
        columns = tuple(dict.fromkeys([*report.columns, *(split(n)[1] for n in names)]))
        return cls(rows, columns, tuple(_spots(report, rows, columns)))

    def by_row(self) -> list[tuple[str, tuple[Spot, ...]]]:
        """The spots of each row, with the row's name."""
        count = len(self.columns)
        return [(name, self.spots[i * count : (i + 1) * count]) for i, name in enumerate(self.rows)]

    @property
    def margin(self) -> int:
        """Width of the space for the names of the rows, and height of that for the columns."""
        return self.font_size * max(2, *(len(n) for n in ("", "", *self.rows)))

    @property
    def dense(self) -> bool:
        """Whether wells are drawn so small that signs and names are larger than usual."""
        return len(self.columns) > 24

    @property
    def font_size(self) -> int:
        """Size of the names of rows and columns: larger on plates that are drawn smaller."""
        return 22 if self.dense else 14

    @property
    def shown_width(self) -> int:
        """Width of the map in the page, in pixels: wells of small plates are drawn larger."""
        return round(min(self.width * 1.6, 980))

    @property
    def width(self) -> int:
        """Width of the map."""
        return self.margin + PITCH * len(self.columns)

    @property
    def height(self) -> int:
        """Height of the map."""
        return self.margin + PITCH * len(self.rows)


def split(name: str) -> tuple[str, str]:
    """Names of row and column of a well.

    Examples
    --------
    >>> split("B/03")
    ('B', '03')
    """
    row, _, column = name.partition("/")
    return row, column


def _spots(report: PlateReport, rows: tuple[str, ...], columns: tuple[str, ...]) -> Iterator[Spot]:
    known = {split(w.checked.well): (i, w) for i, w in enumerate(report.wells)}
    left_out = {split(name): why for name, why in report.left_out.items()}
    for y, row in enumerate(rows):
        for x, column in enumerate(columns):
            index, well = known.get((row, column), (None, None))
            why = "" if well else left_out.get((row, column), "")
            yield Spot(f"{row}/{column}", y, x, index, well, why)

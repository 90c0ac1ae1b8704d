"""Format sections and tables of the report as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Section:
    """The section of one suite in the report.

    Attributes
    ----------
    name : str
        Name of the suite.
    title : str
        Its heading.
    text : str
        Description of the measurement.
    tables : sequence of Table
        The results.
    """

    name: str
    title: str
    text: str
    tables: Sequence[Table]

    def markdown(self) -> str:
        """The section as Markdown, without a newline at its end."""
        return "\n\n".join([f"### {self.title}", self.text, *(t.markdown() for t in self.tables)])


@dataclass
class Table:
    """A table; rows are added one by one.

    Attributes
    ----------
    header : sequence of str
        Names of the columns.
    rows : list of list of str
        The rows; shorter ones are padded with empty cells.
    caption : str
        The line above the table.
    """

    header: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    caption: str = ""

    def add(self, *cells: str) -> None:
        """Add a row."""
        self.rows.append(cells)

    def markdown(self) -> str:
        """The table as Markdown.

        Examples
        --------
        >>> print(Table(["side", "s"], [["platefuse", "2.5"]]).markdown())
        | side | s |
        | --- | --- |
        | platefuse | 2.5 |
        """
        width = len(self.header)
        padded = [[*row, *[""] * (width - len(row))] for row in self.rows]
        lines = [_line(row) for row in [self.header, ["---"] * width, *padded]]
        return "\n".join([*([self.caption, ""] if self.caption else []), *lines])


def seconds(value: float) -> str:
    """Format seconds with the significant digits only.

    Examples
    --------
    >>> seconds(0.1234), seconds(56.78)
    ('0.12', '56.8')
    """
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def times(value: float) -> str:
    """Format a ratio.

    Examples
    --------
    >>> times(1.2345), times(23.456)
    ('1.23 ×', '23.5 ×')
    """
    return f"{seconds(value)} ×"


def megabytes(value: float) -> str:
    """Format megabytes as a whole number."""
    return f"{value:.0f}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

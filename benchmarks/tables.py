"""Tables of the report, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Section:
    """One suite's part of the report.

    Attributes
    ----------
    name : str
        Name of the suite.
    title : str
        Its heading.
    text : str
        What was done.
    tables : sequence of Table
        What was found.
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
    """A table that grows row by row.

    Attributes
    ----------
    header : sequence of str
        Names of the columns.
    rows : list of list of str
        The rows; shorter ones end in empty cells.
    caption : str
        A line above it.
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
    """Seconds with as many digits as mean something.

    Examples
    --------
    >>> seconds(0.1234), seconds(56.78)
    ('0.12', '56.8')
    """
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def times(value: float) -> str:
    """A ratio.

    Examples
    --------
    >>> times(1.2345), times(23.456)
    ('1.23 ×', '23.5 ×')
    """
    return f"{seconds(value)} ×"


def megabytes(value: float) -> str:
    """Megabytes, whole."""
    return f"{value:.0f}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

"""The figures of a complete run, as a table in docs/reliability.md."""

from __future__ import annotations

import platform
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.torture.shim import ERRORS

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- points: begin -->\n", "<!-- points: end -->\n"
_PACKAGES = ("platefuse", "numpy", "zarr", "zarrs")


@dataclass(frozen=True)
class Figures:
    """What was tried.

    Attributes
    ----------
    tried : Counter
        Number of points by operation and kind.
    faults, calls, points : Counter
        By operation: number of points with a fault, of calls that change files, and of all points.
    """

    tried: Counter[tuple[str, str]]
    faults: Counter[str]
    calls: Counter[str]
    points: Counter[str]

    def table(self) -> str:
        """The figures as Markdown."""
        groups = {
            "killed before or after": ("killed before", "killed after"),
            "killed inside": ("killed inside",),
            "partly written, then full": ("a part written, then ENOSPC from there on",),
            **{error: (f"{error} once", f"{error} from there on") for error in ERRORS},
            "second run": ("another run",),
        }
        columns = {
            name: [
                self.calls[name],
                self.points[name],
                *(sum(self.tried[name, kind] for kind in kinds) for kinds in groups.values()),
                self.faults[name],
            ]
            for name in self.calls
        }
        columns["**all**"] = [sum(numbers) for numbers in zip(*columns.values(), strict=True)]
        head = ["operation", "calls", "points", *groups, "faults"]
        lines = [head, ["---"] + ["---:"] * (len(head) - 1)]
        lines += [[name, *map(str, numbers)] for name, numbers in columns.items()]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)

    def text(self) -> str:
        """Date, versions and table."""
        versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
        return (
            f"{datetime.now(UTC):%Y-%m-%d}: {self.tried.total():,} of {self.points.total():,} "
            f"points tried, {sum(self.faults.values())} with a fault. {versions}, "
            f"Python {platform.python_version()}, Linux {platform.release().split('-')[0]}.\n\n"
            f"{self.table()}\n"
        )


def write_figures(figures: Figures, page: Path = PAGE) -> None:
    """Write the figures between the marks of a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{page}: expected the lines {BEGIN!r} and {END!r}.")
    page.write_text(f"{before}{BEGIN}{figures.text()}{END}{after}", encoding="utf-8")

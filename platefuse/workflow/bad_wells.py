"""Wells that cannot be processed: the message that lists them, and the files that keep them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from platefuse.errors import counted
from platefuse.storage.files import write_text

BAD, SKIPPED = "bad_wells.tsv", "skipped.tsv"
"""Names of the files in the results of a plate: wells that stopped a run, and wells left out."""

_SHOWN = 20


@dataclass(frozen=True)
class BadWell:
    """A well that cannot be processed.

    Attributes
    ----------
    well : str
        Its row and column, for example ``"B/03"``.
    reason : str
        Why not.
    """

    well: str
    reason: str


def describe(plate: str, bad: Sequence[BadWell], total: int, file: Path | None) -> str:
    """A message that lists bad wells: the first in words, those with the same reason together.

    Parameters
    ----------
    plate : str
        Name of the plate in the config.
    bad : sequence of BadWell
        The wells.
    total : int
        Number of wells that were checked.
    file : Path or None
        The file that lists all of them, if it is written.
    """
    groups: dict[str, list[BadWell]] = {}
    for each in bad:
        groups.setdefault(each.reason.replace(each.well, "…"), []).append(each)
    place = "" if file is None else f" ({file} lists all)"
    all_wells = counted(total, "well", "wells")
    lines = [f"{len(bad)} of {all_wells} of plate {plate} cannot be processed{place}:"]
    for group in list(groups.values())[:_SHOWN]:
        names = ", ".join(each.well for each in group[:_SHOWN])
        more = f" and {len(group) - _SHOWN} more" if len(group) > _SHOWN else ""
        lines.append(f"- {names}{more}: {group[0].reason}")
    if len(groups) > _SHOWN:
        others = sum(map(len, list(groups.values())[_SHOWN:]))
        lines.append(f"- and {counted(others, 'more well', 'more wells')}")
    return "\n".join(lines)


def write_list(file: Path, bad: Iterable[BadWell]) -> None:
    """Write the file of bad wells; without any, an old one is removed."""
    rows = [f"{each.well}\t{' '.join(each.reason.split())}\n" for each in bad]
    if not rows:
        file.unlink(missing_ok=True)
        return
    write_text(file, "".join(["well\treason\n", *rows]))


def read_list(file: Path) -> frozenset[str]:
    """The wells in such a file, for example ``"B/03"``; none if it does not exist."""
    return frozenset(read_reasons(file))


def read_reasons(file: Path) -> dict[str, str]:
    """The wells in such a file with the reasons; empty if it does not exist."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    rows: Iterable[Mapping[str, str]] = csv.DictReader(
        lines, delimiter="\t", quoting=csv.QUOTE_NONE
    )
    return {row["well"]: row["reason"] for row in rows}

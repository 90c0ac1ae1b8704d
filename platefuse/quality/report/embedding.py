"""Which pictures are in the page, and which are links to files beside it."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from platefuse.quality.model import JudgedWell, PlateReport
from platefuse.quality.report.summary import acquisition_badness, is_flagged, worst_first

_TYPES = {
    ".webp": "image/webp",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
}
_QUOTES = 2  # bytes of JSON around a picture

PictureKey = tuple[int, int]
"""Index of a well in the report, and index of a picture among those of the well."""


@dataclass(frozen=True)
class Embedded:
    """The pictures of a page.

    Attributes
    ----------
    uris : mapping of PictureKey to str
        The pictures that are in the page, as data URIs.
    linked, missing : int
        Number of pictures that are links, and of those that have no file.
    """

    uris: Mapping[PictureKey, str]
    linked: int = 0
    missing: int = 0


def picture_order(report: PlateReport) -> Iterator[PictureKey]:
    """All pictures of a plate, the ones that matter most first.

    First the overlay of the worst acquisition of every well, then all pictures of flagged wells,
    then those of all other wells; each time the worst wells first.
    """
    wells = report.wells
    order = worst_first(wells)
    first = [(i, k) for i in order if (k := worst_overlay(wells[i])) is not None]
    yield from first
    done = set(first)
    flagged = [i for i in order if is_flagged(wells[i])]
    for i in [*flagged, *(i for i in order if not is_flagged(wells[i]))]:
        yield from ((i, k) for k in range(len(wells[i].checked.pictures)) if (i, k) not in done)


def worst_overlay(well: JudgedWell) -> int | None:
    """Index of the overlay of the worst acquisition of a well; None if it has no overlay."""
    pictures = well.checked.pictures
    overlays = [k for k, picture in enumerate(pictures) if picture.kind == "overlay"]
    return max(
        overlays, key=lambda k: acquisition_badness(well, pictures[k].acquisition), default=None
    )


def embed(report: PlateReport, pictures: Path, room: int) -> Embedded:
    """Read pictures while there is room for them, in the order of `picture_order`.

    A picture without a file is left out: a report of a plate is worth more than an error.

    Parameters
    ----------
    report : PlateReport
        The report.
    pictures : Path
        The folder that has a folder ``row/column`` for each well.
    room : int
        Number of bytes that they may take in the page.
    """
    uris: dict[PictureKey, str] = {}
    linked = missing = 0
    for index, k in picture_order(report):
        checked = report.wells[index].checked
        file = pictures / checked.well / checked.pictures[k].file
        head = f"data:{_TYPES.get(file.suffix.lower(), 'application/octet-stream')};base64,"
        try:
            length = len(head) + 4 * -(-file.stat().st_size // 3) + _QUOTES
            if length > room:
                linked += 1
                continue
            uris[index, k] = head + base64.b64encode(file.read_bytes()).decode("ascii")
        except OSError:
            missing += 1
            continue
        room -= length
    return Embedded(uris, linked, missing)

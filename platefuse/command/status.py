"""``platefuse status``: what has been done to a plate, as a table."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from platefuse.errors import counted

if TYPE_CHECKING:
    from platefuse.workflow.status import ImageStatus, PlateStatus, ShiftRange

_MANY = 8
"""So many images of a well without an acquisition are fields."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.set_defaults(run=run)
    parser.add_argument("plate", type=Path, help="folder of the plate")
    parser.add_argument("--json", action="store_true", help="everything, for programs")
    parser.add_argument(
        "--fused",
        type=Path,
        metavar="PATH",
        help="the fused plate (default: <plate>_fused.zarr next to the plate)",
    )


def run(args: argparse.Namespace) -> None:
    """Print the state of every image."""
    from platefuse.workflow.status import plate_status

    status = plate_status(args.plate, args.fused)
    if args.json:
        import json

        print(json.dumps(status.as_dict(), indent=2))
    else:
        print("\n".join([*status_table(status), "", status_summary(status)]))


def status_table(status: PlateStatus) -> list[str]:
    """Lines of a table with a row for each image of each well."""
    ranges = [image.shifts for image in status.images if image.shifts]
    along_z = any(r.of_axis("z") not in (None, (0, 0)) for r in ranges)
    axes = "zyx" if along_z else "yx"
    rows = [["well", "image", "acquisition", "state", "backup", "fused"]]
    rows[0] += [f"shift {axis} (px)" for axis in axes]
    if restored := any(image.restored for image in status.images):
        rows[0].append("restored")
    for well in status.wells:
        if well.problem is not None:
            rows.append([well.well, "", "", f"unreadable: {well.problem}"])
        for image in together(well.images):
            acquisition = "–" if image.acquisition is None else str(image.acquisition)
            row = [well.well, image.image, acquisition]
            if image.problem is not None:
                rows.append([*row, f"{image.state}: {image.problem}"])
                continue
            row += [image.state, "kept" if image.backup else "–", "yes" if image.fused else "–"]
            row += [shift_text(image.shifts, axis) for axis in axes]
            rows.append([*row, image.restored or "–"] if restored else row)
    return aligned(rows)


def together(images: Sequence[ImageStatus]) -> Iterator[ImageStatus]:
    """Images of one acquisition and state as one, with the range of their shifts.

    A well that has one image for each field may have hundreds of them.
    """
    groups: dict[object, list[ImageStatus]] = {}
    for image in images:
        is_one = image.acquisition is None and len(images) < _MANY
        alone = image.image if image.problem is not None or image.backup or is_one else ""
        state = (image.state, image.fused, image.shifts is None, image.restored)
        key = (alone, image.acquisition, *state)
        groups.setdefault(key, []).append(image)
    for first, *more in groups.values():
        shifts = first.shifts
        for other in more:
            if shifts is not None and other.shifts is not None:
                shifts = shifts.joined(other.shifts)
        name = f"{first.image} … {more[-1].image} ({len(more) + 1})" if more else first.image
        yield replace(first, image=name, shifts=shifts)


def status_summary(status: PlateStatus) -> str:
    """One line: how many images are in which state."""
    states = ", ".join(f"{count} {state}" for state, count in status.counts.items())
    fused = sum(well.fused for well in status.wells)
    elsewhere = "" if fused else " (another fused plate: --fused PATH)"
    backups = sum(image.backup is not None for image in status.images)
    text = (
        f"{counted(len(status.images), 'image', 'images')} in "
        f"{counted(len(status.wells), 'well', 'wells')}: {states or 'none'}. "
        f"{counted(fused, 'well', 'wells')} fused in {status.fused_plate}{elsewhere}. "
        f"{counted(backups, 'backup', 'backups')}."
    )
    if restored := sum(image.restored is not None for image in status.images):
        text += f" {counted(restored, 'original was', 'originals were')} put back."
    if status.absent:
        text += f" {counted(len(status.absent), 'well is', 'wells are')} listed and absent."
    if unreadable := sum(well.problem is not None for well in status.wells):
        text += f" {counted(unreadable, 'well', 'wells')} cannot be read."
    return text


def shift_text(shifts: ShiftRange | None, axis: str) -> str:
    """Lowest and highest shift along one axis; only one number if they are the same.

    Examples
    --------
    >>> from platefuse.workflow.status import ShiftRange
    >>> shift_text(ShiftRange("yx", (7.0, -2.5), (7.0, -2.25), rois=4), "x")
    '-2.5 … -2.25'
    """
    ends = None if shifts is None else shifts.of_axis(axis)
    return "–" if ends is None else " … ".join(dict.fromkeys(map(signed, ends)))


def signed(shift_px: float) -> str:
    """A shift to a hundredth of a pixel, with its sign.

    Examples
    --------
    >>> signed(7.0), signed(-2.375), signed(-0.001)
    ('+7', '-2.38', '0')
    """
    rounded = round(shift_px, 2)
    return f"{rounded:+g}" if rounded else "0"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with the cells of `rows` under each other; a short row's last cell may overhang.

    Examples
    --------
    >>> aligned([["well", "state"], ["B/03", "raw"]])
    ['well  state', 'B/03  raw']
    """
    full = [row for row in rows if len(row) == max(map(len, rows))]
    widths = [max(map(len, column)) for column in zip(*full, strict=True)]
    lines = []
    for row in rows:
        cells = ["".join(c if c.isprintable() else "?" for c in cell) for cell in row]
        padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=False)]
        lines.append("  ".join(padded).rstrip())
    return lines

"""Compare the measured places of the example plate with those it was made with."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from platefuse.command.example import KNOWN_ERRORS, KNOWN_SHIFTS
from platefuse.command.status import aligned, signed
from platefuse.errors import PlatefuseError
from platefuse.ngff.metadata import read_attributes
from platefuse.records import FieldPlace, read_places

TOLERANCE_PX = 0.2
COLUMNS = ("well", "acquisition", "known", "found", "worst", "fields")

Numbers = NDArray[np.float64]


def main() -> int:
    """Print the comparison; returns 1 if a field is not where it truly is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plate", type=Path, help="plate that `platefuse example --raw` has written")
    parser.add_argument("fields", type=Path, help="fields.tsv in the results of its run")
    args = parser.parse_args()
    try:
        rows, wrong = compare(args.plate, read_places(args.fields).values())
    except (PlatefuseError, KeyError) as error:
        print(f"compare: {error}", file=sys.stderr)
        return 1
    print(
        "What has to be added to the places of each acquisition, in pixels: +y is down, +x right."
    )
    print("Known, found, and the worst error of a field (reference: of its stage position):\n")
    print("\n".join(f"  {line}" for line in aligned(rows)))
    if wrong:
        print(f"\nWrong: {', '.join(wrong)}. Please report this.", file=sys.stderr)
        return 1
    print(f"\n{where_to_look(args.plate)}")
    return 0


def compare(plate: Path, places: Iterable[FieldPlace]) -> tuple[list[Sequence[str]], list[str]]:
    """Rows of the table, and the images with a field that is not where it truly is."""
    groups: dict[tuple[str, str], dict[str, FieldPlace]] = {}
    for place in places:
        groups.setdefault((place.key.well, place.key.image), {})[place.key.field] = place
    rows: list[Sequence[str]] = [COLUMNS]
    wrong = []
    for (well, image), fields in groups.items():
        attributes = read_attributes(plate / well / image)
        shifts = cast("Mapping[str, Sequence[float]]", attributes[KNOWN_SHIFTS])
        known = np.array(shifts[image], float)
        statuses = Counter(place.status for place in fields.values())
        said = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
        found = _found(fields, groups[well, next(iter(shifts))], attributes)
        is_measured = bool(set(statuses) & {"reference", "measured"})
        middle = np.median(found, axis=0) if any(known) else np.zeros(2)
        worst = float(np.abs(found - known).max())
        rows.append(
            (
                well,
                image,
                " ".join(map(signed, known)),
                " ".join(map(signed, middle)) if is_measured else "–",
                f"{worst:.2f}" if is_measured else "–",
                said,
            )
        )
        if is_measured and worst > TOLERANCE_PX:
            wrong.append(f"{well}/{image} has a field that is {worst:.2f} pixels off")
    return rows, wrong


def _found(
    fields: Mapping[str, FieldPlace],
    reference: Mapping[str, FieldPlace],
    attributes: Mapping[str, object],
) -> Numbers:
    """Shift (y, x) of each field against the reference; of the reference, errors of positions."""
    own = np.array([place.shift_px[1:] for place in fields.values()])
    if fields is reference:  # what was added must make up for the error of the stage
        off = own + np.array(attributes[KNOWN_ERRORS])
        return np.asarray(off - np.median(off, axis=0))
    return np.asarray(own - [reference[name].shift_px[1:] for name in fields])


def where_to_look(plate: Path) -> str:
    """What to open, and with what."""
    fused = plate.with_name(f"{plate.stem}_fused.zarr")
    return f"""\
Raw plate:   {plate}, not changed
Fused plate: {fused}, one image for each well and acquisition, on one pixel grid
Report:      results/demo/report.html, how well everything fits: open it in a browser
Places:      results/demo/fields.tsv, a row for each field

Open the fused plate with a viewer for OME-Zarr 0.4, such as napari with the plugin napari-ome-zarr:
  napari --plugin napari-ome-zarr {fused}/B/02/0
Your own plate: see README.md"""


if __name__ == "__main__":
    sys.exit(main())

"""Compare the shifts in the records of the example plate with those it was made with."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from platefuse.cli import KNOWN_SHIFTS, aligned, shift_text, signed
from platefuse.errors import PlatefuseError
from platefuse.ngff.metadata import read_attributes
from platefuse.storage.typed_json import object_of
from platefuse.workflow.status import ImageStatus, PlateStatus, plate_status

TOLERANCE_PX = 0.01


def main() -> int:
    """Print the comparison; returns 1 if an image was moved by another shift."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plate", type=Path, help="plate that `platefuse example` has written")
    try:
        status = plate_status(parser.parse_args().plate)
        rows, wrong = compare(status)
    except PlatefuseError as error:
        print(f"compare: {error}", file=sys.stderr)
        return 1
    print("Shift (y x) of each acquisition in pixels, and what registration has found:\n")
    print("\n".join(f"  {line}" for line in aligned(rows)))
    if wrong:
        print(f"\nWrong: {', '.join(wrong)}. Please report this.", file=sys.stderr)
        return 1
    print(f"\n{where_to_look(status)}")
    return 0


def compare(status: PlateStatus) -> tuple[list[list[str]], list[str]]:
    """Rows of the table, and the images that were not moved by their known shift."""
    rows, wrong = [["well", "acquisition", "known", "found"]], []
    for well in status.wells:
        for image in well.images:
            folder = Path(status.plate, well.well, image.image)
            shift = object_of(read_attributes(folder).get(KNOWN_SHIFTS)).get(image.image)
            known = shift if isinstance(shift, list) else None
            expected = "unknown" if known is None else " ".join(map(signed, known))
            found = " ".join(shift_text(image.shifts, axis) for axis in "yx")
            rows.append([well.well, str(image.acquisition), expected, found])
            if known is None or not was_moved(image, known):
                wrong.append(f"{folder} was moved by {found}, expected {expected}")
    return rows, wrong


def was_moved(image: ImageStatus, expected: list[float]) -> bool:
    """Whether every box of an image was moved by a shift (y, x)."""
    if image.shifts is None:
        return False
    return all(
        abs(end - shift) < TOLERANCE_PX
        for axis, shift in zip("yx", expected, strict=True)
        for end in image.shifts.of_axis(axis) or (float("inf"),)
    )


def where_to_look(status: PlateStatus) -> str:
    """What to open, and with what."""
    well = status.wells[0]
    return f"""\
Registered plate: {status.plate}, each image in the place of its original
Fused plate:      {status.fused_plate}, one image for each well and acquisition

Open them with a viewer for OME-Zarr 0.4, such as napari with the plugin napari-ome-zarr:
  napari --plugin napari-ome-zarr {status.fused_plate}/{well.well}/{well.images[0].image}
Your own plate: see README.md"""


if __name__ == "__main__":
    sys.exit(main())

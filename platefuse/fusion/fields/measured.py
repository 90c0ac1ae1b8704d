"""Whether pixels are those by which the places of their fields were measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from platefuse.errors import MEASURE_AGAIN, RecordError, quoted
from platefuse.ngff.image import Multiscale
from platefuse.storage.trees import walk_files
from platefuse.storage.typed_json import JsonObject


@dataclass(frozen=True)
class MeasuredPixels:
    """What the pixels of an image were when its fields were measured.

    Attributes
    ----------
    state : mapping of str to object
        The `pixel_state` of the image.
    receipt : Path
        The receipt of the measured well.
    """

    state: Mapping[str, object]
    receipt: Path

    def check(self, image: Multiscale) -> None:
        """Check that the image has the same pixels now.

        Raises
        ------
        RecordError
            If not: its measured places are not true.
        """
        now = pixel_state(image)
        if now != self.state:
            changed = ", ".join(key for key in now if now[key] != self.state.get(key))
            raise RecordError(
                f"{image.path}: its pixels are not those by which its fields were placed: they "
                f"were changed or replaced after they had been measured (different: {changed}). "
                f"{MEASURE_AGAIN} For this well alone: --forcerun {quoted(self.receipt)}"
            )


def pixel_state(image: Multiscale) -> JsonObject:
    """What changes if the pixels of an image are replaced, at the cost of a look at each file.

    Returns
    -------
    dict
        JSON values: number, bytes and time of the last modification (nanoseconds) of the files of
        level 0, and the pixel size. An image that is moved, or copied with its times, keeps them.
    """
    found = [entry.stat() for _, entry in walk_files(image.level_paths[0]) if entry.is_file()]
    return {
        "files": len(found),
        "bytes": sum(each.st_size for each in found),
        "modified_ns": max((each.st_mtime_ns for each in found), default=0),
        "pixel_size_um": image.pixel_size_um,
    }

"""What the jobs that register raw plates have in common: the fields, and the places they found.

A place is where a field begins, on y and x in pixels, in the frame of its well: that of the first
acquisition. What a program does not find stays None.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Place = tuple[float, float]


@dataclass(frozen=True)
class RawField:
    """A field of a raw plate, as far as a program may know it.

    Attributes
    ----------
    index : int
        Its place in ``fields.json``.
    path : Path
        Its OME-Zarr image.
    well : str
        Its well.
    acquisition, number : int
        Its acquisition, and its number in it.
    row_column : (int, int)
        Its place in the grid.
    stage_px : (float, float)
        Where the stage had it.
    """

    index: int
    path: Path
    well: str
    acquisition: int
    number: int
    row_column: tuple[int, int]
    stage_px: Place

    def array(self, level: int = 0) -> Any:
        """A level, as a Zarr array with axes czyx."""
        import zarr

        return zarr.open(str(self.path / str(level)), mode="r")

    def pixels(self, level: int = 0) -> Any:
        """A level as a NumPy array, axes yx."""
        return self.array(level)[0, 0]


def read_raw_fields(folder: Path) -> list[RawField]:
    """Read ``fields.json``."""
    described = json.loads((folder / "fields.json").read_text())
    return [
        RawField(
            index,
            folder / described["plate"] / entry["well"] / entry["image"],
            entry["well"],
            entry["acquisition"],
            entry["number"],
            tuple(entry["row_column"]),
            tuple(entry["stage_px"]),
        )
        for index, entry in enumerate(described["fields"])
    ]


class Measuring:
    """A job that finds the places of the fields, well by well.

    Parameters
    ----------
    folder : str
        Where ``fields.json`` is.
    """

    def __init__(self, folder: str) -> None:
        self._fields = read_raw_fields(Path(folder))
        self._failed: dict[str, int] = {}
        self.notes: dict[str, Any] = {}

    def __call__(self) -> None:
        places: list[Place | None] = [None] * len(self._fields)
        for well in dict.fromkeys(field.well for field in self._fields):
            own = [field for field in self._fields if field.well == well]
            for field, place in zip(own, self.places(own), strict=True):
                places[field.index] = place
        self.notes = {"places": places, "failed": self._failed}

    def places(self, own: list[RawField]) -> list[Place | None]:
        """The places of the fields of a well, those of the first acquisition first."""
        raise NotImplementedError

    def attempt(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The result; None, with a note of the error, if there is one."""
        try:
            return function(*arguments)
        except Exception as error:  # peers raise errors of any class
            said = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            self._failed[said] = self._failed.get(said, 0) + 1
            return None


class Separately(Measuring):
    """Stitches the first acquisition, and registers every other field with that of its number.

    What fails stays where the stage had it.

    Parameters
    ----------
    folder : str
        Where ``fields.json`` is.
    stitch : callable, optional
        From the fields of the first acquisition of a well to their places; without, they are where
        the stage had them.
    register : callable, optional
        From a field of the first acquisition and one of another to the shift that brings the second
        onto the first; without, other acquisitions have no places.
    """

    def __init__(
        self,
        folder: str,
        stitch: Callable[[list[RawField]], list[Place]] | None = None,
        register: Callable[[RawField, RawField], Place] | None = None,
    ) -> None:
        super().__init__(folder)
        self._stitch, self._register = stitch, register

    def places(self, own: list[RawField]) -> list[Place | None]:
        first = [field for field in own if field.acquisition == 0]
        found: list[Place | None] = [field.stage_px for field in first]
        if self._stitch is not None:
            found = self.attempt(self._stitch, first) or found
        for field in own[len(first) :]:
            place = found[field.number]
            if self._register is None or place is None:
                found.append(None)
                continue
            y, x = self.attempt(self._register, first[field.number], field) or (0.0, 0.0)
            found.append((place[0] + y, place[1] + x))
        return found

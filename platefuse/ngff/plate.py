"""A plate and its wells: names read from metadata, checked before use.

As `platefuse.ngff.well`, it reads JSON alone: one file for the plate, one for each well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from platefuse.errors import PlateError, some
from platefuse.ngff.no_plate import no_plate
from platefuse.ngff.paths import inside, real_plate, safe_name
from platefuse.ngff.sections import section_of
from platefuse.ngff.well import Well
from platefuse.storage.typed_json import JsonObject


@dataclass(frozen=True)
class WellName:
    """A well's row and column, for example ``"B"`` and ``"03"``: safe path components."""

    row: str
    column: str

    @property
    def name(self) -> str:
        """Row and column as OME-NGFF writes them, for example ``"B/03"``."""
        return f"{self.row}/{self.column}"


@dataclass(frozen=True)
class Plate:
    """An OME-Zarr HCS plate on disk (NGFF 0.4 or 0.5).

    Attributes
    ----------
    path : Path
        The plate's folder.
    wells : tuple of WellName
        The wells that its metadata list, in their order; `well` reads one of them.
    metadata : dict
        The `plate` section of its attributes.
    only : tuple of str or None
        Paths of the images to process in every well; None: all.
    """

    path: Path
    wells: tuple[WellName, ...]
    metadata: JsonObject
    only: tuple[str, ...] | None = None

    @classmethod
    def open(cls, path: str | Path, images: Sequence[str] | None = None) -> Plate:
        """Read a plate's metadata, not those of its wells. A link is followed once, here.

        Parameters
        ----------
        path : str or Path
            The plate's folder.
        images : sequence of str, optional
            Paths of the images to process in every well; by default all.

        Raises
        ------
        PlateError
            If there is no plate at `path`, or it names a well by an unsafe path.
        """
        path = real_plate(Path(path))
        if not path.is_dir():
            raise PlateError(no_plate(path))
        try:
            metadata = section_of(path, "plate")
        except PlateError as error:
            raise PlateError(no_plate(path) or str(error)) from error
        listed = metadata.get("wells")
        if not isinstance(listed, list) or not listed:
            raise PlateError(
                f"{path}: the plate's metadata lists no wells (`plate.wells` is {listed!r}); "
                "expected a list of {'path': 'row/column'}."
            )
        only = None if images is None else tuple(images)
        return cls(path, tuple(_well_name(path, entry) for entry in listed), metadata, only)

    def well(self, row: str, column: str) -> Well:
        """Read the metadata of one well.

        Raises
        ------
        PlateError
            If the plate has no such well, it cannot be used (see `Well.read`), or an image leads
            out of the plate through a link.
        """
        if WellName(row, column) not in self._names:
            names = some(well.name for well in self.wells)
            raise PlateError(f"{self.path}: no well {row}/{column}; it has {names}.")
        well = Well.read(self.path, row, column, self.only)
        well.check_inside()
        return well

    @cached_property
    def _names(self) -> frozenset[WellName]:
        return frozenset(self.wells)

    def read_wells(self) -> list[Well]:
        """Read the metadata of all wells; see `well`."""
        wells = [Well.read(self.path, well.row, well.column, self.only) for well in self.wells]
        for well in wells:
            well.check_inside()
        return wells


def _well_name(plate: Path, entry: object) -> WellName:
    path = entry.get("path") if isinstance(entry, dict) else None
    parts = PurePosixPath(path).parts if isinstance(path, str) else ()
    if len(parts) != 2:
        raise PlateError(
            f"{plate}: `plate.wells` has the entry {entry!r}; expected {{'path': 'row/column'}}."
        )
    row, column = (safe_name(part, f"{plate}: a row or column") for part in parts)
    inside(plate / row / column, plate)
    return WellName(row, column)

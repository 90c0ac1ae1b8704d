"""Which fused wells may be replaced: those that hold nothing but what platefuse wrote."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from platefuse.errors import PlateError, listed
from platefuse.fusion.contents import users_work
from platefuse.fusion.fields.layers import Layer
from platefuse.fusion.wells.assumed import assumed
from platefuse.ngff.zarr_format import Format
from platefuse.records import FusedWellRecord

NOT_OURS = (
    "It was not made by platefuse and would be replaced: move it away, or set `fusion.output` to "
    "another path."
)


def check_fused_well(well: Path) -> None:
    """Check that a folder, if it exists, is a fused well, which may be replaced.

    Raises
    ------
    PlateError
        If it is anything else.
    """
    if os.path.lexists(well) and FusedWellRecord.read(well) is None:
        raise PlateError(f"{well} exists and is not a fused well. {NOT_OURS}")


def check_same_plate(well: Path, plate: str) -> None:
    """Check that a fused well, if there is one, was fused from a plate of this name.

    Parameters
    ----------
    well : Path
        The fused well, which would be replaced.
    plate : str
        Name of the folder of the plate.

    Raises
    ------
    PlateError
        If it was fused from another plate: the output was given twice.
    """
    record = FusedWellRecord.read(well)
    if record is not None and record.plate not in (None, plate):
        raise PlateError(
            f"{well} was fused from the plate {record.plate}, and a well of {plate} would replace "
            "it. Set `fusion.output` to another path. If it is the same plate under a new name, "
            "move the fused plate away."
        )


def check_one_version(fused: Path, stay: Iterable[str], version: str) -> None:
    """Check that all wells of a fused plate will be of one OME-NGFF version.

    Parameters
    ----------
    fused : Path
        The fused plate.
    stay : iterable of str
        Names of the wells that will not be fused again; they need not exist.
    version : str
        Version of those that will.

    Raises
    ------
    PlateError
        If wells of another version would stay in it.
    """
    kinds = {name: Format.of(fused / name) for name in stay}
    others = [n for n, kind in kinds.items() if kind not in (None, Format.for_ngff(version))]
    if others:
        raise PlateError(
            f"{fused}: {len(others)} of its wells have another OME-NGFF version than the "
            f"{version} of fusion.ngff_version, and this run does not fuse them again "
            f"({listed(others)}). No program reads a plate of both. Keep the version, process all "
            "wells that are in the fused plate, or set `fusion.output` to another path."
        )


def check_replaceable(well: Path, layers: Sequence[Layer], tile_table: str) -> None:
    """Check that a fused well, if there is one, holds nothing but what platefuse wrote.

    Parameters
    ----------
    well : Path
        The fused well.
    layers : sequence of Layer
        The acquisitions that it is fused from: they tell what earlier versions wrote.
    tile_table : str
        The table with the positions of the fields.

    Raises
    ------
    PlateError
        If it is no fused well, or holds anything else: with the names.
    """
    check_fused_well(well)
    if work := work_in(well, layers, tile_table):
        raise PlateError(
            f"{well} would be fused again, and it holds what platefuse did not write and what "
            f"would be lost: {listed(work)}. Move this, or the whole fused well, to another "
            "place, or set `fusion.output` to another path."
        )


def work_in(
    well: Path, layers: Sequence[Layer], tile_table: str, *, pixels: bool = True
) -> list[str]:
    """What others have added to a fused well, or changed in it; see `users_work`."""
    record = FusedWellRecord.read(well)
    if record is None:
        return []
    written = record.written
    if written is None:
        written = assumed(well, record, layers, tile_table)
    return users_work(well, written, pixels=pixels)

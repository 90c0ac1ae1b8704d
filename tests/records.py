"""Minimal complete records for tests."""

from __future__ import annotations

from collections.abc import Mapping

from platefuse.records import (
    RegisteredRoi,
    RegisteredTable,
    RegistrationIdentity,
    RegistrationRecord,
    TableDigests,
)

IDENTITY = RegistrationIdentity("registered_FOV_ROI_table", 0, "nearest")
COPIED = RegisteredTable("image", "copied", sha256="c0ffee")


def registration_record(
    *rois: RegisteredRoi,
    axes: str = "zyx",
    identity: RegistrationIdentity = IDENTITY,
    tables: Mapping[str, RegisteredTable] | None = None,
) -> RegistrationRecord:
    """Return the record of a registration; without tables it is not complete."""
    return RegistrationRecord(
        request=identity,
        reference="0",
        digests=TableDigests("0a", "0b"),
        axes=axes,
        rois=rois,
        tables=tables,
    )


def roi(
    name: str = "FOV_1",
    shift_px: tuple[float, ...] = (0.0, 0.0, 0.0),
    start_px: tuple[int, ...] = (0, 0, 0),
    size_px: tuple[int, ...] = (1, 1, 1),
) -> RegisteredRoi:
    """Return the entry of one ROI in a record: the box to which its pixels were written."""
    return RegisteredRoi(name, shift_px, start_px, size_px)

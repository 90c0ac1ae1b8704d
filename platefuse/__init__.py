"""Register and fuse the acquisitions of multiplexed OME-Zarr plates.

The public functions are imported on first use, so that ``import platefuse`` costs a job
nothing it does not need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from platefuse.fusion.api import fuse
    from platefuse.measuring.api import stitch
    from platefuse.measuring.pair.measure import measure_shift
    from platefuse.registration.api import apply_registration_to_image, write_registered_zarr

__version__ = "0.1.0"

__all__ = [
    "apply_registration_to_image",
    "fuse",
    "measure_shift",
    "stitch",
    "write_registered_zarr",
]

_HOMES = {
    "apply_registration_to_image": "platefuse.registration.api",
    "fuse": "platefuse.fusion.api",
    "measure_shift": "platefuse.measuring.pair.measure",
    "stitch": "platefuse.measuring.api",
    "write_registered_zarr": "platefuse.registration.api",
}


if not TYPE_CHECKING:  # to a type checker, a name that is not listed above is an error

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

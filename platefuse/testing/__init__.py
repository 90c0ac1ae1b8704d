"""Example plates: synthetic OME-Zarr plates whose truth is known.

The demo, the tests and the benchmarks run on plates that `make_plate` writes. A `PlateSpec`
decides everything about a plate, and `Truth` computes from it what registration and fusion
have to find there.
"""

from platefuse.testing.plate import make_plate
from platefuse.testing.scene import Scene, Window
from platefuse.testing.spec import AcquisitionSpec, PlateSpec, example_acquisitions
from platefuse.testing.truth import Fused, Truth

__all__ = [
    "AcquisitionSpec",
    "Fused",
    "PlateSpec",
    "Scene",
    "Truth",
    "Window",
    "example_acquisitions",
    "make_plate",
]

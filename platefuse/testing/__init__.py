"""Example plates: synthetic OME-Zarr plates whose truth is known.

The demo, the tests and the benchmarks use plates that `make_plate` writes. A `PlateSpec` holds all
parameters of a plate, and `Truth` computes from them the results that registration and fusion must
have. Of platefuse, this package imports the errors only: it must not share a mistake with the code
that it tests.
"""

from platefuse.testing.layout import stage_errors
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
    "stage_errors",
]

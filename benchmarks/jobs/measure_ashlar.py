"""Job: find the places of the fields of a raw plate with ashlar.

Its parameters are the defaults, but for the filter against noise: without it no edge was accepted
on a plate with a fifth of the light.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from benchmarks.jobs.protocol import run_job
from benchmarks.jobs.raw_fields import Measuring, Place, RawField

SIGMA_PX = 1.0


class Aligning(Measuring):
    """Aligns the first acquisition by its edges, and the others as layers."""

    def __init__(self, folder: str, pixel_um: float) -> None:
        super().__init__(folder)
        self._reg, self._numpy = import_module("ashlar.reg"), import_module("numpy")
        self._pixel_um = pixel_um

    def places(self, own: list[RawField]) -> list[Place | None]:
        numbers = sorted({field.acquisition for field in own})
        first, *others = ([f for f in own if f.acquisition == n] for n in numbers)
        edges = self._reg.EdgeAligner(self._reader(first), filter_sigma=SIGMA_PX)
        edges.run()
        found: list[Place | None] = _places(edges)
        for layer in others:
            aligner = self._reg.LayerAligner(self._reader(layer), edges, filter_sigma=SIGMA_PX)
            aligner.run()
            found += _places(aligner)
        return found

    def _reader(self, fields: list[RawField]) -> Any:
        numpy, pixel_um = self._numpy, self._pixel_um

        class Metadata(self._reg.Metadata):  # type: ignore[misc,name-defined]  # imported by name
            _num_images = len(fields)
            num_channels = 1
            pixel_size = pixel_um
            pixel_dtype = numpy.dtype("uint16")

            def tile_position(self, i: int) -> Any:
                return numpy.array(fields[i].stage_px, float)

            def tile_size(self, i: int) -> Any:
                return numpy.array(fields[i].array().shape[-2:])

        class Reader(self._reg.Reader):  # type: ignore[misc,name-defined]  # imported by name
            metadata = Metadata()

            def read(self, series: int, c: int) -> Any:
                return fields[series].pixels()

        return Reader()


def _places(aligner: Any) -> list[Place | None]:
    return [(float(y), float(x)) for y, x in aligner.positions]


def prepare(folder: str, pixel_um: float) -> Callable[[], object]:
    return Aligning(folder, pixel_um)


if __name__ == "__main__":
    run_job(prepare)

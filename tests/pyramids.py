"""Hypothesis strategy for pyramids, to test properties that hold for all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from platefuse.engine.pyramid import Index, TileTree
from tests.arrays import ArrayLevel


@dataclass(frozen=True)
class Pyramid:
    """Shapes, units of writing (chunks or shards) and downsampling factors of a pyramid."""

    shapes: list[Index]
    units: list[Index]
    factors: list[Index]

    @property
    def tree(self) -> TileTree:
        return TileTree(self.shapes, self.units, self.factors)

    def levels(self, dtype: str = "uint16", *, zero_is_fill: bool = True) -> list[ArrayLevel]:
        return [
            ArrayLevel(shape, unit, np.dtype(dtype), zero_is_fill)
            for shape, unit in zip(self.shapes, self.units, strict=True)
        ]


@st.composite
def pyramids(draw: st.DrawFn) -> Pyramid:
    """Draw a pyramid: any shapes, chunks and factors; level shapes rounded down or up."""
    ndim = draw(st.integers(2, 3))
    shapes = [draw(st.tuples(*[st.integers(1, 23)] * ndim))]
    factors = []
    for _ in range(draw(st.integers(0, 3))):
        factor = draw(st.tuples(*[st.sampled_from([1, 2, 2, 3])] * ndim))
        up = draw(st.booleans())
        lengths = zip(shapes[-1], factor, strict=True)
        shapes.append(tuple(-(-n // f) if up else max(1, n // f) for n, f in lengths))
        factors.append(factor)
    # One chunk shape for all levels, clipped to the level or not, or a different one in each.
    common = draw(st.tuples(*[st.integers(1, 9)] * ndim))
    chunking = draw(st.sampled_from(["same", "clipped", "own"]))
    units = []
    for shape in shapes:
        unit = draw(st.tuples(*[st.integers(1, 9)] * ndim)) if chunking == "own" else common
        clip = chunking == "clipped"
        units.append(tuple(min(u, n) if clip else u for u, n in zip(unit, shape, strict=True)))
    return Pyramid(shapes, units, factors)

"""The frame of a fused image: its pixel size, where it begins, how large it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platefuse.errors import ViewError
from platefuse.sims import Sim

MODES = ("union", "intersection", "sample")
_TOLERANCE_PX = 1e-6


@dataclass(frozen=True)
class Frame:
    """A grid of pixels in the world.

    Attributes
    ----------
    axes : str
        Its axes in space, in array order.
    spacing, origin : tuple of float
        Pixel size, and position of the first pixel's centre, in world units.
    shape : tuple of int
        Number of pixels.
    """

    axes: str
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        for name, valid in (("spacing", lambda v: v > 0), ("shape", lambda v: v >= 1)):
            for axis, value in zip(self.axes, getattr(self, name), strict=True):
                if not (math.isfinite(value) and valid(value)):
                    raise ViewError(
                        f"fuse: the output's {name} on {axis} is {value:g}; expected a number "
                        "above 0."
                    )

    def as_dict(self, values: Sequence[float]) -> dict[str, float]:
        """Values by axis."""
        return dict(zip(self.axes, map(float, values), strict=True))

    def pixels_from(
        self, sim: Sim, affine: NDArray[np.float64]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """The affine (linear part, offset) from pixels of an image to pixels of the frame."""
        spacing, linear = np.array(self.spacing), affine[:-1, :-1]
        matrix = linear * sim.spacing / spacing[:, None]
        offset = (linear @ sim.origin + affine[:-1, -1] - np.array(self.origin)) / spacing
        return matrix, offset


def choose_frame(
    sims: Sequence[Sim],
    *,
    spacing: Mapping[str, float] | None,
    origin: Mapping[str, float] | None,
    shape: Mapping[str, int] | None,
    properties: Mapping[str, Mapping[str, float]] | None,
    mode: str,
) -> Frame:
    """The frame of the fused image from what the caller asks for.

    Parameters
    ----------
    sims : sequence of Sim
        The views.
    spacing, origin, shape : mapping or None
        As asked for on each axis; by default the first view's spacing, and what `mode` gives.
    properties : mapping or None
        ``spacing``, ``origin`` and ``shape`` together; the others are ignored then.
    mode : str
        ``union`` of all views, their ``intersection``, or ``sample``: the union of their
        first planes.

    Raises
    ------
    ViewError
        If the mode is unknown, an axis is missing, or the views have no common part.
    """
    axes = sims[0].spatial
    if properties is not None:
        spacing, origin, shape = (properties[k] for k in ("spacing", "origin", "shape"))  # type: ignore[assignment]
    if mode not in MODES:
        raise ViewError(f"fuse: unknown output_stack_mode {mode!r}; expected one of {MODES}.")
    step = np.array(_along("spacing", spacing, axes) or sims[0].spacing.tolist(), float)
    if not (np.isfinite(step).all() and (step > 0).all()):
        raise ViewError(
            f"fuse: the output's spacing is {dict(zip(axes, step.tolist(), strict=True))}; "
            "expected numbers above 0."
        )
    low, high = _extent(sims, mode)
    begin = np.array(_along("origin", origin, axes) or low.tolist(), float)
    size = _along("shape", shape, axes)
    if size is None:
        # pixels whose centres lie no farther than half a pixel beyond the last centre
        counts = np.ceil((high - begin) / step + 0.5 - _TOLERANCE_PX)
        if (counts < 1).any():
            raise ViewError(
                f"fuse: the {mode} of the views is empty: it would begin at {begin.tolist()} and "
                f"end at {high.tolist()} ({axes}). Check the transforms."
            )
        size = counts.tolist()
    return Frame(axes, tuple(step.tolist()), tuple(begin.tolist()), tuple(int(n) for n in size))


def _extent(sims: Sequence[Sim], mode: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Lowest and highest position of pixel centres in the world."""
    lows, highs = [], []
    for sim in sims:
        last = sim.shape - 1
        if mode == "sample" and "z" in sim.spatial:
            last = np.where(np.arange(len(last)) == 0, 0, last)
        corners = sim.origin + np.array(list(product(*((0, n) for n in last)))) * sim.spacing
        for affine in sim.affines:
            world = corners @ affine[:-1, :-1].T + affine[:-1, -1]
            lows.append(world.min(axis=0))
            highs.append(world.max(axis=0))
    if mode == "intersection":
        low, high = np.max(lows, axis=0), np.min(highs, axis=0)
        if (high < low).any():
            raise ViewError(
                f"fuse: the intersection of the views is empty: it would begin at {low.tolist()} "
                f"and end at {high.tolist()} ({sims[0].spatial}). Use output_stack_mode='union'."
            )
        return low, high
    return np.min(lows, axis=0), np.max(highs, axis=0)


def _along(what: str, values: Mapping[str, float] | None, axes: str) -> list[float] | None:
    if values is None:
        return None
    missing = [a for a in axes if a not in values]
    if missing:
        raise ViewError(
            f"fuse: output {what} {dict(values)} lacks {missing}; expected {list(axes)}."
        )
    return [float(values[a]) for a in axes]

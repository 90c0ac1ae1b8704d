"""What a fusion will do: where its views go, in what frame, chunks and way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from platefuse.engine.affine import AffineView
from platefuse.engine.compose import Blend, Compositor, Paint
from platefuse.engine.sources import Source
from platefuse.engine.views import ShiftedView, View
from platefuse.engine.write import Target, ViewLookup, write_views
from platefuse.fusion.arguments import FusionRequest
from platefuse.fusion.frame import Frame, along
from platefuse.fusion.methods import (
    first_view_fusion,
    max_fusion,
    required_overlap,
    simple_average_fusion,
    weighted_average_fusion,
)
from platefuse.fusion.plugins import Plugin
from platefuse.fusion.sims import Sim, SimStore
from platefuse.geometry import Box, grid_box, snap

DEFAULT_CHUNKS = {2: {"y": 2048, "x": 2048}, 3: {"z": 256, "y": 256, "x": 256}}
_WHOLE_PX = 1e-5

_FAST: tuple[tuple[Callable[..., Any], Blend | Paint], ...] = (
    (weighted_average_fusion, Blend("weighted_average")),
    (simple_average_fusion, Blend("mean")),
    (max_fusion, Blend("max")),
    (first_view_fusion, Paint("first")),
)


class Fusion:
    """Placed views and what to do with them: everything but where the pixels go.

    Parameters
    ----------
    views : sequence of View
        The placed views.
    how : Compositor
        What to do where several cover a pixel.
    shape : tuple of int
        Shape of the fused image, on all axes.
    dtype : dtype
        Its data type.
    chunks : tuple of int
        Its chunks.
    """

    def __init__(
        self,
        views: Sequence[View],
        how: Compositor,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        chunks: tuple[int, ...],
    ) -> None:
        self.views, self.how, self.shape, self.dtype = views, how, shape, dtype
        self.chunks = tuple(min(c, n) for c, n in zip(chunks, shape, strict=True))
        self._lookup = ViewLookup(views, shape, self.chunks, how)

    def block(self, index: tuple[int, ...]) -> NDArray[Any]:
        """The pixels of one chunk of the fused image."""
        region = grid_box(index, self.chunks, self.shape)
        pixels = self.how.compose(region, self._lookup.touching(index), self.dtype, index)
        return np.zeros(region.shape, self.dtype) if pixels is None else pixels

    def lazy(self) -> Any:
        """The fused image as a dask array: one task for each chunk."""
        import dask.array

        grid = dask.array.core.normalize_chunks(self.chunks, self.shape, dtype=self.dtype)
        return dask.array.map_blocks(
            self._dask_block,
            chunks=grid,
            dtype=self.dtype,
            meta=np.empty((0,) * len(self.shape), self.dtype),
            name=f"fuse-{uuid4().hex}",
        )

    def _dask_block(self, block_id: tuple[int, ...]) -> NDArray[Any]:
        return self.block(block_id)

    def write(self, target: Target, threads: int) -> None:
        """Write all levels in one pass."""
        write_views(self.views, target, self.how, threads=threads)


def choose_frame(views: Sequence[Sim], asked: FusionRequest) -> Frame:
    """The frame of the fused image: as asked, and what the views take up where nothing is."""
    axes = views[0].spatial
    return Frame.covering(
        axes,
        [extent for view in views for extent in view.extents],
        along("output_spacing", asked.output_spacing, axes) or views[0].spacing.tolist(),
        mode=asked.output_stack_mode,
        origin=along("output_origin", asked.output_origin, axes),
        shape=along("output_shape", asked.output_shape, axes),
    )


def choose_compositor(asked: FusionRequest, views: Sequence[View], spatial: int) -> Compositor:
    """The fast way for functions that we know; stacking the views for all others.

    Parameters
    ----------
    asked : FusionRequest
        What is asked: the functions, their arguments and the margin among it.
    views : sequence of View
        The placed views.
    spatial : int
        Number of axes in space.
    """
    function, weights = asked.fusion_func, asked.weights_func
    function_kwargs = dict(asked.fusion_method_kwargs or {})
    weights_kwargs = dict(asked.weights_func_kwargs or {})
    fill = None
    if views[0].source.dtype.kind == "f":
        fill = float("nan") if asked.nan_is_missing else 0.0
    fast = next((how for known, how in _FAST if known is function), None)
    if fast is not None and weights is None and not function_kwargs:
        return replace(fast, fill=fill)
    needed = max(
        int(asked.overlap_in_pixels or 0),
        required_overlap(function, function_kwargs),
        required_overlap(weights, weights_kwargs),
    )
    extent = reduce(Box.joined, (view.placed for view in views))
    margin = (needed,) * spatial
    return Plugin(function, weights, margin, extent, function_kwargs, weights_kwargs, fill)


def choose_chunks(sim: Sim, frame: Frame, asked: int | Mapping[str, int] | None) -> tuple[int, ...]:
    """Chunks of the fused image on all axes; 1 on those that are not in space."""
    if isinstance(asked, Mapping):
        sizes = along("output_chunksize", asked, frame.axes) or []
    elif asked is not None:
        sizes = [asked] * len(frame.axes)
    elif sim.image.chunks is not None:
        sizes = [max(1, *c) for c in sim.image.chunks[-len(frame.axes) :]]
    else:
        sizes = [DEFAULT_CHUNKS[len(frame.axes)][a] for a in frame.axes]
    leading = len(sim.dims) - len(frame.axes)
    whole = zip(sizes, frame.shape, strict=True)
    return (1,) * leading + tuple(n if size == -1 else int(size) for size, n in whole)


def place_views(
    sims: Sequence[Sim], frame: Frame, order: int, widths: Mapping[str, float]
) -> list[View]:
    """The views of images in a frame: moved where that is all there is, else turned."""
    views: list[View] = []
    for sim in sims:
        source = Source(SimStore(sim.image, sim.number))
        whole = Box.of_shape(sim.image.shape)
        for k, affine in enumerate(sim.affines):
            box = whole
            if len(sim.affines) > 1:  # dims begin with t
                box = Box((k, *whole.start[1:]), (k + 1, *whole.stop[1:]))
            views.append(_view(source, box, sim, frame, affine, sim.params[k], order, widths))
    return views


def _view(
    source: Source,
    box: Box,
    sim: Sim,
    frame: Frame,
    affine: NDArray[np.float64],
    params: Any,
    order: int,
    widths: Mapping[str, float],
) -> View:
    matrix, offset = sim.in_frame(frame, affine)
    lead = len(box.start) - len(offset)
    bend = np.abs(matrix - np.eye(len(offset))) @ sim.shape
    if (bend < _WHOLE_PX).all():
        shift = (0.0,) * lead + tuple(snap(float(o), _WHOLE_PX) for o in offset)
        widths_px = (0.0,) * lead + tuple(
            widths[a] / s for a, s in zip(frame.axes, frame.spacing, strict=True)
        )
        return ShiftedView.at(source, box, shift, order=order, widths_px=widths_px, params=params)
    in_source = tuple(widths[a] / s for a, s in zip(frame.axes, sim.spacing, strict=True))
    leading = Box(box.start[:lead], box.stop[:lead])
    moved = tuple(float(o) for o in offset)
    return AffineView(source, box, matrix, moved, leading, order, in_source, params=params)

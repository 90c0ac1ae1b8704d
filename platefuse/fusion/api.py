"""Fusion: all views of a field of view, or of a stage, into one image.

Semantics of ``multiview_stitcher.fusion.fuse`` (BSD-3-Clause), with the differences that
`docs/design` records.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from platefuse.fusion.arguments import FusionRequest
from platefuse.fusion.methods import weighted_average_fusion
from platefuse.fusion.mosaic import (
    Fusion,
    choose_chunks,
    choose_compositor,
    choose_frame,
    place_views,
)
from platefuse.fusion.output import write_fusion
from platefuse.fusion.signatures import (
    BatchOptions,
    BlockFunction,
    InterpolationOrder,
    StackMode,
    StackProperties,
    ZarrOptions,
)
from platefuse.fusion.sims import make_sim, read_sims

if TYPE_CHECKING:
    import xarray


def fuse(
    sims: Sequence[xarray.DataArray],
    transform_key: str | None = None,
    fusion_func: BlockFunction = weighted_average_fusion,
    fusion_method_kwargs: Mapping[str, object] | None = None,
    weights_func: BlockFunction | None = None,
    weights_func_kwargs: Mapping[str, object] | None = None,
    output_spacing: Mapping[str, float] | None = None,
    output_stack_mode: StackMode = "union",
    output_origin: Mapping[str, float] | None = None,
    output_shape: Mapping[str, int] | None = None,
    output_stack_properties: StackProperties | None = None,
    output_chunksize: int | Mapping[str, int] | None = None,
    overlap_in_pixels: int | None = None,
    interpolation_order: InterpolationOrder = 1,
    blending_widths: Mapping[str, float] | None = None,
    output_zarr_url: str | os.PathLike[str] | None = None,
    zarr_options: ZarrOptions | None = None,
    batch_options: BatchOptions | None = None,
    *,
    threads: int | None = None,
    nan_is_missing: bool = False,
) -> xarray.DataArray:
    """Fuse views into one image.

    Views are placed by their affines and, where several cover a pixel, mixed by
    `fusion_func`. Integers are rounded to nearest and clipped; where all views agree the
    result is their common value, exactly (up to 2**53 where views are interpolated or
    `fusion_func` is one of your own: both work in float64); where no view lies it is 0. No pixel
    depends on the chunks or on the number of threads.

    Parameters
    ----------
    sims : sequence of xarray.DataArray
        Views of the multiview-stitcher data model (see `platefuse.fusion.sims`), 2D or 3D, with the
        same dims, dtype, channels and times.
    transform_key : str, optional
        Which of the views' transforms places them in the world; None: physical coordinates
        are the world.
    fusion_func : callable
        See `platefuse.fusion.methods` for the contract, and for the functions that are computed
        without stacking views.
    fusion_method_kwargs : dict, optional
        Further arguments for `fusion_func`.
    weights_func : callable, optional
        Weights of the views, handed to `fusion_func` as ``fusion_weights``.
    weights_func_kwargs : dict, optional
        Further arguments for `weights_func`.
    output_spacing : dict of str to float, optional
        Pixel size of the fused image on each axis in space; by default the first view's. Views
        of one pixel on an axis say none: there it is that of the others, or this.
    output_stack_mode : str
        ``union``, ``intersection`` or ``sample`` (first planes).
    output_origin, output_shape : dict, optional
        Position of the first pixel's centre, and number of pixels, each in place of what the
        mode gives.
    output_stack_properties : dict, optional
        ``spacing``, ``origin`` and ``shape`` together; the other ``output_*`` are ignored.
    output_chunksize : int or dict, optional
        Chunks of the fused image, -1 for a whole axis; by default those of the first view if it
        is a dask array, else 2048 × 2048 or 256 × 256 × 256.
    overlap_in_pixels : int, optional
        Margin around each block that `fusion_func` and `weights_func` get to see; at least
        what they say themselves.
    interpolation_order : int
        0 nearest, 1 linear, 3 cubic convolution, for views that do not lie on whole pixels.
    blending_widths : dict of str to float, optional
        Width of the falling weights at the borders of a view, in physical units; by default
        3 in z, 10 in y and x.
    output_zarr_url : str or path, optional
        Write to this folder, and return the image backed by it. Otherwise the result is lazy.
    zarr_options : dict, optional
        ``ome_zarr`` (False): write an OME-Zarr image with its pyramid; ``ngff_version``
        ("0.4"); ``zarr_array_creation_kwargs``: for `zarr.create_array`; ``overwrite`` (True): an
        array or image that is there is replaced, but never a folder that holds anything else.
    batch_options : dict, optional
        ``batch_func``: called as ``batch_func(fuse_block, block_ids, **batch_func_kwargs)``
        for batches of ``n_batch`` blocks; without it blocks are written by threads.
    threads : int, optional
        Number of threads for writing; by default one for each core.
    nan_is_missing : bool
        For float images, whose NaN pixels never count as data: pixels without data come out
        NaN instead of 0.

    Returns
    -------
    xarray.DataArray
        The fused image, with the dims and dtype of the views.

    Raises
    ------
    PlatefuseError
        If the views do not fit together or an argument cannot be used.

    Notes
    -----
    Types for annotations of the options are in `platefuse.fusion.signatures`.

    Signature and meaning follow multiview-stitcher 0.1.48; the blending of borders follows
    Preibisch et al. (2009), doi:10.1093/bioinformatics/btp184.
    """
    asked = FusionRequest(
        fusion_func=fusion_func,
        fusion_method_kwargs=fusion_method_kwargs,
        weights_func=weights_func,
        weights_func_kwargs=weights_func_kwargs,
        output_spacing=output_spacing,
        output_stack_mode=output_stack_mode,
        output_origin=output_origin,
        output_shape=output_shape,
        output_stack_properties=output_stack_properties,
        output_chunksize=output_chunksize,
        overlap_in_pixels=overlap_in_pixels,
        interpolation_order=interpolation_order,
        blending_widths=blending_widths,
        output_zarr_url=output_zarr_url,
        zarr_options=zarr_options,
        batch_options=batch_options,
        threads=threads,
        nan_is_missing=nan_is_missing,
    )
    views = read_sims(sims, transform_key, asked.output_spacing)
    frame = choose_frame(views, asked)
    chunks = choose_chunks(views[0], frame, asked.output_chunksize)
    placed = place_views(views, frame, int(asked.interpolation_order), asked.widths)
    how = choose_compositor(asked, placed, len(frame.shape))
    shape = (*views[0].image.shape[: -len(frame.shape)], *frame.shape)
    fusion = Fusion(placed, how, shape, np.dtype(views[0].image.dtype), chunks)
    if asked.output_zarr_url is None:
        data = fusion.lazy()
    else:
        data = write_fusion(fusion, views[0], frame, asked, asked.storage(chunks))
    spacing, origin = frame.by_axis(frame.spacing), frame.by_axis(frame.origin)
    return make_sim(data, views[0], spacing, origin, transform_key)

"""Fuse overlapping views into one image: the function `platefuse.fuse`.

It has the semantics of ``multiview_stitcher.fusion.fuse`` (BSD-3-Clause); `docs/design` records the
differences.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np

from platefuse.engine.downsample import mean, mean_of_data
from platefuse.engine.views import View
from platefuse.fusion.arguments import FusionArguments, by_present_names
from platefuse.fusion.frame import Frame, along
from platefuse.fusion.methods import weighted_average_fusion
from platefuse.fusion.mosaic import Mosaic
from platefuse.fusion.plugins import choose_compositor
from platefuse.fusion.signatures import (
    BatchOptions,
    BlockFunction,
    InterpolationOrder,
    StackMode,
    StackProperties,
    ZarrOptions,
)
from platefuse.fusion.sims.image import Sim, make_sim, with_overlap
from platefuse.fusion.sims.multiscale import (
    Pyramid,
    halved,
    is_multiscale,
    make_tree,
    read_pyramids,
)
from platefuse.fusion.sims.output import write_output
from platefuse.fusion.sims.store import chunks_of
from platefuse.fusion.wells.channels import omero_of_names
from platefuse.storage.progress import shown

if TYPE_CHECKING:
    import xarray

Image = TypeVar("Image", "xarray.DataArray", "xarray.DataTree")

DEFAULT_CHUNKS = {2: {"y": 2048, "x": 2048}, 3: {"z": 256, "y": 256, "x": 256}}
"""Pixels of a chunk on each axis in space, by the number of these axes."""


def fuse(
    images: Sequence[Image] | None = None,
    transform_key: str | None = None,
    fusion_func: BlockFunction = weighted_average_fusion,
    fusion_func_kwargs: Mapping[str, object] | None = None,
    weights_func: BlockFunction | None = None,
    weights_func_kwargs: Mapping[str, object] | None = None,
    output_spacing: Mapping[str, float] | None = None,
    output_stack_mode: StackMode = "union",
    output_origin: Mapping[str, float] | None = None,
    output_shape: Mapping[str, int] | None = None,
    output_stack_properties: StackProperties | None = None,
    output_chunksize: int | Mapping[str, int] | None = None,
    overlap_in_pixels: int | Mapping[str, int] | None = None,
    interpolation_order: InterpolationOrder = 1,
    blending_widths: Mapping[str, float] | None = None,
    output_zarr_url: str | os.PathLike[str] | None = None,
    zarr_options: ZarrOptions | None = None,
    batch_options: BatchOptions | None = None,
    *,
    trim_overlap: bool = True,
    backend: str | None = None,
    output_on_backend: bool = False,
    sims: Sequence[Image] | None = None,
    fusion_method_kwargs: Mapping[str, object] | None = None,
    threads: int | None = None,
    nan_is_missing: bool = False,
) -> Image:
    """Fuse views into one image.

    Views are placed by their affines. Pixels that several views cover are computed by
    `fusion_func`. Integers are rounded to nearest and clipped. Where all views have the same value,
    the result is exactly this value (up to 2**53 if views are interpolated or `fusion_func` is your
    own function, because both are computed in float64). Pixels that no view covers are 0. The
    result does not depend on the chunks or on the number of threads.

    Parameters
    ----------
    images : sequence of xarray.DataArray, or of xarray.DataTree
        Images of the multiview-stitcher data model (see `platefuse.fusion.sims.image`), 2D or 3D,
        all with the same dims, dtype, channels and times; or such images at several resolutions
        (see `platefuse.fusion.sims.multiscale`). Of these, the coarsest level is read whose pixels
        are not larger than those of the fused image.
    transform_key : str, optional
        Key of the transform from physical to world coordinates; None: they are the same.
    fusion_func : callable
        Computes the pixels of a block from all views. `platefuse.fusion.methods` describes how it
        is called; the functions there are computed without stacking the views.
    fusion_func_kwargs : dict, optional
        Further arguments for `fusion_func`.
    weights_func : callable, optional
        Computes weights of the views, which `fusion_func` gets as ``fusion_weights``.
    weights_func_kwargs : dict, optional
        Further arguments for `weights_func`.
    output_spacing : dict of str to float, optional
        Pixel size of the fused image on each axis in space; by default that of the first view. A
        view of one pixel on an axis has no pixel size there, and gets that of the other views or,
        if all have one pixel, this one.
    output_stack_mode : str
        ``union``, ``intersection`` or ``sample`` (first planes).
    output_origin, output_shape : dict, optional
        Position of the first pixel's centre, and number of pixels. Each replaces the value that
        follows from the mode.
    output_stack_properties : dict, optional
        ``spacing``, ``origin`` and ``shape`` together; `output_spacing`, `output_origin` and
        `output_shape` are then ignored.
    output_chunksize : int or dict, optional
        Chunks of the fused image, -1 for a whole axis; by default those of the first view if it
        is a dask array or on disk, else 2048 × 2048 or 256 × 256 × 256.
    overlap_in_pixels : int or dict, optional
        Pixels around each block that `fusion_func` and `weights_func` also get. If their own
        ``required_overlap`` is larger, that is used.
    interpolation_order : int
        Interpolation of views that do not lie on whole pixels: 0 nearest, 1 linear, 3 cubic
        convolution.
    blending_widths : dict of str to float, optional
        Width over which the weight of a view falls towards its border, in physical units; by
        default 3 in z, 10 in y and x.
    output_zarr_url : str or path, optional
        Folder to write to; the result then reads from it. By default the result is lazy.
    zarr_options : dict, optional
        ``ome_zarr`` (False): write an OME-Zarr image with its pyramid; ``ngff_version``
        ("0.4"); ``zarr_array_creation_kwargs``: for `zarr.create_array`; ``overwrite`` (True): an
        array or image that `fuse` has made is replaced, but nothing that others made, added or
        changed.
    batch_options : dict, optional
        ``batch_func``: called as ``batch_func(fuse_block, block_ids, **batch_func_kwargs)``
        for batches of ``n_batch`` blocks; by default threads write the blocks.
    trim_overlap : bool
        False: each chunk of a lazy result also has the pixels around it that `overlap_in_pixels`
        and ``required_overlap`` ask for, so neighbouring chunks repeat pixels. An image that is
        written to `output_zarr_url` is always trimmed.
    backend : str, optional
        Only None and ``numpy``, which mean the same.
    output_on_backend : bool
        Of no effect, because results of NumPy are NumPy arrays.
    sims, fusion_method_kwargs : optional
        Older names of `images` and `fusion_func_kwargs`.
    threads : int, optional
        Number of threads for writing; by default one for each core.
    nan_is_missing : bool
        For float images: pixels without data are NaN in the result, instead of 0. NaN pixels of a
        view never count as data.

    Returns
    -------
    xarray.DataArray or xarray.DataTree
        The fused image, with the dims and dtype of the views, of the same kind as they are. A
        DataTree has the levels that were written. If it is lazy, its levels are halves of the one
        before, as long as more than 100 pixels remain on an axis, each fused from the levels of
        the views that suit it.

    Raises
    ------
    PlatefuseError
        If the views do not fit together or an argument cannot be used.

    Notes
    -----
    Types for annotations of the options are in `platefuse.fusion.signatures`.

    Signature and meaning follow multiview-stitcher 0.1.62, and 0.1.48 where it was called
    otherwise. Arguments that are given by position have the order of 0.1.48: in 0.1.62,
    `trim_overlap` comes before `interpolation_order`.

    The blending of borders follows Preibisch et al. (2009), doi:10.1093/bioinformatics/btp184.
    """
    given = by_present_names(locals())
    images, key = given.pop("images"), given.pop("transform_key")
    return cast("Image", _fused(images, key, FusionArguments(**given)))


def _fused(
    images: object, key: str | None, arguments: FusionArguments
) -> xarray.DataArray | xarray.DataTree:
    """The fused image, of the same kind as the images."""
    multiscale = is_multiscale(images)
    pyramids = read_pyramids(images, key, arguments.output_spacing)
    if arguments.output_zarr_url is None:
        levels = _lazy(pyramids, key, arguments, multiscale=multiscale)
    else:
        levels = _written(pyramids, key, arguments)
    return make_tree(levels) if multiscale else levels[0]


def _lazy(
    pyramids: Sequence[Pyramid], key: str | None, arguments: FusionArguments, *, multiscale: bool
) -> list[xarray.DataArray]:
    """The levels of the fused image, not computed yet."""
    frame = _frame(pyramids, arguments)
    frames = halved(frame) if multiscale else [frame]
    return [_lazy_level(pyramids, frame, key, arguments) for frame in frames]


def _lazy_level(
    pyramids: Sequence[Pyramid], frame: Frame, key: str | None, arguments: FusionArguments
) -> xarray.DataArray:
    images = _suiting(pyramids, frame)
    chunks = _chunks(images[0], frame, arguments.output_chunksize)
    mosaic = _mosaic(images, frame, chunks, arguments)
    if arguments.trim_overlap:
        return make_sim(mosaic.lazy(chunks), images[0], frame, key)
    overlap = mosaic.compositor.margin_px or _overlap(arguments, frame.axes)
    wider = frame.dilated(overlap)
    pixels = _mosaic(images, wider, chunks, arguments).lazy(chunks)
    image = make_sim(pixels, images[0], wider, key)
    return with_overlap(image, frame.axes, chunks[-len(frame.axes) :], overlap)


def _written(
    pyramids: Sequence[Pyramid], key: str | None, arguments: FusionArguments
) -> list[xarray.DataArray]:
    """The levels of the fused image, written to `output_zarr_url`."""
    frame = _frame(pyramids, arguments)
    images = _suiting(pyramids, frame)
    chunks = _chunks(images[0], frame, arguments.output_chunksize)
    mosaic = _mosaic(images, frame, chunks, arguments)
    omero = omero_of_names(images[0].channel_names, mosaic.dtype)
    with shown("fusing"):
        levels = write_output(mosaic, arguments, arguments.storage(chunks), omero)
    return [make_sim(data, images[0], grid, key) for grid, data in levels]


def _frame(pyramids: Sequence[Pyramid], arguments: FusionArguments) -> Frame:
    """The frame of the fused image: as given by arguments, else what the views cover."""
    images = [pyramid.levels[0] for pyramid in pyramids]
    axes = images[0].spatial
    return Frame.covering(
        axes,
        [extent for image in images for extent in image.extents],
        along("output_spacing", arguments.output_spacing, axes) or images[0].spacing.tolist(),
        mode=arguments.output_stack_mode,
        origin=along("output_origin", arguments.output_origin, axes),
        shape=along("output_shape", arguments.output_shape, axes),
    )


def _suiting(pyramids: Sequence[Pyramid], frame: Frame) -> list[Sim]:
    """The level of each image that is read for a frame."""
    return [pyramid.suiting(frame.spacing) for pyramid in pyramids]


def _each_axis(what: str, given: float | Mapping[str, float], axes: str) -> list[float]:
    """An argument on each axis: given for all alike, or by axis."""
    if isinstance(given, Mapping):
        return along(what, given, axes) or []
    return [given] * len(axes)


def _overlap(arguments: FusionArguments, axes: str) -> tuple[int, ...]:
    """Pixels around each block that the caller wants, on each axis in space."""
    given = _each_axis("overlap_in_pixels", arguments.overlap_in_pixels or 0, axes)
    return tuple(map(int, given))


def _chunks(image: Sim, frame: Frame, given: int | Mapping[str, int] | None) -> tuple[int, ...]:
    """Chunks of the fused image on all axes; 1 on those that are not in space."""
    sizes: Sequence[float]
    if given is not None:
        sizes = _each_axis("output_chunksize", given, frame.axes)
    elif (of_image := chunks_of(image.image)) is not None:
        sizes = of_image[-len(frame.axes) :]
    else:
        sizes = [DEFAULT_CHUNKS[len(frame.axes)][a] for a in frame.axes]
    leading = len(image.dims) - len(frame.axes)
    whole = zip(sizes, frame.shape, strict=True)
    return (1,) * leading + tuple(n if size == -1 else int(size) for size, n in whole)


def _mosaic(
    images: Sequence[Sim], frame: Frame, chunks: tuple[int, ...], arguments: FusionArguments
) -> Mosaic:
    first, axes = images[0], frame.axes
    order, widths = int(arguments.interpolation_order), arguments.widths
    views: list[View] = [v for image in images for v in image.views(frame, order, widths)]
    dtype, fill = np.dtype(first.image.dtype), None
    if dtype.kind == "f":
        fill = float("nan") if arguments.nan_is_missing else 0.0
    compositor = choose_compositor(
        views,
        len(axes),
        arguments.fusion_func,
        arguments.weights_func,
        function_kwargs=arguments.fusion_func_kwargs,
        weights_kwargs=arguments.weights_func_kwargs,
        overlap_px=_overlap(arguments, axes),
        context={
            "output_spacing": frame.by_axis(frame.spacing),
            "output_chunksize": dict(zip(axes, chunks[-len(axes) :], strict=True)),
        },
        fill=fill,
    )
    leading = first.image.shape[: -len(axes)]
    downsample = mean if fill is None else mean_of_data
    return Mosaic(views, frame, compositor, first.dims, leading, dtype, downsample)

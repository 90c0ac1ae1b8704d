"""Types of the arguments of `platefuse.fuse`, for annotations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NotRequired, TypedDict

from numpy.typing import ArrayLike

StackMode = Literal["union", "intersection", "sample"]
InterpolationOrder = Literal[0, 1, 3]
NgffVersion = Literal["0.4", "0.5"]

BlockFunction = Callable[..., ArrayLike]
"""A fusion or weights function: `platefuse.fusion.methods` describes how it is called."""
BatchFunction = Callable[..., object]
"""Called as ``batch_func(fuse_block, block_ids, **batch_func_kwargs)``."""


class StackProperties(TypedDict):
    """The output's pixel grid, by axis.

    Attributes
    ----------
    spacing : mapping of str to float
        Pixel size, in physical units.
    origin : mapping of str to float
        Position of the first pixel's centre, in physical units.
    shape : mapping of str to int
        Number of pixels.
    transform : object
        Ignored; `get_stack_properties_from_sim` of multiview-stitcher returns it.
    """

    spacing: Mapping[str, float]
    origin: Mapping[str, float]
    shape: Mapping[str, int]
    transform: NotRequired[object]


class ZarrOptions(TypedDict, total=False):
    """How the output is stored.

    Attributes
    ----------
    ome_zarr : bool
        Whether to write an OME-Zarr image with its pyramid, or one array. By default an array.
    ngff_version : str
        ``"0.4"`` (the default) or ``"0.5"``.
    zarr_array_creation_kwargs : mapping, optional
        Further arguments for `zarr.create_array`.
    overwrite : bool
        Whether an array or image at the output's path is replaced. By default it is.
    """

    ome_zarr: bool
    ngff_version: NgffVersion
    zarr_array_creation_kwargs: Mapping[str, object] | None
    overwrite: bool


class BatchOptions(TypedDict, total=False):
    """How the blocks of the output are computed.

    Attributes
    ----------
    batch_func : callable, optional
        Called as ``batch_func(fuse_block, block_ids, **batch_func_kwargs)`` for each batch.
        By default blocks are written by threads.
    n_batch : int
        Number of blocks in a batch. By default 1.
    batch_func_kwargs : mapping, optional
        Further arguments for `batch_func`.
    zarr_array_creation_kwargs : mapping, optional
        As in `ZarrOptions`, where multiview-stitcher 0.1.48 reads it from.
    """

    batch_func: BatchFunction | None
    n_batch: int
    batch_func_kwargs: Mapping[str, object] | None
    zarr_array_creation_kwargs: Mapping[str, object] | None

"""The arguments of `fuse` except the images: they are checked before anything is computed."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np

from platefuse.errors import ConfigError
from platefuse.fusion.options import BLENDING_WIDTHS
from platefuse.fusion.signatures import (
    BatchOptions,
    BlockFunction,
    InterpolationOrder,
    StackMode,
    StackProperties,
    ZarrOptions,
)
from platefuse.ngff.zarr_format import FORMATS, NGFF_FORMATS
from platefuse.storage.expected import (
    COUNT,
    FINITE,
    FLAG,
    KEYWORDS,
    NOT_NEGATIVE,
    ORDER,
    POSITIVE,
    Expected,
    by_axis,
    dict_of,
    is_whole,
    number,
    one_of,
    refuse,
)


def lengths(name: str, given: object, ndim: int) -> tuple[int, ...]:
    """Check that a value has one length for each axis of an array, and return them as integers."""
    if (
        not isinstance(given, Sequence | np.ndarray)
        or len(given) != ndim
        or not all(is_whole(n, 1) for n in given)
    ):
        refuse(name, given, f"a whole number above 0 for each of the {ndim} axes")
    return tuple(int(n) for n in given)


_OLDER_NAMES = {"images": "sims", "fusion_func_kwargs": "fusion_method_kwargs"}


def by_present_names(given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `platefuse.fuse`, those given by an older name by their present one.

    Raises
    ------
    ConfigError
        If one is given by both names.
    """
    present = dict(given)
    for name, old in _OLDER_NAMES.items():
        value = present.pop(old)
        if value is None:
            continue
        if present[name] is not None:
            raise ConfigError(
                f"fuse: both {name} and {old} are given; {old} is the older name of {name}. "
                f"Give {name} only."
            )
        present[name] = value
        message = f"fuse: {old} is the older name of {name}. Use {name}=... instead."
        warnings.warn(message, DeprecationWarning, stacklevel=3)
    return present


FUNCTION = Expected("a function, such as those of platefuse.fusion.methods", callable)
MODES: tuple[StackMode, ...] = get_args(StackMode)
_OF_ARRAY: Final = "zarr_array_creation_kwargs"
_OWN = ("store", "path", "name", "shape", "dtype", "data", "overwrite", "write_data")
"""Arguments of `zarr.create_array` that follow from what is fused."""

_CREATION = Expected(
    f"a dict of arguments for zarr.create_array, but none of {', '.join(_OWN)}",
    lambda v: isinstance(v, Mapping) and KEYWORDS.holds(v) and not any(key in _OWN for key in v),
).or_none
_FOLDER = Expected(
    "the path of a local folder; remote addresses are not supported",
    lambda v: isinstance(v, str | os.PathLike) and not re.search("://|\0", str(v)),
)
_STACK = {"spacing": by_axis(POSITIVE), "origin": by_axis(FINITE), "shape": by_axis(COUNT)}
_CHUNK = Expected(
    "a whole number above 0, or -1 for a whole axis", lambda v: is_whole(v, 1) or number(v) == -1
)
_OVERLAP = Expected("a whole number of 0 or more", lambda v: is_whole(v, 0))


def _alike_or_by_axis(one: Expected) -> Expected:
    """A value for all axes in space, or a dict of one for each."""
    words = f"{one.words}, or a dict of one for each axis"
    return Expected(words, lambda v: isinstance(v, Mapping) or one.holds(v), by_axis(one).parts)


_IGNORED = Expected("anything", lambda v: True)
"""`get_stack_properties_from_sim` of multiview-stitcher also returns the image's transform."""
_ARGUMENTS: dict[str, Expected] = {
    "fusion_func": FUNCTION,
    "fusion_func_kwargs": KEYWORDS.or_none,
    "weights_func": FUNCTION.or_none,
    "weights_func_kwargs": KEYWORDS.or_none,
    "output_stack_properties": dict_of({**_STACK, "transform": _IGNORED}).or_none,
    "output_spacing": _STACK["spacing"].or_none,
    "output_origin": _STACK["origin"].or_none,
    "output_shape": _STACK["shape"].or_none,
    "output_stack_mode": one_of(*MODES),
    "output_chunksize": _alike_or_by_axis(_CHUNK).or_none,
    "overlap_in_pixels": _alike_or_by_axis(_OVERLAP).or_none,
    "trim_overlap": FLAG,
    "interpolation_order": ORDER,
    "blending_widths": by_axis(NOT_NEGATIVE, "zyx").or_none,
    "output_zarr_url": _FOLDER.or_none,
    "zarr_options": dict_of(
        {
            "ome_zarr": FLAG,
            "ngff_version": Expected("'0.4' or '0.5'", lambda v: str(v) in NGFF_FORMATS),
            _OF_ARRAY: _CREATION,
            "overwrite": FLAG,
        }
    ).or_none,
    "batch_options": dict_of(
        {
            "batch_func": Expected("a function", callable).or_none,
            "n_batch": COUNT,
            "batch_func_kwargs": KEYWORDS.or_none,
            _OF_ARRAY: _CREATION,
        }
    ).or_none,
    "backend": Expected(
        "None or 'numpy': platefuse computes with NumPy only",
        lambda v: v is None or (isinstance(v, str) and v == "numpy"),
    ),
    "output_on_backend": FLAG,
    "threads": COUNT.or_none,
    "nan_is_missing": FLAG,
}


@dataclass(frozen=True)
class Storage:
    """How a fused image is stored.

    Attributes
    ----------
    version : str or None
        NGFF version of an OME-Zarr image; None for a plain array.
    zarr_format : int
        2 or 3.
    chunks : tuple of int
        Its chunks on all axes, perhaps larger than the image.
    shards : tuple of int or None
        Its shards, whole multiples of the chunks.
    creation : dict
        Further arguments for `zarr.create_array`.
    """

    version: str | None
    zarr_format: Literal[2, 3]
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None
    creation: dict[str, object]


@dataclass(frozen=True, kw_only=True)
class FusionArguments:
    """The arguments of `platefuse.fuse` except the images. Each is described there.

    Raises
    ------
    ConfigError
        If an argument cannot be used. The message has its name, its value and what was expected.
    """

    fusion_func: BlockFunction
    fusion_func_kwargs: Mapping[str, object] | None
    weights_func: BlockFunction | None
    weights_func_kwargs: Mapping[str, object] | None
    output_spacing: Mapping[str, float] | None
    output_stack_mode: StackMode
    output_origin: Mapping[str, float] | None
    output_shape: Mapping[str, int] | None
    output_stack_properties: StackProperties | None
    output_chunksize: int | Mapping[str, int] | None
    overlap_in_pixels: int | Mapping[str, int] | None
    trim_overlap: bool
    interpolation_order: InterpolationOrder
    blending_widths: Mapping[str, float] | None
    output_zarr_url: str | os.PathLike[str] | None
    zarr_options: ZarrOptions | None
    batch_options: BatchOptions | None
    backend: str | None
    output_on_backend: bool
    threads: int | None
    nan_is_missing: bool

    def __post_init__(self) -> None:
        stack = self.output_stack_properties
        ignored = {f"output_{name}" for name in _STACK} if stack is not None else set()
        for name, expected in _ARGUMENTS.items():
            if name not in ignored:
                expected.check(f"fuse: {name}", getattr(self, name))
        if stack is None:
            return
        if lacking := sorted(set(_STACK) - set(stack)):
            raise ConfigError(
                f"fuse: output_stack_properties lacks {lacking}; expected spacing, origin "
                "and shape together, or one of output_spacing, output_origin, output_shape."
            )
        for name in _STACK:
            object.__setattr__(self, f"output_{name}", dict(stack)[name])

    @property
    def widths(self) -> dict[str, float]:
        """Blending widths on the axes in space, in physical units."""
        return {**BLENDING_WIDTHS, **(self.blending_widths or {})}

    def storage(self, chunks: Sequence[int]) -> Storage:
        """How to store the fused image.

        Parameters
        ----------
        chunks : sequence of int
            Its chunks on all axes, unless the arguments for its Zarr array have others.

        Raises
        ------
        ConfigError
            If these arguments contradict each other.
        """
        options, batch = self.zarr_options or {}, self.batch_options or {}
        rest: dict[str, object] = {**(batch.get(_OF_ARRAY) or {}), **(options.get(_OF_ARRAY) or {})}
        version = str(options.get("ngff_version", "0.4")) if options.get("ome_zarr") else None
        formats = (2, 3) if version is None else (NGFF_FORMATS[version].number,)
        zarr_format = rest.pop("zarr_format", formats[-1])
        if number(zarr_format) not in formats:
            here = "" if version is None else f", which ngff_version {version!r} requires"
            refuse(_argument("zarr_format"), zarr_format, f"one of {list(formats)}{here}")
        stored: Literal[2, 3] = 2 if number(zarr_format) == 2 else 3
        chunks = lengths(_argument("chunks"), rest.pop("chunks", chunks), len(chunks))
        shards = _shards(rest.pop("shards", None), chunks, stored)
        return Storage(version, stored, chunks, shards, _renamed(rest, stored))


def _argument(name: str) -> str:
    """Name of an argument for the Zarr array, for error messages."""
    return f"fuse: {_OF_ARRAY}[{name!r}]"


def _shards(given: object, chunks: tuple[int, ...], zarr_format: int) -> tuple[int, ...] | None:
    """Check the shards against chunks and Zarr format; None if there are none."""
    if given is None:
        return None
    if not FORMATS[zarr_format].has_shards:
        only = "None, because only Zarr v3 (ngff_version '0.5') has shards"
        refuse(_argument("shards"), given, only)
    shards = lengths(_argument("shards"), given, len(chunks))
    if any(s % c for s, c in zip(shards, chunks, strict=True)):
        refuse(_argument("shards"), given, f"whole multiples of the chunks, {chunks}")
    return shards


def _renamed(creation: Mapping[str, object], zarr_format: int) -> dict[str, object]:
    """Rename arguments of the older `zarr.create` to those of `zarr.create_array`."""
    rest = dict(creation)
    if "compressor" in rest:
        rest["compressors"] = rest.pop("compressor")
    if "dimension_separator" in rest:
        separator = rest.pop("dimension_separator")
        one_of("/", ".").check(_argument("dimension_separator"), separator)
        name = FORMATS[zarr_format].chunk_keys["name"]
        rest["chunk_key_encoding"] = {"name": name, "separator": separator}
    return rest

"""The options of fusing plates: the keys of the config's section `fusion`, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from platefuse.engine.compose import Blend, Compositor, Paint
from platefuse.errors import ConfigError
from platefuse.fusion.arguments import (
    BLENDING_WIDTHS,
    COUNT,
    NOT_NEGATIVE,
    ORDER,
    POSITIVE,
    Expected,
    by_axis,
    number,
    one_of,
)
from platefuse.fusion.frame import MODES
from platefuse.fusion.methods import content_based, required_overlap, weighted_average_fusion
from platefuse.fusion.plugins import Plugin
from platefuse.geometry import Box

CHUNKS = {"z": 1, "y": 2048, "x": 2048}
METHODS = ("weighted_average", "max", "mean", "first")
_LENGTHS = by_axis(COUNT, "zyx")
_EXPECTED = {
    "tile_table": Expected("the name of a table", lambda v: isinstance(v, str) and bool(v)),
    "layout": one_of("per_acquisition", "stacked"),
    "method": one_of(*METHODS),
    "weights": one_of("content_based").or_none,
    "blending_widths": by_axis(NOT_NEGATIVE, "zyx"),
    "output_spacing": by_axis(POSITIVE, "zyx").or_none,
    "output_stack_mode": one_of(*MODES),
    "interpolation_order": ORDER,
    "output_chunksize": _LENGTHS,
    "ngff_version": one_of("0.4", "0.5"),
    "shards": _LENGTHS.or_none,
    "merge_labels": Expected(
        "a number above 0 and at most 1", lambda v: 0 < number(v) <= 1
    ).or_none,
}


@dataclass(frozen=True)
class FusionOptions:
    """How wells are fused.

    Attributes
    ----------
    tile_table : str
        ROI table that says where the fields are, in the array and (in the columns
        ``*_micrometer_original``) on the stage.
    layout : str
        ``per_acquisition``: one image for each; ``stacked``: one with all their channels.
    method : str
        ``weighted_average``, ``max``, ``mean`` or ``first``.
    weights : str or None
        ``content_based``: the weighted average counts a field more where it is sharp.
    blending_widths : dict of str to float
        Width of the falling weights at the borders of a field, in micrometres, for z, y, x; an
        axis that is left out has its default.
    output_spacing : dict of str to float or None
        Pixel size of the fused image in micrometres; None: as the fields.
    output_stack_mode : str
        ``union``, ``intersection`` or ``sample``.
    interpolation_order : int
        0, 1 or 3: how fields that do not lie on whole pixels are sampled.
    output_chunksize : dict of str to int
        Chunks of the fused image for z, y, x; an axis that is left out has its default.
    ngff_version : str
        ``0.4`` or ``0.5``.
    shards : dict of str to int or None
        Shards of the fused image for z, y, x; only with ``0.5``.
    merge_labels : float or None
        Share of the smaller of two objects that neighbouring fields must have in common for
        their ids to become one, above 0 and at most 1. None: ids are taken as they are.
    """

    tile_table: str = "FOV_ROI_table"
    layout: str = "per_acquisition"
    method: Literal["weighted_average", "max", "mean", "first"] = "weighted_average"
    weights: str | None = None
    blending_widths: Mapping[str, float] = field(default_factory=BLENDING_WIDTHS.copy)
    output_spacing: Mapping[str, float] | None = None
    output_stack_mode: str = "union"
    interpolation_order: int = 1
    output_chunksize: Mapping[str, int] = field(default_factory=CHUNKS.copy)
    ngff_version: str = "0.4"
    shards: Mapping[str, int] | None = None
    merge_labels: float | None = None

    def __post_init__(self) -> None:
        for key, expected in _EXPECTED.items():
            expected.check(f"fusion.{key}", getattr(self, key))
        for key, defaults in (("blending_widths", BLENDING_WIDTHS), ("output_chunksize", CHUNKS)):
            object.__setattr__(self, key, {**defaults, **getattr(self, key)})
        if self.shards is not None and self.ngff_version != "0.5":
            raise ConfigError(
                f"fusion.shards is set, but fusion.ngff_version is {self.ngff_version!r}: only "
                'Zarr v3 has shards. Set fusion.ngff_version: "0.5" or fusion.shards: null.'
            )
        if self.weights is not None and self.method != "weighted_average":
            raise ConfigError(
                f"fusion.weights is {self.weights!r}, but fusion.method {self.method!r} weighs "
                "nothing. Set fusion.method: weighted_average or fusion.weights: null."
            )
        for axis, length in (self.shards or {}).items():
            chunk = self.output_chunksize[axis]
            if length % chunk:
                raise ConfigError(
                    f"fusion.shards on {axis} is {length}; expected a whole multiple of "
                    f"fusion.output_chunksize, which is {chunk} there."
                )

    def compositor(self, extent: Box, spatial: int) -> Compositor:
        """What to do where fields overlap.

        Parameters
        ----------
        extent : Box
            Where there are data, in the fused image.
        spatial : int
            Number of axes in space.
        """
        if self.weights == "content_based":
            margin = (required_overlap(content_based, {}),) * spatial
            return Plugin(weighted_average_fusion, content_based, margin, extent)
        if self.method == "first":
            return Paint("first")
        return Blend(self.method)

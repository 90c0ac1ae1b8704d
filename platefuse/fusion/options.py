"""The options of fusing plates: the keys of the config's section `fusion`, checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from platefuse.storage.expected import COUNT, NOT_NEGATIVE, POSITIVE, Expected, by_axis, number
from platefuse.storage.options import Requires, check_options, option

if TYPE_CHECKING:
    from platefuse.engine.compose import Compositor
    from platefuse.engine.views import View

BLENDING_WIDTHS: dict[str, float] = {"z": 3, "y": 10, "x": 10}
"""Widths over which fields are blended into each other, in micrometres."""

LengthsByAxis = Annotated[Mapping[str, int], by_axis(COUNT, "zyx", "Pixels")]
WidthsByAxis = Annotated[Mapping[str, float], by_axis(NOT_NEGATIVE, "zyx", "Micrometres")]
SpacingByAxis = Annotated[Mapping[str, float], by_axis(POSITIVE, "zyx", "Micrometres", least=1)]
ShardsByAxis = Annotated[Mapping[str, int], by_axis(COUNT, "zyx", "Pixels", least=1)]
Share = Annotated[
    float,
    Expected(
        "a number above 0 and at most 1",
        lambda v: 0 < number(v) <= 1,
        schema={"type": "number", "exclusiveMinimum": 0, "maximum": 1},
    ),
]


@dataclass(frozen=True)
class FusionOptions:
    """How wells are fused. Each option is described where it is declared.

    Raises
    ------
    ConfigError
        If an option has a value that cannot be used, or contradicts another.
    """

    tile_table: str = option(
        "FOV_ROI_table",
        "Name of the ROI table with the positions of the fields: in the image and, in the columns "
        "*_micrometer_original, on the stage.",
        comment="positions of the fields",
    )
    layout: Literal["per_acquisition", "stacked"] = option(
        "per_acquisition", "One fused image for each acquisition, or one with the channels of all."
    )
    method: Literal["weighted_average", "max", "mean", "first"] = option(
        "weighted_average", "The value of a pixel where fields overlap."
    )
    weights: Literal["content_based"] | None = option(
        None,
        "Weights on top of the blending: content_based counts a field more where it is sharp; "
        "null: none.",
        requires=Requires("method", "weighted_average", "no other method uses weights"),
    )
    blending_widths: WidthsByAxis = option(
        BLENDING_WIDTHS,
        "Micrometres over which the weight of a field falls towards its border, by axis.",
        comment="micrometres",
    )
    output_spacing: SpacingByAxis | None = option(
        None,
        "Pixel size of the fused image in micrometres, by axis; null: that of the input.",
        comment="null | {z: 1.0, y: 0.65, x: 0.65}, micrometres",
    )
    output_stack_mode: Literal["union", "intersection", "sample"] = option(
        "union", "The part of the stage that the fused image covers."
    )
    interpolation_order: Literal[0, 1, 3] = option(
        1, "Interpolation between pixels: 0 (nearest), 1 (linear) or 3 (cubic convolution)."
    )
    output_chunksize: LengthsByAxis = option(
        {"z": 1, "y": 2048, "x": 2048},
        "Pixels in one chunk of the fused image, by axis.",
        comment="pixels",
    )
    ngff_version: Literal["0.4", "0.5"] = option(
        "0.4", 'NGFF version of the fused plate, "0.4" or "0.5", written with quotes.'
    )
    shards: ShardsByAxis | None = option(
        None,
        "Pixels in one shard (a file of many chunks) of the fused image, by axis, for NGFF 0.5; "
        "null: one file for each chunk.",
        comment="with 0.5: {z: 1, y: 8192, x: 8192}",
        requires=Requires("ngff_version", "0.5", "only Zarr v3 has shards"),
    )
    merge_labels: Share | None = option(
        None,
        "Share of the smaller of two objects that neighbouring fields must have in common for "
        "their ids to become one; null: ids are kept as they are.",
        comment="null | 0.5: one id for objects of neighbouring fields that overlap by half",
    )

    def __post_init__(self) -> None:
        check_options(self, "fusion")

    def contradictions(self) -> Iterator[str]:
        """Sentences for options that contradict each other."""
        for axis, length in (self.shards or {}).items():
            chunk = self.output_chunksize[axis]
            if length % chunk:
                yield (
                    f"fusion.shards on {axis} is {length}; expected a whole multiple of "
                    f"fusion.output_chunksize, which is {chunk} on this axis."
                )

    def compositor(self, views: Sequence[View], spatial: int) -> Compositor:
        """The compositor for overlaps.

        Imported here, because Snakemake reads the options in every process and composes nothing.

        Parameters
        ----------
        views : sequence of View
            The views that are fused.
        spatial : int
            Number of axes in space.
        """
        from platefuse.fusion.methods import METHODS, content_based
        from platefuse.fusion.plugins import choose_compositor

        weights = content_based if self.weights == "content_based" else None
        return choose_compositor(views, spatial, METHODS[self.method], weights)

"""Scales of levels that contradict their shapes: found, and corrected in what is written."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from platefuse.ngff.image import Multiscale
from platefuse.ngff.metadata import update_attributes
from platefuse.storage.typed_json import JsonObject, list_of, object_of

logger = logging.getLogger(__name__)

Scale = tuple[float, ...]


def true_scales(image: Multiscale) -> tuple[Scale, ...]:
    """The scale of each level, finest first, by what its pixels show.

    A level whose scale says that it shrinks by another whole number than its shape does has the
    scale of the level before, times the number of pixels that it groups. All other scales, also
    those of axes that are not in space, are those of the metadata.

    Raises
    ------
    ImageError
        If a level is not made of whole groups of the pixels below it.
    """
    scales = [image.scales[0]]
    for level, factors in enumerate(image.factors, 1):
        scales.append(
            tuple(
                _true_scale(axis, factor, own, before, corrected)
                for axis, factor, own, before, corrected in zip(
                    image.axes,
                    factors,
                    image.scales[level],
                    image.scales[level - 1],
                    scales[-1],
                    strict=True,
                )
            )
        )
    return tuple(scales)


def _true_scale(axis: str, factor: int, own: float, before: float, corrected: float) -> float:
    if axis not in "zyx":
        return own
    if abs(own / before - factor) >= 1 / 2:
        return corrected * factor
    return own if corrected == before else corrected * own / before


def wrong_levels(image: Multiscale) -> list[int]:
    """The levels whose scale contradicts their shape."""
    pairs = zip(image.scales, true_scales(image), strict=True)
    return [level for level, (own, true) in enumerate(pairs) if own != true]


def warn_of_wrong_scales(image: Multiscale) -> None:
    """Say of levels with a wrong scale what it is, and what the new image has.

    Raises
    ------
    ImageError
        If a level is not made of whole groups of the pixels below it.
    """
    if wrong := wrong_levels(image):
        true = true_scales(image)
        logger.warning(
            "%s: the scales of its levels contradict their shapes %s: level %s has %s, and its "
            "pixels show %s (axes %s). What is written has the latter.",
            image.path,
            [list(shape) for shape in image.shapes],
            image.paths[wrong[0]],
            list(image.scales[wrong[0]]),
            list(true[wrong[0]]),
            image.axes,
        )


def write_true_scales(image: Multiscale, target: Path) -> None:
    """Correct the metadata of a copy of an image, if the scale of a level is wrong.

    Parameters
    ----------
    image : Multiscale
        The image.
    target : Path
        Its copy, which has the same metadata.
    """
    wrong = wrong_levels(image)
    if not wrong:
        return
    true, datasets = true_scales(image), [*list_of(image.metadata["datasets"])]
    for level in wrong:
        ratios = [a / b for a, b in zip(true[level], image.scales[level], strict=True)]
        datasets[level] = _rescaled(object_of(datasets[level]), ratios)
    entry = {**image.metadata, "datasets": datasets}
    others = list_of(image.attributes["multiscales"])[1:]
    update_attributes(target, {"multiscales": [entry, *others]})


def _rescaled(dataset: Mapping[str, object], ratios: Sequence[float]) -> JsonObject:
    """A dataset whose scale is multiplied on each axis; its scale may lack the first axes."""
    transforms = []
    for transform in map(object_of, list_of(dataset["coordinateTransformations"])):
        old = list_of(transform.get("scale"))
        own = ratios[len(ratios) - len(old) :]
        new = [a * b if isinstance(a, int | float) else a for a, b in zip(old, own, strict=True)]
        transforms.append({**transform, "scale": new} if "scale" in transform else transform)
    return {**dataset, "coordinateTransformations": transforms}

"""Stage positions of the images of a well, from the first source that has all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from platefuse.errors import ViewError, some
from platefuse.ngff.image import Multiscale
from platefuse.ngff.positions import (
    OME_XML,
    Position,
    read_ome_positions,
    row_and_column,
    translation_of,
)
from platefuse.ngff.units import likely_unit
from platefuse.ngff.well import Well


def stage_positions(
    well: Well, groups: Sequence[Sequence[str]], images: Mapping[str, Multiscale]
) -> dict[str, Position]:
    """Positions of the images of a well, all from one source.

    Two sources may have different origins, so the images of a well are never placed by both.

    Parameters
    ----------
    well : Well
        The well.
    groups : sequence of sequences of str
        Paths of the images of each acquisition.
    images : mapping of str to Multiscale
        The images by their paths.

    Returns
    -------
    dict of str to Position
        By path. If each acquisition has one image only and no source has the positions of all of
        them, they are all at the origin.

    Raises
    ------
    ViewError
        If an acquisition has several images and no source tells them apart. The message names the
        ways to give positions.
    """
    names = list(dict.fromkeys(name for group in groups for name in group))
    faults = []
    for source, positions in _sources(well, [images[name] for name in names]):
        found = {n: p for n, p in zip(names, positions, strict=True) if p is not None}
        fault = _fault(groups, names, found, images)
        if not fault:
            return found
        faults.append(f"{source}: {fault}")
    if all(len(group) == 1 for group in groups):
        return {name: {} for name in names}
    raise ViewError(
        f"{well.path}: the positions of the {len(names)} fields {names[0]} … {names[-1]} are not "
        f"known ({'; '.join(faults)}). Write a `translation` into the images' "
        f"coordinateTransformations, add {OME_XML} to the plate, or give a tab-separated file "
        "under `input.positions` (columns well, image, y_um, x_um)."
    )


def _sources(
    well: Well, images: Sequence[Multiscale]
) -> Iterator[tuple[str, Sequence[Position | None]]]:
    """The sources of positions in a plate; each is read when it is needed."""
    yield "translation", [translation_of(image) for image in images]
    ome, place = read_ome_positions(well.plate), row_and_column(well)
    yield str(OME_XML), [ome.of(well.image(image.path.name), place) for image in images]


def _fault(
    groups: Sequence[Sequence[str]],
    names: Sequence[str],
    found: Mapping[str, Position],
    images: Mapping[str, Multiscale],
) -> str:
    """Why positions from one source cannot be used; empty if they can."""
    if len(found) < len(names):
        missing = [name for name in names if name not in found]
        return f"none for {some(missing) if found else 'any image'}"
    for group in groups:
        positions = [found[name] for name in group]
        if len(group) > 1 and _are_together(positions, images[group[0]]):
            unit = _unit_of(positions, images[group[0]])
            which = "all" if len(group) == len(names) else f"those of {group[0]} … {group[-1]}"
            return f"{which} within one pixel{unit and f', as if in {unit}'}"
    return ""


def _are_together(positions: Sequence[Position], image: Multiscale) -> bool:
    """Whether all fields are at one place, within a pixel: then the positions say nothing."""
    return all(
        max(p.get(axis, 0.0) for p in positions) - min(p.get(axis, 0.0) for p in positions)
        < image.pixel_size_um[axis]
        for axis in "yx"
    )


def _unit_of(positions: Sequence[Position], image: Multiscale) -> str:
    """The unit in which positions probably are that seem to be at one place; or nothing."""
    ends = [[p.get(axis, 0.0) for p in positions] for axis in "yx"]
    spread = max(max(end) - min(end) for end in ends)
    length = max(image.shape_in_space[-2:]) * max(image.pixel_size_um[a] for a in "yx")
    return likely_unit(spread, length, len(positions)) or ""

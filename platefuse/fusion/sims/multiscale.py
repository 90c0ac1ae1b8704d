"""Multi-resolution images of the multiview-stitcher data model.

Such an image ("msim") is an xarray.DataTree with a child ``scale0``, ``scale1``, … for each level,
finest first. A level holds the pixels as ``image`` (see `platefuse.fusion.sims.image`) and the
affines as further variables, named by their transform keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeGuard

import numpy as np

from platefuse.errors import ViewError
from platefuse.fusion.frame import Frame
from platefuse.fusion.sims.image import Sim, check_alike, read_sim, read_sims

if TYPE_CHECKING:
    import xarray

_SCALE = re.compile(r"scale(\d+)")
_AS_FINE = 1.001
"""Pixels larger than those of the output by less than this are not larger: some programs store the
quotient of the shapes as the scale of a level, which rounding has made a little too large."""
_LEVELS_DIFFER_PX = 1.5
"""A coarser level may begin and end so many of its pixels elsewhere than the finest: one for pixels
that rounding leaves out or adds, half of one if it has every second pixel, not the mean of two."""
_FEWEST = 100
"""An axis is halved as long as more pixels than this remain, as multiview-stitcher does."""


@dataclass(frozen=True)
class Pyramid:
    """One image to be fused, at one or more resolutions.

    Attributes
    ----------
    levels : tuple of Sim
        Its levels, finest first.
    """

    levels: tuple[Sim, ...]

    def suiting(self, spacing: Sequence[float]) -> Sim:
        """The coarsest level whose pixels are not larger than those of the output.

        Parameters
        ----------
        spacing : sequence of float
            Pixel size of the output, in world units.
        """
        largest = np.array(spacing) * _AS_FINE
        fine = [level for level in self.levels if (level.world_spacing <= largest).all()]
        return fine[-1] if fine else self.levels[0]


def is_multiscale(images: object) -> TypeGuard[Sequence[xarray.DataTree]]:
    """Whether the images to be fused are multi-resolution images.

    Raises
    ------
    ViewError
        If some are and some are not.
    """
    import xarray

    if not isinstance(images, Sequence):
        return False
    trees = [isinstance(image, xarray.DataTree) for image in images]
    if any(trees) and not all(trees):
        other = trees.index(not trees[0])
        raise ViewError(
            f"fuse: view {other} is a {type(images[other]).__name__}, view 0 a "
            f"{type(images[0]).__name__}. Views must be of the same kind: all xarray.DataArray or "
            "all xarray.DataTree."
        )
    return any(trees)


def read_pyramids(
    images: object, key: str | None, spacing: Mapping[str, float] | None = None
) -> list[Pyramid]:
    """Read the geometry of all levels of the images to fuse, and check that they fit together.

    Parameters
    ----------
    images : sequence of xarray.DataArray, or of xarray.DataTree
        The images.
    key, spacing : optional
        See `read_sims`.

    Raises
    ------
    ViewError
        If they cannot be fused: see `read_sims`.
    """
    if not is_multiscale(images):
        return [Pyramid((sim,)) for sim in read_sims(images, key, spacing)]
    levels = [_levels(number, tree) for number, tree in enumerate(images)]
    finest = read_sims([own[0] for own in levels], key, spacing)
    return [
        Pyramid((sim, *_coarser(sim, own[1:], key)))
        for sim, own in zip(finest, levels, strict=True)
    ]


def make_tree(levels: Sequence[xarray.DataArray]) -> xarray.DataTree:
    """The multi-resolution image of some levels, finest first."""
    import xarray

    return xarray.DataTree.from_dict(
        {f"scale{number}": _dataset(level) for number, level in enumerate(levels)}
    )


def halved(frame: Frame) -> list[Frame]:
    """The frames of a lazy multi-resolution image: the finest, then each half of the one before."""
    frames = [frame]
    while True:
        shape = frames[-1].shape
        factors = [2 if n // 2 > _FEWEST else 1 for n in shape]
        if max(factors) == 1:
            return frames
        halves = [n // factor for n, factor in zip(shape, factors, strict=True)]
        frames.append(frames[-1].coarser(factors, halves))


def _levels(number: int, tree: xarray.DataTree) -> list[xarray.DataArray]:
    """Levels of an image, finest first, all with the transforms of the finest.

    Raises
    ------
    ViewError
        If it has none.
    """
    names = sorted(filter(_SCALE.fullmatch, tree.children), key=lambda name: int(name[5:]))
    if not names or any("image" not in tree[name].data_vars for name in names):
        found = {name: list(tree[name].data_vars) for name in tree.children}
        raise ViewError(
            f"fuse: view {number} is an xarray.DataTree of {found}; expected the children scale0, "
            "scale1, … with a variable 'image' each."
        )
    datasets = [tree[name].to_dataset() for name in names]
    transforms = {k: v for k, v in datasets[0].data_vars.items() if k != "image"}
    return [dataset["image"].assign_attrs(transforms=transforms) for dataset in datasets]


def _coarser(finest: Sim, images: Sequence[xarray.DataArray], key: str | None) -> list[Sim]:
    """The coarser levels of an image."""
    levels = []
    for number, image in enumerate(images, start=1):
        level = read_sim(f"{finest.number} (scale{number})", image, key)
        check_alike(level, finest)
        all_in_one = finest.spacing * finest.shape  # the size of a pixel that is alone on its axis
        spacing = np.where(level.shape > 1, level.spacing, all_in_one)
        level = replace(level, spacing=spacing)
        _check_same_place(level, finest)
        levels.append(level)
    return levels


def _check_same_place(level: Sim, finest: Sim) -> None:
    """Check that a coarser level shows what the finest shows, because it is read in its place.

    Raises
    ------
    ViewError
        If it does not.
    """
    ends, expected = ((s.origin - s.spacing / 2, s.shape * s.spacing) for s in (level, finest))
    for axis, step, *both in zip(finest.spatial, level.spacing, *ends, *expected, strict=True):
        (a, b), (c, d) = ((low, low + length) for low, length in (both[:2], both[2:]))
        if max(abs(a - c), abs(b - d)) > _LEVELS_DIFFER_PX * step:
            raise ViewError(
                f"fuse: view {level.number} covers {a:g} to {b:g} on {axis}, view {finest.number} "
                f"covers {c:g} to {d:g}. Expected levels that show the same: correct the "
                "coordinates of the level, or leave it out."
            )


def _dataset(level: xarray.DataArray) -> xarray.Dataset:
    plain = level.copy(deep=False)
    transforms = plain.attrs.pop("transforms", {})
    named = {key: affine for key, affine in transforms.items() if key is not None}
    return plain.to_dataset(name="image").assign(named)

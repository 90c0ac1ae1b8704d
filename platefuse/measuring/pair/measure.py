"""Measure the shift between two images that show the same tissue."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from platefuse.errors import ImageError
from platefuse.measuring.model import FieldKey, Kind, PairMeasure, PairStatus, Vector
from platefuse.measuring.pair.arguments import check_pattern, largest_shift, least_overlap, vector
from platefuse.measuring.pair.blocks import Side, overlap_box
from platefuse.measuring.pair.correlate import Peak
from platefuse.measuring.pair.depth import FLAT, Depth, depth
from platefuse.measuring.pair.judge import Judge
from platefuse.measuring.pair.levels import Levels
from platefuse.measuring.pair.refine import Refined, refine
from platefuse.measuring.pair.regions import Regions
from platefuse.measuring.pair.search import CELL_PX, Request, Search, level_of_search, search

if TYPE_CHECKING:
    from platefuse.measuring.pair.pattern import FixedPattern


@dataclass(frozen=True)
class Shift:
    """The shift between two images.

    Vectors are on the axes of the images: y, x or z, y, x.

    Attributes
    ----------
    shift_px : tuple of float
        What is added to the nominal position of the moving image, so that both show the same
        tissue at the same place, in pixels. It holds at `at_px` if the images are turned. NaN if
        the images have no texture in common (status ``empty``); where the status is another one
        than ``measured``, the best guess, which is not to be trusted.
    score_at_zero, score : float
        Zero-normalised correlation (-1 to 1) of the prepared images in their overlap, at the
        nominal position and at the shift found, at the level of the search.
    height : float
        Score, in standard deviations of the noise of the correlation over all shifts.
    runner_up : float
        How much higher the best peak is than the second best, or than its own ridge 16 coarse
        pixels away: (best - second) / best.
    sigma_px : tuple of float
        Uncertainty of the shift, in pixels: the Cramér-Rao bound for the coherence of the two
        images. Infinite if the fine structure of the images has nothing in common.
    overlap : float
        Share of the smaller image that overlaps the other at the shift found.
    texture : float
        Share of the variance that is more than noise, of the image that has less: 0 to 1.
    agreement : float
        Share of the blocks of the overlap whose own shifts agree.
    angle_deg : float
        Turn of the moving image that brings it onto the reference, from x to y; 0 if none is clear.
    at_px : (float, float)
        Where the shift holds on y and x, from the centre of the overlap.
    status : str
        ``measured``; ``empty``: no texture; ``ambiguous``: no clear peak, or several;
        ``too_far``: the shift is larger than allowed; ``fixed_pattern``: what correlates is the
        camera's pattern and not the tissue.
    """

    shift_px: tuple[float, ...]
    score_at_zero: float
    score: float
    height: float
    runner_up: float
    sigma_px: tuple[float, ...]
    overlap: float
    texture: float
    agreement: float
    angle_deg: float
    at_px: tuple[float, float]
    status: PairStatus

    def as_pair(self, kind: Kind, reference: FieldKey, moving: FieldKey) -> PairMeasure:
        """The same as the measure of a pair of fields, with vectors on z, y, x."""
        return PairMeasure(
            kind=kind,
            reference=reference,
            moving=moving,
            shift_px=_on_zyx(self.shift_px),
            score_at_zero=self.score_at_zero,
            score=self.score,
            runner_up=self.runner_up,
            sigma_px=_on_zyx(self.sigma_px),
            overlap=self.overlap,
            texture=self.texture,
            status=self.status,
            at_px=self.at_px,
        )


def _on_zyx(vector: tuple[float, ...]) -> Vector:
    z, y, x = (0.0, *vector)[-3:]
    return z, y, x


def measure_shift(
    reference: Any,
    moving: Any,
    *,
    offset_px: Sequence[float] | None = None,
    max_shift_px: float | Sequence[float],
    min_overlap: float | None = None,
    reference_pattern: FixedPattern | None = None,
    moving_pattern: FixedPattern | None = None,
) -> Shift:
    """Measure the shift between two images of the same tissue, to a fraction of a pixel.

    Parameters
    ----------
    reference, moving : array-like, or list or tuple of array-like
        Images with axes y, x or z, y, x, of integers or floats, or their pyramids, level 0 first.
        Only what is needed is read from them, by slices; NumPy, Zarr, Dask and
        `platefuse.measuring.pair.levels.Crop` can be mixed. Both have the same pixel size.
    offset_px : sequence of float, optional
        Nominal position of pixel 0 of `moving` in the pixels of `reference`; 0 if not given: two
        acquisitions of one field. For neighbours it is the step of the stage.
    max_shift_px : float or sequence of float
        Largest shift from the nominal position, on all axes or on each. On z a number for all axes
        counts planes.
    min_overlap : float, optional
        Least overlap, as a share of the nominal one. By default a quarter if most of the smaller
        image overlaps, else a half.
    reference_pattern, moving_pattern : FixedPattern, optional
        Fixed pattern of the camera, by `platefuse.measuring.pair.pattern.fixed_pattern`;
        subtracted. If one is missing, and pixels of the camera that coincide correlate best (a
        position within half a pixel of 0), the status is ``fixed_pattern``: one pair alone cannot
        tell dust from tissue that has not moved.

    Returns
    -------
    Shift

    Raises
    ------
    ImageError
        If the images have other axes or data types than these, or cannot overlap, or an argument
        has the wrong length or is not a number, or a pattern is of other fields.

    Notes
    -----
    The search correlates the prepared images (`platefuse.measuring.pair.prepare`) at a coarse
    level, at all shifts that are allowed. Up to nine blocks of the overlap then refine the shift at
    full resolution (`platefuse.measuring.pair.refine`). The result does not depend on the number of
    threads.

    Examples
    --------
    >>> import numpy as np
    >>> scene = np.random.default_rng(1).random((300, 300))
    >>> found = measure_shift(scene[:256, :256], scene[7:263, 3:259], max_shift_px=20)
    >>> found.status, [round(v, 2) for v in found.shift_px]
    ('measured', [7.0, 3.0])
    """
    patterns = reference_pattern, moving_pattern
    measure = _begin(reference, moving, offset_px, max_shift_px, min_overlap, patterns, Regions())
    return measure.result() if measure.found_any else measure.nothing()


def measure_levels(
    images: tuple[Levels, Levels],
    offset_px: Sequence[float],
    max_shift_px: Sequence[float],
    patterns: tuple[FixedPattern | None, FixedPattern | None],
    regions: Regions,
    *,
    refined: bool = True,
) -> Shift:
    """Measure the shift between two of many images, whose regions are kept.

    Parameters
    ----------
    images : (Levels, Levels)
        Reference and moving image.
    offset_px, max_shift_px : sequence of float
        As in `measure_shift`.
    patterns : pair of FixedPattern or None
        Fixed pattern of each image.
    regions : Regions
        Prepared regions of the images.
    refined : bool
        False for two images that cannot match, of which only the best score is needed, for a null
        distribution: the shift is that of the coarse level, and the status is ``ambiguous``, or
        ``empty`` if nothing correlates at all.
    """
    measure = _begin(*images, offset_px, max_shift_px, None, patterns, regions)
    if not measure.found_any:
        return measure.nothing()
    return measure.result() if refined else measure.unrefined()


def _begin(
    reference: Any,
    moving: Any,
    offset_px: Sequence[float] | None,
    max_shift_px: float | Sequence[float],
    min_overlap: float | None,
    patterns: tuple[FixedPattern | None, FixedPattern | None],
    regions: Regions,
) -> _Measure:
    """Check the arguments, and search at the coarse level."""
    levels = Levels.of(reference, "reference"), Levels.of(moving, "moving")
    axes = _axes(levels)
    offset = vector("offset_px", 0.0 if offset_px is None else offset_px, axes)
    most = largest_shift(max_shift_px, axes)
    request = Request((offset[-2], offset[-1]), (most[-2], most[-1]), least_overlap(min_overlap))
    for image, pattern in zip(levels, patterns, strict=True):
        check_pattern(f"{image.name}_pattern", pattern, image, level_of_search(*levels))
    found = search(*levels, request, patterns, regions)
    noise, peaks = found.surface.noise(), found.surface.peaks()
    return _Measure(levels, patterns, offset, most, found, noise, peaks)


def _axes(levels: tuple[Levels, Levels]) -> int:
    first, second = (len(side.arrays[0].shape) for side in levels)
    if first != second:
        raise ImageError(
            f"The reference image has {first} axes and the moving image {second}; expected as many."
        )
    return first


@dataclass(frozen=True)
class _Measure:
    """A search, and what follows from it."""

    levels: tuple[Levels, Levels]
    patterns: tuple[FixedPattern | None, FixedPattern | None]
    offset: tuple[float, ...]
    most: tuple[float, ...]
    search: Search
    noise: float
    peaks: list[Peak]

    @property
    def found_any(self) -> bool:
        """Whether anything correlates."""
        return bool(self.peaks) and self.noise > 0

    @property
    def texture(self) -> float:
        """Texture of the image that has less."""
        return min(side.texture for side in self.search.sides)

    @property
    def best(self) -> Peak:
        """The best peak that is allowed, or the best one."""
        return next((p for p in self.peaks if p.lag in self.search.lags), self.peaks[0])

    def result(self) -> Shift:
        """Refine the best peak, and judge it."""
        best = self.best
        along = self._depth(best)
        fine = self._refined(best, along)
        place = (along.displacement, *fine.displacement)[-len(self.offset) :]
        lag = self.search.lag(fine.displacement)
        zero = self.search.lag(self.offset[-2:])
        score = self.search.surface.at(lag) or best.score
        overlap = self._overlap(fine.displacement)
        judge = Judge(self.search, self.patterns, self.noise, self.peaks, best, overlap)
        status = judge.status(along, fine)
        empty = status == "empty"
        shift = tuple(math.nan if empty else p - o for p, o in zip(place, self.offset, strict=True))
        return Shift(
            shift_px=shift,
            score_at_zero=self.search.surface.at(zero),
            score=score,
            height=best.height / self.noise,
            runner_up=judge.runner_up,
            sigma_px=(along.sigma, *fine.sigma)[-len(self.offset) :],
            overlap=overlap,
            texture=self.texture,
            agreement=fine.agreement,
            angle_deg=fine.angle_deg,
            at_px=fine.at_px,
            status=status,
        )

    def unrefined(self) -> Shift:
        """The best peak of the search, judged by nothing: ``ambiguous``."""
        best = self.best
        place = (self.offset[0], *self.search.displacement(best))[-len(self.offset) :]
        return replace(
            self.nothing(),
            shift_px=tuple(p - o for p, o in zip(place, self.offset, strict=True)),
            score_at_zero=self.search.surface.at(self.search.lag(self.offset[-2:])),
            score=best.score,
            height=best.height / self.noise,
            overlap=self._overlap(place[-2:]),
            status="ambiguous",
        )

    def nothing(self) -> Shift:
        """The result if nothing correlates at all."""
        none = (math.nan,) * len(self.offset)
        unknown = (math.inf,) * len(self.offset)
        return Shift(
            none, 0.0, 0.0, 0.0, 0.0, unknown, 0.0, self.texture, 0.0, 0.0, (0.0, 0.0), "empty"
        )

    def _overlap(self, displacement: Sequence[float]) -> float:
        """Share of the smaller image that overlaps the other."""
        shapes = self.levels[0].shape, self.levels[1].shape
        shared = overlap_box(*shapes, [round(v) for v in displacement])
        return shared.size / min(math.prod(shape) for shape in shapes)

    def _depth(self, best: Peak) -> Depth:
        if max(side.planes for side in self.levels) == 1:
            return FLAT
        return depth(self.levels, self.search, best.lag, self.offset[0], self.most[0], self.noise)

    def _refined(self, best: Peak, along: Depth) -> Refined:
        first, second = (
            Side(levels, coarse.tone, pattern.full if pattern else None, coarse.strength)
            for levels, coarse, pattern in zip(
                self.levels, self.search.sides, self.patterns, strict=True
            )
        )
        texture = self.search.texture_map(best.lag)
        start = self.search.displacement(best)
        cell = CELL_PX * self.search.factor
        return refine((first, second), along.planes, texture, cell, self.search.factor, start)

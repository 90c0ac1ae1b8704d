"""Stitch images of the multiview-stitcher data model: the function `platefuse.stitch`."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from platefuse.errors import MeasureError
from platefuse.measuring.candidates import Candidate, choose_pairs
from platefuse.measuring.model import PairMeasure, PairStatus
from platefuse.measuring.pair.judge import LEAST_TEXTURE
from platefuse.measuring.pairs import measure_pair
from platefuse.measuring.plate import judged
from platefuse.measuring.sims import Mosaic, give_transform, read_mosaic
from platefuse.measuring.solve.stitching import Stitched, StitchedField
from platefuse.measuring.solve.stitching import stitch as solve
from platefuse.storage import progress
from platefuse.storage.expected import COUNT
from platefuse.storage.threads import usable_cores

if TYPE_CHECKING:
    import xarray

logger = logging.getLogger(__name__)

NULLS = 24
"""Most pairs that cannot match, whose scores are compared with those of the others."""

ImageStatus = Literal["measured", "filled", "empty", "alone"]


@dataclass(frozen=True)
class StitchedImage:
    """Where an image was found.

    Attributes
    ----------
    shift : tuple of float
        What was added to its position, on the axes in space, in units of the world.
    status : str
        ``measured``: its overlaps place it. The others are where a model of the stage has them,
        which is fitted to the measured images. ``filled``: no shift of its overlaps is used.
        ``empty``: its overlaps have nothing to measure by. ``alone``: it has no overlaps.
    score : float
        The best correlation of its overlaps; NaN unless ``measured``.
    sigma_px : float
        Uncertainty against its neighbours in y and x, in pixels; NaN unless ``measured``.
    """

    shift: tuple[float, ...]
    status: ImageStatus
    score: float
    sigma_px: float


@dataclass(frozen=True)
class StitchedPair:
    """The overlap of two images.

    Attributes
    ----------
    first, second : int
        Indices of the images.
    shift : tuple of float
        What is added to the position of the second, relative to the first, by this overlap alone;
        on the axes in space, in units of the world. Only if `status` is ``measured`` it is more
        than a guess; 0 if there is nothing to measure by.
    score : float
        Correlation at this shift.
    status : str
        See `platefuse.measuring.pair.measure.Shift`. An overlap that scores no more than images
        that cannot match is ``ambiguous``.
    used : bool
        Whether the images are placed by it; it is not used if other overlaps contradict it.
    """

    first: int
    second: int
    shift: tuple[float, ...]
    score: float
    status: PairStatus
    used: bool


@dataclass(frozen=True)
class Stitching:
    """What `stitch` found.

    Attributes
    ----------
    axes : str
        The axes in space, ``yx`` or ``zyx``: the order of all vectors.
    images : tuple of StitchedImage
        In the order of the images.
    pairs : tuple of StitchedPair
        All overlaps that were measured.
    """

    axes: str
    images: tuple[StitchedImage, ...]
    pairs: tuple[StitchedPair, ...]


def stitch(
    sims: Sequence[xarray.DataArray],
    transform_key: str | None,
    new_transform_key: str,
    *,
    channel: str | int = 0,
    time: int = 0,
    max_shift: float | Mapping[str, float] | None = None,
    threads: int | None = None,
) -> Stitching:
    """Find the places of overlapping images from their pixels.

    **Every image is changed in place**, as by ``multiview_stitcher.registration.register``:
    ``attrs["transforms"]`` becomes a new mapping with the same transforms, and one more under
    `new_transform_key`: that under `transform_key`, followed by the correction of the image. (An
    image shares its old mapping with those that were cut from it, so that one is not written to.)
    Pixels, coordinates and other attributes stay as they are. If an error is raised, nothing was
    changed.

    Parameters
    ----------
    sims : sequence of xarray.DataArray
        Images of the multiview-stitcher data model (see `platefuse.fusion.sims.image`), 2D or 3D,
        all with the same dims, dtype, channels, times and pixel size. Their transforms may only
        shift.
        Lazy images stay lazy: of each overlap the pixels that are needed are read, in whole chunks,
        and forgotten.
    transform_key : str or None
        Key of the transform that says where the images are, to within `max_shift`; None: the
        identity.
    new_transform_key : str
        Key of the new transform; one of an earlier call is replaced.
    channel : str or int
        The channel to measure by, its name or its index.
    time : int
        Index of the time point to measure at. All time points get the same correction.
    max_shift : float or dict of str to float, optional
        Largest error of the distance of two neighbours, in units of the world, on all axes or on
        each axis in space; by default a twentieth of the longer side of an image in y and x.
    threads : int, optional
        Number of threads; by default one for each core. The result does not depend on it.

    Returns
    -------
    Stitching
        The shift, status and score of each image, and all overlaps.

    Raises
    ------
    PlatefuseError
        If the images do not fit together, none of them overlap, a transform does more than shift,
        or an argument cannot be used.

    Notes
    -----
    Overlaps are measured by `measure_shift`, and compared with up to 24 pairs of images that cannot
    match. All places are then solved together (`platefuse.measuring.solve.stitching`); overlaps
    that contradict the others are left out. Images that cannot be measured follow an affine model
    of the stage, and are never further from it than the error of the stage. The middle of the
    mosaic stays where it is by that model.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> scene = np.random.default_rng(0).integers(0, 1000, (256, 470)).astype("uint16")
    >>> def image(x, stage_x):
    ...     coords = {"y": np.arange(256.0), "x": stage_x + np.arange(256.0)}
    ...     return xr.DataArray(scene[:, x : x + 256], dims=["y", "x"], coords=coords)
    >>> sims = [image(0, 0), image(214, 210)]
    >>> found = stitch(sims, None, "stitched")
    >>> [pair.status for pair in found.pairs], [round(abs(v), 2) for v in found.pairs[0].shift]
    (['measured'], [0.0, 4.0])
    >>> list(sims[0].attrs["transforms"])
    ['stitched']
    """
    _check(transform_key, new_transform_key, threads)
    mosaic = read_mosaic(sims, transform_key, channel, time, max_shift)
    candidates = choose_pairs(mosaic.fields, 0, stitch=True, nulls=NULLS)
    if len(sims) > 1 and not candidates:
        raise MeasureError(
            f"stitch: none of the {len(sims)} images overlap by the transform {transform_key!r}: "
            "there is nothing to measure. Check the coordinates and transforms and their units."
        )
    with progress.shown("measuring"), ThreadPoolExecutor(threads or usable_cores()) as pool:
        progress.expect(len(candidates))
        pairs = judged(list(pool.map(lambda pair: _measure(mosaic, pair), candidates)))
    solved = solve(mosaic.fields, pairs)
    images = tuple(_image(mosaic, n, solved, pairs) for n in range(len(sims)))
    for sim, found in zip(mosaic.sims, images, strict=True):
        give_transform(sim, transform_key, new_transform_key, found.shift)
    _warn(images)
    return Stitching(mosaic.axes, images, _pairs(mosaic, solved, pairs))


def _check(key: str | None, new_key: Any, threads: int | None) -> None:
    if new_key is None or not isinstance(new_key, Hashable) or new_key == key:
        raise MeasureError(
            f"stitch: new_transform_key is {new_key!r}; expected a string other than that of the "
            f"positions, {key!r}, because old transforms are kept."
        )
    if threads is not None and not COUNT.holds(threads):
        raise MeasureError(f"stitch: threads is {threads!r}; expected {COUNT.words}.")


def _measure(mosaic: Mosaic, pair: Candidate) -> PairMeasure:
    pixels = mosaic.pixels[pair.reference], mosaic.pixels[pair.moving]
    found = measure_pair(pair, pixels, mosaic.max_shift_px)
    progress.step()
    return found


def _image(
    mosaic: Mosaic, number: int, solved: Stitched, pairs: Sequence[PairMeasure]
) -> StitchedImage:
    own = solved.fields[mosaic.fields[number].key]
    shift = mosaic.in_world(own.correction_px)
    return StitchedImage(shift, _status(own, pairs), own.score, own.sigma_px)


def _status(own: StitchedField, pairs: Sequence[PairMeasure]) -> ImageStatus:
    if own.edges:
        return "measured"
    if not own.pairs:
        return "alone"
    key = own.field.key
    around = (p for p in pairs if p.kind == "neighbour" and key in (p.reference, p.moving))
    has_texture = any(p.status != "empty" and p.texture >= LEAST_TEXTURE for p in around)
    return "filled" if has_texture else "empty"


def _pairs(
    mosaic: Mosaic, solved: Stitched, pairs: Sequence[PairMeasure]
) -> tuple[StitchedPair, ...]:
    number: dict[Any, int] = {field.key: n for n, field in enumerate(mosaic.fields)}
    used = {(e.pair.reference, e.pair.moving) for e in solved.edges if e.used}
    return tuple(
        StitchedPair(
            number[p.reference],
            number[p.moving],
            mosaic.in_world(p.shift_px),
            p.score,
            p.status,
            (p.reference, p.moving) in used,
        )
        for p in pairs
        if p.kind == "neighbour"
    )


def _warn(images: Sequence[StitchedImage]) -> None:
    others = [n for n, image in enumerate(images) if image.status != "measured"]
    if others and len(images) > 1:
        logger.warning(
            "stitch: %d of %d images could not be measured and follow the stage: %s",
            len(others),
            len(images),
            ", ".join(f"{n} ({images[n].status})" for n in others[:20]),
        )

"""Place the ROIs of an acquisition on the pixel grid of the reference. Pure: reads no file.

Conventions as in `platefuse.geometry`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from platefuse.errors import TableError, some
from platefuse.geometry import SNAP_PX, Box, snap
from platefuse.ngff.image import Multiscale
from platefuse.ngff.tables.table import Roi

_MOST_PX = 2**40
"""A position beyond this many pixels means that table and pixel size have different units."""


@dataclass(frozen=True)
class Placement:
    """Where the pixels of one ROI come from and go to. All boxes are on the axes in space.

    Attributes
    ----------
    name : str
        Name of the ROI.
    src, dst : Box
        Pixels of the acquisition and of the reference, of the same size.
    source_box : Box
        All pixels of the ROI in the acquisition, also those that would be placed outside the
        image: interpolation uses them.
    shift_px : tuple of float
        Exact shift from the acquisition to the reference, in pixels.
    """

    name: str
    src: Box
    dst: Box
    source_box: Box
    shift_px: tuple[float, ...]

    @property
    def offset_px(self) -> tuple[int, ...]:
        """The shift rounded to whole pixels: from `src` to `dst`."""
        return tuple(round(shift) for shift in self.shift_px)


def match_rois(
    acquired: Sequence[Roi], reference: Sequence[Roi], *, where: str
) -> list[tuple[Roi, Roi]]:
    """Pair the ROIs of two tables.

    They are paired by name, in the order of the reference. If the tables share no name, they are
    paired by their order.

    Parameters
    ----------
    acquired, reference : sequence of Roi
        ROIs of the acquisition and of the reference.
    where : str
        The table, for error messages.

    Returns
    -------
    list of (Roi, Roi)
        ROIs of the acquisition and of the reference that show the same tissue.

    Raises
    ------
    TableError
        If a name occurs twice or in one table only, or if the tables share no name and have
        different lengths.
    """
    for side, rois in (("acquisition", acquired), ("reference", reference)):
        _check_names_differ(rois, f"{where}: the {side}'s table")
    by_name = {roi.name: roi for roi in acquired}
    expected = {roi.name for roi in reference}
    if by_name.keys() & expected:
        missing = [roi.name for roi in reference if roi.name not in by_name]
        extra = [name for name in by_name if name not in expected]
        if missing or extra:
            raise TableError(
                f"{where}: the ROIs differ from the reference's: missing {some(missing)}, "
                f"not in the reference {some(extra)}. Both tables must name the same ROIs."
            )
        return [(by_name[roi.name], roi) for roi in reference]
    if len(acquired) != len(reference):
        raise TableError(
            f"{where}: {len(acquired)} ROIs, but {len(reference)} in the reference, and no name "
            "in common. Both tables must name the same ROIs."
        )
    return list(zip(acquired, reference, strict=True))


def place_all(
    pairs: Sequence[tuple[Roi, Roi]], multiscale: Multiscale, *, where: str
) -> list[Placement]:
    """Place every pair of ROIs on the pixel grid of an image or a label.

    One plane is the whole depth, whatever the ROIs are in z.

    Raises
    ------
    TableError
        As `place` does.
    """
    axes, size = multiscale.spatial, multiscale.pixel_size_um
    flat = {axis: size[axis] for axis in multiscale.flat_axes}
    return [
        place(
            _whole_depth(acquired, flat),
            _whole_depth(reference, flat),
            axes=axes,
            pixel_size_um=[size[axis] for axis in axes],
            shape=multiscale.shape_in_space,
            where=where,
        )
        for acquired, reference in pairs
    ]


def place(
    acquired: Roi,
    reference: Roi,
    *,
    axes: str,
    pixel_size_um: Sequence[float],
    shape: Sequence[int],
    where: str,
) -> Placement:
    """Place a ROI of an acquisition where the reference has it.

    The size is the reference's, rounded once. The target is the reference's start, rounded. The
    source is the target minus the rounded shift. So the error of a placement by whole pixels is at
    most half a pixel, and source and target always have the same size.

    Parameters
    ----------
    acquired, reference : Roi
        The same tissue in the acquisition and in the reference.
    axes : str
        Axes in space, in array order, for example ``"zyx"``.
    pixel_size_um : sequence of float
        Pixel size of each axis, in micrometres.
    shape : sequence of int
        Shape of the image on these axes, in pixels.
    where : str
        The table and the image; every error message begins with it.

    Raises
    ------
    TableError
        If the lengths differ by more than a pixel, a length rounds to no pixel, a position is far
        beyond any image, or a box extends beyond the image by more than a pixel.
    """
    start, stop, exact = [], [], []
    for axis, px in zip(axes, pixel_size_um, strict=True):
        _check_lengths(acquired, reference, axis, px, where)
        start.append(round(reference.start_um[axis] / px))
        stop.append(start[-1] + round(reference.length_um[axis] / px))
        exact.append(snap((reference.start_um[axis] - acquired.start_um[axis]) / px))
    offset = [round(shift) for shift in exact]
    target = Box(tuple(start), tuple(stop))
    source = target.shifted([-o for o in offset])
    for box, side in ((target, "the reference"), (source, "the acquisition")):
        _check_inside(box, axes, shape, f"{where}: ROI {acquired.name!r} in {side}")
    image = Box.of_shape(shape)
    clipped = target & image & image.shifted(offset)
    return Placement(
        acquired.name,
        src=clipped.shifted([-o for o in offset]),
        dst=clipped,
        source_box=source & image,
        shift_px=tuple(exact),
    )


def _whole_depth(roi: Roi, flat_um: Mapping[str, float]) -> Roi:
    """The ROI on all of the axes with one pixel, whose size is given."""
    start, length = roi.start_um | dict.fromkeys(flat_um, 0.0), roi.length_um | dict(flat_um)
    return Roi(roi.name, start, length)


def _check_names_differ(rois: Sequence[Roi], table: str) -> None:
    names = [roi.name for roi in rois]
    if len(set(names)) < len(names):
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        raise TableError(
            f"{table} names {some(twice)} more than once; every ROI needs a unique name."
        )


def _check_lengths(acquired: Roi, reference: Roi, axis: str, px: float, where: str) -> None:
    length, expected = acquired.length_um[axis], reference.length_um[axis]
    if abs(length - expected) > px * (1 + SNAP_PX):
        raise TableError(
            f"{where}: ROI {acquired.name!r} is {length:g} µm long in {axis}, but "
            f"{expected:g} µm in the reference (they may differ by one pixel, {px:g} µm). "
            "Compute the registered ROI table again for all acquisitions together."
        )
    # A pixel size in another unit gives boxes of no pixel (half of one is rounded to none), or of
    # more than any image has.
    starts = reference.start_um[axis], acquired.start_um[axis]
    if expected / px <= 0.5 or max(expected, *starts) / px > _MOST_PX:
        raise TableError(
            f"{where}: ROI {reference.name!r} is {expected:g} µm long in {axis} and begins at "
            f"{starts[0]:g} µm (in the acquisition at {starts[1]:g} µm), but a pixel is {px:g} "
            "µm. Expected at least one pixel, and no position far outside the image. Check the "
            "table and the pixel size."
        )


def _check_inside(box: Box, axes: str, shape: Sequence[int], what: str) -> None:
    for axis, a, b, n in zip(axes, box.start, box.stop, shape, strict=True):
        if a < -1 or b > n + 1:
            raise TableError(
                f"{what} covers pixels {a} to {b} in {axis}, but the image has {n} (one pixel "
                "beyond is clipped, more is an error). Check the table and the pixel size."
            )

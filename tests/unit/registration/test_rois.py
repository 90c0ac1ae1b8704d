from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platefuse.errors import TableError
from platefuse.geometry import SNAP_PX, Box
from platefuse.ngff.tables.table import Roi
from platefuse.registration.rois import match_rois, place

NAMES = st.lists(st.text("abcdef", min_size=1, max_size=3), min_size=1, max_size=6, unique=True)


def roi(name: str, start_um: float, length_um: float) -> Roi:
    return Roi(name, {"x": start_um}, {"x": length_um})


def place_x(
    acquired: tuple[float, float], reference: tuple[float, float], *, px: float = 1, n: int = 100
) -> tuple[tuple[int, int], tuple[int, int], float]:
    """Source, target and shift of one ROI on one axis, given as (start, length) in µm."""
    placed = place(
        roi("A", *acquired),
        roi("A", *reference),
        axes="x",
        pixel_size_um=[px],
        shape=[n],
        where="table",
    )
    ends = [(box.start[0], box.stop[0]) for box in (placed.src, placed.dst)]
    return ends[0], ends[1], placed.shift_px[0]


@given(
    start=st.floats(15, 60),
    length=st.floats(1, 30),
    shift=st.floats(-15, 15),
    px=st.sampled_from([0.1625, 0.65, 1.0, 1.3672]),
)
def test_source_and_target_have_one_size_and_are_half_a_pixel_off_at_most(
    start: float, length: float, shift: float, px: float
) -> None:
    n = 120
    src, dst, exact = place_x(
        ((start - shift) * px, length * px), (start * px, length * px), px=px, n=n
    )
    assert src[1] - src[0] == dst[1] - dst[0] == round(length * px / px)
    assert abs((dst[0] - src[0]) - shift) <= 0.5 + 2e-3
    assert abs(exact - shift) <= 2e-3


@given(start=st.integers(20, 60), shift=st.integers(-10, 20), px=st.floats(0.05, 3))
def test_whole_pixel_shifts_survive_float32_tables(start: int, shift: int, px: float) -> None:
    um = [float(np.float32(v * px)) for v in (start - shift, start, 30)]
    src, dst, exact = place_x((um[0], um[2]), (um[1], um[2]), px=px)
    assert (src, dst, exact) == ((start - shift, start - shift + 30), (start, start + 30), shift)


def test_the_size_is_the_reference_s_where_lengths_differ_by_less_than_a_pixel() -> None:
    src, dst, _ = place_x((3, 10.4), (5, 9.6))
    assert (src, dst) == ((3, 13), (5, 15))


@pytest.mark.parametrize(
    ("acquired", "reference", "expected"),
    [
        ((0.0, 10.0), (4.0, 15.0), "10 µm long in x.*15 µm in the reference"),
        ((0.0, 10.0), (92.0, 10.0), "ROI 'A' in the reference covers pixels 92 to 102 in x"),
        ((92.0, 10.0), (5.0, 10.0), "ROI 'A' in the acquisition covers pixels 92 to 102 in x"),
    ],
)
def test_boxes_that_do_not_fit_are_errors_that_say_what_and_where(
    acquired: tuple[float, float], reference: tuple[float, float], expected: str
) -> None:
    with pytest.raises(TableError, match=f"^table: .*{expected}"):
        place_x(acquired, reference)


@pytest.mark.parametrize("px", [1.0, 4.0])
def test_lengths_may_differ_by_a_pixel_and_what_float32_adds_to_it(px: float) -> None:
    allowed = px * (1 + SNAP_PX)
    assert place_x((0, 10 * px), (0, 10 * px + px), px=px)[1] == (0, 11)
    assert place_x((0, px), (0, px + allowed), px=px)[1] == (0, 2)
    assert place_x((0, px + allowed), (0, px), px=px)[1] == (0, 1)
    for lengths in ((px, px + 1.001 * allowed), (px + 1.001 * allowed, px)):
        with pytest.raises(TableError, match="they may differ by one pixel"):
            place_x((0, lengths[0]), (0, lengths[1]), px=px)


@pytest.mark.parametrize("far", [(0.0, 0.0, 2.0**41), (0.0, 2.0**41, 1.0), (2.0**41, 0.0, 1.0)])
def test_pixel_size_in_another_unit_is_found_by_positions_far_away(
    far: tuple[float, float, float],
) -> None:
    acquired, reference, length = far
    with pytest.raises(TableError, match="Check the table and the pixel size"):
        place_x((acquired, length), (reference, length), n=100)
    with pytest.raises(TableError, match="no position far outside the image"):
        place_x((acquired, length), (reference, length), n=2**42)
    acquired, reference, length = acquired / 2, reference / 2, max(length / 2, 1.0)
    placed = place_x((acquired, length), (reference, length), n=2**41)  # just not too far
    assert placed[2] == reference - acquired


def test_roi_of_half_a_pixel_is_an_error() -> None:
    with pytest.raises(TableError, match=r"^table: ROI 'A' is 0.5 µm .* Expected at least one pix"):
        place_x((3, 0.5), (4, 0.5))
    assert place_x((3, 0.5), (4, 0.51))[:2] == ((3, 4), (4, 5))


@pytest.mark.parametrize(
    ("acquired", "reference", "src", "dst"),
    [
        ((91, 10), (20, 10), (91, 100), (20, 29)),  # acquisition one pixel over the end
        ((20, 10), (91, 10), (20, 29), (91, 100)),  # reference one pixel over the end
    ],
)
def test_one_pixel_beyond_the_image_is_clipped_on_both_sides(
    acquired: tuple[float, float],
    reference: tuple[float, float],
    src: tuple[int, int],
    dst: tuple[int, int],
) -> None:
    assert place_x(acquired, reference)[:2] == (src, dst)


def test_what_the_acquisition_saw_is_known_where_the_reference_is_clipped() -> None:
    acquired, reference = (Roi("a", {"x": start}, {"x": 66}) for start in (118, 119.6))
    placement = place(
        acquired, reference, axes="x", pixel_size_um=[1.0], shape=[185], where="table"
    )
    assert (placement.dst, placement.src) == (Box((120,), (185,)), Box((118,), (183,)))
    assert placement.source_box == Box((118,), (184,))


def test_one_pixel_before_the_image_is_clipped_on_both_sides() -> None:
    # ROI starts are never negative; rounding the shift can still take the source to -1.
    src, dst, _ = place_x((0, 10), (0.5, 10))
    assert (src, dst) == ((0, 10), (0, 10))
    src, dst, _ = place_x((0.2, 10), (1.4, 10))
    assert (src, dst) == ((0, 10), (1, 11))
    # The function itself allows a start before the image, by a pixel.
    assert place_x((-0.2, 10), (1.4, 10))[:2] == ((0, 9), (2, 11))
    with pytest.raises(TableError, match="in the acquisition covers pixels -2 to 8 in x"):
        place_x((-1.2, 10), (1.4, 10))
    src, dst, _ = place_x((0.4, 10), (2.2, 10))
    assert src[0] >= 0
    assert dst[0] - src[0] == 2


@given(NAMES, st.randoms())
def test_rois_are_matched_by_name_in_the_reference_s_order(names: list[str], rng: object) -> None:
    acquired = [roi(name, 1, 2) for name in names]
    rng.shuffle(acquired)  # type: ignore[attr-defined]
    pairs = match_rois(acquired, [roi(name, 3, 4) for name in names], where="t")
    assert [(a.name, r.name) for a, r in pairs] == [(name, name) for name in names]
    assert all(a.start_um == {"x": 1} and r.start_um == {"x": 3} for a, r in pairs)


@given(NAMES)
def test_rois_without_a_common_name_are_matched_by_order(names: list[str]) -> None:
    pairs = match_rois(
        [roi(n, 0, 1) for n in names], [roi(n.upper(), 0, 1) for n in names], where=""
    )
    assert [(a.name, r.name) for a, r in pairs] == [(n, n.upper()) for n in names]


@pytest.mark.parametrize(
    ("acquired", "reference", "said"),
    [
        ("ab", "abc", r"missing \['c'\], not in the reference \[\]"),
        ("abc", "ab", r"missing \[\], not in the reference \['c'\]"),
        ("ax", "ab", r"missing \['b'\], not in the reference \['x'\]"),
        ("aab", "ab", r"the acquisition's table names \['a'\] more than once"),
        ("ab", "abb", r"the reference's table names \['b'\] more than once"),
        ("ab", "xyz", "2 ROIs, but 3 in the reference"),
    ],
)
def test_names_that_differ_are_an_error(acquired: str, reference: str, said: str) -> None:
    with pytest.raises(TableError, match=f"^here: .*{said}"):
        match_rois(
            [roi(n, 0, 1) for n in acquired], [roi(n, 0, 1) for n in reference], where="here"
        )

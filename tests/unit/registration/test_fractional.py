"""Shifts by any part of a pixel: every pixel comes from where the tables say, on any layout.

The label holds the number of each pixel of the acquisition, so that afterwards every pixel says
where it came from. The image holds a scene that is known between its pixels, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from platefuse import apply_registration_to_image
from platefuse.ngff.create import create_image, write_group
from platefuse.registration.request import Interpolation
from tests.truth import Array, read_level

TABLE = "registered_FOV_ROI_table"
HALF_PX = 0.5 + 2e-3  # tables hold float32, and a shift within 0.001 of a whole pixel is whole

Numbers = NDArray[np.float64]
Scene = Callable[[Numbers], Numbers]


@dataclass(frozen=True)
class Boxes:
    """Boxes in micrometres on the axes z, y, x; arrays of shape (fields, 3), as float32 has them.

    `start` and `length` are those of the reference, `own_start` and `own_length` those of the
    acquisition that is moved.
    """

    start: Numbers
    length: Numbers
    own_start: Numbers
    own_length: Numbers

    def write(self, image: Path, *, own: bool) -> None:
        """Write the table of the acquisition, or of the reference."""
        boxes = (self.own_start, self.own_length) if own else (self.start, self.length)
        columns = [f"{part}{axis}_micrometer" for part in ("", "len_") for axis in "zyx"]
        lines = [["FieldIndex", *columns]]
        lines += [[f"FOV_{n}", *map(str, row)] for n, row in enumerate(np.hstack(boxes).tolist())]
        table = image / "tables" / TABLE
        write_group(table, {"type": "roi_table", "backend": "csv"}, "0.4")
        (table / "table.csv").write_text("\n".join(map(",".join, lines)))


@dataclass(frozen=True)
class Layout:
    """An image of fields: its shape and pixel size (z, y, x), and the boxes of both tables."""

    shape: tuple[int, ...]
    pixel_um: Numbers
    boxes: Boxes


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """One box, or fields that abut, overlap, or stand anywhere, each shifted by up to 20 px."""

    def yx(low: float, high: float) -> Numbers:
        return np.array([0.0, *draw(st.tuples(*[st.floats(low, high)] * 2))])

    kind = draw(st.sampled_from(["abutting", "overlapping", "irregular"]))
    grid = draw(st.sampled_from([(1, 1, 1), (1, 1, 3), (1, 2, 2), (1, 3, 1)]))
    planes = draw(st.integers(1, 6))
    pitch = np.array([planes, *draw(st.tuples(*[st.integers(47, 70)] * 2))], float)
    fields = []
    for cell in np.ndindex(grid):
        low, size, shift = np.array(cell) * pitch, pitch, yx(-20, 20)
        if kind == "overlapping":
            size = size + np.floor(yx(1, 20))
        elif kind == "irregular":
            low, size = low + yx(0, 9.9), size - yx(0, 14.9)
        if planes > 3:
            shift[0] = draw(st.floats(-1.5, 1.5))
        # the boxes hold what of the field both of them show
        start, length = low + np.maximum(shift, 0), size - np.abs(shift)
        fields.append([start, length, start - shift, length + yx(-0.9, 0.9), low + size])
    *boxes, end = np.array(fields).swapaxes(0, 1)
    size_yx = draw(st.sampled_from([0.1625, 0.325, 0.65, 1.0, 1.3]))
    pixel_um = np.array([draw(st.sampled_from([0.5, 1.0, 2.5])), size_yx, size_yx])
    in_um = [(box * pixel_um).astype(np.float32).astype(float) for box in boxes]
    return Layout(tuple(int(n) for n in np.ceil(end.max(axis=0))), pixel_um, Boxes(*in_um))


def band_limited(seed: int, shortest_px: float = 16) -> Scene:
    """A sum of plane waves between 0 and 1, known at every position (…, 3) in pixels."""
    random = np.random.default_rng(seed)
    direction = random.normal(size=(3, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    length = shortest_px * np.array([[1.0], [1.7], [3.1]])
    phase = random.uniform(0, 2 * np.pi, 3)
    return lambda at: 0.5 + np.cos(at @ (2 * np.pi * direction / length).T + phase).mean(-1) / 2


def positions(shape: tuple[int, ...]) -> Numbers:
    """The position of every pixel, shape (z, y, x, 3)."""
    return np.moveaxis(np.indices(shape), 0, -1).astype(float)


@dataclass(frozen=True)
class Truth:
    """Where each pixel comes from, by the definition; arrays of shape (z, y, x, 3).

    `exact` is NaN where nothing comes from. `low` and `high` are the first and last pixel of
    the acquisition that belong to its box.
    """

    exact: Numbers
    low: Numbers
    high: Numbers

    @classmethod
    def of(cls, layout: Layout) -> Truth:
        """Field by field, the later one over the earlier."""
        here, last = positions(layout.shape), np.array(layout.shape) - 1
        new = cls(*(np.full(here.shape, np.nan) for _ in range(3)))
        boxes, pixel = layout.boxes, layout.pixel_um
        for start, length, own in zip(boxes.start, boxes.length, boxes.own_start, strict=True):
            first, count, shift = (np.rint(v / pixel) for v in (start, length, start - own))
            exact = here - (start - own) / pixel
            source = here - shift
            inside = (here >= first) & (here < first + count) & (source >= 0) & (source <= last)
            pixels = inside.all(axis=-1)
            new.exact[pixels] = exact[pixels]
            new.low[pixels] = np.maximum(first - shift, 0)
            new.high[pixels] = np.minimum(first + count - shift - 1, last)
        return new


def write_plate(plate: Path, layout: Layout, image: Array, version: str, chunk: int) -> Path:
    """A plate of one well; returns the image that is to be moved."""
    well = plate / "A" / "1"
    write_group(plate, {"plate": {"wells": [{"path": "A/1"}]}}, version)
    images = [{"path": str(n), "acquisition": n} for n in (0, 1)]
    write_group(well, {"well": {"images": images}}, version)
    numbers = 1 + np.arange(image.size, dtype="u4").reshape(image.shape)
    for path, pixels in {"0": image, "1": image, "1/labels/pixels": numbers}.items():
        create_image(
            well / path,
            name=path,
            axes="zyx",
            pixel_size=list(layout.pixel_um),
            shape=pixels.shape,
            dtype=pixels.dtype,
            chunks=(3, chunk, chunk + 5),
            shards=None,
            version=version,
        )
        zarr.open_array(well / path / "0", mode="r+")[...] = pixels
    layout.boxes.write(well / "0", own=False)
    layout.boxes.write(well / "1", own=True)
    return well / "1"


@pytest.mark.parametrize("interpolation", ["nearest", "linear", "cubic"])
@settings(max_examples=15, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    layout=layouts(),
    scene=st.integers(0, 99).map(band_limited),
    form=st.tuples(st.sampled_from(["0.4", "0.5"]), st.integers(19, 61)),
    dtype=st.sampled_from(["uint8", "uint16", "int32", "float32"]),
)
def test_any_shift_on_any_layout(
    tmp_path_factory: pytest.TempPathFactory,
    interpolation: Interpolation,
    layout: Layout,
    scene: Scene,
    form: tuple[str, int],
    dtype: str,
) -> None:
    full = 255 if dtype == "uint8" else 60_000
    acquired = full * scene(positions(layout.shape))
    acquired = (acquired if dtype == "float32" else np.rint(acquired)).astype(dtype)
    plate = tmp_path_factory.mktemp("plate") / "p.zarr"
    image = write_plate(plate, layout, acquired, *form)
    apply_registration_to_image(
        zarr_url=str(image), registered_roi_table=TABLE, interpolation=interpolation
    )
    got, numbers, truth = read_level(image), read_level(image / "labels/pixels"), Truth.of(layout)

    covered = ~np.isnan(truth.exact[..., 0])
    assert ((numbers > 0) == covered).all()
    assert not got[~covered].any()
    exact, low, high = (part[covered] for part in (truth.exact, truth.low, truth.high))
    index = np.unravel_index(numbers[covered].astype(int) - 1, layout.shape)
    source = np.array(index).T
    assert np.abs(exact - source).max() <= HALF_PX
    assert ((low <= source) & (source <= high)).all()
    if interpolation == "nearest":
        assert (got[covered] == acquired[index]).all()
        return
    # What lies beyond a box is never used. Linear interpolation repeats its border pixels, cubic
    # goes on smoothly where it has three of them.
    smooth = (interpolation == "cubic") & (high - low >= 2)
    truth_there = full * scene(np.where(smooth, exact, np.clip(exact, low, high)))
    counts = 0 if dtype == "float32" else 1  # rounded by the camera, and again
    off = (np.abs(got[covered] - truth_there) - counts) / full
    if interpolation == "linear":
        assert off.max() <= 0.02
    else:
        within = ((low <= exact) & (exact <= high)).all(axis=-1)
        assert off[smooth.all(axis=-1) & within].max(initial=0) <= 0.005
        assert off[smooth.all(axis=-1)].max(initial=0) <= 0.02
        assert off.max() <= 0.04

"""The reader function of napari-ome-zarr finds the layers of a fused plate, without a window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.readers.expected import Array, ExpectedImage, ExpectedPlate, assert_levels, plates

reader = pytest.importorskip("napari_ome_zarr._reader")
PLATES = plates()
IMAGES = [(plate, image) for plate in PLATES for image in plate.images]
every_plate = pytest.mark.parametrize("plate", PLATES, ids=lambda p: p.path.stem)
every_image = pytest.mark.parametrize(
    ("plate", "image"), IMAGES, ids=[f"{p.path.stem}/{i.well}/{i.path}" for p, i in IMAGES]
)


def layers(path: Path) -> list[tuple[Any, dict[str, Any], str]]:
    """The layers that napari would show: data, properties and kind."""
    read = reader.napari_get_reader(str(path))
    assert read is not None
    return list(read(str(path)))


def names_of(image: ExpectedImage) -> list[str]:
    name = f"{image.well.replace('/', '')}_{image.path}"
    return [f"{name}: {channel}" for channel in image.channels] or [name, name]


@every_image
def test_image(plate: ExpectedPlate, image: ExpectedImage) -> None:
    found = layers(plate.folder(image))
    assert [kind for _, _, kind in found] == ["image", "image", "labels"]
    assert [props["name"] for _, props, _ in found] == [*names_of(image), "nuclei"]
    for (data, _, _), pixels in zip(found, plate.pixels(image), strict=False):
        assert_levels(data, pixels)
    np.testing.assert_array_equal(np.asarray(found[-1][0][0]), plate.label(image))
    for _, props, _ in found:
        np.testing.assert_allclose(props["scale"], image.pixel_size_um)
        assert props["units"] == ("micrometer",) * 3
        assert props["axis_labels"] == ("z", "y", "x")


@every_plate
def test_whole_plate(plate: ExpectedPlate) -> None:
    """It shows the first acquisition of all wells in a grid, and names the layers after one."""
    first = plate.images[0]
    found = layers(plate.path)
    assert [props["name"] for _, props, _ in found] == [*names_of(first), "nuclei"]
    for channel in (0, 1):
        grid = in_grid(plate, {i.well: plate.pixels(i)[channel] for i in reference(plate)})
        np.testing.assert_array_equal(np.asarray(found[channel][0][0]), grid)
    grid = in_grid(plate, {i.well: plate.label(i) for i in reference(plate)})
    np.testing.assert_array_equal(np.asarray(found[-1][0][0]), grid)


def reference(plate: ExpectedPlate) -> list[ExpectedImage]:
    return [image for image in plate.images if image.acquisition == 0]


def in_grid(plate: ExpectedPlate, wells: dict[str, Array]) -> Array:
    empty = np.zeros_like(next(iter(wells.values())))
    return np.block(
        [[wells.get(f"{row}/{column}", empty) for column in plate.columns] for row in plate.rows]
    )

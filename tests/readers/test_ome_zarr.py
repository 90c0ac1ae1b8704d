"""The newest ome-zarr-py reads fused images, and the newest ome-zarr-models find them valid.

The versions of the lock do the same in ``tests/unit/fusion``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.readers.expected import ExpectedImage, ExpectedPlate, assert_levels, plates

ome_zarr = pytest.importorskip("ome_zarr")
models: Any = pytest.importorskip("ome_zarr_models")
zarr = pytest.importorskip("zarr")
PLATES = plates()
IMAGES = [(plate, image) for plate in PLATES for image in plate.images]
every_plate = pytest.mark.parametrize("plate", PLATES, ids=lambda p: p.path.stem)
every_image = pytest.mark.parametrize(
    ("plate", "image"), IMAGES, ids=[f"{p.path.stem}/{i.well}/{i.path}" for p, i in IMAGES]
)


@every_image
def test_image(plate: ExpectedPlate, image: ExpectedImage) -> None:
    found = ome_zarr.OMEZarrMultiscale.from_ome_zarr(str(plate.folder(image)))
    assert_levels([level.data for level in found.images], plate.pixels(image))
    for number, level in enumerate(found.images):
        assert tuple(level.axes) == ("c", "z", "y", "x")
        z, y, x = image.pixel_size_um
        scale = (1, z, y * 2**number, x * 2**number)
        np.testing.assert_allclose([level.scale[a] for a in "czyx"], scale)
    if image.channels:
        assert tuple(channel.label for channel in found.omero.channels) == image.channels
    assert list(found.labels) == ["nuclei"]
    label = found.labels["nuclei"].images[0]
    expected = plate.label(image)  # labels of the fields have an axis c of length 1
    np.testing.assert_array_equal(np.asarray(label.data).reshape(expected.shape), expected)


@every_plate
def test_models(plate: ExpectedPlate) -> None:
    version = {"0.4": "v04", "0.5": "v05"}[plate.version]
    module = __import__(f"ome_zarr_models.{version}", fromlist=[version])

    def group(path: object) -> Any:
        return zarr.open_group(str(path), mode="r")

    found = module.HCS.from_zarr(group(plate.path))
    attributes = getattr(found, "ome_attributes", found.attributes)
    assert sorted(well.path for well in attributes.plate.wells) == plate.wells
    for image in plate.images:
        module.Well.from_zarr(group(plate.path / image.well))
        module.Image.from_zarr(group(plate.folder(image)))
        module.ImageLabel.from_zarr(group(plate.folder(image) / "labels" / "nuclei"))

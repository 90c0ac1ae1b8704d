from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from platefuse.errors import ImageError
from platefuse.fusion.fields.reader import read_image
from platefuse.ngff.create import write_group
from platefuse.ngff.image import Image
from platefuse.ngff.metadata import read_attributes, update_attributes
from tests.fields_plate import write_image

AT = [0.0, 0.0, 1000.0, 2000.0]


def image_with_label(
    path: Path,
    shape: tuple[int, int],
    *,
    scale: list[float],
    unit: str | None = "micrometer",
    translation: list[float] | None = None,
) -> Path:
    """An image of 40 × 48 pixels of half a micrometre at `AT`, with a label of another shape."""
    write_image(path, np.ones((1, 1, 40, 48), np.uint16), position=AT)
    write_group(path / "labels", {"labels": ["nuclei"]}, "0.4")
    label = path / "labels" / "nuclei"
    write_image(label, np.ones((1, 1, *shape), np.uint32), unit=unit, position=translation)
    (entry,) = list[Any](read_attributes(label)["multiscales"])  # type: ignore[call-overload]
    for level, dataset in enumerate(entry["datasets"]):
        own = [1.0, scale[0], *(size * 2**level for size in scale[1:])]
        dataset["coordinateTransformations"][0]["scale"] = own
    update_attributes(label, {"multiscales": [entry]})
    return path


@pytest.mark.parametrize(
    ("shape", "scale", "unit", "size"),
    [
        ((40, 48), [1, 1, 1], None, [0.5, 0.5]),  # as ome-zarr-py writes it without a scale
        ((20, 24), [1, 1, 1], None, [1.0, 1.0]),
        ((14, 16), [1, 1, 1], None, [1.5, 1.5]),
        ((40, 48), [1, 1, 1], "micrometer", [0.5, 0.5]),
        ((40, 48), [1, 0.65, 0.65], None, [0.5, 0.5]),
        ((40, 48), [1, 0.501, 0.501], None, [0.501, 0.501]),  # by less than a pixel
        ((20, 24), [1, 1, 1], "micrometer", [1.0, 1.0]),
        ((10, 12), [1, 0.5, 0.5], "micrometer", [0.5, 0.5]),  # of a part of the image
    ],
)
def test_a_label_has_the_pixel_size_that_it_has_under_its_image(
    tmp_path: Path, shape: tuple[int, int], scale: list[float], unit: str | None, size: list[float]
) -> None:
    image = Image.read(image_with_label(tmp_path, shape, scale=scale, unit=unit))
    label = image.labels["nuclei"]
    assert [label.pixel_size_um[axis] for axis in "yx"] == pytest.approx(size)
    assert label.scales[1][-2:] == pytest.approx([2 * px for px in size])


@pytest.mark.parametrize(
    ("shape", "scale", "unit", "words"),
    [
        ((30, 48), [1, 1, 1], None, "has no pixel size .* and 30 pixels in y, its image 40"),
        ((45, 48), [1, 0.5, 0.5], "micrometer", "45 pixels of 0.5 µm in y, and its image 40 of"),
        ((20, 24), [1, 2, 2], "micrometer", "the label is longer than the image"),
    ],
)
def test_a_label_that_cannot_lie_under_its_image_is_refused(
    tmp_path: Path, shape: tuple[int, int], scale: list[float], unit: str | None, words: str
) -> None:
    image_with_label(tmp_path, shape, scale=scale, unit=unit)
    with pytest.raises(ImageError, match=words):
        Image.read(tmp_path)


@pytest.mark.parametrize(("unit", "told"), [("micrometer", True), (None, False)])
def test_a_scale_that_contradicts_the_image_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, unit: str | None, told: bool
) -> None:
    image_with_label(tmp_path, (40, 48), scale=[1, 1, 1], unit=unit)
    with caplog.at_level(logging.WARNING):
        read_image(tmp_path)
    assert ("a scale of [1.0, 1.0, 1.0] µm (zyx)" in caplog.text) is told


def test_labels_are_told_without_reading_them_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = Image.read(image_with_label(tmp_path / "0", (40, 48), scale=[1, 1, 1]))
    shutil.rmtree(tmp_path / "0")
    image.warn_of_labels()
    assert "a scale of [1.0, 1.0, 1.0] µm (zyx)" in caplog.text


@pytest.mark.parametrize(
    ("shape", "translation"),
    [
        ((10, 12), AT),
        ((10, 12), [0.0, 0.0, 0.0, 0.0]),  # not known
        ((10, 12), None),
        ((40, 48), [0.0, 0.0, 7.0, 7.0]),  # it shows the whole image
    ],
)
def test_a_label_begins_where_its_image_does(
    tmp_path: Path, shape: tuple[int, int], translation: list[float] | None
) -> None:
    image_with_label(tmp_path, shape, scale=[1, 0.5, 0.5], translation=translation)
    assert list(read_image(tmp_path).labels) == ["nuclei"]


def test_a_label_of_a_part_that_begins_elsewhere_is_refused(tmp_path: Path) -> None:
    at = [0.0, 0.0, 1005.0, 2000.0]
    image_with_label(tmp_path, (10, 12), scale=[1, 0.5, 0.5], translation=at)
    with pytest.raises(ImageError, match="begins 5 µm from the image in y"):
        read_image(tmp_path)

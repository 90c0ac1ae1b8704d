from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from platefuse.errors import ImageError
from platefuse.ngff.image import Multiscale
from platefuse.ngff.metadata import read_attributes, update_attributes
from platefuse.ngff.positions import translation_of
from tests.fields_plate import write_image


def image_with(path: Path, level: list[Any], whole: list[Any]) -> Multiscale:
    """An image with transforms of its first level and of the whole image, in nanometres."""
    write_image(path, np.ones((1, 3, 8, 8), np.uint16), unit="nanometer")
    attributes: Any = read_attributes(path)
    (entry,) = attributes["multiscales"]
    entry["datasets"][0]["coordinateTransformations"] = level
    entry["coordinateTransformations"] = whole
    update_attributes(path, {"multiscales": [entry]})
    return Multiscale.read(path)


def scale(*values: float) -> dict[str, Any]:
    return {"type": "scale", "scale": list(values)}


def translation(*values: object) -> dict[str, Any]:
    return {"type": "translation", "translation": list(values)}


def test_a_position_is_where_both_transforms_take_the_first_pixel(tmp_path: Path) -> None:
    """First those of the level, then those of the whole image: 650 × 40 + 1000 in x."""
    level = [scale(1, 1, 1, 1), translation(0, 2, -30, 40)]
    whole = [scale(1, 500, 650, 650), translation(0, 0, 0, 1000)]
    found = translation_of(image_with(tmp_path, level, whole))
    assert found == pytest.approx({"z": 1.0, "y": -19.5, "x": 27.0})


def test_a_translation_may_lack_the_channels_as_a_scale_may(tmp_path: Path) -> None:
    found = translation_of(image_with(tmp_path, [scale(1, 1, 1), translation(1e3, 2e3, 3e3)], []))
    assert found == {"z": 1.0, "y": 2.0, "x": 3.0}


def test_a_translation_of_another_length_is_refused(tmp_path: Path) -> None:
    image = image_with(tmp_path, [scale(1, 1, 1, 1), translation(1, 2)], [])
    with pytest.raises(ImageError, match=r"the translation is \[1, 2\]; expected .* 'czyx'"):
        translation_of(image)

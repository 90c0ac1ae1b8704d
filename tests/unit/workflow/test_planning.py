from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from platefuse.workflow.planning import check_config
from platefuse.workflow.warnings import collected_warnings, some_of
from tests.fields_plate import FieldsPlate
from tests.unit.fusion.test_plausible import move_images

NINE = FieldsPlate({"B/03": {0: 9}}, columns=3)


def test_check_tells_what_is_odd_once(tmp_path: Path) -> None:
    plate = NINE.write(tmp_path / "p.zarr")

    def twice(places: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        places[1] = places[0]
        return places

    move_images(plate, twice)
    config = tmp_path / "config.yaml"
    lines = [
        f"plates: {{p: {plate}}}",
        f"results: {tmp_path / 'results'}",
        "registration: {enabled: false}",
    ]
    config.write_text("\n".join(lines))
    lines = [line for line in check_config(config) if line.startswith("warning")]
    assert len(lines) == 1
    assert "image 0 and image 1 have the same position" in lines[0]


def test_many_warnings_are_counted() -> None:
    with collected_warnings() as found:
        for number in range(23):
            logging.getLogger("platefuse.part").warning("odd %s", number)
    lines = list(some_of(found))
    assert lines[0] == "warning: odd 0"
    assert lines[20:] == ["warning: and 3 more like these"]

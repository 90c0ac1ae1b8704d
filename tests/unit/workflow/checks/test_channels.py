from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from platefuse.errors import ConfigError
from platefuse.ngff.metadata import update_attributes
from platefuse.ngff.plate import Plate
from platefuse.workflow.checks.channels import check_channels
from platefuse.workflow.config.model import read_config
from tests.checks import wells_of
from tests.fields_plate import FieldsPlate

MEASURED = {"store": False, "measure": {"enabled": True, "channel": "GFP"}}


def check(folder: Path, labels: list[str], **options: Any) -> None:
    """Check a plate of two images; the second has channels of these labels."""
    path = FieldsPlate({"B/03": {0: 1, 1: 1}}).write(folder / "p.zarr")
    channels = [{"label": label} for label in labels]
    update_attributes(path / "B" / "03" / "1", {"omero": {"channels": channels}})
    config = read_config({"plates": {"p": str(path)}, **options})
    check_channels(config, wells_of({"p": Plate.open(path)}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"quality": {"channel": "GFP"}},
            r"config\.quality\.channel is 'GFP', and no image of plate p has it.*\['A', 'B'\]",
        ),
        (
            {"registration": {"measure": {"channel": "GFP"}}},
            r"config\.registration\.measure\.channel is 'GFP'",
        ),
    ],
)
def test_a_channel_to_compare_by_that_no_image_has_is_refused(
    tmp_path: Path, options: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check(tmp_path, ["A", "B"], **options)


def test_without_any_name_of_a_channel_none_can_be_compared_by(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"their channels are \[\]"):
        check(tmp_path, [], quality={"channel": "GFP"})


@pytest.mark.parametrize(
    "options",
    [
        {"quality": {"channel": "B"}},
        {"quality": {"channel": "GFP", "enabled": False}},
        {"registration": MEASURED},  # what measures tells it of each well
        {},
    ],
)
def test_what_one_image_has_or_nobody_compares_by_is_fine(tmp_path: Path, options: Any) -> None:
    check(tmp_path, ["A", "B"], **options)

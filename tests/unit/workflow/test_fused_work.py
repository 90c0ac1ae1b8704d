"""Before the first job it is known which fused wells hold work of users that would be lost."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from platefuse.errors import PlateError
from platefuse.ngff.plate import Plate
from platefuse.registration.request import RegistrationRequest
from platefuse.registration.stage import register_image
from platefuse.registration.swap import discard_backups, publish_registered, swap_image
from platefuse.registration.tables import copy_tables
from platefuse.workflow.planning import check_config
from tests.conftest import PlateFactory
from tests.fused import FIELDS, SMALL_CHUNKS, TINY, fuse

WELLS = ("B/03", "C/05", "C/06")
SPEC = replace(TINY, wells=WELLS, grid=(1, 1), levels=1, tables=("FOV_ROI_table", FIELDS))


def register(plate: Path, request: RegistrationRequest) -> None:
    for well in Plate.open(plate).read_wells():
        for image in well.images:
            register_image(image, request)
        for image in well.images:
            copy_tables(image, request)
        if not request.overwrite_input:
            publish_registered(well, request)
            continue
        for image in well.images:
            swap_image(image, request)
        discard_backups(well, request)


def write_config(folder: Path, registration: dict[str, Any], **fusion: Any) -> Path:
    content = {
        "plates": {"p": str(folder / "plate.zarr")},
        "registration": registration,
        "fusion": {"output_chunksize": SMALL_CHUNKS, **fusion},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    return folder / "config.yaml"


def keep_a_label(fused: Path, well: str) -> None:
    shutil.copytree(fused / well / "0/labels/nuclei", fused / well / "0/labels/mine")


@pytest.mark.parametrize("kind", ["in place", "beside", "raw", "not at all"])
def test_all_wells_with_work_are_named_if_they_would_be_fused_again(
    example_plate: PlateFactory, tmp_path: Path, kind: str
) -> None:
    plate = example_plate(SPEC).path
    request = RegistrationRequest(FIELDS, overwrite_input=kind != "beside")
    registration: dict[str, Any] = {"roi_table": FIELDS, "overwrite_input": kind != "beside"}
    if kind == "raw":
        registration["store"] = False
    elif kind == "not at all":
        registration = {"enabled": False}
    else:
        register(plate, request)
    used = None if kind == "not at all" else request
    fused = fuse(plate, used, store=kind != "raw")
    for well in WELLS[:2]:
        keep_a_label(fused, well)
    assert "Nothing would stop" in list(check_config(write_config(tmp_path, registration)))[-1]
    with pytest.raises(PlateError) as caught:
        list(check_config(write_config(tmp_path, registration, method="max")))
    message = str(caught.value)
    assert f"- B/03, C/05: {fused / 'B/03'} would be fused again" in message
    assert "lost: 0/labels/mine" in message
    assert "C/06" not in message
    image = "0_registered" if kind == "beside" else "0"
    (plate / WELLS[0] / image / "0" / "notes").write_text("a change of the source")
    with pytest.raises(PlateError) as caught:
        list(check_config(write_config(tmp_path, registration)))
    assert f"- B/03: {fused / 'B/03'} would be fused again" in str(caught.value)


def test_images_that_are_still_to_be_registered(
    example_plate: PlateFactory, tmp_path: Path
) -> None:
    plate = example_plate(SPEC).path
    fused = fuse(plate)
    keep_a_label(fused, WELLS[0])
    config = write_config(tmp_path, {"roi_table": FIELDS}, method="max")
    with pytest.raises(PlateError, match=r"B/03 would be fused again.*lost: 0/labels/mine"):
        list(check_config(config))

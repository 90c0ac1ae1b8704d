"""The steps of a run, each as its job does it, by a name such as ``swap 1``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from platefuse.errors import PlatefuseError
from platefuse.fusion.options import FusionOptions
from platefuse.fusion.wells import well as fusion
from platefuse.fusion.wells.plate import finish_fused_plate
from platefuse.ngff.layout import InputOptions
from platefuse.ngff.paths import fused_plate_path
from platefuse.ngff.plate import Plate
from platefuse.ngff.well import Well
from platefuse.records import WellReceipt
from platefuse.registration.api import apply_registration_to_image
from platefuse.registration.request import RegistrationRequest
from platefuse.registration.restore import restore_well
from platefuse.registration.stage import register_image
from platefuse.registration.swap import (
    discard_backups,
    publish_image,
    publish_registered,
    swap_image,
)
from platefuse.registration.tables import copy_tables
from platefuse.registration.verify import verify_image
from platefuse.testing import AcquisitionSpec, PlateSpec
from platefuse.workflow.cleaning import clean_wells
from platefuse.workflow.sources import FusionSources

TABLE = "registered_FOV_ROI_table"
PLATE, ROW, COLUMN = "p.zarr", "B", "03"
WELL = f"{ROW}/{COLUMN}"
PARTS = 2

SPEC = PlateSpec(
    name="torture",
    wells=(WELL,),
    acquisitions=(AcquisitionSpec(0), AcquisitionSpec(1, shift_px=(3, -5))),
    grid=(1, 2),
    field_shape=(32, 32),
    overlap=8,
    channels=("DAPI",),
    nucleus_diameter_um=9.0,
    noise=False,
    levels=2,
    tables=("FOV_ROI_table", TABLE, "nuclei_ROI_table"),
    table_backends={TABLE: "json", "nuclei_ROI_table": "csv"},
)

# For fusion: one acquisition, and a table of few files.
BARE = replace(
    SPEC,
    acquisitions=SPEC.acquisitions[:1],
    tables=("FOV_ROI_table",),
    table_backends={"FOV_ROI_table": "json"},
)

IN_PLACE = RegistrationRequest(TABLE)
BESIDE = RegistrationRequest(TABLE, overwrite_input=False)
FUSION = FusionOptions(output_chunksize={"z": 1, "y": 32, "x": 64})
OTHER_FUSION = replace(FUSION, method="first")


def do_step(root: Path, step: str) -> str:
    """Do a step on the plate in a folder; the error that it ends with, or nothing."""
    name, *arguments = step.split()
    try:
        STEPS[name](root, *arguments)
    except (PlatefuseError, OSError) as error:  # what a job says as one message
        return f"{type(error).__name__}: {error}"
    except Exception as error:  # what a job shows with its traceback
        return f"unexpected {type(error).__name__}: {error}"
    return ""


def _well(root: Path) -> Well:
    return Plate.open(root / PLATE).well(ROW, COLUMN)


def _register(root: Path, image: str, request: RegistrationRequest = IN_PLACE) -> None:
    register_image(_well(root).image(image), request)


def _copy(root: Path, image: str, request: RegistrationRequest = IN_PLACE) -> None:
    copy_tables(_well(root).image(image), request)


def _swap(root: Path, image: str) -> None:
    swap_image(_well(root).image(image), IN_PLACE)


def _discard(root: Path) -> None:
    discard_backups(_well(root), IN_PLACE, verify=partial(verify_image, verify="sample"))


def _keep(root: Path) -> None:
    discard_backups(_well(root), IN_PLACE, keep_originals=True)


def _publish(root: Path) -> None:
    publish_registered(_well(root), BESIDE)


def _publish_one(root: Path, image: str) -> None:
    publish_image(_well(root).image(image), BESIDE)


def _restore(root: Path) -> None:
    restore_well(_well(root))


def _clean(root: Path) -> None:
    plate = Plate.open(root / PLATE)
    for found in clean_wells(plate, plate.read_wells(), originals=True):
        if found.kind == "stays":  # which the command says in its last line
            raise OSError(f"{found.path} stays: {found.why}")


def _call(root: Path, image: str) -> None:
    path = root / PLATE / WELL / image
    apply_registration_to_image(zarr_url=path, registered_roi_table=TABLE, threads=1)


def _fuse(root: Path, options: FusionOptions = FUSION, scatter: int = 1) -> None:
    well, fused = _well(root), fused_plate_path(root / PLATE)
    with FusionSources(options, InputOptions()).whole_reader(well, fused) as reader:
        fusion.fuse_well(well, fused, reader, scatter=scatter)


def _part(root: Path, number: str) -> None:
    well, fused = _well(root), fused_plate_path(root / PLATE)
    reader = FusionSources(FUSION, InputOptions()).reader(well)
    fusion.fuse_well_part(well, fused, reader, int(number), PARTS)


def _finish(root: Path, options: FusionOptions = FUSION) -> None:
    plate = Plate.open(root / PLATE)
    finish_fused_plate(plate, fused_plate_path(root / PLATE), options)


def _receipt(root: Path, image: str) -> None:
    receipt = WellReceipt(well=WELL, images=(image,) * 100)
    receipt.write(root / "results" / "p" / ROW / COLUMN / "step.json")


STEPS: dict[str, Callable[..., None]] = {
    "register": _register,
    "copy": _copy,
    "swap": _swap,
    "discard": _discard,
    "keep": _keep,
    "register-beside": lambda root, image: _register(root, image, BESIDE),
    "copy-beside": lambda root, image: _copy(root, image, BESIDE),
    "publish": _publish,
    "publish-one": _publish_one,
    "restore": _restore,
    "clean": _clean,
    "call": _call,
    "fuse": _fuse,
    "fuse-other": lambda root: _fuse(root, OTHER_FUSION),
    "part": _part,
    "gather": lambda root: _fuse(root, scatter=PARTS),
    "finish": _finish,
    "receipt": _receipt,
}

WARM = ("register 1", "copy 1", "call 0", "fuse", "finish")
"""Steps that import what all steps import."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from platefuse.fusion.options import FusionOptions
from platefuse.ngff.layout import InputOptions
from platefuse.ngff.plate import Plate
from platefuse.ngff.well import Well
from platefuse.registration.plan import plan_registration
from platefuse.registration.request import RegistrationRequest
from platefuse.workflow.sources import FusionSources
from tests.conftest import PlateFactory
from tests.fused import FIELDS, TINY
from tests.opened import files_opened

REQUEST = RegistrationRequest(FIELDS)
RAW = FusionSources(FusionOptions(), InputOptions(), REQUEST, store=False)


@pytest.mark.parametrize(
    "plan",
    [lambda well: plan_registration(well.image("2"), REQUEST), RAW.reader],
    ids=["register one image", "fuse a raw well"],
)
def test_a_job_reads_each_file_once_while_it_plans(
    example_plate: PlateFactory, plan: Callable[[Well], object]
) -> None:
    plate = example_plate(TINY).path
    (well,) = Plate.open(plate).read_wells()
    with files_opened(plate) as counts:
        plan(well)
    assert len(counts) > 10
    assert {path: count for path, count in counts.items() if count > 1} == {}

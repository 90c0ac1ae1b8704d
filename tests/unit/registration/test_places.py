"""Outputs that cannot be written are found before a plate is changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import platefuse
from platefuse.errors import PlateError, PlatefuseError
from platefuse.ngff.paths import staging_root
from platefuse.ngff.plate import Plate
from platefuse.registration import places
from platefuse.registration.places import check_places
from platefuse.registration.request import RegistrationRequest
from platefuse.registration.stage import register_image
from platefuse.workflow.checks.outputs import check_outputs
from platefuse.workflow.checks.preflight import check_well_inputs
from platefuse.workflow.config.model import read_config
from platefuse.workflow.planning import check_config
from tests.access import as_nobody, open_to_all
from tests.conftest import ExamplePlate, PlateFactory
from tests.damage import SPEC, TABLE, refused, state, with_attributes

REQUEST = RegistrationRequest(TABLE)


@pytest.fixture
def plate(example_plate: PlateFactory) -> ExamplePlate:
    return example_plate(SPEC)


def renamed(plate: Path, length: int) -> str:
    """Give image 1 a long name."""
    well, name = plate / "B" / "03", "1" * length
    (well / "1").rename(well / name)
    with_attributes(well, lambda a: a["well"]["images"][1].__setitem__("path", name))
    return name


def test_a_name_that_is_too_long_for_its_backup(plate: ExamplePlate) -> None:
    name = renamed(plate.path, 230)
    before = state(plate.path.parent)
    with pytest.raises(PlatefuseError, match="has 239 bytes"):
        platefuse.apply_registration_to_image(
            zarr_url=plate.path / "B" / "03" / name, registered_roi_table=TABLE
        )
    config = read_config({"plates": {"p": str(plate.path)}})
    with pytest.raises(PlatefuseError, match="has 239 bytes"):
        check_well_inputs(Plate.open(plate.path).well("B", "03"), config)
    assert state(plate.path.parent) == before


def test_what_cannot_be_put_in_its_place_is_not_staged(plate: ExamplePlate) -> None:
    name = renamed(plate.path, 230)
    with pytest.raises(PlatefuseError, match="has 239 bytes"):
        register_image(Plate.open(plate.path).well("B", "03").image(name), REQUEST)
    assert not staging_root(plate.path).exists()


def test_the_function_looks_whether_the_original_can_be_removed(
    plate: ExamplePlate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def protected(folder: Path, what: str) -> None:
        raise PlateError(f"{what}: {folder} is protected")

    monkeypatch.setattr(places, "check_removable", protected)
    refused(plate.path, "1 is protected")


def pipe(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)


@pytest.mark.parametrize("name", ["plate.zarr.staging", "plate.zarr.staging/B/03/1"])
def test_a_pipe_where_the_new_image_is_made(plate: ExamplePlate, name: str) -> None:
    pipe(plate.path.parent / name)
    refused(plate.path, "Move it away")


@pytest.mark.parametrize(
    ("damage", "options", "said"),
    [
        (lambda top: pipe(top / "plate_fused.zarr"), {}, "plate_fused.zarr is no folder"),
        (lambda top: pipe(top / "plate_fused.zarr.staging"), {}, "staging is no folder"),
        (lambda top: pipe(top / "plate_fused.zarr" / "B"), {}, "B is no folder"),
        (lambda top: None, {"output": "x" * 240}, "has 240 bytes"),
        (lambda top: pipe(top / "file"), {"output": "file/out.zarr"}, "file is no folder"),
    ],
)
def test_a_fused_plate_that_cannot_be_written(
    plate: ExamplePlate,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Path], object],
    options: dict[str, str],
    said: str,
) -> None:
    monkeypatch.chdir(plate.path.parent)
    damage(plate.path.parent)
    config = read_config({"plates": {"p": str(plate.path)}, "fusion": options})
    before = state(plate.path.parent / "plate.zarr")
    with pytest.raises(PlatefuseError) as caught:
        check_outputs(config, {"p": Plate.open(plate.path)})
    assert said in str(caught.value)
    assert state(plate.path.parent / "plate.zarr") == before


def test_results_that_cannot_be_written(plate: ExamplePlate, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    file = tmp_path / "config.yaml"
    file.write_text(f"plates: {{p: {plate.path}}}\nresults: {tmp_path / 'file' / 'results'}\n")
    with pytest.raises(PlatefuseError, match=r"config\.results"):
        list(check_config(file))


@pytest.mark.parametrize("name", ["x" * 250, "pipe", "file/below"])
def test_functions_that_write_a_new_image(plate: ExamplePlate, tmp_path: Path, name: str) -> None:
    pipe(tmp_path / "pipe")
    (tmp_path / "file").write_text("")
    image = plate.path / "B" / "03" / "1"
    with pytest.raises(PlatefuseError, match=f"{name} cannot be written: "):
        platefuse.write_registered_zarr(image, tmp_path / name, None, None, 2)  # type: ignore[arg-type]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("protected", ["0/0", "labels/nuclei", "tables/FOV_ROI_table/obs"])
def test_a_folder_that_cannot_be_removed(plate: ExamplePlate, protected: str) -> None:
    top = plate.path.parent
    open_to_all(top)
    for path in (top, *top.rglob("*")):
        os.chown(path, 65534, 65534)
    image = Plate.open(plate.path).well("B", "03").image("1")
    folder = image.live / protected
    said: list[str] = []
    config = read_config({"plates": {"p": str(plate.path)}, "fusion": {"enabled": False}})

    def checked(removes: bool) -> Callable[[], None]:
        return lambda: check_places(image, REQUEST, removes=removes)

    def found() -> None:
        checks: list[Callable[[], object]] = [
            checked(True),
            lambda: check_well_inputs(image.well, config),
        ]
        for check in checks:
            try:
                check()
            except PlatefuseError as error:
                said.append(str(error))
        if len(said) != 2 or not all(str(folder) in each for each in said):
            raise AssertionError(said)

    assert as_nobody(checked(True)) == 0
    folder.chmod(0o555)
    assert as_nobody(found) == 0
    assert as_nobody(checked(False)) == 0  # the original is kept

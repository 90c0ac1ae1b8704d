"""Plates to test on: example plates made once per session and copied, and the real one."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from platefuse.testing import AcquisitionSpec, PlateSpec, Truth, make_plate

REAL_PLATE = Path(__file__).parents[2] / "shared" / "data" / "imagexpress_9987.zarr"

# Writing plates takes its time, and the first example pays for imports: no deadline.
settings.register_profile("default", deadline=None)
settings.register_profile(
    "ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci" if os.environ.get("CI") else "default")

# Small enough for a test to write, register and fuse in a fraction of a second; without noise,
# so that every pixel can be compared.
SMALL = PlateSpec(
    name="small",
    field_shape=(96, 112),
    acquisitions=(
        AcquisitionSpec(0),
        AcquisitionSpec(1, shift_px=(3, -5)),
        AcquisitionSpec(2, shift_px=(-2, 4)),
    ),
    noise=False,
    levels=3,
)


@pytest.fixture(autouse=True)
def _zarr_config_is_left_alone() -> Iterator[None]:
    """zarr's config is global: a test that leaves it changed breaks others, far away."""
    yield
    if "zarr" in sys.modules:
        import zarr

        assert "zarrs" not in zarr.config.get("codec_pipeline.path")


@dataclass(frozen=True)
class ExamplePlate:
    """A plate of a test's own, and what is true about it."""

    path: Path
    truth: Truth


PlateFactory = Callable[..., ExamplePlate]


@pytest.fixture(scope="session")
def plate_cache(tmp_path_factory: pytest.TempPathFactory) -> Callable[[PlateSpec], ExamplePlate]:
    """Make a plate, or find the one that this session has made already. Not to be changed."""
    made: dict[str, ExamplePlate] = {}

    def cached(spec: PlateSpec) -> ExamplePlate:
        if repr(spec) not in made:
            path = tmp_path_factory.mktemp("plates") / f"{spec.name}.zarr"
            made[repr(spec)] = ExamplePlate(path, make_plate(path, spec))
        return made[repr(spec)]

    return cached


@pytest.fixture
def example_plate(plate_cache: Callable[[PlateSpec], ExamplePlate], tmp_path: Path) -> PlateFactory:
    """Factory: a fresh copy of any example plate, ``example_plate(spec, name="plate.zarr")``."""

    def copy(spec: PlateSpec = SMALL, name: str = "plate.zarr") -> ExamplePlate:
        original = plate_cache(spec)
        path = tmp_path / name
        shutil.copytree(original.path, path)
        return ExamplePlate(path, original.truth)

    return copy


@pytest.fixture
def small_plate(example_plate: PlateFactory) -> ExamplePlate:
    """A copy of a small plate without noise: 2 wells × 3 acquisitions × 2×2 fields."""
    return example_plate(SMALL, "small.zarr")


@pytest.fixture
def demo_plate(example_plate: PlateFactory) -> ExamplePlate:
    """A copy of the demo: the same, with fields of 540 × 640 pixels and camera noise."""
    return example_plate(PlateSpec(), "demo.zarr")


@pytest.fixture
def real_plate(tmp_path: Path) -> Path:
    """A copy of the real ImageXpress plate that lies beside the repository."""
    if not REAL_PLATE.is_dir():
        pytest.skip(f"the real plate is not part of the repository; expected it at {REAL_PLATE}")
    path = tmp_path / REAL_PLATE.name
    shutil.copytree(REAL_PLATE, path)
    return path

"""Fixtures: copies of example plates, which are made once per session, and of the real plate."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from platefuse.testing import AcquisitionSpec, PlateSpec, Truth, make_plate

REAL_PLATE = Path(__file__).parents[2] / "shared" / "data" / "imagexpress_9987.zarr"

# No deadline: writing plates takes long, and the first example includes the imports.
settings.register_profile("default", deadline=None)
settings.register_profile(
    "ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
# make test ARGS=--hypothesis-profile=search: looks for examples that break a law.
settings.register_profile(
    "search", deadline=None, max_examples=2000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.hookimpl(wrapper=True)
def _limited(item: pytest.Item) -> Iterator[None]:
    """Let a test fail whose setup, call or teardown hangs: no other one would ever be run.

    Searches that take hours (`make torture`, a profile of Hypothesis) have no limit.
    """
    limit = 3600 if item.get_closest_marker("slow") else 900
    if "TORTURE" in os.environ or item.config.getoption("--hypothesis-profile"):
        limit = 0

    def stop(*_: object) -> None:
        pytest.fail(f"no end after {limit} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(limit)
    try:
        return (yield)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


pytest_runtest_setup = pytest_runtest_call = pytest_runtest_teardown = _limited

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
    """Check that a test does not change zarr's global config, which would break other tests."""
    yield
    if "zarr" in sys.modules:
        import zarr

        assert "zarrs" not in zarr.config.get("codec_pipeline.path")


@dataclass(frozen=True)
class ExamplePlate:
    """A plate and its truth: the pixels that registration and fusion must give."""

    path: Path
    truth: Truth


PlateFactory = Callable[..., ExamplePlate]


@pytest.fixture(scope="session")
def plate_cache(tmp_path_factory: pytest.TempPathFactory) -> Callable[[PlateSpec], ExamplePlate]:
    """Make a plate, or return the one made earlier in this session. Tests must not change it."""
    made: dict[str, ExamplePlate] = {}

    def cached(spec: PlateSpec) -> ExamplePlate:
        if repr(spec) not in made:
            path = tmp_path_factory.mktemp("plates") / f"{spec.name}.zarr"
            made[repr(spec)] = ExamplePlate(path, make_plate(path, spec))
        return made[repr(spec)]

    return cached


@pytest.fixture
def example_plate(plate_cache: Callable[[PlateSpec], ExamplePlate], tmp_path: Path) -> PlateFactory:
    """Factory of fresh copies of example plates: ``example_plate(spec, name="plate.zarr")``."""

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
    """A copy of the demo plate: the same with fields of 540 × 640 pixels and camera noise."""
    return example_plate(PlateSpec(), "demo.zarr")


@pytest.fixture
def real_plate(tmp_path: Path) -> Path:
    """A copy of the real ImageXpress plate, which is stored next to the repository."""
    if not REAL_PLATE.is_dir():
        pytest.skip(f"the real plate is not part of the repository; expected it at {REAL_PLATE}")
    path = tmp_path / REAL_PLATE.name
    shutil.copytree(REAL_PLATE, path)
    return path

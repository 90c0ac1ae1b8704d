"""The warm process, shared by the tests of a session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.torture.bench import Bench, copy_folder, plate_folder
from tests.torture.shim import compiler
from tests.torture.steps import SPEC, WARM
from tests.torture.zygote import Zygote

MEMORY = Path("/dev/shm")


@pytest.fixture(scope="session")
def bench_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in memory, where there is one: the plates are copied for every point."""
    if not os.access(MEMORY, os.W_OK):
        yield tmp_path_factory.mktemp("torture")
        return
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="torture-", dir=MEMORY) as name:
        yield Path(name)


@pytest.fixture(scope="session")
def zygote(bench_folder: Path) -> Iterator[Zygote]:
    """The warm process."""
    if compiler() is None:
        pytest.skip("needs a C compiler (cc, gcc or clang) for the shim that numbers calls")
    with Zygote(bench_folder) as process:
        copy_folder(plate_folder(bench_folder, SPEC), bench_folder / "warm")
        process.warm(bench_folder / "warm", WARM)
        yield process


@pytest.fixture(scope="session")
def benches(zygote: Zygote, bench_folder: Path) -> dict[str, Bench]:
    """The benches that were made in this session, by their operation; see `bench`."""
    return {}


@pytest.fixture
def bench(
    request: pytest.FixtureRequest,
    zygote: Zygote,
    bench_folder: Path,
    benches: dict[str, Bench],
) -> Bench:
    """The bench of the operation that a test names by ``indirect``."""
    name = str(request.param)
    if name not in benches:
        folder = bench_folder / name.replace(" ", "_")
        folder.mkdir()
        benches[name] = Bench(zygote, folder, name)
    return benches[name]

"""A sample of the crash points. `make torture` tries all of them (docs/reliability.md)."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest

from tests.torture.bench import Bench
from tests.torture.points import sample
from tests.torture.scenarios import SCENARIOS

POINTS = 4
"""Points of each operation: with all operations 60."""


def seed() -> str:
    """The same sample in each run of CI, another one each day elsewhere."""
    return "ci" if os.environ.get("CI") else datetime.now(UTC).date().isoformat()


@pytest.mark.parametrize("bench", SCENARIOS, indirect=True)
def test_after_a_point_the_plate_is_whole_and_the_next_run_ends_as_if_undisturbed(
    bench: Bench,
) -> None:
    points = sample(bench.points(), POINTS, seed())
    faults = [fault for point in points for fault in bench.attempt(point)]
    assert not faults, f"seed {seed()}\n" + "\n".join(faults)


@pytest.mark.parametrize("bench", ["swap", "swap by two renames"], indirect=True)
def test_no_point_of_the_swap_loses_anything(bench: Bench) -> None:
    points = [p for p in bench.points() if p.disturbance.kills or p.call.name == "syncfs"]
    faults = [fault for point in points for fault in bench.attempt(point)]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("bench", ["receipt"], indirect=True)
def test_damage_is_found(bench: Bench) -> None:
    """The checks of the points can fail: a live file cut, a file left over, one missing."""
    bench.restore()
    image = bench.root / bench.scenario.live[0]
    (image / ".zattrs").write_text("{")
    (image / "left.over").touch()
    (image / ".zgroup").unlink()
    (found, *others) = bench.live_faults()
    assert not others
    for what in (".zattrs: ", "left.over is left over", ".zgroup is missing"):
        assert what in found

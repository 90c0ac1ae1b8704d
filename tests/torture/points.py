"""The points of an operation: each of its calls, and what may happen to it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tests.torture.scenarios import SCENARIOS
from tests.torture.shim import ERRORS, WRITES, Call, Disturbance

ALSO_AFTER = ("exchange", "rename", "unlink")
"""Calls that the process is also killed after: else this is the same as before the next one."""


@dataclass(frozen=True)
class Point:
    """A call of an operation, and what happens to it."""

    scenario: str
    disturbance: Disturbance
    call: Call

    def __str__(self) -> str:
        what, call = self.disturbance, self.call
        return f"{self.scenario}: {what.kind} at call {call.number}, {call.name} {call.path}"


def points_of(name: str, calls: list[Call]) -> Iterator[Point]:
    """All points of an operation that makes these calls."""
    for call in calls:
        at = Disturbance(at=call.number, no_exchange=SCENARIOS[name].no_exchange)
        found = [replace(at, action="before"), replace(at, action="pause")]
        if call.name in ALSO_AFTER or call is calls[-1]:
            found += [replace(at, action="after")]
        if call.name in WRITES:
            found += [replace(at, action="inside")]
            found += [replace(at, action="short", error="ENOSPC", from_there_on=True)]
        for error in ERRORS:
            failing = replace(at, action="fail", error=error)
            found += [failing, replace(failing, from_there_on=True)]
        yield from (Point(name, disturbance, call) for disturbance in found)


def sample(points: list[Point], number: int, seed: str) -> list[Point]:
    """Some points: of each kind as many, as far as there are."""
    kinds: dict[str, list[Point]] = {}
    chance = random.Random(seed)
    for point in chance.sample(points, len(points)):
        kinds.setdefault(point.disturbance.kind, []).append(point)
    rounds = max(map(len, kinds.values()))
    in_turn = [own[i] for i in range(rounds) for own in kinds.values() if i < len(own)]
    return in_turn[:number]

"""Try all points of all operations, and write the figures into docs/reliability.md.

``python -m tests.torture`` takes long; ``--every 10`` tries every tenth point, but all of the
operations after ``--whole``; ``--only swap`` tries one operation. What is wrong is listed in the
file that ``--faults`` names.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from tests.torture.bench import Bench, copy_folder, plate_folder
from tests.torture.conftest import MEMORY
from tests.torture.figures import PAGE, Figures, write_figures
from tests.torture.points import Point, sample
from tests.torture.scenarios import SCENARIOS
from tests.torture.steps import BARE, SPEC, WARM
from tests.torture.zygote import Zygote

SHARE = 40
"""Points that a process tries one after another: neighbours end in the same states."""


@dataclass
class _Worker:
    """What a process keeps between its shares."""

    folder: Path
    zygote: Zygote
    benches: dict[str, Bench] = field(default_factory=dict)

    def bench(self, name: str) -> Bench:
        if name not in self.benches:
            folder = self.folder / name.replace(" ", "_")
            folder.mkdir()
            self.benches[name] = Bench(self.zygote, folder, name)
        return self.benches[name]


_worker: list[_Worker] = []


def _begin(folder: str) -> None:
    own = Path(tempfile.mkdtemp(dir=folder))
    zygote = Zygote(own)
    for spec in (SPEC, BARE):
        plate_folder(own, spec)
    copy_folder(plate_folder(own, SPEC), own / "warm")
    zygote.warm(own / "warm", WARM)
    _worker.append(_Worker(own, zygote))


def _points(name: str) -> list[Point]:
    return _worker[0].bench(name).points()


def _attempt(points: Sequence[Point]) -> list[tuple[Point, list[str]]]:
    return [(point, _worker[0].bench(point.scenario).attempt(point)) for point in points]


def _some(points: list[Point], every: int) -> list[Point]:
    """One of so many points, of all kinds, in the order of their calls."""
    some = sample(points, -(-len(points) // every), "figures")
    return sorted(some, key=lambda point: point.call.number)


def _shares(points: Mapping[str, list[Point]]) -> Iterator[list[Point]]:
    for own in points.values():
        for first in range(0, len(own), SHARE):
            yield own[first : first + SHARE]


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the points; the exit code says whether one of them had a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="one of N points")
    parser.add_argument("--whole", nargs="+", choices=SCENARIOS, default=[])
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--faults", type=Path, default=Path("torture.log"))
    parser.add_argument("--write", action="store_true", help=f"write the figures into {PAGE.name}")
    given = parser.parse_args(arguments)
    memory = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="torture-", dir=memory) as folder:
        every = {name: 1 if name in given.whole else given.every for name in given.only}
        figures = _run(folder, every, given.workers, given.faults)
    sys.stdout.write(figures.table() + "\n")
    if given.write:
        write_figures(figures)
    return int(sum(figures.faults.values()) > 0)


def _run(folder: str, every: Mapping[str, int], workers: int, log: Path) -> Figures:
    figures = Figures(tried=Counter(), faults=Counter(), calls=Counter(), points=Counter())
    with (
        ProcessPoolExecutor(workers, get_context("spawn"), _begin, (folder,)) as pool,
        log.open("w") as faults,
    ):
        points = dict(zip(every, pool.map(_points, every), strict=True))
        for name, own in points.items():
            figures.points[name] = len(own)
            figures.calls[name] = max(point.call.number for point in own)
        chosen = {name: _some(own, every[name]) for name, own in points.items()}
        shares = list(_shares(chosen))
        for number, share in enumerate(pool.map(_attempt, shares), start=1):
            sys.stderr.write(f"\r{number} of {len(shares)} shares of {SHARE} points")
            for point, found in share:
                figures.tried[point.scenario, point.disturbance.kind] += 1
                figures.faults[point.scenario] += bool(found)
                faults.writelines(f"{fault}\n" for fault in found)
                faults.flush()
    return figures

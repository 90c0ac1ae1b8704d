"""Try one point of an operation: disturb a call, look at the plate, run again, compare."""

from __future__ import annotations

import shutil
from functools import cached_property
from pathlib import Path

from platefuse.testing import PlateSpec, make_plate
from tests.torture.points import Point, points_of
from tests.torture.scenarios import SCENARIOS, Scenario
from tests.torture.shim import FLUSHES, Call, Disturbance
from tests.torture.steps import PLATE
from tests.torture.trees import (
    Tree,
    below,
    differences,
    fingerprint,
    folders_of,
    outside,
    read_tree,
)
from tests.torture.zygote import Outcome, Zygote

LOSES_DATA = ("ENOSPC", "EIO", "EDQUOT")
"""Errors of a flush after which what was written is not on disk, and never will be."""


class Bench:
    """Where points of one operation are tried.

    Parameters
    ----------
    zygote : Zygote
        Does the work.
    folder : Path
        An empty folder.
    name : str
        The operation.
    """

    def __init__(self, zygote: Zygote, folder: Path, name: str) -> None:
        self.zygote, self.name = zygote, name
        self.scenario: Scenario = SCENARIOS[name]
        self.root, self._state = folder / "work", folder / "state"
        self._states: dict[str, list[str]] = {}
        self._watch = Disturbance(no_exchange=self.scenario.no_exchange)
        self._start = plate_folder(folder.parent, self.scenario.spec)
        copy_folder(self._start, self.root)
        self._done(self.scenario.before)
        copy_folder(self.root, self._state)

    def _done(self, steps: tuple[str, ...]) -> None:
        outcome = self.zygote.do(self.root, steps, self._watch)
        assert outcome.code == 0, f"{self.name}: {outcome}"
        assert not outcome.error, f"{self.name}: {outcome.error}"

    def begin(self) -> None:
        """Bring the plate back as it was at first."""
        shutil.rmtree(self.root)
        copy_folder(self._start, self.root)

    def restore(self) -> None:
        """Bring the state before the attacked steps back."""
        shutil.rmtree(self.root)
        copy_folder(self._state, self.root)

    @cached_property
    def calls(self) -> list[Call]:
        """The calls of the attacked steps."""
        self.restore()
        outcome, calls = self.zygote.watch(self.root, self.scenario.attack, self._watch)
        assert not outcome.error, f"{self.name}: {outcome.error}"
        return calls

    @cached_property
    def old(self) -> Tree:
        """Everything, before the attacked steps."""
        return read_tree(self._state)

    @cached_property
    def whole(self) -> list[Tree]:
        """Everything, after the attacked steps without disturbance, or a whole part of them."""
        found = [self.old]
        for steps in filter(None, (self.scenario.between, self.scenario.attack)):
            self.restore()
            self._done(steps)
            found.append(read_tree(self.root))
        return found

    @cached_property
    def end(self) -> Tree:
        """Everything, after a run without disturbance."""
        self.restore()
        self._done((*self.scenario.attack, *self.scenario.rest))
        return read_tree(self.root)

    def points(self) -> list[Point]:
        """All points of the operation."""
        return list(points_of(self.name, self.calls))

    def attempt(self, point: Point) -> list[str]:
        """Try a point; what is wrong afterwards, in words."""
        what, whole, end = point.disturbance, [*self.whole], self.end
        self.restore()
        outcome = self.zygote.do(self.root, self.scenario.attack, what, self.scenario.chain)
        now = read_tree(self.root)
        whole += [end] if what.action == "pause" else []
        found = [*self._of_outcome(point, outcome), *self._of_live(now, whole)]
        if outcome.error and point.call.name == "syncfs" and what.error in LOSES_DATA:
            lose_staged(self.root)
            now = read_tree(self.root)
        if what.action in ("fail", "short") and not outcome.error:
            found += self._of_rest(end)
            now = read_tree(self.root)
        key = fingerprint(now)
        if key not in self._states:
            self._states[key] = self._of_next_run(end)
        return [f"{point}: {fault}" for fault in found + self._states[key]]

    def live_faults(self) -> list[str]:
        """What is wrong with the live images as they are now, in words."""
        return self._of_live(read_tree(self.root), self.whole)

    def _of_outcome(self, point: Point, outcome: Outcome) -> list[str]:
        what = point.disturbance
        if outcome.killed != what.kills:
            return [f"the process ended with {outcome.code}"]
        errors = [each.error for each in (outcome, outcome.other) if each is not None]
        if unexpected := [error for error in errors if error.startswith("unexpected")]:
            return unexpected
        if what.action == "pause":
            if outcome.other is None or all(errors):
                return [f"of two runs, none did its work: {errors}"]
            return []
        lost = what.action == "fail" and point.call.name in FLUSHES and what.error in LOSES_DATA
        if lost and not outcome.error:
            return ["success was reported although the flush failed"]
        return []

    def _of_live(self, now: Tree, whole: list[Tree]) -> list[str]:
        """Whether what is live is whole, and the rest of the plate untouched."""
        found = []
        for path in self.scenario.live:
            allowed = [below(tree, path) for tree in whole]
            live = below(now, path)
            if live not in allowed and (live or not self._is_aside(now, allowed)):
                found.append(f"{path} is neither old nor new: {differences(live, allowed[0])}")
        plates = [outside(below(tree, PLATE), self._inside_plate) for tree in whole]
        plate = below(now, PLATE)
        for file in plates[0]:
            if plate.get(file) not in [tree.get(file) for tree in plates]:
                found.append(f"{PLATE}/{file} is neither old nor new")
        return found

    @property
    def _inside_plate(self) -> tuple[str, ...]:
        live = (path for path in self.scenario.live if path.startswith(f"{PLATE}/"))
        return tuple(path.removeprefix(f"{PLATE}/") for path in live)

    def _is_aside(self, now: Tree, whole: list[Tree]) -> bool:
        """Whether an image is missing for the instant between two renames, and is elsewhere."""
        return self.scenario.no_exchange and any(below(now, f) in whole for f in folders_of(now))

    def _of_rest(self, end: Tree) -> list[str]:
        """Whether the other steps of the run do well after success was reported."""
        rest = self.zygote.do(self.root, self.scenario.rest, self._watch)
        if rest.error:
            return [f"after success was reported, the run fails: {rest.error}"]
        now = read_tree(self.root)
        for path in self.scenario.live:
            wrong = differences(below(now, path), below(end, path))
            if wrong:
                return [f"success was reported, but {path} is not as it should be: {wrong}"]
        return []

    def _of_next_run(self, end: Tree) -> list[str]:
        """Whether a run without disturbance ends as if nothing had happened."""
        again = self.zygote.do(self.root, self.scenario.chain, self._watch)
        if again.code != 0 or again.error:
            return [f"the next run fails: {again.code} {again.error}"]
        wrong = differences(read_tree(self.root), end)
        return [f"the next run ends otherwise: {wrong}"] if wrong else []


def lose_staged(root: Path) -> None:
    """Cut the chunks that are staged, as if they had never reached the disk."""
    for staging in root.glob("*.staging"):
        for file in staging.rglob("*"):
            kept = any(part.endswith(".original") for part in file.parts)
            if file.name.isdigit() and file.is_file() and not kept:
                file.write_bytes(b"")


def plate_folder(folder: Path, spec: PlateSpec) -> Path:
    """A folder with a small plate, which is made once."""
    path = folder / f"plate_{len(spec.acquisitions)}"
    if not path.is_dir():
        make_plate(path / PLATE, spec)
    return path


def copy_folder(source: Path, target: Path) -> None:
    """Copy a folder with the times of its files."""
    shutil.copytree(source, target, symlinks=True)

"""The swap as a state machine: any step, any crash in it, any second process, any recovery.

Hypothesis chooses what happens to a plate with two images. At any time the live images are whole,
whatever existed is somewhere, and in the end a run without disturbance leaves nothing behind.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.torture.bench import copy_folder, plate_folder
from tests.torture.scenarios import IMAGES
from tests.torture.shim import ERRORS, Disturbance
from tests.torture.steps import PLATE, SPEC, WELL
from tests.torture.trees import Tree, below, differences, folders_of, read_tree
from tests.torture.zygote import Zygote

COMPLETE = os.environ.get("TORTURE") == "complete"
RUN = ("register 0", "register 1", "copy 0", "copy 1", "swap 0", "swap 1", "discard")
BESIDE = ("register-beside 0", "register-beside 1", "copy-beside 0", "copy-beside 1", "publish")
STEPS = st.sampled_from([*RUN, "keep", "undo", "undo", *BESIDE, *RUN])
LAST_CALL = 240
"""About as many calls as the longest step makes; after its last one nothing is disturbed."""
CALLS = st.one_of(st.integers(1, 14), st.integers(1, LAST_CALL))
NOTE = re.compile(r"(^|/)note_\d+\.txt$")
LEFT_OVER = re.compile(r"\.removed|\.replaced|\.lock|\.probe|\.[0-9a-f]{16}")


def disturbances(no_exchange: bool) -> st.SearchStrategy[Disturbance]:
    """What may happen to a step: often nothing."""
    base = st.builds(
        Disturbance,
        action=st.sampled_from(["watch", "before", "inside", "after", "pause"]),
        at=CALLS,
        no_exchange=st.just(no_exchange),
    )
    failing = st.builds(
        Disturbance,
        action=st.just("fail"),
        at=CALLS,
        error=st.sampled_from(ERRORS),
        from_there_on=st.booleans(),
        no_exchange=st.just(no_exchange),
    )
    return base | failing


class SwapMachine(RuleBasedStateMachine):
    """A plate, and what happens to it."""

    def __init__(self, zygote: Zygote, folder: Path, old: Tree, new: Tree) -> None:
        super().__init__()
        self.zygote, self.root, self.start = zygote, folder / "work", folder / "plate_2"
        self.old, self.new = old, new
        self.no_exchange = False
        self.notes: list[str] = []

    @initialize(no_exchange=st.booleans())
    def begin(self, no_exchange: bool) -> None:
        if self.root.exists():
            shutil.rmtree(self.root)
        copy_folder(self.start, self.root)
        self.no_exchange = no_exchange

    @rule(step=STEPS, meanwhile=STEPS, data=st.data())
    def one_step(self, step: str, meanwhile: str, data: st.DataObject) -> None:
        what = data.draw(disturbances(self.no_exchange))
        outcome = self.zygote.do(self.root, [step], what, [meanwhile])
        for each in filter(None, (outcome, outcome.other)):
            assert not each.error.startswith("unexpected"), each.error

    @rule(data=st.data())
    def a_run(self, data: st.DataObject) -> None:
        """All steps of a run, one of them disturbed, after which the run ends."""
        last = data.draw(st.integers(0, len(RUN) - 1))
        self.zygote.do(self.root, RUN[:last], Disturbance(no_exchange=self.no_exchange))
        self.one_step(RUN[last], data.draw(STEPS), data)

    @precondition(lambda self: len(self.notes) < 4)
    @rule(image=st.sampled_from(IMAGES))
    def a_user_adds_a_note(self, image: str) -> None:
        """To an original. What is added to a registered image goes with it when it is undone."""
        attributes = self.root / image / ".zattrs"
        if attributes.exists() and '"platefuse"' not in attributes.read_text():
            self.notes.append(f"note_{len(self.notes)}.txt")
            (self.root / image / self.notes[-1]).write_text("look at this cell")

    @invariant()
    def live_images_are_whole(self) -> None:
        if not self.root.exists():
            return
        now = read_tree(self.root)
        for image in IMAGES:
            allowed = [below(tree, image) for tree in (self.old, self.new)]
            live = _without_notes(below(now, image))
            aside = self.no_exchange and any(
                _without_notes(below(now, folder)) in allowed for folder in folders_of(now)
            )
            assert live in allowed or (not live and aside), differences(live, allowed[0])

    @invariant()
    def nothing_that_existed_is_gone(self) -> None:
        if not self.root.exists():
            return
        now = read_tree(self.root)
        for image in IMAGES:
            original, registered = (below(tree, image) for tree in (self.old, self.new))
            if _without_notes(below(now, image)) == registered:
                continue  # made from the original, which may have been discarded
            found = [f for f in folders_of(now) if _without_notes(below(now, f)) == original]
            assert found, f"{image}: its original is nowhere"
        for note in self.notes:
            whole = [path for path in now if path.endswith(f"/{note}") and ".removed" not in path]
            assert whole, f"{note} is nowhere"

    def teardown(self) -> None:
        """A run without disturbance ends with registered images, and leaves nothing behind."""
        if not self.root.exists():
            return
        done = self.zygote.do(self.root, RUN, Disturbance(no_exchange=self.no_exchange))
        assert not done.error, done.error
        now = read_tree(self.root)
        for image in IMAGES:
            wrong = differences(_without_notes(below(now, image)), below(self.new, image))
            assert not wrong, wrong
        for note in self.notes:
            assert any(f"{image}/{note}" in now for image in IMAGES), f"{note} is not live"
        left = [path for path in now if LEFT_OVER.search(path)]
        kept = re.compile(rf"{PLATE}\.staging(/B(/03(/\d\.original(/.*)?)?)?)?")
        left += [p for p in now if p.startswith(f"{PLATE}.staging") and not kept.fullmatch(p)]
        assert not left, left[:5]


def _without_notes(tree: Tree) -> Tree:
    return {path: what for path, what in tree.items() if not NOTE.search(path)}


def test_from_any_history_the_plate_is_whole_and_a_run_ends_clean(
    zygote: Zygote, bench_folder: Path
) -> None:
    folder = bench_folder / "machine"
    folder.mkdir()
    copy_folder(plate_folder(folder, SPEC), folder / "new")
    assert not zygote.do(folder / "new", RUN).error
    old, new = read_tree(folder / "plate_2"), read_tree(folder / "new")
    assert below(old, f"{PLATE}/{WELL}/1") != below(new, f"{PLATE}/{WELL}/1")
    run_state_machine_as_test(
        lambda: SwapMachine(zygote, folder, old, new),  # type: ignore[arg-type]  # or a factory
        settings=settings(
            max_examples=300 if COMPLETE else 10,
            stateful_step_count=15 if COMPLETE else 6,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

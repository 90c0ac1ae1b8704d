"""Data and entries of folders are on disk before a rename makes them live and a backup goes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.torture.bench import LOSES_DATA, Bench
from tests.torture.flushed import Disk, is_below
from tests.torture.points import Point
from tests.torture.scenarios import FUSED
from tests.torture.shim import FLUSHES, Call, Disturbance
from tests.torture.steps import PLATE, WELL

CHANGES = ("swap", "swap by two renames", "publish", "restore", "restore by renames")
FUSES = ("fuse", "fuse anew", "fuse anew by renames", "fuse in parts")
IN_PLACE = ("one call", *CHANGES)


def whole_run(bench: Bench) -> list[Call]:
    """The calls of a run, from the plate as it was at first."""
    bench.begin()
    steps = (*bench.scenario.earlier, *bench.scenario.chain)
    watch = Disturbance(no_exchange=bench.scenario.no_exchange)
    outcome, calls = bench.zygote.watch(bench.root, steps, watch)
    assert not outcome.error, outcome.error
    return calls


def made_live(bench: Bench, calls: list[Call]) -> Iterator[tuple[Call, list[str]]]:
    """The renames onto a live path, and what below the new folder is not on disk then."""
    live = [f"{bench.root}/{path}" for path in bench.scenario.live]
    disk = Disk()
    for call in calls:
        if call.name == "exchange" and {call.path, call.target} & set(live):
            source = call.target if call.path in live else call.path
            yield call, disk.unsafe(source)
        elif call.name == "rename" and call.target in live:
            yield call, disk.unsafe(call.path)
        disk.follow(call)


@pytest.mark.parametrize("bench", [*IN_PLACE, *FUSES], indirect=True)
def test_what_becomes_live_is_on_disk(bench: Bench) -> None:
    found = list(made_live(bench, whole_run(bench)))
    assert found
    if bench.name in FUSES:  # a fused well is made again: only what it replaces must be kept
        found = found[1:]
    for call, unsafe in found:
        assert not unsafe, (call, unsafe[:5])


@pytest.mark.parametrize("bench", ["one call", "discard backups"], indirect=True)
def test_before_a_backup_goes_the_exchange_is_on_disk(bench: Bench) -> None:
    well, staging = f"{bench.root}/{PLATE}/{WELL}", f"{bench.root}/{PLATE}.staging/{WELL}"
    calls, going = whole_run(bench), dict[str, Call]()
    for call in calls:
        if call.name in ("unlink", "rmdir", "rename") and call.path.endswith(".original"):
            going.setdefault(call.path, call)
    assert len(going) == 2
    for backup, gone in going.items():
        live = f"{well}/{backup.split('/')[-1].removesuffix('.original')}"
        moved = [
            call.number
            for call in calls[: gone.number - 1]
            if call.name in ("exchange", "rename") and {live, backup} & {call.path, call.target}
        ]
        since = calls[moved[-1] : gone.number - 1]
        flushed = {call.path for call in since if call.name == "fsync"}
        assert {well, staging} <= flushed or "syncfs" in [call.name for call in since], gone


@pytest.mark.parametrize("bench", ["one call", "publish"], indirect=True)
def test_what_a_record_vouches_for_is_on_disk_before_the_record(bench: Bench) -> None:
    """The last rename of a staged image's attributes is that of its complete record."""
    calls = whole_run(bench)
    for image in ("0", "1"):
        staged = f"{bench.root}/{PLATE}.staging/{WELL}/{image}"
        record = [c for c in calls if c.name == "rename" and c.target == f"{staged}/.zattrs"][-1]
        disk = Disk()
        for call in calls[: record.number - 1]:
            disk.follow(call)
        unsafe = [path for path in disk.unsafe(staged) if path != staged]
        assert not unsafe, unsafe[:5]


@pytest.mark.parametrize(
    ("bench", "mark"),
    [
        ("register image", f"{PLATE}.staging/{WELL}/1/.zattrs"),
        ("copy tables", f"{PLATE}.staging/{WELL}/1/.zattrs"),
        ("fuse in parts", f"{FUSED}.staging/{WELL}.part0/part.json"),
    ],
    indirect=["bench"],
)
def test_what_each_step_has_written_is_on_disk_before_its_mark(bench: Bench, mark: str) -> None:
    """The mark is the record or the file that tells the next run that the step is done."""
    file = f"{bench.root}/{mark}"
    marked = [c for c in bench.calls if c.name == "rename" and c.target == file][-1]
    disk = Disk()
    for call in bench.calls[: marked.number - 1]:
        disk.follow(call)
    folder = file.rpartition("/")[0]
    unsafe = [path for path in disk.unsafe(folder) if path not in (folder, marked.path)]
    assert not unsafe, unsafe[:5]


@pytest.mark.parametrize("bench", ["receipt", "fused plate", "publish"], indirect=True)
def test_a_file_that_replaces_another_is_on_disk_before(bench: Bench) -> None:
    disk, renamed = Disk(), 0
    for call in bench.calls:
        if call.name == "rename" and call.path.rpartition("/")[2].startswith("."):
            renamed += call.path not in disk.entries
            assert call.path not in disk.data, call
        disk.follow(call)
    assert renamed


FLUSHING = ("register image", "copy tables", "swap", "swap by two renames", "publish", "fuse anew")


@pytest.mark.parametrize("bench", FLUSHING, indirect=True)
@pytest.mark.parametrize("error", LOSES_DATA)
def test_a_failed_flush_stops_before_the_exchange_and_the_image_is_made_anew(
    bench: Bench, error: str
) -> None:
    """What is staged is cut then, as it never reached the disk: the next run makes it again."""
    live = {f"{bench.root}/{path}" for path in bench.scenario.live}
    before = itertools.takewhile(lambda call: not live & {call.path, call.target}, bench.calls)
    flushes = [call for call in before if call.name in FLUSHES]
    assert flushes
    for call in flushes:
        watch = Disturbance(no_exchange=bench.scenario.no_exchange)
        failing = replace(watch, action="fail", at=call.number, error=error)
        assert not bench.attempt(Point(bench.name, failing, call))


def test_the_model_of_the_disk() -> None:
    disk = Disk()
    for name, path, target in [
        ("mkdir", "/p/new", ""), ("open", "/p/new/a", ""), ("write", "/p/new/a", ""),
    ]:  # fmt: skip
        disk.follow(Call(1, name, path, target))
    assert disk.unsafe("/p/new") == ["/p/new", "/p/new/a"]
    disk.follow(Call(2, "fsync", "/p/new/a"))
    assert disk.unsafe("/p/new") == ["/p/new"]
    disk.follow(Call(3, "write", "/p/new/a"))
    disk.follow(Call(4, "exchange", "/p/new", "/p/old"))
    assert disk.unsafe("/p/old") == ["/p/old", "/p/old/a"]
    assert not disk.unsafe("/p/new")
    disk.follow(Call(5, "rename", "/p/old", "/q/b"))
    assert disk.unsafe("/q") == ["/q", "/q/b", "/q/b/a"]
    assert is_below("/q/b", "/q/b")
    assert not is_below("/q/bc", "/q/b")
    disk.follow(Call(6, "syncfs", "/q"))
    assert not disk.data | disk.entries

from __future__ import annotations

from pathlib import Path

import pytest

from platefuse.command.progress import (
    LAST_STEPS,
    MEASURING,
    WHOLE,
    Progress,
    plain_message,
    reason_in,
)
from tests.events import error, failed, finished, planned, progress_of, started

CLONE = Path(__file__).parents[3]


def test_a_well_is_done_when_its_last_job_is() -> None:
    progress = progress_of(planned(register_image=4, swap_image=4, discard_backups=2, fuse_well=2))
    assert (progress.last, progress.total, progress.label) == (("fuse_well",), 2, "processing")
    news = [
        progress.take(event)
        for event in (
            started(1, "register_image", "B/02"), finished(1),
            started(2, "discard_backups", "B/02"), finished(2),
            started(3, "fuse_well", "B/02"), finished(3),
        )
    ]  # fmt: skip
    assert news == [None, None, None, None, None, "well"]
    assert list(progress.wells) == [("screen", "B/02")]


@pytest.mark.parametrize("last", ["discard_backups", "publish_registered"])
def test_without_fusion_another_rule_is_the_last(last: str) -> None:
    progress = progress_of(planned(register_image=4, **{last: 2}), started(1, last, "B/02"))
    assert progress.label == "registering"
    assert progress.take(finished(1)) == "well"


def test_measuring_is_counted_first() -> None:
    progress = progress_of(planned(measure_well=2, solve_plate=1, fuse_well=2))
    assert (progress.phase, progress.label) == (("measure_well",), "measuring")
    for number in (1, 2):
        progress.take(started(number, "measure_well", f"B/0{number}"))
        assert progress.take(finished(number)) is None
    assert (progress.phase, progress.label) == (("fuse_well",), "processing")
    assert not progress.wells


def test_a_plan_without_wells_has_no_bar() -> None:
    progress = progress_of(planned(finish_fused_plate=1, all=1))
    assert (progress.last, progress.total, progress.phase) == ((), 0, ())
    assert not progress.has_run
    progress.take(started(1, "finish_fused_plate"))
    assert progress.has_run


def test_the_reason_of_a_failure_is_in_its_log(tmp_path: Path) -> None:
    log = tmp_path / "fuse_well.log"
    log.write_text(
        "2026-11-29 10:00:00,001 INFO fuse_well with 1 threads\n"
        "2026-11-29 10:00:01,001 ERROR B/02/1: no such level. Write it again.\n"
    )
    progress = progress_of(planned(fuse_well=1), started(7, "fuse_well", "B/02", log=log))
    assert progress.take(failed(7)) == "failed"
    (failure,) = progress.failures()
    assert failure.reason == "B/02/1: no such level. Write it again."
    assert (failure.job.well, failure.log) == ("B/02", str(log))
    assert progress.take(failed(7)) is None  # Snakemake may say it twice


def test_the_reason_of_an_unexpected_error_is_its_last_line(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text(
        "2026-11-29 10:00:01,001 ERROR fuse_well ended by an unexpected error\n"
        "Traceback (most recent call last):\n  File \"a.py\", line 1\nKeyError: 'x'\n"
    )
    assert reason_in(log) == "KeyError: 'x'"
    assert reason_in(tmp_path / "none.log") == ""
    log.write_text("2026-11-29 10:00:01,001 INFO done\n")
    assert reason_in(log) == ""


def test_a_killed_process_says_by_what() -> None:
    message = (
        'RuleException:\nCalledProcessError in file "fuse.smk", line 81:\n'
        "Command 'x' died with <Signals.{}: 9>."
    )
    for signal, more in (("SIGKILL", "which is often too little memory"), ("SIGTERM", "")):
        progress = progress_of(
            planned(fuse_well=1), started(1, "fuse_well", "B/02"),
            error(message.format(signal), "RuleException"), failed(1),
        )  # fmt: skip
        (failure,) = progress.failures()
        assert signal in failure.reason
        assert failure.reason.endswith(more)
        assert not progress.errors  # it is that of the job


def test_a_second_try_that_succeeds_is_no_failure() -> None:
    again = (started(1, "fuse_well", "B/02"), finished(1))
    progress = progress_of(planned(fuse_well=1), started(1, "fuse_well", "B/02"), failed(1), *again)
    assert not progress.failures()
    assert list(progress.wells) == [("screen", "B/02")]


def test_a_failed_group_is_one_failure_of_its_well(tmp_path: Path) -> None:
    guilty, innocent = tmp_path / "swap.log", tmp_path / "fuse.log"
    guilty.write_text("2026-11-29 10:00:01,001 ERROR no space\n")
    events = [
        started(1, "fuse_well", "B/02", log=innocent),
        started(2, "swap_image", "B/02", log=guilty),
    ]
    progress = progress_of(planned(fuse_well=1), *events, failed(1), failed(2, "swap_image"))
    (failure,) = progress.failures()
    assert (failure.job.rule, failure.reason) == ("swap_image", "no space")


def test_errors_before_the_first_job_are_plain() -> None:
    progress = progress_of(
        error(
            'WorkflowError in file "common.smk", line 98:\nNo plate.\nGive it.\n'
            '  File "common.smk", line 98, in <module>'
        ),
        error("WorkflowError:\nAt least one job did not complete successfully."),
    )  # fmt: skip
    assert progress.errors == ["No plate.\nGive it."]
    assert progress.error_kinds == {"WorkflowError"}


@pytest.mark.parametrize(
    ("message", "plain"),
    [
        (
            "LockException:\nError: Directory cannot be locked.",
            "Error: Directory cannot be locked.",
        ),
        (
            "Traceback (most recent call last):\n\n    os.makedirs(path)\n\n\n"
            "OSError: [Errno 30] Read-only file system: '.snakemake'\n\n",
            "OSError: [Errno 30] Read-only file system: '.snakemake'",
        ),
        ("Something else: x", "Something else: x"),
        ("", ""),
    ],
)
def test_plain_messages(message: str, plain: str) -> None:
    assert plain_message(message) == plain


def test_warnings_are_kept() -> None:
    progress = Progress()
    assert (
        progress.take({"event": "warning", "message": "Warning: 2 wells are absent"}) == "warning"
    )
    assert progress.warnings == ["2 wells are absent"]


def test_whole_wells_and_wells_of_steps_are_counted_together() -> None:
    progress = progress_of(planned(process_well=2, fuse_well=1, check_well=1))
    assert (progress.last, progress.total, progress.to_do) == (("process_well", "check_well"), 3, 3)
    for number, rule in enumerate(("process_well", "fuse_well", "check_well")):
        progress.take(started(number, rule, f"B/0{number}"))
        progress.take(finished(number))
    assert progress.done == 2
    assert list(progress.wells) == [("screen", "B/00"), ("screen", "B/02")]


def test_the_rules_that_are_counted_exist() -> None:
    rules = "".join(path.read_text() for path in (CLONE / "workflow" / "rules").glob("*.smk"))
    for name in (MEASURING, WHOLE, *LAST_STEPS):
        assert f"rule {name}:" in rules

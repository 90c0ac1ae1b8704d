from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from platefuse import apply_registration_to_image
from platefuse.command.progress import Progress
from platefuse.command.summary import PlateResult, plate_results, summary
from platefuse.quality.model import ReportedPlate
from platefuse.workflow.config.model import read_config
from tests.conftest import ExamplePlate
from tests.events import failed, finished, planned, progress_of, started

NOTHING = PlateResult("screen", 4, 0, 0, None, Path("results/screen"), None, None)
AGAIN = "platefuse run my.yaml"


def lines(progress: Progress, *plates: PlateResult, interrupted: bool = False) -> list[str]:
    return list(summary(progress, plates, seconds=75.4, again=AGAIN, interrupted=interrupted))


def test_a_run_that_did_everything() -> None:
    wells = [(n, f"B/0{n}") for n in range(1, 5)]
    events = [e for n, well in wells for e in (started(n, "fuse_well", well), finished(n))]
    plate = replace(NOTHING, fused=Path("a_fused.zarr"), report=Path("results/screen/report.html"))
    assert lines(progress_of(planned(fuse_well=4), *events), plate) == [
        "4 of 4 wells done, 4 of them in this run (0:01:15).",
        "plate screen:",
        "  fused plate: a_fused.zarr",
        "  report:      results/screen/report.html",
    ]


def test_a_second_run() -> None:
    progress = Progress(is_up_to_date=True)
    assert lines(progress, NOTHING) == [
        "4 of 4 wells done, by runs before: nothing was left to do."
    ]


@pytest.mark.parametrize("rule", ["measure_well", "register_image", "fuse_part"])
def test_a_run_until_an_earlier_step_says_which_steps_are_done(rule: str) -> None:
    events = [e for n in (1, 2) for e in (started(n, rule, f"B/0{n}"), finished(n))]
    assert lines(progress_of(planned(**{rule: 2}), *events), NOTHING) == [
        f"Steps that are done: 2 {rule} (0:01:15). The last step of the wells is not."
    ]


def test_a_run_of_the_report_alone_finds_its_wells_done() -> None:
    progress = progress_of(planned(report_plate=1), started(1, "report_plate", ""), finished(1))
    assert lines(progress, NOTHING) == ["4 of 4 wells done, none of them in this run (0:01:15)."]


def test_failed_and_left_out_wells(tmp_path: Path) -> None:
    log = tmp_path / "fuse_well.log"
    log.write_text("2026-11-29 10:00:01,001 ERROR no such level\n")
    progress = progress_of(
        planned(fuse_well=3), started(1, "fuse_well", "B/01"), finished(1),
        started(2, "fuse_well", "B/02", log=log), failed(2),
    )  # fmt: skip
    assert lines(progress, replace(NOTHING, absent=2, skipped=1)) == [
        "2 of 4 wells done, 1 of them in this run (0:01:15).",
        "plate screen:",
        "  failed:      1 well",
        "    B/02: fuse_well: no such level",
        f"      log: {log}",
        "  left out:    2 wells listed by the plate and absent",
        "  left out:    1 well skipped; results/screen/skipped.tsv says why",
        f"Next: remove the cause. The same command then does what is left: {AGAIN}",
    ]


def test_many_failures_are_counted() -> None:
    events = [e for n in range(12) for e in (started(n, "fuse_well", f"B/{n}"), failed(n))]
    found = lines(progress_of(planned(fuse_well=12), *events), replace(NOTHING, present=12))
    assert "  failed:      12 wells" in found
    assert "    and 2 more" in found
    assert sum("its log does not say why" in line for line in found) == 10


def test_an_interrupted_run_says_how_to_continue() -> None:
    progress = progress_of(planned(fuse_well=4), started(1, "fuse_well", "B/01"), finished(1))
    first, *_, last = lines(progress, NOTHING, interrupted=True)
    assert first == "1 of 4 wells done, 1 of them in this run (0:01:15)."
    assert last == f"Stopped. What is done is kept; the same command continues: {AGAIN}"


FLAGGED = ReportedPlate(
    plate="screen",
    verdicts={"bad": 1, "look": 1, "good": 2},
    flagged={"B/03": "misplaced: FOV_1", "B/02": "saturated: FOV_2"},
)
SENTENCE = (
    "2 of 4 wells are flagged: B/03 (misplaced: FOV_1); B/02 (saturated: FOV_2). "
    "results/screen/report.html shows them."
)


def test_flagged_wells_are_named() -> None:
    found = lines(Progress(is_up_to_date=True), replace(NOTHING, verdicts=FLAGGED))
    assert found[-1] == f"  look at:     {SENTENCE}"


def test_flagged_wells_are_named_once() -> None:
    progress = Progress(is_up_to_date=True, warnings=[f"plate screen: {SENTENCE}"])
    assert not any(
        "look at" in line for line in lines(progress, replace(NOTHING, verdicts=FLAGGED))
    )


def test_fields_without_a_measured_place_are_told_once() -> None:
    sentence = "the places of 1 of 8 fields could not be measured (1 too_far)."
    plate = replace(NOTHING, unmeasured=f"plate screen: {sentence}")
    found = lines(Progress(is_up_to_date=True), plate)
    assert found[-1] == f"  look at:     {sentence}"
    told = Progress(is_up_to_date=True, warnings=[plate.unmeasured])
    assert not any("look at" in line for line in lines(told, plate))


def test_fused_wells_that_were_removed_are_named(small_plate: ExamplePlate, tmp_path: Path) -> None:
    """Snakemake finds their receipts, and nothing to do."""
    given = {"plates": {"screen": str(small_plate.path)}, "results": str(tmp_path / "results")}
    config = read_config(given)
    for well in ("B/02", "B/03"):
        (tmp_path / "results" / "screen" / well).mkdir(parents=True)
        (tmp_path / "results" / "screen" / well / "fuse_well.json").touch()
    fused = small_plate.path.with_name(f"{small_plate.path.stem}_fused.zarr")
    (fused / "B" / "02").mkdir(parents=True)
    (plate,) = plate_results(config)
    (told,) = (x for x in lines(Progress(is_up_to_date=True), plate) if "look at" in x)
    assert told.startswith(f"  look at:     fused wells that are not in {fused} any more: B/03. To")
    (fused / "B" / "03").mkdir()
    (plate,) = plate_results(config)
    assert plate.gone == ""


def test_wells_whose_raw_images_are_back_are_named(
    small_plate: ExamplePlate, tmp_path: Path
) -> None:
    """Of a plate that was replaced by a copy, Snakemake finds the receipts, and nothing to do."""
    given = {"plates": {"screen": str(small_plate.path)}, "results": str(tmp_path / "results")}
    config = read_config(given)
    for well in ("B/02", "B/03"):
        (tmp_path / "results" / "screen" / well).mkdir(parents=True)
        (tmp_path / "results" / "screen" / well / "discard_backups.json").touch()
    for image in ("0", "1", "2"):
        apply_registration_to_image(
            zarr_url=str(small_plate.path / "B" / "02" / image),
            registered_roi_table="registered_FOV_ROI_table",
        )
    (plate,) = plate_results(config)
    (told,) = (x for x in lines(Progress(is_up_to_date=True), plate) if "look at" in x)
    assert told.startswith(
        "  look at:     wells that were registered and have raw images now: B/03."
    )
    (tmp_path / "results" / "screen" / "B/03" / "discard_backups.json").unlink()
    (plate,) = plate_results(config)
    assert plate.replaced == ""


def test_results_of_a_plate_are_read_from_disk(small_plate: ExamplePlate, tmp_path: Path) -> None:
    results = tmp_path / "results"
    config = read_config(
        {
            "plates": {"screen": str(small_plate.path)},
            "results": str(results),
            "on_bad_well": "skip",
        }
    )
    folder = results / "screen"
    (plate,) = plate_results(config)
    assert plate == PlateResult("screen", 2, 0, 0, None, folder, None, None)
    folder.mkdir(parents=True)
    (folder / "skipped.tsv").write_text("well\treason\nB/03\tno table\n")
    (folder / "report.html").touch()
    FLAGGED.write(folder / "report_plate.json")
    fused = small_plate.path.with_name(f"{small_plate.path.stem}_fused.zarr")
    fused.mkdir()
    (plate,) = plate_results(config)
    assert plate == PlateResult("screen", 1, 0, 1, FLAGGED, folder, fused, folder / "report.html")


def test_verdicts_of_a_run_without_checks_are_not_told(
    small_plate: ExamplePlate, tmp_path: Path
) -> None:
    config = read_config(
        {
            "plates": {"screen": str(small_plate.path)},
            "results": str(tmp_path),
            "quality": {"enabled": False},
        }
    )
    FLAGGED.write(tmp_path / "screen" / "report_plate.json")
    (plate,) = plate_results(config)
    assert plate.verdicts is None

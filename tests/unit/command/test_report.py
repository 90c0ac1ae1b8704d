"""``platefuse report`` on receipts of wells that were checked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from platefuse.__main__ import main
from platefuse.quality.tables import WELLS
from tests.unit.quality.test_judge import GOOD, checked, reference

WELL_A, WELL_B = "B/02", "B/03"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a plate of two wells, of which one was checked."""
    monkeypatch.chdir(tmp_path)
    wells = [
        {"path": path, "rowIndex": 0, "columnIndex": k} for k, path in enumerate((WELL_A, WELL_B))
    ]
    section = {
        "version": "0.4",
        "rows": [{"name": "B"}],
        "columns": [{"name": "02"}, {"name": "03"}],
        "wells": wells,
    }
    plate = tmp_path / "screen.zarr"
    for well in (WELL_A, WELL_B):
        (plate / well).mkdir(parents=True)
    (plate / ".zgroup").write_text('{"zarr_format": 2}')
    (plate / ".zattrs").write_text(json.dumps({"plate": section}))
    moved = replace(GOOD, median_px=1.4)
    checked(reference(), moved, well=WELL_A).write(f"results/screen/{WELL_A}/check_well.json")
    return tmp_path


def write_config(**quality: object) -> str:
    config = {
        "plates": {"screen": "screen.zarr"},
        "registration": {"enabled": False},
        "quality": quality,
    }
    Path("screen.yaml").write_text(yaml.safe_dump(config))
    return "screen.yaml"


def test_the_report_of_the_wells_so_far(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", write_config()]) == 0

    printed = capsys.readouterr().out
    assert "plate screen: 1 bad. The report is results/screen/report.html." in printed
    assert "B/02 (misplaced: field FOV_1 of acquisition 1 (1.4 px))" in printed
    assert "B/02" in (folder / "results/screen/report.html").read_text()


def test_wells_of_other_runs_are_reported_the_bad_ones_first(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = replace(GOOD, kept=0.1)
    for well, own in ((WELL_A, cut), (WELL_B, replace(GOOD, median_px=3.0))):
        receipt = f"results/screen/{well}/check_well.json"
        checked(reference(), own, well=well).write(receipt)

    assert main(["report", write_config()]) == 0

    printed = capsys.readouterr().out
    assert "plate screen: 1 bad, 1 look." in printed
    assert printed.index("B/03 (misplaced") < printed.index("B/02 (cut")


def test_other_thresholds_in_another_folder(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", write_config(max_residual=2.0), "--output", "look"]) == 0

    assert "1 good" in capsys.readouterr().out
    assert "good" in (folder / "look/screen" / WELLS).read_text()
    assert not (folder / "results/screen/report.html").exists()


def test_no_checked_well_is_an_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / f"results/screen/{WELL_A}/check_well.json").unlink()
    assert main(["report", write_config()]) == 1
    assert "no well of plate screen has been checked" in capsys.readouterr().err

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import platefuse
from platefuse import testing
from platefuse.__main__ import main
from platefuse.command.example import KNOWN_SHIFTS
from platefuse.ngff.metadata import read_attributes
from platefuse.ngff.plate import Plate
from platefuse.registration.api import apply_registration_to_image
from platefuse.workflow.status import plate_status
from tests.truth import read_level

CLONE = Path(__file__).parents[2]


def command(*arguments: str, cwd: Path = CLONE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "platefuse", *arguments],
        cwd=cwd, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_help_imports_no_array_library() -> None:
    code = (
        "import sys\nfrom platefuse.__main__ import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "print(sorted({'numpy', 'zarr', 'snakemake', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CLONE, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    for name in ("status", "example"):
        assert name in done.stdout


def test_planning_imports_no_array_library() -> None:
    """What workflow/rules/common.smk imports, in every process of a run."""
    code = (
        "import sys\n"
        "from platefuse.workflow import config, planning, plates, receipts, resources, verdicts, "
        "well_steps\n"
        "print(sorted({'numpy', 'scipy', 'zarr', 'pandas', 'jinja2'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CLONE, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_module_runs_and_says_its_version() -> None:
    done = command("--version")
    assert (done.returncode, done.stdout) == (0, f"platefuse {platefuse.__version__}\n")


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["status"], ["example"]])
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: platefuse" in capsys.readouterr().err


def test_a_missing_config_is_the_only_thing_that_run_misses(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["run"])
    assert capsys.readouterr().err.endswith("arguments are required: config\n")


def test_an_option_in_the_place_of_the_config_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["run", "--cores", "2", "my.yaml"])
    assert end.value.code == 2
    assert "the config comes first, and then --cores" in capsys.readouterr().err


def test_what_is_neither_a_plate_nor_a_config_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["restore", str(tmp_path / "no.zarr")]) == 1
    assert "there is no such plate, and no such config" in capsys.readouterr().err
    assert main(["check", str(tmp_path)]) == 1
    assert "is a folder; expected a config" in capsys.readouterr().err


def test_errors_are_one_line_and_exit_1(tmp_path: Path) -> None:
    done = command("status", str(tmp_path / "none.zarr"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"platefuse: {tmp_path}/none.zarr: no such plate")
    assert done.stderr.count("\n") == 1


def test_errors_of_the_system_are_explained_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["example", str(tmp_path / "file" / "plate.zarr")]) == 1
    assert capsys.readouterr().err.startswith("platefuse: ")


def test_interrupt_exits_with_130(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(testing, "make_plate", interrupted)
    assert main(["example", str(tmp_path / "x.zarr")]) == 130
    assert capsys.readouterr().err == "platefuse: interrupted\n"


def test_example_writes_the_plate_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "my.zarr"
    arguments = [
        "example", str(path), "--wells", "C/07", "--acquisitions", "2", "--field-shape", "64", "80",
    ]  # fmt: skip
    assert main(arguments) == 0
    assert capsys.readouterr().out == f"Wrote the example plate {path}.\n"
    well = Plate.open(path).read_wells()[0]
    assert (well.name, len(well.images)) == ("C/07", 2)
    assert main(arguments) == 1
    assert "exists already" in capsys.readouterr().err


def registered(plate: Path, image: str) -> None:
    apply_registration_to_image(
        zarr_url=str(plate / "B" / "02" / image), registered_roi_table="registered_FOV_ROI_table"
    )


def test_status_is_a_table(small_plate: Any, capsys: pytest.CaptureFixture[str]) -> None:
    registered(small_plate.path, "1")
    assert main(["status", str(small_plate.path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("  ")[-2:] == ["shift y (px)", "shift x (px)"]
    cells = [line.split() for line in lines[1:7]]
    assert cells[1] == ["B/02", "1", "1", "registered", "–", "–", "+3", "-5"]
    assert [c for c in cells if c[3] == "raw"] == [cells[i] for i in (0, 2, 3, 4, 5)]
    assert lines[-1].startswith("6 images in 2 wells: 5 raw, 1 registered. 0 wells fused in ")
    # Columns stand under their heads.
    assert all(line[lines[0].index("state") - 1] == " " for line in lines[1:7])


def test_status_tells_what_cannot_be_read(
    small_plate: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (small_plate.path / "B" / "02" / "1" / ".zattrs").write_text("{")
    (small_plate.path / "B" / "03" / ".zattrs").unlink()
    assert main(["status", str(small_plate.path)]) == 0
    out = capsys.readouterr().out
    assert "unreadable: " in out.splitlines()[2]
    assert "broken JSON" in out.splitlines()[2]
    assert out.splitlines()[4].startswith("B/03")
    assert "1 well cannot be read" in out.splitlines()[-1]


def test_status_as_json(small_plate: Any, capsys: pytest.CaptureFixture[str]) -> None:
    registered(small_plate.path, "2")
    fused = str(small_plate.path.with_name("x.zarr"))
    assert main(["status", str(small_plate.path), "--json", "--fused", fused]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content == json.loads(json.dumps(plate_status(small_plate.path, fused).as_dict()))
    assert content["wells"][0]["images"][2]["state"] == "registered"
    assert content["fused_plate"] == fused


def test_reader_that_goes_away_is_no_error(small_plate: Any) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "platefuse", "status", str(small_plate.path)],
        cwd=CLONE, stdout=writing, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_example_takes_its_options(tmp_path: Path) -> None:
    path = tmp_path / "cli.zarr"
    options = (
        "--wells C/05 --acquisitions 4 --grid 1 2 --field-shape 60 70 --noise-free --fractional"
    )
    assert main(["example", str(path), *options.split()]) == 0
    (well,) = Plate.open(path).read_wells()
    assert well.name == "C/05"
    assert [image.acquisition for image in well.images] == [0, 1, 2, 3]
    assert read_level(well.path / "3").shape == (2, 1, 60, 140)
    assert Plate.open(path).metadata["name"] == "cli"
    known = {"0": [0, 0], "1": [7.3, -12.4], "2": [-4.7, 8.6], "3": [8.3, 4.6]}
    assert read_attributes(well.path / "3")[KNOWN_SHIFTS] == known


def test_example_that_fails_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["example", str(tmp_path / "x.zarr"), "--acquisitions", "0"]) == 1
    assert "expected 1 or more" in capsys.readouterr().err
    assert main(["example", str(tmp_path / "x.zarr"), "--field-shape", "64", "-1"]) == 1
    assert list(tmp_path.iterdir()) == []

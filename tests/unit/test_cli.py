from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import platefuse
from platefuse import demo
from platefuse.cli import main
from platefuse.demo import KNOWN_SHIFTS, Progress, run_demo, run_snakemake, summary
from platefuse.errors import ConfigError, PlatefuseError, RecordError
from platefuse.ngff.plate import Plate
from platefuse.registration.api import apply_registration_to_image
from platefuse.storage.files import write_json
from platefuse.workflow.status import plate_status

CLONE = Path(__file__).parents[2]

SAID = """\
Building DAG of jobs...
Job stats:
job                   count
------------------  -------
register_image            6
total                    24

[Sat Nov 21 11:28:42 2026]
Job 4: demo B/02: registering image 0
[Sat Nov 21 11:28:45 2026]
Finished jobid: 4 (Rule: register_image)
1 of 24 steps (4%) done
Job 8: demo B/02: copying tables of image 0
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def command(*arguments: str, cwd: Path = CLONE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "platefuse", *arguments],
        cwd=cwd, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_help_imports_no_array_library() -> None:
    code = (
        "import sys\nfrom platefuse.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "print(sorted({'numpy', 'zarr', 'snakemake', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CLONE, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    for name in ("demo", "status", "example"):
        assert name in done.stdout


def test_module_runs_and_says_its_version() -> None:
    done = command("--version")
    assert (done.returncode, done.stdout) == (0, f"platefuse {platefuse.__version__}\n")


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["status"], ["example"]])
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: platefuse" in capsys.readouterr().err


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
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(out: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "run_demo", interrupted)
    assert main(["demo"]) == 130
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
    assert "1 wells cannot be read" in out.splitlines()[-1]


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


def test_progress_elsewhere_is_a_line_for_each_job() -> None:
    progress = Progress(io.StringIO())
    for line in SAID.splitlines(keepends=True):
        progress.read(line)
    progress.close()
    assert isinstance(progress.out, io.StringIO)
    assert progress.out.getvalue().splitlines() == [
        " 0 of 24 jobs done; demo B/02: registering image 0",
        " 1 of 24 jobs done; demo B/02: copying tables of image 0",
    ]
    assert not progress.idle


def test_progress_on_a_terminal_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    progress = Progress(Terminal())
    for line in SAID.splitlines(keepends=True):
        progress.read(line)
    progress.read("12 of 24 steps (50%) done\n")
    progress.close()
    assert isinstance(progress.out, Terminal)
    drawn = progress.out.getvalue().split("\r\x1b[2K")
    assert "\n" not in progress.out.getvalue()
    assert drawn[-1] == ""
    assert drawn[-2].startswith("[############............] 12 of 24 jobs done; demo B/02")
    assert max(map(len, drawn)) == 59


def test_progress_knows_when_there_is_nothing_to_do() -> None:
    progress = Progress(io.StringIO())
    progress.read("Nothing to be done (all requested files are present and up to date).\n")
    assert progress.idle


def test_demo_needs_a_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "CLONE", tmp_path)
    with pytest.raises(ConfigError, match="Clone the repository"):
        run_demo(io.StringIO())


def fail_with(monkeypatch: pytest.MonkeyPatch, said: str) -> list[str]:
    commands: list[str] = []

    def watch(command: Sequence[str], progress: Progress) -> int:
        commands.extend(command)
        for line in said.splitlines():
            progress.read(line)
        return 1

    monkeypatch.setattr(demo, "_watch", watch)
    return commands


def test_demo_names_the_way_out_of_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fail_with(monkeypatch, "LockException:\nIt can be removed with the --unlock argument.")
    with pytest.raises(PlatefuseError, match=r"snakemake --configfile \S+ --unlock"):
        run_snakemake([], Progress(io.StringIO()))


def test_demo_shows_what_snakemake_said_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    commands = fail_with(monkeypatch, "Error in rule fuse_well: TableError: no such table")
    with pytest.raises(PlatefuseError, match="TableError: no such table"):
        run_snakemake(["--forceall"], Progress(io.StringIO()))
    assert commands[1:] == ["-m", "snakemake", "--configfile", str(demo.CONFIG), "--forceall"]
    # The demo's plate and no other, whatever config/config.yaml says.
    assert json.loads(demo.CONFIG.read_text()) == {"plates": {"demo": "example/demo.zarr"}}


def test_receipts_of_a_demo_that_was_deleted_do_not_count(
    small_plate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "PLATE", small_plate.path)
    assert demo._options(is_new=True) == []
    assert demo._options(is_new=False) == []
    write_json(demo.RESULTS / "finish_fused_plate.json", {})
    assert demo._options(is_new=True) == ["--forceall"]
    assert demo._options(is_new=False) == ["--forceall"]


def with_known_shifts(plate: Path, known: dict[str, list[float]]) -> None:
    file = plate / "B" / "02" / "0" / ".zattrs"
    write_json(file, {**json.loads(file.read_text()), KNOWN_SHIFTS: known})


def test_summary_holds_the_shifts_against_the_truth(example_plate: Any) -> None:
    small = example_plate().truth.spec
    plate = example_plate(replace(small, wells=("B/02",)), "one.zarr").path
    for image in "012":
        registered(plate, image)
    with_known_shifts(plate, {"0": [0, 0], "1": [3, -5], "2": [-2, 4]})
    rows = [line.split() for line in summary(plate_status(plate))[3:7]]
    assert rows[1:] == [
        ["0", "0", "0", "0", "0"],
        ["1", "+3", "-5", "+3", "-5"],
        ["2", "-2", "+4", "-2", "+4"],
    ]
    with_known_shifts(plate, {"1": [3, -4.98]})
    with pytest.raises(RecordError, match=r"off by \+3 -4\.98 .* moved by \+3 -5"):
        summary(plate_status(plate))


def test_summary_of_a_plate_of_unknown_origin(small_plate: Any) -> None:
    text = "\n".join(summary(plate_status(small_plate.path)))
    assert "unknown" in text
    assert str(small_plate.path) in text


def test_terminated_demo_leaves_no_snakemake_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = tmp_path / "child"
    code = (
        "import os, pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), sys.exit()))\n"
        f"pathlib.Path({str(child)!r}).write_text(str(os.getpid()))\n"
        "print('Job 1: waiting', flush=True)\ntime.sleep(60)"
    )

    class Killer(io.StringIO):
        def write(self, text: str) -> int:
            if "waiting" in text:
                os.kill(os.getpid(), signal.SIGTERM)
            return len(text)

    with pytest.raises(KeyboardInterrupt):
        demo._watch([sys.executable, "-c", code], Progress(Killer()))
    with pytest.raises(ProcessLookupError):
        os.kill(int(child.read_text()), 0)
    assert signal.getsignal(signal.SIGTERM) is not signal.default_int_handler


@pytest.mark.slow
def test_demo_runs_and_runs_again(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    for name in ("platefuse", "workflow", "scripts", "config", "profiles"):
        skip = shutil.ignore_patterns("__pycache__", ".mypy_cache")
        shutil.copytree(CLONE / name, clone / name, ignore=skip)
    for name in ("Snakefile", "environment.yml"):
        shutil.copy(CLONE / name, clone)
    (clone / "config" / "config.yaml").write_text("plates: {mine: not/there.zarr}\n")

    first = command("demo", cwd=clone)
    assert first.returncode == 0, first.stderr
    assert "23 of 24 jobs done" in first.stdout
    assert "Registered and fused in" in first.stdout
    assert "  1            +7 -12  +7 -12\n" in first.stdout
    assert plate_status(clone / "example" / "demo.zarr").complete

    again = command("demo", cwd=clone)
    assert again.returncode == 0, again.stderr
    assert "All is done already." in again.stdout
    assert "jobs done" not in again.stdout

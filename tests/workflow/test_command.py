"""`platefuse run` with real Snakemake: what it shows, how it ends, and that it can be continued."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from platefuse.__main__ import main
from platefuse.storage.locks import claim, shared_folder
from tests.workflow.conftest import CLONE, Folder, fingerprint

RUN = [sys.executable, "-m", "platefuse", "run"]


def environment() -> dict[str, str]:
    """The package of this clone, also in a working directory elsewhere."""
    return {**os.environ, "PYTHONPATH": str(CLONE)}


def run(folder: Folder, *options: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [*RUN, *(options or ("config.yaml",))]
    return subprocess.run(
        command, cwd=cwd or folder.path, env=environment(), capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def assert_told(stderr: str) -> None:
    """Check that each well has its line; which of two at a time ends first is open."""
    found = re.findall(r"^tiny (B/0\d) done \((\d) of 2 wells\)$", stderr, re.MULTILINE)
    assert [number for _, number in found] == ["1", "2"]
    assert sorted(well for well, _ in found) == ["B/02", "B/03"]


@pytest.mark.slow
def test_a_run_from_another_folder(fresh: Folder, tmp_path: Path) -> None:
    """Paths of the config start where the command is typed, wherever the config is."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (fresh.path / "config.yaml").rename(elsewhere / "my.yaml")
    done = run(fresh, "../elsewhere/my.yaml", "--cores", "2")
    assert done.returncode == 0, done.stderr
    fresh.assert_exact()
    out = done.stdout.splitlines()
    assert re.fullmatch(r"2 of 2 wells done, 2 of them in this run \(0:\d\d:\d\d\)\.", out[0])
    assert out[1:] == ["plate tiny:", "  fused plate: tiny_fused.zarr"]
    assert_told(done.stderr)
    log = (fresh.results.parent / "logs" / "snakemake.log").read_text()
    assert f"{CLONE}/profiles/default" in log
    assert "Finished jobid" in log
    again = run(fresh, "../elsewhere/my.yaml")
    assert again.stdout.startswith("2 of 2 wells done, by runs before: nothing was left to do.\n")


def test_a_terminal_gets_a_bar(done: Folder) -> None:
    shutil.rmtree(done.fused)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*RUN, "config.yaml", "--forcerun", "fuse_well"],
        cwd=done.path, env={**environment(), "TERM": "xterm"}, stdout=subprocess.PIPE,
        stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    written = b""
    while True:
        try:
            written += os.read(ours, 1 << 16)
        except OSError:  # the other end is closed
            break
    out, _ = process.communicate()
    assert process.returncode == 0
    assert b"2 of 2 wells done" in out
    os.close(ours)
    lines = written.decode().split("\r\x1b[K")
    assert any(re.match(r"processing \[-+\] 0/2 wells$", line) for line in lines)
    assert any(re.match(r"processing \[#+-+\] 1/2 wells, .* left$", line) for line in lines)
    assert any(re.match(r"processing \[#+\] 2/2 wells, \S+$", line) for line in lines)
    assert lines[-1] == ""  # the last thing that is done with the line is to clear it
    assert b"Job" not in written


def test_wells_of_one_job_are_counted_and_the_report_is_named(fresh: Folder) -> None:
    fresh.configure(workflow={"jobs": "well"}, quality={"enabled": True})
    done = run(fresh, "config.yaml", "--cores", "2")
    assert done.returncode == 0, done.stderr
    out = done.stdout.splitlines()
    assert out[0].startswith("2 of 2 wells done, 2 of them in this run")
    assert out[-1] == "  report:      results/tiny/report.html"
    assert (fresh.results / "report.html").is_file()
    assert_told(done.stderr)
    fresh.assert_exact()


def test_a_failing_well_is_told_and_the_others_are_done(fresh: Folder) -> None:
    fresh.configure(registration={"enabled": False})
    chunks = [p for p in (fresh.plate / "B" / "02" / "1" / "0").rglob("*") if p.is_file()]
    for path in chunks:
        if not path.name.startswith("."):
            path.write_bytes(b"no chunk")
    done = run(fresh, "config.yaml", "--keep-going")
    assert done.returncode == 1
    out = done.stdout.splitlines()
    assert out[0].startswith("1 of 2 wells done, 1 of them in this run")
    assert "  failed:      1 well" in out
    log = "results/logs/tiny/B/02/fuse_well.log"
    assert f"      log: {log}" in out
    assert out[-1] == (
        "Next: remove the cause. The same command then does what is left: "
        "platefuse run config.yaml --keep-going"
    )
    (told,) = (line for line in out if line.startswith("    B/02: fuse_well: "))
    reason = told.removeprefix("    B/02: fuse_well: ")
    assert reason in (fresh.path / log).read_text()
    assert f"tiny B/02: fuse_well failed: {reason} ({log})" in done.stderr.splitlines()
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "plates:\n  tiny: tiny.zarr\nregistration: store: false\n",
            "config.yaml, line 3, column 20: mapping values are not allowed here\n"
            "  registration: store: false\n                     ^\n",
        ),
        ("plates:\n  tiny: tiny.zarr\nfusions: {}\n", "has unknown keys ['fusions']"),
        ("plates:\n  tiny: none.zarr\n", "none.zarr: no such plate"),
    ],
    ids=["YAML", "key", "plate"],
)
def test_a_wrong_config_is_one_message(fresh: Folder, text: str, message: str) -> None:
    before = fingerprint(fresh.plate)
    (fresh.path / "config.yaml").write_text(text)
    done = run(fresh)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("platefuse: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "common.smk" not in done.stderr
    assert fingerprint(fresh.plate) == before


def test_what_stops_a_run_before_its_first_job_is_one_message(fresh: Folder) -> None:
    fresh.configure(registration={"roi_table": "missing_table"})
    done = run(fresh)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("platefuse: 2 of 2 wells of plate tiny cannot be processed")
    assert done.stderr.count("\n") == 3


@pytest.mark.slow
def test_options_of_snakemake(fresh: Folder) -> None:
    wrong = run(fresh, "config.yaml", "--nonsense")
    assert wrong.returncode == 2
    assert wrong.stderr == (
        "platefuse: snakemake: error: unrecognized arguments: --nonsense. "
        "`snakemake --help` lists its options.\n"
    )
    dry = run(fresh, "config.yaml", "--dry-run")
    assert dry.returncode == 0
    assert "This was a dry-run" in dry.stdout
    assert not fresh.results.exists()
    touched = run(fresh, "config.yaml", "--touch")
    assert "wells done" not in touched.stdout
    assert "not touched because they don't exist" in touched.stderr
    unlocked = run(fresh, "config.yaml", "--unlock")
    assert unlocked.returncode == 0
    assert "Unlocked working directory." in unlocked.stderr
    changed = run(fresh, "config.yaml", "--config", "results=other", "--until", "register_image")
    assert changed.returncode == 0, changed.stderr
    assert (fresh.path / "other" / "logs" / "snakemake.log").is_file()
    assert not fresh.results.exists()


def hear_signals() -> None:
    """Undo what tests may inherit: `nohup` ignores hangups, and ``&`` in a script interrupts."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def ignore_hangups() -> None:
    hear_signals()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def interrupted(
    folder: Folder,
    when: Callable[[], bool],
    number: int,
    first: Callable[[], object] = hear_signals,
) -> subprocess.CompletedProcess[str]:
    process = subprocess.Popen(
        [*RUN, "config.yaml"], cwd=folder.path, env=environment(), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, preexec_fn=first,
    )  # fmt: skip
    while process.poll() is None and not when():
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_says_so_in_a_line_and_continues(fresh: Folder, number: int) -> None:
    log = fresh.results.parent / "logs" / "tiny" / "B" / "02" / "1" / "register_image.log"
    stopped = interrupted(fresh, log.exists, number)
    assert stopped.returncode != 0
    assert stopped.stderr.splitlines()[0] == (
        "platefuse: stopping; the jobs that are running end first"
    )
    assert "Traceback" not in stopped.stderr + stopped.stdout
    assert stopped.stderr.count("\n") <= 3
    assert stopped.stdout.splitlines()[-1] == (
        "Stopped. What is done is kept; the same command continues: platefuse run config.yaml"
    )
    assert "failed" not in stopped.stdout
    done = run(fresh)
    assert done.returncode == 0, done.stderr
    fresh.assert_exact()


@pytest.mark.slow
def test_a_closed_terminal_ends_a_run_in_order(fresh: Folder) -> None:
    """Nothing can be written to it any more."""
    terminal, end = pty.openpty()
    own_terminal = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    command = f"{own_terminal}os.execv(sys.executable, {[*RUN, 'config.yaml']!r})"
    process = subprocess.Popen(
        [sys.executable, "-c", command], cwd=fresh.path, env=environment(), stdin=end, stdout=end,
        stderr=end, start_new_session=True, preexec_fn=hear_signals,
    )  # fmt: skip
    os.close(end)
    log = fresh.results.parent / "logs" / "tiny" / "B" / "02" / "1" / "register_image.log"
    while process.poll() is None and not log.exists():
        if select.select([terminal], [], [], 0.02)[0]:
            os.read(terminal, 1 << 16)
    os.close(terminal)
    assert process.wait(120) == 1
    whole = (fresh.results.parent / "logs" / "snakemake.log").read_text()
    assert "Will exit after finishing currently running jobs" in whole
    done = run(fresh)
    assert done.returncode == 0, done.stderr
    fresh.assert_exact()


@pytest.mark.slow
def test_a_run_that_is_to_outlive_its_terminal_does(fresh: Folder) -> None:
    """`nohup` ignores the signal of a closed terminal. What fails afterwards is told as ever."""
    fresh.configure(on_bad_well="skip")
    (fresh.plate / "B" / "03" / "1" / "0" / "0" / "0" / "0" / "0").write_bytes(b"no chunk")
    log = fresh.results.parent / "logs" / "tiny" / "B" / "02" / "1" / "register_image.log"
    ended = interrupted(fresh, log.exists, signal.SIGHUP, ignore_hangups)
    assert "stopping" not in ended.stderr
    assert "1 of 2 wells done" in ended.stdout
    assert "B/03: register_image: " in ended.stdout


@pytest.mark.slow
def test_a_run_that_is_interrupted_before_its_first_job_says_only_that(fresh: Folder) -> None:
    """What Snakemake writes then is a traceback of wherever it was."""
    begun = time.monotonic()
    stopped = interrupted(fresh, lambda: time.monotonic() > begun + 1.5, signal.SIGINT)
    assert stopped.returncode == 130
    assert "Traceback" not in stopped.stderr + stopped.stdout
    assert stopped.stdout in (
        "",  # Snakemake had not been started
        "Stopped before the first job. The same command starts it: platefuse run config.yaml\n",
    )
    assert stopped.stderr.count("\n") == 1
    assert not fresh.results.exists()


def test_a_lock_of_a_killed_run_is_explained(fresh: Folder) -> None:
    locks = fresh.path / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    (locks / "0.output.lock").write_text("results/tiny/finish_fused_plate.json\n")
    done = run(fresh)
    assert done.returncode == 1
    assert "remove its lock: platefuse run config.yaml --unlock" in done.stderr
    root = fresh.path / "tiny.zarr.staging"
    with shared_folder(root), claim(root / ".run.lock", "tiny"):  # the run is not dead
        said = run(fresh).stderr
    assert f"tiny.zarr is used by process {os.getpid()} " in said
    assert "lock" not in said  # Snakemake would tell to remove it
    assert said.count("\n") == 1
    assert run(fresh, "config.yaml", "--unlock").returncode == 0
    assert not list(locks.glob("*.lock"))


def test_a_folder_that_cannot_be_written_is_one_message(
    fresh: Folder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(fresh.path)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != fresh.path)
    assert main(["run", "config.yaml"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("platefuse: The folder .snakemake, where Snakemake keeps locks")
    assert f"{fresh.path} cannot be written to by this user" in err
    assert err.count("\n") == 1


def test_results_that_cannot_be_written_are_one_message(fresh: Folder) -> None:
    """The log of Snakemake is the first that is written, and what the run says comes after."""
    (fresh.path / "results").mkdir()
    (fresh.path / "results" / "logs").touch()
    done = run(fresh)
    assert done.returncode == 1
    assert "Errno" not in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_run_needs_no_home(fresh: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    (fresh.path / "home").touch()  # no folder can be made in it
    monkeypatch.setenv("HOME", str(fresh.path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    fresh.configure(fusion={"enabled": False}, wells={"include": ["B02"]})
    done = run(fresh)
    assert done.returncode == 0, done.stderr


def platefuse(folder: Folder, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "platefuse", *arguments]
    return subprocess.run(
        command, cwd=folder.path, env=environment(), capture_output=True, text=True, check=False
    )


def restore(folder: Folder, *arguments: str) -> subprocess.CompletedProcess[str]:
    return platefuse(folder, "restore", *arguments)


@pytest.mark.slow
def test_originals_are_restored_and_a_run_does_their_wells_again(fresh: Folder) -> None:
    fresh.configure(registration={"keep_originals": True}, fusion={"enabled": False})
    before = fingerprint(fresh.plate)
    fresh.succeed()
    assert fingerprint(fresh.plate) != before
    one = restore(fresh, "config.yaml", "--well", "B03")
    assert one.returncode == 0, one.stderr
    assert one.stdout.startswith("B/03: the originals of the images 0, 1 are back\n")
    assert list((fresh.results / "B" / "02").rglob("*.json"))
    assert not list((fresh.results / "B" / "03").rglob("*.json"))
    fresh.configure(registration={"keep_originals": True}, wells={"exclude": ["B02"]})
    assert "nothing to restore" in restore(fresh, "config.yaml").stdout
    # Without the config, nothing knows where the receipts are: the next run removes them.
    fresh.configure(registration={"keep_originals": True}, fusion={"enabled": False})
    assert restore(fresh, "tiny.zarr").returncode == 0
    assert fingerprint(fresh.plate) == before
    assert list((fresh.results / "B" / "02").rglob("*.json"))
    status = platefuse(fresh, "status", "tiny.zarr").stdout
    assert "4 originals were put back." in status
    assert "nothing to restore" in restore(fresh, "tiny.zarr").stdout
    assert "whose originals were put back after they were done: tiny B/02." in fresh.succeed(
        "--dry-run"
    )
    fresh.configure()
    fresh.succeed()
    fresh.assert_exact()
    assert "put back" not in platefuse(fresh, "status", "tiny.zarr").stdout
    refused = restore(fresh, "tiny.zarr")
    assert refused.returncode == 1
    assert "its original was not kept" in refused.stderr
    fresh.assert_exact()


@pytest.mark.slow
def test_after_staged_images_were_removed_the_same_command_ends_the_run(fresh: Folder) -> None:
    """Receipts say that they are staged. Restoring a plate removes them, and not the receipts."""
    fresh.succeed("--until", "copy_tables")
    said = restore(fresh, "tiny.zarr").stdout
    assert "B/02: the staged images 0, 1 were removed\n" in said
    assert "nothing to restore. The next run stages the removed images again." in said
    assert "images that are not staged any more as they were: tiny B/02, tiny B/03." in (
        fresh.succeed("--dry-run")
    )
    done = run(fresh)
    assert done.returncode == 0, done.stderr
    fresh.assert_exact()


def test_restore_says_what_it_does_not_know(fresh: Folder) -> None:
    wrong = restore(fresh, "config.yaml", "--well", "Z/99")
    assert wrong.returncode == 1
    assert wrong.stderr == (
        "platefuse: The command names 'Z/99', which is no well of the plate. Expected a well "
        "(B03), a row (B), a column (3) or a range of these (B03:D08); its wells are B02, B03.\n"
    )
    locks = fresh.path / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    (locks / "0.output.lock").touch()
    assert "remove its lock" in restore(fresh, "config.yaml").stderr


@pytest.mark.parametrize("given", ["-c0", "--cores=0", "-j0", "--jobs 0", "profile"])
def test_a_run_that_may_use_no_core_stops_at_once(given: str, fresh: Folder) -> None:
    """Snakemake would wait for ever."""
    options = given.split()
    if given == "profile":
        (fresh.path / "mine").mkdir()
        (fresh.path / "mine" / "config.yaml").write_text("cores: 0\n")
        options = ["--workflow-profile", "mine"]
    ended = subprocess.run(
        [*RUN, "config.yaml", *options],
        cwd=fresh.path, env=environment(), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 1
    said = "--jobs is 0" if "j" in given else "--cores is 0"
    assert ended.stderr.endswith("\n")
    assert ended.stderr.splitlines()[-1].startswith(f"platefuse: {said}; expected a whole number")


def test_a_working_directory_that_cannot_be_made_is_told(fresh: Folder) -> None:
    told = run(fresh, "config.yaml", "--directory", "/proc/none")  # also to root
    assert told.returncode == 1
    assert told.stderr.startswith("platefuse: --directory /proc/none: No such file or directory.")

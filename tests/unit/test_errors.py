from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from platefuse.__main__ import main
from platefuse.command import commands
from platefuse.errors import ConfigError, PlatefuseError, SwapError, TableError, one_line, some


@pytest.mark.parametrize("kind", [PlatefuseError, TableError, SwapError, ConfigError])
def test_a_message_ends_with_its_remedy_however_long_the_names_are(
    kind: type[PlatefuseError],
) -> None:
    said = str(kind(f"/plate: the table {'x' * 5000!r} cannot be used. Rename it."))
    assert said.startswith("/plate: the table 'xxx")
    assert said.endswith("xxx' cannot be used. Rename it.")
    assert len(said) < 1500


def test_each_fault_is_a_line_of_its_own() -> None:
    assert str(ConfigError("a", "b" * 5000)).count("\n") == 1


def test_messages_of_others_become_one_line() -> None:
    assert one_line(ValueError("first\n  second")) == "first second"


def test_long_lists_are_cut() -> None:
    assert some(["a", "b"]) == "['a', 'b']"
    assert some(map(str, range(10**5))).endswith("'19'] and 99980 more")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        PlatefuseError("x" * 9999),
        OSError(5, "disk"),
        OSError(36, "File name too long", "x" * 9999),
    ],
)
def test_the_command_ends_with_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> None:
        raise error

    parser = commands.make_parser()
    args = SimpleNamespace(run=fail)
    monkeypatch.setattr(parser, "parse_args", lambda _: args)
    monkeypatch.setattr("platefuse.__main__.make_parser", lambda: parser)
    assert main([]) == 1
    said = capsys.readouterr().err
    assert said.startswith("platefuse: ")
    assert said.count("\n") == 1
    assert len(said) < 1600


JOB = """
import sys
from types import SimpleNamespace
sys.path.insert(0, sys.argv[1])
import _job
from platefuse.errors import PlatefuseError

class Outputs(list):
    def get(self, name, default):
        return default

def work(job):
    raise {error}

snakemake = SimpleNamespace(
    log=["log"], input=[], output=Outputs(["receipt.json"]), wildcards={{}}, params={{}}, threads=1,
    config={{}}, resources={{}},
)
_job.run(work)
"""


@pytest.mark.parametrize(
    "error", ["MemoryError()", "PlatefuseError('x' * 9999)", "OSError(5, 'disk', 'x' * 9999)"]
)
def test_a_job_ends_with_one_line(error: str, tmp_path: Path) -> None:
    scripts = Path(__file__).parents[2] / "scripts"
    command = [sys.executable, "-c", JOB.format(error=error), str(scripts)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(error.partition("(")[0])
    assert done.stderr.count("\n") == 1
    assert len(done.stderr) < 1600
    assert "ERROR" in (tmp_path / "log").read_text()
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert not (tmp_path / "receipt.json").exists()

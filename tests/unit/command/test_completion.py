from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from platefuse.cli import main
from platefuse.command.commands import COMMANDS, make_parser
from platefuse.command.completion import SHELLS, read_parser


@pytest.mark.parametrize("shell", SHELLS)
def test_scripts_have_every_command_and_option(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    _, options = read_parser(make_parser())
    assert set(options) == {command.name for command in COMMANDS}
    for name, own in options.items():
        assert name in script
        for option in own:
            assert option.name.removeprefix("--") in script
    if shutil.which(shell):
        checked = subprocess.run([shell, "-n"], input=script, text=True, check=False)
        assert checked.returncode == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["st"], ["status"]),
        (["ru"], ["run"]),
        (["status", "--f"], ["--fused"]),
        (["run", "my.yaml", "--pro"], ["--profile"]),
        (["completion", "z"], ["zsh"]),
        (["check", "a"], ["a file.yaml", "another.yaml"]),
    ],
)
def test_bash_completes(words: list[str], expected: list[str], tmp_path: Path) -> None:
    for name in ("a file.yaml", "another.yaml"):
        (tmp_path / name).touch()
    commands, options = read_parser(make_parser())
    script = SHELLS["bash"](commands, options)
    line = " ".join(["platefuse", *words])
    script += f"\nCOMP_WORDS=({line}); COMP_CWORD={len(words)}; _platefuse"
    script += '\nprintf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert sorted(done.stdout.splitlines()) == expected


@pytest.mark.parametrize("command", [c.name for c in COMMANDS])
def test_every_help_has_examples_that_are_right(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out.partition("examples:\n")[2].splitlines()
    assert shown
    for line in shown if command != "completion" else ():  # those are for a shell
        words = line.strip().split("   ")[0].split(" > ")[0].split()
        assert words[0] == "platefuse"
        assert make_parser().parse_args(words[1:]).run is not None

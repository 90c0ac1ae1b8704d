from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from platefuse.__main__ import main
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


CASES = [
    (["st"], ["status"]),
    (["ru"], ["run"]),
    (["status", "--f"], ["--fused"]),
    (["run", "my.yaml", "--pro"], ["--profile"]),
    (["completion", "z"], ["zsh"]),
    (["check", "a"], ["a file.yaml", "another.yaml"]),
]

# Types a line and a tab into a zsh on a terminal of its own, and prints what the line is then.
ZSH = """\
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PS1=; source $1; echo re''ady"
zpty -r shell out '*ready*'
zpty -w -n shell "$2"$'\\t'
zpty -w -n shell $'\\x01echo line: \\r'
zpty -r shell out $'*\\nline: *\\n'
print -r -- "$out"
"""


@pytest.mark.parametrize(("words", "expected"), CASES)
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


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
@pytest.mark.parametrize(("words", "expected"), CASES)
def test_fish_completes(words: list[str], expected: list[str], tmp_path: Path) -> None:
    for name in ("a file.yaml", "another.yaml"):
        (tmp_path / name).touch()
    line = " ".join(["platefuse", *words])
    script = SHELLS["fish"](*read_parser(make_parser())) + f"\ncomplete -C '{line}'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    found = [shown.split("\t")[0].replace("\\", "") for shown in done.stdout.splitlines()]
    assert sorted(found) == expected


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
@pytest.mark.parametrize(("words", "expected"), CASES[:-1])
def test_zsh_completes(words: list[str], expected: list[str], tmp_path: Path) -> None:
    script = tmp_path / "completion.zsh"
    script.write_text(SHELLS["zsh"](*read_parser(make_parser())))
    typed = " ".join(["platefuse", *words])
    done = subprocess.run(
        ["zsh", "-f", "-c", ZSH, "zsh", str(script), typed],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    line = done.stdout.splitlines()[-2] if done.stdout.splitlines() else done.stdout
    assert line.split("line: ")[-1].split() == ["platefuse", *words[:-1], *expected]


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

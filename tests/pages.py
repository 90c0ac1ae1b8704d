"""What a documentation page shows: its code blocks, and what runs of them.

An HTML comment before a block says what a test does with it; readers do not see it.

| comment | block |
| --- | --- |
| ``<!-- run -->`` | commands of a shell; they must succeed |
| ``<!-- file: NAME -->`` | the content of a file, which later blocks use |
| ``<!-- not run: WHY -->`` | Python that is not run; all other Python is |
| ``<!-- hidden: COMMANDS -->`` | no block: commands that are run and not shown |
| ``<!-- finished -->`` | no block: the page reads what a run leaves; a test copies it first |
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from platefuse.__main__ import main

CLONE = Path(__file__).parents[1]

FINISHED = "<!-- finished -->"
"""Marks a page that reads the results of a run."""

_STEP = re.compile(
    r"<!-- (?P<marker>run|file|not run|hidden)(?:: (?P<value>.*?))? -->"
    r"|^(?P<indent> *)```(?P<language>\w*)\n(?P<code>.*?)^(?P=indent)```",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Step:
    """Something of a page that is run.

    Attributes
    ----------
    kind : str
        ``shell`` or ``python``: what runs it; ``file``: it is written.
    code : str
        The code or the content.
    line : int
        Where it begins in the page, from 1.
    name : str
        Name of the file.
    """

    kind: Literal["shell", "python", "file"]
    code: str
    line: int
    name: str = ""


def read_steps(page: str) -> list[Step]:
    """What of a page is run, in order.

    Examples
    --------
    >>> read_steps("<!-- run -->\\n```sh\\ntrue\\n```\\n\\n```sh\\nfalse\\n```\\n")
    [Step(kind='shell', code='true\\n', line=3, name='')]
    """
    steps: list[Step] = []
    marker, value = "", ""
    for found in _STEP.finditer(page):
        line = page.count("\n", 0, found.start()) + 1
        if found["marker"] == "hidden":
            steps.append(Step("shell", found["value"], line))
        elif found["marker"]:
            marker, value = found["marker"], found["value"] or ""
        else:
            code, line = textwrap.dedent(found["code"]), line + 1
            if marker == "file":
                steps.append(Step("file", code, line, value))
            elif marker == "run":
                steps.append(Step("shell", code, line))
            elif found["language"] == "python" and marker != "not run":
                steps.append(Step("python", code, line))
            marker = value = ""
    return steps


def run_page(page: Path, folder: Path) -> None:
    """Run a page in a folder, which is the working directory already.

    Python blocks of a page share their names. Raises an error that names the line if one fails.
    """
    names: dict[str, Any] = {"__name__": "page"}
    for step in read_steps(page.read_text(encoding="utf-8")):
        if step.kind == "file":
            (folder / step.name).write_text(step.code, encoding="utf-8")
        elif step.kind == "shell":
            run_shell(step, page, folder)
        else:  # with the page's own lines, so that a traceback shows them
            padded = "\n" * (step.line - 1) + step.code
            exec(compile(padded, str(page), "exec"), names)


def plain_commands(code: str) -> list[list[str]] | None:
    """Arguments of each ``platefuse`` of a step that can run without a shell and a new process.

    Starting Python for each of them would take longer than what most of them do. ``run`` starts
    processes of its own, and is started as a user starts it.

    Examples
    --------
    >>> plain_commands("platefuse init a.zarr\\nplatefuse check a.yaml   # reads\\n")
    [['init', 'a.zarr'], ['check', 'a.yaml']]
    >>> plain_commands("platefuse check a.yaml | grep well\\n")
    """
    lines = [shlex.split(line, comments=True) for line in code.splitlines() if line.strip()]
    plain = all(words[0] == "platefuse" and words[1] != "run" for words in lines if words)
    return None if not plain or set(code) & set("|&;<>$*\\") else [line[1:] for line in lines]


def run_shell(step: Step, page: Path, folder: Path) -> None:
    """Run commands; an error shows what they printed, and names the page and the line."""
    commands = plain_commands(step.code)
    if commands is not None and folder == Path.cwd():
        for words in commands:
            assert main(words) == 0, f"{page}, line {step.line}: platefuse {shlex.join(words)}"
        return
    own = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(CLONE),
    }
    environment = {k: v for k, v in os.environ.items() if k != "SNAKEMAKE_PROFILE"} | own
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", step.code],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, (
        f"{page}, line {step.line}: exit code {done.returncode} of\n{step.code}\n{done.stdout}"
    )

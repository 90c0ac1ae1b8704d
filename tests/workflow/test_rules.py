"""Tests of the form of rules and scripts: directives, outputs and length."""

from __future__ import annotations

import ast
import importlib
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.workflow.conftest import CLONE

SCRIPTS = sorted((CLONE / "scripts").glob("[!_]*.py"))
LOOP = re.compile(r"^for .*:\n((?:    .*\n|\n)+)", re.MULTILINE)
RULE = re.compile(r"^rule (\w+):\n((?:    .*\n|\n)+)", re.MULTILINE)
ORDER = [
    "name", "input", "output", "log", "benchmark", "wildcard_constraints", "priority", "localrule",
    "conda", "threads", "resources", "params", "message", "script",
]  # fmt: skip


def rules() -> dict[str, str]:
    texts = [file.read_text() for file in sorted((CLONE / "workflow" / "rules").glob("*.smk"))]
    plain = [LOOP.sub(lambda loop: textwrap.dedent(loop[1]), text) for text in texts]
    return {name: body for text in plain for name, body in RULE.findall(text)}


def directives(body: str) -> dict[str, str]:
    parts = re.split(r"^    (\w+):", body, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_the_rules_are_those_of_the_design() -> None:
    assert sorted(rules()) == sorted(script.stem for script in SCRIPTS)
    assert set(rules()) == {
        "measure_well", "solve_plate",
        "register_image", "copy_tables", "swap_image", "discard_backups", "publish_registered",
        "fuse_part", "fuse_well", "finish_fused_plate", "process_well",
        "check_well", "report_plate", "accept_plate",
    }  # fmt: skip


@pytest.mark.parametrize("name", rules())
def test_a_rule_is_a_form_filled_in_one_order(name: str) -> None:
    filled = directives(rules()[name])
    assert [key for key in ORDER if key in filled] == list(filled)
    may_lack = {
        "name",
        "wildcard_constraints",
        "input",
        "localrule",
        *(["params"] if name == "accept_plate" else []),
    }
    assert set(ORDER) - set(filled) <= may_lack
    assert '"../../environment.yml"' in filled["conda"]
    assert f'"../../scripts/{name}.py"' in filled["script"]
    assert {"mem_mb", "runtime"} <= set(re.findall(r"(\w+)=", filled["resources"]))
    assert "{wildcards.plate}" in filled["message"]
    for directive, kind, ending in (
        ("output", "results", "json"),
        ("log", "logs", "log"),
        ("benchmark", "benchmarks", "tsv"),
    ):
        path = re.findall(r'"<results>([^"]*(?<!{step}\.))json"', filled["output"])[0]
        assert f'"<{kind}>{path}{ending}"' in filled[directive]


def test_no_rule_has_code_of_its_own() -> None:
    for body in rules().values():
        assert "lambda" not in body
        assert "run:" not in body


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_is_short_and_named_after_its_rule(script: Path) -> None:
    text = script.read_text()
    assert sum(bool(line.strip()) for line in text.splitlines()) <= 30
    assert callable(getattr(importlib.import_module(script.stem), script.stem))
    last: Any = ast.parse(text).body[-1]
    assert ast.unparse(last.test) == "__name__ == '__main__'"
    assert [ast.unparse(line) for line in last.body] == [f"_job.run({script.stem})"]

"""The written reference names what there is."""

from __future__ import annotations

import argparse
import re
from typing import get_args

import pytest

from platefuse.command.commands import COMMANDS, Command
from platefuse.measuring.results import PAIR_COLUMNS
from platefuse.records.places import COLUMNS, FieldStatus
from tests.pages import CLONE

REFERENCE = CLONE / "docs" / "reference"


@pytest.mark.parametrize("command", COMMANDS, ids=[command.name for command in COMMANDS])
def test_every_option_of_a_command_is_described(command: Command) -> None:
    page = (REFERENCE / "command-line.md").read_text(encoding="utf-8")
    sections = re.split(r"^## ", page, flags=re.MULTILINE)
    [own] = [section for section in sections if section.startswith(f"`platefuse {command.name}`")]
    parser = argparse.ArgumentParser(add_help=False)
    command.add_arguments(parser)
    options = [option for action in parser._actions for option in action.option_strings]
    assert not [option for option in options if f"`{option}" not in own]


def test_no_other_command_is_described() -> None:
    page = (REFERENCE / "command-line.md").read_text(encoding="utf-8")
    described = re.findall(r"^## `platefuse (\w+)`", page, re.MULTILINE)
    assert sorted(described) == sorted(command.name for command in COMMANDS)


def test_every_column_and_status_of_the_tables_is_described() -> None:
    page = (REFERENCE / "places.md").read_text(encoding="utf-8")
    fields, pairs = page.split("## `pairs.tsv`")
    assert re.findall(r"^\| `(\w+)`", fields, re.MULTILINE) == [*COLUMNS, *get_args(FieldStatus)]
    assert re.findall(r"^\| `(\w+)`", pairs, re.MULTILINE) == list(PAIR_COLUMNS)

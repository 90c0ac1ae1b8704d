"""What a fused plate tells of how it was made: the digest of options, and the command."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pytest

from platefuse import __version__
from platefuse.records import versions
from platefuse.workflow.config.model import read_config
from platefuse.workflow.config.reading import settings_of
from platefuse.workflow.provenance import COMMAND, command, remember_command, result_digest


def digest(**given: Any) -> str:
    return result_digest(settings_of(read_config({"plates": {"a": "a.zarr"}, **given})))


SAME: list[dict[str, Any]] = [
    {"plates": {"other": "/elsewhere/b.zarr"}},
    {"plates": {"a": {"path": "a.zarr", "fusion": {}}}},
    {"results": "r"},
    {"workflow": {"jobs": "step"}},
    {"on_bad_well": "skip"},
    {"wells": {"include": ["B03"]}},
    {"quality": {"enabled": False}},
    {"registration": {"keep_originals": True}},
    {"registration": {"measure": {"max_shift": 30}}},
    {"registration": {"measure": {"max_shift": 30.0}}},
    {"fusion": {"scatter": 3, "output": "f.zarr"}},
    {"fusion": {"blending_widths": {"x": 10.0, "y": 10, "z": 3}}},
]


@pytest.mark.parametrize("given", SAME, ids=str)
def test_what_does_not_decide_the_result_leaves_the_digest(given: dict[str, Any]) -> None:
    assert digest(**given) == digest()


OTHER: list[dict[str, Any]] = [
    {"images": ["0"]},
    {"input": {"layout": "fields"}},
    {"illumination": {"DAPI": {"flat": "flat.tif"}}},
    {"illumination": {"DAPI": {"flat": "flat.tif", "dark": 1}}},
    {"registration": {"enabled": False}},
    {"registration": {"roi_table": "T"}},
    {"registration": {"store": False}},
    {"registration": {"measure": {"max_shift": 31}}},
    {"fusion": {"method": "max"}},
    {"fusion": {"output_spacing": {"y": 0.5, "x": 0.5}}},
]


def test_what_decides_the_result_has_a_digest_of_its_own() -> None:
    digests = {digest(), *(digest(**given) for given in OTHER)}
    assert len(digests) == 1 + len(OTHER)


def test_the_digest_is_that_of_the_plate() -> None:
    own = {"fusion": {"method": "max"}}
    config = read_config({"plates": {"a": "a.zarr", "b": {"path": "b.zarr", **own}}})
    found = {name: result_digest(settings_of(one)) for name, one in config.by_plate.items()}
    assert found == {"a": digest(), "b": digest(**own)}


def test_the_versions_are_those_that_are_installed() -> None:
    found = versions()
    assert found["platefuse"] == __version__
    assert found["numpy"] == version("numpy")
    assert list(found)[:2] == ["platefuse", "numpy"]


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        (["/env/bin/snakemake", "--cores", "2"], "snakemake --cores 2"),
        (["/env/snakemake/__main__.py", "--config", "a=b c"], "snakemake --config 'a=b c'"),
    ],
)
def test_the_command_is_kept_as_it_was_typed(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], kept: str
) -> None:
    monkeypatch.delenv(COMMAND, raising=False)
    assert command() is None
    remember_command(arguments)
    assert command() == kept
    monkeypatch.setenv(COMMAND, "platefuse run my.yaml")
    remember_command(arguments)
    assert command() == "platefuse run my.yaml"

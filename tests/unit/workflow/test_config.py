"""Schema, example config, manual and the core's options say the same about every key."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from platefuse.fusion.options import FusionOptions
from platefuse.registration.request import RegistrationRequest

CLONE = Path(__file__).parents[3]
SCHEMA = yaml.safe_load((CLONE / "workflow" / "schemas" / "config.schema.yaml").read_text())
CONFIG = yaml.safe_load((CLONE / "config" / "config.yaml").read_text())
MANUAL = (CLONE / "config" / "README.md").read_text()

Config = dict[str, Any]


def keys(schema: Config, prefix: str = "") -> Iterator[tuple[str, Config]]:
    for name, part in schema.get("properties", {}).items():
        yield f"{prefix}{name}", part
        yield from keys(part, f"{prefix}{name}.")


KEYS = dict(keys(SCHEMA))
# Of these the manual describes the whole, not the axes one by one.
DESCRIBED = [key for key in KEYS if not re.search(r"\.[zyx]$", key)]


def defaults(schema: Config) -> Any:
    """What a section is when nothing is given: its default, or that of its keys."""
    if schema.get("default", {}) != {}:
        return schema["default"]
    return {name: defaults(part) for name, part in schema.get("properties", {}).items()}


def test_the_example_config_holds_every_key_and_its_default() -> None:
    expected = {name: defaults(part) for name, part in SCHEMA["properties"].items()}
    assert {**expected, "plates": {}} == {**CONFIG, "plates": {}}


def test_the_core_has_the_same_defaults() -> None:
    expected = defaults(SCHEMA["properties"]["fusion"])
    options = dataclasses.asdict(FusionOptions())
    assert options == {name: expected[name] for name in options}
    assert set(expected) - set(options) == {"enabled", "output", "scatter"}
    expected = defaults(SCHEMA["properties"]["registration"])
    request = dataclasses.asdict(RegistrationRequest(expected["roi_table"]))
    assert request == {name: expected[name] for name in request}
    assert set(expected) - set(request) == {"enabled", "keep_originals"}


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_described_and_closed(key: str) -> None:
    part = KEYS[key]
    assert part["description"].endswith(".")
    if "object" in part.get("type", []):
        assert "additionalProperties" in part


def test_the_manual_has_every_key_once_in_the_order_of_the_schema() -> None:
    assert re.findall(r"^#{2,3} `([\w.]+)`$", MANUAL, re.MULTILINE) == DESCRIBED


@pytest.mark.parametrize("key", [key for key in DESCRIBED if "default" in KEYS[key]])
def test_the_manual_gives_the_default(key: str) -> None:
    default = defaults(KEYS[key])
    if "properties" in KEYS[key] and "." not in key:
        return  # a section: its keys have theirs
    section = MANUAL.split(f" `{key}`\n")[1].split("\n#")[0]
    given = re.search(r"\| default \| `(.+?)` \|", section)
    assert given, f"no default for {key}"
    assert yaml.safe_load(given[1]) == default


REFUSED = [
    ("plates", {}),
    ("plates", {"logs": "a.zarr"}),
    ("plates", {"a/b": "a.zarr"}),
    ("plates", {"a": 3}),
    ("results", "a{b}"),
    ("registration.enabled", "no"),
    ("registration.reference_acquisition", "0"),
    ("registration.interpolation", "lanczos"),
    ("fusion.blending_widths", {"c": 1}),
    ("fusion.blending_widths", {"y": -1}),
    ("fusion.output_spacing", {"y": 0}),
    ("fusion.interpolation_order", 2),
    ("fusion.output_chunksize", {"y": 20.5}),
    ("fusion.ngff_version", 0.4),
    ("fusion.shards", {"y": 4096, "x": 4096}),  # with the 0.4 of the defaults
    ("fusion.merge_labels", 0),
    ("fusion.merge_labels", 1.5),
    ("fusion.merge_labels", True),
    ("fusion.scatter", 0),
    ("fusion.output", "s3://bucket/fused.zarr"),
    ("fusion.output", "~/fused.zarr"),
    ("fusion.tile_tabel", "FOV_ROI_table"),
    ("fusion", None),
    ("unknown", 1),
]


@pytest.mark.parametrize(("key", "value"), REFUSED, ids=str)
def test_refused(key: str, value: object) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(changed(key, value), SCHEMA)


ACCEPTED = [
    ("plates", {"a_b": "/data/a b.zarr", "B-2.1": "b.zarr"}),
    ("registration.interpolation", "cubic"),
    ("fusion.blending_widths", {"y": 0, "x": 2.5}),
    ("fusion.output_spacing", {"y": 0.65, "x": 0.65}),
    ("fusion.weights", "content_based"),
    ("fusion.merge_labels", 1),
    ("fusion.output", "fused/all.zarr"),
    ("fusion.output", "fused~/all:1.zarr"),
]


@pytest.mark.parametrize(("key", "value"), ACCEPTED, ids=str)
def test_accepted(key: str, value: object) -> None:
    jsonschema.validate(changed(key, value), SCHEMA)


def changed(key: str, value: object) -> Config:
    config: Config = yaml.safe_load((CLONE / "config" / "config.yaml").read_text())
    *sections, last = key.split(".")
    section = config
    for name in sections:
        section = section[name]
    section[last] = value
    return config

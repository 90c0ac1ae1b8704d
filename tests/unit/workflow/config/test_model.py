"""The config: what is read and refused, and that schema, example and manual are current."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from platefuse.errors import ConfigError
from platefuse.fusion.options import FusionOptions
from platefuse.registration.request import RegistrationRequest
from platefuse.workflow.config.files import files
from platefuse.workflow.config.model import Config, read_config

CLONE = Path(__file__).parents[4]
SCHEMA = yaml.safe_load((CLONE / "workflow" / "schemas" / "config.schema.yaml").read_text())
CONFIG = yaml.safe_load((CLONE / "config" / "config.yaml").read_text())
MANUAL = (CLONE / "config" / "README.md").read_text()

Json = dict[str, Any]


def keys(schema: Json, prefix: str = "") -> Iterator[tuple[str, Json]]:
    for name, part in schema.get("properties", {}).items():
        yield f"{prefix}{name}", part
        yield from keys(part, f"{prefix}{name}.")


KEYS = dict(keys(SCHEMA))
# Of these the manual describes the whole, not the axes one by one.
DESCRIBED = [key for key in KEYS if not re.search(r"\.[zyx]$", key)]


def defaults(schema: Json) -> Any:
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
    rest = {"enabled", "store", "keep_originals", "verify", "measure"}
    assert set(expected) - set(request) == rest


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_described_and_closed(key: str) -> None:
    part = KEYS[key]
    assert part["description"].endswith(".")
    if "object" in part.get("type", []):
        assert "additionalProperties" in part


def test_the_manual_has_every_key_once_in_the_order_of_the_schema() -> None:
    assert re.findall(r"^#{2,3} `([\w.]+)`$", MANUAL, re.MULTILINE) == DESCRIBED


@pytest.mark.parametrize("name", files(CLONE), ids=lambda path: path.name)
def test_schema_example_and_manual_are_current(name: Path) -> None:
    assert name.read_text() == files(CLONE)[name], "type `make config`"


SECTIONS = {
    "wells",
    "input",
    "registration",
    "registration.measure",
    "fusion",
    "quality",
    "workflow",
}


@pytest.mark.parametrize("key", [key for key in DESCRIBED if "default" in KEYS[key]])
def test_the_manual_gives_the_default(key: str) -> None:
    if "properties" in KEYS[key] and key in SECTIONS:
        return  # its keys have their own defaults
    row = next(line for line in MANUAL.splitlines() if line.startswith(f"| [`{key}`](#"))
    assert yaml.safe_load(row.split(" | ")[2].strip("`")) == defaults(KEYS[key])


REFUSED = [
    ("plates", {}),
    ("plates", {"logs": "a.zarr"}),
    ("plates", {"a/b": "a.zarr"}),
    ("plates", {"a": 3}),
    ("results", "a{b}"),
    ("results", "a\0b"),
    ("results", "a\nb"),
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
    ("fusion.output", "~"),
    ("fusion.output", "None"),
    ("fusion.output", "NULL"),
    ("results", "none"),
    ("input.positions", "null"),
    ("plates", {"a": "None"}),
    ("illumination", {"DAPI": {"flat": "flat.tif", "dark": "None"}}),
    ("fusion.tile_tabel", "FOV_ROI_table"),
    ("fusion", None),
    ("illumination", {}),
    ("illumination", ["flat.tif"]),
    ("illumination", {"DAPI": "flat.tif"}),
    ("illumination", {"DAPI": {"dark": 100}}),
    ("illumination", {"DAPI": {"flat": "flat.tif", "drak": 100}}),
    ("illumination", {"DAPI": {"flat": 1.0}}),
    ("illumination", {"DAPI": {"flat": "~/flat.tif"}}),
    ("illumination", {"DAPI": {"flat": "flat {x}.tif"}}),
    ("illumination", {"DAPI": {"flat": "flat.tif", "dark": "<dark>.tif"}}),
    ("input", {"positions": "{p}.tsv"}),
    ("illumination", {"DAPI": {"flat": "flat.tif", "dark": -1}}),
    ("illumination", {"DAPI": {"flat": "flat.tif", "dark": ""}}),
    ("unknown", 1),
]


@pytest.mark.parametrize(("key", "value"), REFUSED, ids=str)
def test_refused(key: str, value: object) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(changed(key, value), SCHEMA)
    section = key.rpartition(".")[0]
    with pytest.raises(ConfigError, match=rf"^config\.{key}[ .]|^config\.?{section} has unknown"):
        read_config(changed(key, value))


ACCEPTED = [
    ("plates", {"a_b": "/data/a b.zarr", "B-2.1": "b.zarr"}),
    ("registration.interpolation", "cubic"),
    ("fusion.blending_widths", {"y": 0, "x": 2.5}),
    ("fusion.output_spacing", {"y": 0.65, "x": 0.65}),
    ("fusion.weights", "content_based"),
    ("fusion.merge_labels", 1),
    ("fusion.output", "fused/all.zarr"),
    ("fusion.output", "fused~/all:1.zarr"),
    ("fusion.output", "./None"),
    ("fusion.output", "None.zarr"),
    ("results", "nonetheless"),
    ("illumination", None),
    ("illumination", {"DAPI": {"flat": "flat.tif"}, "A01": {"flat": "f.zarr", "dark": 99.5}}),
    ("illumination", {"DAPI": {"flat": "flat.tif", "dark": "dark.tif"}}),
]


@pytest.mark.parametrize(("key", "value"), ACCEPTED, ids=str)
def test_accepted(key: str, value: object) -> None:
    jsonschema.validate(changed(key, value), SCHEMA)
    config = read_config(changed(key, value))
    *sections, name = key.split(".")
    part: Any = getattr(config, sections[0]) if sections else config
    inner = getattr(part, "request", getattr(part, "options", part))
    assert getattr(part if hasattr(part, name) else inner, name) in (
        value,
        {"z": 3, **dict_(value)},
    )


def dict_(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def faults(config: object, file: Path | None = None) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as error:
        read_config(config, [] if file is None else [file])  # type: ignore[arg-type]
    return error.value.args


def test_a_config_of_plates_alone_has_every_default() -> None:
    config = read_config({"plates": {"a": "b.zarr"}})
    assert config == Config(plates={"a": "b.zarr"})
    assert (config.results, config.images, config.fusion.scatter) == ("results", None, 1)
    assert (config.registration.enabled, config.registration.keep_originals) == (True, False)
    assert config.registration.request == RegistrationRequest("registered_FOV_ROI_table")
    assert config.fusion.options == FusionOptions()
    read = read_config(yaml.safe_load((CLONE / "config" / "config.yaml").read_text()))
    assert read == Config(plates={"demo": "example/demo.zarr"})


def test_whole_numbers_may_have_a_point() -> None:
    given = {"plates": {"a": "b"}, "fusion": {"scatter": 2.0, "output_chunksize": {"y": 64.0}}}
    fusion = read_config(given).fusion
    assert repr(fusion.scatter) == "2"
    assert repr(fusion.options.output_chunksize) == "{'z': 1, 'y': 64, 'x': 2048}"


def test_all_faults_are_told_at_once() -> None:
    told = faults(
        {
            "plates": {20240101: "a.zarr", "logs": 3},
            "unknown": 1,
            "registration": {"enabled": None, "interpolation": "lanczos", "foo": 1},
            "fusion": {"scatter": 1001, "ngff_version": 0.4, "output": "~/x"},
        }
    )
    begin = (
        "config has unknown keys ['unknown']; known are plates, results, images, wells, ",
        "config.registration has unknown keys ['foo']; known are enabled, store, roi_table, ",
        "config.registration.interpolation is 'lanczos'; expected one of ['nearest', 'linear', ",
        "config.registration.enabled is None; expected true or false. ",
        "config.fusion.ngff_version is 0.4; expected one of ['0.4', '0.5']. NGFF version of the ",
        "config.fusion.output is '~/x'; expected the path of a folder on this machine",
        "config.fusion.scatter is 1001; expected a whole number from 1 to 1000. ",
        "config.plates has the name 20240101, which YAML does not read as text. Write it in "
        "quotes: '20240101'.",
        "config.plates has the name 'logs'; expected letters, digits",
        "config.plates.logs is 3; expected the path of a plate",
    )
    assert [fault[: len(b)] for fault, b in zip(told, begin, strict=True)] == list(begin)


def test_keys_that_contradict_each_other_are_told_at_once() -> None:
    off, out = {"enabled": False}, {"enabled": False, "output": "f.zarr"}
    two = {"a": "a.zarr", "b": "b.zarr"}
    told = faults({"plates": two, "registration": off, "fusion": out})
    assert "both false" in told[0]
    assert "config.fusion.output names one plate, 'f.zarr', for the 2" in told[1]
    read_config({"plates": {"a": "a.zarr"}, "registration": off, "fusion": {"output": "f.zarr"}})
    read_config({"plates": two, "fusion": off})


@pytest.mark.parametrize("given", [{}, {"plates": None}, {"plates": []}, {"plates": {}}], ids=str)
def test_plates_are_required(given: Json) -> None:
    assert len(faults(given)) == 1
    assert "expected the name and path of at least one plate" in faults(given)[0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "config.plates is missing or empty; expected"),
        ({"plates": "a:a.zarr"}, "Write a space after the colon."),
        ({"plates": {"a:a.zarr": None}}, "Write a space after the colon."),
        ({"plates": {"a": {"paht": "a.zarr"}}}, "config.plates.a lacks the key path; its keys are"),
        ({"plates": {"a": "b"}, "quality": False}, "on_flag'], here {enabled: false}. Left out"),
        ({"plates": {"a": "b"}, "wells": True}, "'exclude']. Left out"),
        ({"plates": {"a": "b"}, "fuson": {}}, "For 'fuson' write 'fusion', if that was meant."),
        (
            {"plates": {"a": "b"}, "store": False},
            "workflow. 'store' is a key of config.registration: move it there; indentation tells "
            "the section.",
        ),
        (
            {"plates": {"a": "b"}, "fusion": {"quality": {}}},
            "'quality' is a key of config: move it there; indentation tells the section.",
        ),
        (
            {"plates": {"a": "b"}, "layout": "fields"},
            "'layout' is a key of config.input and of config.fusion: move",
        ),
    ],
    ids=str,
)
def test_usual_slips_are_told_with_what_to_write(given: Json, message: str) -> None:
    assert message in faults(given)[0]


def test_a_config_that_is_no_mapping_is_refused() -> None:
    assert faults(["plates"])[0].startswith("config is ['plates']; expected a mapping")


def test_numbers_that_yaml_reads_as_others_are_told(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(
        "plates: {010: p.zarr}\n"
        "wells:\n  include: [3:8, '3:8', 010, 08, 07, 0, B03:D08, 12]\n"
        "registration: {measure: {max_shift: 0.5, enabled: true}, reference_acquisition: 012}\n"
        "illumination: {D: {flat: f.tif, dark: 1_0}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        read_config(yaml.safe_load(file.read_text()), [file])
    told = [
        re.findall(r"line (\d+): YAML takes (\S+) for the number (\S+)\.", fault)
        for fault in map(str, caught.value.args)
    ]
    assert sorted(found[0] for found in told if found) == [
        ("1", "010", "8"), ("3", "010", "8"), ("3", "3:8", "188"), ("4", "012", "10"),
    ]  # fmt: skip


def test_keys_that_occur_twice_are_told_with_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "plates: {a: b, a: c}\nfusion:\n  scatter: 0\n  scatter: 0\nimages: [{x: 1, x: 2}]\n"
    )
    told = faults(yaml.safe_load(file.read_text()), file)
    assert [fault.split(", and only")[0] for fault in told[:3]] == [
        f"{file}: config.plates.a is in line 1 and again in line 1",
        f"{file}: config.fusion.scatter is in line 3 and again in line 4",
        f"{file}: config.images.x is in line 5 and again in line 5",
    ]
    assert {fault.split(" ")[0] for fault in told[3:]} == {"config.fusion.scatter", "config.images"}


def test_reading_a_config_imports_nothing_that_works_on_pixels() -> None:
    code = (
        "import platefuse.workflow.plates, platefuse.workflow.resources.jobs, sys\n"
        "heavy = {'scipy', 'zarr', 'pandas', 'dask', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(' '.join(heavy) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def changed(key: str, value: object) -> Json:
    config: Json = yaml.safe_load((CLONE / "config" / "config.yaml").read_text())
    *sections, last = key.split(".")
    section = config
    for name in sections:
        section = section[name]
    section[last] = value
    return config


def test_a_section_without_keys_is_called_empty() -> None:
    """All of its keys are comments: YAML reads null, which is no word of the user's."""
    with pytest.raises(ConfigError, match=r"config.fusion is empty; expected .* its defaults\.$"):
        read_config({"plates": {"a": "a.zarr"}, "fusion": None})

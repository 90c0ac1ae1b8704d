"""Options of one plate over the common ones: merging, places in messages, and what is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from platefuse.errors import ConfigError
from platefuse.workflow.config.model import Config, read_config
from platefuse.workflow.config.own_options import COMMON, located, merged, own_keys
from platefuse.workflow.config.reading import settings_of
from platefuse.workflow.params import Params, params_of
from platefuse.workflow.well_steps import ends_of, kinds_of

SCHEMA = yaml.safe_load(
    (Path(__file__).parents[4] / "workflow" / "schemas" / "config.schema.yaml").read_text()
)
SPACING = {"fusion": {"output_spacing": {"y": 0.5, "x": 0.5}}}


def two(own: dict[str, Any], **common: Any) -> dict[str, Any]:
    """A config of a plate without options of its own and one with them."""
    return {"plates": {"a": "a.zarr", "b": {"path": "b.zarr", **own}}, **common}


def test_a_plate_is_as_if_it_were_alone_with_its_options() -> None:
    common = {"registration": {"store": False, "roi_table": "T"}, "fusion": {"tile_table": "V"}}
    own = {"registration": {"roi_table": "U"}, "fusion": {"weights": "content_based"}}
    config = read_config(two(own, **common))
    assert config.by_plate["a"] == read_config({"plates": {"a": "a.zarr"}, **common})
    alone = {
        "registration": {"store": False, "roi_table": "U"},
        "fusion": {"tile_table": "V", "weights": "content_based"},
    }
    assert config.by_plate["b"] == read_config({"plates": {"b": "b.zarr"}, **alone})
    assert config.paths == {"a": "a.zarr", "b": "b.zarr"}


def test_a_mapping_without_options_is_a_path() -> None:
    config = read_config({"plates": {"a": {"path": "a.zarr"}}})
    assert config.by_plate["a"] == Config(plates={"a": "a.zarr"})


def test_an_option_that_is_a_mapping_is_replaced_as_a_whole() -> None:
    config = read_config(two(SPACING, fusion={"output_spacing": {"z": 2, "y": 1, "x": 1}}))
    assert config.by_plate["b"].fusion.options.output_spacing == {"y": 0.5, "x": 0.5}
    assert config.by_plate["a"].fusion.options.output_spacing == {"z": 2, "y": 1, "x": 1}


def test_a_plate_takes_a_common_option_back() -> None:
    common = {"illumination": {"DAPI": {"flat": "flat.tif"}}, "wells": {"include": ["B"]}}
    own = {"illumination": None, "wells": {"include": None}}
    config = read_config(two(own, **common)).by_plate["b"]
    assert config == Config(plates={"b": "b.zarr"})


def test_a_config_of_one_plate_is_that_of_its_plate() -> None:
    config = read_config(two(SPACING)).by_plate["b"]
    assert config.by_plate == {"b": config}


OPTIONS: dict[str, dict[str, Any]] = {
    "registration": {
        "enabled": st.booleans(),
        "roi_table": st.sampled_from(["T", "U"]),
        "measure": st.fixed_dictionaries({}, optional={"max_shift": st.floats(1, 9)}),
    },
    "quality": {"max_residual": st.floats(1, 9)},
}
SECTIONS = st.fixed_dictionaries(
    {}, optional={name: st.fixed_dictionaries({}, optional=own) for name, own in OPTIONS.items()}
)


@given(common=SECTIONS, own=SECTIONS, over=SECTIONS)
def test_merging_is_associative_and_has_a_neutral_element(
    common: dict[str, Any], own: dict[str, Any], over: dict[str, Any]
) -> None:
    one = merged(Config, merged(Config, common, own), over)
    assert one == merged(Config, common, merged(Config, own, over))
    assert merged(Config, common, {}) == merged(Config, {}, common) == common
    assert merged(Config, common, common) == common


@given(common=SECTIONS, own=SECTIONS)
def test_what_a_plate_gives_is_what_it_has(common: dict[str, Any], own: dict[str, Any]) -> None:
    settings = settings_of(read_config(two(own, **common)).by_plate["b"])
    assert merged(Config, settings, own) == settings


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"fusion": {"method": "sum"}}, "config.plates.b.fusion.method is 'sum'; expected one of"),
    ({"fusion": {"tile_tabel": "T"}}, "config.plates.b.fusion has unknown keys ['tile_tabel']"),
    ({"fusion": None}, "config.plates.b.fusion is empty; expected a mapping"),
    (
        {"registration": {"measure": {"max_shift": 0}}},
        "config.plates.b.registration.measure.max_shift is 0; expected a finite number above 0",
    ),
    ({"fussion": {}}, "config.plates.b has unknown keys ['fussion']; known are path, images,"),
    (
        {"fussion": {}},
        "config.plates.b has unknown keys ['fussion']; known are path, images, wells, input, "
        "illumination, registration, fusion, quality. For 'fussion' write 'fusion', if",
    ),
    ({"path": 3}, "config.plates.b.path is 3; expected the path of a plate"),
    (
        {"workflow": {"jobs": "step"}},
        "config.plates.b.workflow is given for one plate; expected it for all plates alike, as "
        "config.workflow, because it decides how the work of the run is cut into jobs.",
    ),
    ({"results": "r"}, "config.plates.b.results is given for one plate;"),
    ({"on_bad_well": "skip"}, "config.plates.b.on_bad_well is given for one plate;"),
    ({"fusion": {"scatter": 2}}, "config.plates.b.fusion.scatter is given for one plate;"),
    ({"plates": {}}, "config.plates.b has unknown keys ['plates']"),
]


@pytest.mark.parametrize(("own", "message"), REFUSED, ids=str)
def test_refused_with_the_place_of_the_plate(own: dict[str, Any], message: str) -> None:
    given = two(own)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(given, SCHEMA)
    with pytest.raises(ConfigError) as error:
        read_config(given)
    (fault,) = error.value.args
    assert fault.startswith(message)


def test_a_contradiction_names_both_places() -> None:
    given = two({"fusion": {"enabled": False}}, registration={"store": False})
    with pytest.raises(ConfigError) as error:
        read_config(given)
    (fault,) = error.value.args
    assert fault.startswith("config.registration.store and config.plates.b.fusion.enabled are both")


def test_every_fault_of_every_plate_is_told() -> None:
    plates = {
        "a": {"path": "a.zarr", "fusion": {"method": "sum"}},
        "b": {"path": "b.zarr", "quality": {"on_flag": "no"}},
    }
    with pytest.raises(ConfigError) as error:
        read_config({"plates": plates})
    places = [fault.split(" is ")[0] for fault in error.value.args]
    assert places == ["config.plates.a.fusion.method", "config.plates.b.quality.on_flag"]


def test_a_fused_plate_of_its_own() -> None:
    read_config(two({"fusion": {"output": "b_f.zarr"}}, fusion={"output": "a_f.zarr"}))
    with pytest.raises(ConfigError, match=r"config\.fusion\.output names one plate"):
        read_config(two({"images": ["0"]}, fusion={"output": "f.zarr"}))


def test_a_key_that_begins_like_another_keeps_its_place() -> None:
    own = {"registration": {"store": False}}
    for same in ("config.registration.roi_table is 3", "config.fusion.store", "my_config.wells"):
        assert located(same, "b", own) == same


def test_the_schema_accepts_what_is_read() -> None:
    for own in (SPACING, {"images": ["0"]}, {"wells": {"exclude": ["B03"]}, "quality": {}}):
        jsonschema.validate(two(own), SCHEMA)
        read_config(two(own))


def test_each_key_is_common_or_of_a_plate() -> None:
    known = {*own_keys(Config), *(key for key in COMMON if "." not in key), "plates"}
    assert known == set(SCHEMA["properties"])


def test_a_param_is_a_function_only_where_plates_differ() -> None:
    params = Params(read_config(two({"images": ["0"]})))
    assert params["options"] == params_of(read_config({"plates": {"a": "a.zarr"}}))["options"]
    images: Any = params["images"]
    assert images(SimpleNamespace(plate="a")) is None
    assert images(SimpleNamespace(plate="b")) == ["0"]


def test_plates_of_one_kind_share_a_rule() -> None:
    plates: dict[str, Any] = {
        "a.1": "a.zarr",
        "b": {"path": "b.zarr", "registration": {"store": False}},
        "c": {"path": "c.zarr", "images": ["0"]},
    }
    config = read_config({"plates": plates})
    first, second = kinds_of(config)
    assert (first.rule, first.plates, first.pattern) == ("process_well", ["a.1", "c"], r"a\.1|c")
    assert first.last_steps == ("discard_backups", "fuse_well", "check_well")
    assert (second.rule, second.plates) == ("kind2_process_well", ["b"])
    assert second.last_steps == ("fuse_well", "check_well")


def test_the_last_step_of_a_well_depends_on_its_plate() -> None:
    plates: dict[str, Any] = {
        "a": "a.zarr",
        "b": {"path": "b.zarr", "quality": {"enabled": False}},
        "c": {"path": "c.zarr", "fusion": {"enabled": False}},
    }
    ends = ends_of(read_config({"plates": plates}))
    assert ends == {"a": "check_well", "b": "fuse_well", "c": "discard_backups"}


def test_braces_in_a_param_are_no_wildcards() -> None:
    """Snakemake replaces those of a text or a list, and leaves alone what a function returns."""
    config = {
        "plates": {"a": "a.zarr"},
        "images": ["{row}"],
        "fusion": {"output": "{plate}.zarr"},
        "quality": {"channel": "{c}"},
    }
    params = Params(read_config(config))
    wildcards: Any = SimpleNamespace(plate="a", row="B")
    found = {key: params[key] for key in ("images", "output", "channel", "store")}
    given = {key: own(wildcards) for key, own in found.items() if callable(own)}
    assert given == {"images": ["{row}"], "output": "{plate}.zarr", "channel": "{c}"}

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platefuse import __version__
from platefuse.errors import PlateError
from platefuse.records import digest_tree, read_record, stamp, write_receipt, write_record

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)
attributes_ = st.dictionaries(
    st.text(min_size=1, max_size=6).filter(lambda key: key != "platefuse"), json_values, max_size=4
)


def write_group(path: Path, version: str, attributes: dict[str, Any] | None) -> None:
    path.mkdir(parents=True, exist_ok=True)
    if version == "0.5":
        group = {"zarr_format": 3, "node_type": "group", "consolidated_metadata": {}}
        extra = {} if attributes is None else {"attributes": attributes}
        (path / "zarr.json").write_text(json.dumps(group | extra))
        return
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    if attributes is not None:
        (path / ".zattrs").write_text(json.dumps(attributes))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@settings(max_examples=25)
@given(attributes=st.none() | attributes_, record=st.dictionaries(st.text(max_size=4), json_values))
def test_a_record_comes_back_and_foreign_attributes_stay(
    tmp_path_factory: pytest.TempPathFactory,
    version: str,
    attributes: dict[str, Any] | None,
    record: dict[str, Any],
) -> None:
    group = tmp_path_factory.mktemp("group")
    write_group(group, version, attributes)
    assert read_record(group) is None
    for written in ({"old": 1}, record):
        write_record(group, written)
        assert read_record(group) == written
    file = group / ("zarr.json" if version == "0.5" else ".zattrs")
    content = json.loads(file.read_text(encoding="utf-8"))
    if version == "0.5":
        assert "consolidated_metadata" not in content  # it would be of what was there before
        assert content["node_type"] == "group"
        content = content["attributes"]
    assert {k: v for k, v in content.items() if k != "platefuse"} == (attributes or {})


def test_what_is_no_group_has_no_record_and_takes_none(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    assert read_record(tmp_path / "missing") is None
    with pytest.raises(PlateError, match="not a Zarr group; expected"):
        write_record(tmp_path, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("found", [None, 1, "text", [1], True])
def test_what_is_no_object_is_no_record(tmp_path: Path, found: object) -> None:
    write_group(tmp_path, "0.4", {"platefuse": found})
    assert read_record(tmp_path) is None


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_attributes_that_are_no_object_are_an_error(tmp_path: Path, version: str) -> None:
    write_group(tmp_path, version, None)
    file = tmp_path / ("zarr.json" if version == "0.5" else ".zattrs")
    file.write_text('{"attributes": [1, 2]}' if version == "0.5" else "[1, 2]")
    with pytest.raises(PlateError, match="expected a JSON object"):
        read_record(tmp_path)


def test_a_receipt_says_what_was_done_by_which_version_and_when(tmp_path: Path) -> None:
    write_receipt(tmp_path / "results" / "B" / "receipt.json", {"well": "B/03"})
    receipt = json.loads((tmp_path / "results" / "B" / "receipt.json").read_text())
    assert receipt.pop("well") == "B/03"
    assert receipt.pop("platefuse_version") == __version__
    made = datetime.fromisoformat(receipt.pop("time"))
    assert made.tzinfo is not None
    assert not receipt
    assert set(stamp()) == {"platefuse_version", "time"}


def test_a_digest_is_of_names_and_contents(tmp_path: Path) -> None:
    def tree(name: str, **files: str) -> Path:
        for file, text in files.items():
            target = tmp_path / name / file.replace("__", "/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        return tmp_path / name

    same = {digest_tree(tree(name, a="1", b__c="2")) for name in ("one", "two")}
    assert len(same) == 1
    others = {
        digest_tree(tree("renamed", a="1", b__d="2")),
        digest_tree(tree("moved", a="1", bc="2")),
        digest_tree(tree("changed", a="1", b__c="3")),
        digest_tree(tree("swapped", a="2", b__c="1")),
        digest_tree(tree("less", a="1")),
        digest_tree(tree("run_together", a="12")),
    }
    assert len(others) == 6
    assert not others & same

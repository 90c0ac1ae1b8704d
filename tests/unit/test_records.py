from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platefuse import __version__
from platefuse.errors import PlateError, RecordError
from platefuse.geometry import Box
from platefuse.records import (
    FusedImage,
    FusedImageRecord,
    FusedWellRecord,
    FusionReceipt,
    ImageReceipt,
    JobUsage,
    PlateReceipt,
    Receipt,
    Record,
    RegisteredRoi,
    RegistrationIdentity,
    RegistrationRecord,
    WellReceipt,
    digest_json,
    digest_tree,
    forget_record,
)
from tests.records import registration_record, roi

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


STAMP = {"platefuse_version": "0.1.0", "time": "2026-11-01T10:20:30+00:00"}
REGISTRATION = {
    **STAMP,
    "request": {
        "roi_table": "registered_FOV_ROI_table",
        "reference_acquisition": 0,
        "interpolation": "nearest",
    },
    "reference": "0",
    "digests": {"acquisition_table": "0a", "reference_table": "0b"},
    "axes": "zyx",
    "rois": [
        {
            "name": "FOV_1",
            "shift_px": [0.0, 3.25, -5.0],
            "start_px": [0, 3, 0],
            "size_px": [2, 77, 83],
        }
    ],
    "tables": {
        "FOV_ROI_table": {"from": "reference", "action": "copied", "sha256": "1c"},
        "nuclei": {"from": "image", "action": "moved", "rows_dropped": 0, "sha256": "2d"},
    },
}
IMAGE = {
    **STAMP,
    "sources": ["0", "1"],
    "origin_um": {"z": 0.0, "y": -1.5, "x": 2},
    "tables_left_out": {"nuclei": "ids of the label 'nuclei' have changed"},
}
WELL = {
    **STAMP,
    "wanted": {"options": {"weights": None, "shards": {}}, "sources": {"0": {"files": 3}}},
    "images": {"0": {"shape": [1, 2, 80, 88], "origin_um": {"y": 0.0, "x": 0.5}}},
}
RECORDS: list[tuple[type[Record], str, dict[str, Any]]] = [
    (RegistrationRecord, "registration", REGISTRATION),
    (RegistrationRecord, "registration", {k: v for k, v in REGISTRATION.items() if k != "tables"}),
    (RegistrationRecord, "registration", {**REGISTRATION, "tables": {}, "rois": []}),
    (FusedImageRecord, "fusion", IMAGE),
    (FusedWellRecord, "fusion", WELL),
]
"""As version 0.1.0 writes them."""


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(("kind", "section", "content"), RECORDS)
@settings(max_examples=5)
@given(attributes=st.none() | attributes_)
def test_a_record_is_written_as_it_was_read_and_foreign_attributes_stay(
    tmp_path_factory: pytest.TempPathFactory,
    version: str,
    kind: type[Record],
    section: str,
    content: dict[str, Any],
    attributes: dict[str, Any] | None,
) -> None:
    one, other = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("other")
    write_group(one, version, {**(attributes or {}), "platefuse": {section: content}})
    write_group(other, version, attributes)
    assert kind.read(other) is None
    record = kind.read(one)
    assert record is not None
    record.write(one)
    record.write(other)
    file = "zarr.json" if version == "0.5" else ".zattrs"
    text = (one / file).read_text(encoding="utf-8")
    assert (other / file).read_text(encoding="utf-8") == text
    found = json.loads(text)
    if version == "0.5":
        assert "consolidated_metadata" not in found  # it would be of what was there before
        assert found["node_type"] == "group"
        found = found["attributes"]
    # As text: the order of the keys counts, and whether a number is whole.
    expected = {**(attributes or {}), "platefuse": {section: content}}
    assert json.dumps(found) == json.dumps(expected)
    assert kind.read(other) == record


def test_registration_record_is_read_key_by_key(tmp_path: Path) -> None:
    write_group(tmp_path, "0.4", {"platefuse": {"registration": REGISTRATION}})
    record = RegistrationRecord.read(tmp_path)
    assert record is not None
    assert (record.platefuse_version, record.time) == tuple(STAMP.values())
    assert record.request == RegistrationIdentity("registered_FOV_ROI_table", 0, "nearest")
    assert str(record.request) == (
        "roi_table='registered_FOV_ROI_table', reference_acquisition=0, interpolation='nearest'"
    )
    assert (record.digests.acquisition_table, record.digests.reference_table) == ("0a", "0b")
    assert record.rois == (RegisteredRoi("FOV_1", (0, 3.25, -5), (0, 3, 0), (2, 77, 83)),)
    assert record.rois[0].box == Box((0, 3, 0), (2, 80, 83))
    assert record.rois[0].offset_px == (0, 3, -5)
    assert record.rois[0].source_box == Box((0, 0, 5), (2, 77, 88))
    tables = record.tables or {}
    assert [(t.origin, t.action, t.rows_dropped) for t in tables.values()] == [
        ("reference", "copied", None),
        ("image", "moved", 0),
    ]


def test_fused_well_record_keeps_the_fingerprint_as_it_is(tmp_path: Path) -> None:
    write_group(tmp_path, "0.4", {"platefuse": {"fusion": WELL}})
    record = FusedWellRecord.read(tmp_path)
    assert record is not None
    assert record.fingerprint == WELL["wanted"]
    assert record.images == {"0": FusedImage((1, 2, 80, 88), {"y": 0.0, "x": 0.5})}


def test_registration_is_complete_when_its_tables_are_copied() -> None:
    assert not registration_record().complete
    assert registration_record(tables={}).complete


def test_group_without_our_key_or_section_has_no_record(tmp_path: Path) -> None:
    attributes: dict[str, Any] | None
    for attributes in (None, {}, {"platefuse": {}}, {"platefuse": {"fusion": WELL}}):
        write_group(tmp_path, "0.4", attributes)
        assert RegistrationRecord.read(tmp_path) is None
    assert FusedWellRecord.read(tmp_path) is not None
    assert FusedWellRecord.read(tmp_path / "missing") is None


def test_folder_that_is_no_group_takes_no_record(tmp_path: Path) -> None:
    assert RegistrationRecord.read(tmp_path) is None
    with pytest.raises(PlateError, match=r"not a Zarr group; expected a file"):
        registration_record().write(tmp_path)
    assert not list(tmp_path.iterdir())


def changed(*path: str | int, value: Any = ...) -> Callable[[dict[str, Any]], None]:
    """Change one value of a record, or remove its key."""

    def change(content: Any) -> None:
        for key in path[:-1]:
            content = content[key]
        if value is ...:
            del content[path[-1]]
        else:
            content[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (changed("registration", value=3), "`platefuse.registration` is 3, expected an object"),
        (changed("registration", value=None), "`platefuse.registration` is None, expected an obj"),
        *(
            (changed("registration", key), f"`platefuse.registration.{key}` is missing")
            for key in REGISTRATION
            if key != "tables"
        ),
        (
            changed("registration", "tables", value=[]),
            "registration.tables` is \\[\\], expected an",
        ),
        (changed("registration", "tables", value=None), "tables` is None, expected an object"),
        (
            changed("registration", "tables", "nuclei", "from", value="x"),
            "from` is 'x', expected one",
        ),
        (changed("registration", "tables", "nuclei", "sha256"), "tables.nuclei.sha256` is missing"),
        (changed("registration", "rois", value={}), "rois` is {}, expected a list"),
        (
            changed("registration", "rois", 0, "start_px", 1, value=1.5),
            r"start_px\[1\]` is 1.5, ex",
        ),
        (changed("registration", "rois", 0, "size_px", 1, value=True), "is True, expected an int"),
        (changed("registration", "rois", 0, "shift_px", 1, value=True), "True, expected a finite"),
        (
            changed("registration", "rois", 0, "shift_px", 1, value=float("nan")),
            r"rois\[0\].shift_px\[1\]` is nan, expected a finite number",
        ),
        (
            changed("registration", "rois", 0, "shift_px", value=[1.0, 2.0]),
            "ROI 'FOV_1' has .*; expected 3, one for each of the axes 'zyx'",
        ),
        (changed("registration", "axes", value="yx"), "ROI 'FOV_1' has .*; expected 2"),
        (changed("registration", "request", "interpolation", value=1), "is 1, expected a string"),
        (
            changed("registration", "request", "reference_acquisition", value="0"),
            "'0', expected an",
        ),
    ],
)
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_damage_is_an_error_that_names_file_key_got_and_expected(
    tmp_path: Path, version: str, damage: Callable[[dict[str, Any]], None], said: str
) -> None:
    record = json.loads(json.dumps({"registration": REGISTRATION}))
    damage(record)
    write_group(tmp_path, version, {"platefuse": record})
    file = "zarr.json" if version == "0.5" else ".zattrs"
    begin = f"^{tmp_path / file}: the record of the registration is damaged: .*"
    with pytest.raises(RecordError, match=f"{begin}{said}.*: restore the image"):
        RegistrationRecord.read(tmp_path)


@pytest.mark.parametrize("found", [None, 1, "text", [1], True])
@pytest.mark.parametrize("kind", [RegistrationRecord, FusedImageRecord, FusedWellRecord])
def test_record_that_is_no_object_is_damaged(
    tmp_path: Path, kind: type[Record], found: object
) -> None:
    write_group(tmp_path, "0.4", {"platefuse": found})
    with pytest.raises(RecordError, match=r"is damaged: `platefuse` is .*, expected an object"):
        kind.read(tmp_path)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_attributes_that_are_no_object_are_an_error(tmp_path: Path, version: str) -> None:
    write_group(tmp_path, version, None)
    file = tmp_path / ("zarr.json" if version == "0.5" else ".zattrs")
    file.write_text('{"attributes": [1, 2]}' if version == "0.5" else "[1, 2]")
    with pytest.raises(PlateError, match="expected a JSON object"):
        RegistrationRecord.read(tmp_path)


def test_a_new_record_tells_version_and_time() -> None:
    record = registration_record()
    assert record.platefuse_version == __version__
    assert datetime.fromisoformat(record.time).tzinfo is not None
    assert "." not in record.time


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("found", [{"registration": REGISTRATION}, [1], None])
def test_copied_group_forgets_record_and_consolidated_metadata(
    tmp_path: Path, version: str, found: object
) -> None:
    write_group(tmp_path, version, {"mine": 1, "platefuse": found})
    forget_record(tmp_path)
    file = tmp_path / ("zarr.json" if version == "0.5" else ".zattrs")
    content = json.loads(file.read_text())
    assert "consolidated_metadata" not in content
    assert content.get("attributes", content) == {"mine": 1}


def test_group_with_nothing_to_forget_is_not_rewritten(tmp_path: Path) -> None:
    write_group(tmp_path, "0.4", {"mine": 1})
    before = (tmp_path / ".zattrs").stat().st_mtime_ns, (tmp_path / ".zattrs").read_bytes()
    forget_record(tmp_path)
    assert (
        (tmp_path / ".zattrs").stat().st_mtime_ns,
        (tmp_path / ".zattrs").read_bytes(),
    ) == before
    write_group(tmp_path, "0.5", {"mine": 1})
    forget_record(tmp_path)  # it has consolidated metadata
    assert json.loads((tmp_path / "zarr.json").read_text()) == {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {"mine": 1},
    }


RECEIPTS: list[tuple[Receipt, list[str]]] = [
    (
        ImageReceipt(
            well="B/03",
            image="1",
            action="staged",
            record=registration_record(roi()),
            pixels=7,
            seconds=0.5,
        ),
        ["well", "image", "action", "record", "pixels", "seconds"],
    ),
    (
        ImageReceipt(well="B/03", image="1", action="carried", tables={}),
        ["well", "image", "action", "tables"],
    ),
    (
        WellReceipt(well="B/03", images=("0", "1"), backups_kept=()),
        ["well", "images", "backups_kept"],
    ),
    (WellReceipt(well="B/03", images=("0_registered",)), ["well", "images"]),
    (
        FusionReceipt(
            well="B/03",
            fused="f.zarr/B/03",
            action="fused",
            images={"0": FusedImage((4, 5), {"y": 0.0, "x": 1.0})},
            seconds=1.5,
        ),
        ["well", "fused", "action", "images", "seconds"],
    ),
    (
        FusionReceipt(well="B/03", fused="f.zarr/B/03", part=0, of=2, action="fused", seconds=1.5),
        ["well", "fused", "part", "of", "action", "seconds"],
    ),
    (PlateReceipt(fused="f.zarr", wells=("B/03",)), ["fused", "wells"]),
    (
        PlateReceipt(
            fused="f.zarr",
            wells=("B/03",),
            versions={"platefuse": "1"},
            config_digest="0a",
            command="snakemake --cores 2",
        ),
        ["fused", "wells", "versions", "config_digest", "command"],
    ),
]


@pytest.mark.parametrize(("receipt", "keys"), RECEIPTS)
def test_a_receipt_comes_back_and_begins_with_version_and_time(
    tmp_path: Path, receipt: Receipt, keys: list[str]
) -> None:
    path = tmp_path / "results" / "B" / "receipt.json"
    receipt.write(path)
    assert type(receipt).read(path) == receipt
    content = json.loads(path.read_text())
    assert list(content) == ["platefuse_version", "time", *keys]
    assert content["platefuse_version"] == __version__
    assert datetime.fromisoformat(content["time"]).tzinfo is not None


def test_a_receipt_says_what_its_job_used(tmp_path: Path) -> None:
    used = JobUsage(memory_mb=90.5, seconds=2.0, cpu_seconds=3.5, threads=2, asked_mb=120)
    receipt = WellReceipt(well="B/03", images=("0",), used=used)
    receipt.write(tmp_path / "r.json")
    assert WellReceipt.read(tmp_path / "r.json") == receipt
    assert json.loads((tmp_path / "r.json").read_text())["used"] == {
        "memory_mb": 90.5,
        "seconds": 2.0,
        "cpu_seconds": 3.5,
        "threads": 2,
        "asked_mb": 120,
    }


def test_a_receipt_of_an_older_version_does_not_say_it(tmp_path: Path) -> None:
    WellReceipt(well="B/03", images=("0",)).write(tmp_path / "r.json")
    assert "used" not in json.loads((tmp_path / "r.json").read_text())
    assert WellReceipt.read(tmp_path / "r.json").used is None


def test_usage_is_that_of_the_process_and_not_of_the_one_that_started_it() -> None:
    """A process that holds 200 MB starts another, which holds 100 MB for a moment."""
    inner = "import json; from dataclasses import asdict; "
    inner += "from platefuse.records import JobUsage; held = bytearray(10**8); del held; "
    inner += "used = JobUsage.of_this_process(3, asked_mb=5, asked_minutes=2); "
    inner += "print(json.dumps(asdict(used)))"
    outer = "import subprocess, sys; held = bytearray(2 * 10**8); "
    outer += f"print(subprocess.check_output([sys.executable, '-c', {inner!r}], text=True))"
    printed = subprocess.check_output([sys.executable, "-c", outer], text=True)
    used = json.loads(printed)
    assert 100 < used["memory_mb"] < 200
    assert used["seconds"] > 0 < used["cpu_seconds"]
    assert (used["threads"], used["asked_mb"], used["asked_seconds"]) == (3, 5, 120)


def test_damaged_receipt_is_an_error(tmp_path: Path) -> None:
    WellReceipt(well="B/03", images=("0",)).write(tmp_path / "r.json")
    with pytest.raises(
        RecordError, match=r"r.json: the receipt is damaged: .*`receipt.image` is m"
    ):
        ImageReceipt.read(tmp_path / "r.json")


def test_digest_of_json_does_not_depend_on_the_order_of_keys() -> None:
    assert digest_json({"a": 1, "b": [2]}) == digest_json({"b": [2], "a": 1})
    assert digest_json({"a": 1, "b": [2]}) != digest_json({"b": [1], "a": 2})


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

"""A run of two plates with different options ends as two runs of one plate each."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from platefuse.records import versions
from tests.truth import read_level
from tests.workflow.conftest import Folder, fingerprint

OWN: dict[str, Any] = {
    "wells": {"exclude": ["B03"]},
    "registration": {"store": False},
    "fusion": {"method": "max", "output_chunksize": {"z": 1, "y": 64, "x": 64}},
    "quality": {"enabled": True},
}
COMMON = {"registration": {"keep_originals": True}, "quality": {"enabled": False}}


def configure(folder: Folder, plates: Mapping[str, Any], **common: Any) -> None:
    config = {"plates": dict(plates), **COMMON, **common}
    (folder.path / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def pixels(fused: Path) -> dict[str, Any]:
    """All levels of all images of a fused plate by their paths."""
    levels = [p.parent for p in fused.glob("*/*/*/*/.zarray") if p.parent.name.isdigit()]
    images = {level.parent for level in levels}
    return {
        f"{image.relative_to(fused)} {level}": read_level(image, level)
        for image in images
        for level in range(2)
    }


def assert_same(one: Path, other: Path) -> None:
    first, second = pixels(one), pixels(other)
    assert first
    assert first.keys() == second.keys()
    for name, values in first.items():
        assert np.array_equal(values, second[name]), name


def planned(said: str) -> dict[str, int]:
    """Number of jobs of each rule in Snakemake's table."""
    table = said.partition("Job stats:")[2].partition("\n\n")[0]
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}


@pytest.fixture
def three(fresh: Folder) -> Folder:
    """A folder with copies of the plate: `a` and `b` for one run, `one` and `other` for each."""
    for name in ("a", "b", "one", "other"):
        shutil.copytree(fresh.plate, fresh.path / f"{name}.zarr")
    return fresh


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["well", "step"])
def test_two_plates_with_different_options(three: Folder, jobs: str) -> None:
    mode = {"workflow": {"jobs": jobs}}
    plates = {"a": "a.zarr", "b": {"path": "b.zarr", **OWN}}
    configure(three, plates, **mode)
    raw = fingerprint(three.path / "b.zarr")
    three.succeed()
    configure(three, {"one": "one.zarr"}, **mode)
    three.succeed()
    configure(three, {"other": "other.zarr"}, **mode, **{**OWN, "registration": {"store": False}})
    three.succeed()
    assert_same(three.path / "a_fused.zarr", three.path / "one_fused.zarr")
    assert_same(three.path / "b_fused.zarr", three.path / "other_fused.zarr")
    assert fingerprint(three.path / "b.zarr") == raw
    assert not (three.path / "b_fused.zarr/B/03").exists()
    results = three.path / "results"
    records = {
        name: json.loads((three.path / f"{name}_fused.zarr/.zattrs").read_text())["platefuse"]
        for name in ("a", "b", "one", "other")
    }
    for name, record in records.items():
        receipt = json.loads((results / name / "finish_fused_plate.json").read_text())
        assert receipt["versions"] == record["fusion"]["versions"] == versions()
        assert receipt["config_digest"] == record["fusion"]["config_digest"]
        assert receipt["command"].endswith("--cores 2 --configfile config.yaml")
        assert "command" not in record["fusion"]
    digests = {name: record["fusion"]["config_digest"] for name, record in records.items()}
    assert digests["a"] == digests["one"] != digests["b"] == digests["other"]
    assert (results / "b/report.html").is_file()
    assert not (results / "a/report.html").exists()

    configure(three, plates, **mode)
    assert "Nothing to be done" in three.succeed("--dry-run")
    other = {**OWN, "fusion": {**OWN["fusion"], "method": "mean"}}
    configure(three, {"a": "a.zarr", "b": {"path": "b.zarr", **other}}, **mode)
    again = planned(three.succeed("--dry-run"))
    # of plate b only: it has one well, and plate a has two
    well = {"kind2_process_well": 1} if jobs == "well" else {"fuse_well": 1, "check_well": 1}
    assert again == {
        **well,
        "finish_fused_plate": 1,
        "report_plate": 1,
        "all": 1,
        "total": len(well) + 3,
    }
    before = fingerprint(three.path / "a_fused.zarr")
    three.succeed()
    assert fingerprint(three.path / "a_fused.zarr") == before

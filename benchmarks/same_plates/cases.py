"""The cases: what is done to the plates, as configs of the workflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_CHUNKS = {"output_chunksize": {"z": 1, "y": 64, "x": 96}}


@dataclass(frozen=True)
class Case:
    """One run of the workflow.

    Attributes
    ----------
    name : str
        Name of the case, and of its folder.
    registration, fusion : mapping
        Sections of the config.
    start : str
        The case whose plates it starts with; empty: the plates as they were made.
    """

    name: str
    registration: Mapping[str, Any] = field(default_factory=dict)
    fusion: Mapping[str, Any] = field(default_factory=dict)
    start: str = ""


def _register(name: str, **registration: Any) -> Case:
    return Case(f"register {name}", registration, {"enabled": False})


def _fuse(name: str, **fusion: Any) -> Case:
    """Fuse the plates that were registered by whole pixels."""
    fusion = {**_CHUNKS, **fusion}
    return Case(f"fuse {name}", {"enabled": False}, fusion, start="register nearest")


CASES = (
    _register("nearest"),
    _register("linear", interpolation="linear", keep_originals=True),
    Case("register cubic and fuse", {"interpolation": "cubic"}),
    Case(
        "register next to the originals and fuse",
        {"overwrite_input": False},
        {**_CHUNKS, "layout": "stacked"},
    ),
    Case("fuse unregistered", {"enabled": False}, {**_CHUNKS, "merge_labels": 0.3}),
    _fuse("per acquisition"),
    _fuse("stacked", layout="stacked", method="mean"),
    _fuse("scattered", scatter=3),
    _fuse("labels merged", merge_labels=0.5, method="max", output_stack_mode="sample"),
    _fuse("sharded", ngff_version="0.5", shards={"z": 1, "y": 128, "x": 192}),
    _fuse("content-based", weights="content_based"),
    _fuse(
        "resampled",
        output_spacing={"z": 1.5, "y": 0.9, "x": 0.8},
        interpolation_order=3,
        method="first",
    ),
)

"""The two Zarr formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from platefuse.ngff.zarr_format import V2
from platefuse.storage.files import write_json


def test_what_is_a_group_has_its_attributes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between its two files leaves no group, so that the next run writes it again."""

    def write_then_fail(path: Path, content: Any) -> None:
        write_json(path, content)
        raise OSError("no space")

    monkeypatch.setattr("platefuse.ngff.zarr_format.write_json", write_then_fail)
    with pytest.raises(OSError, match="no space"):
        V2.write_group(tmp_path / "B", {})
    assert [file.name for file in (tmp_path / "B").iterdir()] == [".zattrs"]
    monkeypatch.undo()
    V2.write_group(tmp_path / "B", {})
    assert {file.name for file in (tmp_path / "B").iterdir()} == {".zattrs", ".zgroup"}

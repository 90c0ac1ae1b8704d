"""The examples of the README that need no plate run as they are written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).parents[2] / "README.md"


def test_the_examples_with_arrays_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    own = [block for block in blocks if "plate.zarr" not in block]
    assert len(own) == 2  # fuse, stitch
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in own:
        exec(compile(block, str(README), "exec"), names)
    assert (tmp_path / "fused.zarr").is_dir()

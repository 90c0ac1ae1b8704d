"""What a reader sees that holds an array open across a swap; docs/reliability.md says it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from platefuse.storage.files import exchange


def written(path: Path, value: int) -> zarr.Array[Any]:
    array = zarr.create_array(path, shape=(8, 8), chunks=(4, 8), dtype="u2", zarr_format=2)
    array[:] = value
    return array


@pytest.fixture
def live(tmp_path: Path) -> zarr.Array[Any]:
    """The old image, open; the new one is staged."""
    written(tmp_path / "staged", 2)
    return written(tmp_path / "live", 1)


def test_an_open_array_shows_each_chunk_as_it_is_when_it_is_read(
    live: zarr.Array[Any], tmp_path: Path
) -> None:
    before = np.asarray(live[:4])
    if not exchange(tmp_path / "live", tmp_path / "staged"):
        pytest.skip("this filesystem cannot exchange folders")
    assert (before == 1).all()
    assert (np.asarray(live[:]) == 2).all()


def test_in_the_gap_between_two_renames_an_open_array_shows_zeros(
    live: zarr.Array[Any], tmp_path: Path
) -> None:
    (tmp_path / "live").rename(tmp_path / "backup")
    assert (np.asarray(live[:]) == 0).all()
    (tmp_path / "staged").rename(tmp_path / "live")
    assert (np.asarray(live[:]) == 2).all()


def test_an_open_file_of_the_old_image_stays_whole(live: zarr.Array[Any], tmp_path: Path) -> None:
    (chunk,) = (tmp_path / "live").glob("0.0")
    content = chunk.read_bytes()
    with chunk.open("rb") as file:
        first = file.read(4)
        (tmp_path / "live").rename(tmp_path / "backup")
        (tmp_path / "backup" / "0.0").unlink()
        assert first + file.read() == content

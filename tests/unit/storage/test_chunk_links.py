"""Chunks that are links: decoded, never copied as they are, and never taken for empty."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from platefuse.errors import ImageError
from platefuse.geometry import Box
from platefuse.storage.arrays import StoredArray

BOX = Box((0, 0), (4, 4))


def make(path: Path, value: int = 7) -> StoredArray:
    array = zarr.create_array(
        path, shape=(8, 8), chunks=(4, 4), dtype="u2", zarr_format=2, fill_value=0
    )
    if value:
        array[...] = value
    return StoredArray.open(path, mode="r+")


def test_a_chunk_that_is_a_link_is_decoded_and_not_copied(tmp_path: Path) -> None:
    source, target = make(tmp_path / "source"), make(tmp_path / "target", 0)
    chunk = source.chunk_path((0, 0))
    chunk.rename(tmp_path / "elsewhere")
    chunk.symlink_to(tmp_path / "elsewhere")
    assert not source.is_empty((0, 0))
    assert not target.copy_encoded_from(source, BOX, BOX)
    assert not target.chunk_path((0, 0)).exists()
    assert np.all(source.decode(BOX) == 7)
    assert target.copy_encoded_from(source, Box((4, 4), (8, 8)), Box((4, 4), (8, 8)))
    assert np.all(target.decode(Box((4, 4), (8, 8))) == 7)


def test_a_link_that_leads_nowhere_is_no_empty_chunk(tmp_path: Path) -> None:
    source, target = make(tmp_path / "source"), make(tmp_path / "target", 0)
    chunk = source.chunk_path((0, 0))
    chunk.unlink()
    assert source.is_empty((0, 0))
    assert target.copy_encoded_from(source, BOX, BOX)
    chunk.symlink_to(tmp_path / "gone")
    said = f"{chunk} is a link to {tmp_path / 'gone'}, which is not there, so the chunk is lost"
    with pytest.raises(ImageError, match=said):
        source.is_empty((0, 0))
    with pytest.raises(ImageError, match=said):
        target.copy_encoded_from(source, BOX, BOX)

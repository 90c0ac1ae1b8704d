"""Views that cannot be fused: one message says why, and nothing is left behind."""

from __future__ import annotations

from pathlib import Path

import dask.array
import numpy as np
import pytest
import xarray
import zarr

from platefuse import fuse
from platefuse.errors import PlatefuseError, ViewError
from tests.damage import chunk_of, state
from tests.sims import KEY, make_sim


@pytest.fixture
def broken_view(tmp_path: Path) -> xarray.DataArray:
    """A view of a Zarr array of which one chunk is broken."""
    array = zarr.create_array(tmp_path / "source", shape=(20, 24), chunks=(10, 12), dtype="u2")
    array[...] = 1
    chunk_of(tmp_path / "source").write_bytes(b"broken")
    return make_sim(
        dask.array.from_zarr(zarr.open_array(tmp_path / "source", mode="r")),
        "yx",
        origin=[0, 10],
    )


@pytest.mark.parametrize("written", [False, True])
def test_a_broken_chunk_of_a_view_is_named_with_its_view(
    broken_view: xarray.DataArray, tmp_path: Path, written: bool
) -> None:
    sims = [make_sim(np.ones((20, 24), "u2"), "yx"), broken_view]
    before = state(tmp_path)
    url = str(tmp_path / "fused.zarr") if written else None
    with pytest.raises(ViewError, match=r"view 1 cannot be read.*source/c/0/0"):
        fuse(sims, KEY, output_zarr_url=url).compute()
    assert state(tmp_path) == before


def test_an_output_that_exists_is_kept_unless_it_may_be_overwritten(tmp_path: Path) -> None:
    (tmp_path / "fused.zarr").mkdir()
    (tmp_path / "fused.zarr" / "mine").write_text("precious")
    before = state(tmp_path)
    with pytest.raises(PlatefuseError, match=r"fused\.zarr exists already, .* Remove it or choose"):
        fuse(
            [make_sim(np.ones((20, 24), "u2"), "yx")],
            KEY,
            output_zarr_url=str(tmp_path / "fused.zarr"),
            zarr_options={"overwrite": False},
        )
    assert state(tmp_path) == before


def test_of_several_chunks_the_broken_one_is_named(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "source", shape=(20, 24), chunks=(10, 12), dtype="u2")
    array[...] = 1
    (tmp_path / "source" / "c" / "1" / "1").write_bytes(b"broken")
    pixels = dask.array.from_zarr(zarr.open_array(tmp_path / "source", mode="r"))
    with pytest.raises(ViewError, match="source/c/1/1"):
        fuse([make_sim(pixels, "yx")], KEY, output_chunksize=24).compute()

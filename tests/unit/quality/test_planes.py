"""Which plane of a stack is looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from platefuse.measuring.decoded_chunks import DecodedChunks
from platefuse.measuring.field_pixels import LazyArray
from platefuse.quality.planes import Plane, best_plane


def plane_of(folder: Path, contrasts: dict[int, float], **holes: Any) -> Plane:
    """A stack of 7 planes; those with a contrast are noise about 100, all others were not taken."""
    pixels: NDArray[np.float64] = np.zeros((2, 7, 40, 50))
    noise = np.random.default_rng(len(contrasts)).normal(0, 1, pixels.shape[2:])
    for z, contrast in contrasts.items():
        pixels[1, z] = 100 + contrast * noise
    for place in holes.values():
        pixels[1][place] = 0
    path = folder / str(len(list(folder.iterdir())))
    zarr.create_array(path, data=pixels.astype(np.float32), chunks=(1, 1, 40, 50))
    return Plane([LazyArray(path, pixels.shape, DecodedChunks())], (1, 0), 1)


def test_it_is_one_that_all_acquisitions_show(tmp_path: Path) -> None:
    first = plane_of(tmp_path, {0: 9, 1: 1, 2: 1, 3: 3, 4: 2})
    second = plane_of(tmp_path, {2: 1, 3: 2, 4: 1, 5: 1, 6: 9})
    assert best_plane([first]) == 0
    assert best_plane([second]) == 6
    assert best_plane([first, second]) == 3


def test_a_plane_in_which_fields_are_missing_is_not_taken(tmp_path: Path) -> None:
    """The step from a field to nothing is no contrast, and what lies there is not compared."""
    levels = dict.fromkeys(range(7), 2.0) | {4: 2.5}
    one = plane_of(tmp_path, levels, missing=np.s_[:2, :20], more=np.s_[5:, :, 25:])
    assert best_plane([one]) == 4
    few = plane_of(tmp_path, levels | {1: 8.0}, missing=np.s_[:2, :20])
    assert best_plane([few, plane_of(tmp_path, levels)]) == 4


def test_without_contrast_it_is_any_plane(tmp_path: Path) -> None:
    blank = plane_of(tmp_path, {})
    assert best_plane([blank]) == 0
    assert best_plane([blank, plane_of(tmp_path, {2: 1.0})]) == 2
    flat = Plane(blank.levels, (1, 2), None)
    assert best_plane([flat]) == 0
    assert flat.at(5).leading == (1, 2)
    assert blank.at(5).leading == (1, 5)

"""Scales of levels that contradict their shapes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from platefuse.ngff.create import copy_metadata
from platefuse.ngff.image import Multiscale
from platefuse.ngff.metadata import all_attributes
from platefuse.ngff.scales import true_scales, write_true_scales


def image(
    path: Path,
    shapes: Sequence[Sequence[int]],
    scales: Sequence[Sequence[float]],
    common: Sequence[float] | None = None,
) -> Multiscale:
    """An image without pixels, of the axes `zyx`."""
    datasets = [
        {
            "path": str(k),
            "coordinateTransformations": [
                {"type": "scale", "scale": scale},
                {"type": "translation", "translation": [0, 0, 0]},
            ],
        }
        for k, scale in enumerate(scales)
    ]
    axes = [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]
    entry: dict[str, Any] = {"version": "0.4", "axes": axes, "datasets": datasets}
    if common is not None:
        entry["coordinateTransformations"] = [{"type": "scale", "scale": common}]
    for k, shape in enumerate(shapes):
        (path / str(k)).mkdir(parents=True)
        array = {"zarr_format": 2, "shape": shape, "dtype": "<u2", "chunks": shape}
        (path / str(k) / ".zarray").write_text(json.dumps(array))
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    (path / ".zattrs").write_text(json.dumps({"multiscales": [entry, {"name": "b"}], "omero": {}}))
    return Multiscale.read(path)


SHAPES = [(3, 64, 96), (3, 16, 24), (3, 8, 12)]


@pytest.mark.parametrize(
    ("scales", "expected"),
    [
        # as the shapes are
        ([[2, 0.5, 0.5], [2, 2, 2], [2, 4, 4]], [(2, 0.5, 0.5), (2, 2, 2), (2, 4, 4)]),
        # nearly, as with lengths that are odd
        ([[2, 0.5, 0.5], [2, 2.1, 2], [2, 4.1, 4]], [(2, 0.5, 0.5), (2, 2.1, 2), (2, 4.1, 4)]),
        # the first step is 4 and said to be 2: what follows it is wrong, too
        ([[2, 0.5, 0.5], [2, 1, 1], [2, 2, 2]], [(2, 0.5, 0.5), (2, 2, 2), (2, 4, 4)]),
        # the same on one axis, and the last level is right by itself
        ([[2, 0.5, 0.5], [2, 1, 2], [2, 4, 4]], [(2, 0.5, 0.5), (2, 2, 2), (2, 4, 4)]),
        # z does not shrink, and all levels are said to be alike
        ([[2, 0.5, 0.5], [4, 0.5, 0.5], [8, 0.5, 0.5]], [(2, 0.5, 0.5), (2, 2, 2), (2, 4, 4)]),
    ],
)
@pytest.mark.parametrize("common", [None, [1, 0.65, 0.65]])
def test_a_scale_is_what_the_pixels_of_the_level_show(
    tmp_path: Path,
    scales: Sequence[Sequence[float]],
    expected: list[tuple[float, ...]],
    common: Sequence[float] | None,
) -> None:
    source = image(tmp_path / "image", SHAPES, scales, common)
    sizes = common or [1, 1, 1]
    wanted = [tuple(a * b for a, b in zip(scale, sizes, strict=True)) for scale in expected]
    for got, own in zip(true_scales(source), wanted, strict=True):
        assert got == pytest.approx(own)
    target = tmp_path / "copy"
    copy_metadata(source, target)
    before = (target / ".zattrs").read_bytes()
    write_true_scales(source, target)
    copy = Multiscale.read(target)
    for got, own in zip(copy.scales, wanted, strict=True):
        assert got == pytest.approx(own)
    assert true_scales(copy) == copy.scales
    if source.scales == true_scales(source):
        assert (target / ".zattrs").read_bytes() == before
    found: Any = all_attributes(target)
    assert found["omero"] == {}
    assert found["multiscales"][1] == {"name": "b"}
    kinds = [list(t) for t in found["multiscales"][0]["datasets"][1]["coordinateTransformations"]]
    assert kinds == [["type", "scale"], ["type", "translation"]]
    assert found["multiscales"][0].get("coordinateTransformations") == (
        None if common is None else [{"type": "scale", "scale": common}]
    )


def test_an_axis_of_one_pixel_may_have_any_scale(tmp_path: Path) -> None:
    """One pixel is made of one pixel, or of as many as the scale says."""
    source = image(tmp_path, [(1, 8, 8), (1, 4, 4)], [[5, 1, 1], [10, 2, 2]])
    assert true_scales(source) == source.scales

"""Faults of profiles and channels: each is one error before a byte is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from platefuse.errors import PlatefuseError
from platefuse.illumination.correction import Illumination, camera_fields
from platefuse.illumination.profiles import pixels
from platefuse.ngff.image import Multiscale
from platefuse.workflow.planning import check_config
from tests.conftest import PlateFactory
from tests.damage import state, with_attributes
from tests.fused import TINY
from tests.illumination import Array, Profiles

SPEC = replace(TINY, tables=TINY.tables[:3], acquisitions=TINY.acquisitions[:1])
SHAPE = SPEC.field_shape
GOOD = np.ones(SHAPE, np.float32)


def with_pixel(value: float) -> Array:
    plane = GOOD.copy()
    plane[3, 4] = value
    return plane


def config_of(folder: Path, plate: Path, illumination: Any, **keys: Any) -> Path:
    file = folder / "config.yaml"
    given = {"plates": {"p": str(plate)}, "results": str(folder / "results")}
    file.write_text(json.dumps({**given, "illumination": illumination, **keys}))
    return file


FAULTS: dict[str, tuple[Array | None, Array | float, str]] = {
    "no file": (None, 0.0, r"DAPI\.flat, .*flat\.tif: not found. Expected a TIFF file or the fold"),
    "a zero": (with_pixel(0), 0.0, r"flat, .*: 1 of its 1920 pixels .* at y 3, x 4: 0\.0\. Expect"),
    "negative": (with_pixel(-1), 0.0, r"at y 3, x 4: -1\.0\. Expected finite numbers above 0"),
    "nan": (with_pixel(np.nan), 0.0, r"at y 3, x 4: nan"),
    "infinite": (with_pixel(np.inf), 0.0, r"at y 3, x 4: inf"),
    "no light": (with_pixel(1e-40), 0.0, r"1 of its 1920 pixels are below 1e-06 .* x 4: 1e-40\."),
    "no light in integers": (
        np.where(GOOD * with_pixel(0) > 0, 2**31, 9).astype(np.uint32),
        0.0,
        r"1 of its 1920 pixels are below 1e-06 .* at y 3, x 4: 4\.19e-09\.",
    ),
    "dark beyond floats": (GOOD, GOOD.astype(np.float64) * 1e39, r"dark, .* y 0, x 0: 1e\+39\."),
    "not normalised": (GOOD * 3000, 0.0, r"its mean is 3000; expected a profile that is normali"),
    "several planes": (np.stack([GOOD, GOOD]), 0.0, r"shape \(2, 40, 48\) .* expected one plane"),
    "another camera": (GOOD[:, 1:], 0.0, r"has \(40, 48\) pixels .* have \(40, 47\)"),
    "the whole mosaic": (np.tile(GOOD, (2, 2)), 0.0, r"has \(40, 48\) pixels .* have \(80, 96\)"),
    "dark below 0": (GOOD, with_pixel(-2), r"DAPI\.dark, .* at y 3, x 4: -2\.0\. .* 0 or more"),
    "a dark number that no pixel exceeds": (GOOD, 70_000.0, r"dark is 70000 or more.* most 65535"),
    "a dark image that no pixel exceeds": (GOOD, GOOD * 65_535, r"dark is 65535 or more"),
    "dark of another shape": (GOOD, GOOD[1:], r"flat has the shape \(40, 48\), the dark \(39, 48"),
}


@pytest.mark.parametrize("case", FAULTS)
@pytest.mark.parametrize(
    "keys",
    [{}, {"registration": {"store": False}}, {"registration": {"enabled": False}}],
    ids=["stored", "not stored", "only fused"],
)
def test_a_profile_that_cannot_be_used(
    case: str, keys: Any, example_plate: PlateFactory, tmp_path: Path
) -> None:
    flat, dark, said = FAULTS[case]
    plate = example_plate(SPEC).path
    files: dict[str, Any] = {"flat": str(tmp_path / "flat.tif"), "dark": dark}
    if flat is not None:
        tifffile.imwrite(tmp_path / "flat.tif", flat)
    if isinstance(dark, np.ndarray):
        files["dark"] = str(tmp_path / "dark.tif")
        tifffile.imwrite(tmp_path / "dark.tif", dark)
    config = config_of(tmp_path, plate, {"DAPI": files}, **keys)
    before = state(tmp_path)
    with pytest.raises(PlatefuseError, match=said):
        list(check_config(config))
    assert state(tmp_path) == before


def refuse_channels(
    plate: Path, folder: Path, channels: tuple[str, ...], said: str, change: Callable[[Any], None]
) -> None:
    profiles = Profiles.write(folder / "profiles", SHAPE)
    with_attributes(plate / "B" / "03" / "0", change)
    (files,) = profiles.config.values()
    config = config_of(folder, plate, dict.fromkeys(channels, files))
    before = state(folder)
    with pytest.raises(PlatefuseError, match=said):
        list(check_config(config))
    assert state(folder) == before


def test_channels_that_no_image_has(example_plate: PlateFactory, tmp_path: Path) -> None:
    refuse_channels(
        example_plate(SPEC).path, tmp_path, ("DAPI", "GFP", "C03"),
        r"(?s)'GFP', which no image has; their channels are \['C01', 'C02', 'DAPI', 'WGA'\].*'C03'",
        lambda attributes: None,
    )  # fmt: skip


def test_two_names_of_one_channel(example_plate: PlateFactory, tmp_path: Path) -> None:
    refuse_channels(
        example_plate(SPEC).path, tmp_path, ("DAPI", "C01"),
        r"profiles for \['DAPI', 'C01'\], which are names of one channel \(0\)",
        lambda attributes: None,
    )  # fmt: skip


def test_a_name_of_two_channels(example_plate: PlateFactory, tmp_path: Path) -> None:
    """Only one of them would be corrected, and nobody would know which."""

    def same_labels(attributes: Any) -> None:
        for channel in attributes["omero"]["channels"]:
            channel["label"] = "DAPI"

    refuse_channels(
        example_plate(SPEC).path, tmp_path, ("DAPI",),
        r"its channels \[0, 1\] are all named 'DAPI'.*by its wavelength_id",
        same_labels,
    )  # fmt: skip


def test_channels_without_names(example_plate: PlateFactory, tmp_path: Path) -> None:
    """In one image of two: its pixels would silently stay as they are."""
    spec = replace(SPEC, acquisitions=TINY.acquisitions)
    refuse_channels(
        example_plate(spec).path, tmp_path, ("DAPI",),
        r"B/03/0: its channels have no names in `omero`; expected a label or wavelength_id for e",
        lambda attributes: attributes.pop("omero"),
    )  # fmt: skip


def test_all_faulty_profiles_are_told_at_once(tmp_path: Path) -> None:
    given = {"A": {"flat": str(tmp_path / "a.tif")}, "B": {"flat": str(tmp_path / "b.tif")}}
    found = Illumination.of_config(given, "FOV_ROI_table")
    assert found is not None
    with pytest.raises(PlatefuseError) as caught:
        found.check_files()
    assert len(caught.value.args) == 2


def test_a_good_config_is_accepted(example_plate: PlateFactory, tmp_path: Path) -> None:
    profiles = Profiles.write(tmp_path / "profiles", SHAPE)
    config = config_of(tmp_path, example_plate(SPEC).path, profiles.config)
    assert list(check_config(config))[-1] == "Nothing would stop this run."


def zarr_profile(folder: Path, plane: Array, axes: str = "yx") -> Path:
    group = zarr.open_group(folder, mode="w", zarr_format=2)
    group.create_array("0", shape=plane.shape, chunks=plane.shape, dtype=plane.dtype)[...] = plane
    scale = [{"type": "scale", "scale": [1.0] * plane.ndim}]
    multiscale: Any = {
        "version": "0.4",
        "axes": [{"name": a, "type": "channel" if a == "c" else "space"} for a in axes],
        "datasets": [{"path": "0", "coordinateTransformations": scale}],
    }
    group.attrs["multiscales"] = [multiscale]
    return folder


@pytest.mark.parametrize("axes", ["yx", "czyx"])
def test_a_profile_in_ome_zarr_is_the_same_as_in_tiff(axes: str, tmp_path: Path) -> None:
    profiles = Profiles.write(tmp_path / "tiff", SHAPE)
    plane = profiles.flat[(None,) * (len(axes) - 2)]
    in_zarr = zarr_profile(tmp_path / "flat.zarr", plane, axes)
    np.testing.assert_array_equal(pixels(in_zarr, "flat", "x"), profiles.flat)
    given = {"DAPI": {"flat": str(in_zarr), "dark": str(tmp_path / "tiff" / "dark.tif")}}
    found = Illumination.of_config(given, "FOV_ROI_table")
    assert found is not None
    assert found._identity("DAPI") == profiles.illumination._identity("DAPI")


@pytest.mark.parametrize("second", [GOOD * 1.1, (GOOD * 100).astype(np.uint16)])
def test_a_tiff_of_several_images_is_refused(second: Array, tmp_path: Path) -> None:
    """Only the first was read: a dark, or the profile of another channel, went unnoticed."""
    with tifffile.TiffWriter(tmp_path / "flat.tif") as file:
        file.write(GOOD)
        file.write(second)
    with pytest.raises(PlatefuseError, match=r"shape \(2, 40, 48\) .* expected one plane"):
        pixels(tmp_path / "flat.tif", "flat", "x")


def test_a_thumbnail_beside_a_profile_does_no_harm(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "flat.tif") as file:
        file.write(GOOD)
        file.write(GOOD[::4, ::4])
    np.testing.assert_array_equal(pixels(tmp_path / "flat.tif", "flat", "x"), GOOD)


def test_a_flat_of_integers_is_divided_by_its_maximum(tmp_path: Path) -> None:
    plane = np.arange(1, 13, dtype=np.uint16).reshape(3, 4)
    tifffile.imwrite(tmp_path / "flat.tif", plane)
    np.testing.assert_allclose(pixels(tmp_path / "flat.tif", "flat", "x"), plane / 12, rtol=1e-7)
    np.testing.assert_array_equal(pixels(tmp_path / "flat.tif", "dark", "x"), plane)


def test_the_camera_fields_are_those_of_the_image_s_own_table(example_plate: PlateFactory) -> None:
    image = Multiscale.read(example_plate(SPEC).path / "B" / "03" / "0")
    fields = camera_fields(image, "FOV_ROI_table")
    assert [f.start for f in fields.values()] == [(0, 0), (0, 48), (40, 0), (40, 48)]
    assert {f.shape for f in fields.values()} == {SHAPE}
    (whole,) = camera_fields(image, "not_there").values()
    assert whole.shape == (80, 96)

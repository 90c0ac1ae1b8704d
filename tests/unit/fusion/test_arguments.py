"""What `fuse` refuses: one message says what, where, what it is and what was expected.

Nothing is written, and what was written before stays.
"""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
from numpy.typing import NDArray

from platefuse import fuse
from platefuse.errors import PlatefuseError
from platefuse.fusion.arguments import _ARGUMENTS, FusionArguments
from platefuse.fusion.methods import content_based, weighted_average_fusion
from tests.sims import KEY, make_sim

Array = NDArray[Any]
NAN, INF = float("nan"), float("inf")
BAD_NUMBERS = (None, "1", NAN, INF, [1, 2], 1j)


def short(value: Any) -> str:
    """A test's name, without addresses: the same in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))[:60]


def sim(**options: Any) -> xarray.DataArray:
    return make_sim(np.ones((20, 24), "u2"), "yx", **options)


def with_affine(affine: Any) -> xarray.DataArray:
    image = sim()
    image.attrs["transforms"] = {KEY: affine}
    return image


def named(matrix: Any, dims: tuple[str, ...] = ("x_in", "x_out"), **coords: Any) -> Any:
    return xarray.DataArray(matrix, dims=dims, coords=coords)


def creation(**arguments: Any) -> dict[str, Any]:
    return {"zarr_options": {"zarr_array_creation_kwargs": arguments}}


def ome(**options: Any) -> dict[str, Any]:
    """Options for an OME-Zarr image; those that `zarr_options` does not know are for its array."""
    known = {name: options.pop(name) for name in list(options) if name == "ngff_version"}
    return {
        "zarr_options": {"ome_zarr": True, "zarr_array_creation_kwargs": options, **known},
    }


def both(name: str, value: Any) -> dict[str, Any]:
    return {name: {"y": 1, "x": value}}


def stack(**properties: Any) -> dict[str, Any]:
    given = {"spacing": {"y": 1, "x": 1}, "origin": {"y": 0, "x": 0}, "shape": {"y": 5, "x": 5}}
    return {"output_stack_properties": given | properties}


ARGUMENTS: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    *[(both("output_spacing", v), ("output_spacing on x", repr(v))) for v in (0, -1, *BAD_NUMBERS)],
    *[(both("output_origin", v), ("output_origin on x", repr(v))) for v in BAD_NUMBERS],
    *[(both("output_shape", v), ("output_shape on x", "whole")) for v in (0, 2.5, *BAD_NUMBERS)],
    *[(both("output_chunksize", v), ("output_chunksize on x",)) for v in (0, 2.5, *BAD_NUMBERS)],
    *[
        ({name: {"x": 1}}, (name, "lacks ['y']"))
        for name in ("output_spacing", "output_origin", "output_shape", "output_chunksize")
    ],
    *[
        ({name: value}, (name, "a mapping of axes to"))
        for name in ("output_spacing", "output_origin", "output_shape", "blending_widths")
        for value in (1.0, "1", [1, 2], {1, 2})
    ],
    ({"output_spacing": {"y": 1, "x": 1, "X": 1}}, ("output_spacing", "unknown keys ['X']")),
    ({"output_chunksize": "auto"}, ("output_chunksize", "'auto'", "for each axis")),
    ({"output_chunksize": True}, ("output_chunksize", "True")),
    (stack(spacing=None), ("output_stack_properties['spacing']", "None")),
    (stack(shape={"y": 5, "x": NAN}), ("output_stack_properties['shape'] on x", "nan")),
    (stack(spacing={"y": 5}), ("output_spacing", "lacks ['x']")),
    (stack(size=3), ("output_stack_properties", "unknown keys ['size']")),
    ({"output_stack_properties": "all"}, ("output_stack_properties", "'all'")),
    ({"output_stack_mode": None}, ("output_stack_mode", "None", "union")),
    ({"output_stack_mode": ["union"]}, ("output_stack_mode", "['union']")),
    *[({"overlap_in_pixels": v}, ("overlap_in_pixels", repr(v))) for v in (-1, "3", 1.5, NAN)],
    *[
        ({"interpolation_order": v}, ("interpolation_order", repr(v), "0, 1 or 3"))
        for v in (2, "1", None, True, [1])
    ],
    *[
        ({"blending_widths": {"x": v}}, ("blending_widths on x", repr(v), "0 or more"))
        for v in (-1, *BAD_NUMBERS)
    ],
    ({"blending_widths": {"c": 3}}, ("blending_widths", "unknown keys ['c']", "['z', 'y', 'x']")),
    ({"fusion_func": None}, ("fusion_func", "None", "a function")),
    ({"weights_func": 3}, ("weights_func", "3", "a function")),
    ({"weights_func": "content_based"}, ("weights_func", "'content_based'")),
    ({"fusion_func_kwargs": [3]}, ("fusion_func_kwargs", "[3]", "a dict")),
    ({"weights_func_kwargs": {3: 4}}, ("weights_func_kwargs", "{3: 4}", "a dict")),
    ({"output_zarr_url": 7}, ("output_zarr_url", "7", "folder")),
    ({"output_zarr_url": ""}, ("output_zarr_url", "''", "folder")),
    ({"output_zarr_url": "a\0b"}, ("output_zarr_url", "folder")),
    ({"zarr_options": "ome_zarr"}, ("zarr_options", "'ome_zarr'", "a dict")),
    ({"zarr_options": {"ome_zarr": "no"}}, ("zarr_options['ome_zarr']", "'no'", "True or False")),
    ({"zarr_options": {"overwrite": None}}, ("zarr_options['overwrite']", "None")),
    ({"zarr_options": {"ngff_version": 5}}, ("zarr_options['ngff_version']", "5", "'0.5'")),
    ({"zarr_options": {"zarr_array_creation_kwargs": 5}}, ("zarr_array_creation_kwargs", "5")),
    (creation(dtype="u1"), ("zarr_array_creation_kwargs", "dtype", "none of")),
    *[
        (function(chunks=chunks), ("['chunks']", repr(chunks), "2 axes"))
        for function in (creation, ome)
        for chunks in ((0, 5), "auto", (5, 5, 5), (5,), 5, (5, 2.5), (5, NAN), None)
    ],
    *[
        (function(chunks=(4, 5), shards=shards), ("['shards']", repr(shards)))
        for function in (creation, lambda **given: ome(ngff_version="0.5", **given))
        for shards in ((8, 12), (0, 5), "auto", (8,), (4, -5))
    ],
    (ome(chunks=(4, 5), shards=(8, 10)), ("['shards']", "(8, 10)", "0.5")),
    (creation(zarr_format=2, shards=(40, 48)), ("['shards']", "(40, 48)", "Zarr v3")),
    *[(creation(zarr_format=f), ("['zarr_format']", repr(f), "[2, 3]")) for f in (7, "2", None)],
    (ome(zarr_format=3), ("['zarr_format']", "3", "[2]", "ngff_version '0.4'")),
    (ome(ngff_version="0.5", zarr_format=7), ("['zarr_format']", "7", "[3]", "'0.5'")),
    *[
        (function(**{name: value}), ("zarr_array_creation_kwargs", name))
        for function in (creation, ome)
        for name, value in {
            "compressors": "fast",
            "fill_value": "black",
            "dimension_separator": "-",
            "sherds": 3,
        }.items()
    ],
    *[
        ({"batch_options": {"n_batch": v}}, ("batch_options['n_batch']", repr(v), "above 0"))
        for v in (0, -1, 1.5, "2", None)
    ],
    ({"batch_options": {"batch_func": 3}}, ("batch_options['batch_func']", "3", "a function")),
    ({"batch_options": {"batch_func_kwargs": 3}}, ("batch_options['batch_func_kwargs']", "3")),
    *[({"overlap_in_pixels": {"y": 1, "x": v}}, ("on x", repr(v))) for v in (-1, 1.5, None)],
    ({"trim_overlap": 1.5}, ("trim_overlap", "1.5", "True or False")),
    ({"backend": "cupy"}, ("backend", "'cupy'", "None or 'numpy'")),
    ({"backend": np.array(["numpy", "cupy"])}, ("backend", "None or 'numpy'")),
    ({"output_on_backend": "yes"}, ("output_on_backend", "'yes'")),
    ({"sims": [sim()]}, ("both images and sims", "Give images only")),
    (
        {"fusion_func_kwargs": {}, "fusion_method_kwargs": {}},
        ("both fusion_func_kwargs and fusion_method_kwargs",),
    ),
    *[({"threads": v}, ("threads", repr(v), "above 0")) for v in (0, -1, "2", 1.5)],
    ({"nan_is_missing": "yes"}, ("nan_is_missing", "'yes'", "True or False")),
]


def half(transformed_views: Array) -> Array:
    return np.asarray(transformed_views[0, ::2])


def text(transformed_views: Array) -> Array:
    return np.asarray(transformed_views[0].astype(str))


def ragged(transformed_views: Array) -> Any:
    return [[1], [1, 2]]


def weighs_one_view(transformed_views: Array) -> Array:
    return np.ones((5, *transformed_views.shape[1:]))


def wants_more(transformed_views: Array, masks: Array) -> Array:
    return np.asarray(transformed_views[0] * masks)


def weighted(weights_func: Any, **kwargs: Any) -> dict[str, Any]:
    return {"weights_func": weights_func, "weights_func_kwargs": kwargs}


ARGUMENTS += [
    ({"fusion_func": half}, ("fusion_func 'half'", "(10, 24)", "(20, 24)")),
    ({"fusion_func": text}, ("fusion_func 'text'", "dtype <U", "numbers")),
    ({"fusion_func": ragged}, ("fusion_func 'ragged'", "object", "numbers")),
    ({"fusion_func": lambda transformed_views: None}, ("fusion_func '<lambda>'", "object")),
    ({"fusion_func": wants_more}, ("fusion_func 'wants_more'", "'masks'", "fusion_func_kwargs")),
    ({"fusion_func_kwargs": {"power": 2}}, ("fusion_func", "'power'", "fusion_func_kwargs")),
    (weighted(weighs_one_view), ("weights_func 'weighs_one_view'", "(5, 20, 24)", "(1, 20, 24)")),
    (weighted(text), ("weights_func 'text'", "dtype <U")),
    (weighted(content_based, sigma=3), ("weights_func 'content_based'", "'sigma'")),
    *[
        (weighted(content_based, sigma_1=v), ("sigma_1 of content_based", repr(v)))
        for v in (-1, *BAD_NUMBERS)
    ],
]

VIEWS: list[tuple[Any, tuple[str, ...]]] = [
    (None, ("images", "NoneType", "list")),
    ("view", ("images", "str", "list")),
    (sim(), ("images", "DataArray", "list")),
    ([sim(), None], ("view 1", "NoneType", "xarray.DataArray")),
    ([np.ones((20, 24))], ("view 0", "ndarray", "xarray.DataArray")),
    ([sim().to_dataset(name="image")], ("view 0", "Dataset", "xarray.DataArray")),
    ([sim().astype(object)], ("view 0", "dtype object", "Convert")),
    ([sim().astype(str)], ("view 0", "dtype <U", "Convert")),
    ([sim().astype(complex)], ("view 0", "dtype complex128", "Convert")),
    ([sim().astype("longdouble")], ("view 0", "dtype float128", "Convert")),
    ([sim().assign_coords(y=list("abcdefghijklmnopqrst"))], ("view 0", "coordinates on y")),
    ([sim().assign_coords(x=np.full(24, NAN))], ("view 0", "coordinates on x")),
    ([sim().assign_coords(x=[INF] * 24)], ("view 0", "coordinates on x")),
    ([sim().assign_attrs(transforms=None)], ("view 0", "no transform 'stage'")),
    ([sim().assign_attrs(transforms={})], ("view 0", "no transform 'stage'", "it has []")),
    *[
        ([sim(), with_affine(affine)], ("'stage' of view 1", "an affine of numbers", "length 3"))
        for affine in (
            None,
            "identity",
            7.0,
            np.eye(2),
            np.eye(3)[:2],
            np.eye(3)[None],
            [[1, 0], [0, 1, 2]],
            np.eye(3) * 1j,
            np.eye(3).astype(str),
            named(np.eye(4)),
            named(np.eye(3), ("y", "x")),
            named(np.eye(3)[None], ("c", "x_in", "x_out")),
        )
    ],
    (
        [with_affine(named(np.eye(3), x_in=["z", "y", "x"]))],
        ("'stage' of view 0", "['z', 'y', 'x'] on x_in", "['y', 'x', '1']"),
    ),
    *[
        ([with_affine(np.diag([1, entry, 1]))], ("view 0", "singular or non-finite"))
        for entry in (NAN, INF, 0)
    ],
    ([with_affine(np.diag([1, 1, 2]))], ("view 0", "last row")),
]


@pytest.mark.parametrize(("options", "said"), ARGUMENTS, ids=short)
def test_an_argument_that_cannot_be_used(
    options: dict[str, Any], said: tuple[str, ...], tmp_path: Path
) -> None:
    check([sim()], options, said, tmp_path)


@pytest.mark.parametrize(("sims", "said"), VIEWS, ids=short)
def test_views_that_cannot_be_used(sims: Any, said: tuple[str, ...], tmp_path: Path) -> None:
    check(sims, {}, said, tmp_path)


def check(sims: Any, options: dict[str, Any], said: tuple[str, ...], folder: Path) -> None:
    """Fusing fails with that message, and an image that is there stays as it is."""
    place = folder / "fused.zarr"
    given = {"output_zarr_url": str(place), **options}
    refused(sims, given, folder, said)
    assert not any(folder.iterdir())
    fuse([sim()], KEY, output_zarr_url=str(place))
    refused(sims, given, folder, said)
    if isinstance(given.get("zarr_options", {}), dict):
        protected = {"overwrite": False, **given.get("zarr_options", {})}
        refused(sims, {**given, "zarr_options": protected}, folder)


def refused(sims: Any, options: dict[str, Any], folder: Path, said: tuple[str, ...] = ()) -> None:
    before = {p: p.is_file() and p.read_bytes() for p in folder.rglob("*")}
    with pytest.raises(PlatefuseError) as caught:
        fuse(sims, KEY, **options)
    for part in said:
        assert part in str(caught.value)
    assert {p: p.is_file() and p.read_bytes() for p in folder.rglob("*")} == before


def test_an_affine_by_least_squares_is_an_affine() -> None:
    """Its last row is 0, 0, 1 but for what was rounded; that makes no difference."""
    rounded = np.array([[0.9, 0.1, 2], [-0.1, 0.9, 3], [7.5e-18, 3.5e-13, 1 - 2e-11]])
    exact = np.vstack([rounded[:2], [0, 0, 1]])
    fused = [fuse([with_affine(affine)], KEY) for affine in (rounded, exact)]
    xarray.testing.assert_equal(*fused)


def test_stack_properties_as_multiview_stitcher_has_them_may_hold_a_transform() -> None:
    properties: Any = stack()["output_stack_properties"]
    with_transform: Any = {**properties, "transform": np.eye(3)}
    xarray.testing.assert_equal(
        fuse([sim()], KEY, output_stack_properties=with_transform),
        fuse([sim()], KEY, output_stack_properties=properties),
    )


def test_older_names_mean_the_same() -> None:
    def scaled(transformed_views: Array, by: float) -> Array:
        return np.asarray(transformed_views[0] * by)

    present = fuse([sim()], KEY, scaled, fusion_func_kwargs={"by": 3})
    assert (present.values == 3).all()
    with pytest.warns(DeprecationWarning, match="Use images=... instead"):
        older = fuse(sims=[sim()], transform_key=KEY)
    xarray.testing.assert_equal(older, fuse(images=[sim()], transform_key=KEY))
    with pytest.warns(DeprecationWarning, match="Use fusion_func_kwargs=... instead") as warned:
        older = fuse([sim()], KEY, scaled, fusion_method_kwargs={"by": 3})
    assert warned[0].filename == __file__
    xarray.testing.assert_equal(older, present)


def test_arguments_by_position_have_the_order_of_multiview_stitcher_0_1_48() -> None:
    shifted = [sim(), sim(origin=[0.5, 0.5])]
    given: tuple[Any, ...] = (
        *(KEY, weighted_average_fusion, None, None, None),
        *(None, "union", None, None, None, 10, 2, 0),
    )
    call: Any = fuse
    fused = call(shifted, *given)
    named = fuse(shifted, KEY, output_chunksize=10, overlap_in_pixels=2, interpolation_order=0)
    xarray.testing.assert_equal(fused, named)
    with pytest.raises(PlatefuseError, match="interpolation_order is True"):
        call(shifted, *given[:-1], True)


def test_the_only_backend_is_numpy() -> None:
    plain = fuse([sim()], KEY)
    xarray.testing.assert_equal(fuse([sim()], KEY, backend="numpy", output_on_backend=True), plain)


def test_a_chunk_may_span_an_axis() -> None:
    assert fuse([sim()], KEY, output_chunksize=-1).data.chunks == ((20,), (24,))
    fused = fuse([sim()], KEY, output_chunksize={"y": 8, "x": -1})
    assert fused.data.chunks == ((8, 8, 4), (24,))


def test_weights_that_nobody_gives_are_missed_at_once() -> None:
    def needs(transformed_views: Array, fusion_weights: Array) -> Array:
        return np.asarray(transformed_views[0] * fusion_weights[0])

    with pytest.raises(PlatefuseError, match="'needs' cannot be called with"):
        fuse([sim()], KEY, needs)


@pytest.mark.parametrize("key", ["elsewhere", ["stage"], 0])
def test_a_transform_that_is_not_there(key: Any) -> None:
    with pytest.raises(PlatefuseError, match=r"has no transform .*it has \['stage'\]"):
        fuse([sim()], key)


def test_every_argument_is_checked() -> None:
    assert set(_ARGUMENTS) == {argument.name for argument in fields(FusionArguments)}

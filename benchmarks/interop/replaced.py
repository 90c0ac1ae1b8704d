"""Pytest plug-in: replace `multiview_stitcher.fusion.fuse` by ours; check that tests call it."""

from __future__ import annotations

from collections.abc import Generator
from importlib import import_module
from typing import Any

import pytest

_NOT_OURS = {
    "test_fuse_zarr_backed_input_stays_zarr_backed_until_chunk_execution": (
        "replaces functions inside multiview-stitcher and expects that they are called"
    ),
    "test_fuse_reuses_spatial_plan_across_channels": (
        "counts how often multiview-stitcher plans its chunks"
    ),
    "test_materialize_xarray_zarr_backend_retries_server_disconnect": (
        "tests how multiview-stitcher reads over HTTP, and fuses nothing"
    ),
    "test_fuse_concat_c_zarr_backed_sims": (
        "expects that a function inside multiview-stitcher is called; its pixels are compared by "
        "test_fuse_two_zarr_backed_tiles_concat_c_mosaic"
    ),
}
"""Tests of multiview-stitcher 0.1.62 that test its internals, and why they fail with our function.

Its tests of ``backend="cupy"`` skip themselves where there is no GPU. Those of its deconvolution
(``test_bayesian_fusion``) are not run: they test a fusion function, not `fuse`.
"""
_calls: list[str] = []
_called_by: set[str] = set()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--their-fusion-func",
        action="store_true",
        help="pass multiview_stitcher.fusion.weighted_average_fusion where a test passes none",
    )


def pytest_configure(config: pytest.Config) -> None:
    fusion: Any = import_module("multiview_stitcher.fusion")
    ours = import_module("platefuse").fuse
    theirs = fusion.weighted_average_fusion

    def fuse(*arguments: Any, **keywords: Any) -> Any:
        _calls.append("")
        if config.getoption("--their-fusion-func") and len(arguments) < 3:
            keywords.setdefault("fusion_func", theirs)
        return ours(*arguments, **keywords)

    fusion.fuse = fuse


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if reason := _NOT_OURS.get(item.name):
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    before = len(_calls)
    result = yield
    if len(_calls) > before:
        _called_by.add(item.nodeid)
    elif isinstance(item, pytest.Function) and item.module.__name__.endswith("test_fusion"):
        pytest.fail("the test passed without calling fuse: nothing was replaced")
    return result


def pytest_terminal_summary(terminalreporter: Any) -> None:
    terminalreporter.write_line(
        f"platefuse.fuse ran {len(_calls)} times in {len(_called_by)} tests"
    )

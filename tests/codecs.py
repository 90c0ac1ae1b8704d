"""Notice when chunks go through zarr's default codec pipeline, which is several times slower."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from zarr.core.codec_pipeline import BatchedCodecPipeline


@contextmanager
def slow_codecs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A list that gets ``read`` or ``write`` for every call of the default pipeline."""
    calls: list[str] = []
    with monkeypatch.context() as watched:
        for name in ("read", "write"):
            watched.setattr(BatchedCodecPipeline, name, _noted(name, calls))
        yield calls


def _noted(name: str, calls: list[str]) -> Any:
    original = getattr(BatchedCodecPipeline, name)

    async def noted(*args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        return await original(*args, **kwargs)

    return noted

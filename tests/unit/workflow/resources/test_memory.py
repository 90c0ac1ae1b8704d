"""Limits from which memory is estimated: those of the packages that read the pixels."""

from __future__ import annotations

from platefuse.engine import sources
from platefuse.measuring import decoded_chunks
from platefuse.measuring.pair import regions
from platefuse.quality import blocks
from platefuse.quality.report import page
from platefuse.workflow.resources import memory


def test_repeated_limits_are_those_of_the_work() -> None:
    """What is planned must not import NumPy, so it cannot take them from there."""
    assert memory.SLIVERS == sources.KEPT_BYTES
    assert memory.KEPT == decoded_chunks.KEPT_BYTES
    assert memory.PAIR_PX == regions.MOST_PIXELS
    assert memory.REGIONS_PX == regions.KEPT_PIXELS
    assert memory.PAGE_BYTES == page.PAGE_LIMIT
    assert memory.COARSE_PX == blocks.COARSE_PX**2
    assert memory.BLOCK_PX == blocks.BLOCK_PX**2
    assert memory.MOST_BLOCKS == blocks.MOST_BLOCKS

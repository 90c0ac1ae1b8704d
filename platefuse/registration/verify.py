"""Read a registered image back, before its original is removed.

Every chunk file that the record counts must be there, and pixels must be those of the original,
placed as the registered tables have it. They are computed by the engine that wrote them: what is
found is a fault of the disk, or a change by somebody else.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from platefuse.engine.compose import Paint
from platefuse.engine.sources import Source
from platefuse.engine.views import View
from platefuse.errors import SwapError
from platefuse.geometry import Box, grid_box, grid_indices
from platefuse.ngff.image import Image, Multiscale
from platefuse.ngff.tables.table import Table, read_table, table_path
from platefuse.ngff.well import WellImage
from platefuse.records import RegistrationRecord, digest_tree
from platefuse.registration.plan import place_image
from platefuse.registration.request import ORDERS, Order, Verify
from platefuse.registration.rois import Placement
from platefuse.registration.stage import view_of
from platefuse.registration.staged import pixel_files
from platefuse.storage.arrays import StoredArray
from platefuse.storage.threads import run_tasks

logger = logging.getLogger(__name__)

BLOCK_PX = 64
CHUNKS_PER_BLOCK = 64


def verify_image(
    image: WellImage,
    record: RegistrationRecord,
    verify: Verify,
    *,
    threads: int = 1,
) -> None:
    """Compare a live registered image with its record and its original. Nothing is changed.

    Parameters
    ----------
    image : WellImage
        The image. Without a backup there is nothing to compare it with.
    record : RegistrationRecord
        Its record.
    verify : str
        ``sample``: of image and labels one block of at most 64 × 64 pixels, and one more for every
        64 chunks; ``full``: level 0 of both; ``none``: nothing. If the record has a flat-field
        correction, only pixels of labels are compared.
    threads : int
        Number of threads.

    Raises
    ------
    SwapError
        If a file is missing or a pixel differs. The message names the block and the original.
    """
    if verify == "none" or not image.backup.is_dir():
        return
    found = pixel_files(image.live)
    if record.pixel_files is not None and found != record.pixel_files:
        raise SwapError(
            f"{image.live}: it has {found.files} chunk files of {found.bytes} bytes, and its "
            f"record {record.pixel_files.files} of {record.pixel_files.bytes}. {_kept(image)}"
        )
    tables = _registered_tables(image, record)
    if tables is None:
        logger.warning(
            "%s: its pixels are not compared with the original, because the registered tables "
            "that were used are not there any more",
            image.live,
        )
        return
    run_tasks(_comparisons(image, record, verify, tables), threads)


def _comparisons(
    image: WellImage,
    record: RegistrationRecord,
    verify: Verify,
    tables: tuple[Table, Table],
) -> Iterator[partial[None]]:
    """The tasks that compare the blocks of an image and of its labels."""
    live, original = Image.read(image.live), Image.read(image.backup)
    placements, label_placements = place_image(original, *tables)
    for name, label in original.labels.items():
        if name in live.labels:
            views = _views(Source(_finest(label)), label_placements[name], 0)
            yield from _blocks(image, _finest(live.labels[name]), views, verify)
    if record.illumination is not None:
        return
    order = next(n for name, n in ORDERS.items() if name == record.request.interpolation)
    views = _views(Source(_finest(original)), placements, order)
    yield from _blocks(image, _finest(live), views, verify)


def _finest(multiscale: Multiscale) -> StoredArray:
    return StoredArray.open(multiscale.level_paths[0])


def _views(source: Source, placements: Sequence[Placement], order: Order) -> list[View]:
    return [view_of(source, p, order) for p in placements if not p.dst.empty]


def _blocks(
    image: WellImage, stored: StoredArray, views: Sequence[View], verify: Verify
) -> Iterator[partial[None]]:
    """The tasks that compare the blocks of one array with its views."""
    seed = f"{image.well.name}/{image.name}/{stored.path.parent.name}"
    blocks = _all_tiles(stored) if verify == "full" else _sample(stored, views, seed)
    for block in blocks:
        yield partial(_compare, stored, views, block, image)


def _all_tiles(stored: StoredArray) -> Iterable[Box]:
    whole = Box.of_shape(stored.shape)
    return (grid_box(i, stored.shard, stored.shape) for i in grid_indices(whole, stored.shard))


def _sample(stored: StoredArray, views: Sequence[View], seed: str) -> Iterator[Box]:
    """Blocks at random places of the views, each in one chunk; the same for the same seed."""
    draw = random.Random(seed)
    chunks = math.prod(-(-n // c) for n, c in zip(stored.shape, stored.chunk, strict=True))
    for _ in range(1 + chunks // CHUNKS_PER_BLOCK) if views else ():
        placed = draw.choice(views).placed
        at = tuple(draw.randrange(a, b) for a, b in zip(placed.start, placed.stop, strict=True))
        index = [a // c for a, c in zip(at, stored.chunk, strict=True)]
        size = (1,) * (len(at) - 2) + (BLOCK_PX, BLOCK_PX)
        block = Box(at, tuple(a + n for a, n in zip(at, size, strict=True)))
        yield block & placed & grid_box(index, stored.chunk, stored.shape)


def _compare(stored: StoredArray, views: Sequence[View], block: Box, image: WellImage) -> None:
    touching = [view for view in views if not (view.placed & block).empty]
    expected = Paint("last").compose(block, touching, stored.dtype, block.start)
    found = stored.decode(block)
    same = not found.any() if expected is None else np.array_equal(found, expected, equal_nan=True)
    if not same:
        raise SwapError(
            f"{stored.path}: the pixels from {block.start} to {block.stop} are not those of the "
            f"original at its registered place. {_kept(image)}"
        )


def _registered_tables(image: WellImage, record: RegistrationRecord) -> tuple[Table, Table] | None:
    """The tables that were used: of the original, and of the original of the reference."""
    name, reference = record.request.roi_table, image.well.image(record.reference)
    acquired = _find_table((image.backup,), name, record.digests.acquisition_table)
    folders = (reference.backup, reference.live)
    placed = _find_table(folders, name, record.digests.reference_table)
    return None if acquired is None or placed is None else (acquired, placed)


def _find_table(folders: Iterable[Path], name: str, digest: str) -> Table | None:
    for folder in folders:
        if digest_tree(table_path(folder, name)) == digest:
            return read_table(folder, name)
    return None


def _kept(image: WellImage) -> str:
    return (
        f"The original is kept in {image.backup}; `platefuse restore` puts it back, and the next "
        "run makes the image anew."
    )

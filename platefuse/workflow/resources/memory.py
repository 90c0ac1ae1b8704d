"""Memory of jobs: what their arrays take, from the sizes of chunks, planes and fields.

A job is asked for what it will use, and never for less; at most 1.5 times as much on the plates of
the benchmark ``resources`` in ``docs/benchmarks.md``, from which the constants come. Each sum has
three parts: the interpreter with the modules that the job imports, what it holds once, and what
each thread holds. Sizes are bytes unless a name says MB (10^6 bytes).

Limits of the packages that read pixels are repeated here, because importing those takes long; a
test compares them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from platefuse.registration.request import Verify

MB = 10**6

SPARE = 1.15
"""What is asked for each byte that is expected: a heap that is used for long has gaps."""

SNAKEMAKE_MB = 400
"""Snakemake in a job on a cluster: the executor starts it there, and that one starts another. Each
was measured with 188 MB."""

METADATA_MB = 40
"""Jobs that read and write metadata only; they use 28 MB."""

TABLES_MB = 60
"""Jobs that copy tables; they use 45 MB."""

FINISHED_PLATE_MB = 42
"""The job that writes the metadata of a fused plate; it uses 30 MB."""

TABLE_MODULES = 240 * MB
"""The modules of AnnData: loaded where tables of boxes or objects are moved with their pixels."""

AFTER_OTHERS = 12 * MB
"""What a job that does all steps of a well keeps of the steps before the largest."""

FRAME = 4
"""Most pixels of a fused image, by those of its fields: there may be gaps between these."""

_SOLVING, _SOLVING_TABLES, _REPORTING = 80 * MB, 100 * MB, 42 * MB
"""Jobs of a whole plate, without its fields: solving, solving with tables, the report."""

_SOLVED_FIELD, _REPORTED_FIELD = 14_000, 4_000
"""For each field of a plate: its place and its pairs, or its figures."""

_REPORTED_PICTURES, PAGE_BYTES, _PAGE_COPIES = 180_000, 29_500_000, 4.5
"""For each acquisition of a well, its pictures in the page; most bytes of the page
(`quality.report.page.PAGE_LIMIT`), and how often it is held while it is made."""

_REGISTERING, _FUSING, _MEASURING, _CHECKING = 60 * MB, 72 * MB, 76 * MB, 88 * MB
"""Interpreter and modules: NumPy, zarr, zarrs; checks add Pillow."""

_MEASURED_FIELD, _FUSED_FIELD = 25_000, 20_000
"""For each field of a well: its arrays and its pairs, or its view."""

TILE, _FUSED_TILE, _GATHERED_TILE = 4.4, 4.6, 2.5
"""What a thread holds for each byte of a tile that is registered, fused, or gathered from parts:
the tile, its copies while it is encoded and downsampled, and tiles of the levels above, which wait
for more children."""

_FILTERED_PIXEL = 310
"""What a thread holds for each pixel of a tile with content-based weights: these are filters of
each view of the tile as floats."""

_VERIFIED_TILE = {"sample": 2.0, "full": 5.5}
"""What a thread holds for each byte of a chunk that is verified: it, the original's, and what is
made of these."""

_LEAST_TILES = 7 * MB
"""What a thread holds of small tiles: they are larger than a chunk where tiles of levels nest."""

SLIVERS, _SLIVERS_SHARE, _THIN_SHARE = 32 * 2**20, 0.35, 0.15
"""Most bytes of slivers (`engine.sources.KEPT_BYTES`), and their share of a plane of a small well
that is fused, or registered: what is decoded now and needed by a later tile."""

KEPT = 64 * 2**20
"""Most bytes of decoded chunks that are kept (`measuring.decoded_chunks.KEPT_BYTES`)."""

_ALL_LEVELS = 4 / 3
"""Bytes of all levels, for each byte of the finest."""

_PAIR_BYTES, PAIR_PX = 50, 400_000
"""What a thread holds for each pixel of a pair of fields, and most pixels of a field
(`measuring.pair.regions.MOST_PIXELS`): spectra, and blocks."""

_REGION_BYTES, REGIONS_PX = 24, 2_000_000
"""What is kept for each pixel of the regions that pairs share, and most pixels of these
(`measuring.pair.regions.KEPT_PIXELS`)."""

COARSE_PX, _COARSE_BYTES = 768**2, 30
"""Most pixels of the level at which blocks are chosen (`quality.blocks`), and bytes of each: the
prepared floats, their squares and the table of the sums."""

BLOCK_PX, _BLOCK_BYTES = 160**2, 4 + 8 + 10 + 2
"""Pixels of a block of the reference, and bytes of each: prepared as floats, sums of its squares,
its spectrum, and the pixels of the acquisition that is compared."""

MOST_BLOCKS, _BLOCKS_OF_FIELD = 400, 4
"""Most blocks of a check (`quality.blocks.MOST_BLOCKS`), and blocks of a field."""


def registering(threads: int, chunk: float, plane: float) -> float:
    """Memory of a job that registers an image.

    Parameters
    ----------
    threads : int
        Number of threads.
    chunk : float
        Bytes of the largest chunk of the image and its labels.
    plane : float
        Bytes that are decoded to see one plane of it.
    """
    slivers = min(SLIVERS, _THIN_SHARE * plane)
    return _REGISTERING + slivers + threads * max(TILE * chunk, _LEAST_TILES)


def verifying(threads: int, chunk: float, verify: Verify) -> float:
    """Memory of a job that compares registered images with their originals."""
    if verify == "none":
        return METADATA_MB * MB
    return _REGISTERING + threads * max(_VERIFIED_TILE[verify] * chunk, _LEAST_TILES)


@dataclass(frozen=True)
class Fused:
    """What the memory of a fusion depends on.

    Attributes
    ----------
    tile : float
        Bytes of the largest tile of the fused images and labels.
    chunk : float
        Bytes of the largest chunk of their sources.
    plane : float
        Bytes that are decoded to see one plane of all fields of an acquisition.
    fields : int
        Most fields of an acquisition.
    filtered : float
        Pixels of the largest tile if weights are content-based, else 0.
    """

    tile: float
    chunk: float
    plane: float
    fields: int
    filtered: float = 0

    def memory(self, threads: int) -> float:
        """Memory of a job that fuses them."""
        slivers = min(SLIVERS, _SLIVERS_SHARE * self.plane)
        tiles = max(_FUSED_TILE * self.tile, _FILTERED_PIXEL * self.filtered, _LEAST_TILES)
        views = _FUSED_FIELD * self.fields
        return _FUSING + views + slivers + threads * (self.chunk + tiles)

    def gathering(self, threads: int) -> float:
        """Memory of a job that finishes the coarse levels of a well that parts have written."""
        views = _FUSED_FIELD * self.fields
        return _FUSING + views + threads * max(_GATHERED_TILE * self.tile, _LEAST_TILES)


def kept(nbytes: float, chunk: float) -> float:
    """Bytes of decoded chunks that are kept when `nbytes` of full resolution may be decoded."""
    return min(_ALL_LEVELS * nbytes, max(KEPT, chunk))


def measuring(threads: int, stacks: float, chunk: float, pixels: float, fields: int) -> float:
    """Memory of a job that measures pairs of fields.

    Parameters
    ----------
    threads : int
        Number of threads.
    stacks : float
        Bytes of all planes of one channel, of all images of the well.
    chunk : float
        Bytes of the largest chunk.
    pixels : float
        Pixels of one plane of the largest image.
    fields : int
        Fields of all acquisitions of the well.
    """
    pair = min(PAIR_PX, pixels)
    regions = _REGION_BYTES * min(REGIONS_PX, fields * pair)
    once = kept(stacks, chunk) + regions + _MEASURED_FIELD * fields
    return _MEASURING + once + threads * (chunk + _PAIR_BYTES * pair)


@dataclass(frozen=True)
class Checked:
    """What the memory of a check depends on.

    Attributes
    ----------
    areas : sequence of float
        For each acquisition, the bytes of one plane of its fused image.
    tile : float
        Bytes of the largest chunk of the fused images.
    coarse : float
        Bytes of one plane of all raw images, at their coarsest level.
    pixel : float
        Bytes of a pixel.
    fields : int
        Most fields of an acquisition.
    """

    areas: Sequence[float]
    tile: float
    coarse: float
    pixel: float
    fields: int

    @property
    def memory(self) -> float:
        """Memory of a job that checks the fused well, with any number of threads."""
        read = kept(sum(self.areas) + self.coarse, self.tile) + self.tile
        most_px = min(MOST_BLOCKS, _BLOCKS_OF_FIELD * self.fields) * BLOCK_PX
        blocks = _BLOCK_BYTES * min(most_px, max(self.areas, default=0) / max(self.pixel, 1))
        return _CHECKING + max(self._choosing(), read + blocks)

    def _choosing(self) -> float:
        """What choosing the blocks takes, before anything else is read."""
        pixels = max(self.areas, default=0) / max(self.pixel, 1)
        while pixels > COARSE_PX:
            pixels /= 4
        return _COARSE_BYTES * pixels


def solving(fields: int, writes_tables: bool) -> float:
    """Memory of a job that solves the places of so many fields, and writes them as tables."""
    return (_SOLVING_TABLES if writes_tables else _SOLVING) + _SOLVED_FIELD * fields


def reporting(fields: int, pictures: int) -> float:
    """Memory of a job that reports a plate.

    Parameters
    ----------
    fields : int
        Fields of all acquisitions of the plate.
    pictures : int
        Acquisitions of all wells: each has its pictures.
    """
    page = min(PAGE_BYTES, _REPORTED_PICTURES * pictures)
    return _REPORTING + _REPORTED_FIELD * fields + _PAGE_COPIES * page

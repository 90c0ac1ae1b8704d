"""The parameters of an example plate: frozen dataclasses that check their values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from platefuse.errors import ConfigError

Json: TypeAlias = "str | int | float | Mapping[str, Json] | Sequence[Json] | None"
"""A value that can be written as JSON."""

COMPRESSORS = ("blosc-lz4", "blosc-zstd", "zstd", "gzip", "none")
TABLE_BACKENDS = ("anndata", "csv", "json", "parquet")
TABLES = (
    "FOV_ROI_table",
    "well_ROI_table",
    "registered_FOV_ROI_table",
    "registered_well_ROI_table",
    "FOV_ROI_table_registered",
    "well_ROI_table_registered",
    "nuclei_ROI_table",
    "nuclei_features",
    "condition",
)

_AXES = re.compile(r"t?c?z?yx")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class AcquisitionSpec:
    """One acquisition, and how far the plate was moved since the reference.

    Attributes
    ----------
    number : int
        The acquisition's number in the well's metadata.
    shift_px : tuple of float
        How far the plate moved, in pixels of level 0: (y, x) or (z, y, x). What the reference
        shows at pixel *p*, this acquisition shows at *p* - shift.
    field_shifts_px : tuple of tuple of float
        A further shift for each field, in the order of the fields; empty: none.
    path : str
        Path of the image in the well; empty: the number.
    """

    number: int
    shift_px: tuple[float, ...] = (0.0, 0.0)
    field_shifts_px: tuple[tuple[float, ...], ...] = ()
    path: str = ""

    def __post_init__(self) -> None:
        _require(self.number >= 0, f"acquisition number {self.number}", "0 or more")
        for shift in (self.shift_px, *self.field_shifts_px):
            good = len(shift) in (2, 3) and bool(np.isfinite(shift).all())
            _require(good, f"shift {shift!r}", "finite pixels (y, x) or (z, y, x)")
        if not self.path:
            object.__setattr__(self, "path", str(self.number))
        _require(bool(_NAME.fullmatch(self.path)), f"image path {self.path!r}", "a plain name")


def example_acquisitions(count: int, *, fractional: bool = False) -> tuple[AcquisitionSpec, ...]:
    """Acquisitions with known shifts; the first is the reference.

    Parameters
    ----------
    count : int
        Number of acquisitions.
    fractional : bool
        Shifts that are not whole pixels.

    Returns
    -------
    tuple of AcquisitionSpec
        Shifts of at most 14 pixels, which repeat after 25 acquisitions.

    Raises
    ------
    ConfigError
        If there is to be none.

    Examples
    --------
    >>> [a.shift_px for a in example_acquisitions(3)]
    [(0.0, 0.0), (7.0, -12.0), (-5.0, 9.0)]
    """
    if count < 1:
        raise ConfigError(f"An example plate cannot have {count} acquisitions: expected 1 or more.")
    shifts = [(0.0, 0.0)]
    for number in range(1, count):
        y, x = (13 * number + 7) % 25 - 13, (21 * number + 5) % 25 - 13
        shifts.append((float(y), float(x)))
    if fractional:
        shifts[1:] = [(y + 0.3, x - 0.4) for y, x in shifts[1:]]
    return tuple(AcquisitionSpec(number, shift) for number, shift in enumerate(shifts))


@dataclass(frozen=True)
class PlateSpec:
    """All parameters of an example plate; the defaults are those of the demo.

    Attributes
    ----------
    name : str
        Name of the plate in its metadata.
    wells : tuple of str
        Wells as "row/column".
    acquisitions : tuple of AcquisitionSpec
        The images of every well.
    reference_acquisition : int
        Number of the acquisition that the registered boxes refer to; it must not be shifted.
    grid : (int, int)
        Rows and columns of fields.
    field_shape : (int, int)
        Pixels (y, x) of one field.
    overlap : float or int
        Overlap of neighbouring fields on the stage: a float below 1 is a fraction of the
        field, rounded to whole pixels; an int is pixels.
    stage_origin_um : (float, float)
        Stage position (y, x) of the first field, micrometres.
    stage_jitter_px : float
        Largest distance of a field from its place in the grid, in y and in x.
    whole_pixel_stage : bool
        Whether the jitter is rounded to whole pixels.
    stage_error_px : float
        Standard deviation of the error of the stage positions in the tables, in y and in x.
    empty_wells : tuple of str
        Wells without tissue: the camera sees its background only.
    axes : str
        Axes of the images: "yx", with any of t, c, z before it, in this order.
    timepoints, planes : int
        Length of axes t and z; 1 where the axis is absent.
    channels : tuple of str
        Names of the channels: the first shows the nuclei, all others the cells around them.
        Without axis c only the first is imaged.
    dtype : str
        Data type of the images: any integer or float.
    pixel_size_um : (float, float, float)
        Pixel size (z, y, x), micrometres.
    nucleus_diameter_um : float
        Mean diameter of the nuclei.
    noise : bool
        Whether the camera adds shot and read noise. Without it every pixel is exactly the
        scene's, and fields agree in their overlaps to the bit.
    read_noise : float
        Standard deviation of the read noise, in counts of a 16-bit camera.
    labels : tuple of str
        Label images: the first outlines the nuclei, each further one a smaller core of them.
    label_dtype : str
        Data type of the labels, an integer.
    label_axes : str
        Axes of the labels, out of those of the image; empty: all but c.
    label_offset : int
        The first nucleus has the id ``label_offset + 1``.
    tables : tuple of str
        Tables of every image, out of `TABLES`.
    table_backends : mapping of str to str
        Backend of single tables, out of `TABLE_BACKENDS`; all others are AnnData.
    whole_pixel_rois : bool
        Whether the registered boxes of the reference are narrowed to whole pixels. Where
        shifts are whole pixels they are whole anyway.
    ngff_version : str
        "0.4" (Zarr v2) or "0.5" (Zarr v3).
    levels, coarsening_xy, coarsening_z : int
        Number of levels, and the factors between them.
    level_rounding : str
        Shape of a coarser level: "floor" or "ceil" of n / factor, never below 1.
    chunks, shards : tuple of int
        Trailing lengths of a chunk (and a shard, 0.5 only), such as (y, x) or (z, y, x);
        leading axes have 1. Empty chunks: one field. Empty shards: none.
    compressor : str
        One of `COMPRESSORS`.
    fill_value : float
        Fill value of the images' arrays; those of labels have 0.
    separator : str
        Dimension separator of the chunk keys, "/" or ".".
    order : str
        Memory order of the chunks, "C" or "F" ("F" with 0.4 only).
    omero : bool
        Whether images carry channel metadata.
    numbered_acquisitions : bool
        Whether the well's metadata names the acquisition of an image.
    extra_attributes : mapping
        Attributes of other tools, written next to ``multiscales`` in every image.
    pixels : bool
        Whether pixels are written. Without them there are only metadata and tables, which is enough
        to plan the jobs of a large plate.
    seed : int
        Seed of all random numbers.
    """

    name: str = "demo"
    wells: tuple[str, ...] = ("B/02", "B/03")
    acquisitions: tuple[AcquisitionSpec, ...] = field(
        default_factory=lambda: example_acquisitions(3)
    )
    reference_acquisition: int = 0
    grid: tuple[int, int] = (2, 2)
    field_shape: tuple[int, int] = (540, 640)
    overlap: float | int = 0.1
    stage_origin_um: tuple[float, float] = (-1250.5, 840.25)
    stage_jitter_px: float = 0.0
    stage_error_px: float = 0.0
    empty_wells: tuple[str, ...] = ()
    whole_pixel_stage: bool = True
    axes: str = "czyx"
    timepoints: int = 1
    planes: int = 1
    channels: tuple[str, ...] = ("DAPI", "WGA")
    dtype: str = "uint16"
    pixel_size_um: tuple[float, float, float] = (1.0, 0.65, 0.65)
    nucleus_diameter_um: float = 14.0
    noise: bool = True
    read_noise: float = 6.0
    labels: tuple[str, ...] = ("nuclei",)
    label_dtype: str = "uint32"
    label_axes: str = ""
    label_offset: int = 0
    tables: tuple[str, ...] = TABLES[:3]
    table_backends: Mapping[str, str] = field(default_factory=dict)
    whole_pixel_rois: bool = False
    ngff_version: str = "0.4"
    levels: int = 5
    coarsening_xy: int = 2
    coarsening_z: int = 1
    level_rounding: str = "floor"
    chunks: tuple[int, ...] = ()
    shards: tuple[int, ...] = ()
    compressor: str = "blosc-lz4"
    fill_value: float = 0
    separator: str = "/"
    order: str = "C"
    omero: bool = True
    numbered_acquisitions: bool = True
    extra_attributes: Mapping[str, Json] = field(default_factory=dict)
    pixels: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        self._check_plate()
        self._check_axes()
        self._check_pixels()
        self._check_storage()
        self._check_tables()

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Lengths of an image at level 0, in the order of `axes`."""
        return tuple(self.lengths[axis] for axis in self.axes)

    @property
    def lengths(self) -> dict[str, int]:
        """Length of every axis t, c, z, y, x at level 0; 1 where the image has no such axis."""
        return {
            "t": self.timepoints,
            "c": len(self.channels) if "c" in self.axes else 1,
            "z": self.planes,
            "y": self.grid[0] * self.field_shape[0],
            "x": self.grid[1] * self.field_shape[1],
        }

    @property
    def axes_of_labels(self) -> str:
        """Axes of the label images."""
        return self.label_axes or self.axes.replace("c", "")

    @property
    def overlap_px(self) -> tuple[int, int]:
        """Overlap (y, x) of neighbouring fields, whole pixels."""
        if isinstance(self.overlap, int):
            return self.overlap, self.overlap
        return round(self.overlap * self.field_shape[0]), round(self.overlap * self.field_shape[1])

    @property
    def reference(self) -> AcquisitionSpec:
        """The first acquisition that has the number `reference_acquisition`."""
        return next(a for a in self.acquisitions if a.number == self.reference_acquisition)

    def _check_plate(self) -> None:
        _require(bool(self.wells), "no well", "at least one")
        _require(len(set(self.wells)) == len(self.wells), f"wells {self.wells}", "different names")
        for well in self.wells:
            parts = well.split("/")
            good = len(parts) == 2 and all(re.fullmatch("[A-Za-z0-9]+", part) for part in parts)
            _require(good, f"well {well!r}", 'a name such as "B/03"')
        paths = [a.path for a in self.acquisitions]
        _require(len(set(paths)) == len(paths), f"image paths {paths}", "different paths")
        numbers = [a.number for a in self.acquisitions]
        found = self.reference_acquisition in numbers
        _require(found, f"reference acquisition {self.reference_acquisition}", f"one of {numbers}")
        still = not any(v for s in self._shifts(self.reference) for v in s)
        _require(still, f"shifts of the reference {self.reference}", "zeros")

    def _check_axes(self) -> None:
        good = bool(_AXES.fullmatch(self.axes))
        _require(good, f"axes {self.axes!r}", '"yx" with any of t, c, z before it, in this order')
        for axis, length in (("t", self.timepoints), ("z", self.planes)):
            good = length >= 1 and (axis in self.axes or length == 1)
            _require(good, f"{length} along {axis} with axes {self.axes!r}", "1, or an axis for it")
        _require(bool(self.channels), "no channel", "at least one")
        labels = self.axes_of_labels
        subset = bool(_AXES.fullmatch(labels)) and set(labels) <= set(self.axes) - {"c"}
        _require(subset, f"label axes {labels!r}", f"axes of {self.axes!r} without c")
        fields = self.grid[0] * self.grid[1]
        for a in self.acquisitions:
            good = len(a.field_shifts_px) in (0, fields)
            _require(good, f"{len(a.field_shifts_px)} field shifts", f"none or {fields}")
            planar = "z" in self.axes or not any(s[0] for s in self._shifts(a) if len(s) == 3)
            _require(planar, f"a shift along z with axes {self.axes!r}", "no such shift")

    def _check_pixels(self) -> None:
        _require(min(self.grid) >= 1, f"grid {self.grid}", "1 × 1 or more")
        _require(min(self.field_shape) >= 1, f"field shape {self.field_shape}", "1 × 1 or more")
        inside = all(0 <= o < n for o, n in zip(self.overlap_px, self.field_shape, strict=True))
        _require(inside, f"overlap {self.overlap}", "at least 0 and less than a field")
        sizes = (*self.pixel_size_um, self.nucleus_diameter_um)
        _require(min(sizes) > 0, f"sizes {sizes} µm", "more than 0")
        _require(self.stage_jitter_px >= 0, f"jitter {self.stage_jitter_px}", "0 or more")
        _require(self.stage_error_px >= 0, f"stage error {self.stage_error_px}", "0 or more")
        _require(_kind(self.dtype) in "iuf", f"dtype {self.dtype!r}", "an integer or a float")
        _require(_kind(self.label_dtype) in "iu", f"label dtype {self.label_dtype!r}", "an integer")
        _require(self.label_offset >= 0, f"label offset {self.label_offset}", "0 or more")
        _require(self.seed >= 0, f"seed {self.seed}", "0 or more")

    def _check_storage(self) -> None:
        versions = ("0.4", "0.5")
        _require(self.ngff_version in versions, f"NGFF {self.ngff_version!r}", f"one of {versions}")
        _require(self.compressor in COMPRESSORS, f"{self.compressor!r}", f"one of {COMPRESSORS}")
        _require(self.separator in ("/", "."), f"separator {self.separator!r}", '"/" or "."')
        factors = (self.levels, self.coarsening_xy, self.coarsening_z)
        _require(min(factors) >= 1, f"levels and factors {factors}", "1 or more")
        known = self.level_rounding in ("floor", "ceil")
        _require(known, f"level rounding {self.level_rounding!r}", '"floor" or "ceil"')
        old = self.ngff_version == "0.4"
        _require(not (old and self.shards), "shards with NGFF 0.4", "none, or NGFF 0.5")
        good_order = self.order == "C" or (self.order == "F" and old)
        _require(good_order, f"order {self.order!r} with NGFF {self.ngff_version}", '"C"')
        for lengths in (self.chunks, self.shards):
            good = len(lengths) <= len(self.axes) and all(n >= 1 for n in lengths)
            _require(good, f"chunk or shard {lengths}", f"at most {len(self.axes)} lengths")

    def _check_tables(self) -> None:
        for table in (*self.tables, *self.table_backends):
            _require(table in TABLES, f"table {table!r}", f"one of {TABLES}")
        for table, backend in self.table_backends.items():
            good = backend in TABLE_BACKENDS
            _require(good, f"backend {backend!r} of {table}", f"one of {TABLE_BACKENDS}")
        measured = {"nuclei_ROI_table", "nuclei_features"} & set(self.tables)
        _require(not measured or bool(self.labels), f"{measured} without a label", "a label")
        good = all(_NAME.fullmatch(label) for label in self.labels)
        _require(good, f"labels {self.labels}", "plain names")

    @staticmethod
    def _shifts(acquisition: AcquisitionSpec) -> tuple[tuple[float, ...], ...]:
        return (acquisition.shift_px, *acquisition.field_shifts_px)


def _kind(dtype: str) -> str:
    try:
        return np.dtype(dtype).kind
    except TypeError:
        return "?"


def _require(condition: bool, got: str, expected: str) -> None:
    if not condition:
        raise ConfigError(f"An example plate cannot have {got}: expected {expected}.")

"""The fused plate: one OME-Zarr plate with one image per well and acquisition, without seams."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from platefuse.blocks import Blend, Compositor, Paint
from platefuse.create import compressor_like, create_image, write_group
from platefuse.downsample import mean
from platefuse.engine import Target, write_views
from platefuse.errors import ConfigError, TableError, ViewError
from platefuse.files import (
    exchange,
    flush_filesystem,
    flush_folder,
    make_folder,
    remove_empty_folders,
    remove_tree,
)
from platefuse.geometry import Box, snap
from platefuse.ngff import Multiscale
from platefuse.plate import REGISTERED_SUFFIX, Plate, Well, read_attributes, staging_root
from platefuse.record import digest_tree, read_record, stamp, write_record
from platefuse.registration import RegistrationRequest
from platefuse.sources import Source
from platefuse.store import StoredArray
from platefuse.tables import Table, read_table, table_path, write_roi_table
from platefuse.views import ShiftedView

METHODS = ("weighted_average", "max", "mean", "first")


@dataclass(frozen=True)
class FusionOptions:
    """How wells are fused; the keys of the config's section `fusion`.

    Attributes
    ----------
    tile_table : str
        ROI table that says where the fields are, in the array and (in the columns
        ``*_micrometer_original``) on the stage.
    layout : str
        ``per_acquisition``: one image for each; ``stacked``: one with all their channels.
    method : str
        ``weighted_average``, ``max``, ``mean`` or ``first``.
    weights : str or None
        ``content_based`` for weights from the local content.
    blending_widths : dict of str to float
        Width of the falling weights at the borders of a field, in micrometres, for z, y, x.
    output_spacing : dict of str to float or None
        Pixel size of the fused image in micrometres; None: as the fields.
    output_stack_mode : str
        ``union``, ``intersection`` or ``sample``.
    interpolation_order : int
        0, 1 or 3: how fields that do not lie on whole pixels are sampled.
    output_chunksize : dict of str to int
        Chunks of the fused image for z, y, x.
    ngff_version : str
        ``0.4`` or ``0.5``.
    shards : dict of str to int or None
        Shards of the fused image for z, y, x; only with ``0.5``.
    """

    tile_table: str = "FOV_ROI_table"
    layout: str = "per_acquisition"
    method: str = "weighted_average"
    weights: str | None = None
    blending_widths: Mapping[str, float] = field(
        default_factory=lambda: {"z": 3.0, "y": 10.0, "x": 10.0}
    )
    output_spacing: Mapping[str, float] | None = None
    output_stack_mode: str = "union"
    interpolation_order: int = 1
    output_chunksize: Mapping[str, int] = field(
        default_factory=lambda: {"z": 1, "y": 2048, "x": 2048}
    )
    ngff_version: str = "0.4"
    shards: Mapping[str, int] | None = None

    def __post_init__(self) -> None:
        choices: dict[str, Sequence[object]] = {
            "layout": ("per_acquisition", "stacked"),
            "method": METHODS,
            "weights": (None, "content_based"),
            "output_stack_mode": ("union", "intersection", "sample"),
            "interpolation_order": (0, 1, 3),
            "ngff_version": ("0.4", "0.5"),
        }
        for key, allowed in choices.items():
            if getattr(self, key) not in allowed:
                raise ConfigError(
                    f"fusion.{key} is {getattr(self, key)!r}; expected one of {list(allowed)}."
                )
        if self.shards is not None and self.ngff_version != "0.5":
            raise ConfigError(
                f"fusion.shards is set, but fusion.ngff_version is {self.ngff_version!r}: only "
                'Zarr v3 has shards. Set fusion.ngff_version: "0.5" or fusion.shards: null.'
            )

    @property
    def compositor(self) -> Compositor:
        """What to do where fields overlap."""
        if self.method == "first":
            return Paint("first")
        return Blend(self.method)  # type: ignore[arg-type]  # checked when made

    @classmethod
    def from_config(cls, section: Mapping[str, Any]) -> FusionOptions:
        """Options from the config's section `fusion`, defaults where it has no key."""
        known = {f.name for f in fields(cls)}
        return cls(**{key: value for key, value in section.items() if key in known})


@dataclass(frozen=True)
class Field:
    """One field of a well: its data in the array, and its place on the stage.

    Attributes
    ----------
    name : str
        Row name in the tile table.
    box : Box
        Pixels of the array that hold its data, on the axes in space.
    shift_px : tuple of float
        Stage position less array position, in pixels, on the axes in space.
    stage_um : dict of str to float
        Stage position of the field in micrometres, for y and x.
    """

    name: str
    box: Box
    shift_px: tuple[float, ...]
    stage_um: dict[str, float]


def fused_plate_path(plate: str | Path, output: str | None = None) -> Path:
    """Where the fused plate goes: `output`, or ``<plate>_fused.zarr`` beside the plate."""
    path = Path(plate)
    name = path.name.removesuffix(".zarr")
    return Path(output) if output else path.with_name(f"{name}_fused.zarr")


def fuse_well(
    well: Well,
    fused: Path,
    options: FusionOptions,
    *,
    request: RegistrationRequest | None = None,
    threads: int = 1,
) -> dict[str, Any]:
    """Fuse every acquisition of a well into the fused plate: staged, then moved into place.

    A well that was fused before from the same images with the same options is left alone.

    Parameters
    ----------
    well : Well
        The well, registered or not.
    fused : Path
        Folder of the fused plate.
    options : FusionOptions
        How to fuse.
    request : RegistrationRequest, optional
        The registration; says whether the registered images stand beside the originals.
    threads : int
        Number of threads.

    Returns
    -------
    dict
        The receipt.

    Raises
    ------
    PlatefuseError
        If the images or their tables cannot be used. The fused plate is as it was.
    """
    begun = time.perf_counter()
    beside = request is not None and not request.overwrite_input
    sources = {
        image.path: well.image(image.path + REGISTERED_SUFFIX * beside) for image in well.images
    }
    wanted = {
        "options": asdict(options),
        "sources": {name: _fingerprint(path, options) for name, path in sources.items()},
    }
    target = fused / well.row / well.column
    receipt = {"well": well.name, "fused": f"{fused.name}/{well.name}"}
    record = read_record(target) or {}
    if record.get("fusion", {}).get("wanted") == wanted:
        return {**receipt, "action": "fused before", "images": record["fusion"]["images"]}
    staged = staging_root(fused) / well.row / well.column
    remove_tree(staged)
    images = {}
    for name, path in sources.items():
        images[name] = fuse_fields(path, staged / name, options, threads=threads)
    entries = [
        {"path": i.path} | ({} if i.acquisition is None else {"acquisition": i.acquisition})
        for i in well.images
    ]
    section = {"version": options.ngff_version, "images": entries}
    write_group(staged, {"well": section}, options.ngff_version)
    write_record(staged, {"fusion": {**stamp(), "wanted": wanted, "images": images}})
    _move_into_place(staged, target)
    remove_empty_folders(staged.parent, staging_root(fused))
    seconds = round(time.perf_counter() - begun, 3)
    return {**receipt, "action": "fused", "images": images, "seconds": seconds}


def fuse_fields(
    image: Path, target: Path, options: FusionOptions, *, threads: int = 1
) -> dict[str, Any]:
    """Fuse the fields of one image into a new OME-Zarr image with its pyramid and tables.

    Parameters
    ----------
    image : Path
        The image whose array holds the fields side by side.
    target : Path
        Folder of the new image.
    options : FusionOptions
        How to fuse.
    threads : int
        Number of threads.

    Returns
    -------
    dict
        Shape of the fused image, and its origin on the stage in micrometres.
    """
    multiscale = Multiscale.read(image)
    source = Source(StoredArray.open(image / multiscale.paths[0]))
    found = find_fields(image, multiscale, options.tile_table)
    origin_px = [
        min(f.box.start[d] + f.shift_px[d] for f in found) for d in range(len(multiscale.spatial))
    ]
    tolerance = _table_precision_px(found, multiscale)
    views = [_view(source, multiscale, f, origin_px, tolerance, options) for f in found]
    stop = tuple(max(v.placed.stop[d] for v in views) for d in range(len(multiscale.axes)))
    size = multiscale.pixel_size_um
    new = create_image(
        target,
        name=image.name,
        axes=multiscale.axes,
        pixel_size=[size.get(a, 1.0) for a in multiscale.axes],
        shape=stop,
        dtype=source.dtype,
        chunks=[options.output_chunksize.get(a, 1) for a in multiscale.axes],
        shards=None
        if options.shards is None
        else [options.shards.get(a, 1) for a in multiscale.axes],
        version=options.ngff_version,
        levels=len(multiscale.paths),
        omero=read_attributes(image).get("omero"),
        creation={
            "compressors": compressor_like(image / multiscale.paths[0], options.ngff_version)
        },
    )
    write_views(
        views,
        Target([StoredArray.open(target / p, mode="r+") for p in new.paths], new.factors, mean),
        options.compositor,
        threads=threads,
    )
    _write_tables(target, found, views, new)
    origin_um = {a: o * size[a] for a, o in zip(multiscale.spatial, origin_px, strict=True)}
    record = {"fusion": {**stamp(), "source": image.name, "origin_um": origin_um}}
    write_record(target, record)
    return {"shape": list(stop), "origin_um": origin_um}


def find_fields(image: Path, multiscale: Multiscale, tile_table: str) -> list[Field]:
    """Where the data of each field is, and where it lies on the stage.

    In an image that platefuse registered a field's data are its intersection with its
    registered ROI (or with the well's, if there is just one): all else is masked.

    Raises
    ------
    TableError
        If the tile table cannot be used, or no field has data.
    """
    table = read_table(image, tile_table)
    axes, size = multiscale.spatial, multiscale.pixel_size_um
    shape = [multiscale.shapes[0][multiscale.axes.index(a)] for a in axes]
    registered = _registered_boxes(image, axes)
    found = []
    for row, roi in enumerate(table.rois(axes)):
        start = [round(roi.start_um[a] / size[a]) for a in axes]
        stop = [s + round(roi.length_um[a] / size[a]) for s, a in zip(start, axes, strict=True)]
        whole = Box(tuple(start), tuple(stop))
        if not Box(tuple(s - 1 for s in (0,) * len(shape)), tuple(n + 1 for n in shape)).contains(
            whole
        ):
            raise TableError(
                f"{table.path}: field {roi.name!r} covers pixels {whole.start} to {whole.stop} "
                f"in {axes}, but the image has {tuple(shape)}. Check the table."
            )
        box = whole & Box.of_shape(shape)
        if registered:
            box = box & _registered_box(registered, roi.name, row, len(table.names), table)
        stage = {a: _stage_position(table, a, row) for a in axes}
        shift = tuple(stage[a] / size[a] - s for a, s in zip(axes, start, strict=True))
        if not box.empty:
            found.append(Field(roi.name, box, shift, stage))
    if not found:
        raise TableError(
            f"{table.path}: no field of the table has data: none meets its registered ROI."
        )
    return found


def finish_fused_plate(plate: Plate, fused: Path, options: FusionOptions) -> dict[str, Any]:
    """Write the metadata of the fused plate; all its wells must be there.

    Raises
    ------
    ViewError
        If a well has not been fused.
    """
    missing = [w.name for w in plate.wells if read_record(fused / w.row / w.column) is None]
    if missing:
        raise ViewError(f"{fused}: not fused yet: {', '.join(missing)}. Run `fuse_well` for them.")
    section = {
        **plate.metadata,
        "version": options.ngff_version,
        "name": fused.name.removesuffix(".zarr"),
        "field_count": 1,
    }
    for row in {well.row for well in plate.wells}:
        write_group(fused / row, {}, options.ngff_version)
    write_group(fused, {"plate": section}, options.ngff_version)
    return {"fused": fused.name, "wells": [well.name for well in plate.wells]}


def _registered_boxes(image: Path, axes: str) -> dict[str, Box]:
    registration = (read_record(image) or {}).get("registration")
    if not isinstance(registration, dict):
        return {}
    if registration["axes"] != axes:
        raise TableError(
            f"{image}: the record has ROIs on the axes {registration['axes']}, the image "
            f"{axes}. The image was changed after its registration."
        )
    return {
        roi["name"]: Box(
            tuple(roi["start_px"]),
            tuple(a + n for a, n in zip(roi["start_px"], roi["size_px"], strict=True)),
        )
        for roi in registration["rois"]
    }


def _registered_box(boxes: dict[str, Box], name: str, row: int, rows: int, table: Table) -> Box:
    if name in boxes:
        return boxes[name]
    if len(boxes) == 1:
        return next(iter(boxes.values()))
    if len(boxes) == rows:
        return list(boxes.values())[row]
    raise TableError(
        f"{table.path}: field {name!r} has no registered ROI; the image was registered with "
        f"{sorted(boxes)}. Use the table that the registration was computed from."
    )


def _stage_position(table: Table, axis: str, row: int) -> float:
    original = f"{axis}_micrometer_original"
    name = original if original in table.columns else f"{axis}_micrometer"
    return table.column(name)[row]


def _table_precision_px(found: Sequence[Field], multiscale: Multiscale) -> float:
    """How far float32 positions in the tables may be from the whole pixel they mean."""
    size = multiscale.pixel_size_um
    farthest = max(abs(f.stage_um[a]) / size[a] for f in found for a in multiscale.spatial)
    return min(0.25, max(1e-3, 4 * float(np.finfo(np.float32).eps) * farthest))


def _view(
    source: Source,
    image: Multiscale,
    field: Field,
    origin_px: Sequence[float],
    tolerance: float,
    options: FusionOptions,
) -> ShiftedView:
    axes = image.axes
    start, stop, shift = [0] * len(axes), list(source.shape), [0.0] * len(axes)
    for k, axis in enumerate(a for a in axes if a in "zyx"):
        i = axes.index(axis)
        start[i], stop[i] = field.box.start[k], field.box.stop[k]
        shift[i] = snap(field.shift_px[k] - origin_px[k], tolerance)
    size = image.pixel_size_um
    return ShiftedView.at(
        source,
        Box(tuple(start), tuple(stop)),
        shift,
        order=options.interpolation_order,
        widths_px=[
            options.blending_widths.get(a, 0.0) / size[a] if a in size else 0.0 for a in axes
        ],
    )


def _write_tables(
    target: Path, found: Sequence[Field], views: Sequence[ShiftedView], new: Multiscale
) -> None:
    size = new.pixel_size_um
    rows = {}
    for field_, view in zip(found, views, strict=True):
        row = _roi_row(view.placed, new)
        row |= {f"{a}_micrometer_original": field_.stage_um[a] for a in "yx"}
        rows[field_.name] = row
    write_roi_table(target, "FOV_ROI_table", rows)
    write_roi_table(
        target, "well_ROI_table", {"well_1": _roi_row(Box.of_shape(new.shapes[0]), new)}
    )


def _roi_row(box: Box, image: Multiscale) -> dict[str, float]:
    size = image.pixel_size_um
    row = {f"{a}_micrometer": 0.0 for a in "xyz"} | {f"len_{a}_micrometer": 1.0 for a in "xyz"}
    for i, axis in enumerate(image.axes):
        if axis in size:
            row[f"{axis}_micrometer"] = box.start[i] * size[axis]
            row[f"len_{axis}_micrometer"] = box.shape[i] * size[axis]
    return row


def _fingerprint(image: Path, options: FusionOptions) -> dict[str, Any]:
    """What tells one state of an image from another, without reading its pixels."""
    multiscale = Multiscale.read(image)
    files, size, newest = 0, 0, 0
    for folder, _, names in os.walk(image / multiscale.paths[0]):
        for name in names:
            stat = (Path(folder) / name).stat()
            files, size, newest = files + 1, size + stat.st_size, max(newest, stat.st_mtime_ns)
    registration = (read_record(image) or {}).get("registration", {})
    return {
        "tile_table": digest_tree(table_path(image, options.tile_table)),
        "registration": registration.get("request"),
        "files": files,
        "bytes": size,
        "newest_ns": newest,
    }


def _move_into_place(staged: Path, target: Path) -> None:
    make_folder(target.parent)
    flush_filesystem(staged)
    if not target.exists():
        staged.rename(target)
    elif exchange(staged, target):
        remove_tree(staged)
    else:
        remove_tree(target)
        staged.rename(target)
    flush_folder(target.parent)

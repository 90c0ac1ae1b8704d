"""The fused plate: an OME-Zarr plate with one image per well and acquisition, without seams."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from platefuse.blocks import Compositor, Paint
from platefuse.create import compressor_like, create_image, write_group
from platefuse.downsample import Downsample, mean, nearest
from platefuse.engine import Target, write_views
from platefuse.errors import ViewError
from platefuse.files import (
    exchange,
    flush_filesystem,
    flush_folder,
    make_folder,
    remove_empty_folders,
    remove_tree,
)
from platefuse.frame import Frame
from platefuse.fused_tables import write_fused_tables
from platefuse.fusion_options import FusionOptions
from platefuse.geometry import Box
from platefuse.layers import Layer, frame_of, frame_on
from platefuse.ngff import Multiscale, label_names
from platefuse.plate import REGISTERED_SUFFIX, Plate, Well, read_attributes, staging_root
from platefuse.record import digest_tree, read_record, stamp, write_record
from platefuse.registration import RegistrationRequest
from platefuse.store import StoredArray
from platefuse.tables import table_path
from platefuse.views import View

__all__ = ["FusionOptions", "finish_fused_plate", "fuse_well", "fused_plate_path"]


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
    sources = {i.path: well.image(i.path + REGISTERED_SUFFIX * beside) for i in well.images}
    wanted = {
        "options": asdict(options),
        "sources": {name: _fingerprint(path, options) for name, path in sources.items()},
    }
    target = fused / well.row / well.column
    receipt = {"well": well.name, "fused": f"{fused.name}/{well.name}"}
    record = read_record(target) or {}
    if record.get("fusion", {}).get("wanted") == wanted:
        return {**receipt, "action": "fused before", "images": record["fusion"]["images"]}
    layers = [
        Layer.read(i.path, i.acquisition, sources[i.path], options.tile_table) for i in well.images
    ]
    staged = staging_root(fused) / well.row / well.column
    remove_tree(staged)
    images, entries = {}, []
    for name, group in _images(layers, options.layout):
        images[name] = fuse_layers(group, staged / name, options, threads=threads)
        acquisition = group[0].acquisition
        entries.append(
            {"path": name} | ({} if acquisition is None else {"acquisition": acquisition})
        )
    section = {"version": options.ngff_version, "images": entries}
    write_group(staged, {"well": section}, options.ngff_version)
    write_record(staged, {"fusion": {**stamp(), "wanted": wanted, "images": images}})
    _move_into_place(staged, target)
    remove_empty_folders(staged.parent, staging_root(fused))
    seconds = round(time.perf_counter() - begun, 3)
    return {**receipt, "action": "fused", "images": images, "seconds": seconds}


def fuse_layers(
    layers: Sequence[Layer], target: Path, options: FusionOptions, *, threads: int = 1
) -> dict[str, Any]:
    """Fuse the fields of one or more acquisitions into a new image with labels and tables.

    Parameters
    ----------
    layers : sequence of Layer
        The acquisitions; several are stacked by channel.
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

    Raises
    ------
    ViewError
        If the acquisitions do not fit together.
    """
    image = layers[0].image
    asked = options.output_spacing or {}
    spacing = [asked.get(a, image.pixel_size_um[a]) for a in image.spatial]
    frame = frame_of(layers, spacing, options.output_stack_mode)
    axes = image.axes if len(layers) == 1 or "c" in image.axes else _with_channels(image.axes)
    views: list[View] = []
    channels = 0
    for layer in layers:
        _check_fits(layer, layers[0])
        views += layer.views(
            layer.image,
            frame,
            axes,
            order=options.interpolation_order,
            widths_um=dict(options.blending_widths),
            first_channel=channels,
        )
        channels += layer.channels
    leading = [
        channels if a == "c" else image.shapes[0][image.axes.index(a)]
        for a in axes
        if a not in "zyx"
    ]
    extent = reduce(Box.joined, (view.placed for view in views))
    how = options.compositor(extent, len(frame.shape))
    new = _write(
        views,
        how,
        mean,
        frame,
        target,
        axes,
        leading,
        options,
        image,
        threads,
        omero=_omero(layers),
    )
    _fuse_labels(layers, target, frame, options, threads)
    write_fused_tables(layers, target, frame, new)
    corner = {a: o - s / 2 for a, o, s in zip(frame.axes, frame.origin, frame.spacing, strict=True)}
    record = {"sources": [layer.name for layer in layers], "origin_um": corner}
    write_record(target, {"fusion": {**stamp(), **record}})
    return {"shape": [*leading, *frame.shape], "origin_um": corner}


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


def _images(layers: Sequence[Layer], layout: str) -> list[tuple[str, list[Layer]]]:
    """The images of the fused well: path and layers of each."""
    if layout == "stacked":
        return [(layers[0].name, list(layers))]
    return [(layer.name, [layer]) for layer in layers]


def _fuse_labels(
    layers: Sequence[Layer], target: Path, frame: Frame, options: FusionOptions, threads: int
) -> None:
    """Fuse every label beside the image: nearest, and the first field that has an id wins."""
    found = [(layer, name) for layer in layers for name in label_names(layer.image.path)]
    if not found:
        return
    names = [name for _, name in found]
    listed = []
    for layer, name in found:
        new = name if names.count(name) == 1 else f"{name}_acq{layer.acquisition}"
        label = Multiscale.read(layer.image.path / "labels" / name)
        inner = frame_on(frame, label.spatial)
        views = layer.views(label, inner, label.axes, order=0)
        leading = [n for n, a in zip(label.shapes[0], label.axes, strict=True) if a not in "zyx"]
        _write(
            views,
            Paint("label"),
            nearest,
            inner,
            target / "labels" / new,
            label.axes,
            leading,
            options,
            label,
            threads,
            label=_image_label(label),
        )
        listed.append(new)
    write_group(target / "labels", {"labels": listed}, options.ngff_version)


def _write(
    views: Sequence[View],
    how: Compositor,
    downsample: Downsample,
    frame: Frame,
    target: Path,
    axes: str,
    leading: Sequence[int],
    options: FusionOptions,
    like: Multiscale,
    threads: int,
    *,
    omero: dict[str, Any] | None = None,
    label: dict[str, Any] | None = None,
) -> Multiscale:
    """Create a fused image or label and write all its levels."""
    size = frame.as_dict(frame.spacing)
    first = like.path / like.paths[0]
    new = create_image(
        target,
        name=target.name,
        axes=axes,
        pixel_size=[size.get(a, 1.0) for a in axes],
        shape=[*leading, *frame.shape],
        dtype=StoredArray.open(first).dtype,
        chunks=[options.output_chunksize.get(a, 1) for a in axes],
        shards=None if options.shards is None else [options.shards.get(a, 1) for a in axes],
        version=options.ngff_version,
        levels=len(like.paths),
        attributes={"omero": omero, "image-label": label},
        creation={"compressors": compressor_like(first, options.ngff_version)},
    )
    arrays = [StoredArray.open(target / p, mode="r+") for p in new.paths]
    write_views(views, Target(arrays, new.factors, downsample), how, threads=threads)
    return new


def _with_channels(axes: str) -> str:
    return axes.replace("t", "tc") if "t" in axes else f"c{axes}"


def _check_fits(layer: Layer, first: Layer) -> None:
    for what, got, expected in (
        ("axes", layer.image.axes, first.image.axes),
        (
            "data type",
            *(StoredArray.open(x.image.path / x.image.paths[0]).dtype for x in (layer, first)),
        ),
        (
            "pixel size",
            *(np.round(list(x.image.pixel_size_um.values()), 6).tolist() for x in (layer, first)),
        ),
    ):
        if got != expected:
            raise ViewError(
                f"{layer.image.path}: its {what} is {got}, that of image {first.name} "
                f"is {expected}; they cannot be stacked. Set fusion.layout: per_acquisition."
            )


def _omero(layers: Sequence[Layer]) -> dict[str, Any] | None:
    """Channel metadata: as they are for one acquisition; names made unique for several."""
    found = [read_attributes(layer.image.path).get("omero") for layer in layers]
    if len(layers) == 1 or not any(found):
        return found[0]
    channels = []
    for layer, omero in zip(layers, found, strict=True):
        named = (omero or {}).get("channels") or [
            {"label": f"channel_{k}", "color": "FFFFFF"} for k in range(layer.channels)
        ]
        for channel in named:
            unique = {
                key: f"{channel[key]}_acq{layer.acquisition}"
                for key in ("label", "wavelength_id")
                if key in channel
            }
            channels.append({**channel, **unique})
    return {**(found[0] or {}), "channels": channels}


def _image_label(label: Multiscale) -> dict[str, Any]:
    found = read_attributes(label.path).get("image-label")
    return {**(found if isinstance(found, dict) else {}), "source": {"image": "../../"}}


def _fingerprint(image: Path, options: FusionOptions) -> dict[str, Any]:
    """What tells one state of an image from another, without reading its pixels."""
    multiscale = Multiscale.read(image)
    files, size, newest = 0, 0, 0
    levels = [image / multiscale.paths[0], image / "labels"]
    for folder, _, names in (entry for level in levels for entry in os.walk(level)):
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

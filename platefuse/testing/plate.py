"""Write an example plate."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from platefuse.errors import PlateError
from platefuse.testing import metadata
from platefuse.testing.arrays import Pyramid
from platefuse.testing.camera import add_noise, to_counts
from platefuse.testing.layout import field_origins, field_shifts, stage_positions
from platefuse.testing.scene import Scene, Window
from platefuse.testing.spec import AcquisitionSpec, PlateSpec
from platefuse.testing.tables import TableWriter, zarr_format
from platefuse.testing.truth import Truth

if TYPE_CHECKING:
    import zarr


def make_plate(path: str | Path, spec: PlateSpec | None = None) -> Truth:
    """Write a plate whose truth is known.

    Parameters
    ----------
    path : str or Path
        Folder of the plate, ``something.zarr``; it must not exist.
    spec : PlateSpec, optional
        Its parameters; by default those of the demo.

    Returns
    -------
    Truth
        The results that registration and fusion must have. ``Truth(spec)`` is the same and writes
        nothing.

    Raises
    ------
    PlateError
        If `path` exists.
    """
    spec = PlateSpec() if spec is None else spec
    path = Path(path)
    if path.exists():
        raise PlateError(
            f"{path} exists already: an example plate is only written to a new folder. "
            "Delete it or give another path."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    # The plate appears under its name when it is complete.
    with tempfile.TemporaryDirectory(prefix=f".{path.stem}-", dir=path.parent) as folder:
        unfinished = Path(folder, path.name)
        _write_plate(unfinished, spec)
        unfinished.rename(path)
    return Truth(spec)


def _write_plate(path: Path, spec: PlateSpec) -> None:
    _write_group(spec, path, metadata.plate_document(spec))
    for row in sorted({well.split("/")[0] for well in spec.wells}):
        _write_group(spec, path / row, None)
    tables = TableWriter(spec)
    for index, well in enumerate(spec.wells):
        _write_group(spec, path / well, metadata.well_document(spec))
        scene = Scene(spec, index)
        for acquisition in spec.acquisitions:
            image = path / well / acquisition.path
            _write_image(image, scene, acquisition)
            tables.write(image, well, acquisition)


def _write_image(path: Path, scene: Scene, acquisition: AcquisitionSpec) -> None:
    spec = scene.spec
    name = f"{spec.wells[scene.well].replace('/', '')}_{acquisition.path}"
    group = _write_group(spec, path, metadata.image_document(spec, name))
    group.attrs.update(dict(spec.extra_attributes))
    pyramid = Pyramid(spec, spec.axes, spec.dtype, is_label=False)
    arrays = pyramid.create(group)
    if spec.pixels:
        pyramid.write(arrays, functools.partial(_image_plane, scene, acquisition))
    if spec.labels:
        _write_labels(path / "labels", scene, acquisition)


def _write_labels(path: Path, scene: Scene, acquisition: AcquisitionSpec) -> None:
    spec = scene.spec
    _write_group(spec, path, {"labels": list(spec.labels)})
    for index, label in enumerate(spec.labels):
        group = _write_group(spec, path / label, metadata.label_document(spec, label))
        pyramid = Pyramid(spec, spec.axes_of_labels, spec.label_dtype, is_label=True)
        arrays = pyramid.create(group)
        if spec.pixels:
            pyramid.write(arrays, functools.partial(_label_plane, scene, acquisition, index))


def _write_group(spec: PlateSpec, path: Path, document: metadata.JsonObject | None) -> zarr.Group:
    import zarr

    group = zarr.open_group(path, mode="a", zarr_format=zarr_format(spec))
    if document is not None:
        group.attrs.update(metadata.attributes(spec, document))
    return group


def _image_plane(
    scene: Scene, acquisition: AcquisitionSpec, at: Mapping[str, int]
) -> NDArray[np.generic]:
    """One plane of the array: the camera images of all fields, side by side."""
    spec = scene.spec
    plane = np.empty((spec.lengths["y"], spec.lengths["x"]), spec.dtype)
    t, c, z = (at.get(axis, 0) for axis in "tcz")
    number = spec.acquisitions.index(acquisition)
    for index, (place, window) in enumerate(_fields(spec, acquisition, z)):
        counts = scene.counts(window, channel=c, timepoint=t)
        if spec.noise:
            rng = np.random.default_rng([spec.seed, 3, scene.well, number, t, c, z, index])
            counts = add_noise(counts, spec.read_noise, rng)
        plane[place] = to_counts(counts, spec.dtype)
    return plane


def _label_plane(
    scene: Scene, acquisition: AcquisitionSpec, index: int, at: Mapping[str, int]
) -> NDArray[np.generic]:
    spec = scene.spec
    plane = np.empty((spec.lengths["y"], spec.lengths["x"]), spec.label_dtype)
    flat = "z" not in spec.axes_of_labels
    for place, window in _fields(spec, acquisition, at.get("z", 0)):
        plane[place] = scene.label(window, index=index, flat=flat)
    return plane


def _fields(
    spec: PlateSpec, acquisition: AcquisitionSpec, z: int
) -> list[tuple[tuple[slice, slice], Window]]:
    """For every field, its place in the array and the part of the scene that it shows."""
    origins, shape = field_origins(spec), spec.field_shape
    positions = stage_positions(spec) + field_shifts(spec, acquisition)[:, 1:]
    depths = z + field_shifts(spec, acquisition)[:, 0]
    fields = []
    for (row, column), (y, x), depth in zip(origins, positions, depths, strict=True):
        place = slice(row, row + shape[0]), slice(column, column + shape[1])
        fields.append((place, Window((float(depth), float(y), float(x)), shape)))
    return fields

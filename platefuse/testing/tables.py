"""Fractal tables of an example image, in every backend of Fractal."""

from __future__ import annotations

import pickle
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from platefuse.testing.layout import (
    Boxes,
    field_boxes,
    registered_field_boxes,
    registered_well_box,
    stage_errors,
    stage_positions,
    well_boxes,
)
from platefuse.testing.spec import AcquisitionSpec, Json, PlateSpec

if TYPE_CHECKING:
    import pandas as pd
    import zarr

_BOX_COLUMNS = (
    "x_micrometer",
    "y_micrometer",
    "z_micrometer",
    "len_x_micrometer",
    "len_y_micrometer",
    "len_z_micrometer",
)
Numbers = NDArray[np.int64] | NDArray[np.float64]
_MEASURED = ("nuclei_ROI_table", "nuclei_features")


@dataclass(frozen=True)
class Table:
    """A table before it is written.

    Attributes
    ----------
    rows : pandas.DataFrame
        Its columns; the index holds the names of the rows.
    attributes : mapping
        Attributes that Fractal writes with it: its type, and what readers need for this type.
    """

    rows: pd.DataFrame
    attributes: Mapping[str, Json]


@dataclass
class TableWriter:
    """Writes the tables of many images; equal ones are written once and copied.

    Attributes
    ----------
    spec : PlateSpec
        The plate.
    """

    spec: PlateSpec
    _written: dict[tuple[str, str], Path] = field(default_factory=dict)

    def write(self, image: Path, well: str, acquisition: AcquisitionSpec) -> None:
        """Write all tables of one image. Its pixels and labels must have been written.

        Parameters
        ----------
        image : Path
            Folder of the image.
        well : str
            Name of the well.
        acquisition : AcquisitionSpec
            The image's acquisition.
        """
        import zarr

        if not self.spec.tables:
            return
        group = zarr.open_group(image / "tables", mode="w", zarr_format=zarr_format(self.spec))
        group.attrs["tables"] = list(self.spec.tables)
        for name in self.spec.tables:
            key = (name, str(image if name in _MEASURED else _content_of(name, well, acquisition)))
            if key in self._written:
                shutil.copytree(self._written[key], image / "tables" / name)
                continue
            table = make_table(self.spec, name, image, well, acquisition)
            write_table(group, name, table, self.spec.table_backends.get(name, "anndata"))
            self._written[key] = image / "tables" / name


def _content_of(name: str, well: str, acquisition: AcquisitionSpec) -> str:
    """The part of an image on which the content of a table depends."""
    if name == "condition":
        return well
    return acquisition.path if "registered" in name else ""


def zarr_format(spec: PlateSpec) -> Literal[2, 3]:
    """The Zarr format of the plate's NGFF version."""
    return 2 if spec.ngff_version == "0.4" else 3


def make_table(
    spec: PlateSpec, name: str, image: Path, well: str, acquisition: AcquisitionSpec
) -> Table:
    """One of the tables `spec.TABLES`, by its name."""
    if name == "nuclei_ROI_table":
        return _masking_table(spec, image)
    if name == "nuclei_features":
        return _feature_table(spec, image)
    if name == "condition":
        return _condition_table(well)
    registered = "registered" in name
    if name.replace("registered", "").strip("_") == "FOV_ROI_table":
        boxes = registered_field_boxes(spec, acquisition) if registered else field_boxes(spec)
        return _field_table(spec, boxes, with_stage=not registered)
    boxes = registered_well_box(spec, acquisition) if registered else well_boxes(spec)
    return _field_table(spec, boxes, with_stage=False)


def write_table(group: zarr.Group, name: str, table: Table, backend: str) -> None:
    """Write a table into the Zarr group of an image's tables.

    Parameters
    ----------
    group : zarr.Group
        The group ``tables``.
    name : str
        Name of the table.
    table : Table
        What to write.
    backend : str
        One of `TABLE_BACKENDS`.
    """
    if backend == "anndata":
        _write_anndata(group, name, table)
        return
    index = str(table.rows.index.name)
    rows = table.rows.reset_index()
    target = group.create_group(name)
    target.attrs.update(
        {
            **table.attributes,
            "table_version": "1",
            "backend": backend,
            "index_key": index,
            "index_type": "int" if rows[index].dtype.kind in "iu" else "str",
        }
    )
    folder = _folder(group) / name
    if backend == "csv":
        rows.to_csv(folder / "table.csv", index=False)
    elif backend == "parquet":
        rows.to_parquet(folder / "table.parquet", index=False)
    else:
        target.create_group("table").attrs.update(
            {str(column): values for column, values in rows.to_dict(orient="list").items()}
        )


def _write_anndata(group: zarr.Group, name: str, table: Table) -> None:
    """As Fractal 1.x does: numbers in float32 X, everything else in obs."""
    files = _anndata_files(group.metadata.zarr_format, pickle.dumps(table))
    for path, content in files.items():
        file = _folder(group) / name / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


@lru_cache(maxsize=256)
def _anndata_files(zarr_format: Literal[2, 3], pickled: bytes) -> Mapping[str, bytes]:
    """The files of a table by their paths in it. Wells have the same tables, and so do test plates.

    They are made in memory, because anndata opens each member of a table several times.
    """
    import anndata
    import pandas as pd
    import zarr
    from anndata.io import write_elem
    from zarr.core.buffer import Buffer
    from zarr.storage import MemoryStore

    table: Table = pickle.loads(pickled)
    rows = table.rows
    floats = [column for column in rows.columns if rows[column].dtype.kind == "f"]
    index = pd.Index([str(row) for row in rows.index], name=rows.index.name)
    obs = rows.drop(columns=floats).set_axis(index)
    if rows.index.name == table.attributes.get("instance_key"):
        obs.insert(0, rows.index.name, rows.index.to_numpy())
        obs.index.name = None
    var = pd.DataFrame(index=pd.Index(floats))
    table_of_floats = anndata.AnnData(X=rows[floats].to_numpy(np.float32), obs=obs, var=var)
    files: dict[str, Buffer] = {}
    group = zarr.create_group(MemoryStore(files), zarr_format=zarr_format)
    # Texts as the installed anndata and pandas have them: that is what users' plates hold.
    texts = anndata.settings.override(allow_write_nullable_strings=True)
    with texts, warnings.catch_warnings():
        # Announcements of what the next anndata and the next Zarr specification may do.
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", FutureWarning)
        write_elem(group, "t", table_of_floats)
    # Newer versions write an empty `raw`, which those that Fractal 1.x runs with cannot read.
    written = group["t"]
    if isinstance(written, zarr.Group) and "raw" in written:
        del written["raw"]
    written.attrs.update({**table.attributes, "fractal_table_version": "1"})
    return {p[2:]: b.to_bytes() for p, b in files.items() if p.startswith("t/")}


def _folder(group: zarr.Group) -> Path:
    """The folder of a group on disk."""
    from zarr.storage import LocalStore

    assert isinstance(group.store, LocalStore)
    return Path(group.store.root, group.path)


def _field_table(spec: PlateSpec, boxes: Boxes, *, with_stage: bool) -> Table:
    import pandas as pd

    columns = _in_micrometres(spec, boxes.start_px, boxes.size_px)
    if with_stage:
        stage_px = stage_positions(spec) + stage_errors(spec)
        stage_um = stage_px * spec.pixel_size_um[1:] + spec.stage_origin_um
        columns["x_micrometer_original"] = stage_um[:, 1]
        columns["y_micrometer_original"] = stage_um[:, 0]
    index = pd.Index(boxes.names, name="FieldIndex")
    return Table(pd.DataFrame(columns, index=index), {"type": "roi_table"})


def _masking_table(spec: PlateSpec, image: Path) -> Table:
    import pandas as pd

    found = _measure(spec, image)
    columns = _in_micrometres(spec, found.start_px, found.size_px)
    rows = pd.DataFrame(columns, index=pd.Index(found.ids, name="label"))
    return Table(rows, {"type": "masking_roi_table", **_instances(spec)})


def _feature_table(spec: PlateSpec, image: Path) -> Table:
    import pandas as pd

    found = _measure(spec, image)
    _, y, x = spec.pixel_size_um
    columns = {
        "area_um2": found.pixels * y * x,
        "mean_intensity": found.mean_intensity,
    }
    rows = pd.DataFrame(columns, index=pd.Index(found.ids, name="label"))
    return Table(rows, {"type": "feature_table", **_instances(spec)})


def _condition_table(well: str) -> Table:
    import pandas as pd

    row, column = well.split("/")
    columns = {"row": [row], "column": [column], "drug": ["DMSO"], "concentration_um": [0.5]}
    rows = pd.DataFrame(columns, index=pd.Index(["0"], name="index"))
    return Table(rows, {"type": "condition_table"})


def _instances(spec: PlateSpec) -> dict[str, Json]:
    return {"region": {"path": f"../labels/{spec.labels[0]}"}, "instance_key": "label"}


def _in_micrometres(
    spec: PlateSpec, start_px: Numbers, size_px: Numbers
) -> dict[str, NDArray[np.float64]]:
    start, size = (px * np.array(spec.pixel_size_um) for px in (start_px, size_px))
    values = (*(start[:, axis] for axis in (2, 1, 0)), *(size[:, axis] for axis in (2, 1, 0)))
    return dict(zip(_BOX_COLUMNS, values, strict=True))


@dataclass(frozen=True)
class _Measured:
    ids: NDArray[np.int64]
    start_px: NDArray[np.int64]
    size_px: NDArray[np.int64]
    pixels: NDArray[np.int64]
    mean_intensity: NDArray[np.float64]


def _measure(spec: PlateSpec, image: Path) -> _Measured:
    """Box, size and brightness in the first channel of every id of the first label."""
    import zarr

    shape = tuple(spec.lengths[axis] for axis in "zyx")
    label = np.asarray(zarr.open_array(image / "labels" / spec.labels[0] / "0")[...])
    pixels = np.asarray(zarr.open_array(image / "0")[...])
    label = label.reshape(
        -1, *(n for a, n in zip("zyx", shape, strict=True) if a in spec.axes_of_labels)
    )
    label = np.broadcast_to(label[0], shape)
    pixels = pixels.reshape(-1, *shape)[0]
    where = np.nonzero(label)
    ids, of, count = np.unique(label[where], return_inverse=True, return_counts=True)
    low = np.full((len(ids), 3), np.iinfo(np.int64).max)
    high = np.zeros((len(ids), 3), np.int64)
    for axis in range(3):
        np.minimum.at(low[:, axis], of, where[axis])
        np.maximum.at(high[:, axis], of, where[axis] + 1)
    total = np.bincount(of, weights=pixels[where].astype(float), minlength=len(ids))
    return _Measured(ids.astype(np.int64), low, high - low, count, total / count)

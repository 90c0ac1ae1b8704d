"""Write tables of any backend from data frames."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import zarr
from anndata import AnnData, settings
from anndata.io import write_elem

from platefuse.ngff.create import write_group

BACKENDS = ("anndata", "csv", "json", "parquet")
BOX = [f"{part}{axis}_micrometer" for part in ("", "len_") for axis in "zyx"]


def write_table(table: Path, backend: str, frame: pd.DataFrame, kind: str) -> None:
    """Write or replace a table; the names of its rows are the index of the frame."""
    shutil.rmtree(table, ignore_errors=True)
    attributes = {"type": kind, "backend": backend}
    if backend == "anndata":
        group = zarr.open_group(table.parent, mode="a")
        names = pd.DataFrame(index=frame.index.astype(str))
        columns = pd.DataFrame(index=frame.columns.astype(str))
        with settings.override(auto_shard_zarr_v3=False, allow_write_nullable_strings=True):
            write_elem(group, table.name, AnnData(frame.to_numpy(), names, columns))
        group[table.name].attrs.update(attributes)
        return
    write_group(table, attributes, "0.4")
    if backend == "parquet":
        frame.rename_axis("index").reset_index().to_parquet(table / "table.parquet")
    elif backend == "csv":
        frame.to_csv(table / "table.csv")
    else:
        (table / "table.json").write_text(frame.to_json())

"""Open fields on disk as images of the multiview-stitcher data model, the same for all sides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

KEY = "stage"


def load_sims(folder: Path) -> list[Any]:
    """Open the fields of a ``fields.json`` as xarray images over dask arrays over Zarr.

    Parameters
    ----------
    folder : Path
        Contains the file and one Zarr array for each field, axes ``tczyx`` or ``tcyx``. Fields
        with a ``box`` (first and last pixel on y and x) are parts of a larger array, which may
        have no axis ``t``.
    """
    import dask.array
    import numpy as np
    import xarray as xr
    import zarr

    description = json.loads((folder / "fields.json").read_text())
    space = description["space"]
    sims = []
    for field in description["fields"]:
        stored = zarr.open_array(folder / field["path"], mode="r")
        pixels: Any = dask.array.from_zarr(stored)
        if box := field.get("box"):
            pixels = pixels[..., slice(*box[0]), slice(*box[1])]
            pixels = pixels[(None,) * (2 + len(space) - pixels.ndim)]
        coords: dict[str, Any] = {"t": [0.0], "c": description["channels"]}
        for axis, n in zip(space, pixels.shape[2:], strict=True):
            positions = field["origin"][axis] + np.arange(n) * description["spacing"][axis]
            coords[axis] = positions
        sim = xr.DataArray(pixels, dims=("t", "c", *space), coords=coords)
        names = [*space, "1"]
        sim.attrs["transforms"] = {
            KEY: xr.DataArray(
                np.array(field["affine"]),
                dims=("x_in", "x_out"),
                coords={"x_in": names, "x_out": names},
            )
        }
        sims.append(sim)
    return sims

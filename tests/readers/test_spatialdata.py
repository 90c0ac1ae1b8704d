"""A fused well becomes a SpatialData object, and anndata reads its tables.

spatialdata opens stores that it has written itself; arrays and tables of others are put into a
`SpatialData` object first. The code that does it here is that of ``docs/how-to/view.md``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.readers.expected import ExpectedImage, ExpectedPlate, plates

spatialdata = pytest.importorskip("spatialdata")
anndata = pytest.importorskip("anndata")
zarr = pytest.importorskip("zarr")
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "view.md"
IMAGES = [(plate, image) for plate in plates() for image in plate.images]
every_image = pytest.mark.parametrize(
    ("plate", "image"), IMAGES, ids=[f"{p.path.stem}/{i.well}/{i.path}" for p, i in IMAGES]
)


def is_anndata(table: Any) -> bool:
    return bool(table.attrs.get("encoding-type") == "anndata")


@every_image
def test_tables(plate: ExpectedPlate, image: ExpectedImage) -> None:
    tables = zarr.open_group(str(plate.folder(image) / "tables"), mode="r")
    read = []
    for name, boxes in image.boxes.items():
        if not is_anndata(tables[name]):
            continue
        frame = anndata.io.read_elem(tables[name]).to_df()
        columns = [f"{part}{axis}_micrometer" for part in ("", "len_") for axis in "zyx"]
        assert {*frame.index} == {*boxes}
        for row, box in boxes.items():
            np.testing.assert_allclose(frame.loc[row, columns], box, rtol=1e-5, atol=1e-4)
        read.append(name)
    assert {"FOV_ROI_table", "well_ROI_table"} <= {*read}
    if is_anndata(tables["nuclei_features"]):
        frame = anndata.io.read_elem(tables["nuclei_features"]).to_df()
        for column, values in image.features.items():
            assert {*frame.index} == {*values}
            np.testing.assert_allclose(frame.loc[list(values), column], list(values.values()))


@every_image
def test_spatialdata(plate: ExpectedPlate, image: ExpectedImage, tmp_path: Path) -> None:
    tables = zarr.open_group(str(plate.folder(image) / "tables"), mode="r")
    if not is_anndata(tables["nuclei_features"]):
        pytest.skip("spatialdata takes tables of anndata only")
    (code,) = re.findall(r"```python\n(import anndata\n.*?)```", PAGE.read_text(), re.DOTALL)
    assert "plate_fused.zarr/B/02/0" in code
    code = code.replace("plate_fused.zarr/B/02/0", str(plate.folder(image)))
    exec(code.replace("well.zarr", str(tmp_path / "well.zarr")), {})
    found = spatialdata.read_zarr(tmp_path / "well.zarr")
    np.testing.assert_array_equal(np.asarray(found["image"]), plate.pixels(image))
    np.testing.assert_array_equal(np.asarray(found["nuclei"]), plate.label(image))
    sizes = np.array(plate.pixels(image).shape[1:]) * image.pixel_size_um
    got = dict(spatialdata.get_extent(found["image"]))
    np.testing.assert_allclose([got[axis][1] for axis in "zyx"], sizes)
    if image.channels:
        assert tuple(found["image"].coords["c"].values) == image.channels
    table = found["features"]
    assert {*table.obs["label"].astype(str)} == {*next(iter(image.features.values()))}
    instances = spatialdata.get_element_instances(found["nuclei"])
    assert {*table.obs["label"]} >= {*instances} - {0}

"""What a user does with an installed platefuse: register a small plate, and fuse an image of it.

Run by test_wheel.py in an environment without this clone: ``python use_wheel.py FOLDER``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import anndata
import numpy as np
import zarr
from multiview_stitcher import spatial_image_utils
from ngio import open_ome_zarr_container

import platefuse
from platefuse.testing import AcquisitionSpec, PlateSpec, make_plate

FIELDS = "registered_FOV_ROI_table"


def register(folder: Path) -> None:
    """Register an acquisition both ways, and read it with ngio."""
    spec = PlateSpec(
        wells=("B/03",),
        acquisitions=(AcquisitionSpec(0), AcquisitionSpec(1, shift_px=(3, -5))),
        field_shape=(96, 112),
        levels=2,
        noise=False,
    )
    truth = make_plate(folder / "plate.zarr", spec)
    well = folder / "plate.zarr" / "B" / "03"
    expected = truth.registered("B/03", "1")
    table, reference = (anndata.read_zarr(well / image / "tables" / FIELDS) for image in "10")
    platefuse.write_registered_zarr(well / "1", well / "new", table, reference, num_levels=2)
    np.testing.assert_array_equal(np.asarray(zarr.open_array(well / "new" / "0")), expected)
    done = platefuse.apply_registration_to_image(
        zarr_url=str(well / "1"), registered_roi_table=FIELDS
    )
    assert done == {"image_list_updates": [{"zarr_url": str(well / "1")}]}
    container = open_ome_zarr_container(well / "1")
    np.testing.assert_array_equal(container.get_image().get_as_numpy(), expected)
    names = [roi.name for roi in container.get_table("FOV_ROI_table").rois()]
    assert names == list(truth.boxes("FOV_ROI_table", "0").names)


def fuse(folder: Path) -> None:
    """Fuse two overlapping images of multiview-stitcher, in memory and to disk."""
    scene = np.random.default_rng(0).integers(0, 60_000, (40, 60)).astype(np.uint16)
    views = [
        spatial_image_utils.get_sim_from_array(
            scene[:, start : start + 40],
            dims=["y", "x"],
            scale={"y": 1, "x": 1},
            translation={"y": 0, "x": start},
            transform_key="stage",
        )
        for start in (0, 20)
    ]
    lazy = platefuse.fuse(views, "stage")
    np.testing.assert_array_equal(lazy.values.squeeze(), scene)
    for version in ("0.4", "0.5"):
        target = folder / f"fused_{version}.zarr"
        platefuse.fuse(
            views,
            "stage",
            output_zarr_url=str(target),
            zarr_options={"ome_zarr": True, "ngff_version": version},
        )
        image = open_ome_zarr_container(target).get_image()
        np.testing.assert_array_equal(image.get_as_numpy().squeeze(), scene)


if __name__ == "__main__":
    register(Path(sys.argv[1]))
    fuse(Path(sys.argv[1]))

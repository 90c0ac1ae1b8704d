"""Job: find the places of the fields of a raw plate with multiview-stitcher.

The first acquisition is stitched by `registration.register` with axis-aligned pairs; a field of
another acquisition is registered with that of the first one. Everything else is as by default.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from benchmarks.jobs.protocol import run_job
from benchmarks.jobs.raw_fields import Place, RawField, Separately

OLD, NEW = "stage", "registered"


def prepare(folder: str, threads: int) -> Callable[[], object]:
    dask_array, dask = import_module("dask.array"), import_module("dask")
    registration, si_utils, msi_utils = (
        import_module(f"multiview_stitcher.{name}")
        for name in ("registration", "spatial_image_utils", "msi_utils")
    )
    dask.config.set(num_workers=threads)

    def image(field: RawField, place: Sequence[float]) -> Any:
        sim = si_utils.get_sim_from_array(
            dask_array.from_zarr(field.array())[0, 0],
            dims=["y", "x"],
            scale={"y": 1.0, "x": 1.0},
            translation=dict(zip("yx", place, strict=True)),
            transform_key=OLD,
        )
        return msi_utils.get_msim_from_sim(sim, scale_factors=[])

    def shifts(images: list[Any], **options: Any) -> list[Place]:
        found = registration.register(
            images, transform_key=OLD, new_transform_key=NEW, reg_channel_index=0, **options
        )
        matrices = [affine.squeeze().values for affine in found]
        return [(float(m[0, 2]), float(m[1, 2])) for m in matrices]

    def stitch(fields: list[RawField]) -> list[Place]:
        found = shifts(
            [image(field, field.stage_px) for field in fields],
            pre_registration_pruning_method="keep_axis_aligned",
        )
        stage = [field.stage_px for field in fields]
        return [(a + p, b + q) for (a, b), (p, q) in zip(stage, found, strict=True)]

    def register(reference: RawField, moving: RawField) -> Place:
        images = [image(field, (0.0, 0.0)) for field in (reference, moving)]
        still, moved = shifts(images, pairs=[(0, 1)], pre_registration_pruning_method=None)
        return moved[0] - still[0], moved[1] - still[1]

    return Separately(folder, stitch, register)


if __name__ == "__main__":
    run_job(prepare)

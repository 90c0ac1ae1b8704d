"""Hypothesis strategies for example plates of odd shapes."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from platefuse.testing import AcquisitionSpec, PlateSpec

AXES = ("yx", "zyx", "cyx", "czyx", "tyx", "tzyx", "tcyx", "tczyx")
DTYPES = ("uint8", "int16", "uint16", "uint32", "int64", "float32", "float64")


def shifts(limit: int, axes: str, *, fractional: bool = False) -> st.SearchStrategy[Any]:
    """Draw shifts (z, y, x) of up to `limit` pixels in y and x, plus fractions other than 1/2.

    In z, where plates have few planes, shifts are about one plane at most.
    """
    parts = [-0.4, -0.25, 0.0, 0.1, 0.3, 0.45] if fractional else [0.0]
    along = st.tuples(st.integers(-limit, limit).map(float), st.sampled_from(parts)).map(sum)
    depth = st.sampled_from([0.0, 1.0, -1.0, *parts]) if "z" in axes else st.just(0.0)
    return st.tuples(depth, along, along)


@st.composite
def plate_specs(
    draw: st.DrawFn,
    /,
    *,
    axes: tuple[str, ...] = AXES,
    dtypes: tuple[str, ...] = DTYPES,
    versions: tuple[str, ...] = ("0.4", "0.5"),
    fractional: bool = False,
    **fixed: Any,
) -> PlateSpec:
    """Draw small plates of one well, without noise: any shapes, chunks, levels, dtypes, shifts.

    Other keywords set fields of the spec to fixed values: ``plate_specs(grid=(1, 1))``.
    """
    version = draw(st.sampled_from(versions))
    spec: dict[str, Any] = {"axes": draw(st.sampled_from(axes)), "ngff_version": version}
    names = spec["axes"]
    spec |= {
        "wells": ("A/1",),
        "grid": draw(st.sampled_from([(1, 1), (1, 3), (2, 1), (2, 2), (3, 2)])),
        "field_shape": draw(st.tuples(st.integers(17, 40), st.integers(17, 40))),
        "overlap": draw(st.integers(0, 8)),
        "timepoints": draw(st.integers(1, 2)) if "t" in names else 1,
        "planes": draw(st.integers(3, 4)) if "z" in names else 1,
        "channels": ("DAPI", "WGA", "Actin")[: draw(st.integers(1, 3))],
        "dtype": draw(st.sampled_from(dtypes)),
        "pixel_size_um": (2.0, 1.3, draw(st.sampled_from([1.3, 1.1]))),
        "nucleus_diameter_um": 9.0,
        "noise": False,
        "levels": draw(st.integers(1, 4)),
        "coarsening_xy": draw(st.integers(2, 3)),
        "coarsening_z": draw(st.integers(1, 2)),
        "level_rounding": draw(st.sampled_from(["floor", "ceil"])),
        "compressor": draw(st.sampled_from(["blosc-lz4", "blosc-zstd", "zstd", "gzip", "none"])),
        "separator": draw(st.sampled_from(["/", "."])),
        "order": draw(st.sampled_from(["C", "F"])) if version == "0.4" else "C",
        "seed": draw(st.integers(0, 3)),
    }
    chunk = draw(st.tuples(st.integers(1, 3), st.integers(13, 50), st.integers(13, 50)))
    spec["chunks"] = chunk if "z" in names else chunk[1:]
    if version == "0.5" and draw(st.booleans()):
        spec["shards"] = tuple(n * draw(st.integers(1, 3)) for n in spec["chunks"])
    spec |= fixed
    moves = shifts(4, spec["axes"], fractional=fractional)
    count = draw(st.integers(1, 2))
    moved = [AcquisitionSpec(number + 1, draw(moves)) for number in range(count)]
    spec.setdefault("acquisitions", (AcquisitionSpec(0), *moved))
    return PlateSpec(**spec)

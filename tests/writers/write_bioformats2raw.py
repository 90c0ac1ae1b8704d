"""Write plates by hand as bioformats2raw 0.11 writes them.

It is a Java program and is not run here; this follows what its `Converter` writes for a plate: all
rows and columns of the plate format, wells of 0.4 without a version, images with five axes and a
scale, no translation. Positions are in `OME/METADATA.ome.xml` only, and `OME` lists the paths of
the series.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import zarr

from tests.writers.scene import CHANNELS, PIXEL_UM, PLANES, SHAPE, WELLS, Z_UM, Field, all_fields

LEVELS = 2
ROWS, COLUMNS = "ABCDEFGH", range(1, 13)
OME = "http://www.openmicroscopy.org/Schemas/OME/2016-06"


def well_path(well: str) -> str:
    """Path of a well: bioformats2raw does not fill columns up with zeros."""
    row, column = well.split("/")
    return f"{row}/{int(column)}"


def write(path: Path, version: str) -> None:
    """Write one plate."""
    plate = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    section = {
        "name": "Plate Name 0",
        "rows": [{"name": row} for row in ROWS],
        "columns": [{"name": str(column)} for column in COLUMNS],
        "acquisitions": [{"id": 0}, {"id": 1}],
        "field_count": 8,
        "wells": [
            {"path": well_path(well), "rowIndex": row_of(well), "columnIndex": column_of(well)}
            for well in WELLS
        ],
    }
    describe(plate, version, {"plate": section}, {"bioformats2raw.layout": 3})
    for well in WELLS:
        images = [
            {"acquisition": field.acquisition, "path": str(field.index)}
            for field in all_fields()
            if field.well == well
        ]
        describe(plate.require_group(well_path(well)), version, {"well": {"images": images}})
    for field in all_fields():
        write_field(plate, field, version)
    series = [f"{well_path(field.well)}/{field.index}" for field in all_fields()]
    describe(plate.require_group("OME"), version, {"series": series})
    write_ome_xml(path / "OME" / "METADATA.ome.xml")


def row_of(well: str) -> int:
    """Row of a well, from 0."""
    return ROWS.index(well[0])


def column_of(well: str) -> int:
    """Column of a well, from 0."""
    return int(well[2:]) - 1


def describe(
    group: zarr.Group, version: str, ome: dict[str, Any], other: dict[str, Any] | None = None
) -> None:
    """Write the attributes of a group. The version of 0.4 is in the plate and in images only."""
    if version == "0.4":
        for key in ome.keys() & {"plate"}:
            ome[key]["version"] = version
        group.attrs.update({**ome, **(other or {})})
    else:
        group.attrs.update({"ome": {"version": version, **ome, **(other or {})}})


def write_field(plate: zarr.Group, field: Field, version: str) -> None:
    """Write one field: ``tczyx``, levels rounded down."""
    datasets = []
    for level in range(LEVELS):
        scale = [1.0, 1.0, Z_UM, PIXEL_UM * 2**level, PIXEL_UM * 2**level]
        transform = {"type": "scale", "scale": scale}
        datasets.append({"path": str(level), "coordinateTransformations": [transform]})
    axes: list[dict[str, str]] = [
        {"name": "t", "type": "time"},
        {"name": "c", "type": "channel"},
        *({"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"),
    ]
    method = {"method": "loci.common.image.SimpleImageScaler", "version": "Bio-Formats 8.3.0"}
    entry = {"metadata": method, "datasets": datasets, "axes": axes, "name": field_name(field)}
    if version == "0.4":
        entry["version"] = version
    group = plate.require_group(f"{well_path(field.well)}/{field.index}")
    describe(group, version, {"multiscales": [entry], "omero": omero()})
    for level in range(LEVELS):
        pixels = field.pixels[None, ..., :: 2**level, :: 2**level]
        group.create_array(
            str(level),
            data=pixels.astype(">u2") if version == "0.4" else pixels,
            chunks=(1, 1, 1, *pixels.shape[-2:]),
            chunk_key_encoding={"name": "v2", "separator": "/"} if version == "0.4" else None,
        )


def omero() -> dict[str, Any]:
    """How viewers show the channels."""
    window = {"start": 0.0, "end": 65535.0, "min": 0.0, "max": 65535.0}
    shown = {"active": True, "coefficient": 1, "family": "linear", "inverted": False}
    channels = [
        {**shown, "color": "808080", "label": label, "window": window} for label in CHANNELS
    ]
    rdefs = {"defaultT": 0, "defaultZ": PLANES // 2, "model": "color"}
    return {"channels": channels, "rdefs": rdefs}


def field_name(field: Field) -> str:
    """Name of a field in the OME-XML and the image."""
    return f"Well {well_path(field.well).replace('/', '')}, Field {field.index + 1}"


def write_ome_xml(path: Path) -> None:
    """Write the OME-XML of the plate: a `Plane` with a position for each plane of each field."""
    root = ElementTree.Element("OME", {"xmlns": OME, "Creator": "OME Bio-Formats 8.3.0"})
    plate = ElementTree.SubElement(
        root, "Plate", {"ID": "Plate:0", "Name": "Plate Name 0", "Rows": "8", "Columns": "12"}
    )
    for number, well in enumerate(WELLS):
        place = {"Row": str(row_of(well)), "Column": str(column_of(well))}
        element = ElementTree.SubElement(plate, "Well", {"ID": f"Well:0:{number}", **place})
        for series, field in enumerate(all_fields()):
            if field.well == well:
                name = f"WellSample:0:{number}:{field.index}"
                sample = ElementTree.SubElement(
                    element, "WellSample", {"ID": name, "Index": str(series)}
                )
                ElementTree.SubElement(sample, "ImageRef", {"ID": f"Image:{series}"})
    for series, field in enumerate(all_fields()):
        add_image(root, series, field)
    ElementTree.ElementTree(root).write(path, encoding="UTF-8", xml_declaration=True)


def add_image(root: ElementTree.Element, series: int, field: Field) -> None:
    """Add the `Image` of a field."""
    image = ElementTree.SubElement(
        root, "Image", {"ID": f"Image:{series}", "Name": field_name(field)}
    )
    sizes = zip("XYZCT", (*SHAPE[::-1], PLANES, len(CHANNELS), 1), strict=True)
    steps = zip("XYZ", (PIXEL_UM, PIXEL_UM, Z_UM), strict=True)
    pixels = ElementTree.SubElement(
        image,
        "Pixels",
        {
            "ID": f"Pixels:{series}",
            "DimensionOrder": "XYZCT",
            "Type": "uint16",
            **{f"Size{axis}": str(size) for axis, size in sizes},
            **{f"PhysicalSize{axis}": str(step) for axis, step in steps},
            **{f"PhysicalSize{axis}Unit": "µm" for axis in "XYZ"},
        },
    )
    y, x = field.origin_um
    for channel in range(len(CHANNELS)):
        for plane in range(PLANES):
            ElementTree.SubElement(
                pixels,
                "Plane",
                {
                    "TheC": str(channel),
                    "TheT": "0",
                    "TheZ": str(plane),
                    "PositionX": str(x),
                    "PositionXUnit": "µm",
                    "PositionY": str(y),
                    "PositionYUnit": "µm",
                },
            )


def main(output: Path) -> None:
    """Write a plate of each NGFF version."""
    write(output / "bioformats2raw_by_hand_v0.4.zarr", "0.4")
    write(output / "bioformats2raw_by_hand_v0.5.zarr", "0.5")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

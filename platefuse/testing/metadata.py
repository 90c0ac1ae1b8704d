"""OME-NGFF metadata of an example plate as dictionaries, for versions 0.4 and 0.5.

`attributes` puts a document where its version requires it: at the top in 0.4, under ``ome`` in 0.5.
"""

from __future__ import annotations

from platefuse.testing.spec import Json, PlateSpec

JsonObject = dict[str, Json]

_AXES: dict[str, dict[str, str]] = {
    "t": {"name": "t", "type": "time", "unit": "second"},
    "c": {"name": "c", "type": "channel"},
    "z": {"name": "z", "type": "space", "unit": "micrometer"},
    "y": {"name": "y", "type": "space", "unit": "micrometer"},
    "x": {"name": "x", "type": "space", "unit": "micrometer"},
}
_COLOURS = ("00FFFF", "FF00FF", "FFFF00", "00FF00", "FF0000", "FFFFFF")


def attributes(spec: PlateSpec, document: JsonObject) -> JsonObject:
    """Attributes of a group with an OME-NGFF document."""
    if spec.ngff_version == "0.4":
        return document
    return {"ome": {"version": spec.ngff_version, **document}}


def plate_document(spec: PlateSpec) -> JsonObject:
    """Metadata of the plate's group."""
    rows = sorted({well.split("/")[0] for well in spec.wells})
    columns = sorted({well.split("/")[1] for well in spec.wells})
    numbers = sorted({a.number for a in spec.acquisitions})
    wells = [(well, *well.split("/")) for well in spec.wells]
    plate: JsonObject = {
        "name": spec.name,
        "field_count": len(spec.acquisitions),
        "acquisitions": [{"id": n, "name": f"cycle {n}"} for n in numbers],
        "rows": [{"name": name} for name in rows],
        "columns": [{"name": name} for name in columns],
        "wells": [
            {"path": path, "rowIndex": rows.index(row), "columnIndex": columns.index(column)}
            for path, row, column in wells
        ],
        "version": spec.ngff_version,
    }
    return {"plate": plate}


def well_document(spec: PlateSpec) -> JsonObject:
    """Metadata of a well's group."""
    images: list[JsonObject] = [{"path": a.path} for a in spec.acquisitions]
    if spec.numbered_acquisitions:
        for image, acquisition in zip(images, spec.acquisitions, strict=True):
            image["acquisition"] = acquisition.number
    return {"well": {"images": images, "version": spec.ngff_version}}


def image_document(spec: PlateSpec, name: str) -> JsonObject:
    """Metadata of an image: ``multiscales`` and, if the plate has it, ``omero``."""
    document: JsonObject = {"multiscales": [_multiscale(spec, name, spec.axes)]}
    if spec.omero:
        document["omero"] = {
            "name": name,
            "channels": [_channel(spec, index) for index in range(spec.lengths["c"])],
            **_version(spec),
        }
    return document


def label_document(spec: PlateSpec, label: str) -> JsonObject:
    """Metadata of a label image."""
    source: JsonObject = {"source": {"image": "../../"}, **_version(spec)}
    multiscale = _multiscale(spec, label, spec.axes_of_labels)
    return {"multiscales": [multiscale], "image-label": source}


def _multiscale(spec: PlateSpec, name: str, axes: str) -> JsonObject:
    datasets: list[Json] = [
        {
            "path": str(level),
            "coordinateTransformations": [{"type": "scale", "scale": _scale(spec, axes, level)}],
        }
        for level in range(spec.levels)
    ]
    return {
        "name": name,
        "axes": [dict(_AXES[axis]) for axis in axes],
        "datasets": datasets,
        **_version(spec),
    }


def _scale(spec: PlateSpec, axes: str, level: int) -> list[float]:
    z, y, x = spec.pixel_size_um
    xy = spec.coarsening_xy**level
    scales = {"t": 1.0, "c": 1.0, "z": z * spec.coarsening_z**level, "y": y * xy, "x": x * xy}
    return [scales[axis] for axis in axes]


def _channel(spec: PlateSpec, index: int) -> JsonObject:
    return {
        "label": spec.channels[index],
        "wavelength_id": f"C{index + 1:02}",
        "color": _COLOURS[index % len(_COLOURS)],
        "active": True,
        "window": {"min": 0, "max": 65535, "start": 100, "end": 4000 if index == 0 else 2000},
    }


def _version(spec: PlateSpec) -> dict[str, str]:
    """The version: in every part in 0.4; in 0.5 once for the group, except in plates and wells."""
    return {"version": "0.4"} if spec.ngff_version == "0.4" else {}

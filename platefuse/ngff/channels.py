"""Names of the channels of an image, from its attribute `omero`."""

from __future__ import annotations

from platefuse.ngff.image import Multiscale
from platefuse.storage.typed_json import list_of, object_of


def channel_count(image: Multiscale) -> int:
    """Number of channels of an image; 1 without an axis of channels."""
    return image.shapes[0][image.axes.index("c")] if "c" in image.axes else 1


def channel_names(image: Multiscale) -> dict[str, int]:
    """Wavelengths and labels of the channels with their indices, wavelengths first.

    A name that several channels have is that of the first.
    """
    omero = object_of(image.attributes.get("omero"))
    listed = [object_of(entry) for entry in list_of(omero.get("channels"))][: channel_count(image)]
    found: dict[str, int] = {}
    for key in ("wavelength_id", "label"):
        for index, entry in enumerate(listed):
            if isinstance(entry.get(key), str):
                found.setdefault(str(entry[key]), index)
    return found

"""Names of the channels of an image, from its attribute `omero`."""

from __future__ import annotations

from platefuse.ngff.image import Multiscale
from platefuse.storage.typed_json import list_of, object_of

_KEYS = ("wavelength_id", "label")


def channel_count(image: Multiscale) -> int:
    """Number of channels of an image; 1 without an axis of channels."""
    return image.shapes[0][image.axes.index("c")] if "c" in image.axes else 1


def channel_names(image: Multiscale) -> dict[str, int]:
    """Wavelengths and labels of the channels with their indices, wavelengths first.

    A name that several channels have is that of the first.
    """
    by_channel = names_by_channel(image)
    found: dict[str, int] = {}
    for key in _KEYS:
        for index, own in enumerate(by_channel):
            if key in own:
                found.setdefault(own[key], index)
    return found


def channels_named(image: Multiscale, name: str) -> list[int]:
    """The channels with a wavelength, or if none has it with a label; several may have the same."""
    by_channel = names_by_channel(image)
    named = ([k for k, own in enumerate(by_channel) if own.get(key) == name] for key in _KEYS)
    return next((found for found in named if found), [])


def names_by_channel(image: Multiscale) -> list[dict[str, str]]:
    """The wavelength and the label of each channel that is described, as far as they are known."""
    omero = object_of(image.attributes.get("omero"))
    listed = [object_of(entry) for entry in list_of(omero.get("channels"))][: channel_count(image)]
    return [
        {key: name for key in _KEYS if isinstance(name := own.get(key), str) and name}
        for own in listed
    ]

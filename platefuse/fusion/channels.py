"""What a fused image says of its channels, and a fused label of its colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from platefuse.fusion.layers import Layer, unique_names
from platefuse.ngff.image import Multiscale
from platefuse.ngff.metadata import Format
from platefuse.storage.arrays import StoredArray

_NAMES = ("label", "wavelength_id")
_TEXTS = (*_NAMES, "color")


def fused_omero(layers: Sequence[Layer], version: str, *, stacked: bool) -> dict[str, Any] | None:
    """Channel metadata: those of one acquisition as they are, of several one after the other.

    Stacked channels are named by their acquisition, so that names are unique and the same in all
    wells; colours and windows are carried over. Channels of which nothing is known get a name and
    the whole range of the data type.

    Parameters
    ----------
    layers : sequence of Layer
        The acquisitions.
    version : str
        NGFF version of the fused image.
    stacked : bool
        Whether acquisitions are stacked, also where a well has but one.

    Returns
    -------
    dict or None
        The attribute `omero`; None if no acquisition has any.
    """
    found = [_object(layer.image, "omero") for layer in layers]
    if not any(found):
        return None
    channels = [_channels(layer, o) for layer, o in zip(layers, found, strict=True)]
    if stacked:
        for key in _NAMES:
            names = unique_names(
                layers, [[c.get(key) for c in own] for own in channels], every=True
            )
            for own, new in zip(channels, names, strict=True):
                for channel, name in zip(own, new, strict=True):
                    channel |= {key: name} if name is not None else {}
    first = next(o for o in found if o)
    return _of_version({**first, "channels": [c for own in channels for c in own]}, version)


def fused_image_label(label: Multiscale, version: str) -> dict[str, Any]:
    """The attribute `image-label` of a fused label: colours and properties as they were."""
    found = _object(label, "image-label")
    return _of_version({**found, "source": {"image": "../../"}}, version)


def _channels(layer: Layer, omero: dict[str, Any]) -> list[dict[str, Any]]:
    """One entry for each channel of an acquisition; what it lacks is filled in."""
    listed = omero.get("channels")
    listed = listed if isinstance(listed, list) else []
    channels = []
    for k in range(layer.channels):
        known = listed[k] if k < len(listed) and isinstance(listed[k], dict) else {}
        usable = {n: v for n, v in known.items() if n not in _TEXTS or isinstance(v, str)}
        unknown = {"label": f"channel_{k}", "color": "FFFFFF", "active": True}
        window = known["window"] if isinstance(known.get("window"), dict) else {}
        channels.append({**unknown, **usable, "window": {**_range(layer), **window}})
    return channels


def _range(layer: Layer) -> dict[str, float]:
    """A window that shows the whole range of the data type."""
    dtype = StoredArray.open(layer.image.path / layer.image.paths[0]).dtype
    low, high = 0.0, 1.0
    if dtype.kind in "iu":
        low, high = float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)
    return {"min": low, "max": high, "start": low, "end": high}


def _of_version(attribute: dict[str, Any], version: str) -> dict[str, Any]:
    """NGFF 0.4 repeats its version in every part, 0.5 says it once for all."""
    rest = {key: value for key, value in attribute.items() if key != "version"}
    return Format.for_ngff(version).ngff_section(rest, version)


def _object(image: Multiscale, name: str) -> dict[str, Any]:
    found = image.attributes.get(name)
    return found if isinstance(found, dict) else {}

"""Channel metadata of fused images (`omero`), and colours of fused labels (`image-label`)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from platefuse.fusion.layers import Layer
from platefuse.fusion.stack import unique_names
from platefuse.ngff.image import Multiscale
from platefuse.ngff.metadata import Format
from platefuse.storage.arrays import StoredArray

_NAMES = ("label", "wavelength_id")
_TEXTS = (*_NAMES, "color")
_COLORS = ("FFFFFF", "00FF00", "FF00FF", "00FFFF", "FFFF00", "FF0000", "0000FF")


def omero_of_names(names: Sequence[str] | None, dtype: np.dtype[Any]) -> dict[str, Any] | None:
    """Channel metadata of an image of which only the names of channels are known.

    Parameters
    ----------
    names : sequence of str or None
        The names; None: the image has no channels.
    dtype : dtype
        Its data type.

    Returns
    -------
    dict or None
        The attribute `omero`; None without channels.
    """
    if names is None:
        return None
    colors = itertools.cycle(_COLORS)
    return {"channels": [_channel(n, c, dtype, {}) for n, c in zip(names, colors, strict=False)]}


def fused_omero(layers: Sequence[Layer], version: str, *, stacked: bool) -> dict[str, Any] | None:
    """Channel metadata of fused acquisitions: copied from one, or concatenated from several.

    Names of stacked channels get their acquisition appended, so that they are unique and the same
    in all wells; colours and windows are kept. Channels without metadata get a name and the whole
    range of the data type.

    Parameters
    ----------
    layers : sequence of Layer
        The acquisitions.
    version : str
        NGFF version of the fused image.
    stacked : bool
        Whether acquisitions are stacked, even if the well has only one.

    Returns
    -------
    dict or None
        The attribute `omero`; None if no acquisition has any.
    """
    sections = [_object(layer.image, "omero") for layer in layers]
    if not any(sections):
        return None
    channels = [_channels(layer, o) for layer, o in zip(layers, sections, strict=True)]
    if stacked:
        for key in _NAMES:
            names = unique_names(
                layers, [[c.get(key) for c in own] for own in channels], every=True
            )
            for own, new in zip(channels, names, strict=True):
                for channel, name in zip(own, new, strict=True):
                    channel |= {key: name} if name is not None else {}
    first = next(o for o in sections if o)
    return _of_version({**first, "channels": [c for own in channels for c in own]}, version)


def fused_image_label(label: Multiscale, version: str) -> dict[str, Any]:
    """The attribute `image-label` of a fused label: colours and properties are kept."""
    section = _object(label, "image-label")
    return _of_version({**section, "source": {"image": "../../"}}, version)


def _channels(layer: Layer, omero: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One entry for each channel of an acquisition; missing keys are added."""
    listed = omero.get("channels")
    listed = listed if isinstance(listed, list) else []
    dtype = StoredArray.open(layer.image.level_paths[0]).dtype
    entries = [
        listed[k] if k < len(listed) and isinstance(listed[k], dict) else {}
        for k in range(layer.channels)
    ]
    return [_channel(f"channel_{k}", _COLORS[0], dtype, own) for k, own in enumerate(entries)]


def _channel(
    name: str, color: str, dtype: np.dtype[Any], entry: Mapping[str, Any]
) -> dict[str, Any]:
    """One entry of `omero`: name, colour and the range of the data type where it has no own."""
    usable = {n: v for n, v in entry.items() if n not in _TEXTS or isinstance(v, str)}
    window = entry["window"] if isinstance(entry.get("window"), dict) else {}
    default = {"label": name, "color": color, "active": True}
    return {**default, **usable, "window": {**_range(dtype), **window}}


def _range(dtype: np.dtype[Any]) -> dict[str, float]:
    """A display window for the whole range of a data type."""
    low, high = 0.0, 1.0
    if dtype.kind in "iu":
        low, high = float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)
    return {"min": low, "max": high, "start": low, "end": high}


def _of_version(attribute: dict[str, Any], version: str) -> dict[str, Any]:
    """An attribute with its version in NGFF 0.4; 0.5 has one version for the whole group."""
    rest = {key: value for key, value in attribute.items() if key != "version"}
    return Format.for_ngff(version).ngff_section(rest, version)


def _object(image: Multiscale, name: str) -> dict[str, Any]:
    section = image.attributes.get(name)
    return section if isinstance(section, dict) else {}

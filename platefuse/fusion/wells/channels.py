"""Channel metadata of fused images (`omero`), and colours of fused labels (`image-label`)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from platefuse.fusion.fields.layers import Layer
from platefuse.fusion.wells.stack import unique_names
from platefuse.ngff.image import Multiscale
from platefuse.ngff.zarr_format import Format
from platefuse.storage.arrays import StoredArray
from platefuse.storage.typed_json import JsonObject, list_of, object_of

_NAMES = ("label", "wavelength_id")
_TEXTS = (*_NAMES, "color")
_COLORS = ("FFFFFF", "00FF00", "FF00FF", "00FFFF", "FFFF00", "FF0000", "0000FF")


def omero_of_names(names: Sequence[str] | None, dtype: np.dtype[np.generic]) -> JsonObject | None:
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


def fused_omero(layers: Sequence[Layer], version: str, *, stacked: bool) -> JsonObject | None:
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
    sections = [object_of(layer.described.attributes.get("omero")) for layer in layers]
    if not any(sections):
        return None
    channels = [_channels(layer, o) for layer, o in zip(layers, sections, strict=True)]
    if stacked:
        for key in _NAMES:
            names = unique_names(
                layers, [[_text(c, key) for c in own] for own in channels], every=True
            )
            for own, new in zip(channels, names, strict=True):
                for channel, name in zip(own, new, strict=True):
                    channel |= {key: name} if name is not None else {}
    first = next(o for o in sections if o)
    return _of_version({**first, "channels": [c for own in channels for c in own]}, version)


def fused_image_label(label: Multiscale, version: str) -> JsonObject:
    """The attribute `image-label` of a fused label: colours and properties are kept."""
    section = object_of(label.attributes.get("image-label"))
    return _of_version({**section, "source": {"image": "../../"}}, version)


def _channels(layer: Layer, omero: Mapping[str, object]) -> list[JsonObject]:
    """One entry for each channel of an acquisition; missing keys are added."""
    listed = list_of(omero.get("channels"))
    dtype = StoredArray.open(layer.image.level_paths[0]).dtype
    entries = [object_of(listed[k]) if k < len(listed) else {} for k in range(layer.channels)]
    return [_channel(f"channel_{k}", _COLORS[0], dtype, own) for k, own in enumerate(entries)]


def _channel(
    name: str, color: str, dtype: np.dtype[np.generic], entry: Mapping[str, object]
) -> JsonObject:
    """One entry of `omero`: name, colour and the range of the data type where it has no own."""
    usable = {n: v for n, v in entry.items() if n not in _TEXTS or isinstance(v, str)}
    window = {**_range(dtype), **object_of(entry.get("window"))}
    return {"label": name, "color": color, "active": True, **usable, "window": window}


def _text(channel: JsonObject, key: str) -> str | None:
    value = channel.get(key)
    return value if isinstance(value, str) else None


def _range(dtype: np.dtype[np.generic]) -> dict[str, float]:
    """A display window for the whole range of a data type."""
    low, high = 0.0, 1.0
    if dtype.kind in "iu":
        limits = np.iinfo(dtype.name)
        low, high = float(limits.min), float(limits.max)
    return {"min": low, "max": high, "start": low, "end": high}


def _of_version(attribute: JsonObject, version: str) -> JsonObject:
    """An attribute with its version in NGFF 0.4; 0.5 has one version for the whole group."""
    rest = {key: value for key, value in attribute.items() if key != "version"}
    return Format.for_ngff(version).ngff_section(rest, version)

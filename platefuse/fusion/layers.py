"""Layers of a fused image: the fields of one acquisition, placed in the frame of the well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platefuse.engine.affine import AffineView
from platefuse.engine.sources import Source
from platefuse.engine.views import ShiftedView, View
from platefuse.errors import ConfigError, ViewError
from platefuse.fusion.fields import Field, find_fields, precision_px
from platefuse.fusion.frame import Extent, Frame
from platefuse.geometry import Box, snap
from platefuse.ngff.image import Image, Multiscale
from platefuse.storage.arrays import StoredArray, WithAxis

_TOLERANCE_PX = 1e-6
_FINEST = 100
"""How many pixels of a fused image may lie side by side in one of a field."""


@dataclass(frozen=True)
class Layer:
    """The image of one acquisition that goes into a fused image.

    Attributes
    ----------
    name : str
        Its path in the well.
    acquisition : int or None
        Its acquisition.
    image : Image
        The image with its labels.
    fields : list of Field
        Its fields.
    """

    name: str
    acquisition: int | None
    image: Image
    fields: list[Field]

    @classmethod
    def read(cls, name: str, acquisition: int | None, path: Path, tile_table: str) -> Layer:
        """Read what is known of an image and its fields.

        Raises
        ------
        PlatefuseError
            If the image or its tile table cannot be used.
        """
        image = Image.read(path)
        for label in image.labels.values():
            if not set(label.spatial) <= set(image.spatial):
                raise ViewError(
                    f"{label.path}: the label has the axes {label.axes!r}, its image only "
                    f"{image.axes!r}. A label must not have axes in space that its image lacks: "
                    "write it without them."
                )
        return cls(name, acquisition, image, find_fields(path, image, tile_table))

    @property
    def extents(self) -> list[Extent]:
        """What each field takes up on the stage, in micrometres."""
        size = np.array([self.image.pixel_size_um[a] for a in self.image.spatial])
        in_z = np.array([a == "z" for a in self.image.spatial])
        found = []
        for field in self.fields:
            box, shift = field.box(self.image, self.image), np.array(field.shift_um(self.image))
            low = (np.array(box.start) + 0.5) * size + shift
            high = (np.array(box.stop) - 0.5) * size + shift
            found.append(Extent(low, high, np.where(in_z, low, high)))
        return found

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.image.shapes[0][self.image.axes.index("c")] if "c" in self.image.axes else 1

    def views(
        self,
        image: Multiscale,
        frame: Frame,
        axes: str,
        *,
        order: int,
        widths_um: dict[str, float] | None = None,
        first_channel: int = 0,
    ) -> list[View]:
        """The fields' views in a frame.

        Parameters
        ----------
        image : Multiscale
            The layer's image, or a label of it.
        frame : Frame
            The frame of the fused image.
        axes : str
            Axes of the fused image: those of `image`, perhaps with channels.
        order : int
            Interpolation order.
        widths_um : dict of str to float, optional
            Blending widths in micrometres.
        first_channel : int
            Where the layer's channels begin in the fused image.
        """
        stored: Any = StoredArray.open(image.level_paths[0])
        if axes != image.axes:
            stored = WithAxis(stored, axes.index("c"))
        source = Source(stored)
        tolerance = precision_px(self.fields, self.image)
        return [
            _view(
                source,
                f,
                image,
                self.image,
                frame,
                axes,
                tolerance,
                order,
                widths_um or {},
                first_channel,
            )
            for f in self.fields_in(image)
        ]

    def fields_in(self, image: Multiscale) -> list[Field]:
        """The fields that have pixels in the layer's image or a label of it."""
        return [f for f in self.fields if not f.box(image, self.image).empty]


@dataclass(frozen=True)
class LayerLabel:
    """A label of a layer, and its name beside the fused image."""

    layer: Layer
    name: str
    fused_name: str

    @property
    def image(self) -> Multiscale:
        """Its metadata."""
        return self.layer.image.labels[self.name]


def labels_of(layers: Sequence[Layer]) -> list[LayerLabel]:
    """All labels of some layers, with names that are unique."""
    names = [list(layer.image.labels) for layer in layers]
    return [
        LayerLabel(layer, name, fused)
        for layer, own, new in zip(layers, names, unique_names(layers, names), strict=True)
        for name, fused in zip(own, new, strict=True)
    ]


def unique_names(
    layers: Sequence[Layer], names: Sequence[Sequence[Any]], *, every: bool = False
) -> list[list[Any]]:
    """Names that layers give, with the acquisition behind those that would not be unique.

    Parameters
    ----------
    layers : sequence of Layer
        The layers.
    names : sequence of sequences of str or None
        The names that each of them gives. None stays None.
    every : bool
        Whether every name gets its acquisition, unique or not.

    Returns
    -------
    list of lists of str or None
        The new names: ``name_acq2``, or ``name_<image>`` where that number says nothing.
    """
    count = Counter(name for own in names for name in own)
    numbers = Counter(layer.acquisition for layer in layers)
    taken = {name for name, n in count.items() if n == 1} if not every else set()
    found: list[list[Any]] = []
    for layer, own in zip(layers, names, strict=True):
        known = layer.acquisition is not None and numbers[layer.acquisition] == 1
        suffix = f"acq{layer.acquisition}" if known else layer.name
        new: list[Any] = []
        for name in own:
            if name is None or (count[name] == 1 and not every):
                new.append(name)
                continue
            unique, again = f"{name}_{suffix}", 1
            while unique in taken:
                again += 1
                unique = f"{name}_{suffix}_{again}"
            taken.add(unique)
            new.append(unique)
        found.append(new)
    return found


def common_axes(layers: Sequence[Layer]) -> str:
    """Axes of the image that some layers become: with channels as soon as there are several."""
    axes = next((x.image.axes for x in layers if "c" in x.image.axes), layers[0].image.axes)
    if len(layers) > 1 and "c" not in axes:
        return axes.replace("t", "tc") if "t" in axes else f"c{axes}"
    return axes


def leading_shape(layers: Sequence[Layer], axes: str) -> list[int]:
    """Shape of that image on the axes that are not in space: all channels, all time points."""
    lengths = {"c": sum(layer.channels for layer in layers)}
    if "t" in axes:
        lengths["t"] = max(x.image.shapes[0][x.image.axes.index("t")] for x in layers)
    return [lengths[a] for a in axes if a not in "zyx"]


def check_stackable(layers: Sequence[Layer]) -> None:
    """Check that layers can become channels of one image.

    Raises
    ------
    ViewError
        If they differ in axes other than channels, in data type or in pixel size.
    """
    for layer in layers[1:]:
        pair = [x.image for x in (layer, layers[0])]
        for what, (got, expected) in (
            ("axes", [i.axes.replace("c", "") for i in pair]),
            ("data type", [StoredArray.open(i.level_paths[0]).dtype for i in pair]),
            ("pixel size", [np.round(list(i.pixel_size_um.values()), 6).tolist() for i in pair]),
        ):
            if got != expected:
                raise ViewError(
                    f"{layer.image.path}: its {what} is {got}, that of image {layers[0].name} "
                    f"is {expected}; they cannot be stacked. Set fusion.layout: per_acquisition."
                )


def choose_spacing(image: Multiscale, asked_um: Mapping[str, float] | None) -> list[float]:
    """Pixel size of a fused image on its axes in space: as asked, else the image's. Micrometres.

    Raises
    ------
    ConfigError
        If it is so much finer than the image's that another unit must have been meant.
    """
    for axis, size in image.pixel_size_um.items():
        asked = (asked_um or {}).get(axis, size)
        if asked * _FINEST < size:
            raise ConfigError(
                f"fusion.output_spacing on {axis} is {asked:g}, and the pixels of {image.path} are "
                f"{size:g} µm: {size / asked:.3g} times as many pixels. Give it in micrometres, at "
                f"least {size / _FINEST:g}."
            )
    return [(asked_um or {}).get(a, image.pixel_size_um[a]) for a in image.spatial]


def frame_of(layers: Sequence[Layer], spacing_um: Sequence[float], mode: str) -> Frame:
    """The frame that all fields of some layers take up on the stage, in micrometres.

    Positions in tables are float32: what lies next to a whole pixel is taken to lie on it. The
    centre of the last pixel lies in the last pixel of the fields, however large it is itself.

    Raises
    ------
    ViewError
        If the layers cannot be stacked, or have no pixel in common and should.
    """
    check_stackable(layers)
    extents = [extent for layer in layers for extent in layer.extents]
    first = layers[0].image
    size = np.array([first.pixel_size_um[a] for a in first.spatial])
    origin = np.min([extent.low for extent in extents], axis=0)
    tolerance = max(precision_px(layer.fields, layer.image) for layer in layers)

    def on_grid(position: NDArray[np.float64]) -> NDArray[np.float64]:
        steps = [snap(float(s), tolerance) for s in (position - origin) / size]
        return np.asarray(origin + np.array(steps) * size)

    snapped = [
        Extent(on_grid(e.low), on_grid(e.high), on_grid(e.first_plane_high)) for e in extents
    ]
    try:
        frame = Frame.covering(first.spatial, snapped, spacing_um, mode=mode)
    except ViewError as error:
        raise ViewError(f"{first.path}: {error}") from error
    last = [e.first_plane_high if mode == "sample" else e.high for e in snapped]
    high = np.min(last, axis=0) if mode == "intersection" else np.max(last, axis=0)
    counts = np.ceil((high + size / 2 - frame.origin) / frame.spacing - _TOLERANCE_PX)
    return replace(frame, shape=tuple(max(1, int(n)) for n in counts))


def frame_on(frame: Frame, axes: str) -> Frame:
    """The frame on some of its axes."""
    pick = [frame.axes.index(a) for a in axes]
    return Frame(
        axes,
        tuple(frame.spacing[i] for i in pick),
        tuple(frame.origin[i] for i in pick),
        tuple(frame.shape[i] for i in pick),
    )


def _view(
    source: Source,
    field: Field,
    image: Multiscale,
    finest: Multiscale,
    frame: Frame,
    axes: str,
    tolerance_px: float,
    order: int,
    widths_um: dict[str, float],
    first_channel: int,
) -> View:
    spatial, lead = image.spatial, len(axes) - len(image.spatial)
    size = np.array([image.pixel_size_um[a] for a in spatial])
    spacing = np.array(frame.spacing)
    offset = (np.array(field.shift_um(image)) + size / 2 - np.array(frame.origin)) / spacing
    inner = field.box(image, finest)
    box = Box(
        (0,) * lead + inner.start,
        source.shape[:lead] + inner.stop,
    )
    channel = tuple(first_channel if a == "c" else 0 for a in axes[:lead])
    widths = [widths_um.get(a, 0.0) for a in spatial]
    if np.allclose(size, spacing, rtol=1e-6):
        shift = tuple(map(float, channel)) + tuple(snap(float(o), tolerance_px) for o in offset)
        widths_px = [0.0] * lead + [w / s for w, s in zip(widths, spacing, strict=True)]
        return ShiftedView.at(source, box, shift, order=order, widths_px=widths_px)
    steps = offset * spacing / size
    offset = np.array([snap(float(s), tolerance_px) for s in steps]) * size / spacing
    leading = Box(box.start[:lead], box.stop[:lead]).shifted(channel)
    in_source = tuple(float(w / s) for w, s in zip(widths, size, strict=True))
    return AffineView(
        source, box, np.diag(size / spacing), tuple(map(float, offset)), leading, order, in_source
    )

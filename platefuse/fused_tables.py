"""Tables of a fused image: ROIs where they are now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from platefuse.frame import Frame
from platefuse.geometry import Box
from platefuse.layers import Layer
from platefuse.ngff import Multiscale
from platefuse.tables import write_roi_table


def write_fused_tables(
    layers: Sequence[Layer], target: Path, frame: Frame, new: Multiscale
) -> None:
    """Write ``FOV_ROI_table`` and ``well_ROI_table`` of a fused image.

    Parameters
    ----------
    layers : sequence of Layer
        What was fused; the first one's fields are listed.
    target : Path
        The fused image.
    frame : Frame
        Its frame, in micrometres.
    new : Multiscale
        Its metadata.
    """
    layer = layers[0]
    corner = np.array(frame.origin) - np.array(frame.spacing) / 2
    size = np.array([layer.image.pixel_size_um[a] for a in frame.axes])
    extent = np.array(frame.shape) * np.array(frame.spacing)
    rows = {}
    for field in layer.fields:
        box = field.box(layer.image, layer.image)
        shift = np.array(field.shift_um(layer.image)) - corner
        start = np.clip(np.array(box.start) * size + shift, 0, extent)
        stop = np.clip(np.array(box.stop) * size + shift, 0, extent)
        original = {f"{a}_micrometer_original": field.stage_um[a] for a in "yx"}
        rows[field.name] = {**_row(frame, start, stop - start), **original}
    write_roi_table(target, "FOV_ROI_table", rows)
    whole = Box.of_shape(frame.shape)
    write_roi_table(
        target, "well_ROI_table", {"well_1": _row(frame, np.array(whole.start, float), extent)}
    )


def _row(frame: Frame, start: np.ndarray, length: np.ndarray) -> dict[str, float]:
    row = {f"{a}_micrometer": 0.0 for a in "xyz"} | {f"len_{a}_micrometer": 1.0 for a in "xyz"}
    for axis, a, n in zip(frame.axes, start, length, strict=True):
        row[f"{axis}_micrometer"] = float(a)
        row[f"len_{axis}_micrometer"] = float(n)
    return row

"""What a plate was taken for, and what a run would do to it, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from platefuse.errors import counted
from platefuse.fusion.fields.reader import LayerReader
from platefuse.ngff.layout import WellLayout
from platefuse.ngff.paths import fused_plate_path
from platefuse.ngff.plate import Plate
from platefuse.ngff.well import Well
from platefuse.workflow.config.model import Config
from platefuse.workflow.plates import WellFacts, Wells
from platefuse.workflow.receipts import WellKey


def describe_plate(
    name: str,
    plate: Plate,
    wells: Wells,
    config: Config,
    facts: Mapping[WellKey, WellFacts],
) -> Iterator[str]:
    """Lines that tell what a plate was taken for, and what a run would do to it."""
    own = {key: well for key, well in wells.items() if key[0] == name}
    chosen = sum(key[0] == name for key in wells.chosen)
    others = len(plate.wells) - chosen
    yield (
        f"plate {name}: {plate.path}, {len(own)} of {counted(chosen, 'well', 'wells')} can be "
        "processed" + (f"; config.wells leaves out {others}" if others else "")
    )
    layouts: dict[str, list[Well]] = {}
    for key, well in own.items():
        layout = facts[key].layout if key in facts else layout_of(well, config)
        layouts.setdefault(f"layout {layout.name}: {layout.why}", []).append(well)
    for words, found in layouts.items():
        counts = sorted({len(well.images) for well in found})
        numbers = sorted({image.number for well in found for image in well.images})
        yield (
            f"  {counted(len(found), 'well', 'wells')}, {' or '.join(map(str, counts))} "
            f"{'image' if counts == [1] else 'images'} each, "
            f"{'acquisition' if len(numbers) == 1 else 'acquisitions'} "
            f"{', '.join(map(str, numbers))}; {words}"
        )
    if config.registration.enabled:
        request = config.registration.request
        place = "in place" if request.overwrite_input else "next to the originals"
        if not config.registration.store:
            place = "while fusing; the plate is not changed"
        source = "measured shifts" if config.registration.measures else request.roi_table
        yield f"  register to acquisition {request.reference_acquisition} by {source}, {place}"
    if config.fusion.enabled:
        target = fused_plate_path(plate.path, config.fusion.output)
        yield f"  fuse ({config.fusion.options.layout}) into {target}"


def layout_of(well: Well, config: Config) -> WellLayout:
    """The layout of a well."""
    return LayerReader(config.fusion.options, config.input).layout(well)

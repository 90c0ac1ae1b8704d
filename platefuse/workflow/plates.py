"""Open the plates of a run and check, from JSON only, what would stop it later.

Every process of a run does this while it plans the jobs, so it reads little.
`platefuse.workflow.checks.preflight` checks the rest before the first job.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from platefuse.errors import ConfigError, PlateError, PlatefuseError, counted
from platefuse.measuring.model import SAME_PIXEL
from platefuse.ngff.layout import WellLayout, choose_layout
from platefuse.ngff.metadata import is_node
from platefuse.ngff.paths import check_outside_groups, fused_plate_path, staging_root
from platefuse.ngff.plate import Plate, WellName
from platefuse.ngff.tables.table import table_path
from platefuse.ngff.well import Well
from platefuse.storage.files import entries
from platefuse.storage.once import reading_once
from platefuse.workflow.config.model import Config
from platefuse.workflow.receipts import NAME, WellKey
from platefuse.workflow.subset import chosen_wells
from platefuse.workflow.warnings import collected_warnings


def open_plates(config: Config) -> dict[str, Plate]:
    """Open the plates of a run by their names in the config.

    Raises
    ------
    PlatefuseError
        With a message for every plate that cannot be processed, or for all folders that overlap.
    """
    plates, faults = {}, []
    for name, path in config.paths.items():
        try:
            plates[name] = Plate.open(path, config.by_plate[name].images)
        except PlatefuseError as error:
            faults.append(config.located(name, str(error)))
    if faults:
        raise PlateError("\n".join(faults))
    if faults := list(_overlaps(config, plates)):
        raise ConfigError(*faults)
    for name, plate in plates.items():
        fusion = config.by_plate[name].fusion
        if fusion.enabled:
            check_outside_groups(fused_plate_path(plate.path, fusion.output))
    return plates


class Wells(Mapping[WellKey, Well]):
    """The wells of a run, in the order of processing. Each is read when it is first asked for.

    Wells that a plate lists and does not have are left out: sparse plates are common.

    Parameters
    ----------
    config : Config
        The config.
    plates : mapping of str to Plate
        Its plates.
    left_out : collection of WellKey
        Wells that are not processed.
    odd : sequence of str
        Warnings about the wells.

    Attributes
    ----------
    absent : list of WellKey
        The wells that are listed and absent.
    chosen : set of WellKey
        The wells that the config names, whether they exist or not.
    """

    def __init__(
        self,
        config: Config,
        plates: Mapping[str, Plate],
        left_out: Collection[WellKey] = (),
        odd: Sequence[str] = (),
    ) -> None:
        self.config, self._plates, self.left_out, self.odd = config, plates, left_out, odd
        listed = [(name, w.row, w.column) for name, plate in plates.items() for w in plate.wells]
        wells = {name: plate.wells for name, plate in plates.items()}
        self.chosen = chosen_wells(config, wells)
        present = {
            (name, well.row, well.column)
            for name, plate in plates.items()
            for well in present_wells(plate)
        }
        self.absent = [key for key in listed if key not in present and key in self.chosen]
        used = present & self.chosen
        self._keys = dict.fromkeys(k for k in listed if k in used and k not in left_out)
        self._read: dict[WellKey, Well] = {}

    def __getitem__(self, key: WellKey) -> Well:
        """Read and check the metadata of a well.

        Raises
        ------
        PlateError
            If the well cannot be processed.
        """
        if key not in self._keys:
            raise KeyError(key)
        if key not in self._read:
            plate, row, column = key
            well = self._plates[plate].well(row, column)
            check_well(well, self.config.by_plate[plate])
            self._read[key] = well
        return self._read[key]

    def __iter__(self) -> Iterator[WellKey]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def names(self, plate: str) -> list[str]:
        """The wells of a plate, for example ``["B/03"]``."""
        return [f"{row}/{column}" for name, row, column in self if name == plate]

    def without(self, left_out: Collection[WellKey], odd: Sequence[str]) -> Wells:
        """The same wells but for some, with warnings; what was read is not read again."""
        wells = Wells(self.config, self._plates, left_out, odd)
        wells._read = self._read
        return wells


@dataclass(frozen=True)
class Findings:
    """What checking the wells of a run has found.

    Attributes
    ----------
    bad : mapping of WellKey to str
        The wells that cannot be processed, each with the reason.
    odd : sequence of str
        Warnings.
    facts : mapping of WellKey to WellFacts
        What the check tells of the others.
    """

    bad: Mapping[WellKey, str]
    odd: Sequence[str]
    facts: Mapping[WellKey, WellFacts]


@dataclass(frozen=True)
class WellFacts:
    """What is known of a well after its check, so that nothing is read again.

    Attributes
    ----------
    layout : WellLayout
        Its layout.
    registered : set of str
        Its images that are registered in the plate, if the run registers images there.
    measured_px : mapping of str to float
        The pixel size in micrometres in which its shifts are measured, by axis; empty if they are
        not measured.
    is_moved : bool or None
        Whether its registered table moves any image; None if none is to be moved by a table.
    """

    layout: WellLayout
    registered: Set[str]
    measured_px: Mapping[str, float] = field(default_factory=dict)
    is_moved: bool | None = None


def find_bad_wells(
    wells: Wells, check: Callable[[Well, Config], WellFacts | None] | None = None
) -> Findings:
    """Find the wells that cannot be processed.

    Parameters
    ----------
    wells : Wells
        The wells of a run.
    check : callable, optional
        Raises a `PlatefuseError` for a well that cannot be processed with the config of its plate;
        by default only the metadata of the wells are checked.
    """
    bad: dict[WellKey, str] = {}
    facts: dict[WellKey, WellFacts] = {}
    with collected_warnings() as odd:
        for key in wells:
            try:
                with reading_once():
                    well = wells[key]
                    found = None if check is None else check(well, wells.config.by_plate[key[0]])
                if found is not None:
                    facts[key] = found
            except PlatefuseError as error:
                bad[key] = wells.config.located(key[0], str(error))
    for key, reason in _measured_otherwise(facts).items():
        bad[key] = wells.config.located(key[0], f"{wells[key].path}: {reason}")
        del facts[key]
    return Findings(bad, [*_unmoved(wells.config, facts), *odd], facts)


def _unmoved(config: Config, facts: Mapping[WellKey, WellFacts]) -> Iterator[str]:
    """A sentence for each plate of which no image is moved by its registered table."""
    moved: dict[str, list[bool]] = {}
    for (plate, *_), own in facts.items():
        if own.is_moved is not None:
            moved.setdefault(plate, []).append(own.is_moved)
    for plate, found in moved.items():
        table = config.by_plate[plate].registration.request.roi_table
        if not any(found):
            yield (
                f"plate {plate}: the table {table!r} (registration.roi_table) has the same boxes "
                "in all acquisitions of "
                f"{counted(len(found), 'well', 'wells')}, so no image is moved. If they are the "
                "fields as they were acquired, give the name of the registered table, or let the "
                "run measure the shifts (registration.measure.enabled: true)."
            )


def _measured_otherwise(facts: Mapping[WellKey, WellFacts]) -> dict[WellKey, str]:
    """Wells with other pixels than most of their plate, with the reason why they are not measured.

    The shifts of all wells of a plate are solved together.
    """
    sizes = Counter(
        (key[0], axis, size) for key, own in facts.items() for axis, size in own.measured_px.items()
    )
    usual: dict[tuple[str, str], float] = {}
    for (plate, axis, size), _ in sizes.most_common():
        usual.setdefault((plate, axis), size)
    found: dict[WellKey, str] = {}
    for key, own in facts.items():
        for axis, size in own.measured_px.items():
            most = usual[key[0], axis]
            if abs(size - most) > SAME_PIXEL * most:
                found[key] = (
                    f"its pixels are {size:g} µm in {axis}, those of most wells of the plate "
                    f"{most:g} µm. The shifts of a plate are solved together, in pixels. Correct "
                    "the metadata, or process such wells in a run of their own, with other "
                    "`results` (wells.include, wells.exclude)."
                )
    return found


def check_well(well: Well, config: Config) -> None:
    """Check the names in a well, and that it has images to process and their reference.

    Raises
    ------
    PlateError
        With the first fault.
    """
    for name in (well.row, well.column, *(image.name for image in well.images)):
        if not re.fullmatch(NAME, name):
            raise PlateError(
                f"{well.path}: {name!r} cannot be part of a receipt's path. Names of rows, columns "
                "and images may hold letters, digits, spaces and _ . + = -"
            )
    if not well.acquired_images:
        raise PlateError(
            f"{well.path}: the well's metadata lists no images. Enter its images under "
            "`well.images`, or take the well off the plate's list."
        )
    if not well.images:
        raise PlateError(
            f"{well.path}: config.images names {config.images}, but the well has "
            f"{[image.name for image in well.acquired_images]}. Name images that every well has."
        )
    if config.registration.enabled and _can_be_registered(well, config):
        for image in well.images:
            well.reference_image(image.name, config.registration.request.reference_acquisition)


def _can_be_registered(well: Well, config: Config) -> bool:
    """Whether each acquisition of a well is one image, as its registration expects.

    Raises
    ------
    PlateError
        If each image is one field, and the config asks for what such a well cannot get.
    """
    table, registration = config.fusion.options.tile_table, config.registration
    # Registration gives every image the tables of the reference.
    has_table = any(is_node(table_path(image.live, table)) for image in well.images)
    layout = choose_layout(well, config.input, table, lambda image: has_table)
    if layout.name == "mosaic":
        return True
    if registration.store or not registration.measures:
        raise PlateError(
            f"{well.path}: each of its images is one field ({layout.why}). Such images have no "
            "registered ROI tables: their shifts are measured, and they are fused straight from "
            "the raw images. Set registration.store: false and registration.measure.enabled: true, "
            "or registration.enabled: false to fuse them as they are."
        )
    return False


def present_wells(plate: Plate) -> set[WellName]:
    """The wells of a plate whose folder exists: one look at the folder of each row."""
    rows = {well.row for well in plate.wells}
    there = {(row, entry.name) for row in rows for entry in entries(plate.path / row)}
    return {well for well in plate.wells if (well.row, well.column) in there}


def _overlaps(config: Config, plates: Mapping[str, Plate]) -> Iterator[str]:
    """Sentences for folders of a run that are the same, or of which one contains the other."""
    results = Path(config.results)
    if results.exists() and not results.is_dir():
        yield f"config.results, {str(results)!r}, is a file. Give a folder, or a new name."
        return
    folders = sorted(
        (folder.resolve().parts, what, folder, owner)
        for owner, what, folder in _folders(config, plates)
    )
    told: set[frozenset[str]] = set()
    for (parts, what, folder, owner), (others, other_what, other, other_owner) in pairwise(folders):
        owners = frozenset((owner, other_owner))
        # In sorted order the content follows its folder. What lies beside two plates overlaps
        # where they do: the first fault tells of it.
        if others[: len(parts)] == parts and owners not in told:
            told.add(owners)
            yield (
                f"{what}, {str(folder)!r}, and {other_what}, {str(other)!r}, are the same folder, "
                "or one is in the other, and what is written to one would damage the other. Choose "
                "separate folders."
            )


def _folders(config: Config, plates: Mapping[str, Plate]) -> Iterator[tuple[str, str, Path]]:
    """Every folder that a run writes to: whose it is, its name for messages, and its path."""
    for part in ("logs", "benchmarks", *plates):
        yield "config.results", "a folder of config.results", Path(config.results) / part
    for name, plate in plates.items():
        key = f"config.plates.{name}"
        yield key, key, plate.path
        yield key, f"the staging of {key}", staging_root(plate.path)
        fusion = config.by_plate[name].fusion
        if fusion.enabled:
            fused = fused_plate_path(plate.path, fusion.output)
            yield key, f"the fused plate of {key} (config.fusion.output)", fused
            yield key, f"the staging of the fused plate of {key}", staging_root(fused)

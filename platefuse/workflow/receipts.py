"""Paths of the receipts: what jobs wait for, and what a whole run ends with.

The content of a receipt is defined in `platefuse.records`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

from platefuse.ngff.well import Well
from platefuse.workflow.config.model import Config
from platefuse.workflow.well_steps import PROCESS, last_steps_of

NAME = r"[A-Za-z0-9_.+= -]+"
"""What Snakemake can carry in a wildcard and in the path of a receipt."""

FIELDS = "fields.tsv"
"""Name of the file with the places of all fields of a plate."""

SOLVED = "solve_plate.json"
"""Name of the receipt of a plate whose places are solved."""

WellKey = tuple[str, str, str]
"""Name of the plate in the config, row and column."""


class PlateWildcards(Protocol):
    """The wildcards of a job for one plate."""

    plate: str


class WellWildcards(PlateWildcards, Protocol):
    """The wildcards of a job for one well."""

    row: str
    column: str


class ImageWildcards(WellWildcards, Protocol):
    """The wildcards of a job for one image."""

    image: str


def measured_receipt(places: Path, well: Well) -> Path:
    """The receipt of a measured well, next to the file with the places of its plate."""
    return places.parent / well.row / well.column / "measure_well.json"


def key_of(wildcards: WellWildcards) -> WellKey:
    """The well of a job."""
    return wildcards.plate, wildcards.row, wildcards.column


@dataclass(frozen=True)
class Receipts:
    """Paths of the receipts of a run.

    Its methods are input functions of the rules: they get the wildcards of a job.

    Attributes
    ----------
    config : Config
        The config.
    wells : mapping of WellKey to Well
        The wells of all plates.
    jobs : str
        Whether a job does one ``step`` or all steps of a ``well``.
    """

    config: Config
    wells: Mapping[WellKey, Well]
    jobs: Literal["step", "well"] = "step"

    def copied_tables(self, wildcards: WellWildcards) -> list[str]:
        """The tables of all images of the well."""
        return self._of_images(wildcards, "copy_tables")

    def before_swap(self, wildcards: ImageWildcards) -> list[str]:
        """All tables of the well: nobody may read the reference while a swap replaces it.

        Only the first image waits for them, and the others wait for the first. So Snakemake has
        2 n - 1 files to look for in a well of n images, and not n².
        """
        key = key_of(wildcards)
        first = self.wells[key].images[0].name
        if wildcards.image == first:
            return self.copied_tables(wildcards)
        return [self._of_well(key, f"{first}/swap_image")]

    def swapped_images(self, wildcards: WellWildcards) -> list[str]:
        """All images of the well, each in the place of its original."""
        return self._of_images(wildcards, "swap_image")

    def registered_well(self, wildcards: WellWildcards) -> list[str]:
        """What fusion waits for: the images that are registered in the plate, if any are."""
        registration = self.config.by_plate[wildcards.plate].registration
        if not registration.writes_images:
            return []
        if registration.request.overwrite_input:
            return self.swapped_images(wildcards)
        return [self._of_well(key_of(wildcards), "publish_registered")]

    def measured_wells(self, wildcards: PlateWildcards) -> list[str]:
        """The pairs of all wells of the plate."""
        plate = wildcards.plate
        return [self._of_well(key, "measure_well") for key in self.wells if key[0] == plate]

    def solved_tables(self, wildcards: WellWildcards) -> list[str]:
        """What registration waits for: its tables, if they are measured."""
        if not self.config.by_plate[wildcards.plate].registration.measures:
            return []
        return [f"{self.config.results}/{wildcards.plate}/{SOLVED}"]

    def solved_places(self, wildcards: WellWildcards) -> list[str]:
        """The places at which fields are fused, if they are measured."""
        if not self.config.by_plate[wildcards.plate].registration.measures:
            return []
        return [f"{self.config.results}/{wildcards.plate}/{FIELDS}"]

    def positions(self, wildcards: WellWildcards) -> list[str]:
        """The user's table of positions; nothing if there is none."""
        table = self.config.by_plate[wildcards.plate].input.positions
        return [] if table is None else [table]

    def profiles(self, wildcards: WellWildcards) -> list[str]:
        """The user's flat-field profiles; nothing if raw pixels are not corrected."""
        channels = self.config.by_plate[wildcards.plate].illumination or {}
        files = [own for channel in channels.values() for own in channel.values()]
        return sorted({path for path in files if isinstance(path, str)})

    def fused_parts(self, wildcards: WellWildcards) -> list[str]:
        """What finishing a scattered well waits for; nothing if one job does all the work."""
        scatter = self.config.fusion.scatter
        parts = range(scatter if scatter > 1 else 0)
        return [self._of_well(key_of(wildcards), f"fuse_part/{part}") for part in parts]

    def fused_wells(self, wildcards: PlateWildcards) -> list[str]:
        """All fused wells of the plate."""
        return self._of_plate(wildcards.plate, "fuse_well")

    def checked_wells(self, wildcards: PlateWildcards) -> list[str]:
        """The figures of all wells of the plate."""
        return self._of_plate(wildcards.plate, "check_well")

    def final(self, wildcards: object = None) -> list[str]:
        """The receipts with which a whole run ends."""
        receipts = [
            self._of_well(key, step)
            for key in self.wells
            for step in ((PROCESS,) if key in self._whole_wells else self._last_steps[key[0]])
            if step not in ("fuse_well", "check_well")  # the plate waits for them
        ]
        plates = dict.fromkeys(plate for plate, _, _ in self.wells)
        last = [(rule, p) for p in plates for rule in self._last_of_plate(p)]
        last.sort(key=lambda own: own[0] != "finish_fused_plate")  # for all plates, then the rest
        return receipts + [f"{self.config.results}/{plate}/{rule}.json" for rule, plate in last]

    def whole_wells(self, *, done: bool) -> list[WellKey]:
        """The wells of which one job did all steps, or those of which one job would do them."""
        whole = [key for key in self.wells if key in self._whole_wells]
        return [key for key in whole if Path(self._of_well(key, PROCESS)).exists() == done]

    def _last_of_plate(self, plate: str) -> Iterator[str]:
        """The steps of a plate with which a run ends."""
        config = self.config.by_plate[plate]
        if config.fusion.enabled:
            yield "finish_fused_plate"
        if config.checks_wells:
            stops = config.quality.options.on_flag == "stop"
            yield "accept_plate" if stops else "report_plate"

    @cached_property
    def _whole_wells(self) -> frozenset[WellKey]:
        """The wells of which one job does all steps.

        A well that was finished in one way stays so, whatever the config says now: else all its
        jobs would start again, to find that there is nothing to do. If the config asks for a step
        that its job did not do, the steps become jobs: Snakemake would not start the job again for
        it, because the receipt that it waits for exists, and it compares no params of a job that
        has an output that never existed.
        """
        return frozenset(key for key in self.wells if self._is_whole(key))

    def _is_whole(self, key: WellKey) -> bool:
        whole = Path(self._of_well(key, PROCESS))
        steps = [Path(self._of_well(key, step)) for step in self._last_steps[key[0]]]
        done = all(step.exists() for step in steps)
        if whole.exists():  # the job writes it last: a newer receipt is that of a job of its own
            made_ns = whole.stat().st_mtime_ns
            return done and all(step.stat().st_mtime_ns <= made_ns for step in steps)
        return self.jobs == "well" and not done

    @cached_property
    def _last_steps(self) -> Mapping[str, tuple[str, ...]]:
        """The last steps of the wells of each plate."""
        return {plate: last_steps_of(own) for plate, own in self.config.by_plate.items()}

    def _of_plate(self, plate: str, step: str) -> list[str]:
        """The step in each well of a plate, or the job that does it with all others."""
        return [
            self._of_well(key, PROCESS if key in self._whole_wells else step)
            for key in self.wells
            if key[0] == plate
        ]

    def _of_images(self, wildcards: WellWildcards, rule: str) -> list[str]:
        key = key_of(wildcards)
        images = self.wells[key].images
        return [self._of_well(key, f"{image.name}/{rule}") for image in images]

    def _of_well(self, key: WellKey, rule: str) -> str:
        plate, row, column = key
        return f"{self.config.results}/{plate}/{row}/{column}/{rule}.json"

"""The steps that a user names for Snakemake: `--until`, `--omit-from` and `--forcerun`.

A step is a job of its own, or a part of the one job of its well. Snakemake knows jobs only: of a
step that is none it says nothing, and does nothing, or all that it was to leave out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from platefuse.errors import ConfigError, listed
from platefuse.workflow.receipts import Receipts, WellKey
from platefuse.workflow.well_steps import PROCESS, STEPS


class _Options(Protocol):
    """The options of Snakemake, as it has them before it reads the rules."""

    until: Iterable[str]
    omit_from: Iterable[str]
    forcerun: Iterable[str]


@dataclass(frozen=True)
class NamedSteps:
    """What was named. Names that are no step and no job of a well do not matter here.

    Attributes
    ----------
    until, omit_from, forcerun : tuple of str
        The steps that each option names; none if it names jobs of wells, too.
    jobs : str or None
        What the wells' jobs must be, so that a run can begin or end with what was named.
    """

    until: tuple[str, ...] = ()
    omit_from: tuple[str, ...] = ()
    forcerun: tuple[str, ...] = ()
    jobs: Literal["step", "well"] | None = None

    @classmethod
    def of(cls, options: _Options | None) -> NamedSteps:
        """What the options name; Snakemake may have none (`--lint`)."""
        if options is None:
            return cls()
        limits = {*options.until, *options.omit_from}
        if limits & STEPS:
            jobs: Literal["step", "well"] | None = None if _has_wells(limits) else "step"
        else:
            jobs = "well" if _has_wells(limits) else None
        return cls(_steps(options.until), _steps(options.omit_from), _steps(options.forcerun), jobs)

    def check(self, receipts: Receipts) -> None:
        """Check that the jobs of a run are what was named.

        Raises
        ------
        ConfigError
            If the job of a well does a step that was named alone.
        """
        faults = []
        if receipts.whole_wells(done=False):
            for option, steps in (("--until", self.until), ("--omit-from", self.omit_from)):
                if steps:
                    faults.append(
                        f"{option} {' '.join(steps)}: with workflow.jobs: well this is a part of "
                        f"{PROCESS}, the one job of a well, and no job of its own. Set "
                        f"workflow.jobs to auto or step, or name {PROCESS}."
                    )
        if self.forcerun and (wells := receipts.whole_wells(done=True)):
            names = " ".join(self.forcerun)
            faults.append(
                f"--forcerun {names}: one job did all steps of wells that are done "
                f"({listed(_names(wells), 5)}). Name it, too: --forcerun {names} {PROCESS}."
            )
        if faults:
            raise ConfigError(*faults)


def _has_wells(names: Iterable[str]) -> bool:
    return any(name.endswith(PROCESS) for name in names)


def _steps(names: Iterable[str]) -> tuple[str, ...]:
    return () if _has_wells(names) else tuple(sorted(STEPS.intersection(names)))


def _names(wells: Iterable[WellKey]) -> list[str]:
    return [f"{plate} {row}/{column}" for plate, row, column in wells]

"""The steps that a user names for Snakemake: `--until`, `--omit-from` and `--forcerun`.

A step is a job of its own, or a part of the one job of its well. Snakemake knows jobs only. If a
named step is no job, it says nothing: it does nothing, or all that it was to leave out.
"""

from __future__ import annotations

from argparse import ArgumentError, ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass
from io import StringIO
from typing import Any, Literal, TypeAlias

from platefuse.errors import ConfigError, listed
from platefuse.workflow.receipts import Receipts, WellKey
from platefuse.workflow.well_steps import PROCESS, STEPS

Parse: TypeAlias = Callable[[list[str]], tuple[Any, Namespace]]

_OPTIONS = {"until": "-U", "omit_from": "-O", "forcerun": "-R"}


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
    def of(cls, words: Sequence[str], parse: Parse) -> NamedSteps:
        """The steps that a command line of Snakemake names, itself or in its profiles.

        Snakemake has no settings yet when it reads the rules.

        Parameters
        ----------
        words : sequence of str
            The command line, without the name of the program.
        parse : callable
            Snakemake's parser of command lines, `snakemake.cli.parse_args`.
        """
        given = _given(words, parse)
        limits = {*given["until"], *given["omit_from"]}
        jobs: Literal["step", "well"] | None = None
        if _has_wells(limits) != bool(limits & STEPS):
            jobs = "well" if _has_wells(limits) else "step"
        steps = {name: _steps(names) for name, names in given.items()}
        return cls(**steps, jobs=jobs)

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


def _given(words: Sequence[str], parse: Parse) -> dict[str, list[str]]:
    """The names that each option gives: on the command line, or in a profile.

    In a profile only where it is found: Snakemake has changed to the folder of `--directory`.
    """
    with suppress(SystemExit), redirect_stderr(StringIO()):  # Snakemake has told its profiles
        found = vars(parse(list(words))[1])
        return {name: [str(each) for each in found[name] or ()] for name in _OPTIONS}
    # No abbreviations: `--force` is an option of its own.
    parser = ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name, short in _OPTIONS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", short, dest=name, nargs="*", default=[])
    with suppress(ArgumentError):  # Snakemake has read it before
        return vars(parser.parse_known_args(list(words))[0])
    return {name: [] for name in _OPTIONS}


def _has_wells(names: Iterable[str]) -> bool:
    return any(name.endswith(PROCESS) for name in names)


def _steps(names: Iterable[str]) -> tuple[str, ...]:
    return () if _has_wells(names) else tuple(sorted(STEPS.intersection(names)))


def _names(wells: Iterable[WellKey]) -> list[str]:
    return [f"{plate} {row}/{column}" for plate, row, column in wells]

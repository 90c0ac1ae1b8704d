"""Check the limits of a run: with one below 1 Snakemake would wait for ever."""

from __future__ import annotations

from collections.abc import Mapping

from platefuse.errors import ConfigError


def check_limits(limits: Mapping[str, int | None]) -> None:
    """Check that a job can begin.

    Snakemake has read them. So it does not matter how they are spelled, or whether they are in a
    profile.

    Parameters
    ----------
    limits : mapping of str to int or None
        How many there may be at a time, by the option that says so. None: it was not given.

    Raises
    ------
    ConfigError
        If a limit is below 1.
    """
    faults = [
        f"{option} is {limit}; expected a whole number above 0"
        + (", or all." if option == "--cores" else ".")
        for option, limit in limits.items()
        if limit is not None and limit < 1
    ]
    if faults:
        raise ConfigError(*faults)

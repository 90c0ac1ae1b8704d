"""The report: sections of ``docs/benchmarks.md`` that a run replaces, and what it ran on."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

import platefuse
from benchmarks.measure import ROOT
from benchmarks.tables import Section

REPORT = ROOT / "docs" / "benchmarks.md"
PACKAGES = ("numpy", "zarr", "zarrs", "dask", "xarray", "snakemake")


def replace_section(text: str, section: Section, measured: str) -> str:
    """The report with one section made anew.

    Parameters
    ----------
    text : str
        The report. The section stands between two comments that name it.
    section : Section
        The new section.
    measured : str
        When, how and on what.

    Raises
    ------
    ValueError
        If the report has no place for the section.
    """
    begin, end = f"<!-- begin {section.name} -->", f"<!-- end {section.name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    new = "\n\n".join([begin, section.markdown(), measured, end])
    changed, count = pattern.subn(lambda _: new, text)
    if count != 1:
        raise ValueError(f"{REPORT}: expected one part from {begin} to {end}, found {count}.")
    return changed


def write_section(section: Section, rounds: int) -> None:
    """Write a section into the report."""
    REPORT.write_text(replace_section(REPORT.read_text(), section, measured_on(rounds)))


def measured_on(rounds: int) -> str:
    """One sentence on the date, the machine and the versions."""
    packages = [f"{name} {version(name)}" for name in PACKAGES]
    ours = f"platefuse {platefuse.__version__}"
    return (
        f"Median of {rounds} rounds; {date.today().isoformat()}; {processor()}, "
        f"{os.cpu_count()} cores, {memory_gb():.0f} GB of memory, Linux {kernel()}; "
        f"Python {platform.python_version()}, {', '.join([ours, *packages])}."
    )


def processor() -> str:
    """Model of the processor."""
    return _field("/proc/cpuinfo", "model name") or platform.machine()


def memory_gb() -> float:
    """Memory of the machine, GB of 10^9 bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9


def kernel() -> str:
    """Version of the kernel, without what distributions add."""
    return ".".join(platform.release().split("-")[0].split(".")[:2])


def load_warning(load: Sequence[float], cores: int) -> str:
    """What to say before measuring on a machine that is busy; empty if it is not.

    Examples
    --------
    >>> load_warning((0.1, 0.2, 0.3), cores=2)
    ''
    """
    if load[0] < 0.5 * cores:
        return ""
    return f"The machine is busy (load {load[0]:.1f} on {cores} cores): expect noise."


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""

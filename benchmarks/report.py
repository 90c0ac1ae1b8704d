"""Write sections of ``docs/benchmarks.md``, with the machine and the versions of the run."""

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
    """Return the report with one section replaced.

    Parameters
    ----------
    text : str
        The report. The section is between two comments with its name.
    section : Section
        The new section.
    measured : str
        The sentence of `measured_on`.

    Raises
    ------
    ValueError
        If the report does not contain the two comments exactly once.
    """
    begin, end = f"<!-- begin {section.name} -->", f"<!-- end {section.name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    new = "\n\n".join([begin, section.markdown(), measured, end])
    changed, count = pattern.subn(lambda _: new, text)
    if count != 1:
        raise ValueError(f"{REPORT}: expected one part from {begin} to {end}, found {count}.")
    return changed


def write_section(section: Section, rounds: int) -> None:
    """Replace a section of the report."""
    REPORT.write_text(replace_section(REPORT.read_text(), section, measured_on(rounds)))


def measured_on(rounds: int) -> str:
    """Return a sentence with the date, the machine and the versions."""
    packages = [f"{name} {version(name)}" for name in PACKAGES]
    ours = f"platefuse {platefuse.__version__}"
    return (
        f"Median of {rounds} rounds; {date.today().isoformat()}; {processor()}, "
        f"{os.cpu_count()} cores, {memory_gb():.0f} GB of memory, Linux {kernel()}; "
        f"Python {platform.python_version()}, {', '.join([ours, *packages])}."
    )


def processor() -> str:
    """Return the model of the processor."""
    return _field("/proc/cpuinfo", "model name") or platform.machine()


def memory_gb() -> float:
    """Return the memory of the machine in GB (10^9 bytes)."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9


def kernel() -> str:
    """Return the version of the kernel, without the suffixes of distributions."""
    return ".".join(platform.release().split("-")[0].split(".")[:2])


def load_warning(load: Sequence[float], cores: int) -> str:
    """Return a warning if the machine is busy, else an empty string.

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

"""Sides that do the same job: run in turn, and put side by side in a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.envs import EnvironmentFailedError, Peer
from benchmarks.measure import JobFailedError, Result, interleave, paired_ratio, typical
from benchmarks.tables import Table, megabytes, seconds, times

OURS = "platefuse"
LIMIT = "codec limit"
LIMIT_OWN_CALLS = "codec limit, calls as platefuse's"
LIMITS = {LIMIT: False, LIMIT_OWN_CALLS: True}
THREADS = 2
HEADER = (
    "side",
    "call, s",
    "process, s",
    "processor, s",
    "÷ codec limit",
    "÷ platefuse",
    "peak MB",
)

Run = Callable[[], Result]
PeerRun = Callable[[str, Path], Run]


@dataclass
class Contest:
    """Sides that do one job.

    Attributes
    ----------
    sides : dict of str to callable
        Does the job of a side once.
    results : dict of str to list of Result
        What the runs of each side took, one for each round.
    failures : dict of str to str
        Why a side has no results.
    """

    sides: dict[str, Run] = field(default_factory=dict)
    results: dict[str, list[Result]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def enter(self, name: str, run: Run, *, warm_up: Run | None = None) -> None:
        """Enter a side that has been seen to work.

        Parameters
        ----------
        name : str
            Name of the side.
        run : callable
            Does its job once.
        warm_up : callable, optional
            Does a small one first: Python compiles what is imported, and reads it from the disk.
        """
        try:
            if warm_up is not None:
                warm_up()
        except JobFailedError as failure:
            self.failures[name] = str(failure)
        else:
            self.sides[name] = run

    def enter_peers(self, peers: Sequence[Peer], run: PeerRun, warm_up: PeerRun) -> None:
        """Enter every peer whose environment can be made, by its name and interpreter."""
        for peer in peers:
            try:
                python = peer.ensure()
            except EnvironmentFailedError as failure:
                self.failures[peer.name] = f"its environment cannot be made: {failure}"
            else:
                self.enter(peer.name, run(peer.name, python), warm_up=warm_up(peer.name, python))

    def hold(self, rounds: int) -> None:
        """Run every side once a round."""
        for name, found in interleave(self.sides, rounds).items():
            if isinstance(found, JobFailedError):
                self.failures[name] = str(found)
            else:
                self.results[name] = found

    def table(self, extra: Mapping[str, Mapping[str, str]], caption: str = "") -> Table:
        """Seconds, ratios and memory of all sides.

        Parameters
        ----------
        extra : mapping of str to mapping of str to str
            Further columns: what to write for each side.
        caption : str
            A line above the table.
        """
        table = Table([*HEADER, *extra], caption=caption)
        for name, results in self.results.items():
            one = typical(results)
            table.add(
                name,
                seconds(one.call_s),
                seconds(one.process_s),
                seconds(one.cpu_s),
                self._ratio(name, LIMIT),
                self._ratio(name, OURS),
                "" if name in LIMITS else megabytes(one.peak_mb),
                *(column.get(name, "") for column in extra.values()),
            )
        for name, why in self.failures.items():
            table.add(name, f"not measured: {why}")
        return table

    def _ratio(self, name: str, other: str) -> str:
        if name == other or other not in self.results:
            return ""
        return times(paired_ratio(self.results[name], self.results[other]))

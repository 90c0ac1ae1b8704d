"""Run several programs on the same job and compare them in a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.envs import EnvironmentFailedError, Peer
from benchmarks.measure import JobFailedError, Result, interleave, paired_ratio, typical
from benchmarks.tables import Table, megabytes, seconds, times

OURS = "platefuse"
LIMIT = "codec limit"
LIMIT_OWN_CALLS = "codec limit, platefuse's calls"
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
    """A comparison of several sides (programs, or the codec limit) on one job.

    Attributes
    ----------
    sides : dict of str to callable
        For each side, a function that does the job once.
    results : dict of str to list of Result
        For each side, the results of its runs, one for each round.
    failures : dict of str to str
        For each side without results, the reason.
    """

    sides: dict[str, Run] = field(default_factory=dict)
    results: dict[str, list[Result]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def enter(self, name: str, run: Run, *, warm_up: Run | None = None) -> None:
        """Add a side, if its warm-up run succeeds.

        Parameters
        ----------
        name : str
            Name of the side.
        run : callable
            Does the job once.
        warm_up : callable, optional
            Does a small job first, so that Python compiles all modules and reads them from disk.
        """
        try:
            if warm_up is not None:
                warm_up()
        except JobFailedError as failure:
            self.failures[name] = str(failure)
        else:
            self.sides[name] = run

    def enter_peers(self, peers: Sequence[Peer], run: PeerRun, warm_up: PeerRun) -> None:
        """Add every peer whose environment can be made.

        Parameters
        ----------
        peers : sequence of Peer
            Versions of other programs.
        run, warm_up : callable
            Called with the name of a peer and the path of its interpreter; returns the function
            that does the job once, and the one that does the small job.
        """
        for peer in peers:
            try:
                python = peer.ensure()
            except EnvironmentFailedError as failure:
                self.failures[peer.name] = f"its environment cannot be made: {failure}"
            else:
                self.enter(peer.name, run(peer.name, python), warm_up=warm_up(peer.name, python))

    def hold(self, rounds: int) -> None:
        """Run every side once in each round."""
        for name, found in interleave(self.sides, rounds).items():
            if isinstance(found, JobFailedError):
                self.failures[name] = str(found)
            else:
                self.results[name] = found

    def table(self, extra: Mapping[str, Mapping[str, str]], caption: str = "") -> Table:
        """Return a table of the seconds, ratios and memory of all sides.

        Parameters
        ----------
        extra : mapping of str to mapping of str to str
            More columns, by their header: the cell of each side.
        caption : str
            The line above the table.
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

"""Run Snakemake, show how far it is, and tell how it ended."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import IO

from platefuse.command.caches import user_variables
from platefuse.command.progress import EVENTS, Failure, Progress
from platefuse.command.summary import plate_results, summary
from platefuse.errors import PlatefuseError, counted
from platefuse.storage.progress import Bar, is_terminal
from platefuse.workflow.config.model import Config
from platefuse.workflow.provenance import COMMAND
from platefuse.workflow.run_lock import user_of_plate
from platefuse.workflow.well_steps import ends_of

SNAKEMAKE_LOG = "snakemake.log"
"""Name, in the folder of logs, of what Snakemake and its jobs wrote to stderr."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LAST_LINES = 40


@dataclass
class Run:
    """A run of Snakemake that is watched.

    Attributes
    ----------
    config : Config
        Its config.
    again : str
        The command that was typed.
    only_touches : bool
        Whether Snakemake tells of jobs of which it only sets the times of the outputs.
    progress : Progress
        What it has done so far.
    interrupted : bool
        Whether it was told to stop before its end.
    seconds : float
        How long it took, once it has ended.
    """

    config: Config
    again: str
    only_touches: bool = False
    progress: Progress = field(init=False)
    interrupted: bool = False
    seconds: float = 0.0
    _interrupt: Callable[[], None] | None = None
    _bar: Bar = field(default_factory=lambda: Bar(sys.stderr, ""))
    _output: Transcript = field(default_factory=lambda: Transcript())

    def __post_init__(self) -> None:
        self.progress = Progress(ends_of(self.config))

    def execute(self, command: Sequence[str], folder: Path) -> int:
        """Run a command in a folder, and show the events that it writes until it ends.

        Returns
        -------
        int
            Its exit code; 128 + the number of the signal that ended it.
        """
        begun = time.monotonic()
        reading, writing = os.pipe()
        # A group of its own: the terminal's Ctrl-C comes here only, and is passed on once.
        child = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=[writing],
            env={
                **os.environ,
                **user_variables(Path.cwd()),
                EVENTS: str(writing),
                COMMAND: self.again,
            },
            process_group=0,
        )
        os.close(writing)
        assert child.stderr is not None
        with os.fdopen(reading, "rb") as events, child.stderr as output, self._passing_on(child):
            for line, is_event in _lines(child, events, output):
                if is_event:
                    self._take(json.loads(line))
                elif line:
                    self._output.add(line)
                else:
                    self._bar.draw()
        self._bar.clear()
        self.seconds = time.monotonic() - begun
        code = child.wait()
        return code if code >= 0 else 128 - code

    def end(self, code: int) -> None:
        """Tell how it ended."""
        progress = self.progress
        self.interrupted &= code != 0  # it may come when all is done
        if progress.errors and not self.interrupted:
            is_locked = "LockException" in progress.error_kinds
            for error in [self._user()] if is_locked else progress.errors:
                print(f"platefuse: {error}", file=sys.stderr)
        elif code and not self.interrupted and not progress.failures():
            print(self._output.complaint, file=sys.stderr)
        elif self.interrupted and not progress.has_run:  # what it wrote tells where, and not why
            print(f"Stopped before the first job. The same command starts it: {self.again}")
        elif not progress.has_run:  # what Snakemake was asked for is in its own words
            sys.stderr.write(self._output.text)
        if progress.has_run:
            with suppress(PlatefuseError):
                plates = plate_results(self.config)
                lines = summary(
                    progress,
                    plates,
                    seconds=self.seconds,
                    again=self.again,
                    interrupted=self.interrupted,
                )
                print("\n".join(lines))

    def _user(self) -> str:
        """Who uses this folder, and what to do: Snakemake would tell to unlock in any case."""
        for plate in self.config.paths.values():
            if user := user_of_plate(Path(plate).resolve()):
                return f"The plate {plate} is used by {user}. Wait until that ends, or end it."
        return (
            f"Another run uses this folder, {Path.cwd()}, or one was killed in it. If there is "
            f"none any more, remove its lock: {self.again} --unlock"
        )

    def _take(self, event: Mapping[str, object]) -> None:
        progress, bar = self.progress, self._bar
        if self.only_touches and event["event"] in ("job", "finished"):
            return
        if self.interrupted and event["event"] in ("failed", "error"):
            return  # it was stopped, and nothing is wrong with it
        if self._interrupt is not None and event["event"] == "run":
            self._interrupt()  # again: it came before Snakemake listened
            return
        news, phase = progress.take(event), progress.phase
        if event["event"] == "run":
            self._output.keep(Path(self.config.results, "logs", SNAKEMAKE_LOG))
        if self.interrupted:
            return
        if bar.label != progress.label and phase:
            bar.restart(progress.label, progress.to_do, "wells")
        if phase:
            bar.done = progress.done
        if news == "warning":
            bar.print(f"warning: {progress.warnings[-1]}")
        elif news == "failed":
            bar.print(failure_line(progress.failure(int(str(event["id"])))))
        elif news == "well" and not is_terminal(sys.stderr):
            plate, well = next(reversed(progress.wells))
            total = counted(progress.total, "well", "wells")
            bar.print(f"{plate} {well} done ({len(progress.wells)} of {total})")
        bar.draw(now=news is not None)

    def _say_stopping(self) -> None:
        try:
            self._bar.clear()
            print("platefuse: stopping; the jobs that are running end first", file=sys.stderr)
        except OSError:
            _mute()

    @contextmanager
    def _passing_on(self, child: subprocess.Popen[bytes]) -> Iterator[None]:
        """Pass signals on to Snakemake and its jobs, and wait for them."""

        def pass_on(number: int, _: FrameType | None) -> None:
            first, self.interrupted = not self.interrupted, True
            # Snakemake does not know the signal of a closed terminal: it would die with its lock.
            number = signal.SIGTERM if number == signal.SIGHUP else number
            self._interrupt = partial(_signal_group, child.pid, number)
            self._interrupt()
            if first:
                self._say_stopping()

        # `nohup` has the signal of a closed terminal ignored, so that the run goes on.
        ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else set()
        listened = [number for number in _SIGNALS if number not in ignored]
        before = {number: signal.signal(number, pass_on) for number in listened}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _mute() -> None:
    """Write to a terminal that is closed no more: each write would be an error."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # ValueError: it is no file, or is closed
            os.dup2(nothing, stream.fileno())
    os.close(nothing)


def _signal_group(leader: int, number: int) -> None:
    """Send a signal to a group of processes; no matter if it has ended."""
    with suppress(ProcessLookupError):
        os.killpg(leader, number)


@dataclass
class Transcript:
    """What Snakemake and its jobs wrote: the last lines, and all of them in a file.

    The file is made only when the run begins to work. If it cannot be written, the run goes on
    without it: the run itself says what is wrong with the folder or the disk.
    """

    lines: list[str] = field(default_factory=list)
    _file: IO[str] | None = None

    def add(self, line: str) -> None:
        """Add a line."""
        self.lines.append(line)
        if self._file is not None:
            try:
                self._file.write(line)
                self._file.flush()
            except OSError:
                self._file = None
                return
            del self.lines[:-_LAST_LINES]

    def keep(self, file: Path) -> None:
        """Write this and all that follows to a file, too."""
        if self._file is None:
            with suppress(OSError):
                file.parent.mkdir(parents=True, exist_ok=True)
                self._file = file.open("w", encoding="utf-8")
                self._file.write(self.text)

    @property
    def text(self) -> str:
        """The lines that are kept here."""
        return "".join(self.lines)

    @property
    def complaint(self) -> str:
        """Why Snakemake did not begin: all lines, or the last one after a page of usage."""
        if self.lines and self.lines[0].startswith("usage:"):
            return f"platefuse: {self.lines[-1].strip()}. `snakemake --help` lists its options."
        return self.text.rstrip()


def failure_line(failure: Failure) -> str:
    """A line about a job that failed, while the others go on."""
    log = f" ({failure.log})" if failure.log else ""
    return f"{failure.job.subject}: {failure.job.rule} failed: {failure.reason}{log}"


def _lines(
    child: subprocess.Popen[bytes], events: IO[bytes], output: IO[bytes]
) -> Iterator[tuple[str, bool]]:
    """Lines of two pipes as they come, and whether each is an event.

    An empty one comes about once a second, so that the bar's time goes on. Jobs of a killed
    Snakemake may keep a pipe open: it is read only as long as Snakemake runs.
    """
    rest = {events.fileno(): b"", output.fileno(): b""}
    with selectors.DefaultSelector() as selector:
        for pipe in (events, output):
            os.set_blocking(pipe.fileno(), False)
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map():
            is_over = child.poll() is not None
            ready = selector.select(timeout=0.1 if is_over else 1)
            for key, _ in ready:
                chunk = os.read(key.fd, 1 << 16)
                *lines, rest[key.fd] = (rest[key.fd] + chunk).split(b"\n")
                for line in lines:
                    yield line.decode(errors="replace") + "\n", key.fd == events.fileno()
                if not chunk:
                    selector.unregister(key.fileobj)
            if not ready:
                if is_over:
                    return
                yield "", False

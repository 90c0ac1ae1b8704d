"""How far a run is, from the events of Snakemake. Pure, apart from the logs of failed jobs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from platefuse.workflow.well_steps import STEPS

EVENTS = "PLATEFUSE_EVENTS"
"""Environment variable with the number of the file descriptor that events are written to."""

MEASURING = "measure_well"
"""The rule of jobs that measure where the fields of a well are."""

WHOLE = "process_well"
"""The rule of jobs that do all steps of a well. Plates of other steps have one that ends so."""

LAST_STEPS = ("check_well", "fuse_well", "publish_registered", "discard_backups")
"""Rules with which a well may end if each step is a job, the last first."""

_SOME_FAILED = "At least one job did not complete successfully."
_LABELS = {MEASURING: "measuring", "publish_registered": "registering"}
_LABELS["discard_backups"] = "registering"
_PROCESS = re.compile("CalledProcessError|RuleException")
_LOG_LINE = re.compile(r"^\S+ \S+ (ERROR|CRITICAL) (?P<message>.*)$")


@dataclass(frozen=True)
class Job:
    """A job that has begun.

    Attributes
    ----------
    rule : str
        Name of its rule.
    plate, well : str
        What it is for; empty where it is for all.
    logs : tuple of str
        Its log files.
    """

    rule: str
    plate: str = ""
    well: str = ""
    logs: tuple[str, ...] = ()

    @classmethod
    def of_event(cls, event: Mapping[str, Any]) -> Job:
        """A job from its event."""
        wildcards = event["wildcards"]
        well = "/".join(filter(None, [wildcards.get("row"), wildcards.get("column")]))
        return cls(
            _plain_rule(event["rule"]), wildcards.get("plate", ""), well, tuple(event["log"])
        )

    @property
    def subject(self) -> str:
        """The plate and well, for messages."""
        return " ".join(filter(None, [self.plate, self.well])) or self.rule


@dataclass(frozen=True)
class Failure:
    """A well, or a plate, whose job failed.

    Attributes
    ----------
    job : Job
        The job.
    reason : str
        Why, in one line.
    log : str or None
        Its log.
    log_says : bool
        Whether the reason is from the log.
    """

    job: Job
    reason: str
    log: str | None
    log_says: bool = False


@dataclass
class Progress:
    """What a run has done so far.

    Attributes
    ----------
    ends : mapping of str to str
        The last step of a well of each plate. Of other plates it is the last that is planned.
    planned : Counter
        Number of jobs of each rule that the run has to do.
    finished : Counter
        Number of those that are done.
    wells : dict
        The wells that are done, in their order: (plate, well).
    warnings, errors : list of str
        What Snakemake and the checks before the first job said.
    error_kinds : set of str
        Names of the exceptions of these errors.
    is_up_to_date : bool
        Whether there was nothing to do.
    """

    ends: Mapping[str, str] = field(default_factory=dict)
    planned: Counter[str] = field(default_factory=Counter)
    finished: Counter[str] = field(default_factory=Counter)
    wells: dict[tuple[str, str], None] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    error_kinds: set[str] = field(default_factory=set)
    is_up_to_date: bool = False
    _jobs: dict[int, Job] = field(default_factory=dict)
    _failed: dict[int, Failure] = field(default_factory=dict)
    _not_last: Counter[str] = field(default_factory=Counter)

    def take(self, event: Mapping[str, Any]) -> str | None:
        """Count an event.

        Returns
        -------
        str or None
            The kind of the event if it changed something worth a line: ``well``, ``failed``,
            ``warning``.
        """
        match event["event"]:
            case "run":
                self.planned = Counter()
                for rule, jobs in event["jobs"].items():
                    if rule != "total":
                        self.planned[_plain_rule(rule)] += jobs
            case "up_to_date":
                self.is_up_to_date = True
            case "job":
                self._jobs[event["id"]] = Job.of_event(event)
            case "finished":
                return self._finish(event["id"])
            case "failed":
                return self._fail(event["id"], _plain_rule(event["rule"]))
            case "warning":
                self.warnings.append(event["message"].removeprefix("Warning: "))
                return "warning"
            case "error":
                if event["message"].endswith(_SOME_FAILED):
                    return None  # these jobs have events of their own
                self.errors.append(plain_message(event["message"]))
                self.error_kinds.add(str(event["kind"]))
        return None

    def _fail(self, number: int, rule: str) -> str | None:
        failure = failure_of(self._jobs.get(number) or Job(rule))
        # What Snakemake says of the job's process comes before the event; its log says more.
        last = self.errors.pop() if self.errors and _PROCESS.search(self.errors[-1]) else ""
        if not failure.reason:
            failure = replace(failure, reason=_end_of_process(last))
        is_new = number not in self._failed
        self._failed[number] = failure
        return "failed" if is_new else None

    def _finish(self, number: int) -> str | None:
        self._failed.pop(number, None)  # a second try that succeeded
        job = self._jobs.get(number)
        if job is None:
            return None
        self.finished[job.rule] += 1
        if job.rule not in self.last:
            return None
        if job.rule not in (WHOLE, self.ends.get(job.plate, job.rule)):
            self._not_last[job.rule] += 1
            return None
        self.wells[job.plate, job.well] = None
        return "well"

    @property
    def has_run(self) -> bool:
        """Whether jobs have begun, or none was needed."""
        return bool(self._jobs) or self.is_up_to_date

    @property
    def last(self) -> tuple[str, ...]:
        """The rules with which the wells of this run are done.

        A run that continues one of the other kind of jobs may have both.
        """
        steps = set(self.ends.values()) or set(LAST_STEPS)
        planned = [rule for rule in LAST_STEPS if rule in steps and self.planned[rule]]
        ends = planned if self.ends else planned[:1]
        return tuple(rule for rule in (WHOLE, *ends) if self.planned[rule])

    @property
    def ends_early(self) -> bool:
        """Whether wells are begun and none is to be done, as ``--until`` may ask for."""
        return not self.last and any(self.planned[rule] for rule in (MEASURING, *STEPS))

    @property
    def phase(self) -> tuple[str, ...]:
        """The rules whose jobs are counted now: measuring comes before the rest of all wells."""
        if self.finished[MEASURING] < self.planned[MEASURING]:
            return (MEASURING,)
        return self.last

    @property
    def label(self) -> str:
        """The word for `phase`."""
        return _LABELS.get(self.phase[-1] if self.phase else "", "processing")

    @property
    def done(self) -> int:
        """Number of jobs of `phase` that are done."""
        return sum(self.finished[rule] - self._not_last[rule] for rule in self.phase)

    @property
    def to_do(self) -> int:
        """Number of all jobs of `phase`."""
        return sum(self.planned[rule] - self._not_last[rule] for rule in self.phase)

    @property
    def total(self) -> int:
        """Number of wells that this run has to do.

        Where wells of some plates end with a step after which others go on, it is too high until
        these have done that step: Snakemake does not tell how many of its jobs are for which plate.
        """
        return sum(self.planned[rule] - self._not_last[rule] for rule in self.last)

    def failures(self) -> list[Failure]:
        """The jobs that failed, one for each well or plate: the one whose log says why."""
        found: dict[tuple[str, str], Failure] = {}
        for failure in self._failed.values():
            key = (failure.job.plate, failure.job.well)
            if key not in found or (failure.log_says and not found[key].log_says):
                found[key] = failure
        return list(found.values())

    def failure(self, number: int) -> Failure:
        """Why one job failed."""
        return self._failed[number]


def _plain_rule(name: str) -> str:
    """The rule of a job; one name for all rules that do all steps of a well."""
    return WHOLE if name.endswith(WHOLE) else name


def failure_of(job: Job) -> Failure:
    """Why a job failed, by its logs; the reason is empty where they do not say."""
    for log in job.logs:
        reason = reason_in(Path(log))
        if reason:
            return Failure(job, reason, log, log_says=True)
    return Failure(job, "", job.logs[0] if job.logs else None)


def _end_of_process(message: str) -> str:
    """Why a job has no more to say, from what Snakemake says of its process."""
    killed = re.search(r"died with <Signals\.(\w+)", message)
    if killed is None:
        return "its log does not say why; snakemake.log may"
    memory = ", which is often too little memory" if killed[1] == "SIGKILL" else ""
    return f"its process was ended by {killed[1]}{memory}"


def reason_in(log: Path) -> str:
    """The last error in the log of a job, in one line; empty if there is none.

    Of an unexpected error that is the last line of its traceback.
    """
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for number in reversed(range(len(lines))):
        found = _LOG_LINE.match(lines[number])
        if found is None:
            continue
        after = lines[number + 1 :]
        if any(line.startswith("Traceback ") for line in after):
            return next(line.strip() for line in reversed(after) if line.strip())
        return found["message"]
    return ""


def plain_message(message: str) -> str:
    r"""The message of an error, without where in the rules it was raised.

    Of an error that Snakemake did not expect it is the last line of the traceback.

    Examples
    --------
    >>> plain_message('WorkflowError in file "a.smk", line 3:\nNo plate.\n  File "a.smk", line 3')
    'No plate.'
    """
    lines = message.splitlines()
    if any(line.startswith("Traceback ") for line in lines):
        return next(line.strip() for line in reversed(lines) if line.strip())
    return "\n".join(_told(lines))


def _told(lines: list[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        is_head = number == 0 and re.match(r"^\w*(Error|Exception)\b.*:$", line)
        if not is_head and not line.startswith('  File "'):
            yield line

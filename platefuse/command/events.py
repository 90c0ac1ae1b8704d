"""What Snakemake tells `platefuse run`: a logger plugin that writes one JSON object a line.

It runs in Snakemake's process. `platefuse.command.progress` reads what it writes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from logging import WARNING, LogRecord
from typing import TextIO

from snakemake.common import NOTHING_TO_BE_DONE_MSG
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from platefuse.command.progress import EVENTS

PLUGIN = "snakemake_logger_plugin_platefuse"
"""The name under which Snakemake knows this module; it is chosen by ``--logger platefuse``."""


def event_of(record: LogRecord) -> Mapping[str, object] | None:
    """What is passed on of a record of Snakemake's log; None: nothing.

    Parameters
    ----------
    record : LogRecord
        With the attributes that Snakemake gives the kind of event.
    """
    fields, kind = record.__dict__, getattr(record, "event", None)
    match kind:
        case LogEvent.RUN_INFO:
            return {"event": "run", "jobs": dict(fields["stats"])}
        case LogEvent.JOB_INFO:
            return {
                "event": "job",
                "id": fields["jobid"],
                "rule": fields["rule_name"],
                "wildcards": dict(fields["wildcards"]),
                "log": list(fields["log"]),
            }
        case LogEvent.JOB_FINISHED:
            return {"event": "finished", "id": fields["job_id"]}
        case LogEvent.JOB_ERROR:
            return {"event": "failed", "id": fields["jobid"], "rule": fields["rule_name"]}
        case LogEvent.ERROR:
            return {
                "event": "error",
                "kind": fields.get("exception"),
                "message": record.getMessage(),
            }
        case None if record.levelno == WARNING:
            return {"event": "warning", "message": record.getMessage()}
        case None if record.getMessage() == NOTHING_TO_BE_DONE_MSG:
            return {"event": "up_to_date"}
    return None


class LogHandler(LogHandlerBase):
    """Writes events to the file descriptor that the environment names."""

    _stream: TextIO | None = None

    def __post_init__(self) -> None:
        # Removed at once: jobs inherit the environment and not the descriptor.
        descriptor = os.environ.pop(EVENTS, None)
        if descriptor is not None and not self.common_settings.dryrun:
            self._stream = os.fdopen(int(descriptor), "w", buffering=1, encoding="utf-8")

    def emit(self, record: LogRecord) -> None:
        """Write the event of a record, if it has one."""
        event = event_of(record)
        if event is None or self._stream is None:
            return
        try:
            self._stream.write(json.dumps(event, default=str) + "\n")
        except OSError:  # the reader is gone; the run goes on
            self._stream = None

    @property
    def writes_to_stream(self) -> bool:
        """No: Snakemake's own messages stay on stderr, where they are kept in a log."""
        return False

    @property
    def writes_to_file(self) -> bool:
        """No: a pipe has no name."""
        return False

    @property
    def has_filter(self) -> bool:
        """Yes: events are needed however quiet Snakemake is."""
        return True

    @property
    def has_formatter(self) -> bool:
        """No: the default one is never used."""
        return False

    @property
    def needs_rulegraph(self) -> bool:
        """No."""
        return False

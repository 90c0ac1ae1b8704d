"""Events of Snakemake as the logger plug-in passes them on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from platefuse.command.progress import Progress


def started(number: int, rule: str, well: str = "", *, log: Path | None = None) -> dict[str, Any]:
    row, _, column = well.partition("/")
    wildcards = {"plate": "screen", **({"row": row, "column": column} if well else {})}
    return {
        "event": "job", "id": number, "rule": rule, "wildcards": wildcards,
        "log": [] if log is None else [str(log)],
    }  # fmt: skip


def finished(number: int) -> dict[str, Any]:
    return {"event": "finished", "id": number}


def failed(number: int, rule: str = "fuse_well") -> dict[str, Any]:
    return {"event": "failed", "id": number, "rule": rule}


def error(message: str, kind: str = "WorkflowError") -> dict[str, Any]:
    return {"event": "error", "kind": kind, "message": message}


def planned(**jobs: int) -> dict[str, Any]:
    return {"event": "run", "jobs": {**jobs, "total": sum(jobs.values())}}


def progress_of(*events: Mapping[str, Any]) -> Progress:
    progress = Progress()
    for event in events:
        progress.take(event)
    return progress

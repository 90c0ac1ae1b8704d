"""A run that cannot submit its jobs stops before the first of them."""

from __future__ import annotations

import shutil

import pytest

from platefuse.errors import ConfigError
from platefuse.workflow.checks.executor import check_executor


@pytest.mark.parametrize("missing", ["sbatch", "squeue"])
def test_slurm_needs_its_programs(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"sbatch", "squeue"} - {missing}
    monkeypatch.setattr(shutil, "which", lambda name: name if name in there else None)
    with pytest.raises(ConfigError, match=rf"slurm submits jobs with {missing}, and this machine"):
        check_executor("slurm")


@pytest.mark.parametrize("name", ["local", "cluster-generic", "slurm-jobstep"])
def test_others_need_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    check_executor(name)

"""Check that jobs can be submitted from this machine."""

from __future__ import annotations

import shutil

from platefuse.errors import ConfigError

_PROGRAMS = {"slurm": ("sbatch", "squeue")}
"""What executor plugins of Snakemake call; others get their commands from the user."""


def check_executor(name: str) -> None:
    """Check that the programs are there that submit the jobs of a run.

    Parameters
    ----------
    name : str
        Name of the executor, as in ``--executor``.

    Raises
    ------
    ConfigError
        If one is missing. Without this check each job fails, is tried again, and does not say why.
    """
    missing = [program for program in _PROGRAMS.get(name, ()) if shutil.which(program) is None]
    if missing:
        raise ConfigError(
            f"executor: {name} submits jobs with {' and '.join(missing)}, and this machine has no "
            "such command. Type the run on a machine that submits jobs to the cluster, or leave "
            f"out the profile or option that chooses {name}: then the jobs run here."
        )

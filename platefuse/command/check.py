"""``platefuse check``: what a run would do, and what would stop it."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.set_defaults(run=run)
    parser.add_argument("config", type=Path, help="the config of the run, a YAML file")


def run(args: argparse.Namespace) -> None:
    """Print what a run would do."""
    from platefuse.workflow.planning import check_config

    for line in check_config(args.config):
        print(line)

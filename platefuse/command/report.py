"""``platefuse report``: write the reports of the plates of a config again."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.set_defaults(run=run)
    parser.add_argument("config", type=Path, help="the config of the run, a YAML file")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="where a folder for each plate is written (default: the results of the config)",
    )


def run(args: argparse.Namespace) -> None:
    """Write the reports."""
    from platefuse.workflow.config import read_config
    from platefuse.workflow.config_text import read_yaml
    from platefuse.workflow.plates import open_plates
    from platefuse.workflow.reporting import REPORT, flagged_warning, report_plate

    config = read_config(read_yaml(args.config), [args.config])
    for name, plate in open_plates(config).items():
        folder = Path(args.output or config.results, name)
        receipt = report_plate(config, name, plate, folder)
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in receipt.verdicts.items())
        print(f"plate {name}: {verdicts}. The report is {folder / REPORT}.")
        if warning := flagged_warning(receipt, folder / REPORT):
            print(f"warning: {warning}")

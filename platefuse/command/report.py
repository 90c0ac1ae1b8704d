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
    from platefuse.ngff.paths import fused_plate_path
    from platefuse.workflow.config.model import read_config
    from platefuse.workflow.config.reading import settings_of
    from platefuse.workflow.config.text import read_yaml
    from platefuse.workflow.plates import open_plates
    from platefuse.workflow.receipts import FIELDS
    from platefuse.workflow.reporting import report_plate
    from platefuse.workflow.verdicts import REPORT, flagged_warning

    config = read_config(read_yaml(args.config), [args.config])
    # A plate whose wells are not checked has no report, unless none is: then the error says so.
    checked = [name for name, own in config.by_plate.items() if own.checks_wells]
    for name, plate in open_plates(config).items():
        own = config.by_plate[name]
        if checked and name not in checked:
            continue
        results, folder = Path(config.results, name), Path(args.output or config.results, name)
        receipt = report_plate(
            name,
            plate,
            fused_plate_path(plate.path, own.fusion.output),
            results,
            own.quality.options,
            settings_of(own),
            places=str(results / FIELDS) if own.registration.measures else None,
            folder=folder,
        )
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in receipt.verdicts.items())
        print(f"plate {name}: {verdicts}. The report is {folder / REPORT}.")
        if receipt.flagged:
            print(f"warning: {flagged_warning(receipt, folder / REPORT)}")

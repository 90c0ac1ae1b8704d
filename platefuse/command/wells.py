"""What commands that change a plate have in common: the plate or its config, and the wells."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from platefuse.errors import ConfigError

if TYPE_CHECKING:
    from platefuse.ngff.plate import Plate
    from platefuse.ngff.well import Well
    from platefuse.workflow.config.model import Config


def add_wells(parser: argparse.ArgumentParser) -> None:
    """Add the option that names wells."""
    parser.add_argument(
        "--well",
        dest="wells",
        nargs="+",
        action="extend",
        default=[],
        metavar="WELL",
        help="wells (B03), rows (B), columns (3) or ranges of these (B03:D08); by default all",
    )


def chosen_wells(
    plates: Mapping[str, Plate], names: Sequence[str], config: Config | None = None
) -> dict[str, list[Well]]:
    """The wells of each plate that exist and are named, by the command line or by the config."""
    from platefuse.workflow.plates import present_wells
    from platefuse.workflow.subset import chosen_wells as wells_of_config
    from platefuse.workflow.subset import named_wells, select_wells

    listed = {name: plate.wells for name, plate in plates.items()}
    if names:
        keys = named_wells(listed, names, "The command")
    elif config is None:
        keys = select_wells(listed, None, None)
    else:
        keys = wells_of_config(config, listed)
    chosen: dict[str, list[Well]] = {}
    for name, plate in plates.items():
        present = present_wells(plate)
        chosen[name] = [
            plate.well(well.row, well.column)
            for well in plate.wells
            if well in present and (name, well.row, well.column) in keys
        ]
    return chosen


def read_config_of_no_run(file: Path) -> Config:
    """Read a config, and check that no run uses this folder.

    Raises
    ------
    ConfigError
        If one does.
    PlatefuseError
        If the config is wrong.
    """
    from platefuse.workflow.config.model import read_config
    from platefuse.workflow.config.text import read_yaml

    config = read_config(read_yaml(file), [file])
    if Path(".snakemake", "locks").is_dir() and any(Path(".snakemake", "locks").iterdir()):
        raise ConfigError(
            "A run uses this folder, or one was killed in it (.snakemake/locks is not empty). Let "
            f"it end, or remove its lock: platefuse run {file} --unlock"
        )
    return config

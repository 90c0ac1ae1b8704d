"""Which wells a run processes: all that can be, or none if one cannot.

The main process decides this once. With `on_bad_well: skip` it checks every well while it plans,
and keeps those that are left out in a file, which the processes of the jobs read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from platefuse.errors import PlateError
from platefuse.ngff.plate import Plate, Well
from platefuse.workflow.bad_wells import BAD, SKIPPED, BadWell, describe, read_list, write_list
from platefuse.workflow.config import Config, read_config, read_yaml
from platefuse.workflow.plates import Wells, find_bad_wells, open_plates
from platefuse.workflow.receipts import WellKey
from platefuse.workflow.warnings import collected_warnings, some_of


def wells_of_job(config: Config, plates: Mapping[str, Plate]) -> Wells:
    """The wells of a run, for the process of one job: no well is read yet."""
    if config.on_bad_well == "stop":
        return Wells(config, plates)
    skipped = {
        (name, *well.split("/"))
        for name in plates
        for well in read_list(_file(config, name, SKIPPED))
    }
    return Wells(config, plates, {key for key in skipped if len(key) == 3})


def wells_of_run(config: Config, plates: Mapping[str, Plate], *, is_dry: bool) -> Wells:
    """The wells of a run, for its main process.

    Parameters
    ----------
    config : Config
        The config.
    plates : mapping of str to Plate
        Its plates.
    is_dry : bool
        Whether nothing may be written.

    Raises
    ------
    PlateError
        If a well cannot be processed and none may be left out, or if none is left. With
        `on_bad_well: stop` only the metadata of the wells are read here.
    """
    wells = Wells(config, plates)
    if config.on_bad_well == "stop":
        stop_at(config, plates, wells, find_bad_wells(wells), is_dry=is_dry)
        return wells
    bad = find_bad_wells(wells, _check_of(config))
    for name in plates:
        own = _of_plate(bad, name)
        if own and len(own) == len(wells.names(name)):
            stop_at(config, plates, wells, bad, is_dry=is_dry)
        if not is_dry:
            write_list(_file(config, name, SKIPPED), own)
    return wells.without(bad)


def check_run(config: Config, plates: Mapping[str, Plate], wells: Wells) -> None:
    """Check everything that jobs will read or write, before the first of them.

    Raises
    ------
    PlatefuseError
        If anything is wrong: with all wells that cannot be processed.
    """
    from platefuse.workflow.preflight import check_outputs

    check_outputs(config, plates)
    if config.on_bad_well == "stop":
        stop_at(config, plates, wells, find_bad_wells(wells, _check_of(config)), is_dry=False)


def check_config(file: Path) -> Iterator[str]:
    """Check a config and all that its jobs will read, and describe what a run would do.

    Yields
    ------
    str
        Lines for the terminal.

    Raises
    ------
    PlatefuseError
        If the run would stop, after the lines.
    """
    from platefuse.workflow.preflight import check_outputs, describe_plate

    config = read_config(read_yaml(file), [file])
    plates = open_plates(config)
    wells = Wells(config, plates)
    with collected_warnings() as odd:
        bad = find_bad_wells(wells, _check_of(config))
    good = wells.without(bad)
    for name, plate in plates.items():
        yield from describe_plate(name, plate, good, config)
    yield from warnings_of(config, plates, wells)
    yield from some_of(odd)
    check_outputs(config, plates)
    if config.on_bad_well == "stop" or not len(good):
        stop_at(config, plates, wells, bad, is_dry=True)
    for name in plates:
        if own := _of_plate(bad, name):
            yield describe(name, own, len(wells.names(name)), None)
            yield "They would be skipped."
    yield "Nothing would stop this run."


def stop_at(
    config: Config,
    plates: Mapping[str, Plate],
    wells: Wells,
    bad: Mapping[WellKey, str],
    *,
    is_dry: bool,
) -> None:
    """Raise an error that lists the bad wells, and keep them in a file; nothing if none is bad.

    Raises
    ------
    PlateError
        If any well is bad.
    """
    messages = []
    for name in plates:
        own, file = _of_plate(bad, name), _file(config, name, BAD)
        if not is_dry:
            write_list(file, own)
        if own:
            messages.append(describe(name, own, len(wells.names(name)), None if is_dry else file))
    if messages:
        remedy = "Repair these wells, or set on_bad_well: skip to process the others."
        raise PlateError("\n".join([*messages, remedy]))


def warnings_of(config: Config, plates: Mapping[str, Plate], wells: Wells) -> Iterator[str]:
    """Sentences about wells that are not processed."""
    for name in plates:
        absent = [f"{row}/{column}" for plate, row, column in wells.absent if plate == name]
        if absent:
            yield (
                f"plate {name}: {len(absent)} wells are listed and absent ({_some(absent)}): they "
                "are left out."
            )
        file = _file(config, name, SKIPPED)
        skipped = sorted(read_list(file)) if config.on_bad_well == "skip" else []
        if skipped:
            yield (
                f"plate {name}: {len(skipped)} wells cannot be processed and are skipped "
                f"({_some(skipped)}); {file} says why."
            )


def _check_of(config: Config) -> Callable[[Well], None]:
    """The check of all that the jobs of a well will read. Its import takes time."""
    from platefuse.workflow.preflight import check_well_inputs

    return partial(check_well_inputs, config=config)


def _of_plate(bad: Mapping[WellKey, str], name: str) -> list[BadWell]:
    return [
        BadWell(f"{row}/{column}", reason)
        for (plate, row, column), reason in bad.items()
        if plate == name
    ]


def _file(config: Config, plate: str, name: str) -> Path:
    return Path(config.results, plate, name)


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")

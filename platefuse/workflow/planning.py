"""Which wells a run processes: all that can be, or none if one cannot.

The main process decides this once. With `on_bad_well: skip` it checks every well while it plans,
and keeps those that are left out in a file, which the processes of the jobs read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from platefuse.errors import ConfigError, PlateError, PlatefuseError, counted, listed
from platefuse.ngff.plate import Plate
from platefuse.ngff.positions import read_position_table
from platefuse.ngff.well import Well
from platefuse.storage.once import reading_once
from platefuse.workflow.bad_wells import BAD, SKIPPED, BadWell, describe, read_list, write_list
from platefuse.workflow.checks.fused_again import fused_again_warnings
from platefuse.workflow.config.model import Config, read_config
from platefuse.workflow.config.text import read_yaml
from platefuse.workflow.outdated.other_images import follow_images
from platefuse.workflow.outdated.repaired import follow_repaired
from platefuse.workflow.outdated.restored import follow_restored
from platefuse.workflow.outdated.unstaged import follow_staged
from platefuse.workflow.plates import Findings, WellFacts, Wells, find_bad_wells, open_plates
from platefuse.workflow.receipts import WellKey
from platefuse.workflow.unlisted import unlisted_warnings
from platefuse.workflow.warnings import some_of

_IMAGES_OF_DRY_RUNS = 200
"""So many images are checked in a dry run: it takes about 5 s."""

_NAMED = 5  # wells in a warning

_WITHOUT_PLATES = (
    ("--lint", "--lint"),
    ("--unlock", "--unl"),
    ("--cleanup-metadata", "--cleanup-m"),
    ("--cm", "--cm"),
)
"""Options of Snakemake that read no plate, and what each may be shortened to."""

_REMEDY = "Repair these wells, or set on_bad_well: skip to process the others."
_REMEDY_ALL = (
    "No well of the plate is left: repair them, correct the config, or take the plate out of it."
)


def needs_no_plates(words: Sequence[str]) -> bool:
    """Whether a command line of Snakemake asks for something that reads no plate.

    Parameters
    ----------
    words : sequence of str
        The command line. Options may be abbreviated, as Snakemake has it.
    """
    return any(_is_option(word, *option) for word in words for option in _WITHOUT_PLATES)


def _is_option(word: str, name: str, shortest: str) -> bool:
    return name.startswith(word) and word.startswith(shortest)


def wells_of_job(config: Config, plates: Mapping[str, Plate]) -> Wells:
    """The wells of a run, for the process of one job: no well is read yet."""
    if config.on_bad_well == "stop":
        return Wells(config, plates)
    skipped: set[WellKey] = set()
    for name in plates:
        for well in read_list(_file(config, name, SKIPPED)):
            row, _, column = well.partition("/")
            skipped.add((name, row, column))
    return Wells(config, plates, skipped)


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
        If a well cannot be processed and none may be left out, or if a plate has no well to
        process. With `on_bad_well: stop` only the metadata of the wells are read here, unless the
        run is dry and small: nothing else would check the rest.
    """
    _check_files(config)
    if not is_dry:
        follow_restored(config, plates)
        follow_repaired(config, plates)
    wells = Wells(config, plates)
    found = find_bad_wells(wells, None if config.on_bad_well == "stop" else _check())
    good = _good_wells(config, plates, wells, found, is_dry=is_dry)
    if not is_dry:
        follow_images(config, good)
        follow_staged(config, good)
    if is_dry and not list(dry_run_notes(config, good)):
        list(check_run(config, plates, good, is_dry=True))
    return good


def dry_run_notes(config: Config, wells: Wells) -> Iterator[str]:
    """What a dry run does not tell, because to check it would take long."""
    images = sum(len(well.images) for well in wells.values())
    if config.on_bad_well == "stop" and images > _IMAGES_OF_DRY_RUNS:
        yield (
            "This dry run has read the metadata of the wells only. Tables, images and what fusion "
            "would replace are checked before the first job, or now by `platefuse check` with the "
            "same config."
        )


def check_run(
    config: Config, plates: Mapping[str, Plate], wells: Wells, *, is_dry: bool = False
) -> Iterator[str]:
    """Check everything that jobs will read or write, before the first of them.

    Parameters
    ----------
    config : Config
        The config.
    plates : mapping of str to Plate
        Its plates.
    wells : Wells
        The wells to process.
    is_dry : bool
        Whether nothing may be written.

    Yields
    ------
    str
        Warnings.

    Raises
    ------
    PlatefuseError
        If anything is wrong: with all wells that cannot be processed.
    """
    from platefuse.workflow.checks.channels import check_channels
    from platefuse.workflow.checks.disk import check_room, rooms
    from platefuse.workflow.checks.image_names import check_images
    from platefuse.workflow.checks.outputs import check_outputs, check_versions

    check_outputs(config, plates)
    check_images(config, plates, wells)
    check_channels(config, wells)
    facts: Mapping[WellKey, WellFacts] = {}
    if config.on_bad_well == "stop":
        found = find_bad_wells(wells, _check())
        wells, facts = _good_wells(config, plates, wells, found, is_dry=is_dry), found.facts
    check_versions(config, plates, wells)
    yield from check_room(rooms(config, plates, wells, facts))
    yield from fused_again_warnings(config, plates)
    yield from warnings_of(config, plates, wells)
    yield from some_of(wells.odd)


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
    from platefuse.workflow.checks.channels import check_channels
    from platefuse.workflow.checks.disk import check_room, rooms
    from platefuse.workflow.checks.image_names import check_images
    from platefuse.workflow.checks.outputs import check_outputs, check_versions
    from platefuse.workflow.description import describe_plate

    config = read_config(read_yaml(file), [file])
    with reading_once():
        plates = open_plates(config)
        again = list(fused_again_warnings(config, plates))
    _check_files(config)
    wells = Wells(config, plates)
    check_images(config, plates, wells)
    check_channels(config, wells)
    found = find_bad_wells(wells, _check())
    good = wells.without(found.bad, found.odd)
    for name, plate in plates.items():
        yield from describe_plate(name, plate, good, config.by_plate[name], found.facts)
    room = rooms(config, plates, good, found.facts)
    for one in room:
        yield f"  room: {one.words}"
    for warning in (*again, *warnings_of(config, plates, wells), *some_of(found.odd)):
        yield f"warning: {warning}"
    check_outputs(config, plates)
    check_versions(config, plates, _good_wells(config, plates, wells, found, is_dry=True))
    for warning in check_room(room):
        yield f"warning: {warning}"
    for name in plates:
        if own := _of_plate(found.bad, name):
            yield describe(name, own, len(wells.names(name)), None)
            yield "They would be skipped."
    yield "Nothing would stop this run."


def warnings_of(config: Config, plates: Mapping[str, Plate], wells: Wells) -> Iterator[str]:
    """Sentences about wells that are not processed, or not any more, or lack an acquisition."""
    yield from unlisted_warnings(config, plates)
    for name in plates:
        yield from _incomplete(wells, name)
        absent, skipped = (
            [f"{row}/{column}" for plate, row, column in keys if plate == name]
            for keys in (wells.absent, wells.left_out)
        )
        if absent:
            yield (
                f"plate {name}: {counted(len(absent), 'well is', 'wells are')} listed and absent "
                f"({listed(absent, _NAMED)}), and left out."
            )
        if skipped:
            yield (
                f"plate {name}: {counted(len(skipped), 'well', 'wells')} cannot be processed and "
                f"{'is' if len(skipped) == 1 else 'are'} skipped ({listed(skipped, _NAMED)}); "
                f"{_file(config, name, SKIPPED)} says why."
            )


def _incomplete(wells: Wells, plate: str) -> Iterator[str]:
    """A sentence for each acquisition that some wells of a plate have, and others lack."""
    found: dict[str, set[int | None]] = {}
    for key in wells:
        if key[0] == plate:
            with suppress(PlatefuseError):  # said with the well
                found["/".join(key[1:])] = {image.acquisition for image in wells[key].images}
    for number in sorted({n for own in found.values() for n in own if n is not None}):
        without = [well for well, own in found.items() if number not in own]
        if without:
            yield (
                f"plate {plate}: {counted(len(without), 'well has', 'wells have')} no image of "
                f"acquisition {number} ({listed(without, _NAMED)}). All other images are "
                "processed."
            )


def _good_wells(
    config: Config, plates: Mapping[str, Plate], wells: Wells, found: Findings, *, is_dry: bool
) -> Wells:
    """The wells that a run processes. The others are kept in a file, unless the run is dry.

    Raises
    ------
    PlateError
        If a plate has no well to process, or a bad one that may not be left out.
    """
    may_skip = config.on_bad_well == "skip"
    messages: list[str] = []
    remedies: dict[str, None] = {}
    for name, plate in plates.items():
        own, total = _of_plate(found.bad, name), len(wells.names(name))
        stops = bool(own) and (not may_skip or len(own) == total)
        if not is_dry:
            write_list(_file(config, name, BAD), own if stops else [])
            write_list(_file(config, name, SKIPPED), own if may_skip and not stops else [])
        if stops:
            messages.append(
                describe(name, own, total, None if is_dry else _file(config, name, BAD))
            )
            remedies[_REMEDY if len(own) < total else _REMEDY_ALL] = None
        if not total and any(key[0] == name for key in wells.chosen):
            messages.append(
                f"{plate.path}: none of the {len(plate.wells)} wells that the plate lists exists. "
                "Expected folders like row/column in it. Is the plate complete, and is its path "
                f"right (config.plates.{name})?"
            )
    if messages:
        raise PlateError("\n".join([*messages, *remedies]))
    return wells.without(found.bad, found.odd)


def _check_files(config: Config) -> None:
    """Check the user's files beside the plates: a fault is said once, not for every well."""
    for plate, own in config.by_plate.items():
        try:
            _check_files_of(own)
        except PlatefuseError as error:
            raise ConfigError(*(config.located(plate, str(e)) for e in error.args)) from error


def _check_files_of(config: Config) -> None:
    """As `_check_files`, for the config of one plate."""
    if config.input.positions is not None:
        read_position_table(Path(config.input.positions))
    if config.illumination is not None:
        from platefuse.workflow.checks.channels import illumination_of  # takes time

        illumination = illumination_of(config)
        assert illumination is not None
        illumination.check_files()


def _check() -> Callable[[Well, Config], WellFacts | None]:
    """The check of all that the jobs of a well will read. Its import takes time."""
    from platefuse.workflow.checks.preflight import check_well_inputs

    return check_well_inputs


def _of_plate(bad: Mapping[WellKey, str], name: str) -> list[BadWell]:
    return [
        BadWell(f"{row}/{column}", reason)
        for (plate, row, column), reason in bad.items()
        if plate == name
    ]


def _file(config: Config, plate: str, name: str) -> Path:
    return Path(config.results, plate, name)

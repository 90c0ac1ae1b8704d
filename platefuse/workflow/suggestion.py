"""A commented config for a plate: the keys that a user is likely to touch, from a survey of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import wrap

import yaml

from platefuse.errors import counted, listed
from platefuse.fusion.fields.reader import STANDARD_TABLE
from platefuse.ngff.paths import fused_plate_path
from platefuse.workflow.survey import Survey

_WIDTH = 98


def plate_name(survey: Survey) -> str:
    """A name for the plate, which becomes a folder of results."""
    stem = survey.plate.path.absolute().name.removesuffix(".zarr")
    name = re.sub(r"[^A-Za-z0-9_.+=-]+", "_", stem).lstrip("_.+=-")
    return name if name and name not in ("logs", "benchmarks") else "plate"


def suggested_config(survey: Survey, file: str) -> str:
    """The text of a config.

    Parameters
    ----------
    survey : Survey
        What the plate holds.
    file : str
        The name that the config will get, for the commands in its head.
    """
    return "\n".join([*_head(survey, file), *_plate(survey), *_work(survey), ""])


def _head(survey: Survey, file: str) -> Iterator[str]:
    yield from _comment(
        f"A config for {survey.plate.path.name}, suggested by `platefuse init`. Keys that are not "
        "here have their defaults; the manual (config/README.md) explains all of them."
    )
    yield "#"
    yield f"#   platefuse check {file}    reads everything that the run will read"
    yield f"#   platefuse run {file}      registers and fuses; type it again to continue"
    yield "#"
    for line in found_in(survey):
        yield from _comment(line)
    yield ""


def found_in(survey: Survey) -> Iterator[str]:
    """Sentences about what was found in a plate."""
    absent = f"; {survey.absent} more are listed and absent" if survey.absent else ""
    yield f"{counted(survey.wells, 'well', 'wells')}{absent}."
    if survey.bad:
        name, reason = next(iter(survey.bad.items()))
        bad = counted(len(survey.bad), "more well", "more wells")
        yield f"{bad} cannot be processed: {listed(list(survey.bad))}. Of {name}: {reason}"
    first, *more = map(str, survey.acquisitions)
    fields = counted(survey.fields, "field", "fields")
    if more:
        yield f"Acquisitions {', '.join([first, *more])}, with {fields} each."
    else:
        yield f"Acquisition {first}, with {fields}."
    yield f"Layout {survey.layout}: {survey.why}."
    tables = ", ".join(survey.tables) or "none"
    yield f"Tables that all images have: {tables}."
    channels = ", ".join(survey.channels) or "none has a name"
    yield f"Channel names (label or wavelength_id) that all acquisitions have: {channels}."


def _plate(survey: Survey) -> Iterator[str]:
    yield "plates:"
    yield f"  {_text(plate_name(survey))}: {_text(str(_absolute(survey.plate.path)))}"
    yield from _comment(
        "For receipts, logs and the report. A relative path starts in the folder where you type "
        "the command."
    )
    yield "results: results"
    if survey.images is not None:
        yield from _comment(
            f"One image of each acquisition. The wells also have: {', '.join(survey.other_images)}."
        )
        yield f"images: {json.dumps(list(survey.images))}"
    skip = bool(survey.bad)
    why = "some wells of this plate cannot be" if skip else "skip leaves out what is broken"
    yield from _comment(f"stop | skip: what happens if a well cannot be processed; {why}.")
    yield f"on_bad_well: {'skip' if skip else 'stop'}"
    yield ""


def _work(survey: Survey) -> Iterator[str]:
    several = len(survey.acquisitions) > 1
    if not several and survey.fields == 1:
        yield from _comment("There is one acquisition with one field: nothing to register.")
        yield from ("registration:", "  enabled: false", "")
    else:
        yield from _registration(survey, several=several)
    yield "fusion:"
    if survey.tile_table not in (None, STANDARD_TABLE):
        yield from _comment("The table that says where the fields are.", "  ")
        yield f"  tile_table: {_text(str(survey.tile_table))}"
    target = fused_plate_path(_absolute(survey.plate.path))
    yield from _comment(f"A folder for the fused plate; null: {target}.", "  ")
    yield "  output: null"
    yield from _comment("per_acquisition | stacked: one image of a well with all channels.", "  ")
    yield "  layout: per_acquisition"
    yield from _comment("The OME-NGFF version of the fused plate, here that of the plate.", "  ")
    yield f'  ngff_version: "{survey.ngff_version}"'


def _registration(survey: Survey, *, several: bool) -> Iterator[str]:
    yield "registration:"
    if several:
        reference = survey.common[0] if survey.common else survey.acquisitions[0]
        yield from _comment("The acquisition that the others are moved onto.", "  ")
        yield f"  reference_acquisition: {reference}"
    if survey.registered is not None and several:
        yield from _comment("The registered ROI table, by which the shifts are known.", "  ")
        yield f"  roi_table: {_text(survey.registered)}"
    yield from _comment(_why_not_stored(survey), "  ")
    yield "  store: false"
    yield "  measure:"
    measures = survey.registered is None or not several
    yield from _comment(_why_measured(survey, several=several), "    ")
    yield f"    enabled: {str(measures).lower()}"
    if measures:
        yield from _comment(
            "The channel to measure by, with the same structures in all acquisitions; null: the "
            "first that all have.",
            "    ",
        )
        yield f"    channel: {'null' if survey.channel is None else _text(survey.channel)}"
        yield from _comment(
            "Micrometres: the largest shift between acquisitions, and error of the stage.", "    "
        )
        yield "    max_shift: 30"


def _why_not_stored(survey: Survey) -> str:
    if survey.layout == "fields":
        return (
            "false: only the fused plate is made. Images that are single fields cannot be "
            "registered in their plate."
        )
    return (
        "false: the plate is not changed; its raw images are fused, each field at its registered "
        "place. true: registered images also replace the originals in the plate, for programs "
        "that read them there."
    )


def _why_measured(survey: Survey, *, several: bool) -> str:
    if not several:
        return "true: the positions of the fields are refined from their overlaps."
    if survey.registered is None:
        return "true: the images have no registered ROI table, so shifts are measured."
    return "false: shifts are read from roi_table; true: they are measured."


def _absolute(path: Path) -> Path:
    """The same path in every folder."""
    return path.resolve() if ".." in path.parts else path.absolute()


def _comment(text: str, indent: str = "") -> Sequence[str]:
    # Of a message with several lines only the spaces count, so that each line is a comment.
    lines = wrap(" ".join(text.split()), _WIDTH - len(indent), break_long_words=False)
    return [f"{indent}# {line}" for line in lines]


def _text(value: str) -> str:
    """A text as YAML, in quotes where it would be read as something else."""
    if re.fullmatch(r"[\w./+-][\w./+ -]*", value) and yaml.safe_load(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)

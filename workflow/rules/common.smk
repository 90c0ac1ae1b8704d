"""What the rules share: the checked config, the plates in it, and the functions of the rules.

Everything here is done again in every process of a run, so it reads metadata (JSON) only, and
a function that is asked once per job looks its answer up.
"""

import re
import sys
from functools import cache
from itertools import pairwise
from math import prod
from pathlib import Path

import yaml
from jsonschema import ValidationError
from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

# The package of this clone, whether another one is installed or not.
sys.path.insert(0, str(workflow.basedir))

from platefuse.ngff.image import read_finest_level
from platefuse.errors import PlatefuseError
from platefuse.ngff.plate import Plate, Well
from platefuse.ngff.paths import fused_plate_path, staging_root

REQUEST_KEYS = (
    "roi_table",
    "reference_acquisition",
    "interpolation",
    "overwrite_input",
)
WORKFLOW_KEYS = ("enabled", "output", "scatter")

# Later steps of a well come before earlier ones: see `job_priority`.
STEPS = (
    "register_image",
    "copy_tables",
    "swap_image",
    "fuse_part",
    "fuse_well",
    "publish_registered",
    "discard_backups",
)

GIB = 2**30

# What Snakemake can carry in a wildcard and in the path of a receipt.
NAME = r"[A-Za-z0-9_.+= -]+"


wildcard_constraints:
    plate=NAME,
    row=NAME,
    column=NAME,
    image=NAME,
    part=r"[0-9]+",


def check_keys_once(file):
    """End if a key stands twice in a config file: YAML takes the last one and says nothing."""

    def check(node, above):
        if isinstance(node, yaml.SequenceNode):
            for item in node.value:
                check(item, above)
        if not isinstance(node, yaml.MappingNode):
            return
        lines = {}
        for key, value in node.value:
            name, line = f"{above}.{key.value}", key.start_mark.line + 1
            if key.value in lines:
                raise WorkflowError(
                    f"{file}: {name} stands in line {lines[key.value]} and again in line {line}, "
                    "and only the last would count. Leave one, or give the other its own name."
                )
            lines[key.value] = line
            check(value, name)

    check(yaml.compose(Path(file).read_text()), "config")


def check_config(config):
    """Fill in the defaults; end with one sentence that names the key if anything is wrong."""
    try:
        validate(config, "../schemas/config.schema.yaml")
    except WorkflowError as error:
        cause = error.__context__
        if not isinstance(cause, ValidationError):
            raise
        raise WorkflowError(config_message(cause)) from None
    config["fusion"]["scatter"] = int(
        config["fusion"]["scatter"]
    )  # 2.0 is a whole number, too
    if numbers := [name for name in config["plates"] if not isinstance(name, str)]:
        raise WorkflowError(
            f"config.plates has the name {numbers[0]!r}, which YAML does not read as text. Write "
            f"it in quotes: '{numbers[0]}'."
        )
    if not (config["registration"]["enabled"] or config["fusion"]["enabled"]):
        raise WorkflowError(
            "config.registration.enabled and config.fusion.enabled are both false, so there is "
            "nothing to do. Set one of them to true."
        )
    if config["fusion"]["output"] is not None and len(config["plates"]) > 1:
        raise WorkflowError(
            f"config.fusion.output names one plate, {config['fusion']['output']!r}, for the "
            f"{len(config['plates'])} under plates. Set it to null: each gets its own."
        )


def config_message(error):
    """One sentence for a failed validation: the key, what is wrong with it, what it is for."""
    key = ".".join(["config", *map(str, error.absolute_path)])
    message = f"{key}: {error.message}."
    if error.validator == "additionalProperties":
        return f"{message} Known keys are {', '.join(error.schema['properties'])}."
    return f"{message} {error.schema.get('description', '')}".rstrip()


def open_plates(paths):
    """The plates by their name in the config, checked for what can be seen without pixels."""
    plates = {name: Plate.open(path, config["images"]) for name, path in paths.items()}
    check_apart(plates)
    return plates


def read_wells(plates):
    """All wells by plate, row and column, checked."""
    wells = {
        (name, well.row, well.column): well
        for name, plate in plates.items()
        for well in plate.read_wells()
    }
    for well in wells.values():
        check_well(well)
    return wells


def check_apart(plates):
    """End now if a folder that is written to is, holds, or lies in, another one of this run."""
    results = Path(config["results"])
    if results.exists() and not results.is_dir():
        raise WorkflowError(
            f"config.results, {str(results)!r}, is a file. Give a folder, or a new name."
        )
    places = [
        ("config.results", results / part) for part in ("logs", "benchmarks", *plates)
    ]
    for name, plate in plates.items():
        key = f"config.plates.{name}"
        places += [
            (key, plate.path),
            (f"the staging of {key}", staging_root(plate.path)),
        ]
        if config["fusion"]["enabled"]:
            fused = fused_plate_path(plate.path, config["fusion"]["output"])
            places.append((f"the fused plate of {key} (config.fusion.output)", fused))
            places.append(
                (f"the staging of the fused plate of {key}", staging_root(fused))
            )
    resolved = sorted((place.resolve().parts, what, place) for what, place in places)
    for (parts, what, place), (others, other_what, other) in pairwise(resolved):
        if (
            others[: len(parts)] == parts
        ):  # sorted, what lies in a folder comes right after it
            raise WorkflowError(
                f"{what}, {str(place)!r}, and {other_what}, {str(other)!r}, are the same or one "
                "lies in the other, and what is written to one would damage the other. Choose "
                "places apart."
            )


def check_well(well):
    """End now, before any job, if a name cannot be carried or the reference is not there."""
    for name in (well.row, well.column, *(image.name for image in well.images)):
        if not re.fullmatch(NAME, name):
            raise WorkflowError(
                f"{well.path}: {name!r} cannot be part of a receipt's path. Names of rows, "
                "columns and images may hold letters, digits, spaces and _ . + = -"
            )
    if not well.images:
        raise WorkflowError(
            f"{well.path}: config.images names {config['images']}, but the well has "
            f"{[image.name for image in well.acquired_images]}. Name images that every well has."
        )
    if config["registration"]["enabled"]:
        for image in well.images:
            well.reference_image(image.name, REQUEST["reference_acquisition"])


for file in workflow.configfiles:
    check_keys_once(file)
check_config(config)

REQUEST = {key: config["registration"][key] for key in REQUEST_KEYS}
FUSION_OPTIONS = {
    key: value for key, value in config["fusion"].items() if key not in WORKFLOW_KEYS
}

try:
    # `snakemake --lint` looks at the rules alone; it works where no plate is.
    PLATES = {} if "--lint" in sys.argv else open_plates(config["plates"])
    WELLS = read_wells(PLATES)
except PlatefuseError as error:
    raise WorkflowError(str(error)) from None

RANKS = {well: rank for rank, well in enumerate(reversed(WELLS))}


# Rules write <results>, <logs> and <benchmarks>; functions get these from `receipts`.
pathvars:
    results=config["results"],
    logs=f"{config['results']}/logs",
    benchmarks=f"{config['results']}/benchmarks",


def preflight():
    """Check every input of every well, tables included, before the first job changes one.

    Raises
    ------
    WorkflowError
        With the message of the first fault; no job has begun then.
    """
    from platefuse.workflow.preflight import check_fused_plate, check_fusion, check_plate
    from platefuse.fusion.options import FusionOptions
    from platefuse.registration.request import RegistrationRequest

    try:
        for plate in PLATES.values():
            if config["registration"]["enabled"]:
                check_plate(plate, RegistrationRequest(**REQUEST))
            if config["fusion"]["enabled"]:
                fused = fused_plate_path(plate.path, config["fusion"]["output"])
                check_fusion(plate, FusionOptions(**FUSION_OPTIONS))
                check_fused_plate(plate, fused)
    except PlatefuseError as error:
        raise WorkflowError(str(error)) from None


onstart:
    preflight()


def well_receipt(plate, well, rule):
    return f"{config['results']}/{plate}/{well.row}/{well.column}/{rule}.json"


def image_receipts(wildcards, rule):
    """The receipts of one rule for every image of the job's well."""
    well = WELLS[wildcards.plate, wildcards.row, wildcards.column]
    return [
        well_receipt(wildcards.plate, well, f"{image.name}/{rule}")
        for image in well.images
    ]


def copied_tables(wildcards):
    """Nobody may read the reference while it changes: a swap waits for all tables of its well."""
    return image_receipts(wildcards, "copy_tables")


def swapped_images(wildcards):
    return image_receipts(wildcards, "swap_image")


def registered_well(wildcards):
    """What fusion waits for: the well's registered images, or nothing if none are asked for."""
    if not config["registration"]["enabled"]:
        return []
    if config["registration"]["overwrite_input"]:
        return swapped_images(wildcards)
    well = WELLS[wildcards.plate, wildcards.row, wildcards.column]
    return well_receipt(wildcards.plate, well, "publish_registered")


def fused_parts(wildcards):
    """What finishing a scattered well waits for; nothing if one job does it all."""
    well = WELLS[wildcards.plate, wildcards.row, wildcards.column]
    scatter = config["fusion"]["scatter"]
    return [
        well_receipt(wildcards.plate, well, f"fuse_part/{part}")
        for part in range(scatter if scatter > 1 else 0)
    ]


def fused_wells(wildcards):
    plate = wildcards.plate
    return [well_receipt(plate, well, "fuse_well") for well in PLATES[plate].wells]


def final_receipts():
    """The receipts that a whole run ends with."""
    receipts = []
    if config["registration"]["enabled"]:
        last = (
            "discard_backups"
            if config["registration"]["overwrite_input"]
            else "publish_registered"
        )
        receipts += [well_receipt(key[0], well, last) for key, well in WELLS.items()]
    if config["fusion"]["enabled"]:
        receipts += [
            f"{config['results']}/{name}/finish_fused_plate.json" for name in PLATES
        ]
    return receipts


def plate_path(wildcards):
    return config["plates"][wildcards.plate]


def job_priority(wildcards, rulename):
    """One well after the other, in the config's order, and within a well the later step first.

    So staging holds as many wells as there are cores to work on them, never the whole plate.
    """
    if rulename == "finish_fused_plate":
        return len(WELLS) * len(STEPS)
    rank = RANKS[wildcards.plate, wildcards.row, wildcards.column]
    return rank * len(STEPS) + STEPS.index(rulename)


@cache
def image_bytes(well, image):
    """Size of an image's finest level before compression, of one chunk of it, and of a pixel."""
    try:
        array = read_finest_level(well.image(image).live)
        item = array.itemsize
        return prod(array.shape) * item, prod(array.shard) * item, item
    except (PlatefuseError, OSError, LookupError, TypeError, ValueError):
        return 0, 0, 0  # the preflight, or the job, says what is wrong with this image


@cache
def work_bytes(plate, row, column, image=None, part=None):
    """Size of one image, or of a well's images together; of their largest chunk and pixel."""
    well = WELLS[plate, row, column]
    paths = [image] if image else [image.name for image in well.images]
    sizes, chunks, items = zip(*(image_bytes(well, path) for path in paths))
    return sum(sizes), max(chunks), max(items)


def threads_of_a_job():
    """A thread for each GiB of an image, up to 8: small images gain more from more jobs at once.

    One number for all jobs, taken from the first image of each plate: the scheduler fills a free
    core at once, so a job that needs several would wait behind the smaller ones of later wells.
    """
    firsts = {}
    for (name, *_), well in WELLS.items():
        firsts.setdefault(name, well)
    sizes = [image_bytes(w, w.images[0].name)[0] for w in firsts.values() if w.images]
    largest = max(sizes, default=0)
    return max(1, min(8, round(largest / GIB)))


THREADS = threads_of_a_job()


def job_mem_mb(wildcards, threads, attempt):
    """Memory follows the chunks that are in work, not the size of the image."""
    _, chunk, _ = work_bytes(**wildcards)
    return round(attempt * (800 + 24 * threads * chunk / 2**20))


def fusion_mem_mb(wildcards, threads, attempt):
    """As `job_mem_mb`, or by the fused image's tiles; content-based weights filter these in float."""
    _, chunk, item = work_bytes(**wildcards)
    lengths = {
        **config["fusion"]["output_chunksize"],
        **(config["fusion"]["shards"] or {}),
    }
    tile = prod(lengths.values()) * item
    weighs = config["fusion"]["weights"] == "content_based"
    per_thread = max(24 * chunk, (100 if weighs else 24) * tile)
    return round(attempt * (800 + threads * per_thread / 2**20))


def job_disk_mb(wildcards):
    """The staged copy, were it not to compress at all."""
    size, _, _ = work_bytes(**wildcards)
    return round(1.4 * size / 2**20) + 1


def job_runtime(wildcards, threads, attempt):
    """Minutes: ten times what a thread needs for its GiB on a slow shared filesystem."""
    size, _, _ = work_bytes(**wildcards)
    return round(attempt * (10 + 10 * size / GIB / threads))

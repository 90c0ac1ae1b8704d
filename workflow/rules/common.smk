"""Bind the rules to the package: the checked config, its plates, and the functions of the rules.

This is run again in every process of a run. What it calls is in `platefuse/workflow`.
"""

import sys
from dataclasses import asdict

from snakemake.exceptions import WorkflowError

# The package of this clone, whether another one is installed or not.
sys.path.insert(0, str(workflow.basedir))

from platefuse.errors import PlatefuseError
from platefuse.workflow.config import read_config, settings_of
from platefuse.workflow.planning import dry_run_notes, wells_of_job, wells_of_run
from platefuse.workflow.plates import open_plates
from platefuse.workflow.receipts import NAME, Receipts
from platefuse.workflow.resources import JobResources
from platefuse.workflow.run_lock import RunLock
from platefuse.workflow.well_steps import jobs_of, last_steps_of, steps_of


wildcard_constraints:
    plate=NAME,
    row=NAME,
    column=NAME,
    image=NAME,
    part=r"[0-9]+",


# Not `workflow.dryrun`, which is false until the rules have been read.
IS_DRY = workflow.output_settings.dryrun

try:
    CONFIG = read_config(config, workflow.configfiles)
    # `snakemake --lint` looks at the rules alone; it works where no plate is.
    PLATES = {} if "--lint" in sys.argv else open_plates(CONFIG)
    if workflow.is_main_process:
        WELLS = wells_of_run(CONFIG, PLATES, is_dry=IS_DRY)
        for note in dry_run_notes(CONFIG, WELLS) if IS_DRY else ():
            logger.warning(note)
    else:
        WELLS = wells_of_job(CONFIG, PLATES)
except PlatefuseError as error:
    raise WorkflowError(str(error)) from None


# Rules write <results>, <logs> and <benchmarks>; functions get these from `Receipts`.
pathvars:
    results=CONFIG.results,
    logs=f"{CONFIG.results}/logs",
    benchmarks=f"{CONFIG.results}/benchmarks",


# measure_well reads it from here: a param would make it run again when the option changes.
config["on_bad_well"] = CONFIG.on_bad_well

REQUEST = asdict(CONFIG.registration.request)
FUSION_OPTIONS = asdict(CONFIG.fusion.options)
INPUT_OPTIONS = asdict(CONFIG.input)
ILLUMINATION = CONFIG.illumination and {
    "given": CONFIG.illumination,
    "tile_table": CONFIG.fusion.options.tile_table,
}
MEASURE_OPTIONS = asdict(CONFIG.registration.measure.options)
PAIR_OPTIONS = asdict(CONFIG.registration.measure.options.of_pairs)

SETTINGS = settings_of(CONFIG)
QUALITY_OPTIONS = asdict(CONFIG.quality.options)

RESOURCES = JobResources(CONFIG, WELLS)
THREADS = RESOURCES.threads
WELL_THREADS = RESOURCES.well_threads
# A profile of a cluster gives default resources, and a run on one machine needs none. The executor
# would tell it, too, but it is not known before the rules are read, nor in a dry run.
ON_NODES = workflow.resource_settings.default_resources is not None
JOBS = jobs_of(CONFIG, len(WELLS), RESOURCES.image_bytes, on_nodes=ON_NODES)
RUN_LOCK = RunLock(CONFIG, PLATES)
RECEIPTS = Receipts(CONFIG, WELLS, JOBS)
WELL_STEPS = steps_of(CONFIG)
LAST_STEPS = last_steps_of(CONFIG)

# Input functions
copied_tables = RECEIPTS.copied_tables
swapped_images = RECEIPTS.swapped_images
registered_well = RECEIPTS.registered_well
position_table = RECEIPTS.positions
profiles = RECEIPTS.profiles
measured_wells = RECEIPTS.measured_wells
solved_tables = RECEIPTS.solved_tables
solved_places = RECEIPTS.solved_places
fused_parts = RECEIPTS.fused_parts
fused_wells = RECEIPTS.fused_wells
checked_wells = RECEIPTS.checked_wells
final_receipts = RECEIPTS.final

# Resource functions
job_priority = RESOURCES.priority
job_mem_mb = RESOURCES.memory_mb
fusion_mem_mb = RESOURCES.fusion_memory_mb
measure_mem_mb = RESOURCES.measuring_memory_mb
job_disk_mb = RESOURCES.disk_mb
job_runtime = RESOURCES.runtime_min
well_runtime = RESOURCES.well_runtime_min


def plate_path(wildcards):
    return CONFIG.plates[wildcards.plate]


def place_table(wildcards):
    return next(iter(solved_places(wildcards)), None)


def well_names(wildcards):
    return WELLS.names(wildcards.plate)


onstart:
    # Imported here: it reads tables, which a dry run does not need.
    from platefuse.workflow.planning import check_run

    try:
        RUN_LOCK.hold()
        for warning in check_run(CONFIG, PLATES, WELLS):
            logger.warning(f"Warning: {warning}")
    except PlatefuseError as error:
        raise WorkflowError(str(error)) from None


onsuccess:
    from platefuse.workflow.planning import warnings_of
    from platefuse.workflow.verdicts import flagged_warnings, where_results_are

    for warning in (*warnings_of(CONFIG, PLATES, WELLS), *flagged_warnings(CONFIG)):
        logger.warning(f"Warning: {warning}")
    for line in where_results_are(CONFIG):
        logger.info(line)
    RUN_LOCK.release()


onerror:
    RUN_LOCK.release()

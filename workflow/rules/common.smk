"""Bind the rules to the package: the checked config, its plates, and the functions of the rules.

This is run again in every process of a run. What it calls is in `platefuse/workflow`.
"""

import sys
from pathlib import Path

from snakemake.cli import parse_args
from snakemake.exceptions import WorkflowError

# The package of this clone, whether another one is installed or not.
sys.path.insert(0, str(workflow.basedir))

from platefuse.storage.memory import collect_rarely

collect_rarely()  # a plan is made of many objects that stay

from platefuse.errors import PlatefuseError
from platefuse.workflow.checks.limits import check_limits
from platefuse.workflow.config.model import read_config
from platefuse.workflow.named_steps import NamedSteps
from platefuse.workflow.resources.memory import SNAKEMAKE_MB
from platefuse.workflow.outdated.notes import outdated_notes
from platefuse.workflow.params import Params
from platefuse.workflow.planning import (
    dry_run_notes,
    needs_no_plates,
    wells_of_job,
    wells_of_run,
)
from platefuse.workflow.plates import open_plates
from platefuse.workflow.provenance import remember_command
from platefuse.workflow.receipts import FIELDS, NAME, Receipts
from platefuse.workflow.resources.jobs import JobResources
from platefuse.workflow.rule_functions import rule_function
from platefuse.workflow.run_lock import RunLock
from platefuse.workflow.well_steps import jobs_of, kinds_of


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
    # `--lint` looks at the rules alone, `--unlock` at the locks: they work where no plate is.
    IS_WITHOUT_PLATES = needs_no_plates(sys.argv)
    PLATES = {} if IS_WITHOUT_PLATES else open_plates(CONFIG)
    if workflow.is_main_process and not IS_WITHOUT_PLATES:
        limits = workflow.resource_settings
        check_limits({"--cores": limits.cores, "--jobs": limits.nodes})
        remember_command(sys.argv)
        WELLS = wells_of_run(CONFIG, PLATES, is_dry=IS_DRY)
        if IS_DRY:
            notes = (
                *dry_run_notes(CONFIG, WELLS),
                *outdated_notes(CONFIG, PLATES, WELLS),
            )
            for note in notes:
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


# Scripts read these from here: a param would make a job run again when the option changes.
config["on_bad_well"] = CONFIG.on_bad_well
BY_PATH = {
    CONFIG.paths[name]: own.registration for name, own in CONFIG.by_plate.items()
}
config["verify"] = {path: own.verify for path, own in BY_PATH.items()}
config["keep_originals"] = {path: own.keep_originals for path, own in BY_PATH.items()}

PARAMS = Params(CONFIG)
# A profile of a cluster gives default resources, and a run on one machine needs none. The executor
# would tell it, too, but it is not known before the rules are read, nor in a dry run.
ON_NODES = workflow.resource_settings.default_resources is not None
RESOURCES = JobResources(CONFIG, WELLS, beside_mb=SNAKEMAKE_MB if ON_NODES else 0)
THREADS = RESOURCES.threads
WELL_THREADS = RESOURCES.well_threads
if workflow.is_main_process:
    NAMED = NamedSteps.of(sys.argv[1:], parse_args)
    JOBS = jobs_of(
        CONFIG, len(WELLS), RESOURCES.image_bytes, on_nodes=ON_NODES, named=NAMED.jobs
    )
else:  # what was named is not known here, and what a job waits for is there
    JOBS = "step"
RUN_LOCK = RunLock(CONFIG, PLATES)
RECEIPTS = Receipts(CONFIG, WELLS, JOBS)
try:
    if workflow.is_main_process:
        NAMED.check(RECEIPTS)
except PlatefuseError as error:
    raise WorkflowError(str(error)) from None

# Input functions
copied_tables = rule_function(RECEIPTS.copied_tables)
before_swap = rule_function(RECEIPTS.before_swap)
swapped_images = rule_function(RECEIPTS.swapped_images)
registered_well = rule_function(RECEIPTS.registered_well)
position_table = rule_function(RECEIPTS.positions)
profiles = rule_function(RECEIPTS.profiles)
measured_wells = rule_function(RECEIPTS.measured_wells)
solved_tables = rule_function(RECEIPTS.solved_tables)
solved_places = rule_function(RECEIPTS.solved_places)
fused_parts = rule_function(RECEIPTS.fused_parts)
fused_wells = rule_function(RECEIPTS.fused_wells)
checked_wells = rule_function(RECEIPTS.checked_wells)
final_receipts = rule_function(RECEIPTS.final)

# Resource functions
job_priority = rule_function(RESOURCES.priority)
metadata_mem_mb = rule_function(RESOURCES.metadata_mb)
tables_mem_mb = rule_function(RESOURCES.tables_mb)
finish_mem_mb = rule_function(RESOURCES.finishing_mb)
register_mem_mb = rule_function(RESOURCES.registering_mb)
verify_mem_mb = rule_function(RESOURCES.verifying_mb)
fusion_mem_mb = rule_function(RESOURCES.fusing_mb)
fuse_well_mem_mb = rule_function(RESOURCES.finishing_well_mb)
measure_mem_mb = rule_function(RESOURCES.measuring_mb)
check_mem_mb = rule_function(RESOURCES.checking_mb)
process_mem_mb = rule_function(RESOURCES.processing_mb)
solve_mem_mb = rule_function(RESOURCES.solving_mb)
report_mem_mb = rule_function(RESOURCES.reporting_mb)
job_disk_mb = rule_function(RESOURCES.disk_mb)
job_runtime = rule_function(RESOURCES.runtime_min)
well_runtime = rule_function(RESOURCES.well_runtime_min)
plate_runtime = rule_function(RESOURCES.plate_runtime_min)


@rule_function
def plate_path(wildcards):
    return CONFIG.paths[wildcards.plate]


# From the input, which has the prefix of a module; the functions of `Receipts` do not know it.
@rule_function
def place_table(wildcards, input):
    return next((path for path in input if Path(path).name == FIELDS), None)


def well_names(wildcards):
    return WELLS.names(wildcards.plate)


onstart:
    # Imported here: it reads tables, which a dry run does not need.
    from platefuse.workflow.checks.executor import check_executor
    from platefuse.workflow.planning import check_run

    try:
        check_executor(workflow.executor_plugin.name)
        RUN_LOCK.hold()
        for warning in check_run(CONFIG, PLATES, WELLS):
            logger.warning(f"Warning: {warning}")
    except PlatefuseError as error:
        raise WorkflowError(str(error)) from None


onsuccess:
    from platefuse.workflow.planning import warnings_of
    from platefuse.workflow.verdicts import (
        flagged_warnings,
        unmeasured_warnings,
        where_results_are,
    )

    for warning in (
        *warnings_of(CONFIG, PLATES, WELLS),
        *unmeasured_warnings(CONFIG),
        *flagged_warnings(CONFIG),
    ):
        logger.warning(f"Warning: {warning}")
    for line in where_results_are(CONFIG):
        logger.info(line)
    RUN_LOCK.release()


onerror:
    RUN_LOCK.release()

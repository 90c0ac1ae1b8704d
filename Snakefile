from snakemake.utils import min_version

min_version("9.27")


# A config file given with --configfile stands alone: merged with this one, the example plate
# would join the user's plates. Keys that it leaves out get their defaults from the schema.
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/register.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/swap.smk"
include: "workflow/rules/fuse.smk"
include: "workflow/rules/quality.smk"
include: "workflow/rules/well.smk"


rule all:
    default_target: True
    input:
        final_receipts,
    message:
        "all plates are done"

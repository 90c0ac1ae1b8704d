# With `workflow.jobs: well`: all steps of a well in one job. The receipts of the last steps are
# outputs too, so that they are removed when the job begins again, and before its own, which tells
# that this job has made them. Plates whose wells end with other steps have a rule of their own, whose
# name ends with process_well: the outputs of a rule cannot depend on the plate.
for kind in kinds_of(CONFIG):
    for step in kind.last_steps:
        workflow.ruleorder(step, kind.rule)

    rule process_well:
        name:
            kind.rule
        input:
            position_table,
            profiles,
            solved_tables,
            solved_places,
        output:
            expand(
                "<results>/{{plate}}/{{row}}/{{column}}/{step}.json",
                step=kind.last_steps,
            ),
            receipt=report(
                "<results>/{plate}/{row}/{column}/process_well.json",
                caption="../report/processed_well.rst",
                category="Wells",
                subcategory="{plate}",
                labels={"well": "{row}/{column}"},
            ),
        log:
            "<logs>/{plate}/{row}/{column}/process_well.log",
        benchmark:
            "<benchmarks>/{plate}/{row}/{column}/process_well.tsv"
        wildcard_constraints:
            plate=kind.pattern,
        priority: job_priority
        conda:
            "../../environment.yml"
        threads: WELL_THREADS
        resources:
            mem_mb=process_mem_mb,
            disk_mb=job_disk_mb,
            runtime=well_runtime,
        params:
            steps=PARAMS["steps"],
            plate=plate_path,
            images=PARAMS["images"],
            output=PARAMS["output"],
            options=PARAMS["options"],
            read_as=PARAMS["read_as"],
            request=PARAMS["request"],
            store=PARAMS["store"],
            keep_originals=PARAMS["keep_originals"],
            places=place_table,
            illumination=PARAMS["illumination"],
            scatter=PARAMS["scatter"],
            reference=PARAMS["reference"],
            channel=PARAMS["channel"],
        message:
            "{wildcards.plate} {wildcards.row}/{wildcards.column}: processing"
        script:
            "../../scripts/process_well.py"

# With `workflow.jobs: well`: all steps of a well in one job. The receipts of the last steps are
# outputs too, so that they are removed when the job begins again, and before its own, which tells
# that this job has made them.
ruleorder: fuse_well > process_well
ruleorder: discard_backups > process_well
ruleorder: publish_registered > process_well
ruleorder: check_well > process_well


rule process_well:
    input:
        position_table,
        profiles,
        solved_tables,
        solved_places,
    output:
        expand("<results>/{{plate}}/{{row}}/{{column}}/{step}.json", step=LAST_STEPS),
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
    priority: job_priority
    conda:
        "../../environment.yml"
    threads: WELL_THREADS
    resources:
        mem_mb=fusion_mem_mb,
        disk_mb=job_disk_mb,
        runtime=well_runtime,
    params:
        steps=WELL_STEPS,
        plate=plate_path,
        images=CONFIG.images,
        output=CONFIG.fusion.output,
        options=FUSION_OPTIONS,
        read_as=INPUT_OPTIONS,
        request=REQUEST if CONFIG.registration.enabled else None,
        store=CONFIG.registration.store,
        keep_originals=CONFIG.registration.keep_originals,
        places=place_table,
        illumination=ILLUMINATION,
        scatter=CONFIG.fusion.scatter,
        reference=CONFIG.registration.request.reference_acquisition,
        channel=CONFIG.checked_channel,
    message:
        "{wildcards.plate} {wildcards.row}/{wildcards.column}: processing"
    script:
        "../../scripts/process_well.py"

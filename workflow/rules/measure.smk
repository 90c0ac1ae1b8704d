# Only with `registration.measure.enabled`. The images are no input: the job's own code checks them,
# and with `store: true` their change by the swap would make it run again. Params are what a pair
# depends on, and no more.
rule measure_well:
    input:
        position_table,
    output:
        "<results>/{plate}/{row}/{column}/measure_well.json",
    log:
        "<logs>/{plate}/{row}/{column}/measure_well.log",
    benchmark:
        "<benchmarks>/{plate}/{row}/{column}/measure_well.tsv"
    priority: job_priority
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        mem_mb=measure_mem_mb,
        runtime=job_runtime,
    params:
        plate=plate_path,
        images=PARAMS["images"],
        tile_table=PARAMS["tile_table"],
        read_as=PARAMS["read_as"],
        reference=PARAMS["reference"],
        measure=PARAMS["pairs"],
    message:
        "{wildcards.plate} {wildcards.row}/{wildcards.column}: measuring"
    script:
        "../../scripts/measure_well.py"


rule solve_plate:
    input:
        measured_wells,
    output:
        report(
            "<results>/{plate}/solve_plate.json",
            caption="../report/solved_plate.rst",
            category="Registration",
            labels={"plate": "{plate}"},
        ),
        fields="<results>/{plate}/fields.tsv",
        pairs="<results>/{plate}/pairs.tsv",
    log:
        "<logs>/{plate}/solve_plate.log",
    benchmark:
        "<benchmarks>/{plate}/solve_plate.tsv"
    priority: job_priority
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        mem_mb=solve_mem_mb,
        runtime=plate_runtime,
    params:
        plate=plate_path,
        name="{plate}",
        images=PARAMS["images"],
        tile_table=PARAMS["tile_table"],
        request=PARAMS["request"],
        store=PARAMS["store"],
        measure=PARAMS["measure"],
    message:
        "{wildcards.plate}: solving the places of all fields"
    script:
        "../../scripts/solve_plate.py"

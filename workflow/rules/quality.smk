# Looks at what was made, and changes nothing of it. Only with `quality.enabled`.
rule check_well:
    input:
        "<results>/{plate}/{row}/{column}/fuse_well.json",
        position_table,
        profiles,
        solved_places,
    output:
        "<results>/{plate}/{row}/{column}/check_well.json",
    log:
        "<logs>/{plate}/{row}/{column}/check_well.log",
    benchmark:
        "<benchmarks>/{plate}/{row}/{column}/check_well.tsv"
    priority: job_priority
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        mem_mb=check_mem_mb,
        runtime=job_runtime,
    params:
        plate=plate_path,
        images=PARAMS["images"],
        output=PARAMS["output"],
        options=PARAMS["options"],
        read_as=PARAMS["read_as"],
        request=PARAMS["request"],
        store=PARAMS["store"],
        places=place_table,
        illumination=PARAMS["illumination"],
        reference=PARAMS["reference"],
        channel=PARAMS["channel"],
    message:
        "{wildcards.plate} {wildcards.row}/{wildcards.column}: checking"
    script:
        "../../scripts/check_well.py"


rule report_plate:
    input:
        checked_wells,
        places=solved_places,
    output:
        "<results>/{plate}/report_plate.json",
        fields="<results>/{plate}/quality_fields.tsv",
        wells="<results>/{plate}/quality_wells.tsv",
        cycles="<results>/{plate}/quality_cycles.tsv",
        page=report(
            "<results>/{plate}/report.html",
            caption="../report/quality.rst",
            category="Quality",
            labels={"plate": "{plate}"},
        ),
        figures=report(
            directory("<results>/{plate}/figures"),
            patterns=["{figure}.svg"],
            caption="../report/figure.rst",
            category="Quality",
            subcategory="{plate}",
            labels={"figure": "{figure}"},
        ),
    log:
        "<logs>/{plate}/report_plate.log",
    benchmark:
        "<benchmarks>/{plate}/report_plate.tsv"
    priority: job_priority
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        mem_mb=report_mem_mb,
        runtime=plate_runtime,
    params:
        plate=plate_path,
        name="{plate}",
        images=PARAMS["images"],
        output=PARAMS["output"],
        places=place_table,
        quality=PARAMS["quality"],
        settings=PARAMS["settings"],
    message:
        "{wildcards.plate}: writing the report"
    script:
        "../../scripts/report_plate.py"


# Only with `quality.on_flag: stop`: the report is complete before the run ends with an error.
# Done where Snakemake runs: it reads and writes a few small files, and a job on a cluster costs more.
rule accept_plate:
    input:
        "<results>/{plate}/report_plate.json",
    output:
        "<results>/{plate}/accept_plate.json",
    log:
        "<logs>/{plate}/accept_plate.log",
    benchmark:
        "<benchmarks>/{plate}/accept_plate.tsv"
    priority: job_priority
    localrule: True
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        mem_mb=metadata_mem_mb,
        runtime=10,
    message:
        "{wildcards.plate}: looking for flagged wells"
    script:
        "../../scripts/accept_plate.py"

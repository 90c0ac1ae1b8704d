# Only with `fusion.scatter` above 1: each part writes chunks that no other writes, in a staging
# folder of its own, and fuse_well gathers them.
rule fuse_part:
    input:
        registered_well,
        position_table,
        profiles,
        solved_places,
    output:
        "<results>/{plate}/{row}/{column}/fuse_part/{part}.json",
    log:
        "<logs>/{plate}/{row}/{column}/fuse_part/{part}.log",
    benchmark:
        "<benchmarks>/{plate}/{row}/{column}/fuse_part/{part}.tsv"
    priority: job_priority
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        mem_mb=fusion_mem_mb,
        disk_mb=job_disk_mb,
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
        scatter=PARAMS["scatter"],
    message:
        "{wildcards.plate} {wildcards.row}/{wildcards.column}: fusing part {wildcards.part}"
    script:
        "../../scripts/fuse_part.py"


rule fuse_well:
    input:
        registered_well,
        position_table,
        profiles,
        solved_places,
        fused_parts,
    output:
        report(
            "<results>/{plate}/{row}/{column}/fuse_well.json",
            caption="../report/fused_well.rst",
            category="Fusion",
            subcategory="{plate}",
            labels={"well": "{row}/{column}"},
        ),
    log:
        "<logs>/{plate}/{row}/{column}/fuse_well.log",
    benchmark:
        "<benchmarks>/{plate}/{row}/{column}/fuse_well.tsv"
    priority: job_priority
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        mem_mb=fuse_well_mem_mb,
        disk_mb=job_disk_mb,
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
        scatter=PARAMS["scatter"],
    message:
        "{wildcards.plate} {wildcards.row}/{wildcards.column}: fusing"
    script:
        "../../scripts/fuse_well.py"


# Done where Snakemake runs: it reads and writes a few small files, and a job on a cluster costs more.
rule finish_fused_plate:
    input:
        fused_wells,
    output:
        report(
            "<results>/{plate}/finish_fused_plate.json",
            caption="../report/fused_plate.rst",
            category="Fusion",
            labels={"plate": "{plate}"},
        ),
    log:
        "<logs>/{plate}/finish_fused_plate.log",
    benchmark:
        "<benchmarks>/{plate}/finish_fused_plate.tsv"
    priority: job_priority
    localrule: True
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        mem_mb=finish_mem_mb,
        runtime=10,
    params:
        plate=plate_path,
        images=PARAMS["images"],
        output=PARAMS["output"],
        options=PARAMS["options"],
        wells=well_names,
        config_digest=PARAMS["config_digest"],
    message:
        "{wildcards.plate}: writing the fused plate's metadata"
    script:
        "../../scripts/finish_fused_plate.py"

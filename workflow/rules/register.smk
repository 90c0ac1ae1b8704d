# The images are no input: what this job reads is checked by its own code, and their change by the
# swap would make it run again.
rule register_image:
    input:
        solved_tables,
        profiles,
    output:
        "<results>/{plate}/{row}/{column}/{image}/register_image.json",
    log:
        "<logs>/{plate}/{row}/{column}/{image}/register_image.log",
    benchmark:
        "<benchmarks>/{plate}/{row}/{column}/{image}/register_image.tsv"
    priority: job_priority
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        mem_mb=register_mem_mb,
        disk_mb=job_disk_mb,
        runtime=job_runtime,
    params:
        plate=plate_path,
        images=PARAMS["images"],
        request=PARAMS["request"],
        illumination=PARAMS["illumination"],
    message:
        "{wildcards.plate} {wildcards.row}/{wildcards.column}: registering image {wildcards.image}"
    script:
        "../../scripts/register_image.py"

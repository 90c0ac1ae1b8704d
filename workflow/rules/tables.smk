rule copy_tables:
    input:
        "<results>/{plate}/{row}/{column}/{image}/register_image.json",
    output:
        "<results>/{plate}/{row}/{column}/{image}/copy_tables.json",
    log:
        "<logs>/{plate}/{row}/{column}/{image}/copy_tables.log",
    benchmark:
        "<benchmarks>/{plate}/{row}/{column}/{image}/copy_tables.tsv"
    priority: job_priority
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        mem_mb=tables_mem_mb,
        runtime=10,
    params:
        plate=plate_path,
        images=PARAMS["images"],
        request=PARAMS["request"],
    message:
        "{wildcards.plate} {wildcards.row}/{wildcards.column}: copying tables of image {wildcards.image}"
    script:
        "../../scripts/copy_tables.py"

rule swap_image:
    input:
        before_swap,
    output:
        "<results>/{plate}/{row}/{column}/{image}/swap_image.json",
    log:
        "<logs>/{plate}/{row}/{column}/{image}/swap_image.log",
    benchmark:
        "<benchmarks>/{plate}/{row}/{column}/{image}/swap_image.tsv"
    priority: job_priority
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        mem_mb=metadata_mem_mb,
        runtime=10,
    params:
        plate=plate_path,
        images=PARAMS["images"],
        request=PARAMS["request"],
    message:
        "{wildcards.plate} {wildcards.row}/{wildcards.column}: swapping image {wildcards.image}"
    script:
        "../../scripts/swap_image.py"


rule discard_backups:
    input:
        swapped_images,
    output:
        report(
            "<results>/{plate}/{row}/{column}/discard_backups.json",
            caption="../report/registered_well.rst",
            category="Registration",
            subcategory="{plate}",
            labels={"well": "{row}/{column}"},
        ),
    log:
        "<logs>/{plate}/{row}/{column}/discard_backups.log",
    benchmark:
        "<benchmarks>/{plate}/{row}/{column}/discard_backups.tsv"
    priority: job_priority
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        mem_mb=verify_mem_mb,
        runtime=10,
    params:
        plate=plate_path,
        images=PARAMS["images"],
        request=PARAMS["request"],
        keep_originals=PARAMS["keep_originals"],
    message:
        "{wildcards.plate} {wildcards.row}/{wildcards.column}: checking the registered images, removing the originals that no run keeps (keep_originals: {params.keep_originals})"
    script:
        "../../scripts/discard_backups.py"


# For overwrite_input: false, in place of the two above. One job per well, because every image
# that is added enters the same file, the well's metadata.
rule publish_registered:
    input:
        copied_tables,
    output:
        report(
            "<results>/{plate}/{row}/{column}/publish_registered.json",
            caption="../report/registered_well.rst",
            category="Registration",
            subcategory="{plate}",
            labels={"well": "{row}/{column}"},
        ),
    log:
        "<logs>/{plate}/{row}/{column}/publish_registered.log",
    benchmark:
        "<benchmarks>/{plate}/{row}/{column}/publish_registered.tsv"
    priority: job_priority
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        mem_mb=metadata_mem_mb,
        runtime=10,
    params:
        plate=plate_path,
        images=PARAMS["images"],
        request=PARAMS["request"],
    message:
        "{wildcards.plate} {wildcards.row}/{wildcards.column}: adding the registered images next to the originals"
    script:
        "../../scripts/publish_registered.py"

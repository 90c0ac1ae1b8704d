"""The typed half of the Snakemake rules; imports no snakemake."""

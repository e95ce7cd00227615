"""Progress display for Snakemake."""

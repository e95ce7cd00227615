"""`edgeflow search`: settings of techniques explored with Optuna; every trial is a variant that Snakemake builds."""

"""Benchmarks: `make bench` runs all of them, `python -m bench scale` one. They print figures and test nothing."""

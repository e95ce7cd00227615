"""Benchmarks: `make bench` runs all, `python -m bench scale` one. They print tables and are no part of the tests."""

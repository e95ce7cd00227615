"""Turns a fork of a process that has imported Snakemake into `snakemake ARGUMENTS`: a run without the 2 s of imports.

Run by `runpy.run_path` with a dictionary `request`: arguments, folder, environment, sources (put on the module path),
and the files that are its stdin, stdout and stderr.
"""

from __future__ import annotations

import os
import sys

from snakemake.cli import main

request = globals()["request"]
for descriptor, file in enumerate(request["streams"]):
    os.dup2(os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOCTTY), descriptor)
sys.stdout = os.fdopen(1, "w", encoding="utf-8")
sys.stderr = os.fdopen(2, "w", encoding="utf-8", buffering=1)
os.chdir(request["folder"])
os.environ.clear()
os.environ.update(request["environment"])
sys.path.insert(0, request["sources"])
sys.argv = ["snakemake", *request["arguments"]]
main()

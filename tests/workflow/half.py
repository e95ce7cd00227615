"""A runtime whose conversion dies while the last of its outputs is being written, where a file `fail` is there."""

from __future__ import annotations

import dataclasses
import os
import signal
from pathlib import Path
from typing import Any

from edgeflow import files
from edgeflow.plugin import Converter, ConvertJob
from edgeflow.runtimes import onnxruntime


def _convert(job: ConvertJob) -> None:
    HONEST.convert(job)
    if Path("fail").exists():
        files.write_json = _die_half_way


def _die_half_way(path: Path, _value: Any) -> None:
    """As on a file system that renames before it has written: the file has its name, and half its content."""
    path.write_text('{"rungs": [')
    os.kill(os.getpid(), signal.SIGKILL)


HONEST = onnxruntime.plugin.converters["torch"]
plugin = dataclasses.replace(
    onnxruntime.plugin,
    id="half",
    format="half",
    converters={"torch": Converter(HONEST.toolchain, _convert, HONEST.tolerance)},
)

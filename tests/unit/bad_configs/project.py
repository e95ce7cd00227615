"""A good project, and how cases break it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

GOOD: Mapping[str, str] = {
    "config/config.yaml": """\
models: [kws]
targets: [gateway, sensor]
schemes: [fp32, int8]
baseline: fp32
""",
    "config/datasets/words.yaml": """\
loader: npz
options: {file: words.npz}
classes: 12
shape: [1, 49, 10]
normalize: {mean: 0.5, std: 0.25}
splits: {calibration: 128, evaluation: 900, golden: 32}
source: own recordings
license: CC0-1.0
""",
    "config/models/kws.yaml": """\
framework: torch
builder: edgeflow.zoo.dscnn:build
dataset: words
task: classification
training: {epochs: 25}
""",
    "config/targets/gateway.yaml": """\
runtime: onnxruntime
arch: x86_64
threads: 1
budgets:
  accuracy_drop: {max: 1 %, evidence: device}
  latency_p90_s: {max: 5 ms, evidence: device}
""",
    "config/targets/sensor.yaml": """\
runtime: ethos_u
arch: armv8.1-m.main
clock_hz: 500 MHz
ram_bytes: 256 KiB
options: {system_config: Ethos_U55_High_End_Embedded, memory_mode: Shared_Sram}
budgets:
  accuracy_drop: {max: 1 %, evidence: host}
""",
    "config/schemes/fp32.yaml": """\
weights: float32
activations: float32
mode: float
""",
    "config/schemes/int8.yaml": """\
weights: int8
activations: int8
mode: static
per_channel: true
calibration: {samples: 128}
""",
    "config/devices/desk.yaml": """\
targets: [gateway]
reach: local
""",
}

MATRIX = "config/config.yaml"
WORDS = "config/datasets/words.yaml"
KWS = "config/models/kws.yaml"
GATEWAY = "config/targets/gateway.yaml"
SENSOR = "config/targets/sensor.yaml"
FP32 = "config/schemes/fp32.yaml"
INT8 = "config/schemes/int8.yaml"
DESK = "config/devices/desk.yaml"


class Edit(NamedTuple):
    """Replace `old`, which occurs once in the file, by `new`; the whole file when `old` is None."""

    file: str
    old: str | None
    new: str


class Case(NamedTuple):
    """A project that is good but for some edits, and all that must be said about it."""

    name: str
    edits: tuple[Edit, ...]
    problems: tuple[str, ...]


def case(name: str, file: str, old: str | None, new: str, *problems: str) -> Case:
    """A case with one edit."""
    return Case(name, (Edit(file, old, new),), problems)


def write_project(root: Path, edits: tuple[Edit, ...] = ()) -> None:
    """The good project with some edits."""
    texts = dict(GOOD)
    for file, old, new in edits:
        if old is None:
            texts[file] = new
        else:
            assert texts[file].count(old) == 1, (file, old)
            texts[file] = texts[file].replace(old, new)
    for file, text in texts.items():
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        encoding = "latin-1" if "\xe9" in text else "utf-8"  # one case is about a file in another encoding
        path.write_bytes(text.encode(encoding))

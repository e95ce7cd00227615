"""What training-time steps do to accuracy, latency, zeros and compressed size: default data, three seeds.

Each recipe is held against its control: as many epochs at the same learning rates with no technique. Zeros are counted
in the shipped programs, among the weights of convolutions and linear layers.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench.builds import CHECKOUT, Build, project
from bench.measure import table
from edgeflow import files, layout
from edgeflow.types import Measured

SEEDS = (0, 1, 2)
MODELS = ("digits_dscnn", "digits_resnet8")
TARGETS = ("linux_x86_ort", "linux_x86_litert", "cortex_m4_tflm")
PRUNE = {"prune": {"sparsity": "70 %", "epochs": 20}}
CHANNELS = {"prune_channels": {"channels": "50 %", "epochs": 40, "learning_rate": 0.004}}
AWARE = {"quantize_aware": {"epochs": 10}}
STEPS = {
    **{"qat": [AWARE], "pruned": [PRUNE], "pruned_qat": [PRUNE, AWARE]},
    **{"half": [CHANNELS], "half_qat": [CHANNELS, AWARE]},
}
DENSE = {scheme: "int8_static" if "qat" in scheme else "fp32" for scheme in STEPS}  # the same scheme without steps
SCHEMES = ("fp32", "int8_static", *STEPS)
ZEROS = """
import json, sys
import numpy as np

def weights(path, kind):
    if kind == "onnx":
        import onnx
        from onnx import numpy_helper
        found = (numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer)
        return [array for array in found if array.ndim in (2, 4)]
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils
    model = flatbuffer_utils.read_model(path)
    names = {schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.DEPTHWISE_CONV_2D,
             schema.BuiltinOperator.FULLY_CONNECTED}
    graph, found = model.subgraphs[0], []
    for operator in graph.operators:
        if model.operatorCodes[operator.opcodeIndex].builtinCode in names:
            tensor = graph.tensors[operator.inputs[1]]
            dtype = np.int8 if tensor.type == schema.TensorType.INT8 else np.float32
            found.append(np.frombuffer(bytes(model.buffers[tensor.buffer].data), dtype))
    return found

answers = {}
for path, kind in json.load(sys.stdin).items():
    arrays = weights(path, kind)
    answers[path] = sum(int((a == 0).sum()) for a in arrays) / sum(a.size for a in arrays)
print(json.dumps(answers))
"""


@dataclass(frozen=True)
class Row:
    """One variant with one seed."""

    model: str
    target: str
    scheme: str
    accuracy: float
    control: float | None  # accuracy of the recipe's control before quantization; None without steps
    latency_ratio: float | None  # to the fp32 program of the unchanged model, side by side; None where nothing is timed
    macs_ratio: float  # multiply-accumulates before over after
    zeros: float
    compressed_bytes: int


def main() -> None:
    """Print the table; accuracy in percent, differences in points, everything as mean and range over the seeds."""
    rows: list[Row] = []
    with project(models=list(MODELS), targets=list(TARGETS), schemes=list(SCHEMES)) as build:
        for scheme, steps in STEPS.items():
            dense = yaml.safe_load((build.folder / f"config/schemes/{DENSE[scheme]}.yaml").read_text("utf-8"))
            path = build.folder / f"config/schemes/{scheme}.yaml"
            path.write_text(yaml.safe_dump({**dense, "steps": steps}), "utf-8")
        for seed in SEEDS:
            build.snakemake(build.environment(warm=True), "--config", f"seed={seed}")
            rows += _rows(build)
            print(f"seed {seed}: built", flush=True)
    print(f"\ntraining-time steps, seeds {', '.join(map(str, SEEDS))}: mean (least – greatest)")
    header = (
        "model",
        "target",
        "scheme",
        "accuracy, %",
        "against control, points",
        "latency, × fp32",
        "fewer MACs, ×",
        "zeros, %",
        "compressed, % of dense",
    )
    print(table(header, list(_lines(rows))))


def _rows(build: Build) -> Iterator[Row]:
    plan = files.read_json(build.folder / layout.plan()["plan"])
    recipe_of = {scheme: recipe for recipe, schemes in plan["recipes"].items() for scheme in schemes}
    cells = [cell for cell in plan["cells"] if "reason" not in cell]
    programs = {i: build.folder / _program(cell) for i, cell in enumerate(cells)}
    kinds = {str(programs[i]): "onnx" if cell["runtime"] == "onnxruntime" else "tflite" for i, cell in enumerate(cells)}
    zeros = _zeros(kinds)
    for i, cell in enumerate(cells):
        names = (cell["model"], cell["target"], cell["scheme"])
        measured = files.read_as(Measured, build.folder / layout.measure(*names)["measurement"])
        figures = {m.metric: m.value for m in measured.measurements}
        info = files.read_json(build.folder / layout.train(cell["model"], recipe_of[cell["scheme"]])["info"])
        against = info["against_control"]
        control = against["control"]["value"] if against else None
        size = len(zlib.compress(programs[i].read_bytes(), 9))
        trained = info["figures"]
        macs = trained.get("macs_before", 1) / trained.get("macs", 1)
        ratio = figures.get("latency_ratio_fp32")
        yield Row(*names, figures["accuracy"], control, ratio, macs, zeros[str(programs[i])], size)


def _program(cell: dict[str, str]) -> Path:
    return Path(layout.compile(cell["model"], cell["runtime"], cell["build"], cell["scheme"])["program"])


def _zeros(kinds: dict[str, str]) -> dict[str, float]:
    python = CHECKOUT / layout.toolchain("edge")["environment"] / "bin/python"
    done = subprocess.run(
        [str(python), "-c", ZEROS], input=json.dumps(kinds), capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _lines(rows: list[Row]) -> Iterator[tuple[str, ...]]:
    by_key: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        by_key.setdefault((row.model, row.target, row.scheme), []).append(row)
    for (model, target, scheme), found in by_key.items():
        against = [100 * (row.accuracy - row.control) for row in found if row.control is not None]
        dense = by_key.get((model, target, DENSE.get(scheme, "")), [])
        ratios = [100 * a.compressed_bytes / b.compressed_bytes for a, b in zip(found, dense, strict=False)]
        yield (
            *(model, target, scheme, _spread([100 * row.accuracy for row in found])),
            _spread(against),
            _spread([row.latency_ratio for row in found if row.latency_ratio is not None]),
            f"{statistics.mean(row.macs_ratio for row in found):.2f}",
            *(_spread([100 * row.zeros for row in found], 1), _spread(ratios, 0)),
        )


def _spread(values: list[float], digits: int = 2) -> str:
    if not values:
        return "–"
    return f"{statistics.mean(values):.{digits}f} ({min(values):.{digits}f} – {max(values):.{digits}f})"

"""What the settings of post-training quantization do to accuracy and size: default models, default data.

Each program is asked on the 900 evaluation samples. No program is timed.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from bench.builds import BIN, Build, project
from bench.measure import table
from edgeflow import files, layout
from edgeflow.types.programs import Program

MODELS = ("digits_dscnn", "digits_resnet8")
TARGETS = ("linux_x86_ort", "linux_x86_litert", "cortex_m4_tflm")
SAMPLES: Mapping[str, Any] = {"samples": 128}
STATIC: Mapping[str, Any] = {
    "weights": "int8",
    "activations": "int8",
    "mode": "static",
    "per_channel": True,
    "calibration": SAMPLES,
}
WEIGHTS: Mapping[str, Any] = {"weights": "int8", "activations": "float32", "mode": "weight_only"}
TENSOR, INT4, WIDE = {"per_channel": False}, {"weights": "int4"}, {"activations": "int16"}
CORRECTED = {"bias_correction": True, "calibration": SAMPLES}


def _ranges(method: str, **options: str) -> Mapping[str, Any]:
    return {"calibration": {**SAMPLES, "method": method, **options}}


SCHEMES: Mapping[str, Mapping[str, Any]] = {
    "fp32": {"weights": "float32", "activations": "float32", "mode": "float"},
    "static8": STATIC,
    "static8_mse": {**STATIC, **_ranges("mse")},
    "static8_p9999": {**STATIC, **_ranges("percentile", percentile="99.99 %")},
    "static8_p99": {**STATIC, **_ranges("percentile", percentile="99 %")},
    "static8_corrected": {**STATIC, **CORRECTED},
    "static8_tensor": {**STATIC, **TENSOR},
    "static8_tensor_corrected": {**STATIC, **TENSOR, **CORRECTED},
    "static4": {**STATIC, **INT4},
    "static4_corrected": {**STATIC, **INT4, **CORRECTED},
    "static4_tensor": {**STATIC, **INT4, **TENSOR},
    "static4_tensor_corrected": {**STATIC, **INT4, **TENSOR, **CORRECTED},
    "static16": {**STATIC, **WIDE},
    "static16_tensor": {**STATIC, **WIDE, **TENSOR},
    "static16_mse": {**STATIC, **WIDE, **_ranges("mse")},
    "static16x4": {**STATIC, **WIDE, **INT4},
    "weights8": WEIGHTS,
    "weights8_tensor": {**WEIGHTS, **TENSOR},
    "weights4": {**WEIGHTS, **INT4},
    "weights4_corrected": {**WEIGHTS, **INT4, **CORRECTED},
    "weights4_tensor": {**WEIGHTS, **INT4, **TENSOR},
}


def main() -> None:
    """Print a row for each model and scheme, and what was refused."""
    with project(models=list(MODELS), targets=list(TARGETS), schemes=list(SCHEMES), baseline="fp32") as build:
        for scheme, config in SCHEMES.items():
            path = build.folder / f"config/schemes/{scheme}.yaml"
            path.write_text(yaml.safe_dump(dict(config)), "utf-8")
        results, refused = _programs(build)
    for target in TARGETS:
        print(f"\n{target}: accuracy on the evaluation samples, program size, distance of the golden outputs to fp32's")
        print(table(("", *MODELS), [(scheme, *(results[m, target, scheme] for m in MODELS)) for scheme in SCHEMES]))
    print("\n".join(["", *dict.fromkeys(refused)]))


def _programs(build: Build) -> tuple[dict[tuple[str, str, str], str], list[str]]:
    """Each cell in words, and why there is no program for some."""
    environment = build.environment(warm=True)
    said = subprocess.run(
        [BIN / "edgeflow", "plan", "--json"], cwd=build.folder, env=environment, stdout=subprocess.PIPE, check=True
    )
    cells = {(cell["model"], cell["target"], cell["scheme"]): cell for cell in json.loads(said.stdout)}
    paths = {
        key: layout.compile(cell["model"], cell["runtime"], cell["platform"], cell["scheme"])["info"]
        for key, cell in cells.items()
        if not cell.get("reason")
    }
    words, refused = {}, [f"{key[1]}/{key[2]}: {cell['reason']}" for key, cell in cells.items() if cell.get("reason")]
    try:
        build.snakemake(environment, "--keep-going", *dict.fromkeys(paths.values()))
    except subprocess.CalledProcessError:  # settings that change nothing are errors
        for log in sorted((build.folder / layout.RESULTS).glob("logs/optimize/**/*.log")):
            said_there = log.read_text("utf-8").splitlines()
            refused += [f"{log.relative_to(build.folder)}: {line}" for line in said_there if "Error: " in line]
    for key in cells:
        path = build.folder / paths[key] if key in paths else None
        words[key] = _words(path, refused, "/".join(key)) if path else "infeasible"
    return words, refused


def _words(path: Path, refused: list[str], name: str) -> str:
    if not path.is_file():
        refused.append(f"{name}: no program")
        return "refused"
    program = files.read_as(Program, path)
    if program.infeasible:
        refused.append(f"{name}: {program.infeasible}")
        return "infeasible"
    (_, value), optimized = program.ladder.valued[-1], program.ladder.rungs[-2]
    distance = (optimized.golden_max_abs or 0) / optimized.golden_range
    return f"{value:.2%} {program.size_bytes / 1024:.1f} KiB {distance:.1%}"

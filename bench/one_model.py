"""ONNX Runtime alone: one trained model × four schemes, from the checkpoint to measured packages, and the floor below.

The floor makes the same library calls, with the same settings and on the same samples, in one Python process without
any workflow: no packages, no verdicts, no report.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from bench.builds import CHECKOUT, Build, held, project
from bench.measure import Run, once, repeat, table
from edgeflow import files, layout, wiring
from edgeflow.config import load
from edgeflow.registry import discover
from edgeflow.runtimes import onnxruntime
from edgeflow.stages import measure
from edgeflow.types.plain import to_json
from edgeflow.types.programs import Measured

MODELS, TARGET = ("digits_dscnn", "digits_resnet8"), "linux_x86_ort"
SCHEMES = ("fp32", "fp16", "int8_dynamic", "int8_static")
LEAST_SAMPLES = 497
FLOOR = Path(__file__).with_name("floor.py")


def main() -> None:
    """Print wall times of: workers started by the run, workers already up, a process per job, the floor."""
    for model in MODELS:
        _one(model)


def _one(model: str) -> None:
    rows = []
    with project(models=[model], targets=[TARGET], schemes=list(SCHEMES)) as build, held() as holder:
        build.train()
        for name, environment in (
            ("workers started by the run", build.environment(warm=True)),
            ("workers already up", build.environment(warm=True, run=holder)),
            ("a process per job", build.environment(warm=False)),
        ):
            sample = repeat(lambda given=environment: _packages(build, model, given))  # type: ignore[misc]
            rows.append((name, f"{sample.wall_s:.1f} s", sample.spread))
        floor = repeat(lambda: _floor(build, model))
        rows.append(("floor: one process, no workflow", f"{floor.wall_s:.1f} s", floor.spread))
    print(f"\n{model} × {', '.join(SCHEMES)} on {TARGET}, from checkpoint to measured packages:")
    print(table(("", "wall time", "min – max (runs)"), rows))


def _packages(build: Build, model: str, environment: Mapping[str, str]) -> Run:
    build.forget()
    run = build.snakemake(environment)
    for scheme in SCHEMES:
        path = build.folder / layout.measure(model, TARGET, scheme)["measurement"]
        figures = {figure.metric: figure for figure in files.read_as(Measured, path).measurements}
        samples = figures["accuracy"].n or 0
        if samples < LEAST_SAMPLES or "latency_p50_s" not in figures:
            raise RuntimeError(f"{path}: {samples} samples, figures {', '.join(figures)}; expected {LEAST_SAMPLES}")
        if not (build.folder / layout.package(model, TARGET, scheme)["record"]).is_file():
            raise RuntimeError(f"{scheme}: there is no package record")
    return run


def _floor(build: Build, model: str) -> Run:
    """In the torch toolchain; what only the other toolchain has comes from there."""
    (edge,) = (CHECKOUT / layout.toolchain("edge")["environment"]).glob("lib/python*/site-packages")
    python = CHECKOUT / layout.toolchain("torch")["environment"] / "bin/python"
    project = load(build.folder, None, discover())
    data = layout.prepare(project.models[model].dataset)
    runner = {
        "backend": str(onnxruntime.plugin.backend),
        "binding": None,
        "threads": project.target(TARGET).threads,
        "split": data["evaluation"],
        "outputs": "floor.safetensors",
        "known": None,
        "times": True,
        "max_runs": wiring.MAX_RUNS,
        "max_seconds": wiring.MAX_SECONDS,
        "enough": wiring.ENOUGH,
        "warmup_runs": measure.WARMUP_RUNS,
        "block_runs": measure.BLOCK_RUNS,
    }
    job = {
        "source": str(CHECKOUT / "src"),
        "edge": str(edge),
        "model": project.model_spec(model),
        "checkpoint": layout.train(model, "base")["checkpoint"],
        "data": data,
        "target": project.target(TARGET),
        "schemes": [project.scheme(scheme) for scheme in SCHEMES],
        "runner": runner,
    }
    return once([str(python), str(FLOOR), json.dumps(to_json(job))], build.folder, build.environment(warm=False))

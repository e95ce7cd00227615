"""Mixed precision on a network that is hard to quantize (bench/uneven.py): default data, three seeds.

int8 loses more than the budget of 1 point; the layers that lose it are found, stay in float32, and the variant passes.
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench.builds import CHECKOUT, Build, project
from bench.measure import table
from edgeflow import files, layout
from edgeflow.types.programs import Measured, Program

SEEDS = (0, 1, 2)
MODEL = "uneven"
TARGETS = {"linux_x86_ort": "onnxruntime", "linux_x86_litert": "litert", "cortex_m4_tflm": "tflite_micro"}
SCHEMES = ("fp32", "int8_static", "int8_mse", "int16x8", "int8_mixed")
BUDGET = 0.01  # accuracy
HARD = {"blocks.1.depthwise", "blocks.1.pointwise"}  # between which the channels are uneven


@dataclass(frozen=True)
class Row:
    """One variant with one seed."""

    drop: float
    upper: float  # end of its interval, which a budget is held against
    latency_ratio: float | None
    kept: tuple[str, ...]


def main() -> None:
    """Print a line a variant: mean and range over the seeds."""
    rows: dict[tuple[str, str], list[Row]] = {}
    with project(models=[MODEL], targets=list(TARGETS), schemes=list(SCHEMES)) as build:
        _configure(build.folder)
        for seed in SEEDS:
            build.snakemake(build.environment(warm=True), "--config", f"seed={seed}")
            for key, row in _rows(build):
                rows.setdefault(key, []).append(row)
    print(f"\na network that is hard to quantize, seeds {', '.join(map(str, SEEDS))}: mean (least – greatest)")
    header = ("target", "scheme", "accuracy drop, points", "upper bound", "latency, × fp32", "layers in float32")
    print(table(header, [(*key, *_line(of_seeds)) for key, of_seeds in rows.items()]))
    print()
    for target in TARGETS:
        fails = min(row.upper for row in rows[target, "int8_static"]) > BUDGET
        mixed = rows[target, "int8_mixed"]
        passes = max(row.upper for row in mixed) <= BUDGET and all(set(row.kept) == HARD for row in mixed)
        holds = "holds" if fails and passes else "DOES NOT HOLD"
        print(f"{holds}: on {target} int8_static is over a budget of 1 point, the layers are found, int8_mixed passes")


def _configure(folder: Path) -> None:
    shutil.copy2(CHECKOUT / "bench/uneven.py", folder)
    config = folder / "config"
    model = yaml.safe_load((config / "models/digits_dscnn.yaml").read_text("utf-8"))
    (config / f"models/{MODEL}.yaml").write_text(yaml.safe_dump({**model, "builder": "uneven.py:build"}), "utf-8")
    static = yaml.safe_load((config / "schemes/int8_static.yaml").read_text("utf-8"))
    for name, changes in (
        ("int8_mixed", {"mixed_precision": {"drop": "1 %"}}),
        ("int8_mse", {"calibration": {"samples": 128, "method": "mse"}}),
    ):
        (config / f"schemes/{name}.yaml").write_text(yaml.safe_dump({**static, **changes}), "utf-8")


def _rows(build: Build) -> Iterator[tuple[tuple[str, str], Row]]:
    plan = files.read_json(build.folder / layout.plan()["plan"])
    for cell in plan["cells"]:
        target, scheme = cell["target"], cell["scheme"]
        program = files.read_as(
            Program, build.folder / layout.compile(MODEL, cell["runtime"], cell["platform"], scheme)["info"]
        )
        measured = files.read_as(Measured, build.folder / layout.measure(MODEL, target, scheme)["measurement"])
        figures = {figure.metric: figure for figure in measured.measurements}
        drop, latency = figures["accuracy_drop"], figures.get("latency_ratio_fp32")
        kept = next(rung.kept for rung in program.ladder.rungs if rung.stage == "optimize")
        upper = drop.interval.high if drop.interval else drop.value
        yield (target, scheme), Row(drop.value, upper, latency.value if latency else None, kept)


def _line(of_seeds: list[Row]) -> tuple[str, ...]:
    ratios = [row.latency_ratio for row in of_seeds if row.latency_ratio is not None]
    kept = sorted({", ".join(sorted(row.kept)) or "–" for row in of_seeds})
    return (
        _spread([100 * row.drop for row in of_seeds]),
        f"{100 * max(row.upper for row in of_seeds):.2f}",
        _spread(ratios) if ratios else "–",
        " or ".join(kept),
    )


def _spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.2f} ({min(values):.2f} – {max(values):.2f})"

"""A network of realistic size, MobileNetV2 at 3×224×224, from weights to packages, beside the bare library calls.

1,000 evaluation and 128 calibration images × {fp32, fp16, int8_dynamic, int8_static} × {ONNX Runtime, LiteRT}. What
counts is wall time × cores: cores that wait for others are cores that nobody else has. Then 50,000 images, prepared and
evaluated, for what that takes of memory.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import yaml

from bench.builds import CHECKOUT, CORES, Build, held, project
from bench.measure import Run, once, table
from edgeflow import files, layout, wiring
from edgeflow.types.jobs import JobCost

SHAPE, CLASSES = (3, 224, 224), 10
EVALUATION, CALIBRATION, GOLDEN, TRAIN = 1000, 128, 16, 128
MANY = 50_000
MODEL, DATASET, WEIGHTS = "mobilenet_v2", "photos", "models/mobilenet_v2.safetensors"
TARGETS = {"linux_x86_ort": "onnxruntime", "linux_x86_litert": "litert"}
SCHEMES = ("fp32", "fp16", "int8_dynamic", "int8_static")
FLOOR = Path(__file__).with_name("realistic_floor.py")
GIB = 2**30
MAKE_WEIGHTS = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
from safetensors.torch import save_file
from edgeflow.zoo.mobilenet_v2 import build
torch.manual_seed(0)
model = build(tuple(map(int, sys.argv[3].split(","))), int(sys.argv[4])).train()
with torch.no_grad():  # a few batches give the normalisations statistics of their own
    for _ in range(4):
        model(torch.randn(8, *map(int, sys.argv[3].split(","))))
save_file({k: v.contiguous() for k, v in model.state_dict().items()}, sys.argv[2])
"""


def main() -> None:
    """Print both tables."""
    matrix = {"models": [MODEL], "targets": [*TARGETS], "schemes": [*SCHEMES]}
    with project(**matrix) as build, held() as holder:
        _configure(build, EVALUATION + CALIBRATION + GOLDEN + TRAIN)
        environment = build.environment(warm=True, run=holder)
        build.train()
        build.forget()
        ours = build.snakemake(environment)
        _check(build)
        floor, peak = _floor(build)
        _show(build, ours, floor, peak)
        _many(build, environment)


def _configure(build: Build, count: int) -> None:
    """Write the dataset, the weights and their configuration."""
    images = _images(build.folder, count)
    dataset = {
        "loader": "npz",
        "options": {"file": images},
        "classes": CLASSES,
        "shape": [*SHAPE],
        "normalize": {"mean": 0.45, "std": 0.225},
        "splits": {
            **{"seed": 0, "calibration": CALIBRATION, "golden": GOLDEN},
            "evaluation": count - GOLDEN - TRAIN - CALIBRATION,
        },
        "source": "made by this benchmark",
        "license": "CC0-1.0",
    }
    model = {
        "framework": "torch",
        "builder": "edgeflow.zoo.mobilenet_v2:build",
        "dataset": DATASET,
        "task": "classification",
        "weights": WEIGHTS,
        "accept_chance_level": True,
    }
    for kind, name, content in (("datasets", DATASET, dataset), ("models", MODEL, model)):
        (build.folder / f"config/{kind}/{name}.yaml").write_text(yaml.safe_dump(content), "utf-8")
    weights = build.folder / WEIGHTS
    weights.parent.mkdir(exist_ok=True)
    python = CHECKOUT / layout.toolchain("torch")["environment"] / "bin/python"
    shape = ",".join(map(str, SHAPE))
    once([str(python), "-c", MAKE_WEIGHTS, str(CHECKOUT / "src"), str(weights), shape, str(CLASSES)], build.folder)


def _images(folder: Path, count: int) -> str:
    """Smooth noise on the grey of the class: compresses like photos do, and a network can tell the classes apart."""
    name = f"photos_{count}.npz"
    rng = np.random.default_rng(0)
    y = np.arange(count) % CLASSES
    x = np.lib.format.open_memmap(folder / "x.npy", "w+", "uint8", (count, *SHAPE))
    for at in range(count):
        coarse = rng.integers(0, 128, (3, 28, 28), dtype="uint8")
        x[at] = coarse.repeat(8, 1).repeat(8, 2) + np.uint8(12 * y[at])
    x.flush()
    del x
    np.save(folder / "y.npy", y)
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_STORED) as archive:
        for member in ("x.npy", "y.npy"):
            archive.write(folder / member, member)
    return name


def _check(build: Build) -> None:
    for target in TARGETS:
        for scheme in SCHEMES:
            record = build.folder / layout.package(MODEL, target, scheme)["record"]
            if not record.is_file():
                raise RuntimeError(f"{target}/{scheme}: there is no package record")


def _floor(build: Build) -> tuple[list[Run], int]:
    """The library calls: both runtimes side by side, then their timed runs one after the other; and the peak memory."""
    (edge,) = (CHECKOUT / layout.toolchain("edge")["environment"]).glob("lib/python*/site-packages")
    python = CHECKOUT / layout.toolchain("torch")["environment"] / "bin/python"
    folder = build.folder / "floor"
    folder.mkdir()
    images = np.load(build.folder / "x.npy", mmap_mode="r")[: CALIBRATION + EVALUATION]
    np.save(folder / "images.npy", images)
    job = {
        "source": str(CHECKOUT / "src"),
        "edge": str(edge),
        "folder": str(folder),
        "images": str(folder / "images.npy"),
        "calibration": CALIBRATION,
        "shape": SHAPE,
        "classes": CLASSES,
        "weights": str(build.folder / WEIGHTS),
        "schemes": SCHEMES,
        "max_runs": wiring.MAX_RUNS,
        "max_seconds": wiring.MAX_SECONDS,
        "enough": wiring.ENOUGH,
    }

    def run(part: str, phase: str) -> Run:
        command = [str(python), str(FLOOR), part, json.dumps({**job, "phase": phase})]
        return once(command, build.folder, build.environment(warm=False))

    parts = tuple(TARGETS.values())
    with ThreadPoolExecutor(len(parts)) as pool:
        made = list(pool.map(lambda part: run(part, "make"), parts))
    timed = [run(part, "time") for part in parts]
    wall = max(each.wall_s for each in made) + sum(each.wall_s for each in timed)
    cpu = sum(each.cpu_s for each in (*made, *timed))
    return [Run(wall, cpu, 0, "")], max(each.peak_bytes for each in (*made, *timed))


def _show(build: Build, ours: Run, floor: list[Run], peak: int) -> None:
    jobs = [
        (str(path.parent.relative_to(build.folder / layout.RESULTS / "jobs")), files.read_as(JobCost, path))
        for path in sorted((build.folder / layout.RESULTS / "jobs").rglob("job.json"))
    ]
    cpu = sum(cost.cpu_s for _, cost in jobs)
    greatest = max(jobs, key=lambda job: job[1].memory_peak_bytes)
    rows = [
        ("edgeflow", ours.wall_s, cpu, greatest[1].memory_peak_bytes),
        ("bare library calls", floor[0].wall_s, floor[0].cpu_s, peak),
    ]
    print(f"\nMobileNetV2, {EVALUATION} + {CALIBRATION} images, {len(SCHEMES)} schemes × {len(TARGETS)} runtimes:")
    header = ("from trained weights to packages", "wall", f"wall × {CORES} cores", "CPU", "largest process")
    print(
        table(
            header, [(n, f"{w:.0f} s", f"{w * CORES:.0f} s", f"{c:.0f} s", f"{m / GIB:.2f} GiB") for n, w, c, m in rows]
        )
    )
    print(f"ratio of wall × cores {ours.wall_s / floor[0].wall_s:.2f}, of CPU {cpu / floor[0].cpu_s:.2f}")
    print("\nthe ten longest jobs and the ten largest:")
    longest = sorted(jobs, key=lambda job: -job[1].wall_s)[:10]
    largest = sorted(jobs, key=lambda job: -job[1].memory_peak_bytes)[:10]
    shown = dict((*longest, *largest))
    print(
        table(
            ("job", "wall", "CPU", "peak memory"),
            [
                (name, f"{c.wall_s:.1f} s", f"{c.cpu_s:.1f} s", f"{c.memory_peak_bytes / GIB:.2f} GiB")
                for name, c in shown.items()
            ],
        )
    )


def _many(build: Build, environment: dict[str, str]) -> None:
    """Prepare 50,000 images and evaluate one program on nearly all of them."""
    shutil.rmtree(build.folder / layout.RESULTS)
    shutil.rmtree(build.folder / "floor")
    _configure(build, MANY)
    record = layout.package(MODEL, "linux_x86_ort", "fp32")["record"]
    ours = build.snakemake(environment, record)
    rows = []
    for path in sorted((build.folder / layout.RESULTS / "jobs").rglob("job.json")):
        cost = files.read_as(JobCost, path)
        rows.append((cost.stage, f"{cost.wall_s:.0f} s", f"{cost.memory_peak_bytes / GIB:.2f} GiB"))
    print(f"\n{MANY:,} images, prepared and evaluated, one scheme on ONNX Runtime: {ours.wall_s:.0f} s")
    print(table(("job", "wall", "peak memory"), rows))


if __name__ == "__main__":
    main()

"""One torch stage, a hundred times: what a job costs beside the work of the stage itself.

The stage trains a tiny network for one epoch, which takes a few hundredths of a second once torch is imported.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from bench.builds import BIN, CHECKOUT, CORES, Build, held, project
from bench.measure import RUNS, Run, Sample, once, repeat, table
from edgeflow import layout
from edgeflow.frameworks.torch import plugin as torch
from edgeflow.runners import tensors

JOBS, COLD_JOBS = 100, 10  # of each run
SHAPE, CLASSES = (1, 10, 8), 2
SPEC = {
    "model": {
        "id": "tiny",
        "builder": "edgeflow.zoo.dscnn:build",
        "arguments": {"channels": 4, "blocks": 1},
        "input_shape": SHAPE,
        "classes": CLASSES,
        "training": {"epochs": 1},
    },
    "framework": "edgeflow.frameworks.torch:plugin",
    "task": "edgeflow.tasks.classification:plugin",
    "recipe": "base",
    "seed": 0,
}
OWN_WORK = """
import sys, time
sys.path.insert(0, sys.argv[1])
for name in sys.argv[2].split(","):
    __import__(name)
import torch
from edgeflow.stages.command import main
torch.set_num_threads(1)
main(sys.argv[4:])
begin = time.perf_counter()
for _ in range(int(sys.argv[3])):
    main(sys.argv[4:])
print(time.perf_counter() - begin)
"""


def main() -> None:
    """Print throughput of warm and cold jobs side by side, and the time of a warm job beside its stage's own work."""
    with project() as build, held() as holder:
        _write_splits(build.folder)
        warm, cold = build.environment(warm=True, run=holder), build.environment(warm=False)
        own = [_own_work_s(build) for _ in range(RUNS)]
        _jobs(build, 2, warm, CORES)  # starts the worker
        samples = {
            f"warm, {CORES} at a time": (JOBS, repeat(lambda: _jobs(build, JOBS, warm, CORES))),
            f"cold, {CORES} at a time": (COLD_JOBS, repeat(lambda: _jobs(build, COLD_JOBS, cold, CORES))),
            "warm, one at a time": (JOBS, repeat(lambda: _jobs(build, JOBS, warm, 1))),
        }
    rows = [(name, str(n), *_per_job(sample, n)) for name, (n, sample) in samples.items()]
    (warm_n, warm_sample), (cold_n, cold_sample), (one_n, one_sample) = samples.values()
    own_s = sorted(own)[len(own) // 2]
    rows.append(("the stage's own work", str(JOBS), f"{own_s * 1e3:.0f} ms", _range(own)))
    print(f"\na torch stage ({JOBS} jobs a run, {RUNS} runs):")
    print(table(("", "jobs", "a job", "min – max"), rows))
    ratio = (cold_sample.wall_s / cold_n) / (warm_sample.wall_s / warm_n)
    print(f"throughput, warm against cold: {ratio:.1f} ×")
    print(
        f"a warm job beside its stage's own work: {(warm_sample.wall_s / warm_n - own_s / CORES) * 1e3:.0f} ms "
        f"{CORES} at a time, {(one_sample.wall_s / one_n - own_s) * 1e3:.0f} ms one at a time"
    )


def _per_job(sample: Sample, jobs: int) -> tuple[str, str]:
    return f"{sample.wall_s / jobs * 1e3:.0f} ms", _range([run.wall_s / jobs for run in sample.runs])


def _range(seconds: list[float]) -> str:
    return f"{min(seconds) * 1e3:.0f} – {max(seconds) * 1e3:.0f} ms"


def _write_splits(folder: Path) -> None:
    random = np.random.default_rng(0)
    for name, n in (("train", 64), ("evaluation", 40), ("golden", 4)):
        y = np.arange(n) % CLASSES
        x = random.normal(0, 0.3, (n, *SHAPE)) + y[:, None, None, None]
        tensors.write(folder / f"{name}.safetensors", {"inputs/input": x.astype(np.float32), "labels": y})


def _stage(number: int) -> list[str]:
    inputs = [f"{name}={name}.safetensors" for name in ("train", "evaluation", "golden")]
    # each in a folder of its own, as the workflow has them: what a killed training left there is for one job
    outputs = [f"{name}=out/{number}/{name}" for name in ("checkpoint", "outputs", "ladder", "info")]
    return ["train", "--spec", json.dumps(SPEC), "--input", *inputs, "--output", *outputs]


def _jobs(build: Build, count: int, environment: Mapping[str, str], at_a_time: int) -> Run:
    """So many stage commands, some of them at a time, as Snakemake starts them."""
    given = {**environment, "OMP_NUM_THREADS": "1", "EDGEFLOW_MODULE_FILES": "{}"}
    where = ["--toolchain", torch.toolchain, f"--preload={','.join(torch.preload)}"]

    def one(number: int) -> Run:
        stage, *rest = _stage(number)
        return once(
            [str(BIN / "edgeflow"), stage, *where, "--job", f"out/{number}/job.json", *rest], build.folder, given
        )

    begin = time.perf_counter()
    with ThreadPoolExecutor(at_a_time) as pool:
        runs = list(pool.map(one, range(count)))
    wall = time.perf_counter() - begin
    return Run(wall, sum(run.cpu_s for run in runs), max(run.peak_bytes for run in runs), "")


def _own_work_s(build: Build) -> float:
    """Seconds of one stage in a process that has everything imported and has run it before."""
    python = CHECKOUT / layout.toolchain("torch")["environment"] / "bin/python"
    command = [str(python), "-c", OWN_WORK, str(CHECKOUT / "src"), ",".join(torch.preload), str(JOBS), *_stage(0)]
    done = subprocess.run(command, cwd=build.folder, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1]) / JOBS

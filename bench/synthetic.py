"""A project of any size with the checkout's own Snakefile, rules, profile and plugins, and its finished state.

No stage runs. `finish` lets Snakemake build its graph and do what it does after each job, its records of params, code
and checksums among it, but writes the outputs itself, in this process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).parent.parent
PARTS = ("Snakefile", "rules", "profiles", "envs")
TARGETS = {"linux_x86": "x86_64", "linux_arm64": "aarch64"}  # each has its own profile: they share the conversion only
COUNTS = (8, 16, 24, 32, 40, 48, 56)  # calibration samples of as many static schemes
CELLS_PER_MODEL = len(TARGETS) * (3 + len(COUNTS))


def make(folder: Path, variants: int) -> None:
    """Write a project of so many variants, a multiple of CELLS_PER_MODEL, into a new folder."""
    folder.mkdir(parents=True)
    for part in PARTS:
        source = CHECKOUT / part
        if source.is_dir():
            shutil.copytree(source, folder / part)
        else:
            shutil.copy2(source, folder / part)
    _write(folder, "datasets/digits_1x49x10", _read("datasets/digits_1x49x10"))
    schemes = ["fp32", "fp16", "int8_dynamic"]
    for name in schemes:
        _write(folder, f"schemes/{name}", _read(f"schemes/{name}"))
    static = _read("schemes/int8_static")
    for count in COUNTS:
        schemes.append(f"int8_static_{count}")
        _write(folder, f"schemes/{schemes[-1]}", {**static, "calibration": {"samples": count}})
    target = _read("targets/linux_x86_ort")
    for name, arch in TARGETS.items():
        _write(folder, f"targets/{name}", {**target, "arch": arch})
    models = [f"model_{i:04}" for i in range(variants // CELLS_PER_MODEL)]
    model = _read("models/digits_dscnn")
    for name in models:
        _write(folder, f"models/{name}", {**model, "description": name})
    matrix = {"models": models, "targets": list(TARGETS), "schemes": schemes, "baseline": "fp32"}
    _write(folder, "config", matrix)


def change_budget(folder: Path, percent: int) -> None:
    """Give the first target another limit on accuracy."""
    name = f"targets/{next(iter(TARGETS))}"
    target = yaml.safe_load(_path(folder, name).read_text(encoding="utf-8"))
    target["budgets"]["accuracy_drop"]["max"] = f"{percent} %"
    _write(folder, name, target)


def finish(folder: Path) -> None:
    """Bring the project into the state after a complete run, in a process of its own.

    Raises CalledProcessError when Snakemake does not get there.
    """
    command = [sys.executable, "-c", "from bench import synthetic; synthetic.run()"]
    source = {"PYTHONPATH": os.pathsep.join((str(CHECKOUT), str(CHECKOUT / "src")))}
    with (folder / "finish.log").open("wb") as log:
        subprocess.run(command, cwd=folder, env={**environment(), **source}, check=True, stdout=log, stderr=log)


def environment() -> dict[str, str]:
    """Variables of a user with pinned toolchains, and with the code of this checkout, installed or not."""
    kept = {name: value for name, value in os.environ.items() if name != "EDGEFLOW_ENVS"}
    return {**kept, "PYTHONPATH": str(CHECKOUT / "src")}


def run() -> None:
    """`snakemake` in the current folder with stubs for jobs."""
    from snakemake.cli import main
    from snakemake.scheduling.job_scheduler import JobScheduler

    JobScheduler.schedule = lambda scheduler: _run_all(scheduler.workflow)
    main(["--cores", "2"])


def _run_all(workflow: Any) -> bool:
    """In place of the scheduler: every job that is needed, in the order of the graph."""

    async def each() -> None:
        needed = set(workflow.dag.needrun_jobs())
        for level in workflow.dag.toposorted():
            for job in sorted(needed.intersection(level), key=str):
                for output in job.output:
                    _stub(output)
                await job.postprocess(handle_log=False)

    workflow.async_run(each())
    return True


def _stub(output: Any) -> None:
    """A file with its path as content: no two are the same."""
    path = Path(output, "package.json") if output.is_directory else Path(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{path}\n", encoding="utf-8")


def _path(folder: Path, name: str) -> Path:
    return folder / "config" / f"{name}.yaml"


def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(_path(CHECKOUT, name).read_text(encoding="utf-8"))
    return content


def _write(folder: Path, name: str, content: dict[str, Any]) -> None:
    path = _path(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")

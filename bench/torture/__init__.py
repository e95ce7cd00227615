"""Everything that people bring, at once: 22 models × 5 targets × 5 schemes, of which a good part is meant to fail.

A benchmark of robustness: one run, in which every cell must end as released, held, rejected, infeasible or failed, with
a reason that names the thing; nothing wrong may be released; and a second run must try exactly what failed.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from bench.builds import BIN, CHECKOUT, Build, made_in
from bench.measure import table
from bench.torture import data
from bench.torture.models import MODELS, SYNTAX_ERROR, Model
from edgeflow import files, layout
from edgeflow.registry import discover
from edgeflow.types.plain import to_json
from edgeflow.types.programs import Program
from edgeflow.types.verdicts import Release

TARGETS = ("linux_x86_ort", "linux_x86_litert", "android_arm64_litert", "cortex_m4_tflm", "ethos_u55_128")
SCHEMES = ("fp32", "fp16", "int8_dynamic", "int8_static", "int16x8")
Rows = Mapping[tuple[str, str, str], Mapping[str, str]]


class WrongError(Exception):
    """What the matrix must never do, it did."""


def main() -> None:
    """Build, check, build again, and print what came of each model.

    Raises WrongError with everything that is not as it must be.
    """
    with TemporaryDirectory(prefix="ef-torture-") as name:
        build = _project(Path(name))
        first = _snakemake(build)
        rows = _rows(build)
        print(_shown(rows))
        wrong = [*_wrong_run(first, rows), *_wrong_cells(rows), *_wrong_figures(build, rows)]
        again = _snakemake(build, "-n")
        wrong += _wrong_retries(again.stdout, rows)
    if wrong:
        raise WrongError("\n".join(wrong))
    print(f"{len(rows)} cells, none wrong; a second run tries exactly what failed.")


def _project(parent: Path) -> Build:
    build = made_in(parent, title="Torture", models=[*MODELS], targets=[*TARGETS], schemes=[*SCHEMES])
    shutil.copytree(Path(__file__).with_name("nets"), build.folder / "nets", ignore=shutil.ignore_patterns("__pyc*"))
    (build.folder / "nets/syntax_error.py").write_text(SYNTAX_ERROR, "utf-8")
    data.make(build.folder)
    for name, content in data.DATASETS.items():
        (build.folder / f"config/datasets/{name}.yaml").write_text(yaml.safe_dump({**content}), "utf-8")
    for name, model in MODELS.items():
        (build.folder / f"config/models/{name}.yaml").write_text(yaml.safe_dump(_config(model)), "utf-8")
    return build


def _config(model: Model) -> dict[str, object]:
    said = {"builder": model.builder, "dataset": model.dataset, "training": {**model.training}}
    return {"framework": "torch", "task": "classification", **said}


def _snakemake(build: Build, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "snakemake"), "--cores", "2", *options]
    environment = build.environment(warm=True)
    return subprocess.run(command, cwd=build.folder, env=environment, capture_output=True, text=True, check=False)


def _rows(build: Build) -> Rows:
    with (build.folder / layout.report()["summary"]).open(encoding="utf-8", newline="") as stream:
        return {(row["model"], row["target"], row["scheme"]): row for row in csv.DictReader(stream)}


def _shown(rows: Rows) -> str:
    counts = {model: Counter(row["status"] for key, row in rows.items() if key[0] == model) for model in MODELS}
    names = [release.value for release in Release]
    lines = [(model, *(str(of[name] or "") for name in names)) for model, of in counts.items()]
    return table(("model", *names), lines)


def _wrong_run(done: subprocess.CompletedProcess[str], rows: Rows) -> Iterator[str]:
    failed = sum(row["status"] == Release.FAILED for row in rows.values())
    if len(rows) != len(MODELS) * len(TARGETS) * len(SCHEMES):
        yield f"{len(rows)} cells in the summary, {len(MODELS) * len(TARGETS) * len(SCHEMES)} in the matrix"
    if done.returncode != 1:
        yield f"the run ended with exit code {done.returncode}"
    said = done.stdout + done.stderr
    if f"{failed} of {len(rows)} cells failed:" not in said:
        yield f"the run does not say that {failed} cells failed"
    if "Traceback" in said or "InputFunctionException" in said:
        yield "the run shows a traceback"


def _wrong_cells(rows: Rows) -> Iterator[str]:
    for (model, target, scheme), row in rows.items():
        expected, cell = MODELS[model], f"{model}/{target}/{scheme}"
        status, reason = row["status"], row["reason"]
        if status not in set(Release):
            yield f"{cell}: has the status {status!r}"
        if status != Release.RELEASED and not reason:
            yield f"{cell}: is {status} without a reason"
        if status == Release.RELEASED and not (expected.released and not expected.fails):
            yield f"{cell}: was released"
        if expected.fails and status not in (Release.FAILED, Release.INFEASIBLE):
            yield f"{cell}: is {status}, and must fail"
        if expected.fails and status == Release.FAILED and expected.fails not in reason:
            yield f"{cell}: failed for another reason: {reason}"
        if not expected.fails and expected.released and status == Release.FAILED:
            yield f"{cell}: {reason}"


def _wrong_figures(build: Build, rows: Rows) -> Iterator[str]:
    """Released programs, asked again in one process without the workflow, are as right as their packages say."""
    runtimes = discover().runtimes
    evaluation = {name: layout.prepare(model.dataset)["evaluation"] for name, model in MODELS.items()}
    plan = json.loads((build.folder / layout.plan()["plan"]).read_text("utf-8"))
    cells = {(cell["model"], cell["target"], cell["scheme"]): cell for cell in plan["cells"]}
    toolchains: dict[str, list[list[Any]]] = {}
    for (model, target, scheme), row in rows.items():
        record = build.folder / layout.package(model, target, scheme)["record"]
        if row["status"] != Release.RELEASED:
            if list(record.parent.glob("*.efpkg")) and row["status"] != Release.FAILED:
                yield f"{model}/{target}/{scheme}: is {row['status']} and has a package"
            continue
        spec = yaml.safe_load((build.folder / f"config/targets/{target}.yaml").read_text("utf-8"))
        runtime = runtimes[spec["runtime"]]
        if runtime.runs != "program":
            continue
        cell = cells[model, target, scheme]
        made = layout.compile(model, cell["runtime"], cell["platform"], scheme)
        compiled = files.read_as(Program, build.folder / made["info"])
        binding = to_json(compiled.ladder.binding)
        case = [f"{model}/{target}/{scheme}", str(runtime.backend), made["program"], binding, evaluation[model]]
        toolchains.setdefault(runtime.toolchain, []).append(case)
    for toolchain, cases in toolchains.items():
        jobs, result = build.folder / "recheck.json", build.folder / "rechecked.json"
        jobs.write_text(json.dumps([str(CHECKOUT / "src"), cases]), "utf-8")
        python = CHECKOUT / layout.toolchain(toolchain)["environment"] / "bin/python"
        command = [str(python), str(Path(__file__).with_name("recheck.py")), str(jobs), str(result)]
        subprocess.run(command, cwd=build.folder, check=True)
        answered = json.loads(result.read_text("utf-8"))
        print(f"{len(answered)} released programs asked again in toolchain {toolchain}")
        for variant, accuracy in answered.items():
            said = float(rows[tuple(variant.split("/"))]["accuracy"])
            if abs(said - accuracy) > 1e-9:
                yield f"{variant}: its package says {said:.4%}, it answers {accuracy:.4%}"


def _wrong_retries(said: str, rows: Rows) -> Iterator[str]:
    """Of the variants, a second run makes the packages that are missing, and no others."""
    jobs = re.findall(r"^rule package:$.*?^    wildcards: (.*?)$", said, re.MULTILINE | re.DOTALL)
    pending = {tuple(part.partition("=")[2] for part in wildcards.split(", ")) for wildcards in jobs}
    failed = {key for key, row in rows.items() if row["status"] == Release.FAILED}
    yield from (f"{'/'.join(key)}: failed, and is not tried again" for key in sorted(failed - pending))
    yield from (f"{'/'.join(key)}: did not fail, and is made again" for key in sorted(pending - failed))

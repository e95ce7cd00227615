"""A real search: killed in the middle, gone on with, and everything that it made is ordinary variants."""

from __future__ import annotations

import contextlib
import fcntl
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.workflow.conftest import Project

from edgeflow.tracking.provenance import output_of
from edgeflow.types.verdicts import Release

pytestmark = [pytest.mark.workflow, pytest.mark.toolchain, pytest.mark.xdist_group("workflow")]

VARIANT = "tiny_a/linux_x86_ort"
STUDY = "results/search/tiny_a--linux_x86_ort"
ARGUMENTS = ("search", "--model", "tiny_a", "--target", "linux_x86_ort", "--trials", "4", "--timeout", "5", "min")
SPACE = [
    {"mode": "float", "weights": ["float32", "float16"], "activations": ["float32", "float16"]},
    {"mode": "dynamic", "weights": "int8", "activations": "int8", "per_channel": [True, False]},
    {
        **{"mode": "static", "weights": "int8", "activations": "int8", "per_channel": [True, False]},
        "calibration": {"samples": [1, 32, 128]},
    },
]


@pytest.fixture
def searchable(fresh: Callable[..., Project]) -> Project:
    """A project with three schemes and a space in which nothing is trained."""
    project = fresh(targets=["linux_x86_ort"], search={"space": SPACE})
    for name in ("fp16", "int16x8"):
        (project.folder / f"config/schemes/{name}.yaml").unlink()
    return project


def jobs(project: Project) -> Mapping[str, int]:
    """The jobs of which Snakemake knows that they ended, and when they did."""
    incomplete = project.folder / ".snakemake/incomplete"
    outputs = [Path(output_of(p.relative_to(incomplete).as_posix())) for p in incomplete.rglob("*") if p.is_file()]
    running = {str(Path("results/jobs", *output.parent.parts[1:])) for output in outputs}
    ended = {p.parent: p.stat().st_mtime_ns for p in (project.folder / "results/jobs").rglob("job.json")}
    times = {str(folder.relative_to(project.folder)): time for folder, time in ended.items()}
    return {name: time for name, time in times.items() if name not in running}


def record(project: Project) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((project.folder / STUDY / "search.json").read_text())
    return content


def kill_after_the_first_package(project: Project) -> None:
    """Start a search and kill it, and nothing else, when it is in the middle of building."""
    with (project.folder / "said.txt").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "edgeflow", *ARGUMENTS],
            cwd=project.folder,
            env=project.environment,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    while not list((project.folder / "results/package" / VARIANT).glob("s_*/package.json")):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.01)
            pytest.fail("ended before it built anything:\n" + (project.folder / "said.txt").read_text())
    process.send_signal(signal.SIGKILL)
    process.wait()
    with (project.folder / ".snakemake/edgeflow.alive").open() as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)  # its Snakemake ends with it


def test_a_killed_search_goes_on_and_computes_nothing_twice(searchable: Project) -> None:
    kill_after_the_first_package(searchable)
    before = jobs(searchable)
    assert len(before) > 15
    assert not (searchable.folder / STUDY / "search.json").exists()
    done = searchable.run(*ARGUMENTS, module="edgeflow")
    after = jobs(searchable)
    assert {name: after[name] for name in before} == before
    searched = record(searchable)
    states = [trial["state"] for trial in searched["trials"] if trial["params"] and "same as" not in trial]
    assert "fail" in states  # what the kill cut off
    tried = [trial["tried"] for trial in searched["trials"] if "tried" in trial]
    own = [t["scheme"] for t in tried if t["hand_written"]]
    assert own[:3] == ["fp32", "int8_dynamic", "int8_static"]
    built = {t["scheme"] for t in tried if not t["hand_written"] and t["ending"] != "infeasible"}
    assert len(built) == 4
    assert searched["ended"] == "4 schemes were tried"
    for scheme in built:
        path = searchable.folder / "results/package" / VARIANT / scheme / "package.json"
        pruned = next(t for t in tried if t["scheme"] == scheme)["ending"] == "pruned"
        assert path.exists() != pruned
        assert pruned or json.loads(path.read_text())["status"] in set(Release)
    assert done.stdout.strip().endswith(searched["conclusion"]["sentence"])
    assert set(searched["conclusion"]["front"]) <= {t["scheme"] for t in tried}

    again = searchable.run(*ARGUMENTS, module="edgeflow")
    assert jobs(searchable) == after
    assert record(searchable)["trials"] == searched["trials"]
    assert again.stdout.count("hand-written") > 0

    # what was searched is an ordinary matrix, of which only the report is missing; the project's own is as it was
    pending = searchable.pending("--configfile", f"{STUDY}/matrix.yaml")
    assert {rule for rule, _ in pending} <= {"all", "plan", "report"} | ({"compile"} if pending else set())
    assert {rule for rule, _ in searchable.pending()} == {"all", "plan", "report"}


def break_quantization(project: Project, condition: str) -> None:
    source = project.folder / "src/edgeflow/runtimes/onnxruntime.py"
    text = source.read_text()
    assert text.count("    if job.calibration is None:\n") == 1
    broken = f"    if {condition}:\n        raise StageError('broken on purpose')\n"
    source.write_text(text.replace("    if job.calibration is None:\n", f"{broken}    if job.calibration is None:\n"))


def test_a_scheme_that_fails_to_build_ends_its_trial_only(searchable: Project) -> None:
    config = searchable.folder / "config/config.yaml"
    content = yaml.safe_load(config.read_text())
    content["search"]["space"] = [SPACE[1], {**SPACE[2], "per_channel": False, "calibration": {"samples": 1}}]
    config.write_text(yaml.safe_dump(content))
    break_quantization(searchable, "not job.scheme.per_channel")
    searchable.run(*ARGUMENTS, module="edgeflow")
    searched = record(searchable)
    tried = {t["tried"]["words"]: t["tried"] for t in searched["trials"] if "tried" in t}
    failed = tried["int8 static, per tensor, calibration samples 1"]
    assert failed["ending"] == "failed"
    log = f"results/logs/optimize/tiny_a/onnx/onnxruntime-x86/{failed['scheme']}.log"
    assert failed["reason"] == f"optimize: StageError: broken on purpose (see {log})"
    assert tried["int8 dynamic, per tensor"]["ending"] in ("measured", "pruned")
    assert searched["ended"] == "every scheme of the space was tried"


def test_the_package_of_an_earlier_build_hides_no_failure(copy: Project) -> None:
    for name in ("fp16", "int16x8"):
        (copy.folder / f"config/schemes/{name}.yaml").unlink()
    break_quantization(copy, "job.calibration is not None")
    with (copy.folder / "config/config.yaml").open("a") as config:
        config.write(yaml.safe_dump({"search": {"space": [{**SPACE[1], "per_channel": False}]}}))
    copy.run(*ARGUMENTS, module="edgeflow")
    assert (copy.folder / "results/package" / VARIANT / "int8_static/package.json").exists()
    tried = {t["tried"]["scheme"]: t["tried"] for t in record(copy)["trials"] if "tried" in t}
    assert tried["int8_static"]["ending"] == "failed"
    assert tried["int8_static"]["reason"].startswith("optimize: StageError: broken on purpose (see ")
    assert tried["int8_dynamic"]["ending"] == "measured"


def test_the_scheme_that_is_written_is_one_of_the_project(searchable: Project) -> None:
    """Calibrated int8 is smaller than float32 and than int8 with ranges conclusion at run time, the only others."""
    model = searchable.folder / "config/models/tiny_a.yaml"
    model.write_text(model.read_text().replace("channels: 8", "channels: 32"))
    (searchable.folder / "config/schemes/int8_static.yaml").unlink()
    config = searchable.folder / "config/config.yaml"
    content = yaml.safe_load(config.read_text())
    content |= {"schemes": ["fp32"], "search": {"space": [SPACE[2]], "objective": "size_bytes"}}
    config.write_text(yaml.safe_dump(content))
    limits = ("--budget", "accuracy_drop=90%", "--budget", "latency_ratio_fp32=100")
    done = searchable.run(*ARGUMENTS, *limits, "--write", "found", module="edgeflow")
    conclusion = record(searchable)["conclusion"]
    assert conclusion["better"]
    assert conclusion["sentence"].startswith(f"{conclusion['found']} (int8 static, per tensor, calibration samples ")
    assert " % in size: " in conclusion["sentence"]
    written = yaml.safe_load((searchable.folder / "config/schemes/found.yaml").read_text())
    made = yaml.safe_load((searchable.folder / STUDY / f"schemes/{conclusion['found']}.yaml").read_text())
    assert written["description"].endswith(
        f"found by edgeflow search for tiny_a on linux_x86_ort ({conclusion['found']})"
    )
    assert {**written, "description": ""} == {**made, "description": ""}
    assert "Wrote config/schemes/found.yaml" in done.stdout
    assert '"found"' in searchable.run("plan", "--json", "--config", "schemes=[fp32,found]", module="edgeflow").stdout

"""A run redoes what an edit touches, and nothing else."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.workflow.conftest import SCHEMES, TARGETS, Project

from edgeflow.runners import identity
from edgeflow.runners.tensors import Split
from edgeflow.wiring import IDENTITY

pytestmark = [pytest.mark.workflow, pytest.mark.toolchain, pytest.mark.xdist_group("workflow")]

AFTER_JUDGE = {"judge", "package", "report"}
VARIANTS = {f"{m}/{t}/{s}" for m in ("tiny_a", "tiny_b") for t in TARGETS for s in SCHEMES}


def rules(pending: set[tuple[str, str]]) -> set[str]:
    return {rule for rule, _ in pending} - {"all"}


def variants(pending: set[tuple[str, str]], rule: str) -> set[str]:
    return {keys for name, keys in pending if name == rule}


def test_a_finished_run_has_nothing_to_do(built: Project) -> None:
    assert built.pending() == set()


def test_touching_every_file_runs_nothing(copy: Project) -> None:
    now = time.time() + 10
    for path in sorted(copy.folder.rglob("*")):
        # the environments are shared with other tests, Snakemake's own records are not inputs
        if path.is_file() and not {".toolchains", ".snakemake"} & set(path.relative_to(copy.folder).parts[:1]):
            os.utime(path, (now, now))
    assert copy.pending() == set()


def git(folder: Path, *arguments: str) -> None:
    """Run git without the user's settings."""
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(["git", *identity, *arguments], cwd=folder, env=environment, check=True, capture_output=True)


def test_checking_out_another_commit_and_back_runs_nothing(copy: Project, project: Path) -> None:
    shutil.copy(project / ".gitignore", copy.folder)  # results, Snakemake's records and the toolchains stay
    git(copy.folder, "init", "--initial-branch=first")
    git(copy.folder, "add", "--all")
    git(copy.folder, "commit", "--message=first")
    edited = ["config/targets/linux_x86_ort.yaml", "config/schemes/int8_static.yaml", "src/edgeflow/judge.py"]
    for name in edited:
        path = copy.folder / name
        changed = path.read_text().replace("max: 1 %", "max: 2 %").replace("128", "64")
        path.write_text(changed + ("\nEDIT = 1\n" if path.suffix == ".py" else ""))
    git(copy.folder, "checkout", "-b", "second")
    git(copy.folder, "commit", "--all", "--message=second")
    assert {"optimize", "judge"} <= rules(copy.pending())
    before = {name: (copy.folder / name).stat().st_mtime_ns for name in edited}
    git(copy.folder, "checkout", "first")
    assert all((copy.folder / name).stat().st_mtime_ns > before[name] for name in edited)
    assert copy.pending() == set()


def test_deleting_an_optimized_model_rebuilds_its_descendants_only(copy: Project) -> None:
    (copy.folder / "results/optimize/tiny_a/onnx/onnxruntime-x86/int8_static/model.onnx").unlink()
    pending = copy.pending()
    assert variants(pending, "optimize") == {"tiny_a/onnx/onnxruntime-x86/int8_static"}
    assert variants(pending, "compile") == {"tiny_a/onnxruntime/x86/int8_static"}
    for rule in ("measure", "judge", "package"):
        assert variants(pending, rule) == {"tiny_a/linux_x86_ort/int8_static"}
    assert rules(pending) == {"optimize", "compile", "measure", "judge", "package", "report"}
    copy.run()
    assert copy.pending() == set()


def test_editing_the_judge_runs_judge_and_later_only(copy: Project) -> None:
    judge = copy.folder / "src/edgeflow/judge.py"
    judge.write_text(judge.read_text() + "\n# a comment\n")
    assert copy.pending() == set()
    judge.write_text(judge.read_text() + "\nEDIT = 1\n")
    pending = copy.pending()
    assert rules(pending) == AFTER_JUDGE
    assert variants(pending, "judge") == VARIANTS


def test_editing_a_runtime_rebuilds_what_it_makes(copy: Project) -> None:
    plugin = copy.folder / "src/edgeflow/runtimes/onnxruntime.py"
    plugin.write_text(plugin.read_text() + "\nEDIT = 1\n")
    pending = copy.pending()
    assert not {"train", "convert"} & set(rules(pending))
    assert {keys.split("/")[1] for keys in variants(pending, "compile")} == {"onnxruntime"}


def test_editing_a_converter_converts_again(copy: Project) -> None:
    plugin = copy.folder / "src/edgeflow/converters/torch_to_onnx.py"
    plugin.write_text(plugin.read_text() + "\nEDIT = 1\n")
    pending = copy.pending()
    assert "train" not in rules(pending)
    assert {keys.split("/")[-1] for keys in variants(pending, "convert")} == {"onnx"}


def test_a_changed_budget_judges_and_reports_only(copy: Project) -> None:
    target = copy.folder / "config/targets/linux_x86_ort.yaml"
    text = target.read_text()
    assert "max: 1 %" in text
    target.write_text(text.replace("max: 1 %", "max: 2 %", 1))
    pending = copy.pending()
    assert rules(pending) == AFTER_JUDGE
    assert variants(pending, "judge") == {v for v in VARIANTS if "/linux_x86_ort/" in v}


def test_what_another_machine_timed_is_measured_again_and_nothing_else(
    copy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also a node of a cluster: it is no device of the machine that started the run."""
    monkeypatch.setenv(IDENTITY, quote(json.dumps({**identity.here(), "governor": "performance"})))
    pending = copy.pending()
    assert rules(pending) == {"measure", *AFTER_JUDGE}
    assert variants(pending, "measure") == VARIANTS
    verdict = "results/judge/tiny_a/linux_x86_ort/int8_static/verdict.json"
    copy.run(verdict)
    said = f"not measured on this_host: CPU governor {identity.here()['governor']!r}, not 'performance'"
    checks = {check["metric"]: check for check in json.loads((copy.folder / verdict).read_text())["checks"]}
    assert (checks["latency_p90_s"]["evidence"], checks["latency_p90_s"]["status"]) == ("host", "unmeasured")
    assert checks["latency_p90_s"]["reason"].endswith(f" is host evidence; its budget demands device; {said}")


def test_a_pinned_device_is_one_machine_whoever_asks(copy: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    device = copy.folder / "config/devices/this_host.yaml"
    printed = copy.run("device", "identity", module="edgeflow").stdout
    device.write_text(device.read_text() + printed)
    wanted = "results/measure/tiny_a/linux_x86_ort/fp32/measurement.json"
    copy.run(wanted)  # the file's parts are those that this machine has: a figure of the device
    figures = json.loads((copy.folder / wanted).read_text())["measurements"]
    assert {f["device"] for f in figures} == {f"this_host@{identity.short(identity.here())}"}
    monkeypatch.setenv(IDENTITY, quote(json.dumps({**identity.here(), "machine_id": "f" * 32})))
    assert copy.pending(wanted) == set()  # nor is it measured again where it was brought to
    device.write_text(device.read_text().replace(identity.here()["machine_id"], "0" * 32))
    assert copy.pending(wanted) == {("measure", "tiny_a/linux_x86_ort/fp32")}
    copy.run(wanted)
    figures = json.loads((copy.folder / wanted).read_text())["measurements"]
    assert {f["evidence"] for f in figures} == {"host"}
    assert "this_host is another machine: machine" in copy.run("plan", module="edgeflow").stdout


def test_what_the_compiler_does_not_see_of_a_target_compiles_nothing(copy: Project) -> None:
    target = copy.folder / "config/targets/linux_x86_litert.yaml"
    target.write_text(target.read_text() + "\nram_bytes: 1 GiB\nflash_bytes: 1 GiB\nclock_hz: 1 GHz\n")
    pending = copy.pending()
    assert rules(pending) == {"measure", "judge", "package", "report"}
    assert variants(pending, "measure") == {v for v in VARIANTS if "/linux_x86_litert/" in v}


def test_a_target_that_has_no_room_is_infeasible_after_it_was_measured(copy: Project) -> None:
    target = copy.folder / "config/targets/linux_x86_litert.yaml"
    target.write_text(target.read_text() + "\nflash_bytes: 1 KiB\n")
    package = "results/package/tiny_a/linux_x86_litert/int8_static/package.json"
    copy.run(package)
    record = json.loads((copy.folder / package).read_text())
    assert record["status"] == "infeasible"
    assert re.fullmatch(r"the program takes [\d.]+ KiB of flash, linux_x86_litert has 1 KiB", record["reasons"][0])
    copy.run()
    with (copy.folder / "results/summary.csv").open(newline="") as stream:
        rows = {(r["model"], r["target"], r["scheme"]): r for r in csv.DictReader(stream)}
    assert rows["tiny_a", "linux_x86_litert", "int8_static"]["status"] == "infeasible"
    assert rows["tiny_a", "linux_x86_litert", "int8_static"]["reason"] == record["reasons"][0]


def test_one_byte_of_calibration_rebuilds_the_static_variants_of_that_model(copy: Project) -> None:
    path = copy.folder / "results/prepare/digits_1x49x10/calibration.safetensors"
    content = bytearray(path.read_bytes())
    x = Split(path).stored("input")
    at = bytes(content).index(x[5].tobytes()) + 2  # a low mantissa byte of one sample
    content[at] ^= 1
    path.write_bytes(bytes(content))
    pending = copy.pending()
    static = {v for v in VARIANTS if v.startswith("tiny_a/") and v.endswith("/int8_static")}
    assert variants(pending, "compile") == {
        f"tiny_a/{platform}/int8_static" for platform in ("onnxruntime/x86", "litert/any")
    }
    for rule in ("measure", "judge", "package"):
        assert variants(pending, rule) == static
    assert {keys.split("/")[3] for keys in variants(pending, "optimize")} == {"int8_static"}
    assert rules(pending) == {"optimize", "compile", "measure", "judge", "package", "report"}


def test_a_toolchain_is_made_again_when_its_requirements_change(copy: Project) -> None:
    lock: Path = copy.folder / "envs/tiny.txt"
    lock.write_text("# nothing yet\n")
    stamp = ".toolchains/tiny.json"
    copy.run(stamp)
    assert (copy.folder / ".toolchains/tiny/bin/python").exists()
    lock.write_text("# still nothing\n")
    assert copy.pending(stamp) == set()
    lock.write_text("six==1.17.0\n")
    assert copy.pending(stamp) == {("toolchain", "tiny")}
    lock.write_text("# nothing again\n")
    assert copy.pending(stamp) == set()
    lock.with_suffix(".user.txt").write_text("six==1.17.0\n")  # what the user's own code needs
    assert copy.pending(stamp) == {("toolchain", "tiny")}


def test_a_comment_in_a_lock_runs_nothing_and_a_new_version_runs_its_stages(copy: Project) -> None:
    lock: Path = copy.folder / "envs/edge.txt"
    lines = lock.read_text()
    lock.write_text("# pinned\n" + lines)
    assert copy.pending() == set()
    lock.write_text(lines.replace("tqdm==", "tqdm==0.0."))
    pending = copy.pending()
    assert {"optimize", "compile", "measure"} <= rules(pending)
    assert not {"prepare", "train", "convert"} & rules(pending)

"""Whole runs as a user has them: one package, overrides, a lying converter, Ctrl-C, kill -9."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tests.rights import heed_modes
from tests.workflow.conftest import SCHEMES, TARGETS, Project

from edgeflow import files
from edgeflow.types.programs import Program
from edgeflow.types.verdicts import Release

pytestmark = [pytest.mark.workflow, pytest.mark.toolchain, pytest.mark.xdist_group("workflow")]


def test_every_cell_ends_with_a_package_record(built: Project) -> None:
    for model in ("tiny_a", "tiny_b"):
        for target in TARGETS:
            for scheme in SCHEMES:
                folder = built.folder / "results/package" / model / target / scheme
                record = json.loads((folder / "package.json").read_text())
                archives = list(folder.glob("*.efpkg"))
                assert record["status"] in set(Release)
                assert (len(archives) == 1) == (record["status"] == "released")
                assert record["reasons"] or record["status"] == "released"


def test_the_ladder_has_every_stage_on_the_whole_evaluation_split(built: Project) -> None:
    path = built.folder / "results/compile/tiny_a/litert/any/int8_static/program.json"
    rungs = files.read_as(Program, path).ladder.rungs
    assert [r.stage for r in rungs] == ["train", "convert", "optimize", "compile"]
    # what changes nothing is proved on golden inputs; the others ask every sample
    assert [(r.n, r.value is None) for r in rungs] == [(900, False), (0, True), (900, False), (900, False)]
    assert rungs[1].tolerance is not None
    assert rungs[2].tolerance is None
    assert rungs[2].golden_max_abs is not None
    assert rungs[2].golden_max_abs > 0


def test_one_package_builds_only_what_it_needs(fresh: Callable[..., Project]) -> None:
    project = fresh()
    pending = project.pending("results/package/tiny_a/linux_x86_ort/int8_static/package.json")
    keys = {(rule, keys) for rule, keys in pending if rule in ("compile", "measure", "judge")}
    assert ("judge", "tiny_a/linux_x86_ort/int8_static") in keys
    assert not [k for k in keys if "litert" in k[1]]
    # the fp32 program is timed beside it, but not measured on its own account
    assert ("compile", "tiny_a/onnxruntime/any/fp32") in keys
    assert ("measure", "tiny_a/linux_x86_ort/fp32") not in keys


def test_targets_that_get_the_same_bytes_compile_once(fresh: Callable[..., Project]) -> None:
    project = fresh(targets=["linux_x86_litert", "android_arm64_litert", "linux_x86_ort", "ethos_u55_128"])
    target = yaml.safe_load((project.folder / "config/targets/linux_x86_ort.yaml").read_text())
    (project.folder / "config/targets/linux_arm64_ort.yaml").write_text(yaml.safe_dump({**target, "arch": "aarch64"}))
    targets = "targets=[linux_x86_litert,android_arm64_litert,linux_x86_ort,linux_arm64_ort,ethos_u55_128]"
    pending = project.pending("--config", targets)
    vela = "ethos_u/ethos-u55-128-high_end_embedded-shared_sram-2097152"
    programs = [f"litert/any/{scheme}" for scheme in SCHEMES]
    programs += ["onnxruntime/any/fp32", "onnxruntime/any/int8_dynamic"]
    programs += ["onnxruntime/x86/int8_static", "onnxruntime/arm/int8_static"]
    # vela takes the program of TFLite Micro, for which no target asks
    programs += ["tflite_micro/any/int8_static", f"{vela}/int8_static"]
    assert {keys for rule, keys in pending if rule == "compile"} == {f"tiny_a/{program}" for program in programs}
    assert len([rule for rule, _ in pending if rule == "measure"]) == 4 * 3 + 1


@pytest.mark.parametrize("cores", [1, (os.cpu_count() or 1) + 5])
def test_nothing_runs_beside_what_is_timed_here(fresh: Callable[..., Project], cores: int) -> None:
    project = fresh(targets=["linux_x86_ort", "cortex_m4_tflm"], schemes=["int8_static"])
    threads = {}
    for job in re.split(r"\n(?=(?:local)?rule \w+:)", project.run("-n", "--cores", str(cores)).stdout):
        if job.startswith("rule measure:") and (measured := re.search(r"target=(\w+)", job)):
            given = re.search(r"threads: (\d+)", job)
            threads[measured[1]] = int(given[1]) if given else 1  # of one, Snakemake says nothing
    assert threads == {"linux_x86_ort": cores, "cortex_m4_tflm": 1}


def test_config_overrides_choose_the_matrix(fresh: Callable[..., Project], tmp_path: Path) -> None:
    project = fresh()
    pending = project.pending("--config", "schemes=[fp32]", "targets=[linux_x86_ort]")
    assert {keys for rule, keys in pending if rule == "judge"} == {"tiny_a/linux_x86_ort/fp32"}
    override = tmp_path / "more.yaml"
    override.write_text(yaml.safe_dump({"schemes": ["int8_dynamic"], "targets": ["linux_x86_litert"]}))
    pending = project.pending("--configfile", str(override))
    assert {keys for rule, keys in pending if rule == "judge"} == {"tiny_a/linux_x86_litert/int8_dynamic"}


def test_a_converter_that_lies_is_caught(fresh: Callable[..., Project]) -> None:
    project = fresh(targets=["linux_x86_ort"], schemes=["fp32"], plugins=["liar.py"])
    shutil.copy(Path(__file__).with_name("liar.py"), project.folder / "liar.py")
    done = project.run(check=False)
    assert done.returncode != 0
    log = (project.folder / "results/logs/convert/tiny_a/base/onnx.log").read_text()
    assert "DistanceError: convert:" in log
    assert "does not match the stage before it" in log
    assert not list((project.folder / "results/convert/tiny_a/base").rglob("*.onnx"))


def _start(project: Project) -> subprocess.Popen[bytes]:
    with (project.folder / "said.txt").open("wb") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "snakemake", "--cores", "2"],
            cwd=project.folder,
            env=project.environment,
            stdout=said,
            stderr=said,
            start_new_session=True,
            # as in a terminal: whoever starts the tests in the background makes them and their children ignore SIGINT
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - no threads
        )


def _until_training(process: subprocess.Popen[bytes], project: Project) -> None:
    """Return when the file that a training writes is there but not whole."""
    folder = project.folder / "results/train/tiny_a/base"
    while not list(folder.glob(".checkpoint.*.safetensors")):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.01)
            pytest.fail("ended before a training began:\n" + (project.folder / "said.txt").read_text())


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_is_completed_by_the_next(fresh: Callable[..., Project], signal_number: int) -> None:
    project = fresh(targets=["linux_x86_ort"], schemes=["fp32"])
    process = _start(project)
    _until_training(process, project)
    os.killpg(process.pid, signal_number)  # the group this test started: Snakemake and its jobs, as Ctrl-C does
    process.wait()
    assert process.returncode != 0
    said = (project.folder / "said.txt").read_text()
    assert ("Interrupted: what was stopped has not failed" in said) == (signal_number == signal.SIGINT)
    assert "cells failed" not in said
    assert not (project.folder / "results/train/tiny_a/base/checkpoint.safetensors").exists()
    project.run()
    assert (project.folder / "results/package/tiny_a/linux_x86_ort/fp32/package.json").is_file()
    assert project.pending() == set()
    leftovers = [p for p in (project.folder / "results").rglob(".*") if p.name != ".snakemake_timestamp"]
    assert leftovers == []


def test_kill_of_snakemake_alone_leaves_no_half_written_file(fresh: Callable[..., Project]) -> None:
    project = fresh(targets=["linux_x86_ort"], schemes=["fp32"])
    process = _start(project)
    _until_training(process, project)
    process.kill()
    process.wait()
    project.run()
    assert project.pending() == set()


def test_a_target_that_is_not_in_the_matrix_says_so(built: Project) -> None:
    done = built.run("-n", "results/package/tiny_a/linux_x86_ort/int4/package.json", check=False)
    said = done.stdout + done.stderr
    assert "nothing that is built needs ('tiny_a', 'linux_x86_ort', 'int4'); 'edgeflow plan'" in said


def test_a_configuration_error_is_one_clear_message(fresh: Callable[..., Project]) -> None:
    project = fresh(schemes=["int8_statik"])
    done = project.run("-n", check=False)
    assert done.returncode != 0
    assert "int8_statik" in done.stdout + done.stderr
    assert "int8_static" in done.stdout + done.stderr


def test_warm_and_cold_runs_make_the_same_files(
    built: Project, fresh: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but what is measured: figures of time differ from run to run."""
    monkeypatch.setenv("EDGEFLOW_WARM", "0")
    cold = fresh(targets=["linux_x86_ort"], schemes=["fp32", "int8_static"])
    cold.run()
    made = [p.relative_to(cold.folder) for p in sorted(cold.folder.glob("results/*/**/*")) if p.is_file()]
    same = [path for path in made if path.parts[1] in ("prepare", "train", "convert", "optimize", "compile")]
    assert len(same) > 20
    assert [path for path in same if (cold.folder / path).read_bytes() != (built.folder / path).read_bytes()] == []
    for folder, how in ((cold.folder, "cold"), (built.folder, "warm")):
        records = [json.loads(path.read_text()) for path in folder.rglob("job.json")]
        assert len(records) > 10
        assert {record["worker"] for record in records} == {how}


def test_a_pruned_scheme_ships_its_zeros_and_is_held_against_its_control(fresh: Callable[..., Project]) -> None:
    project = fresh(targets=["linux_x86_ort"], schemes=["fp32", "pruned"])
    scheme = (project.folder / "config/schemes/fp32.yaml").read_text()
    steps = "steps:\n  - prune: { sparsity: 90 %, epochs: 2 }\n  - fine_tune: { epochs: 1 }\n"
    (project.folder / "config/schemes/pruned.yaml").write_text(scheme + steps)
    trained = {keys for rule, keys in project.pending() if rule == "train"}
    (recipe,) = (keys for keys in trained if "/prune_fine_tune_" in keys)
    (control,) = trained - {"tiny_a/base", recipe}
    assert control.startswith("tiny_a/fine_tune_fine_tune_")
    project.run()
    info = json.loads((project.folder / f"results/train/{recipe}/train.json").read_text())
    assert info["figures"]["zero_weights_ratio"] == pytest.approx(0.9, abs=1e-3)
    assert info["against_control"]["drop"]["n"] == 900
    programs = {
        name: (project.folder / f"results/compile/tiny_a/onnxruntime/any/{name}/program.bin").read_bytes()
        for name in ("fp32", "pruned")
    }
    weights = {name: len(program) - len(zlib.compress(program, 9)) for name, program in programs.items()}
    assert abs(len(programs["fp32"]) - len(programs["pruned"])) < 100  # zeros are stored like any other weight
    assert weights["pruned"] > weights["fp32"] + 0.7 * 4 * info["figures"]["parameters"]
    page = (project.folder / "results/report/index.html").read_text()
    assert "What training-time steps gained" in page
    assert project.pending() == set()


@pytest.mark.parametrize("known", ["all", "without a folder", "nothing"])
def test_a_dry_run_where_nothing_can_be_written_says_what_would_run(copy: Project, known: str) -> None:
    judge = copy.folder / "src/edgeflow/judge.py"
    judge.write_text(judge.read_text() + "\n\nEDITED = True\n")
    (copy.folder / "results/judge/tiny_a/linux_x86_ort/fp32/verdict.json").unlink()
    locks = copy.folder / ".snakemake/locks"  # which Snakemake makes where it is missing, and edgeflow may have removed
    locks.mkdir(exist_ok=True)
    if known == "without a folder":
        shutil.rmtree(locks)
    elif known == "nothing":
        shutil.rmtree(copy.folder / ".snakemake")
    for path in [copy.folder, *copy.folder.rglob("*")]:
        if not path.is_symlink():  # the toolchains are shared
            path.chmod(path.stat().st_mode & ~0o222)
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "--logger", "edgeflow"],
        cwd=copy.folder,
        env=copy.environment,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=heed_modes,
    )
    for path in [copy.folder, *copy.folder.rglob("*")]:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)  # so that it can be removed
    assert done.returncode == 0, done.stderr
    jobs = set(re.findall(r"\d+ (\w+)", done.stdout.rpartition("jobs to run: ")[2]))
    assert "judge" in jobs
    if known != "nothing":  # what Snakemake recorded is read all the same
        assert jobs == {"judge", "package", "report", "all"}

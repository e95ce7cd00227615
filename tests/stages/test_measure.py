"""measure on a real runner process with a tiny backend: one matrix as the program, and a clock that the test sets."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.answers import BINDING, read_answers, write_answers
from tests.splits import read_split, write_split

from edgeflow import files
from edgeflow.errors import DataError, MismatchError, StageError, UsageError
from edgeflow.judge import judge
from edgeflow.runners import harness, identity, tensors
from edgeflow.stages import command, ladder, measure, splits
from edgeflow.stages import judge as judge_stage
from edgeflow.stats import paired_difference, wilson
from edgeflow.types.figures import Budget, Direction, Evidence, Measurement
from edgeflow.types.ladder import Ladder, Rung
from edgeflow.types.plain import to_json
from edgeflow.types.programs import Measured, Operators, Program
from edgeflow.types.signatures import Signature, Tensor
from edgeflow.types.variants import Cell, Target
from edgeflow.types.verdicts import Release, Status, Verdict

SAMPLES, FEATURES, CLASSES = 300, 6, 3
MILLISECOND = 1_000_000  # ns

BACKEND = '''
"""A program is an .npz: weights float32[F, K], and what loading and one inference take on this backend's clock."""
import os
import signal
import sys
import time

import numpy as np

NOW = [0]
time.perf_counter_ns = lambda: NOW[0]


class Session:
    def __init__(self, program, threads):
        with open(program, "rb") as stream, np.load(stream) as content:
            self.weights, self.cost_ns, self.arena = (content[k] for k in ("weights", "cost_ns", "arena"))
        if self.weights.shape in ((0, 1), (0, 2)):
            os.kill(os.getpid(), signal.SIGSEGV if self.weights.shape[1] == 1 else signal.SIGKILL)
        if self.weights.shape == (0, 3):
            from harness import RefusedError
            raise RefusedError(f"{program}: MATMUL: no room")
        if self.weights.size == 0:
            sys.exit("kernel not found: MATMUL")
        NOW[0] += 5_000_000
        self.runs = 0

    def signature(self):
        features, classes = self.weights.shape
        tensors = [("x", features), ("y", classes)]
        given, answered = ({"name": n, "dtype": "float32", "shape": [1, size], "scale": None, "zero_point": None}
                           for n, size in tensors)
        return {"inputs": [given], "outputs": [answered]}

    def encode(self, feed):
        return feed["x"]

    def invoke(self, native):
        NOW[0] += int(self.cost_ns[self.runs % len(self.cost_ns)])
        self.runs += 1
        return native @ self.weights

    def decode(self, raw):
        return {"y": raw}

    def arena_bytes(self):
        return int(self.arena) or None

    def operators(self):
        return [{"operator": "MATMUL", "count": 1, "placement": "numpy"}]

    @staticmethod
    def versions():
        return {"numpy": np.__version__}
'''

PLUGIN = """
from pathlib import Path

from edgeflow.plugin import Runtime
from edgeflow.types.figures import Evidence

plugin = Runtime(
    id="tiny", description="tiny", format="npz", program_suffix="npz", toolchain="core",
    backend=Path(__file__).with_name("tiny_backend.py"), evidence=Evidence.{evidence}, times={times},
    supports=lambda scheme, target: None, compile=None, compile_tolerance=None, runs={runs!r},
)
"""

ESTIMATE = Measurement("accelerator_cycles", 1234.0, "count", Evidence.ESTIMATE, "compiler 1.0", "0" * 64, "simulated")


@dataclass(frozen=True)
class Setting:
    """A folder with everything that measure reads."""

    folder: Path
    spec: measure.Spec
    inputs: measure.Inputs
    outputs: measure.Outputs

    def run(self) -> Measured:
        measure.run(self.spec, self.inputs, self.outputs)
        return self.result()

    def result(self) -> Measured:
        return files.read_as(Measured, self.outputs.measurement)

    def figures(self) -> dict[str, Measurement]:
        return {m.metric: m for m in self.run().measurements}

    def edit(self, **changes: object) -> Setting:
        return replace(self, spec=replace(self.spec, **changes))

    def runtime(self, evidence: str = "HOST", times: bool = True, runs: str = "program") -> Setting:
        """The same with another runtime plugin; the file's name is its own, since plugins are loaded once."""
        path = self.folder / f"tiny_{evidence}_{times}_{runs}.py".lower()
        path.write_text(PLUGIN.format(evidence=evidence, times=times, runs=runs))
        if runs == "model":
            info = files.read_as(Program, self.inputs.info)
            rung = Rung("compile", "accuracy", 1.0, 1, None, None, 1.0, None, None, "", "", "tiny")
            files.write_json(self.inputs.info, replace(info, runs="model", ladder=Ladder((rung,), binding=BINDING)))
        self.answered("int8" if runs == "program" else "source")
        return self.edit(runtime=f"{path}:plugin")

    def compiled(self, name: str, weights: np.ndarray, cost_ns: list[int], arena: int = 0, scheme: str = "") -> Path:
        """Write a program and its program.json."""
        program = self.folder / f"{name}.bin"
        with files.atomic(program) as temporary, temporary.open("wb") as stream:
            np.savez(stream, weights=weights.astype(np.float32), cost_ns=np.array(cost_ns), arena=np.array(arena))
        info = Program(
            model="m",
            runtime="tiny",
            platform="any",
            scheme=scheme or name,
            infeasible="",
            sha256=files.sha256_file(program),
            size_bytes=program.stat().st_size,
            signature=Signature((Tensor("x", "float32", (1, FEATURES)),), ()),
            operators=(Operators("NPU_OP", 2, "npu"),),
            runs="program",
            estimates=(ESTIMATE,),
            tools={"compiler": "1.0"},
            ladder=Ladder((), binding=BINDING),
        )
        files.write_json(self.folder / f"{name}.json", info)
        return program

    def answered(self, name: str, executor: str = "tiny 1") -> None:
        """Say that the answers that are there are a program's, of when it was compiled."""
        if path := self.inputs.compiled_outputs:
            by = ladder.Asked.here(self.folder / f"{name}.bin", executor, self.inputs.evaluation)
            replace(ladder.Outputs.read(path), asked=by).write(path)

    def with_baseline(self, cost_ns: list[int]) -> Setting:
        program = self.compiled("fp32", WEIGHTS, cost_ns)
        inputs = replace(self.inputs, baseline=program, baseline_info=program.with_suffix(".json"))
        return replace(self, inputs=inputs).edit(without_baseline="")


WEIGHTS = np.random.default_rng(0).normal(size=(FEATURES, CLASSES))
BASELINE_ITSELF = "fp32 is what the others are compared with"


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    """A variant of one matrix; the trained model gets every label right, this program nearly so."""
    random = np.random.default_rng(1)
    x = random.normal(size=(SAMPLES, FEATURES)).astype(np.float32)
    answers = (x @ WEIGHTS).astype(np.float32)
    write_split(tmp_path / "evaluation.safetensors", x, answers.argmax(axis=1))
    write_answers(tmp_path / "reference.safetensors", answers[:2], answers)
    write_answers(tmp_path / "compiled_outputs.safetensors", answers[:2], answers)
    (tmp_path / "tiny_backend.py").write_text(BACKEND)
    paths = {name: tmp_path / f"{name}.safetensors" for name in ("reference", "compiled_outputs", "evaluation")}
    made = Setting(
        tmp_path,
        measure.Spec(
            model="m",
            target=Target("t", "tiny", identity.arch(), "cpu", threads=1),
            scheme="int8",
            task="edgeflow.tasks.classification:plugin",
            runtime="",
            device="bench-01",
            identity=identity.here(),
            without_baseline=BASELINE_ITSELF,
            max_runs=300,
            max_seconds=1000.0,
            enough={"runs": 300, "seconds": 1000.0},
        ),
        measure.Inputs(tmp_path / "int8.bin", tmp_path / "int8.json", source=tmp_path / "source.bin", **paths),
        measure.Outputs(tmp_path / "out" / "measurement.json"),
    )
    made.compiled("int8", np.round(WEIGHTS * 4) / 4, [2 * MILLISECOND])
    made.compiled("source", WEIGHTS, [9 * MILLISECOND])
    return made.runtime()


# --- what has no room ----------------------------------------------------------------------------------------------


def test_a_program_that_the_flash_cannot_hold_is_infeasible_and_not_run(setting: Setting) -> None:
    size = setting.inputs.program.stat().st_size
    setting.inputs.evaluation.unlink()  # running would fail
    target = replace(setting.spec.target, flash_bytes=size - 1)
    measured = setting.edit(target=target).run()
    assert measured.infeasible == f"the program takes {size} B of flash, t has {size - 1} B"
    assert (measured.measurements, measured.operators) == ((), ())


def test_a_program_that_just_fits_is_measured(setting: Setting) -> None:
    setting.compiled("int8", WEIGHTS, [MILLISECOND], arena=4096)
    size = setting.inputs.program.stat().st_size
    target = replace(setting.spec.target, flash_bytes=size, ram_bytes=4096)
    assert setting.edit(target=target).run().infeasible == ""


def test_an_arena_that_exceeds_the_ram_is_infeasible_with_both_figures(setting: Setting) -> None:
    setting.compiled("int8", WEIGHTS, [MILLISECOND], arena=24 * 1024)
    measured = setting.edit(target=replace(setting.spec.target, ram_bytes=500)).run()
    assert measured.infeasible == "needs 24 KiB of RAM, t has 500 B"
    assert measured.measurements == ()


def test_a_compilers_estimate_of_ram_counts_where_nothing_better_is_known(setting: Setting) -> None:
    runs_elsewhere = setting.runtime(times=False, runs="model")
    info = files.read_as(Program, setting.inputs.info)
    estimate = replace(ESTIMATE, metric="memory_peak_bytes", value=3000.0, unit="byte")
    files.write_json(setting.inputs.info, replace(info, estimates=(estimate,)))
    measured = runs_elsewhere.edit(target=replace(setting.spec.target, ram_bytes=2048)).run()
    assert measured.infeasible == "needs 2.93 KiB of RAM, t has 2 KiB"


def test_a_baseline_that_the_flash_cannot_hold_is_nothing_to_compare_with(setting: Setting) -> None:
    with_baseline = setting.with_baseline([4 * MILLISECOND])
    info = files.read_as(Program, setting.folder / "fp32.json")
    files.write_json(setting.folder / "fp32.json", replace(info, size_bytes=2**20))
    measured = with_baseline.edit(target=replace(setting.spec.target, flash_bytes=2**19)).run()
    assert measured.not_applicable == {
        "latency_ratio_fp32": "fp32 is infeasible on this target: the program takes 1 MiB of flash, t has 512 KiB"
    }


# --- samples that were not asked -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("by", "said"), [("int8", "this file"), ("source", "a model that it was made from")])
def test_what_was_answered_with_the_same_bits_before_need_not_be_asked_again(
    setting: Setting, by: str, said: str
) -> None:
    x = splits.opened(setting.inputs.evaluation).batch(0, SAMPLES)["input"]
    weights = (np.round(WEIGHTS * 4) / 4).astype(np.float32)
    answers = np.concatenate([row[None] @ weights for row in x])  # one at a time, as the runner asks
    write_answers(setting.inputs.compiled_outputs, answers[:2], answers)
    short = setting.edit(max_runs=100)
    in_full = short.figures()["accuracy"]
    assert (in_full.n, "asked" in in_full.method) == (SAMPLES, False)
    setting.answered(by, "numpy " + np.__version__)
    figure = short.figures()["accuracy"]
    assert (figure.value, figure.n) == (in_full.value, SAMPLES)
    assert f"; 100 of {SAMPLES} samples were asked, and all answered with the same bits as by {said}" in figure.method


def test_what_is_lost_is_not_hidden_by_holding_the_model_against_itself(setting: Setting) -> None:
    x, _ = read_split(setting.inputs.evaluation)
    weights = (np.round(WEIGHTS * 4) / 4).astype(np.float32)
    answers = np.concatenate([row[None] @ weights for row in x])
    answers[150:] = np.roll(answers[150:], 1, axis=1)  # the model itself answers otherwise, where nothing is timed
    for path in (setting.inputs.compiled_outputs, setting.inputs.reference):
        assert path is not None
        write_answers(path, answers[:2], answers)
        by = ladder.Asked.here(setting.folder / "source.bin", f"numpy {np.__version__}", setting.inputs.evaluation)
        replace(ladder.Outputs.read(path), asked=by).write(path)
    drop = setting.edit(max_runs=100).figures()["accuracy_drop"]
    assert (drop.value != 0.0, "asked" in drop.method) == (True, False)


def test_few_samples_prove_nothing_of_another_file(setting: Setting) -> None:
    setting.answered("source", "numpy " + np.__version__)
    short = setting.edit(max_runs=measure.ANOTHER_FILE["samples"] - 1)
    assert "asked" not in short.figures()["accuracy"].method


# --- the figures ---------------------------------------------------------------------------------------------------


def test_the_task_figures_are_those_of_the_programs_answers(setting: Setting) -> None:
    figures = setting.figures()
    x, y = read_split(setting.inputs.evaluation)
    answers = x @ (np.round(WEIGHTS * 4) / 4).astype(np.float32)
    right = int((answers.argmax(axis=1) == y).sum())
    assert 200 < right < SAMPLES  # the rounded matrix must differ, or this test shows nothing
    accuracy, drop = figures["accuracy"], figures["accuracy_drop"]
    assert (accuracy.value, accuracy.n, accuracy.interval) == (right / SAMPLES, SAMPLES, wilson(right, SAMPLES))
    assert drop.value == (SAMPLES - right) / SAMPLES
    assert drop.interval == paired_difference(SAMPLES - right, 0, SAMPLES)
    assert {k: drop.conditions[k] for k in ("lost", "gained", "n")} == {"lost": SAMPLES - right, "gained": 0, "n": 300}
    assert accuracy.unit == drop.unit == "ratio"


def test_times_are_those_of_the_runner(setting: Setting) -> None:
    # every tenth inference takes 7 ms instead of 2 ms
    setting.compiled("int8", WEIGHTS, [2 * MILLISECOND] * 9 + [7 * MILLISECOND])
    figures = setting.edit(max_runs=1000).figures()
    values = {metric: figures[metric].value for metric in measure.PERCENTILES}
    assert values == pytest.approx({"latency_p50_s": 0.002, "latency_p90_s": 0.002, "latency_p99_s": 0.007})
    p90 = figures["latency_p90_s"]
    assert p90.interval is not None
    assert (p90.interval.low, p90.interval.high) == pytest.approx((0.002, 0.007))
    assert (p90.n, p90.unit, p90.conditions["blocks"], p90.conditions["warmup_runs"]) == (1000, "second", 20, 20)
    first = figures["first_inference_s"]
    assert first.value == pytest.approx(0.007)  # 5 ms to load, 2 ms to run
    assert (first.n, first.interval) == (1, None)
    assert first.conditions["load_s"] == pytest.approx(0.005)


def test_every_figure_says_how_it_is_known(setting: Setting) -> None:
    for metric, figure in setting.figures().items():
        if metric in ("size_bytes", "accelerator_cycles"):
            continue
        assert figure.evidence == Evidence.DEVICE
        assert figure.device == f"bench-01@{identity.short(identity.here())}"
        assert figure.artifact_sha256 == files.sha256_file(setting.inputs.program)
        assert figure.tools == {"numpy": np.__version__}  # what executed: the compiler is not needed on a device
        assert figure.method
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", figure.time or "")
        assert figure.conditions["threads"] == 1
        assert {"load_average_start", "load_average_end", "machine"} <= set(figure.conditions)
        assert {part: figure.conditions.get(part, "") for part in identity.PARTS} == identity.here()
        assert "measured_at" not in figure.conditions


@pytest.mark.parametrize(("device", "evidence"), [("bench-01", Evidence.DEVICE), ("", Evidence.HOST)])
def test_the_size_is_that_of_the_file_that_ships(setting: Setting, device: str, evidence: Evidence) -> None:
    size = setting.edit(device=device).figures()["size_bytes"]
    assert (size.value, size.unit, size.evidence) == (setting.inputs.program.stat().st_size, "byte", evidence)
    assert size.artifact_sha256 == files.sha256_file(setting.inputs.program)


def test_what_the_compiler_says_is_passed_on_unchanged(setting: Setting) -> None:
    assert setting.figures()["accelerator_cycles"] == ESTIMATE


def test_operators_and_signature_are_of_the_program(setting: Setting) -> None:
    measured = setting.run()
    assert measured.operators == (Operators("MATMUL", 1, "numpy"),)
    assert measured.signature == files.read_as(Program, setting.inputs.info).signature
    assert (measured.model, measured.target, measured.scheme, measured.infeasible) == ("m", "t", "int8", "")


def test_a_program_that_answers_nonsense_is_measured_and_is_wrong(setting: Setting) -> None:
    setting.compiled("int8", np.full_like(WEIGHTS, np.nan), [MILLISECOND])
    figures = setting.figures()
    assert (figures["accuracy"].value, figures["accuracy_drop"].value) == (0.0, 1.0)


# --- what is not claimed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("runs", "claimed"), [(4, set()), (5, {"p50"}), (298, {"p50", "p90"}), (299, {"p50", "p90", "p99"})]
)
def test_a_percentile_of_too_few_runs_is_not_claimed(setting: Setting, runs: int, claimed: set[str]) -> None:
    figures = setting.edit(max_runs=runs).figures()
    assert {metric for metric in figures if metric in measure.PERCENTILES} == {f"latency_{p}_s" for p in claimed}
    assert {"accuracy", "first_inference_s"} <= set(figures)


def test_the_ratio_compares_neighbouring_blocks_with_the_baseline(setting: Setting) -> None:
    # this program takes 2 ms; the baseline slows down from 1 ms to 4 ms while it is measured
    compared = setting.with_baseline([MILLISECOND] * 175 + [4 * MILLISECOND] * 10_000)
    measured = compared.run()
    ratio = {m.metric: m for m in measured.measurements}["latency_ratio_fp32"]
    assert (ratio.value, ratio.n, ratio.unit) == (pytest.approx(1.25), 6, "ratio")
    assert ratio.interval is not None
    assert (ratio.interval.low, ratio.interval.high) == pytest.approx((0.5, 2.0))
    assert measured.not_applicable == {}


@pytest.mark.parametrize(("runs", "claimed"), [(200, False), (250, True)])
def test_a_ratio_of_too_few_blocks_is_not_claimed(setting: Setting, runs: int, claimed: bool) -> None:
    measured = setting.with_baseline([MILLISECOND]).edit(max_runs=runs).run()
    assert ("latency_ratio_fp32" in {m.metric for m in measured.measurements}) == claimed
    assert measured.not_applicable == {}


def test_the_baseline_is_not_compared_with_itself(setting: Setting) -> None:
    measured = setting.run()
    assert "latency_ratio_fp32" not in {m.metric for m in measured.measurements}
    assert measured.not_applicable == {"latency_ratio_fp32": BASELINE_ITSELF}


def test_nothing_is_compared_with_a_baseline_that_does_not_fit_the_target(setting: Setting) -> None:
    compared = setting.with_baseline([MILLISECOND])
    info = files.read_as(Program, compared.folder / "fp32.json")
    files.write_json(compared.folder / "fp32.json", replace(info, infeasible="needs 300 KiB, there are 256 KiB"))
    assert compared.run().not_applicable == {
        "latency_ratio_fp32": "fp32 is infeasible on this target: needs 300 KiB, there are 256 KiB"
    }


@pytest.mark.parametrize("changes", [{"device": ""}, {"target": Target("t", "tiny", "sparc", "cpu")}])
def test_without_a_device_of_the_target_the_evidence_is_the_runtimes(setting: Setting, changes: dict) -> None:
    figures = setting.edit(**changes).figures()
    for metric in ("accuracy", "accuracy_drop", "latency_p50_s", "first_inference_s", "memory_peak_bytes"):
        assert figures[metric].evidence == Evidence.HOST
        assert figures[metric].device == f"numpy {np.__version__} on {identity.arch()}"


def test_on_another_machine_than_the_device_the_evidence_is_the_runtimes_and_says_in_what_it_differs(
    setting: Setting,
) -> None:
    expected = {**identity.here(), "governor": "performance"}
    own = identity.here()["governor"]
    for figure in setting.edit(identity=expected).figures().values():
        if figure.metric not in (ESTIMATE.metric, "size_bytes"):
            assert (figure.evidence, figure.device) == (Evidence.HOST, f"numpy {np.__version__} on {identity.arch()}")
            assert (
                figure.conditions["elsewhere"] == f"not measured on bench-01: CPU governor {own!r}, not 'performance'"
            )
            assert figure.conditions["machine_id"] == identity.here()["machine_id"]  # that which ran it, all the same


def test_what_a_device_is_not_pinned_to_may_differ(setting: Setting) -> None:
    pinned = {"machine_id": identity.here()["machine_id"]}
    latency = setting.edit(identity=pinned).figures()["latency_p50_s"]
    assert (latency.evidence, "elsewhere" in latency.conditions) == (Evidence.DEVICE, False)


def test_a_mac_is_a_device_of_an_aarch64_target(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = setting.folder / "runners"  # as they are on a machine whose `uname -m` says arm64
    folder.mkdir()
    for module in (harness, identity, tensors):
        source = Path(module.__file__)
        (folder / source.name).write_bytes(source.read_bytes())
    with (folder / "identity.py").open("a") as stream:
        stream.write("\n\nplatform.machine = lambda: 'arm64'\n")
    monkeypatch.setattr(measure.harness, "__file__", str(folder / "harness.py"))
    latency = setting.edit(target=replace(setting.spec.target, arch="aarch64")).figures()["latency_p50_s"]
    assert latency.evidence == Evidence.DEVICE


def test_a_runtime_whose_times_mean_nothing_gives_none(setting: Setting) -> None:
    setting.compiled("int8", WEIGHTS, [MILLISECOND], arena=4096)
    figures = setting.with_baseline([MILLISECOND]).runtime("SIMULATOR", times=False).figures()
    assert set(figures) == {"accuracy", "accuracy_drop", "memory_peak_bytes", "size_bytes", "accelerator_cycles"}
    arena = figures["memory_peak_bytes"]
    assert (arena.value, arena.unit, arena.evidence) == (4096, "byte", Evidence.SIMULATOR)
    assert figures["accuracy"].evidence == Evidence.SIMULATOR  # an attached device is not what ran


def test_a_simulators_answers_are_those_it_gave_when_the_program_was_compiled(setting: Setting) -> None:
    _, y = read_split(setting.inputs.evaluation)
    wrong = np.eye(CLASSES, dtype=np.float32)[(y + 1) % CLASSES]
    write_answers(setting.inputs.compiled_outputs, wrong[:2], wrong)
    setting.compiled("int8", WEIGHTS, [MILLISECOND], arena=4096)
    assert setting.runtime("SIMULATOR", times=False).figures()["accuracy"].value == 0.0
    assert setting.runtime("HOST", times=True).figures()["accuracy"].value == 1.0


def test_answers_of_another_program_or_to_other_samples_are_refused(setting: Setting) -> None:
    simulated = setting.runtime("SIMULATOR", times=False)
    setting.compiled("int8", WEIGHTS, [MILLISECOND], arena=4096)
    with pytest.raises(MismatchError, match=r"does not have what .*int8.bin answers to .*; compile it again"):
        simulated.run()


@pytest.mark.parametrize(("name", "runtime"), [("source", {"runs": "model"}), ("compiled_outputs", {"times": False})])
def test_an_input_that_only_some_runtimes_need_is_missing(setting: Setting, name: str, runtime: dict[str, Any]) -> None:
    setting.compiled("int8", WEIGHTS, [MILLISECOND], arena=4096)
    without = replace(setting, inputs=replace(setting.inputs, **{name: None}))
    with pytest.raises(UsageError, match=f"--input {name}=PATH is missing for .*int8.bin"):
        without.runtime("SIMULATOR", **runtime).run()


def test_a_program_that_cannot_run_here_is_known_by_its_model_only(setting: Setting) -> None:
    setting.compiled("source", WEIGHTS, [MILLISECOND], arena=4096)  # of the model's arena the program knows nothing
    measured = setting.runtime("SIMULATOR", times=True, runs="model").run()
    figures = {m.metric: m for m in measured.measurements}
    assert set(figures) == {"accuracy", "accuracy_drop", "size_bytes", "accelerator_cycles"}
    accuracy = figures["accuracy"]
    assert (accuracy.value, accuracy.evidence) == (1.0, Evidence.HOST)  # the exact matrix ran, not the rounded one
    assert accuracy.artifact_sha256 == files.sha256_file(setting.inputs.source)
    assert accuracy.method.endswith("; ran the model that the program was compiled from")
    assert figures["size_bytes"].artifact_sha256 == files.sha256_file(setting.inputs.program)
    assert measured.operators == (Operators("NPU_OP", 2, "npu"),)


def test_a_model_says_nothing_of_what_was_compiled_and_never_executed(setting: Setting) -> None:
    setting.compiled("source", WEIGHTS, [MILLISECOND], arena=4096)
    elsewhere = setting.runtime("SIMULATOR", times=True, runs="model")
    info = files.read_as(Program, setting.inputs.info)
    files.write_json(
        setting.inputs.info, replace(info, ladder=Ladder((), binding=BINDING))
    )  # no program before it was executed either
    measured = elsewhere.run()
    figures = {m.metric: m for m in measured.measurements}
    assert {figures[name].evidence for name in ("accuracy", "accuracy_drop")} == {Evidence.ESTIMATE}
    assert figures["accuracy"].method.endswith("nothing here can execute what the compiler made of it")
    assert figures["size_bytes"].evidence == Evidence.HOST  # of the file itself
    budget = Budget("accuracy_drop", 0.5, "ratio", Direction.MAX, Evidence.HOST)
    cell = Cell(measured.model, measured.target, measured.scheme)
    verdict = judge(cell, [budget], measured.measurements, "", ("accuracy_drop",), {})
    assert verdict.release is Release.HELD


def test_an_infeasible_variant_has_no_figures_and_says_why(setting: Setting) -> None:
    info = files.read_as(Program, setting.inputs.info)
    setting.inputs.program.write_bytes(b"")
    files.write_json(setting.inputs.info, replace(info, infeasible="needs 300 KiB", sha256="", estimates=()))
    measured = setting.run()
    assert (measured.infeasible, measured.measurements, measured.operators) == ("needs 300 KiB", (), ())


# --- what is refused -----------------------------------------------------------------------------------------------


def _refused(setting: Setting, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        setting.run()
    assert not setting.outputs.measurement.exists()


def test_a_program_that_is_not_the_compiled_one_is_refused(setting: Setting) -> None:
    with setting.inputs.program.open("ab") as stream:
        stream.write(b"\0")
    _refused(setting, MismatchError, r"int8\.bin has SHA-256 .*, its program\.json says .*; compile the variant again")


def test_a_baseline_that_is_not_the_compiled_one_is_refused(setting: Setting) -> None:
    compared = setting.with_baseline([MILLISECOND])
    with (compared.folder / "fp32.bin").open("ab") as stream:
        stream.write(b"\0")
    _refused(compared, MismatchError, r"fp32\.bin has SHA-256")


def test_a_runner_that_fails_is_an_error_with_its_last_words(setting: Setting) -> None:
    setting.compiled("int8", np.zeros((0, 0)), [MILLISECOND])
    message = r"measure: m/t/int8: the runner ended with exit code 1 on .*int8\.bin: kernel not found: MATMUL"
    _refused(setting, StageError, message)


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        (np.zeros((0, 1)), "tiny: measuring m/t/int8 ends in a crash (SIGSEGV, signal 11)"),
        (np.zeros((0, 3)), "MATMUL: no room"),
    ],
)
def test_a_runner_that_crashes_or_refuses_is_infeasible(setting: Setting, weights: np.ndarray, reason: str) -> None:
    setting.compiled("int8", weights, [MILLISECOND])
    measured = setting.run()
    assert (measured.infeasible, measured.measurements) == (reason, ())


def test_a_runner_that_is_killed_is_an_error(setting: Setting) -> None:
    setting.compiled("int8", np.zeros((0, 2)), [MILLISECOND])
    _refused(setting, StageError, "measuring m/t/int8 was ended by SIGKILL, signal 9: is there too little memory")


def test_answers_of_another_shape_than_the_trained_models_are_refused(setting: Setting) -> None:
    setting.compiled("int8", WEIGHTS[:, :2], [MILLISECOND])
    _refused(setting, MismatchError, r"program answered logits \[300, 2\], the model itself logits \[300, 3\]")


def test_a_clock_that_stands_still_is_refused(setting: Setting) -> None:
    setting.compiled("int8", WEIGHTS, [0])
    _refused(setting, StageError, "its clock is too coarse")


# --- measure, then judge, as the command line does -----------------------------------------------------------------

BUDGETS = [
    {"metric": "accuracy_drop", "limit": 0.01, "unit": "ratio", "direction": "max", "evidence": "host"},
    {"metric": "latency_p99_s", "limit": 0.003, "unit": "second", "direction": "max", "evidence": "device"},
    {"metric": "latency_ratio_fp32", "limit": 1.0, "unit": "ratio", "direction": "max", "evidence": "host"},
]


def _judge(setting: Setting, train: Path | None = None, **changes: object) -> Path:
    names = {"model": "m", "target": "t", "scheme": "int8"}
    spec = {**names, "budgets": BUDGETS, "release_without": [], **changes}
    verdict = setting.folder / "verdict.json"
    inputs = [f"measurement={setting.outputs.measurement}", *([f"train={train}"] if train else [])]
    arguments = ["--input", *inputs, "--output", f"verdict={verdict}"]
    assert command.main(["judge", "--spec", json.dumps(spec), *arguments]) == 0
    return verdict


FIDELITY = {
    "budgets": [
        {"metric": "signal_to_noise_db", "limit": 10.0, "unit": "decibel", "direction": "min", "evidence": "host"},
        {"metric": "accuracy_drop", "limit": 0.01, "unit": "ratio", "direction": "max", "evidence": "host"},
    ],
    "task": ["signal_to_noise_db", "agreement"],
    "not_applicable": {"accuracy_drop": "it is of the task classification"},
}


def test_without_labels_the_distance_to_the_model_itself_is_measured(setting: Setting) -> None:
    x, _ = read_split(setting.inputs.evaluation)
    write_split(setting.inputs.evaluation, x)
    figures = setting.edit(task="edgeflow.tasks.fidelity:plugin").figures()
    noise = figures["signal_to_noise_db"]
    assert (noise.unit, noise.n, noise.evidence) == ("decibel", SAMPLES, Evidence.DEVICE)
    assert 10 < noise.value < 40
    assert noise.interval is not None
    assert noise.interval.low < noise.value < noise.interval.high
    assert figures["cosine_similarity"].unit == "ratio"
    assert 0.5 < figures["agreement"].value < 1  # the output is called logits
    assert not {"accuracy", "accuracy_drop"} & figures.keys()
    measured = setting.result()
    assert [*measured.missing] == ["exact_match"]
    assert (measured.declared, "inputs" in noise.conditions) == ("", False)
    assert files.read_as(Verdict, _judge(setting, **FIDELITY)).release == Release.RELEASED


def test_random_inputs_are_said_in_every_figure_that_depends_on_them(setting: Setting) -> None:
    x, _ = read_split(setting.inputs.evaluation)
    write_split(setting.inputs.evaluation, x, declared="random")
    figures = setting.edit(task="edgeflow.tasks.fidelity:plugin").figures()
    for metric in ("signal_to_noise_db", "cosine_similarity"):
        assert figures[metric].method == f"{metric} on declared random inputs"
        assert figures[metric].conditions["inputs"] == "declared random"
    for metric in ("latency_p50_s", "first_inference_s", "memory_peak_bytes"):  # what loops do depends on it
        assert figures[metric].conditions["inputs"] == "declared random"
    assert "inputs" not in figures["size_bytes"].conditions
    held = files.read_as(Verdict, _judge(setting, **FIDELITY))
    assert (held.release, held.status) == (Release.HELD, Status.INSUFFICIENT_EVIDENCE)
    accepted = files.read_as(Verdict, _judge(setting, **FIDELITY, accept_random_inputs=True))
    assert accepted.release == Release.RELEASED


def _measure_by_command(setting: Setting) -> None:
    paths = {name: path for name, path in vars(setting.inputs).items() if path}
    inputs = [f"{name}={path}" for name, path in paths.items()]
    outputs = [f"{name}={path}" for name, path in vars(setting.outputs).items()]
    spec = json.dumps(to_json(setting.spec))
    assert command.main(["measure", "--spec", spec, "--input", *inputs, "--output", *outputs]) == 0


def test_a_variant_within_its_budgets_is_released(setting: Setting) -> None:
    setting.compiled("int8", WEIGHTS, [2 * MILLISECOND])
    _measure_by_command(setting)
    verdict = files.read_as(Verdict, _judge(setting))
    assert (verdict.status, verdict.release) == (Status.PASS, Release.RELEASED)
    assert [check.reason for check in verdict.checks] == [
        "accuracy_drop 0.00 % (the same answers but for rounding) is within 1.00 %, n = 300, device",
        "latency_p99_s 2 ms (upper bound 2 ms) is within 3 ms, n = 300, device",
        "latency_ratio_fp32 does not apply: fp32 is what the others are compared with",
    ]


def test_a_variant_that_is_slower_than_the_baseline_is_rejected(setting: Setting) -> None:
    setting.compiled("int8", WEIGHTS, [2 * MILLISECOND])
    _measure_by_command(setting.with_baseline([MILLISECOND]))
    verdict = files.read_as(Verdict, _judge(setting))
    assert (verdict.status, verdict.release) == (Status.FAIL, Release.REJECTED)
    assert verdict.reasons == ("latency_ratio_fp32 2 (upper bound 2) is over 1, n = 6, device",)


def test_judging_another_variants_measurements_is_refused(setting: Setting, capsys: pytest.CaptureFixture[str]) -> None:
    setting.run()
    spec = {"model": "m", "target": "t", "scheme": "fp16", "budgets": [], "release_without": []}
    arguments = ["--input", f"measurement={setting.outputs.measurement}", "--output", "verdict=never.json"]
    assert command.main(["judge", "--spec", json.dumps(spec), *arguments]) == MismatchError.exit_code
    assert "is about m/t/int8, expected m/t/fp16; measure it again" in capsys.readouterr().err


def _cut(setting: Setting, samples: int) -> Setting:
    """The same with fewer evaluation samples."""
    x, y = read_split(setting.inputs.evaluation)
    golden, reference = read_answers(setting.inputs.reference)
    write_split(setting.inputs.evaluation, x[:samples], y[:samples])
    write_answers(setting.inputs.reference, golden, reference[:samples])
    return setting


def test_what_answers_bit_for_bit_as_the_trained_model_is_released_on_few_samples(setting: Setting) -> None:
    """240 samples bound a drop of 1 % only from 268 on, and yet there is nothing to be lost."""
    setting = _cut(setting, 240).edit(device="")
    setting.compiled("int8", WEIGHTS, [2 * MILLISECOND])
    _, reference = read_answers(setting.inputs.reference)
    x, _ = read_split(setting.inputs.evaluation)
    answered = np.concatenate([sample[np.newaxis] @ WEIGHTS.astype(np.float32) for sample in x])  # as the runner asks
    write_answers(setting.inputs.reference, reference[:2], answered)
    _measure_by_command(setting)
    figure = next(m for m in setting.result().measurements if m.metric == "accuracy_drop")
    assert figure.conditions["answers"] == "equal bit for bit"
    assert figure.method.endswith("; its answers are equal bit for bit")
    verdict = files.read_as(Verdict, _judge(setting, budgets=BUDGETS[:1]))
    assert verdict.checks[0].reason == (
        "accuracy_drop 0.00 % (the same answers, bit for bit) is within 1.00 %, n = 240, host"
    )
    assert verdict.release == Release.RELEASED


def test_the_trained_model_is_recorded_beside_chance(setting: Setting) -> None:
    _, y = read_split(setting.inputs.evaluation)
    reference = setting.run().reference
    assert reference is not None
    assert (reference.metric, reference.value, reference.n) == ("accuracy", 1.0, SAMPLES)
    assert reference.chance == np.bincount(y).max() / SAMPLES
    assert reference.beats_chance


def test_a_model_at_chance_level_is_held_until_its_user_accepts_it(setting: Setting) -> None:
    x, y = read_split(setting.inputs.evaluation)
    y = np.random.default_rng(2).permutation(y)  # the answers say nothing about these
    write_split(setting.inputs.evaluation, x, y)
    setting.compiled("int8", WEIGHTS, [2 * MILLISECOND])
    _measure_by_command(setting)
    verdict = files.read_as(Verdict, _judge(setting))
    assert verdict.release == Release.HELD
    assert [reason.split(":")[0] for reason in verdict.reasons] == ["the model itself is not shown to beat chance"]
    assert "set accept_chance_level: true in config/models/m.yaml" in verdict.reasons[0]
    accepted = files.read_as(Verdict, _judge(setting, accept_chance_level=True))
    assert (accepted.release, len(accepted.warnings)) == (Release.RELEASED, 1)


def test_the_judge_says_what_the_training_showed(setting: Setting) -> None:
    setting.run()
    info = setting.folder / "train.json"
    files.write_json(info, {"network": {"without_gradient": ["spare.weight"], "softmax_twice": False}})
    assert files.read_as(Verdict, _judge(setting, train=info)).warnings == (
        "no loss ever depended on spare.weight: untrained parameters; use them or remove them",
    )
    files.write_json(info, {"model": "m"})  # of a framework that says nothing
    assert files.read_as(Verdict, _judge(setting, train=info)).warnings == ()


@pytest.mark.parametrize("content", [["m"], {"network": ["spare.weight"]}])
def test_a_train_json_that_is_damaged_is_refused(setting: Setting, content: object) -> None:
    setting.run()
    info = setting.folder / "train.json"
    files.write_json(info, content)
    inputs = judge_stage.Inputs(setting.outputs.measurement, info)
    outputs = judge_stage.Outputs(setting.folder / "verdict.json")
    with pytest.raises(DataError, match=r"train\.json: network: Network: expected an object, found list; train again"):
        judge_stage.run(judge_stage.Spec("m", "t", "int8", (), ()), inputs, outputs)


@pytest.mark.parametrize(("stage", "foreign"), [("measure", "edgeflow.judge"), ("judge", "edgeflow.stats")])
def test_an_edit_of_the_judge_measures_nothing_and_one_of_the_statistics_reaches_no_judge(
    stage: str, foreign: str
) -> None:
    code = f"import sys, edgeflow.stages.{stage}; print({foreign!r} in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == "False"
    if stage == "judge":
        assert done.stdout.split()[1] == "False"

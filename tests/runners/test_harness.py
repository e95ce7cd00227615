"""The harness with backends that the tests write: what is timed, in which order, and what a fresh process leaves."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.splits import write_split

from edgeflow.runners import harness, identity, tensors

MILLISECOND = 1_000_000  # ns
BINDING = {"inputs": {"input": {"tensor": "x", "axes": []}}, "outputs": {"logits": {"tensor": "y", "axes": []}}}
ENOUGH = {"runs": 400, "seconds": 1.0}

# A program is a number: milliseconds of an inference. Sample i holds i everywhere and takes i ms more.
TIMED = """
import gc


def tensor(name, shape):
    return {"name": name, "dtype": "float32", "shape": shape, "scale": None, "zero_point": None}


CALLS = []  # (program, sample) of each inference
CLOCK = []  # the test puts its clock here
COLLECTING = []  # whether the collector was on in each inference


class Session:
    def __init__(self, program, threads):
        self.program, self.threads = program, threads
        CLOCK[0].advance_ms(500)

    def encode(self, feed):
        CLOCK[0].advance_ms(70)
        return feed["x"] * 2

    def invoke(self, native):
        sample = int(native.flat[0] / 2)
        CALLS.append((self.program, sample))
        COLLECTING.append(gc.isenabled())
        CLOCK[0].advance_ms(float(self.program) + sample)
        return native.reshape(1, -1)[:, :1]

    def decode(self, raw):
        return {"y": raw / 2}

    def arena_bytes(self):
        return 4096

    def signature(self):
        shape = [1, 1, 2, 2]
        return {"inputs": [tensor("x", shape)], "outputs": [tensor("y", [1, 1])]}

    def operators(self):
        return [{"operator": "NOTHING", "count": 1, "placement": "CPU"}]

    def versions(self):
        return {"timed": "1"}
"""

# A program is a file; its first byte says what to do.
REAL = """
import sys
from dataclasses import dataclass

import numpy as np

ballast = np.ones(25_000_000)  # 200 MB that importing takes and gives back
del ballast


@dataclass
class Session:
    program: str
    threads: int

    def __post_init__(self):
        with open(self.program, "rb") as stream:
            self.kind = stream.read(1)
        if self.kind == b"m":
            self.weights = np.ones(4_000_000)  # 32 MB

    def encode(self, feed):
        return feed["x"]

    def invoke(self, native):
        if self.kind == b"f":
            raise ValueError("the kernel fails")
        return native.reshape(len(native), -1)[:, :2]

    def decode(self, raw):
        return {"y": raw + np.float32(self.threads)}

    def arena_bytes(self):
        return None

    def signature(self):
        def tensor(name, shape):
            return {"name": name, "dtype": "float32", "shape": shape, "scale": None, "zero_point": None}

        return {"inputs": [tensor("x", [1, 2, 2, 3])], "outputs": [tensor("y", [1, 2])]}

    def operators(self):
        return []

    def versions(self):
        return {"edgeflow": "imported" if "edgeflow" in sys.modules else "absent"}
"""


class Clock:
    """Stands in for the harness's `time`: moves only when a backend says so."""

    def __init__(self) -> None:
        self.now_ns = 0

    def advance_ms(self, milliseconds: float) -> None:
        self.now_ns += round(milliseconds * MILLISECOND)

    def perf_counter_ns(self) -> int:
        return self.now_ns

    def perf_counter(self) -> float:
        return self.now_ns * 1e-9


@pytest.fixture
def timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """`measure(program_ms, baseline_ms, **job)` on the fake clock, and the backend's record of what was called."""
    backend = tmp_path / "timed.py"
    backend.write_text(TIMED)
    module = harness.load_backend(str(backend))
    clock = Clock()
    module.CLOCK.append(clock)
    time = SimpleNamespace(
        perf_counter_ns=clock.perf_counter_ns,
        perf_counter=clock.perf_counter,
        strftime=lambda *_: "2026-01-02T03:04:05Z",
        gmtime=lambda: None,
    )
    monkeypatch.setattr(harness, "time", time)

    def measure(program: float, baseline: float | None = None, samples: int = 1, **job: Any) -> dict[str, Any]:
        x = np.arange(samples, dtype=np.float32).reshape(-1, 1, 1, 1) * np.ones((1, 1, 2, 2), np.float32)
        write_split(tmp_path / "x.safetensors", x)
        return harness.measure(
            {
                "backend": str(backend),
                "program": str(program),
                "binding": BINDING,
                "baseline": None if baseline is None else {"program": str(baseline), "binding": BINDING},
                "threads": 1,
                "split": str(tmp_path / "x.safetensors"),
                "outputs": str(tmp_path / "outputs.safetensors"),
                "known": None,
                "times": True,
                "max_runs": 100,
                "max_seconds": 30.0,
                "enough": {"runs": 10_000, "seconds": 30.0},
                "warmup_runs": 5,
                "block_runs": 10,
                **job,
            }
        )

    return SimpleNamespace(measure=measure, module=module, outputs=tmp_path / "outputs.safetensors")


def test_only_invoke_is_timed(timed: SimpleNamespace) -> None:
    result = timed.measure(8)
    assert result["latency_blocks_s"] == [pytest.approx([0.008] * 10)] * 10
    assert result["baseline_blocks_s"] is None
    assert result["conditions"]["stopped_by"] == "max_runs"


def test_first_inference_counts_loading_and_not_encoding(timed: SimpleNamespace) -> None:
    result = timed.measure(8)
    assert result["load_s"] == pytest.approx(0.5)
    assert result["first_inference_s"] == pytest.approx(0.508)


def test_blocks_of_program_and_baseline_alternate(timed: SimpleNamespace) -> None:
    result = timed.measure(8, baseline=2, max_runs=30)
    assert result["latency_blocks_s"] == [pytest.approx([0.008] * 10)] * 3
    assert result["baseline_blocks_s"] == [pytest.approx([0.002] * 10)] * 3
    after_warm_up = [program for program, _ in timed.module.CALLS][4 + 5 + 5 :]
    untimed = harness.REWARM_RUNS  # the other program has emptied the caches
    assert after_warm_up == (["8"] * (untimed + 10) + ["2"] * (untimed + 10)) * 3


def test_timing_rotates_through_inputs(timed: SimpleNamespace) -> None:
    result = timed.measure(8, samples=4, block_runs=8, max_runs=8)
    assert result["latency_blocks_s"] == [pytest.approx([0.008, 0.009, 0.010, 0.011] * 2)]


def test_runs_that_do_not_count_are_of_samples_whose_turn_was_before(timed: SimpleNamespace) -> None:
    timed.measure(8, baseline=2, samples=50, max_runs=20, warmup_runs=3)
    calls = [sample for program, sample in timed.module.CALLS if program == "8"][4:]
    del calls[27:]  # of the answers that no timed run gave
    assert calls == [47, 48, 49, 48, 49, *range(10), 8, 9, *range(10, 20)]


@pytest.mark.parametrize(("max_runs", "asked_again"), [(20, []), (6, []), (4, [4, 5])])
def test_answers_are_those_of_the_timed_runs_and_the_rest_is_asked(
    timed: SimpleNamespace, max_runs: int, asked_again: list[int]
) -> None:
    timed.measure(8, samples=6, max_runs=max_runs, warmup_runs=0, block_runs=max_runs)
    untimed = timed.module.CALLS[4 + harness.REWARM_RUNS + max_runs :]
    assert [sample for _, sample in untimed] == asked_again
    assert _answers(timed.outputs)["logits"].tolist() == [[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]]


KNOWN: dict[str, dict[str, Any]] = {  # what is wrong with known answers
    "another answer among those that were timed": {"values": [0, 1, 2, 9, 4, 5, 6, 7]},
    "another type": {"values": np.arange(8, dtype=np.float64)},
    "another version": {"executor": "timed 2"},
    "another machine": {"machine": "of somebody else"},
    "a machine that does not say which one it is": {"machine": ""},
    "too few that were timed": {"samples": 5},
    "answers that are alike by chance": {"different": 5},
}


@pytest.mark.parametrize("wrong", ["", *KNOWN])
def test_known_answers_count_where_those_that_were_timed_are_the_same(
    timed: SimpleNamespace, tmp_path: Path, wrong: str
) -> None:
    said = {"values": [0, 1, 2, 3, 4, 5, 60, 7], "executor": "timed 1", "samples": 4, "different": 4}
    said |= {"machine": identity.here()["machine_id"]}
    said |= KNOWN.get(wrong, {})
    values = np.asarray(said.pop("values"))
    values = values if values.dtype == np.float64 else values.astype(np.float32)
    tensors.write(tmp_path / "known.safetensors", {"evaluation/logits": values[:, None]})
    known = {"answers": str(tmp_path / "known.safetensors"), **said}
    result = timed.measure(8, samples=8, max_runs=4, warmup_runs=0, known=known)
    untimed = timed.module.CALLS[4 + harness.REWARM_RUNS + 4 :]
    answers = _answers(timed.outputs)["logits"][:, 0].tolist()
    if wrong:
        assert (result["asked"], [sample for _, sample in untimed], answers) == (8, [4, 5, 6, 7], [*range(8)])
    else:
        assert (result["asked"], untimed, answers) == (4, [], [0, 1, 2, 3, 4, 5, 60, 7])


def test_samples_are_not_all_encoded_at_once(timed: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "KEPT_BYTES", 8 * 16)  # of eight samples
    result = timed.measure(8, baseline=2, samples=50, max_runs=60, block_runs=40)
    assert [len(block) for block in result["latency_blocks_s"]] == [8] * 7 + [4]
    timed_samples = [round(1000 * run - 8) for block in result["latency_blocks_s"] for run in block]
    assert timed_samples == [*range(50), *range(10)]
    assert len(_answers(timed.outputs)["logits"]) == 50


def test_a_slow_program_stops_at_its_time_in_many_short_blocks(timed: SimpleNamespace) -> None:
    result = timed.measure(400, baseline=1, max_seconds=30.0, max_runs=1000, block_runs=50)
    blocks = result["latency_blocks_s"]
    assert 30.0 <= sum(map(sum, blocks)) < 30.0 + sum(blocks[-1])
    assert len(blocks) >= 15
    assert all(len(block) >= harness.LEAST_BLOCK_RUNS for block in blocks)
    assert len(result["baseline_blocks_s"]) == len(blocks)
    assert result["conditions"]["stopped_by"] == "max_seconds"


def test_both_get_the_runs_asked_for(timed: SimpleNamespace) -> None:
    result = timed.measure(1, baseline=100, max_seconds=40.0, max_runs=100, block_runs=50)
    assert sum(map(len, result["baseline_blocks_s"])) == 100
    assert result["conditions"]["stopped_by"] == "max_runs"


def test_a_slow_baseline_stops_both(timed: SimpleNamespace) -> None:
    result = timed.measure(1, baseline=400, max_seconds=3.0, max_runs=10_000, enough=ENOUGH)
    assert len(result["latency_blocks_s"]) == len(result["baseline_blocks_s"])
    assert sum(map(sum, result["latency_blocks_s"])) < 1.0
    assert result["conditions"]["stopped_by"] == "max_seconds"


def test_a_program_that_is_not_fast_is_timed_until_there_is_enough(timed: SimpleNamespace) -> None:
    result = timed.measure(4, baseline=2, max_seconds=3.0, max_runs=1000, block_runs=50, enough=ENOUGH)
    blocks = result["latency_blocks_s"]
    assert 400 <= sum(map(len, blocks)) < 400 + len(blocks[-1])
    assert len(blocks) == len(result["baseline_blocks_s"]) >= harness.LEAST_BLOCKS
    assert result["conditions"]["stopped_by"] == "enough"


@pytest.mark.parametrize(("program", "baseline"), [(1, 10), (7, 20), (5, 12), (2, 30), (8, 9.8)])
def test_a_slow_baseline_leaves_a_program_its_99th_percentile(
    timed: SimpleNamespace, program: float, baseline: float
) -> None:
    result = timed.measure(program, baseline=baseline, max_seconds=3.0, max_runs=1000, block_runs=50, enough=ENOUGH)
    runs, slower = (sum(map(len, result[f"{name}_blocks_s"])) for name in ("latency", "baseline"))
    assert runs >= 299
    assert slower <= runs <= 400 + slower  # who has enough gets no more than the other


def test_blocks_of_a_slow_program_have_enough_runs_for_a_median(timed: SimpleNamespace) -> None:
    blocks = timed.measure(400, baseline=100, max_seconds=9.0, max_runs=1000, enough=ENOUGH)["latency_blocks_s"]
    assert {len(block) for block in blocks} == {harness.LEAST_BLOCK_RUNS}


def test_a_fast_program_gets_all_its_runs(timed: SimpleNamespace) -> None:
    result = timed.measure(1, max_seconds=3.0, max_runs=1000, block_runs=50, enough={**ENOUGH, "seconds": 0.9})
    assert sum(map(len, result["latency_blocks_s"])) == pytest.approx(901, abs=50)
    result = timed.measure(1, max_seconds=3.0, max_runs=800, block_runs=50, enough=ENOUGH)
    assert sum(map(len, result["latency_blocks_s"])) == 800
    assert result["conditions"]["stopped_by"] == "max_runs"


def test_the_collector_rests_while_latencies_are_taken(timed: SimpleNamespace) -> None:
    timed.measure(8, max_runs=10)
    assert timed.module.COLLECTING[-10:] == [False] * 10
    assert gc.isenabled()


def test_the_runtimes_own_arena_wins_over_the_process(timed: SimpleNamespace) -> None:
    result = timed.measure(8)
    assert (result["memory_peak_bytes"], result["memory_method"]) == (4096, "tensor arena as the runtime reports it")


def test_conditions_say_what_the_figures_depend_on(timed: SimpleNamespace) -> None:
    conditions = timed.measure(8)["conditions"]
    assert conditions["threads"] == 1
    assert conditions["measured_at"] == "2026-01-02T03:04:05Z"
    assert {"load_average_start", "load_average_end", "machine"} <= set(conditions)
    assert all(isinstance(value, int | float | str) for value in conditions.values())


def test_without_times_there_are_predictions_and_an_arena_only(timed: SimpleNamespace) -> None:
    result = timed.measure(8, baseline=2, samples=3, times=False)
    assert (result["latency_blocks_s"], result["baseline_blocks_s"]) == ([], None)
    assert result["memory_peak_bytes"] == 4096
    assert "stopped_by" not in result["conditions"]
    assert {program for program, _ in timed.module.CALLS} == {"8"}
    assert _answers(timed.outputs)["logits"].tolist() == [[0.0], [1.0], [2.0]]


def _answers(path: Path) -> dict[str, Any]:
    reader = tensors.Reader(path)
    return {name.removeprefix("evaluation/"): reader.rows(name) for name in reader.entries}


# --- backends are files --------------------------------------------------------------------------------------------


def test_backends_of_the_same_name_are_kept_apart(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "backend.py").write_text(f"NAME = {folder!r}\n")
    names = [harness.load_backend(str(tmp_path / folder / "backend.py")).NAME for folder in ("a", "b", "a")]
    assert names == ["a", "b", "a"]


def test_a_backend_is_imported_once(tmp_path: Path) -> None:
    backend = tmp_path / "backend.py"
    backend.write_text("class Session: ...\n")
    assert harness.load_backend(str(backend)) is harness.load_backend(str(backend))


def test_a_backend_that_fails_to_import_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    backend = tmp_path / "backend.py"
    backend.write_text("NAME = 'half'\nimport a_runtime_that_is_missing\n")
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="a_runtime_that_is_missing"):
            harness.load_backend(str(backend))


# --- as a process of its own ---------------------------------------------------------------------------------------


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """A folder as it is copied to a device: runner, backend and inputs, and nothing of edgeflow around it."""
    folder = tmp_path / "device"
    folder.mkdir()
    for module in (harness, identity, tensors):
        source = Path(module.__file__)
        (folder / source.name).write_bytes(source.read_bytes())
    (folder / "backend.py").write_text(REAL)
    write_split(folder / "x.safetensors", np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2))
    return folder


def _run(device: Path, kind: bytes, *, command: Sequence[str] = (), **job: Any) -> subprocess.CompletedProcess[str]:
    (device / "program.bin").write_bytes(kind)
    question = {
        "backend": "backend.py",
        "program": "program.bin",
        "binding": {"inputs": {"input": {"tensor": "x", "axes": [1, 2, 0]}}, "outputs": BINDING["outputs"]},
        "baseline": None,
        "threads": 1,
        "split": "x.safetensors",
        "outputs": "outputs.safetensors",
        "known": None,
        "times": True,
        "max_runs": 20,
        "max_seconds": 1.0,
        "enough": {"runs": 20, "seconds": 1.0},
        "warmup_runs": 1,
        "block_runs": 10,
        **job,
    }
    (device / "job.json").write_text(json.dumps(question))
    command = command or [sys.executable, "-I", "harness.py", "job.json", "result.json"]
    return subprocess.run(command, cwd=device, capture_output=True, text=True, check=False)


def _result(device: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((device / "result.json").read_text())
    return result


def test_it_runs_alone_and_writes_what_the_program_answers(device: Path) -> None:
    done = _run(device, b" ", threads=2)
    assert done.returncode == 0, done.stderr
    assert _result(device)["versions"] == {"edgeflow": "absent"}
    assert _result(device)["identity"] == identity.here()
    assert [len(block) for block in _result(device)["latency_blocks_s"]] == [10, 10]
    # channels last: the first two values of a sample are the first pixel of its channels 0 and 1
    assert _answers(device / "outputs.safetensors")["logits"].tolist() == [[0.0 + 2, 4.0 + 2], [12.0 + 2, 16.0 + 2]]


@pytest.mark.skipif(sys.platform != "linux", reason="the peak can be reset on Linux alone")
@pytest.mark.parametrize(("kind", "least_mib", "most_mib"), [(b"m", 30, 40), (b" ", 0, 4)])
def test_memory_is_the_programs_and_not_the_imports(
    device: Path, kind: bytes, least_mib: float, most_mib: float
) -> None:
    assert _run(device, kind).returncode == 0
    assert least_mib <= _result(device)["memory_peak_bytes"] / 2**20 <= most_mib
    assert _result(device)["memory_method"].startswith("peak resident memory of the process while it loads")


def test_memory_falls_back_to_the_peak_of_the_process(device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(device)
    monkeypatch.setattr(harness, "_reset_peak", lambda: False)
    Path("program.bin").write_bytes(b"m")
    job = {"backend": "backend.py", "program": "program.bin", "threads": 1, "times": True, "binding": None}
    sample = {"x": np.zeros((1, 2, 2, 3), np.float32)}
    program, result = harness._start(harness.load_backend("backend.py"), job, sample)
    assert program.session.weights.nbytes == 32_000_000
    assert result["memory_peak_bytes"] >= 0
    assert "an earlier peak of the imports may hide part of it" in result["memory_method"]


def test_memory_is_not_measured_without_times(device: Path) -> None:
    assert _run(device, b"m", times=False).returncode == 0
    assert (_result(device)["memory_peak_bytes"], _result(device)["memory_method"]) == (None, "not measured")


def test_a_failure_leaves_nothing_behind(device: Path) -> None:
    done = _run(device, b"f")
    assert done.returncode != 0
    assert "the kernel fails" in done.stderr
    left = {path.name for path in device.iterdir()} - {"__pycache__"}
    assert left == {"harness.py", "identity.py", "tensors.py", "backend.py", "program.bin", "x.safetensors", "job.json"}


def test_outputs_that_cannot_be_written_leave_no_result(device: Path) -> None:
    done = _run(device, b" ", outputs="missing/outputs.safetensors")
    assert done.returncode != 0
    assert "FileNotFoundError" in done.stderr
    assert not (device / "result.json").exists()


# A program is a file; an answer is two of the values.
LEAN = """
import numpy as np


class Session:
    def __init__(self, program, threads):
        pass

    def signature(self):
        def tensor(name, *shape):
            return {"name": name, "dtype": "float32", "shape": [1, *shape], "scale": None, "zero_point": None}

        return {"inputs": [tensor("x", 3, 96, 96)], "outputs": [tensor("y", 2)]}

    def encode(self, feed):
        return np.ascontiguousarray(feed["x"])

    def invoke(self, native):
        return native.reshape(1, -1)[:, :2].copy()

    def decode(self, raw):
        return {"y": raw}

    def arena_bytes(self):
        return None

    def operators(self):
        return []

    def versions(self):
        return {}
"""


# Runs the harness, and says at its end what memory it had at most.
TELLING = """
import os, resource, runpy, sys

def telling(code, end=os._exit):
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, flush=True)
    end(code)

os._exit = telling
sys.argv = ["harness.py", "job.json", "result.json"]
runpy.run_path("harness.py", run_name="__main__")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux")
def test_memory_does_not_grow_with_the_samples(device: Path) -> None:
    (device / "backend.py").write_text(LEAN)
    binding = {"inputs": {"input": {"tensor": "x", "axes": []}}, "outputs": {"logits": {"tensor": "y", "axes": []}}}
    peaks = []
    for samples in (400, 4000):  # 11 and 105 MiB as they are stored, 42 and 422 as the program takes them
        how = {"input": tensors.How(0.0, 255.0)}
        inputs = {"input": ("uint8", (samples, 3, 96, 96))}
        tensors.split_writer(device / "many.safetensors", inputs, how, labelled=False)
        job = {"split": "many.safetensors", "binding": binding, "max_runs": 500, "block_runs": 50}
        done = _run(device, b" ", command=[sys.executable, "-I", "-c", TELLING], **job)
        assert done.returncode == 0, done.stderr
        assert len(_answers(device / "outputs.safetensors")["logits"]) == samples
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] - peaks[0] < 8  # MiB

"""The package stage on files as the stages before it leave them."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.answers import OUTPUT, write_answers
from tests.splits import read_split, write_raw, write_split

from edgeflow import efpkg, files, host
from edgeflow.errors import DataError, MismatchError, PackageError, UsageError
from edgeflow.preprocessing import Preprocessing, prepared
from edgeflow.runners import harness
from edgeflow.stages import golden
from edgeflow.stages.package import Inputs, Outputs, Spec, run
from edgeflow.types.figures import Evidence, Measurement
from edgeflow.types.ladder import Ladder, Rung
from edgeflow.types.plain import to_json
from edgeflow.types.programs import Measured, Operators, Program
from edgeflow.types.signatures import Binding, Bound, Signature, Tensor
from edgeflow.types.variants import Target
from edgeflow.types.verdicts import Check, Release, Status, Verdict

ARRAYS = [f"golden/{name}.bin" for name in ("input", "output", "prepared", "raw0", "raw1", "raw2", "raw3")]
TARGET = Target("board", "fake", "armv7e-m", "cpu", ram_bytes=2**18, flash_bytes=2**20)
ARCHIVE = "net-board-int8_static.efpkg"

PLUGIN = '''
"""A runtime that can be packed, and does nothing else."""
import os
import signal
from pathlib import Path

from edgeflow.plugin import Compiled, Runtime, Tolerance
from edgeflow.types.figures import Evidence


def package_files(job):
    if job.program.with_name("kill").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    if job.program.with_name("raise").exists():
        raise KeyboardInterrupt
    peak = max(m.value for m in job.measurements if m.metric == "memory_peak_bytes")
    header = f"// {job.info.size_bytes} {peak:.0f} {job.target.id}"
    return {"src/net.cc": job.program.read_bytes(), "net.h": header.encode()}


def clashing(job):
    return {"package.json": b"{}"}


def showing(job):
    """An example, and what the job says."""
    (how,), (tolerance,) = job.preprocessing.values(), job.golden.tolerance.values()
    text = f"{job.labels} {how.mean} {job.golden.answered_by} {tolerance:.6g}"
    arrays = {name: getattr(job.golden, name) for name in ("scaled", "inputs", "outputs")}
    said = {
        f"{name}.txt": f"{tensor} {array.dtype} {[*array.shape]}".encode()
        for name, named in arrays.items()
        for tensor, array in named.items()
    }
    return {"example.py": text.encode(), **said}


def taking(job):
    return {"golden/input.bin": b""}


def escaping(job):
    return {"../../net.h": b""}


def runtime(pack):
    return Runtime(
        id="fake", description="", format="tflite", program_suffix="tflite", toolchain="core",
        backend=Path("none.py"), evidence=Evidence.SIMULATOR, times=False, supports=lambda scheme, target: None,
        compile=lambda job: Compiled(), compile_tolerance=lambda scheme: Tolerance(0, ""), package_files=pack,
    )


plugin, plain, clash, escape, show, take = map(
    runtime, (package_files, None, clashing, escaping, showing, taking)
)
'''


GOLDEN = 6
BINDING = Binding({"input": Bound("x", (1, 2, 0))}, {OUTPUT: Bound("y")})
PREPROCESSING = Preprocessing(
    *(("channels", "resize", "scale", "normalize"), (), "grey", None, {"uint8": (0.0, 255.0)}),
    *((3, 4, 5), (0.3, 0.4, 0.5), (0.4,)),
)


class Build:
    """What the stages before package leave for one variant."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name in ("checkpoint", "converted", "optimized", "evaluation", "calibration"):
            (folder / name).write_bytes(f"the {name}".encode())
        (folder / "program.bin").write_bytes(b"the program" * 100)
        (folder / "plugin.py").write_text(PLUGIN)
        self.program = files.sha256_file(folder / "program.bin")
        signature = Signature((Tensor("x", "int8", (1, 4, 5, 3), 0.5, -3),), (Tensor("y", "int8", (1, 2), 0.1, 4),))
        generator = np.random.default_rng(7)
        self.raw = generator.integers(0, 256, (GOLDEN, 3, 4, 5), np.uint8)
        self.answers = ((generator.integers(-128, 128, (GOLDEN, 2)) - 4) * np.float32(0.1)).astype(np.float32)
        self.golden()
        estimate = self._measurement("accelerator_cycles", 1e6, Evidence.ESTIMATE, {"compiler": "4.0"})
        ran = {"interpreter": "2.1"}
        self.measurements = (
            self._measurement("accuracy_drop", 0.002, Evidence.SIMULATOR, ran),
            self._measurement("memory_peak_bytes", 40000.0, Evidence.ESTIMATE, {"compiler": "4.0"}),
            self._measurement("memory_peak_bytes", 50000.0, Evidence.SIMULATOR, ran),
            estimate,
        )
        operators = (Operators("CONV_2D", 3, "CPU"),)
        self.write("measurement", Measured("net", "board", "int8_static", "", self.measurements, operators, signature))
        stages = (
            ("train", "checkpoint"),
            ("convert", "converted"),
            ("optimize", "optimized"),
            ("compile", "program.bin"),
        )
        self.write(
            "info",
            Program(
                *("net", TARGET.runtime, "any", "int8_static", ""),
                *(self.program, 1100, signature, (), "program", (estimate,)),
                ladder=Ladder(tuple(self._rung(stage, file) for stage, file in stages), binding=BINDING),
                zero_weights_ratio=0.7,
                compressed_bytes=60,
            ),
        )
        self.write(
            "dataset",
            {
                "id": "letters",
                "labels": ["a", "b"],
                "inputs": {"input": PREPROCESSING},
                "splits": {
                    name: {"samples": 4, "sha256": files.sha256_file(folder / name)}
                    for name in ("evaluation", "calibration", "golden")
                },
                "golden_raw": {"rows": [*range(GOLDEN)], "sha256": files.sha256_file(folder / "golden_raw")},
            },
        )
        self.judge(Release.RELEASED, Status.PASS)

    def _measurement(self, metric: str, value: float, evidence: Evidence, tools: dict[str, str]) -> Measurement:
        unit = {"accuracy_drop": "ratio", "memory_peak_bytes": "byte"}.get(metric, "count")
        return Measurement(metric, value, unit, evidence, "stand-in", self.program, "once", tools=tools)

    def _rung(self, stage: str, file: str) -> Rung:
        digest = files.sha256_file(self.folder / file)
        return Rung(stage, "accuracy", 0.97, 900, None, None, 1.0, None, None, "", digest, "interpreter 2.1")

    def golden(self) -> None:
        """Golden samples before and after preprocessing, and the program's answers."""
        x = np.stack([prepared(PREPROCESSING, sample) for sample in self.raw])
        write_split(self.folder / "golden", x)
        write_raw(self.folder / "golden_raw", self.raw)
        write_answers(self.folder / "answers", self.answers, self.answers)

    def judge(self, release: Release, status: Status, reasons: tuple[str, ...] = ()) -> None:
        """Write a verdict with one check that passes and one that nobody measured."""
        budget = json.loads(
            """{"metric": "accuracy_drop", "status": "pass", "limit": 0.01, "unit": "ratio", "direction": "max",
            "evidence_required": "simulator", "value": 0.002, "bound": null, "margin": 0.008, "evidence": "simulator",
            "reason": "within"}"""
        )
        passed = files.from_json(Check, budget)
        unmeasured = {"status": Status.UNMEASURED, "value": None, "margin": None, "evidence": None}
        missing = dataclasses.replace(passed, metric="latency_p90_s", unit="second", **unmeasured)
        without = ("latency_p90_s",) if release == Release.RELEASED else ()
        self.write(
            "verdict", Verdict("net", "board", "int8_static", status, release, reasons, without, (passed, missing))
        )

    def write(self, name: str, value: object) -> None:
        files.write_json(self.folder / f"{name}.json", value)

    def edit(self, name: str, **changes: object) -> None:
        """Change top-level keys of a JSON file."""
        path = self.folder / f"{name}.json"
        files.write_json(path, {**files.read_json(path), **changes})

    def spec(self, plugin: str = "plugin", **changes: object) -> Spec:
        plugin = f"{self.folder}/plugin.py:{plugin}"
        made = Spec("net", TARGET, "int8_static", plugin, "any", calibrated=True, release_counter=2)
        return dataclasses.replace(made, **changes)

    def inputs(self) -> Inputs:
        json_files = {name: self.folder / f"{name}.json" for name in ("verdict", "measurement", "info", "dataset")}
        others = {name: self.folder / name for name in ("golden", "golden_raw", "answers")}
        return Inputs(program=self.folder / "program.bin", **json_files, **others)


NONE = {"value": None, "interval": None, "evidence": None, "device": None, "n": None, "method": None}
BUDGET = "within"  # the reason of the check that Build.judge writes
RAN = {"interval": None, "device": "stand-in", "n": None, "method": "once", "not_measured": ""}
FIGURES = {
    "accuracy": {**NONE, "unit": "ratio", "not_measured": "nothing measured it for this target"},
    "accuracy_drop": {**RAN, "unit": "ratio", "value": 0.002, "evidence": "simulator"},
    "accelerator_cycles": {**RAN, "unit": "count", "value": 1e6, "evidence": "estimate"},
    "latency_p50_s": {**NONE, "unit": "second", "not_measured": "nothing measured it for this target"},
    "latency_p90_s": {**NONE, "unit": "second", "not_measured": BUDGET},
    "memory_peak_bytes": {**RAN, "unit": "byte", "value": 50000.0, "evidence": "simulator"},
    "size_bytes": {**NONE, "unit": "byte", "not_measured": "nothing measured it for this target"},
}


@pytest.fixture
def made(tmp_path: Path) -> Build:
    """The files of a variant that is released."""
    return Build(tmp_path / "made")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Where the package goes."""
    return tmp_path / "results" / "net" / "board" / "int8_static"


def _everything(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_released(made, package):
    run(made.spec(), made.inputs(), Outputs(package / "package.json"))
    assert sorted(_everything(package.parent)) == [
        f"int8_static/{name}" for name in ("net-board-int8_static.efpkg", "net.h", "package.json", "src/net.cc")
    ]
    manifest = efpkg.verify(package / ARCHIVE)
    assert json.loads((package / "package.json").read_text()) == {
        "model": "net",
        "target": "board",
        "scheme": "int8_static",
        "status": "released",
        "reasons": [],
        "shipped_without": ["latency_p90_s"],
        "release_counter": 2,
        "package": {
            "name": ARCHIVE,
            "size_bytes": (package / ARCHIVE).stat().st_size,
            "sha256": files.sha256_file(package / ARCHIVE),
        },
        "digests": dict(manifest.ancestors),
        "made_from": {
            name: files.sha256_file(made.folder / f"{name}.json") for name in ("info", "measurement", "verdict")
        },
        "zero_weights_ratio": 0.7,
        "compressed_bytes": 60,
        "labels": ["a", "b"],
        "preprocessing": {"input": to_json(PREPROCESSING)},
        "figures": FIGURES,
    }


def test_the_record_of_what_is_held_stands_for_its_figures(made, package):
    made.judge(Release.HELD, Status.UNMEASURED, ("nobody measured it",))
    run(made.spec(), made.inputs(), Outputs(package / "package.json"))
    before = (package / "package.json").read_bytes()
    run(made.spec(), made.inputs(), Outputs(package / "package.json"))
    assert (package / "package.json").read_bytes() == before
    made.edit("measurement", not_applicable={"x": "y"})  # what nothing in the record speaks of
    run(made.spec(), made.inputs(), Outputs(package / "package.json"))
    assert (package / "package.json").read_bytes() != before


def test_what_a_program_was_compiled_from_is_an_ancestor(made, package):
    ladder = files.read_json(made.folder / "info.json")["ladder"]
    ladder["rungs"][-1]["artifact_sha256"] = "a" * 64  # another runtime's program, which answered here
    made.edit("info", ladder=ladder)
    run(made.spec(), made.inputs(), Outputs(package / "package.json"))
    assert efpkg.verify(package / ARCHIVE).ancestors["source_program"] == "a" * 64


def test_memory_that_no_budget_accepts_is_not_needed(made, package):
    verdict = files.read_json(made.folder / "verdict.json")
    for check in verdict["checks"]:
        if check["metric"] == "latency_p90_s":
            check |= {"metric": "memory_peak_bytes"}
    made.write("verdict", {**verdict, "shipped_without": ["memory_peak_bytes"]})
    run(made.spec(), made.inputs(), Outputs(package / "package.json"))
    assert efpkg.verify(package / ARCHIVE).needs.memory_bytes is None


def test_what_the_manifest_says(made, package):
    run(made.spec(), made.inputs(), Outputs(package / "package.json"))
    manifest = efpkg.verify(package / ARCHIVE)
    assert manifest.variant == "net/board/int8_static"
    assert manifest.release_counter == 2
    assert manifest.program == "program.tflite"
    # the compiler made the program and estimated cycles; it need not be on the device
    assert manifest.runtime == efpkg.RuntimeNeed("fake", {"interpreter": "2.1"})
    # the arena that ran, not what the compiler expected
    assert manifest.needs == efpkg.Needs("armv7e-m", "cpu", 50000, 1100)
    assert manifest.signature.inputs[0] == Tensor("x", "int8", (1, 4, 5, 3), 0.5, -3)
    assert manifest.preprocessing == {"input": PREPROCESSING}
    assert manifest.postprocessing == efpkg.Postprocessing("argmax", "y")
    assert manifest.labels == ("a", "b")
    assert manifest.operators == (Operators("CONV_2D", 3, "CPU"),)
    assert manifest.measurements == made.measurements
    assert [rung.stage for rung in manifest.ladder.rungs] == ["train", "convert", "optimize", "compile"]
    assert manifest.verdict == files.read_as(Verdict, made.folder / "verdict.json")
    assert manifest.shipped_without == ("latency_p90_s",)
    assert manifest.ancestors == {
        "program": made.program,
        "dataset": files.sha256_file(made.folder / "dataset.json"),
        **{
            name: files.sha256_file(made.folder / name)
            for name in ("checkpoint", "converted", "optimized", "evaluation", "calibration")
        },
    }
    assert [file.path for file in manifest.files] == sorted([*ARRAYS, "net.h", "program.tflite", "src/net.cc"])


def test_files_of_the_runtime_are_in_the_package_and_beside_it(made, package, tmp_path):
    run(made.spec(), made.inputs(), Outputs(package / "package.json"))
    subprocess.run(["tar", "-xf", package / ARCHIVE], cwd=tmp_path, check=True)
    assert (package / "net.h").read_bytes() == (tmp_path / "net.h").read_bytes() == b"// 1100 50000 board"
    assert (package / "src/net.cc").read_bytes() == (tmp_path / "src/net.cc").read_bytes() == b"the program" * 100


def test_a_runtime_that_adds_nothing(made, package):
    run(made.spec("plain"), made.inputs(), Outputs(package / "package.json"))
    assert [file.path for file in efpkg.verify(package / ARCHIVE).files] == [*ARRAYS, "program.tflite"]
    assert efpkg.verify(package / ARCHIVE).example is None
    assert sorted(_everything(package)) == [ARCHIVE, "package.json"]


def test_no_calibration_where_nothing_was_calibrated(made, package):
    run(made.spec(calibrated=False), made.inputs(), Outputs(package / "package.json"))
    assert "calibration" not in efpkg.verify(package / ARCHIVE).ancestors


@pytest.mark.parametrize(
    ("release", "status", "reason"),
    [
        (Release.HELD, Status.UNMEASURED, "latency_p90_s was not measured"),
        (Release.HELD, Status.INSUFFICIENT_EVIDENCE, "n = 4000 would decide"),
        (Release.REJECTED, Status.FAIL, "accuracy_drop 3 % is over 1 %"),
        (Release.INFEASIBLE, Status.INFEASIBLE, "2 operators are left on the CPU"),
    ],
)
def test_what_is_not_released_has_its_reason_and_no_package(made, package, release, status, reason):
    made.judge(release, status, (reason,))
    run(made.spec(), made.inputs(), Outputs(package / "package.json"))
    assert _everything(package).keys() == {"package.json"}
    record = json.loads((package / "package.json").read_text())
    assert (record["status"], record["reasons"], record["package"]) == (release.value, [reason], None)


def test_what_the_plan_refuses_needs_no_inputs(made, package):
    run(made.spec("absent", infeasible="no float16 kernels"), Inputs(), Outputs(package / "package.json"))
    record = json.loads((package / "package.json").read_text())
    assert _everything(package).keys() == {"package.json"}
    assert (record["status"], record["reasons"]) == ("infeasible", ["no float16 kernels"])


def test_a_package_that_is_held_now_is_gone(made, package):
    run(made.spec(), made.inputs(), Outputs(package / "package.json"))
    made.judge(Release.HELD, Status.UNMEASURED, ("not measured",))
    run(made.spec(), made.inputs(), Outputs(package / "package.json"))
    assert _everything(package.parent).keys() == {"int8_static/package.json"}


def test_the_same_inputs_give_the_same_folder(made, package):
    run(made.spec(), made.inputs(), Outputs(package / "package.json"))
    first = _everything(package)
    run(made.spec(), made.inputs(), Outputs(package / "package.json"))
    assert _everything(package) == first


# --- golden samples --------------------------------------------------------------------------------------------------


def _array(package: Path, folder: Path, described: efpkg.Array) -> np.ndarray:
    subprocess.run(["tar", "-xf", package / ARCHIVE], cwd=folder, check=True)
    return np.fromfile(folder / described.path, np.dtype(described.dtype).newbyteorder("<")).reshape(described.shape)


def test_golden_samples_on_their_way(made, package, tmp_path):
    run(made.spec(activations="int8"), made.inputs(), Outputs(package / "package.json"))
    shipped = efpkg.verify(package / ARCHIVE).golden
    rows = [0, 1, 3, 4]  # spread over the split
    assert (shipped.samples, shipped.raw_left_out, shipped.answered_by) == (4, "", "interpreter 2.1")
    assert shipped.artifact_sha256 == made.program
    raw = np.stack([_array(package, tmp_path, array) for array in shipped.raw["input"]])
    assert (raw == made.raw[rows]).all()
    x, _ = read_split(made.folder / "golden")
    prepared = _array(package, tmp_path, shipped.prepared["x"])
    assert (prepared == x[rows].transpose(0, 2, 3, 1)).all()
    inputs = _array(package, tmp_path, shipped.inputs["x"])
    assert inputs.dtype == np.int8
    assert (inputs == harness.quantize(prepared, 0.5, -3, np.int8)).all()
    outputs = _array(package, tmp_path, shipped.outputs["y"])
    assert ((outputs.astype(np.float32) - 4) * np.float32(0.1) == made.answers[rows]).all()
    assert shipped.tolerance["y"] == pytest.approx(0.03 * np.ptp(made.answers))


def test_integers_may_be_a_step_apart(made, package):
    made.answers[:] = 0.1
    made.golden()
    run(made.spec(activations="int16"), made.inputs(), Outputs(package / "package.json"))
    assert efpkg.verify(package / ARCHIVE).golden.tolerance == {"y": 0.1}


def test_what_a_runtime_is_given_for_its_files(made, package):
    run(made.spec("show", activations="int8"), made.inputs(), Outputs(package / "package.json"))
    assert efpkg.verify(package / ARCHIVE).example == "example.py"
    tolerance = 0.03 * np.ptp(made.answers)
    assert (package / "example.py").read_text() == f"('a', 'b') (0.3, 0.4, 0.5) interpreter 2.1 {tolerance:.6g}"
    assert (package / "scaled.txt").read_text() == "x float32 [4, 4, 5, 3]"
    assert (package / "inputs.txt").read_text() == "x int8 [4, 4, 5, 3]"
    assert (package / "outputs.txt").read_text() == "y int8 [4, 2]"


@pytest.mark.parametrize("signature_type", ["int8", "float32"])
def test_a_package_stays_small(made, package, monkeypatch, signature_type):
    """Fewer samples where they are large, and at least one."""
    if signature_type == "float32":
        signature = files.read_json(made.folder / "info.json")["signature"]
        plain = {"dtype": "float32", "scale": None, "zero_point": None}
        for tensor in (*signature["inputs"], *signature["outputs"]):
            tensor.update(plain)
        made.edit("info", signature=signature)
    # prepared, raw, quantized; and the answer
    sample = 60 * (4 + 1 + (signature_type == "int8")) + (2 if signature_type == "int8" else 8)
    for most, samples in ((4 * sample, 4), (4 * sample - 1, 3), (2 * sample, 2), (0, 1)):
        monkeypatch.setattr(golden, "MOST_BYTES", most)
        run(made.spec(), made.inputs(), Outputs(package / "package.json"))
        shipped = efpkg.verify(package / ARCHIVE).golden
        assert (shipped.samples, len(shipped.raw["input"])) == (samples, samples)
        assert (shipped.prepared == shipped.inputs) == (signature_type == "float32")


def test_raw_samples_that_are_too_large_stay_out(made, package, monkeypatch):
    monkeypatch.setattr(golden, "MOST_RAW_BYTES", 59)
    run(made.spec(), made.inputs(), Outputs(package / "package.json"))
    shipped = efpkg.verify(package / ARCHIVE).golden
    assert (shipped.samples, shipped.raw) == (4, {})
    assert shipped.raw_left_out == "a raw sample takes more than 59 B, the most that a package holds of each"


def test_samples_whose_raw_values_are_small_are_chosen(made, package, monkeypatch):
    """And those that prepare kept."""
    made.edit("dataset", golden_raw={**files.read_json(made.folder / "dataset.json")["golden_raw"], "rows": [1, 5]})
    run(made.spec(), made.inputs(), Outputs(package / "package.json"))
    shipped = efpkg.verify(package / ARCHIVE).golden
    assert (shipped.samples, len(shipped.raw["input"])) == (2, 2)


@pytest.mark.parametrize("name", ["golden", "golden_raw"])
def test_golden_samples_of_another_dataset(made, package, name):
    (made.folder / name).write_bytes(b"other")
    assert _refused(made, package) == (
        f"MismatchError: package: {made.folder}/{name} is not the one that {made.folder}/dataset.json names; "
        "prepare again"
    )


@pytest.mark.parametrize("answers", [np.zeros((5, 2), np.float32), np.zeros((0, 0), np.float32)])
def test_answers_to_other_samples(made, package, answers):
    write_answers(made.folder / "answers", answers, answers)
    assert _refused(made, package) == (
        f"MismatchError: package: {len(answers)} answers in {made.folder}/answers, 6 samples in {made.folder}/golden; "
        "compile the variant again"
    )


# --- interruptions ---------------------------------------------------------------------------------------------------

RUN = """
import json, sys
from pathlib import Path
from edgeflow.preprocessing import Preprocessing, prepared
from edgeflow.runners import harness
from edgeflow.stages import golden
from edgeflow.stages.package import Inputs, Outputs, Spec, run
from edgeflow.types.plain import from_json
spec, inputs, record = json.loads(sys.argv[1])
run(from_json(Spec, spec), Inputs(**{n: Path(p) for n, p in inputs.items()}), Outputs(Path(record)))
"""


@pytest.fixture
def run_elsewhere(project: Path, made: Build, package: Path) -> Callable[[], int]:
    """Run the stage in a process of its own; its exit code."""

    def go() -> int:
        inputs = {name: str(path) for name, path in vars(made.inputs()).items()}
        arguments = json.dumps([to_json(made.spec()), inputs, str(package / "package.json")])
        environment = {"PYTHONPATH": str(project / "src")}
        return subprocess.run([sys.executable, "-c", RUN, arguments], env=environment, check=False).returncode

    return go


@pytest.mark.parametrize("existing", [True, False])
def test_killed_in_the_middle(made, package, run_elsewhere, existing):
    """What was there stays whole; the next run cleans up and completes."""
    if existing:
        assert run_elsewhere() == 0
    before = _everything(package)
    (made.folder / "kill").touch()
    assert run_elsewhere() == -signal.SIGKILL
    assert _everything(package) == before
    assert package.exists() == existing
    (made.folder / "kill").unlink()
    assert run_elsewhere() == 0
    efpkg.verify(package / ARCHIVE)
    assert [p.name for p in package.parent.iterdir()] == ["int8_static"]


def test_without_its_record_the_rest_is_no_package(made, package):
    run(made.spec(), made.inputs(), Outputs(package / "package.json"))
    (package / "package.json").unlink()  # as Snakemake does before it runs the job
    (made.folder / "raise").touch()
    with pytest.raises(KeyboardInterrupt):
        run(made.spec(), made.inputs(), Outputs(package / "package.json"))
    assert [*package.parent.iterdir()] == []


@pytest.mark.parametrize("existing", [True, False])
def test_interrupted_in_the_middle(made, package, existing):
    if existing:
        run(made.spec(), made.inputs(), Outputs(package / "package.json"))
    before = _everything(package.parent)
    (made.folder / "raise").touch()
    with pytest.raises(KeyboardInterrupt):
        run(made.spec(), made.inputs(), Outputs(package / "package.json"))
    assert _everything(package.parent) == before
    assert [p.name for p in package.parent.iterdir()] == (["int8_static"] if existing else [])


def test_what_a_killed_run_left_is_removed_and_what_another_host_writes_is_not(made, package):
    place, _, start = host.owner().split("-")
    nobody = 2**22 + 1
    ended, elsewhere, unknown = (
        package.parent / f".int8_static.{owner}.building"
        for owner in (f"{place}-{nobody}-{start}.a1", f"{'0' * 16}-{nobody}-{start}.a1", "abc")
    )
    for folder in (ended, elsewhere, unknown):
        (folder / "new").mkdir(parents=True)
    run(made.spec(), made.inputs(), Outputs(package / "package.json"))
    assert {p.name for p in package.parent.iterdir()} == {"int8_static", elsewhere.name, unknown.name}
    assert (elsewhere / "new").is_dir()


def test_the_leftovers_of_another_scheme_are_not_touched(made, package):
    other = package.parent / ".int8_dynamic.abc.building"
    other.mkdir(parents=True)
    run(made.spec(), made.inputs(), Outputs(package / "package.json"))
    assert other.is_dir()


# --- inputs that do not belong together ------------------------------------------------------------------------------


def _refused(made: Build, package: Path, spec: Spec | None = None, inputs: Inputs | None = None) -> str:
    """The error's class and message; nothing may be left behind."""
    with pytest.raises((DataError, MismatchError, PackageError, UsageError)) as caught:
        run(spec or made.spec(), inputs or made.inputs(), Outputs(package / "package.json"))
    assert list(package.parent.iterdir()) == []
    return f"{type(caught.value).__name__}: {caught.value}"


@pytest.mark.parametrize(
    ("name", "key"), [("verdict", "net/board"), ("measurement", "net/board"), ("info", f"net/{TARGET.runtime}/any")]
)
def test_file_of_another_variant(made, package, name, key):
    made.edit(name, scheme="fp32")
    assert _refused(made, package) == (
        f"MismatchError: package: {made.folder}/{name}.json is about {key}/fp32, expected {key}/int8_static; "
        "make it again"
    )


def test_a_program_for_another_platform(made, package):
    assert _refused(made, package, made.spec(platform="arm")) == (
        f"MismatchError: package: {made.folder}/info.json is about net/{TARGET.runtime}/any/int8_static, "
        f"expected net/{TARGET.runtime}/arm/int8_static; make it again"
    )


def test_another_program(made, package):
    program = made.folder / "program.bin"
    program.write_bytes(b"x")
    assert _refused(made, package) == (
        f"MismatchError: package: {program} has SHA-256 {files.sha256_bytes(b'x')}, its program.json says "
        f"{made.program}; compile the variant again"
    )


@pytest.mark.parametrize(
    ("name", "stage"), [("checkpoint", "train"), ("converted", "convert"), ("optimized", "optimize")]
)
def test_an_ancestor_that_the_ladder_does_not_know(made, package, name, stage):
    rungs = files.read_as(Program, made.folder / "info.json").ladder.rungs
    kept = tuple(rung for rung in rungs if rung.stage != stage)
    made.edit("info", ladder=to_json(Ladder(kept, binding=BINDING)))
    assert _refused(made, package) == (
        f"MismatchError: package: ladder in {made.folder}/info.json: nothing of {name}; compile the variant again"
    )


def test_a_split_without_a_digest(made, package):
    made.edit("dataset", splits={"evaluation": {"samples": 4}})
    assert _refused(made, package) == f"DataError: {made.folder}/dataset.json: missing key 'sha256'; prepare again"


def test_figures_of_another_program(made, package):
    stale = dataclasses.replace(made.measurements[0], artifact_sha256="0" * 64)
    made.edit("measurement", measurements=to_json((stale, *made.measurements[1:])))
    assert _refused(made, package) == (
        f"PackageError: {ARCHIVE}: manifest.json: measurement 'accuracy_drop' is of artifact '{'0' * 64}', "
        "which is neither in the package nor an ancestor"
    )


def test_a_verdict_on_other_figures(made, package):
    other = dataclasses.replace(made.measurements[0], value=0.02)
    made.edit("measurement", measurements=to_json((other, *made.measurements[1:])))
    assert _refused(made, package) == (
        f"PackageError: {ARCHIVE}: manifest.json: check of 'accuracy_drop': is 'pass' on a figure that is not among "
        "the measurements"
    )


@pytest.mark.parametrize("name", ["measurement", "program", "info", "dataset", "golden", "golden_raw", "answers"])
def test_missing_input(made, package, name):
    inputs = dataclasses.replace(made.inputs(), **{name: None})
    assert _refused(made, package, inputs=inputs) == (
        f"UsageError: edgeflow package --input {name}=PATH is missing for net/board/int8_static"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": None}, "Records.inputs: expected an object, found NoneType; prepare again"),
        (
            {"labels": ["a", "\udcff"]},
            "'utf-8' codec can't encode character '\\udcff' in position 0: surrogates not allowed; prepare again",
        ),
        ({"golden_raw": {"rows": []}}, "missing key 'sha256'; prepare again"),
        (
            {"inputs": {"input": {**to_json(PREPROCESSING), "mean": 0.3}}},
            "Records.inputs.input.mean: expected a list, found float; prepare again",
        ),
    ],
)
def test_malformed_dataset_json(made, package, changes, message):
    made.edit("dataset", **changes)
    assert _refused(made, package) == f"DataError: {made.folder}/dataset.json: {message}"


def test_dataset_json_without_labels(made, package):
    (made.folder / "dataset.json").write_text('{"preprocessing": {}}')
    assert _refused(made, package) == f"DataError: {made.folder}/dataset.json: missing key 'labels'; prepare again"


def test_a_runtime_that_overwrites_package_json(made, package):
    assert _refused(made, package, made.spec("clash")) == (
        f"PackageError: {made.folder}/plugin.py:clash: net/board/int8_static: package_files gave 'package.json', "
        "a name that is taken"
    )


def test_a_runtime_that_overwrites_golden_samples(made, package):
    assert _refused(made, package, made.spec("take")) == (
        f"PackageError: {made.folder}/plugin.py:take: net/board/int8_static: package_files gave 'golden/input.bin', "
        "a name that is taken"
    )


def test_a_runtime_that_writes_elsewhere(made, package):
    message = _refused(made, package, made.spec("escape"))
    assert message == f"PackageError: {ARCHIVE}: manifest.json: files: '../../net.h' leads out of its folder"
    assert not list(package.parent.parent.glob("net.h"))


def test_from_the_command_line(made, package, project):
    given = [f"{name}={path}" for name, path in vars(made.inputs()).items()]
    command = [sys.executable, "-m", "edgeflow", "package", "--spec", json.dumps(to_json(made.spec()))]
    done = subprocess.run(
        [*command, "--input", *given, "--output", f"record={package}/package.json"],
        env={"PYTHONPATH": str(project / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    shown = subprocess.run(
        [sys.executable, "-m", "edgeflow", "verify", package / ARCHIVE],
        env={"PYTHONPATH": str(project / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.startswith(f"{ARCHIVE}: whole, ")


def test_verify_from_the_command_line_refuses(made, package, project):
    run(made.spec(), made.inputs(), Outputs(package / "package.json"))
    with (package / ARCHIVE).open("ab") as stream:
        stream.write(b"x")
    done = subprocess.run(
        [sys.executable, "-m", "edgeflow", "verify", package / ARCHIVE],
        env={"PYTHONPATH": str(project / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (8, "")
    assert done.stderr.startswith(f"PackageError: {package / ARCHIVE}: byte ")
    assert done.stderr.endswith(": 1 bytes after the end of the archive\n")

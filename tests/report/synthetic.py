"""A results tree as the stages leave it, of the default matrix, with every status, evidence and edge that exists.

The figures are made up but of the right size; verdicts are written, not judged, so that these tests are about the
report alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

from edgeflow import failures, files, layout
from edgeflow.figures import bad_end
from edgeflow.report.decide import TargetInfo
from edgeflow.report.imports import Import
from edgeflow.stages.report import Inputs, Outputs, Spec
from edgeflow.types.figures import Budget, Direction, Evidence, Interval, Measurement, Reference
from edgeflow.types.jobs import Failure, JobCost
from edgeflow.types.ladder import Ladder, Rung
from edgeflow.types.programs import Measured, Operators, Program
from edgeflow.types.signatures import Signature, Tensor
from edgeflow.types.variants import Cell
from edgeflow.types.verdicts import Check, Release, Status, Verdict
from edgeflow.units import percent, show, unit_of

N = 899  # evaluation samples
SCHEMES = ("fp32", "fp16", "int8_dynamic", "int8_static", "int16x8")
MODELS = ("digits_dscnn", "digits_resnet8")
TARGETS = (
    TargetInfo("linux_x86_ort", "ONNX Runtime on this x86-64 Linux host", "onnxruntime"),
    TargetInfo("linux_x86_litert", "LiteRT with XNNPACK on this x86-64 Linux host", "litert"),
    TargetInfo("android_arm64_litert", "LiteRT with XNNPACK on 64-bit Arm phones", "litert"),
    TargetInfo("cortex_m4_tflm", "TFLite Micro on a Cortex-M4: 256 KiB RAM, 1 MiB flash", "tflm", "memory_peak_bytes"),
    TargetInfo("ethos_u55_128", "TFLite Micro with an Arm Ethos-U55, 128 MACs", "ethos_u"),
)
_TRAINED = {"digits_dscnn": 889, "digits_resnet8": 893}  # correct evaluation samples of the trained model
_OPERATORS = {"digits_dscnn": ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"), "digits_resnet8": ("CONV_2D", "ADD")}


@dataclass(frozen=True)
class Case:
    """What is known of one feasible variant."""

    correct: int
    size_bytes: int
    memory_bytes: int | None
    p50_s: float | None
    release: Release = Release.RELEASED
    reasons: tuple[str, ...] = ()
    statuses: Mapping[str, Status] = field(default_factory=dict)  # metric → status other than pass
    shipped_without: tuple[str, ...] = ()
    zero_weights_ratio: float | None = 0.0
    compressed: float = 0.9  # of the size
    noise_db: float | None = None  # of an imported model: its task is fidelity


def _held(correct: int, size: int, memory: int | None, p50: float | None, reason: str, **statuses: Status) -> Case:
    return Case(correct, size, memory, p50, Release.HELD, (reason,), statuses)


def _rejected(correct: int, size: int, memory: int | None, p50: float | None, reason: str, metric: str) -> Case:
    return Case(correct, size, memory, p50, Release.REJECTED, (reason,), {metric: Status.FAIL})


_NO_PHONE = "latency_p50_s: evidence host is weaker than device, which the budget demands; add a device of this target"
_TFLM_NO = "TFLite Micro has no {} kernels; see its list of operators"
_SLOW = "latency_ratio_fp32 is {:.2f} (at least {:.2f}), over the limit of 1: slower than fp32 on the same target"
_U = Status.UNMEASURED


def _phone(correct: int, size: int, p50: float) -> Case:
    return _held(correct, size, None, p50, _NO_PHONE, latency_p50_s=_U, memory_peak_bytes=_U)


def _arena(correct: int, size: int, memory: int) -> Case:
    return Case(correct, size, memory, None, statuses={"latency_p50_s": _U}, shipped_without=("latency_p50_s",))


KiB = 1024
_TASKS = {
    True: ("accuracy", "accuracy_drop"),
    False: ("signal_to_noise_db", "cosine_similarity", "agreement", "exact_match"),
}
# A string: infeasible by plan. A tuple: found out by compile. A failure: a job broke. Absent figures: None.
Outcome: TypeAlias = Case | str | tuple[str] | Failure
MATRIX: Mapping[tuple[str, str, str], Outcome] = {
    ("digits_dscnn", "linux_x86_ort", "fp32"): Case(889, 103 * KiB, 1_420_000, 65.2e-6),
    ("digits_dscnn", "linux_x86_ort", "fp16"): Case(889, 56 * KiB, 1_510_000, 64.1e-6),
    ("digits_dscnn", "linux_x86_ort", "int8_dynamic"): _rejected(
        888, 61 * KiB, 1_390_000, 429e-6, _SLOW.format(6.58, 6.49), "latency_ratio_fp32"
    ),
    ("digits_dscnn", "linux_x86_ort", "int8_static"): Case(888, 52 * KiB, 1_230_000, 54.8e-6),
    ("digits_dscnn", "linux_x86_ort", "int16x8"): "ONNX Runtime has no kernels for int16 activations",
    ("digits_resnet8", "linux_x86_ort", "fp32"): Case(893, 318 * KiB, 2_620_000, 232e-6),
    ("digits_resnet8", "linux_x86_ort", "fp16"): _held(
        893,
        164 * KiB,
        2_810_000,
        231.6e-6,
        "latency_ratio_fp32 is 1.00 (0.98 to 1.02): the interval straddles the limit of 1; 4,600 runs would decide",
        latency_ratio_fp32=Status.INSUFFICIENT_EVIDENCE,
    ),
    ("digits_resnet8", "linux_x86_ort", "int8_dynamic"): _rejected(
        892, 104 * KiB, 2_480_000, 388e-6, _SLOW.format(1.67, 1.64), "latency_ratio_fp32"
    ),
    ("digits_resnet8", "linux_x86_ort", "int8_static"): Case(891, 98 * KiB, 1_870_000, 132e-6),
    ("digits_resnet8", "linux_x86_ort", "int16x8"): "ONNX Runtime has no kernels for int16 activations",
    ("digits_dscnn", "linux_x86_litert", "fp32"): Case(889, 99 * KiB, 1_120_000, 58.3e-6),
    ("digits_dscnn", "linux_x86_litert", "fp16"): _held(
        889,
        53 * KiB,
        1_190_000,
        58.4e-6,
        "latency_ratio_fp32 is 1.00 (0.99 to 1.02): the interval straddles the limit of 1; 9,200 runs would decide",
        latency_ratio_fp32=Status.INSUFFICIENT_EVIDENCE,
    ),
    ("digits_dscnn", "linux_x86_litert", "int8_dynamic"): _rejected(
        889, 44 * KiB, 1_040_000, 199e-6, _SLOW.format(3.41, 3.37), "latency_ratio_fp32"
    ),
    ("digits_dscnn", "linux_x86_litert", "int8_static"): Case(888, 42 * KiB, 918_000, 42.1e-6),
    ("digits_dscnn", "linux_x86_litert", "int16x8"): _rejected(
        887, 45 * KiB, 952_000, 2135e-6, _SLOW.format(36.6, 36.2), "latency_ratio_fp32"
    ),
    ("digits_resnet8", "linux_x86_litert", "fp32"): Case(893, 311 * KiB, 2_210_000, 255e-6),
    ("digits_resnet8", "linux_x86_litert", "fp16"): Case(893, 158 * KiB, 2_330_000, 251e-6),
    ("digits_resnet8", "linux_x86_litert", "int8_dynamic"): Case(892, 95 * KiB, 1_730_000, 100e-6),
    ("digits_resnet8", "linux_x86_litert", "int8_static"): Case(891, 93 * KiB, 1_540_000, 78.4e-6),
    ("digits_resnet8", "linux_x86_litert", "int16x8"): Case(
        731,
        96 * KiB,
        1_610_000,
        7826e-6,
        Release.REJECTED,
        (
            "accuracy_drop is 18.02 % (upper bound 20.19 %), over the limit of 1.00 %",
            _SLOW.format(30.7, 30.1),
        ),
        {"accuracy_drop": Status.FAIL, "latency_ratio_fp32": Status.FAIL},
    ),
    ("digits_dscnn", "android_arm64_litert", "fp32"): _phone(889, 99 * KiB, 58.3e-6),
    ("digits_dscnn", "android_arm64_litert", "fp16"): _phone(889, 53 * KiB, 58.6e-6),
    ("digits_dscnn", "android_arm64_litert", "int8_dynamic"): _phone(889, 44 * KiB, 199e-6),
    ("digits_dscnn", "android_arm64_litert", "int8_static"): _phone(888, 42 * KiB, 42.1e-6),
    ("digits_dscnn", "android_arm64_litert", "int16x8"): _rejected(
        868,
        45 * KiB,
        None,
        2135e-6,
        "accuracy_drop is 2.34 % (upper bound 3.28 %), over the limit of 1.00 %",
        "accuracy_drop",
    ),
    ("digits_resnet8", "android_arm64_litert", "fp32"): _phone(893, 311 * KiB, 255e-6),
    ("digits_resnet8", "android_arm64_litert", "fp16"): _phone(893, 158 * KiB, 251e-6),
    ("digits_resnet8", "android_arm64_litert", "int8_dynamic"): _phone(892, 95 * KiB, 100e-6),
    ("digits_resnet8", "android_arm64_litert", "int8_static"): replace(
        _phone(887, 93 * KiB, 78.4e-6),
        reasons=(
            "accuracy_drop is 0.67 % (upper bound 1.21 %): the interval straddles the limit of 1.00 %; "
            "3,120 samples would decide",
            _NO_PHONE,
        ),
        statuses={"accuracy_drop": Status.INSUFFICIENT_EVIDENCE, "latency_p50_s": _U, "memory_peak_bytes": _U},
    ),
    ("digits_resnet8", "android_arm64_litert", "int16x8"): _phone(891, 96 * KiB, 7826e-6),
    ("digits_dscnn", "cortex_m4_tflm", "fp32"): _arena(889, 99 * KiB, 69_520),
    ("digits_dscnn", "cortex_m4_tflm", "fp16"): _TFLM_NO.format("float16"),
    ("digits_dscnn", "cortex_m4_tflm", "int8_dynamic"): _TFLM_NO.format("hybrid"),
    ("digits_dscnn", "cortex_m4_tflm", "int8_static"): _arena(888, 42 * KiB, 23_600),
    ("digits_dscnn", "cortex_m4_tflm", "int16x8"): _arena(887, 45 * KiB, 38_960),
    ("digits_resnet8", "cortex_m4_tflm", "fp32"): (
        "needs an arena of 311 KiB, the target has 256 KiB RAM of which 16 KiB are reserved",
    ),
    ("digits_resnet8", "cortex_m4_tflm", "fp16"): _TFLM_NO.format("float16"),
    ("digits_resnet8", "cortex_m4_tflm", "int8_dynamic"): _TFLM_NO.format("hybrid"),
    ("digits_resnet8", "cortex_m4_tflm", "int8_static"): _arena(891, 93 * KiB, 58_224),
    ("digits_resnet8", "cortex_m4_tflm", "int16x8"): _arena(891, 96 * KiB, 104_300),
    ("digits_dscnn", "ethos_u55_128", "fp32"): "the Ethos-U55 computes in int8 and int16 only",
    ("digits_dscnn", "ethos_u55_128", "fp16"): "the Ethos-U55 computes in int8 and int16 only",
    ("digits_dscnn", "ethos_u55_128", "int8_dynamic"): "the Ethos-U55 needs static ranges",
    ("digits_dscnn", "ethos_u55_128", "int8_static"): Case(888, 38 * KiB, 21_700, 182e-6),
    ("digits_dscnn", "ethos_u55_128", "int16x8"): (
        "3 operators would run on the CPU (MEAN, FULLY_CONNECTED, SOFTMAX); this target accepts 0",
    ),
    ("digits_resnet8", "ethos_u55_128", "fp32"): "the Ethos-U55 computes in int8 and int16 only",
    ("digits_resnet8", "ethos_u55_128", "fp16"): "the Ethos-U55 computes in int8 and int16 only",
    ("digits_resnet8", "ethos_u55_128", "int8_dynamic"): "the Ethos-U55 needs static ranges",
    ("digits_resnet8", "ethos_u55_128", "int8_static"): _rejected(
        891, 84 * KiB, 52_000, 423e-6, "memory_peak_bytes is 50.8 KiB, over the limit of 48 KiB", "memory_peak_bytes"
    ),
    ("digits_resnet8", "ethos_u55_128", "int16x8"): ("2 operators would run on the CPU (ADD); this target accepts 0",),
}


def _import(size: int, p50: float, noise_db: float, release: Release = Release.HELD, *reasons: str) -> Case:
    return Case(N, size, 1_400_000, p50, release, reasons or (RANDOM,), {}, noise_db=noise_db)


RANDOM = (
    "only random inputs were asked, which says nothing sure of its answers to real ones; give samples, or set "
    "accept_random_inputs: true in config/models/detector.yaml"
)
NOISY = (
    "signal_to_noise_db 13.2 dB (lower bound 12.9 dB) is under 20.0 dB, n = 899, device; the limit is the default of "
    "the task fidelity, as config/models/detector.yaml has no budgets"
)
DETECTOR = "detector"  # two outputs; only random inputs were asked
IMPORTED: Mapping[tuple[str, str, str], Outcome] = {
    (DETECTOR, "linux_x86_ort", "fp32"): _import(902 * KiB, 1.9e-3, 120.0),
    (DETECTOR, "linux_x86_ort", "fp16"): _import(462 * KiB, 2.0e-3, 62.4),
    (DETECTOR, "linux_x86_ort", "int8_dynamic"): _import(271 * KiB, 1.6e-3, 28.7),
    (DETECTOR, "linux_x86_ort", "int8_static"): _import(248 * KiB, 0.9e-3, 13.2, Release.REJECTED, NOISY),
    (DETECTOR, "linux_x86_ort", "int16x8"): "ONNX Runtime has no kernels for int16 activations",
}
_SOURCE = {
    "model": DETECTOR,
    "file": "models/detector.onnx",
    "format": "onnx",
    "sha256": "ab" * 32,
    "quantized": "",
    "signature": Signature(
        (Tensor("image", "uint8", ("batch", 3, 96, 96)),),
        (Tensor("boxes", "float32", ("batch", 40, 4)), Tensor("scores", "float32", ("batch", 40))),
    ),
    "reference": None,
    "tools": "onnxruntime 1.32.0",
    "samples": N,
}
OF_BOTH: Mapping[tuple[str, str, str], Outcome] = {**MATRIX, **IMPORTED}

BROKEN = ("digits_dscnn", "ethos_u55_128", "int16x8")
WITH_FAILURE: Mapping[tuple[str, str, str], Outcome] = {
    **MATRIX,
    BROKEN: Failure(
        "compile",
        ("digits_dscnn", "runtime", "ethos_u55_128", "int16x8"),
        "ended by SIGSEGV",
        "results/logs/compile/digits_dscnn/ethos_u/u55/int16x8.log",
        ("/".join(BROKEN),),
    ),
}

_EVIDENCE: Mapping[str, tuple[Evidence, Evidence, Evidence]] = {  # of accuracy, latency, memory
    "linux_x86_ort": (Evidence.DEVICE, Evidence.DEVICE, Evidence.DEVICE),
    "linux_x86_litert": (Evidence.DEVICE, Evidence.DEVICE, Evidence.DEVICE),
    "android_arm64_litert": (Evidence.HOST, Evidence.HOST, Evidence.HOST),
    "cortex_m4_tflm": (Evidence.SIMULATOR, Evidence.SIMULATOR, Evidence.SIMULATOR),
    "ethos_u55_128": (Evidence.HOST, Evidence.ESTIMATE, Evidence.ESTIMATE),
}
_BUDGETS = (
    Budget("accuracy_drop", 0.01, "ratio", Direction.MAX, Evidence.HOST),
    Budget("latency_p50_s", 10e-3, "second", Direction.MAX, Evidence.DEVICE),
    Budget("latency_ratio_fp32", 1.0, "ratio", Direction.MAX, Evidence.DEVICE),
    Budget("memory_peak_bytes", 48 * KiB, "byte", Direction.MAX, Evidence.ESTIMATE),
)


def cells(matrix: Mapping[tuple[str, str, str], Outcome] = MATRIX) -> tuple[Cell, ...]:
    """The plan: model by model, target by target."""
    return tuple(_cell(*key, outcome) for key, outcome in matrix.items())


def _cell(model: str, target: str, scheme: str, outcome: Outcome) -> Cell:
    """A cell whose program no other target shares: each target of the matrix has its own figures."""
    if isinstance(outcome, str):
        return Cell(model, target, scheme, outcome)
    return Cell(model, target, scheme, "", "runtime", target)


def program(model: str, target: str, scheme: str) -> layout.Files:
    """Where the program of a cell is."""
    return layout.compile(model, "runtime", target, scheme)


def build(
    root: Path,
    matrix: Mapping[tuple[str, str, str], Outcome] = MATRIX,
    targets: tuple[TargetInfo, ...] = TARGETS,
    title: str = "edgeflow: digits on five targets",
) -> tuple[Spec, Inputs, Outputs]:
    """Write plan.json and all per-cell files under `root`; return what the report stage is called with."""
    results = root / "results"
    measured = [key for key, outcome in matrix.items() if not isinstance(outcome, str)]
    trained = [(model, "base") for model in dict.fromkeys(model for model, _, _ in matrix)]
    jobs = [("train", *key) for key in trained] + [("measure", *key) for key in measured]
    files.write_json(results / "plan.json", {"cells": cells(matrix), "jobs": jobs})
    for i, (stage, *key) in enumerate(jobs[:-1]):  # the last was made before costs were kept
        worker = "cold" if i == len(trained) else "warm"
        cost = JobCost(stage, "torch", worker, "2026-01-01T00:00:00Z", 2.0 + i, 1.0 + i, (100 + i) << 20, 0)
        files.write_json(path(results, layout.job(stage, *key)), cost)
    imported = any(isinstance(outcome, Case) and outcome.noise_db is not None for outcome in matrix.values())
    if imported:
        files.write_json(path(results, layout.source(DETECTOR)["info"]), _SOURCE)
    for (model, target, scheme), outcome in matrix.items():
        if isinstance(outcome, Case | tuple):
            fp32 = matrix.get((model, target, "fp32"))
            baseline_s = fp32.p50_s if isinstance(fp32, Case) else None
            _write_cell(results, _cell(model, target, scheme, outcome), outcome, baseline_s)
    broken = [outcome for outcome in matrix.values() if isinstance(outcome, Failure)]
    record = path(results, layout.failures())
    failures.write(record, broken)
    report = results / "report"
    outputs = Outputs(report / "index.html", results / "summary.csv", report / "decision.json", report / "sources.json")
    imports = {DETECTOR: Import(("onnx → onnx (onnx_to_onnx)",), labelled=False)} if imported else {}
    return (
        Spec(title, "fp32", targets, imports=imports),
        Inputs(results / "plan.json", results, record if broken else None),
        outputs,
    )


HOSTILE = '"><script>window.pwned=1</script><img src=x onerror=window.pwned=1>'


def build_hostile(root: Path) -> tuple[Spec, Inputs, Outputs]:
    """Names and reasons that try to leave their place in the page; a name is a folder, so it cannot hold a slash."""
    name = HOSTILE.replace("/", "")
    matrix: dict[tuple[str, str, str], Outcome] = {}
    for (model, target, scheme), case in MATRIX.items():
        if (model, target) == ("digits_dscnn", "linux_x86_ort"):
            hurt = replace(case, reasons=(HOSTILE,)) if isinstance(case, Case) and case.reasons else case
            own = name if scheme == "int8_static" else scheme
            matrix[name, name, own] = HOSTILE if isinstance(case, str) else hurt
    return build(root, matrix, (TargetInfo(name, HOSTILE, HOSTILE),), title=HOSTILE)


def path(results: Path, name: str) -> Path:
    """A path of layout.py inside another results folder."""
    return results / Path(name).relative_to(layout.RESULTS)


def _write_cell(results: Path, cell: Cell, outcome: Case | tuple[str], baseline_s: float | None) -> None:
    key = (cell.model, cell.target, cell.scheme)
    feasible = isinstance(outcome, Case)
    info, measured, verdict = _feasible(cell, outcome, baseline_s) if feasible else _infeasible(cell, outcome[0])
    compiled = program(*key)
    files.write_json(path(results, compiled["info"]), info)
    files.write_json(path(results, layout.measure(*key)["measurement"]), measured)
    files.write_json(path(results, layout.judge(*key)["verdict"]), verdict)


def _infeasible(cell: Cell, why: str) -> tuple[Program, Measured, Verdict]:
    """Compile found out that there is no usable program; the ladder ends at optimize."""
    key = (cell.model, cell.target, cell.scheme)
    ladder = Ladder(tuple(_rungs(cell, _TRAINED.get(cell.model, 889)))[:3])
    return (
        Program(cell.model, cell.runtime, cell.platform, cell.scheme, why, "", 0, None, (), "program", ladder=ladder),
        Measured(*key, why, (), (), None),
        Verdict(*key, Status.INFEASIBLE, Release.INFEASIBLE, (why,), (), ()),
    )


def _feasible(cell: Cell, case: Case, baseline_s: float | None) -> tuple[Program, Measured, Verdict]:
    key = (cell.model, cell.target, cell.scheme)
    sha256 = hashlib.sha256(cell.id.encode()).hexdigest()
    signature = Signature(
        (Tensor("input", "float32", (1, 49, 10, 1)),),
        (Tensor("output", "int8", (1, 10), 0.0039, -128),)
        if "int8_static" in cell.scheme
        else (Tensor("output", "float32", (1, 10)),),
    )
    operators = tuple(_operators(cell))
    measurements = tuple(_measurements(cell, case, sha256, baseline_s))
    checks = tuple(_checks(cell, case, {m.metric: m for m in measurements}))
    status = Status.PASS
    if case.release is Release.REJECTED:
        status = Status.FAIL
    elif case.release is Release.HELD:
        insufficient = Status.INSUFFICIENT_EVIDENCE in case.statuses.values()
        status = Status.INSUFFICIENT_EVIDENCE if insufficient else Status.UNMEASURED
    return (
        Program(
            *(cell.model, cell.runtime, cell.platform, cell.scheme, ""),
            *(sha256, case.size_bytes, signature, operators, "program", (), {"ai-edge-litert": "2.3.0"}),
            ladder=Ladder(
                tuple(_rungs(cell, case.correct) if case.noise_db is None else _of_import(cell, case.noise_db))
            ),
            zero_weights_ratio=case.zero_weights_ratio,
            compressed_bytes=round(case.compressed * case.size_bytes),
        ),
        _measured(key, case, measurements, operators, signature),
        Verdict(*key, status, case.release, case.reasons, case.shipped_without, checks, _TASKS[case.noise_db is None]),
    )


def _measured(
    key: tuple[str, str, str],
    case: Case,
    measurements: tuple[Measurement, ...],
    operators: tuple[Operators, ...],
    signature: Signature,
) -> Measured:
    if case.noise_db is None:
        return Measured(*key, "", measurements, operators, signature)
    same = Interval(120.0, 120.0, 1.0, "identical answers")
    reference = Reference("signal_to_noise_db", 120.0, N, same, Direction.MAX, None, "decibel")
    return Measured(*key, "", measurements, operators, signature, {}, reference, declared="random")


def _operators(cell: Cell) -> Iterator[Operators]:
    placement = {"ethos_u55_128": "Ethos-U55", "cortex_m4_tflm": "CPU", "linux_x86_ort": "CPUExecutionProvider"}
    where = placement.get(cell.target, "XNNPACK")
    for count, name in enumerate(_OPERATORS.get(cell.model, ("CONV_2D",)), start=4):
        yield Operators(name, count, where)
    if where == "XNNPACK":
        yield Operators("SOFTMAX", 1, "CPU")


def _measurements(cell: Cell, case: Case, sha256: str, baseline_s: float | None) -> Iterator[Measurement]:
    accuracy, latency, memory = _EVIDENCE.get(cell.target, (Evidence.DEVICE,) * 3)
    tools = {"ai-edge-litert": "2.3.0", "numpy": "2.4.6"}
    value = case.correct / N
    drop = (_TRAINED.get(cell.model, 889) - case.correct) / N

    def figure(metric: str, value: float, evidence: Evidence, method: str, n: int, half: float = 0.0) -> Measurement:
        interval = Interval(value - half, value + half, 0.9, "order statistics") if half else None
        return Measurement(
            metric, value, unit_of(metric), evidence, "build-host", sha256, method, n, interval,
            "2026-01-05T10:00:00Z", tools, {"threads": 1, "load_average": 0.4},
        )  # fmt: skip

    if case.noise_db is not None:
        declared = {"inputs": "declared random"}
        for metric, found, low, high in _fidelity(case.noise_db):
            made = figure(metric, found, accuracy, f"{metric} on declared random inputs", N)
            if found == 120.0:
                declared = {**declared, "answers": "equal bit for bit"}
            interval = Interval(low, high, 0.95, "wilson" if metric == "agreement" else "bootstrap-t")
            yield replace(made, interval=interval, conditions={**made.conditions, **declared})
    else:
        yield from _of_labels(case, value, drop, partial(figure, evidence=accuracy, n=N))
    yield figure("size_bytes", case.size_bytes, Evidence.DEVICE, "size of the program file", 1)
    if case.memory_bytes is not None:
        process = latency is Evidence.DEVICE
        method = "high-water mark of the process above the runtime's baseline" if process else "recorded arena"
        yield figure("memory_peak_bytes", case.memory_bytes, memory, method, 1)
    if case.p50_s is None:
        return
    for metric, factor in (("latency_p50_s", 1.0), ("latency_p90_s", 1.06), ("latency_p99_s", 1.31)):
        p = case.p50_s * factor
        half = 0.015 * p if latency is not Evidence.ESTIMATE else 0.0
        yield figure(metric, p, latency, "12,000 runs after 200 of warm-up, batch 1", 12_000, half)
    if latency is not Evidence.ESTIMATE:
        yield figure("first_inference_s", 40 * case.p50_s, latency, "from loading the program to the first output", 1)
    else:
        yield figure("accelerator_cycles", case.p50_s * 500e6, latency, "vela 5.2, 500 MHz", 1)
        yield figure("cpu_operators", 0, latency, "vela 5.2", 1)
    if cell.scheme != "fp32" and baseline_s:
        ratio = case.p50_s / baseline_s
        yield figure("latency_ratio_fp32", ratio, latency, "interleaved with fp32 in one run", 12_000, 0.02 * ratio)


def _fidelity(noise_db: float) -> Iterator[tuple[str, float, float, float]]:
    """Figures of two outputs, of which the boxes are worse, with their intervals."""
    cosine = 1 / (1 + 10 ** (-noise_db / 10)) ** 0.5
    least = min(noise_db + 0.4, 120.0)
    yield "signal_to_noise_db", noise_db, noise_db - 0.3, least
    yield "cosine_similarity", cosine, cosine - 1e-4, min(cosine + 1e-4, 1.0)
    agreement = 1 - min(1, 10 ** (-noise_db / 20)) / 3
    yield "agreement", agreement, *_wilson(round(agreement * N), N)
    yield "signal_to_noise_db/boxes", noise_db, noise_db - 0.3, least
    yield "signal_to_noise_db/scores", min(noise_db + 6, 120.0), noise_db + 5, min(noise_db + 7, 120.0)


def _of_labels(case: Case, value: float, drop: float, figure: Callable[..., Measurement]) -> Iterator[Measurement]:
    yield replace(
        figure("accuracy", value, method="all evaluation samples, batch 1"),
        interval=Interval(*_wilson(case.correct, N), 0.95, "wilson"),
    )
    yield replace(
        figure("accuracy_drop", drop, method="paired with the trained fp32 model on the same samples"),
        interval=Interval(drop - 0.0045, drop + 0.0054, 0.9, "tango"),
    )


def _wilson(correct: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    p = correct / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    return centre - half, centre + half


def _checks(cell: Cell, case: Case, measured: Mapping[str, Measurement]) -> Iterator[Check]:
    noise = Budget("signal_to_noise_db", 20.0, "decibel", Direction.MIN, Evidence.HOST)
    for default in _BUDGETS if case.noise_db is None else (noise, *_BUDGETS[1:]):
        budget = default
        if budget.metric == "memory_peak_bytes" and cell.target != "ethos_u55_128":
            continue
        if budget.metric == "latency_p50_s" and cell.target == "ethos_u55_128":
            budget = replace(default, evidence=Evidence.ESTIMATE)
        figure = measured.get(budget.metric)
        status = case.statuses.get(budget.metric, Status.PASS if figure else _U)
        if budget.metric == "latency_ratio_fp32" and figure is None:
            status = Status.NOT_APPLICABLE
        bound = bad_end(figure.interval, budget.direction) if figure else None
        judged = bound if bound is not None else figure.value if figure else None
        limit = percent(budget.limit) if budget.unit == "ratio" else show(budget.limit, budget.unit)
        yield Check(
            metric=budget.metric,
            status=status,
            limit=budget.limit,
            unit=budget.unit,
            direction=budget.direction,
            evidence_required=budget.evidence,
            value=figure.value if figure else None,
            bound=bound,
            margin=None if judged is None else _margin(budget, judged),
            evidence=figure.evidence if figure else None,
            reason=f"{budget.metric} is {status.value} against {limit}",
            samples_to_decide=3120 if status is Status.INSUFFICIENT_EVIDENCE else None,
        )


def _margin(budget: Budget, judged: float) -> float:
    return budget.limit - judged if budget.direction is Direction.MAX else judged - budget.limit


def _of_import(cell: Cell, noise_db: float) -> Iterator[Rung]:
    """Of a file: converting and compiling change nothing, and the evaluation samples are asked when they may have."""
    values = {"source": 120.0, "convert": None, "optimize": noise_db, "compile": None}
    for stage, value in values.items():
        yield Rung(
            *(stage, "signal_to_noise_db", value, N if value is not None else 0),
            golden_max_abs=None if stage == "source" else 0.02 if stage == "optimize" else 1e-6,
            golden_mean_abs=None if stage == "source" else 1e-7,
            golden_range=3.1,
            agreement=None if stage == "source" else 1.0,
            tolerance=1e-4 if stage in ("convert", "compile") else None,
            tolerance_reason="float32 rounding",
            artifact_sha256=hashlib.sha256(f"{cell.id} {stage}".encode()).hexdigest(),
            evaluated_on="onnxruntime 1.32.0",
            golden_n=8,
            golden_output="boxes",
        )


def _rungs(cell: Cell, correct: int) -> Iterator[Rung]:
    """Accuracy is lost at optimize; compile moves it by at most a sample."""
    trained = _TRAINED.get(cell.model, 889)
    lossy = cell.scheme not in ("fp32",)
    distances = {"convert": 2.4e-6, "optimize": {"fp16": 4e-3}.get(cell.scheme, 0.31) if lossy else 0.0, "compile": 0.0}
    if cell.target == "cortex_m4_tflm":
        distances["compile"] = 0.11
    scores = {"train": trained, "convert": trained, "optimize": min(correct + (correct < 880), N), "compile": correct}
    for stage, score in scores.items():
        distance = distances.get(stage)
        yield Rung(
            stage=stage,
            metric="accuracy",
            value=score / N,
            n=N,
            golden_max_abs=distance,
            golden_mean_abs=distance / 7 if distance is not None else None,
            golden_range=26.4,
            agreement=None if stage == "train" else 1 - abs(score - trained) / N,
            tolerance={"convert": 1e-4, "compile": 0.02}.get(stage),
            tolerance_reason={"convert": "float32 rounding over nine layers"}.get(stage, "lossy by design"),
            artifact_sha256=hashlib.sha256(f"{cell.id} {stage}".encode()).hexdigest(),
            evaluated_on={"train": "torch 2.13.0"}.get(stage, "ai-edge-litert 2.3.0"),
            operators={"optimize": {"CONV_2D": 9, "DEQUANTIZE": 3}}.get(stage, {}),
        )

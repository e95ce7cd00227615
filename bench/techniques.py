"""What training-time steps do to accuracy, latency, zeros and compressed size: default data, three seeds.

Each recipe is held against its control: as many epochs at the same learning rates with no technique. Every seed has a
project in the folder for temporary files, of which its rows stay until the code or the settings change: what was
interrupted goes on.
"""

from __future__ import annotations

import hashlib
import shutil
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from bench.builds import CHECKOUT, Build, made_in
from bench.measure import table
from edgeflow import files, layout
from edgeflow.types.plain import from_json
from edgeflow.types.programs import Measured, Program

SEEDS = (0, 1, 2)
MODELS = ("digits_dscnn", "digits_resnet8")
ORT, LITERT, TFLM = "linux_x86_ort", "linux_x86_litert", "cortex_m4_tflm"
PRUNE = {"prune": {"sparsity": "70 %", "epochs": 10}}
CHANNELS = {"prune_channels": {"channels": "50 %", "iterations": 4, "epochs": 40, "learning_rate": 0.004}}
MACS = {"prune_channels": {"macs": "50 %", "epochs": 40, "learning_rate": 0.004}}
AWARE = {"quantize_aware": {"epochs": 10}}
STEPS: Mapping[str, list[dict[str, Any]]] = {
    **{"qat": [AWARE], "tuned_int8": [{"fine_tune": {"epochs": 10}}]},
    **{"pruned": [PRUNE], "pruned_qat": [PRUNE, AWARE]},
    **{"half": [CHANNELS], "half_macs": [MACS]},
}
# The same scheme without steps; tuned_int8 is the control of qat, quantized after training.
DENSE = {scheme: "int8_static" if "qat" in scheme or "int8" in scheme else "fp32" for scheme in STEPS}
SCHEMES = ("fp32", "int8_static", *STEPS)
ON_TFLM = ("int8_static", "pruned_qat")  # it runs the bytes that LiteRT runs
STUDENTS = {"digits_dscnn": {"channels": 16}, "digits_resnet8": {"channels": 4}}  # teacher → builder arguments
DISTILL = {"epochs": 20, "learning_rate": 0.004, "features": {"blocks": "blocks"}, "feature_weight": 1}
STEPS_HEADER = (
    *("model", "target", "scheme", "accuracy, %", "against control, points", "latency, × fp32"),
    *("fewer MACs, ×", "zeros, %", "compressed, % of dense"),
)
DISTILLED_HEADER = (
    *("teacher", "student has", "teacher, %", "student before, %", "alone, %", "distilled, %", "gain, points"),
)


@dataclass(frozen=True)
class Row:
    """One variant with one seed."""

    model: str
    target: str
    scheme: str
    accuracy: float
    control: float | None  # accuracy of the recipe's control before quantization; None without steps
    latency_ratio: float | None  # to the fp32 program of the unchanged model, side by side; None where nothing is timed
    macs_ratio: float  # multiply-accumulates before over after
    parameters: float
    zeros: float | None
    compressed_bytes: int | None


Key: TypeAlias = tuple[str, str, str]  # model, target, scheme
Rows: TypeAlias = Mapping[Key, list[Row]]  # one a seed


def main() -> None:
    """Print the tables; accuracy in percent, differences in points, everything as mean and range over the seeds."""
    rows: dict[Key, list[Row]] = {}
    for row in _all_seeds():
        rows.setdefault((row.model, row.target, row.scheme), []).append(row)
    print(f"\ntraining-time steps, seeds {', '.join(map(str, SEEDS))}: mean (least – greatest)")
    print(table(STEPS_HEADER, [_line(key, rows) for key in rows if key[2] in SCHEMES and key[0] in MODELS]))
    print("\ndistillation: a student, its teacher, and the student alone for as many epochs")
    print(table(DISTILLED_HEADER, [_distilled_line(teacher, rows) for teacher in STUDENTS]))
    print()
    for claim, holds in _claims(rows):
        print(f"{'holds' if holds else 'DOES NOT HOLD'}: {claim}")


# --- building --------------------------------------------------------------------------------------------------------


def _all_seeds() -> Iterator[Row]:
    for seed in SEEDS:
        folder = _kept(seed)
        rows = folder / "rows.json"
        if not rows.is_file():
            build = _project(folder)
            done = build.snakemake(build.environment(warm=True), "--config", f"seed={seed}")
            files.write_json(rows, list(_rows(build)))
            shutil.rmtree(build.folder)
            print(f"seed {seed}: built in {done.wall_s:.0f} s", flush=True)
        yield from (from_json(Row, row) for row in files.read_json(rows))


def _kept(seed: int) -> Path:
    """The folder of a seed, for this code and this configuration."""
    digest = hashlib.sha256()
    paths = [Path(__file__), *(CHECKOUT / "src").rglob("*.py"), *(CHECKOUT / "config").rglob("*.yaml")]
    for path in sorted(paths):
        digest.update(path.read_bytes())
    return Path(tempfile.gettempdir()) / f"edgeflow-techniques-{digest.hexdigest()[:16]}" / str(seed)


def _project(parent: Path) -> Build:
    """The project of a seed; what was interrupted is there, and Snakemake goes on with it."""
    if (parent / "configured").is_file():
        return Build(parent / "project", parent / "run")
    shutil.rmtree(parent, ignore_errors=True)
    included = [
        *((_student(teacher), ORT, scheme) for teacher in STUDENTS for scheme in ("fp32", _taught(teacher))),
        *((model, TFLM, scheme) for model in MODELS for scheme in ON_TFLM),
    ]
    cells = [dict(zip(("model", "target", "scheme"), names, strict=True)) for names in included]
    build = made_in(parent, models=list(MODELS), targets=[ORT, LITERT], schemes=list(SCHEMES), include=cells)
    _configure(build.folder / "config")
    (parent / "configured").touch()
    return build


def _configure(config: Path) -> None:
    """Add the schemes with steps, and the students."""
    for scheme, steps in STEPS.items():
        _derive(config / f"schemes/{DENSE[scheme]}.yaml", scheme, steps=steps)
    for teacher, arguments in STUDENTS.items():
        _derive(config / f"models/{teacher}.yaml", _student(teacher), arguments=arguments)
        steps = [{"distill": {**DISTILL, "teacher": teacher}}]
        _derive(config / "schemes/fp32.yaml", _taught(teacher), steps=steps)


def _derive(path: Path, name: str, **changes: object) -> None:
    content = {**yaml.safe_load(path.read_text("utf-8")), **changes}
    path.with_name(f"{name}.yaml").write_text(yaml.safe_dump(content), "utf-8")


def _student(teacher: str) -> str:
    return f"small_{teacher}"


def _taught(teacher: str) -> str:
    return f"taught_by_{teacher}"


def _rows(build: Build) -> Iterator[Row]:
    plan = files.read_json(build.folder / layout.plan()["plan"])
    recipe_of = {scheme: recipe for recipe, schemes in plan["recipes"].items() for scheme in schemes}
    for cell in plan["cells"]:
        if "reason" in cell:
            continue
        names = (cell["model"], cell["target"], cell["scheme"])
        compiled = layout.compile(cell["model"], cell["runtime"], cell["platform"], cell["scheme"])
        program = files.read_as(Program, build.folder / compiled["info"])
        measured = files.read_as(Measured, build.folder / layout.measure(*names)["measurement"])
        figures = {m.metric: m.value for m in measured.measurements}
        info = files.read_json(build.folder / layout.train(cell["model"], recipe_of[cell["scheme"]])["info"])
        against, trained = info["against_control"], info["figures"]
        yield Row(
            *names,
            accuracy=figures["accuracy"],
            control=against["control"]["value"] if against else None,
            latency_ratio=figures.get("latency_ratio_fp32"),
            macs_ratio=trained.get("macs_before", 1) / trained.get("macs", 1),
            parameters=trained["parameters"],
            zeros=program.zero_weights_ratio,
            compressed_bytes=program.compressed_bytes,
        )


# --- tables ----------------------------------------------------------------------------------------------------------


def _line(key: Key, rows: Rows) -> tuple[str, ...]:
    of_seeds = rows[key]
    return (
        *(*key, _spread([100 * row.accuracy for row in of_seeds]), _spread(_against(of_seeds))),
        _spread([row.latency_ratio for row in of_seeds if row.latency_ratio is not None]),
        f"{statistics.mean(row.macs_ratio for row in of_seeds):.2f}",
        _spread([100 * row.zeros for row in of_seeds if row.zeros is not None], 1),
        _spread([100 * ratio for ratio in _compressed(key, rows)], 0),
    )


def _against(of_seeds: list[Row]) -> list[float]:
    """Points above the control, a seed."""
    return [100 * (row.accuracy - row.control) for row in of_seeds if row.control is not None]


def _compressed(key: Key, rows: Rows) -> list[float]:
    """Compressed size over that of the same scheme without steps, a seed."""
    model, target, scheme = key
    dense = rows.get((model, target, DENSE.get(scheme, scheme)), [])
    pairs = zip(rows[key], dense, strict=True)
    return [a.compressed_bytes / b.compressed_bytes for a, b in pairs if a.compressed_bytes and b.compressed_bytes]


@dataclass(frozen=True)
class Distilled:
    """What a student gained; accuracies in percent, a seed."""

    parameters: float  # ratio to the teacher's
    teacher: list[float]
    before: list[float]
    alone: list[float]
    distilled: list[float]

    @property
    def gains(self) -> list[float]:
        """Points above the student alone."""
        return [a - b for a, b in zip(self.distilled, self.alone, strict=True)]

    @property
    def range(self) -> float:
        """Points between the best and the worst seed, of the student alone or distilled: the larger."""
        return max(max(values) - min(values) for values in (self.alone, self.distilled))


def _distillation(teacher: str, rows: Rows) -> Distilled:
    large, small = rows[teacher, ORT, "fp32"], rows[_student(teacher), ORT, "fp32"]
    taught = rows[_student(teacher), ORT, _taught(teacher)]
    return Distilled(
        parameters=small[0].parameters / large[0].parameters,
        teacher=[100 * row.accuracy for row in large],
        before=[100 * row.accuracy for row in small],
        alone=[100 * row.control for row in taught if row.control is not None],
        distilled=[100 * row.accuracy for row in taught],
    )


def _distilled_line(teacher: str, rows: Rows) -> tuple[str, ...]:
    student = _distillation(teacher, rows)
    columns = (student.teacher, student.before, student.alone, student.distilled, student.gains)
    return (teacher, f"{student.parameters:.1%}", *map(_spread, columns))


def _spread(values: list[float], digits: int = 2) -> str:
    if not values:
        return "–"
    return f"{statistics.mean(values):.{digits}f} ({min(values):.{digits}f} – {max(values):.{digits}f})"


# --- claims ----------------------------------------------------------------------------------------------------------


def _claims(rows: Rows) -> Iterator[tuple[str, bool]]:
    """What the steps should do, with the figure, and whether it does."""
    for model in MODELS:
        for target in (ORT, LITERT):
            yield from _aware(model, target, rows)
    for model in MODELS:
        for scheme, what in (("half", "half of the channels"), ("half_macs", "half of the multiply-accumulates")):
            yield from _halved(model, scheme, f"{model} without {what}", rows)
    for model in MODELS:
        for target, scheme in ((ORT, "pruned"), (LITERT, "pruned"), *((t, "pruned_qat") for t in (ORT, LITERT, TFLM))):
            yield from _zeroed((model, target, scheme), rows)
    for teacher in STUDENTS:
        student = _distillation(teacher, rows)
        gain, spread = statistics.mean(student.gains), student.range
        text = f"{_student(teacher)} with {student.parameters:.1%} of the teacher's parameters gains {gain:+.2f} points"
        yield (
            f"{text} by distillation, more than the {spread:.2f} between seeds",
            student.parameters <= 0.25 and gain > spread,
        )
    for model in MODELS:
        for target in (ORT, LITERT, TFLM):
            of_seeds = rows.get((model, target, "pruned_qat"), [])
            worst = min(_against(of_seeds), default=-100.0)
            text = (
                f"{model} on {target}: pruned and quantization-aware in one scheme runs, {worst:+.2f} points at worst"
            )
            yield text, len(of_seeds) == len(SEEDS)


def _aware(model: str, target: str, rows: Rows) -> Iterator[tuple[str, bool]]:
    where = f"{model} on {target}: quantization-aware int8"
    aware = rows[model, target, "qat"]
    drop = statistics.mean(_against(aware))
    yield f"{where} is within 0.3 points of its fp32 control: {drop:+.2f}", drop >= -0.3
    for name, other in (("int8_static", "int8_static"), ("its control in int8", "tuned_int8")):
        pairs = zip(aware, rows[model, target, other], strict=True)
        gain = 100 * statistics.mean(a.accuracy - b.accuracy for a, b in pairs)
        yield f"{where} is no worse than {name}: {gain:+.2f} points", gain >= 0


def _halved(model: str, scheme: str, where: str, rows: Rows) -> Iterator[tuple[str, bool]]:
    of_seeds = rows[model, ORT, scheme]
    macs, drop = statistics.mean(row.macs_ratio for row in of_seeds), statistics.mean(_against(of_seeds))
    yield f"{where} has {macs:.2f}× fewer multiply-accumulates, at least 2", macs >= 2
    yield f"{where} is within 1 point of its control: {drop:+.2f}", drop >= -1
    for target in (ORT, LITERT):
        ratios = [row.latency_ratio for row in rows[model, target, scheme] if row.latency_ratio]
        faster = 1 / statistics.mean(ratios)
        yield f"{where} is {faster:.2f}× faster on {target}, at least 1.4", faster >= 1.4


def _zeroed(key: Key, rows: Rows) -> Iterator[tuple[str, bool]]:
    zeros = [row.zeros for row in rows[key] if row.zeros is not None]
    size = statistics.mean(_compressed(key, rows))
    where = " ".join(key)
    yield f"{where}: {100 * min(zeros):.2f} % zeros in the program, at least 69.5", min(zeros) >= 0.695
    yield f"{where}: compressed to {100 * size:.0f} % of the dense one, at most 50", size <= 0.5

"""measure: run the program of one variant and say what it does, how fast, and how that is known.

Takes a program and, for the comparison, the baseline's program for the same target; makes measurement.json. The runner
works in a fresh process, so that its memory is the program's and not this stage's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow import files, stats
from edgeflow.errors import MismatchError, StageError, UsageError
from edgeflow.figures import ELSEWHERE, RATIO, strongest
from edgeflow.plugin import Comparison, Drop, Runtime, Score, Task, Unsupported
from edgeflow.registry import load_reference
from edgeflow.runners import harness, identity
from edgeflow.stages import reference, splits
from edgeflow.stages.isolated import CrashError, check_ending
from edgeflow.stages.ladder import Asked
from edgeflow.stages.ladder import Outputs as Answers
from edgeflow.types.figures import DROP, Evidence, Measurement
from edgeflow.types.plain import from_json, to_json
from edgeflow.types.programs import Measured, Operators, Program
from edgeflow.types.variants import Target
from edgeflow.units import show, unit_of

if TYPE_CHECKING:
    from edgeflow.plugin import Answers as NamedAnswers

PERCENTILES = {"latency_p50_s": 0.50, "latency_p90_s": 0.90, "latency_p99_s": 0.99}
WARMUP_RUNS = 20
# 1,000 runs give 20 pairs of blocks: long enough for a median each, enough of them for an interval of their ratios.
BLOCK_RUNS = 50
# Of samples that were timed, to show that others need not be asked again: of the same file, and of another one.
SAME_FILE = {"samples": 20, "different": 1}
ANOTHER_FILE = {"samples": 100, "different": 100}


@dataclass(frozen=True)
class Spec:
    """All that measure depends on beside its files."""

    model: str
    target: Target
    scheme: str
    task: str  # plugin references
    runtime: str
    device: str  # id of the attached device of this target; "" when there is none
    # Of the machine that this is to be measured on, the device where there is one; {} where nothing is timed here.
    identity: Mapping[str, str]
    without_baseline: str  # why there is no baseline to compare with; "" when there is one, or nothing is timed
    max_runs: int
    max_seconds: float
    enough: Mapping[str, float]  # "runs" and "seconds": where there are both, no more runs are timed
    output: str = ""  # the one that the model's configuration names; "": it names none


@dataclass(frozen=True)
class Inputs:
    """A program, what it is compared with, and the samples."""

    program: Path
    info: Path
    evaluation: Path
    reference: Path  # what the model itself answered
    source: Path | None = None  # what the program was compiled from, where the program cannot run here
    compiled_outputs: Path | None = None  # what it answered when it was compiled, or the last model that was asked
    baseline: Path | None = None
    baseline_info: Path | None = None


@dataclass(frozen=True)
class Outputs:
    """Every figure of one variant."""

    measurement: Path


def run(spec: Spec, inputs: Inputs, outputs: Outputs) -> None:
    """Measure one variant; what has no program, or no room on the target, has no figures and says why.

    Raises StageError when the runner fails, MismatchError when files do not belong together.
    """
    info = files.read_as(Program, inputs.info)
    if reason := info.infeasible or _no_flash(spec.target, info):
        _record_infeasible(spec, info, outputs, reason)
        return
    _check_digest(inputs.program, info)
    runtime: Runtime = load_reference(spec.runtime)
    baseline, not_applicable = _baseline(spec, inputs)
    job = _job(spec, inputs, info, runtime, baseline)
    executed = _execute(job, f"{spec.model}/{spec.target.id}/{spec.scheme}", runtime, inputs)
    if isinstance(executed, Unsupported):
        _record_infeasible(spec, info, outputs, executed.reason)
        return
    result, answers = executed
    declared = splits.opened(inputs.evaluation).declared
    figures = Figures(spec, info, runtime, job, result, declared)
    memory = tuple(_memory_figures(figures, result))
    task: Task = load_reference(spec.task)
    labels = splits.targets(inputs.evaluation, task)
    trained = Answers.read(inputs.reference).evaluation
    _check_shapes(answers, trained, inputs)
    compared = reference.comparison(trained, answers, labels, spec.output)
    if reason := _no_ram(spec.target, (*memory, *info.estimates)):
        _record_infeasible(spec, info, outputs, reason)
        return
    measured = Measured(
        spec.model,
        spec.target.id,
        spec.scheme,
        infeasible="",
        measurements=(
            *_task_figures(figures, task, compared, declared, _unasked(job, result, answers)),
            *_time_figures(figures, result),
            *memory,
            figures.size(),
            *info.estimates,
        ),
        signature=info.signature,
        # the runner saw which kernels ran; where the program itself cannot run here, the compiler knows
        operators=_operators(result) if info.runs == "program" else info.operators,
        not_applicable=not_applicable,
        reference=reference.score(task, compared),
        missing=reference.missing(task, compared),
        declared=declared,
    )
    files.write_json(outputs.measurement, measured)


def _no_flash(target: Target, info: Program) -> str:
    """Why the target cannot hold a program; empty when it can, or nobody says how much flash it has."""
    has = target.flash_bytes
    if has is None or info.size_bytes <= has:
        return ""
    return f"the program takes {show(info.size_bytes, 'byte')} of flash, {target.id} has {show(has, 'byte')}"


def _no_ram(target: Target, measurements: Sequence[Measurement]) -> str:
    """Why the target cannot run a program: the best proven figure of its working memory is more than there is."""
    has = target.ram_bytes
    needs = strongest(measurements).get("memory_peak_bytes")
    if has is None or needs is None or needs.value <= has:
        return ""
    return f"needs {show(needs.value, 'byte')} of RAM, {target.id} has {show(has, 'byte')}"


def _record_infeasible(spec: Spec, info: Program, outputs: Outputs, reason: str) -> None:
    measured = Measured(spec.model, spec.target.id, spec.scheme, reason, (), (), info.signature)
    files.write_json(outputs.measurement, measured)


def _check_digest(program: Path, info: Program) -> None:
    digest = files.sha256_file(program)
    if digest != info.sha256:
        raise MismatchError(
            f"measure: {program} has SHA-256 {digest}, its program.json says {info.sha256}; compile the variant again"
        )


def _baseline(spec: Spec, inputs: Inputs) -> tuple[Path | None, Mapping[str, str]]:
    """The program to time in turn with this one, or why the ratio to it means nothing here."""
    if spec.without_baseline:
        return None, {RATIO: spec.without_baseline}
    if inputs.baseline is None or inputs.baseline_info is None:
        return None, {}
    info = files.read_as(Program, inputs.baseline_info)
    if reason := info.infeasible or _no_flash(spec.target, info):
        return None, {RATIO: f"{info.scheme} is infeasible on this target: {reason}"}
    _check_digest(inputs.baseline, info)
    return inputs.baseline, {}


def _job(spec: Spec, inputs: Inputs, info: Program, runtime: Runtime, baseline: Path | None) -> dict[str, Any]:
    """What the runner is asked to do, but for the paths it writes to: see runners/harness.py."""
    itself = info.runs == "program"
    times = runtime.times and itself
    program = inputs.program if itself else _need(inputs, "source")
    compared = None
    if baseline and inputs.baseline_info and times:
        ladder = files.read_as(Program, inputs.baseline_info).ladder
        compared = {"program": str(baseline.resolve()), "binding": to_json(ladder.binding)}
    return {
        "backend": str(runtime.backend.resolve()),
        "program": str(program.resolve()),
        "binding": to_json(info.ladder.binding),
        "baseline": compared,
        "threads": spec.target.threads,
        "split": str(inputs.evaluation.resolve()),
        "known": _known(inputs) if times else None,
        "times": times,
        "max_runs": spec.max_runs,
        "max_seconds": spec.max_seconds,
        "enough": spec.enough,
        "warmup_runs": WARMUP_RUNS,
        "block_runs": BLOCK_RUNS,
    }


def _known(inputs: Inputs) -> dict[str, Any] | None:
    """Answers that need not be asked for again, where the program proves to give them: see runners/harness.py."""
    path = _need(inputs, "compiled_outputs")
    by, before = Asked.said(path), Asked.said(inputs.reference)
    if by is None or by.split_sha256 != files.sha256_file(inputs.evaluation):
        return None
    same = by.artifact_sha256 == files.sha256_file(inputs.program)
    if not same and before and before.artifact_sha256 == by.artifact_sha256:
        return None  # the reference would be held against itself, and nothing that the program lost would be seen
    least = SAME_FILE if same else ANOTHER_FILE
    return {"answers": str(path.resolve()), "executor": by.executor, "machine": by.machine, **least}


def _need(inputs: Inputs, name: str) -> Path:
    path: Path | None = getattr(inputs, name)
    if path is None:
        raise UsageError(f"edgeflow measure --input {name}=PATH is missing for {inputs.program}")
    return path


def _execute(
    job: Mapping[str, Any], variant: str, runtime: Runtime, inputs: Inputs
) -> tuple[dict[str, Any], NamedAnswers] | Unsupported:
    """The runner's result and the program's answers to all samples, from a fresh process of this interpreter.

    Unsupported says why the runtime cannot run the program: it refuses, or it crashes.
    """
    with tempfile.TemporaryDirectory(prefix="edgeflow-") as folder:
        answers, question, result = (Path(folder, name) for name in ("outputs.safetensors", "job.json", "result.json"))
        # An interpreter that only stands in for the device answered all samples when the program was compiled: the
        # same bytes in the same toolchain answer the same. Where the device is, it is asked.
        files.write_json(question, {**job, "outputs": str(answers) if job["times"] else None})
        done = subprocess.run(
            [sys.executable, harness.__file__, str(question), str(result)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode < 0 or done.returncode == harness.REFUSED:
            return _refusal(done, f"measuring {variant}", runtime, job["program"])
        if done.returncode != 0:
            raise StageError(
                f"measure: {variant}: the runner ended with exit code {done.returncode} on {job['program']}: "
                f"{done.stderr.strip()[-2000:] or 'it said nothing'}"
            )
        told: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        if job["times"]:
            return told, Answers.read(answers).evaluation
    return told, _compiled_answers(_need(inputs, "compiled_outputs"), Path(job["program"]), inputs.evaluation)


def _compiled_answers(path: Path, program: Path, split: Path) -> NamedAnswers:
    """What a program answered when it was compiled; MismatchError where that was another program, or other samples."""
    kept = Answers.read(path)
    asked = (kept.asked.artifact_sha256, kept.asked.split_sha256) if kept.asked else ("", "")
    if asked != (files.sha256_file(program), files.sha256_file(split)):
        raise MismatchError(f"measure: {path} does not have what {program} answers to {split}; compile it again")
    return kept.evaluation


def _refusal(done: subprocess.CompletedProcess[str], doing: str, runtime: Runtime, program: str) -> Unsupported:
    """Why the runtime cannot run a program; StageError when the runner was ended from outside."""
    print(done.stderr, file=sys.stderr)
    try:
        check_ending(done.returncode, doing)
    except CrashError as crash:
        print(crash, file=sys.stderr)
        return Unsupported(f"{runtime.description}: {crash}")
    return Unsupported(done.stderr.strip().rpartition("\n")[2].removeprefix(f"{program}: "))


class Figures:
    """Makes measurements that share what is known of one run: the artifact, the machine, the tools, the time."""

    def __init__(
        self,
        spec: Spec,
        info: Program,
        runtime: Runtime,
        job: Mapping[str, Any],
        result: Mapping[str, Any],
        declared: str,  # what was asked where nobody recorded samples, on which times and memory may depend too
    ) -> None:
        known = {part: said for part, said in result["identity"].items() if said}
        conditions = {**result["conditions"], **known}
        evidence, elsewhere = _evidence(spec, info, runtime, result)
        if elsewhere:
            conditions[ELSEWHERE] = elsewhere
        if declared:
            conditions["inputs"] = f"declared {declared}"
        versions = {str(name): str(version) for name, version in result["versions"].items()}
        stand_in = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
        self._info = info
        self._ran = Measurement(
            metric="",
            value=0.0,
            unit="",
            evidence=evidence,
            device=_unit(spec, result) if evidence == Evidence.DEVICE else f"{stand_in} on {conditions['machine']}",
            artifact_sha256=files.sha256_file(Path(job["program"])),
            method="",
            time=conditions.pop("measured_at"),
            tools=versions,  # what executed; what converted and compiled is in program.json
            conditions=conditions,
        )
        self.substitute = "" if info.runs == "program" else "; ran the model that the program was compiled from"
        if self.substitute and not _stands_for_the_program(info):
            self.substitute += ", and nothing here can execute what the compiler made of it"

    def figure(self, metric: str, value: float, method: str, **more: Any) -> Measurement:
        """One figure of the run; `conditions` are added to the run's, `unit` is that of its name if not given."""
        conditions = {**self._ran.conditions, **more.pop("conditions", {})}
        method += self.substitute
        unit = more.pop("unit", "") or unit_of(metric)
        return replace(self._ran, metric=metric, value=value, unit=unit, method=method, conditions=conditions, **more)

    def size(self) -> Measurement:
        """Size of the file that ships: exact, but of device evidence only where a device took the file."""
        return Measurement(
            metric="size_bytes",
            value=float(self._info.size_bytes),
            unit="byte",
            evidence=max(self._ran.evidence, Evidence.HOST, key=lambda evidence: evidence.strength),
            device=self._ran.device,
            artifact_sha256=self._info.sha256,
            method="length of the program file",
        )


def _unit(spec: Spec, result: Mapping[str, Any]) -> str:
    """The device, told apart from every other machine that the configuration calls by its id."""
    return f"{spec.device}@{identity.short(result['identity'])}"


def _evidence(spec: Spec, info: Program, runtime: Runtime, result: Mapping[str, Any]) -> tuple[Evidence, str]:
    """What the run proves for the target; where that is less since another machine than the device ran it, why."""
    if info.runs != "program":
        if not _stands_for_the_program(info):
            return Evidence.ESTIMATE, ""
        return min(runtime.evidence, Evidence.HOST, key=lambda evidence: evidence.strength), ""
    if not (spec.device and runtime.times):
        return runtime.evidence, ""
    difference = identity.difference(spec.identity, result["identity"])
    if (arch := result["conditions"]["machine"]) != spec.target.arch:
        difference = f"instruction set {arch!r}, not {spec.target.arch!r}"
    return (runtime.evidence, f"not measured on {spec.device}: {difference}") if difference else (Evidence.DEVICE, "")


def _stands_for_the_program(info: Program) -> bool:
    """Whether what ran in a program's place is a program too: of `Runtime.compiles_from`, which the compiler took.

    Of a model that was compiled in one step nothing that a compiler made was ever executed: it could be anything.
    """
    return any(rung.stage == "compile" for rung in info.ladder.rungs)


def _check_shapes(answers: NamedAnswers, trained: NamedAnswers, inputs: Inputs) -> None:
    one, other = (
        ", ".join(f"{name} {list(values.shape)}" for name, values in sorted(each.items()))
        for each in (answers, trained)
    )
    if one != other:
        raise MismatchError(f"measure: the program answered {one}, the model itself {other} ({inputs.reference})")


def _unasked(job: Mapping[str, Any], result: Mapping[str, Any], answers: NamedAnswers) -> str:
    """Where the answers to samples come from that the program was not asked; empty where there are none."""
    asked, count = result.get("asked"), len(next(iter(answers.values())))
    if asked is None or asked == count:
        return ""
    who = "this file" if job["known"]["different"] == 1 else "a model that it was made from"
    return (
        f"; {asked:,} of {count:,} samples were asked, and all answered with the same bits as by {who} before, in the "
        "same runtime on this machine, whose answers count for the others"
    )


def _task_figures(
    figures: Figures, task: Task, compared: Comparison, declared: str, unasked: str
) -> Iterator[Measurement]:
    """The task metric, its drop against the model itself on the same samples, and what else the task tells.

    `declared`: what was asked where nobody recorded samples; `unasked`: see `_unasked`.
    """
    score, where = task.score(compared), f"declared {declared} inputs" if declared else "the evaluation split"
    metric = score.metric or task.metric
    figure = partial(_task_figure, figures, task, unasked)
    yield figure(metric, score, f"{metric} on {where}")
    if task.drop is not None:
        drop = task.drop(compared)
        method = f"{task.metric} lost against the model itself on the same {where if declared else 'samples'}"
        yield figure(f"{task.metric}{DROP}", drop, method)
    for further, found in (task.further(compared) if task.further else {}).items():
        if not isinstance(found, str):
            yield figure(further, found, f"{further} on {where}")


def _task_figure(
    figures: Figures,
    task: Task,
    unasked: str,
    metric: str,
    figure: Score | Drop,
    method: str,
) -> Measurement:
    method += unasked
    if "answers" in figure.conditions:
        method += f"; its answers are {figure.conditions['answers']}"
    said = {"n": figure.n, "interval": figure.interval, "conditions": figure.conditions}
    return figures.figure(metric, figure.value, method, unit=task.metrics[metric.partition("/")[0]].unit, **said)


def _time_figures(figures: Figures, result: Mapping[str, Any]) -> Iterator[Measurement]:
    """Latencies in seconds; a percentile or a ratio only where there are enough runs for its interval."""
    blocks: list[list[float]] = result["latency_blocks_s"]
    runs = [run for block in blocks for run in block]
    if not runs:
        return
    baseline: list[list[float]] | None = result["baseline_blocks_s"]
    if min(min(block) for block in [*blocks, *(baseline or [])]) <= 0:
        raise StageError("measure: the runner reports an inference that took no time; its clock is too coarse")
    counts = {"runs": len(runs), "blocks": len(blocks), "warmup_runs": WARMUP_RUNS}
    for metric, q in PERCENTILES.items():
        interval = stats.quantile_interval(runs, q)
        if interval is not None:
            method = (
                f"{100 * q:.0f}th percentile of single inferences after warm-up, evaluation samples in turn, "
                "input set and output fetched"
            )
            value = stats.quantile(runs, q)
            yield figures.figure(metric, value, method, n=len(runs), interval=interval, conditions=counts)
    ratio = stats.median_ratio(blocks, baseline) if baseline else None
    if ratio is not None:
        method = "median ratio of neighbouring blocks' medians, this program and the baseline in turn in one process"
        yield figures.figure(RATIO, ratio[0], method, n=len(blocks), interval=ratio[1], conditions=counts)
    method = "loading the program and one inference, in a fresh process with the runtime imported"
    loading = {"load_s": result["load_s"]}
    yield figures.figure("first_inference_s", result["first_inference_s"], method, n=1, conditions=loading)


def _memory_figures(figures: Figures, result: Mapping[str, Any]) -> Iterator[Measurement]:
    """Working memory of the program; that of a substitute says nothing about it."""
    if result["memory_peak_bytes"] is not None and not figures.substitute:
        yield figures.figure("memory_peak_bytes", float(result["memory_peak_bytes"]), result["memory_method"])


def _operators(result: Mapping[str, Any]) -> tuple[Operators, ...]:
    return tuple(from_json(Operators, operator) for operator in result["operators"])

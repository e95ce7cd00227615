"""package: a verdict and all that it stands on become the folder of one variant.

Takes a verdict and the artifacts behind it; makes package.json, which says what became of the variant and why, and for
what is released the .efpkg, with the files that the runtime adds also beside it. The folder appears as a whole.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edgeflow import efpkg, files, host
from edgeflow.errors import DataError, MismatchError, PackageError, UsageError
from edgeflow.figures import strongest
from edgeflow.plugin import PackageJob, Runtime
from edgeflow.preprocessing import Preprocessing
from edgeflow.registry import load_reference
from edgeflow.stages import golden
from edgeflow.types.figures import Evidence, Interval, Measurement
from edgeflow.types.plain import from_json
from edgeflow.types.programs import Measured, Program
from edgeflow.types.signatures import Binding
from edgeflow.types.variants import Target
from edgeflow.types.verdicts import Release, Verdict
from edgeflow.units import unit_of

# What whoever builds an app asks first, beside the metric of the task.
ASKED = ("latency_p50_s", "latency_p90_s", "memory_peak_bytes", "size_bytes")
# Stage → what it made, or for source took.
ANCESTORS = {"train": "checkpoint", "source": "source", "convert": "converted", "optimize": "optimized"}


@dataclass(frozen=True)
class Spec:
    """All that package depends on beside its files."""

    model: str
    target: Target
    scheme: str
    runtime: str  # plugin reference
    platform: str = ""  # what the program was compiled for: `Runtime.compiles_for`
    activations: str = "float32"  # type that the scheme computes in, which says how far machines may differ
    calibrated: bool = False  # the calibration split decided about the program
    infeasible: str = ""  # why the plan already refuses the variant; there are no inputs then
    release_counter: int = 1

    @property
    def variant(self) -> str:
        """`model/target/scheme`, as messages name it."""
        return f"{self.model}/{self.target.id}/{self.scheme}"

    @property
    def program(self) -> str:
        """`model/runtime/platform/scheme`, as messages name its program."""
        return f"{self.model}/{self.target.runtime}/{self.platform}/{self.scheme}"


@dataclass(frozen=True)
class Inputs:
    """What a package holds, and what names the rest by digest; nothing for what the plan refuses."""

    verdict: Path | None = None
    measurement: Path | None = None
    program: Path | None = None
    info: Path | None = None
    dataset: Path | None = None
    golden: Path | None = None  # samples after preprocessing
    golden_raw: Path | None = None  # and before
    answers: Path | None = None  # what the program answered to them

    def need(self, name: str, variant: str) -> Path:
        """An input without which nothing can be said; UsageError when it was not given."""
        path: Path | None = getattr(self, name)
        if path is None:
            raise UsageError(f"edgeflow package --input {name}=PATH is missing for {variant}")
        return path


@dataclass(frozen=True)
class Outputs:
    """package.json, in a folder of its own; what is released is beside it."""

    record: Path


@dataclass(frozen=True)
class Archive:
    """The .efpkg beside package.json."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Figure:
    """One figure of a variant for whoever builds the app, or that nobody measured it. Units are canonical."""

    unit: str
    value: float | None = None
    interval: Interval | None = None
    evidence: Evidence | None = None  # how it was obtained
    device: str | None = None  # the device, or what stood in for it
    n: int | None = None  # samples or runs behind the value
    method: str | None = None
    not_measured: str = ""  # why there is no value; empty when there is one


@dataclass(frozen=True)
class Record:
    """package.json: what became of one variant."""

    model: str
    target: str
    scheme: str
    status: Release
    reasons: tuple[str, ...]  # why it is not released; empty when it is
    shipped_without: tuple[str, ...]
    release_counter: int
    package: Archive | None = None
    digests: Mapping[str, str] = field(default_factory=dict)  # ancestor → sha256, of what is released
    # sha256 of what it was made from: the report reads those, and is made again when the record differs
    made_from: Mapping[str, str] = field(default_factory=dict)
    zero_weights_ratio: float | None = None  # as program.json has it
    compressed_bytes: int | None = None
    figures: Mapping[str, Figure] = field(default_factory=dict)  # metric → its best proven figure
    # By what the model calls its inputs: how a raw sample becomes what the program takes.
    preprocessing: Mapping[str, Preprocessing] = field(default_factory=dict)
    labels: tuple[str, ...] = ()  # of class i; what the program answers is an index


def run(spec: Spec, inputs: Inputs, outputs: Outputs) -> None:
    """Make the folder.

    Raises MismatchError when the inputs are not of one compilation, DataError for one that is malformed, UsageError for
    one that is missing, PackageError when the package would contradict itself.
    """
    with _replaced(outputs.record) as record:
        files.write_json(record, _refused(spec) if spec.infeasible else _judged(spec, inputs, record))


def _refused(spec: Spec) -> Record:
    reasons = (spec.infeasible,)
    return Record(spec.model, spec.target.id, spec.scheme, Release.INFEASIBLE, reasons, (), spec.release_counter)


def _judged(spec: Spec, inputs: Inputs, record: Path) -> Record:
    path = inputs.need("verdict", spec.variant)
    verdict = files.read_as(Verdict, path)
    _check_about(_variant(verdict), spec.variant, path)
    info = files.read_as(Program, inputs.need("info", spec.variant))
    measured = _measured(spec, inputs)
    data = _data(inputs.need("dataset", spec.variant))
    archive, digests = None, dict[str, str]()
    if verdict.release == Release.RELEASED:
        archive, digests = _release(spec, inputs, verdict, measured, data, record)
    return Record(
        model=spec.model,
        target=spec.target.id,
        scheme=spec.scheme,
        status=verdict.release,
        reasons=verdict.reasons,
        shipped_without=verdict.shipped_without,
        release_counter=spec.release_counter,
        package=archive,
        digests=digests,
        made_from={
            name: files.sha256_file(inputs.need(name, spec.variant)) for name in ("info", "measurement", "verdict")
        },
        zero_weights_ratio=info.zero_weights_ratio,
        compressed_bytes=info.compressed_bytes,
        figures=_figures(info, measured, verdict),
        preprocessing=data.preprocessing,
        labels=data.labels,
    )


def _measured(spec: Spec, inputs: Inputs) -> Measured:
    path = inputs.need("measurement", spec.variant)
    measured = files.read_as(Measured, path)
    _check_about(_variant(measured), spec.variant, path)
    return measured


def _figures(info: Program, measured: Measured, verdict: Verdict) -> dict[str, Figure]:
    """Every figure there is, and of what an app's author asks first and of each budget, that there is none."""
    figures = strongest(measured.measurements)
    task = [rung.metric for rung in info.ladder.rungs[-1:]]
    asked = {check.metric: check.reason for check in verdict.checks}
    units = {check.metric: check.unit for check in verdict.checks}
    why = measured.infeasible or "nothing measured it for this target"
    missing = {
        name: measured.infeasible or asked.get(name, why) for name in (*task, *ASKED, *asked) if name not in figures
    }
    return {
        **{name: _figure(figure) for name, figure in figures.items()},
        **{name: Figure(units.get(name) or unit_of(name), not_measured=reason) for name, reason in missing.items()},
    }


def _figure(measurement: Measurement) -> Figure:
    return Figure(
        measurement.unit,
        measurement.value,
        measurement.interval,
        measurement.evidence,
        measurement.device,
        measurement.n,
        measurement.method,
    )


def _variant(record: Verdict | Measured) -> str:
    return f"{record.model}/{record.target}/{record.scheme}"


def _check_about(subject: str, expected: str, path: Path) -> None:
    if subject != expected:
        raise MismatchError(f"package: {path} is about {subject}, expected {expected}; make it again")


# --- what is released ------------------------------------------------------------------------------------------------


def _release(
    spec: Spec, inputs: Inputs, verdict: Verdict, measured: Measured, data: Data, record: Path
) -> tuple[Archive, dict[str, str]]:
    """Write the .efpkg and the runtime's files beside the record."""
    folder = record.parent
    program, info = _program(spec, inputs)
    runtime: Runtime = load_reference(spec.runtime)
    samples = _golden(spec, inputs, data)
    binding = info.ladder.binding
    if binding is None:
        raise MismatchError(f"package: {info.id}: nothing says which tensor is which input; compile it again")
    if missing := sorted({*binding.inputs} - {*data.preprocessing}):
        raise MismatchError(f"package: {inputs.dataset}: says nothing of input {missing[0]!r}; prepare again")
    made = golden.make(samples, info, data.preprocessing, spec.activations, binding)
    used = {name: data.preprocessing[name] for name in binding.inputs}
    labelled = _labelled(info, binding, data.labels)
    labels = data.labels if labelled else ()
    job = PackageJob(program, info, spec.target, measured.measurements, used, labels, made.samples, binding)
    name = f"{spec.model}-{spec.target.id}-{spec.scheme}.efpkg"
    added = runtime.package_files(job) if runtime.package_files else {}
    main = f"program.{runtime.program_suffix}"
    if taken := sorted({name, record.name, main, *made.contents} & set(added)):
        raise PackageError(f"{spec.runtime}: {spec.variant}: package_files gave {taken[0]!r}, a name that is taken")

    contents: dict[str, bytes | Path] = {main: program, **made.contents, **added}
    described = _Described(
        main, binding, used, labels, labelled, made.described, _example(added), efpkg.describe(contents)
    )
    manifest = _manifest(spec, inputs, verdict, info, measured, data, described)
    efpkg.pack(folder / name, manifest, contents)
    for path, content in added.items():
        files.write_bytes(folder / path, content)
    archive = Archive(name, (folder / name).stat().st_size, files.sha256_file(folder / name))
    return archive, dict(manifest.ancestors)


@dataclass(frozen=True)
class _Described:
    """What a manifest says about the files of its package."""

    program: str
    binding: Binding
    preprocessing: Mapping[str, Preprocessing]
    labels: tuple[str, ...]
    labelled: str  # the output that the labels are of; "" where there are none
    golden: efpkg.Golden
    example: str | None
    files: tuple[efpkg.File, ...]


def _labelled(info: Program, binding: Binding, labels: tuple[str, ...]) -> str:
    """The output, as the program calls it, with a value for each label; "" where the model has none, or several."""
    if not labels or info.signature is None or len(binding.outputs) != 1:
        return ""
    (bound,) = binding.outputs.values()
    (tensor,) = (tensor for tensor in info.signature.outputs if tensor.name == bound.tensor)
    values = tensor.shape[-1] if tensor.shape else 1
    return tensor.name if isinstance(values, str) or values == len(labels) else ""


def _example(added: Iterable[str]) -> str | None:
    return next((name for name in sorted(added) if Path(name).stem == "example"), None)


def _golden(spec: Spec, inputs: Inputs, data: Data) -> golden.Sources:
    """Golden samples of the dataset that the record is about."""
    paths = {name: inputs.need(name, spec.variant) for name in ("golden", "golden_raw", "answers")}
    for name, digest in (("golden", data.splits["golden"]), ("golden_raw", data.golden_raw)):
        if files.sha256_file(paths[name]) != digest:
            raise MismatchError(f"package: {paths[name]} is not the one that {inputs.dataset} names; prepare again")
    return golden.Sources(paths["golden"], paths["golden_raw"], data.raw_rows, paths["answers"])


def _program(spec: Spec, inputs: Inputs) -> tuple[Path, Program]:
    """The program and what compile said about it; they must be of one compilation."""
    program, path = inputs.need("program", spec.variant), inputs.need("info", spec.variant)
    info = files.read_as(Program, path)
    _check_about(info.id, spec.program, path)
    digest = files.sha256_file(program)
    if digest != info.sha256:
        raise MismatchError(
            f"package: {program} has SHA-256 {digest}, its program.json says {info.sha256}; compile the variant again"
        )
    return program, info


def _manifest(
    spec: Spec,
    inputs: Inputs,
    verdict: Verdict,
    info: Program,
    measured: Measured,
    data: Data,
    described: _Described,
) -> efpkg.Manifest:
    if info.signature is None or not info.signature.outputs:
        raise MismatchError(f"package: {inputs.info}: {spec.variant} has no signature; compile the variant again")
    return efpkg.Manifest(
        schema=efpkg.SCHEMA,
        model=spec.model,
        target=spec.target.id,
        scheme=spec.scheme,
        release_counter=spec.release_counter,
        program=described.program,
        runtime=efpkg.RuntimeNeed(spec.target.runtime, _versions(measured.measurements)),
        needs=_needs(spec.target, info, measured.measurements, verdict),
        signature=info.signature,
        binding=described.binding,
        preprocessing=described.preprocessing,
        postprocessing=efpkg.Postprocessing("argmax", described.labelled) if described.labelled else None,
        labels=described.labels,
        operators=measured.operators or info.operators,
        measurements=measured.measurements,
        ladder=info.ladder,
        verdict=verdict,
        shipped_without=verdict.shipped_without,
        ancestors={
            "program": info.sha256,
            **_made(info, inputs),
            "dataset": files.sha256_file(inputs.need("dataset", spec.variant)),
            "evaluation": data.splits["evaluation"],
            **({"calibration": data.splits["calibration"]} if spec.calibrated else {}),
        },
        golden=described.golden,
        example=described.example,
        files=described.files,
    )


@dataclass(frozen=True)
class Data:
    """What dataset.json says of the samples."""

    preprocessing: Mapping[str, Preprocessing]  # by input
    labels: tuple[str, ...]
    splits: Mapping[str, str]  # name → SHA-256
    golden_raw: str  # SHA-256
    raw_rows: tuple[int, ...]  # golden samples that are there as they were


def _data(path: Path) -> Data:
    """Read dataset.json; DataError names what does not fit."""
    record = files.read_json(path)
    try:
        labels = tuple(str(label) for label in record["labels"])
        for label in labels:
            label.encode()  # else no file of a package can hold it
        return Data(
            from_json(Records, {"inputs": record["inputs"]}).inputs,
            labels,
            {name: str(record["splits"][name]["sha256"]) for name in ("evaluation", "calibration", "golden")},
            str(record["golden_raw"]["sha256"]),
            tuple(int(row) for row in record["golden_raw"]["rows"]),
        )
    except KeyError as error:
        raise DataError(f"{path}: missing key {error}; prepare again") from None
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: {error}; prepare again") from None


@dataclass(frozen=True)
class Records:
    """The part of dataset.json that says how samples became what a model takes."""

    inputs: Mapping[str, Preprocessing]


def _versions(measurements: tuple[Measurement, ...]) -> dict[str, str]:
    """What executed the program when it was measured; what converted and compiled it need not be on the device."""
    ran = [m.tools for m in measurements if m.evidence != Evidence.ESTIMATE]
    return {name: version for tools in ran for name, version in tools.items()}


def _needs(target: Target, info: Program, measurements: tuple[Measurement, ...], verdict: Verdict) -> efpkg.Needs:
    metric = "memory_peak_bytes"
    best = strongest(measurements).get(metric)
    memory = math.ceil(best.value) if best and metric not in verdict.shipped_without else None
    return efpkg.Needs(target.arch, target.accelerator, memory, info.size_bytes)


def _made(info: Program, inputs: Inputs) -> dict[str, str]:
    """SHA-256 of what the program was made from: the bytes that were judged, each stage checked that it got them."""
    made = {ANCESTORS[step.stage]: step.artifact_sha256 for step in info.ladder.rungs if step.stage in ANCESTORS}
    answered = [step.artifact_sha256 for step in info.ladder.rungs if step.stage == "compile"]
    if answered and answered[0] not in {*made.values(), info.sha256}:
        made["source_program"] = answered[0]  # of another runtime, which the program was compiled from
    begins = "source" if "source" in made else "checkpoint"
    if missing := [name for name in (begins, "converted", "optimized") if name not in made]:
        raise MismatchError(f"package: ladder in {inputs.info}: nothing of {missing[0]}; compile the variant again")
    return made


# --- the folder ------------------------------------------------------------------------------------------------------


@contextmanager
def _replaced(record: Path) -> Iterator[Path]:
    """Yield a path in an empty folder that becomes the record's when the block succeeds; until then nothing changes.

    Where the record is gone, as before Snakemake makes it anew, the rest of its folder must not pass for a package.
    What killed runs left is moved in and removed with it; what a run of another host or container may still write to
    stays.
    """
    folder = record.parent
    folder.parent.mkdir(parents=True, exist_ok=True)
    prefix, suffix = f".{folder.name}.", ".building"
    left = (p for p in folder.parent.iterdir() if p.name.startswith(prefix) and p.name.endswith(suffix))
    leftovers = [p for p in left if files.abandoned(p)]
    if folder.exists() and not record.exists():
        leftovers.append(folder)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{prefix}{host.owner()}.", suffix=suffix) as name:
        work = Path(name)
        for i, leftover in enumerate(leftovers):
            leftover.rename(work / str(i))
        (work / "new").mkdir()
        yield work / "new" / record.name
        if folder.exists():
            folder.rename(work / "old")
        (work / "new").rename(folder)

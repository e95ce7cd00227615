"""What MLflow is to show, as a document: a build, a run per variant, and the versions of released packages.

A document depends on the results and on what is recorded beside them, on no clock and no store: the same results give
the same document in any clone, so that flushing it again adds nothing.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import socket
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from edgeflow import failures, files, layout
from edgeflow.errors import DataError, TrackingError
from edgeflow.paths import inside
from edgeflow.report import variants as report_variants
from edgeflow.report.variants import Variant
from edgeflow.tracking import git
from edgeflow.tracking.provenance import Jobs
from edgeflow.types.figures import Evidence, Measurement
from edgeflow.types.jobs import Failure, JobCost
from edgeflow.types.verdicts import Release

SCHEMA = "edgeflow.tracking/v1"
Document = dict[str, Any]

# Keys of specs that become parameters of a run, by stage and where in the spec they are.
_PARAMETERS: Mapping[str, Sequence[tuple[str, ...]]] = {
    "prepare": [("dataset",)],
    "train": [("recipe",), ("seed",), ("model", "builder"), ("model", "arguments"), ("model", "training")],
    "source": [("source",)],
    "optimize": [("profile",), ("scheme", "weights"), ("scheme", "activations"), ("scheme", "mode"),
                 ("scheme", "per_channel"), ("scheme", "calibration_samples"), ("scheme", "calibration_method"),
                 ("scheme", "percentile"), ("scheme", "bias_correction")],
    "package": [("target", "runtime"), ("target", "arch"), ("target", "accelerator")],
}  # fmt: skip
_ARTIFACTS = {"train": "checkpoint", "convert": "converted", "optimize": "optimized", "compile": "program"}
_MAX_TEXT = 5000  # characters; stores refuse values of more than 6,000
_UNTOLD = re.compile(r"[^\w\-. ]|^\.*$")  # what MLflow takes in no name, or for a path, and an output may be called
_MAX_OUTPUT = 150  # characters of the name of an output; stores refuse metrics of more than 250


@dataclass(frozen=True)
class Build:
    """Which build the results come from."""

    id: str
    commit: str  # "" outside git
    dirty: bool
    matrix: str  # digest of the cells
    host: str
    results: str  # digest of what the variants came to


def collect(jobs: Jobs, title: str) -> Document:
    """The document of the results in this folder; variants that are not finished are left out, failed ones are there.

    `title` is that of the matrix, and so the name of the experiment, unless the environment has another one.

    Raises TrackingError when nothing was built yet, DataError for files that are malformed.
    """
    plan = Path(layout.plan()["plan"])
    if not plan.is_file():
        raise TrackingError(f"{plan} is not there: there are no results to track yet; run 'snakemake' first")
    runs: list[dict[str, Any]] = []
    for variant in report_variants.finished(plan, Path(layout.RESULTS), failures.read(Path(layout.failures()))):
        if variant.failure:
            runs.append(_failed(variant, variant.failure))
            continue
        record = Path(layout.package(*_names(variant))["record"])
        if record.is_file():  # the last file of a variant
            runs.append(_run(variant, files.read_json(record), jobs))
    build = _identify(plan, runs)
    return {
        "schema": SCHEMA,
        "experiment": os.environ.get("MLFLOW_EXPERIMENT_NAME") or title,
        "build": _build(build, plan, runs),
        "cells": len(files.read_json(plan)["cells"]),
        "variants": runs,
        "versions": list(_versions(runs, build, jobs)),
    }


def _names(variant: Variant) -> tuple[str, str, str]:
    return variant.cell.model, variant.cell.target, variant.cell.scheme


# --- the build -------------------------------------------------------------------------------------------------------


def _identify(plan: Path, runs: Sequence[Mapping[str, Any]]) -> Build:
    """The build on record while the results are still those; else this one, which goes on record.

    So results that come out of DVC in a clone, or are flushed after the next commit, stay of the build that made them.
    """
    path = Path(layout.provenance()["build"])
    results = _digest([[run["variant"], run["fingerprint"]] for run in runs])
    if path.is_file():
        try:
            known = Build(**files.read_json(path))
        except TypeError as error:
            raise DataError(f"{path}: damaged ({error}); remove it, 'edgeflow track' writes it again") from None
        if known.results == results:
            return known
    commit, host, matrix = git.commit(), socket.gethostname(), _digest(files.read_json(plan))
    dirty = git.dirty() if commit else True
    build = Build(_digest([commit, dirty, matrix, host])[:16], commit, dirty, matrix, host, results)
    files.write_json(path, build)
    return build


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _build(build: Build, plan: Path, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    cells = files.read_json(plan)["cells"]
    counts = Counter(run["tags"]["edgeflow.release"] for run in runs)
    params = {
        "commit": build.commit,
        "dirty": build.dirty,
        "host": build.host,
        "cells": len(cells),
        **{f"{key}s": ", ".join(dict.fromkeys(cell[key] for cell in cells)) for key in ("model", "target", "scheme")},
    }
    mark = "+" if build.dirty else ""
    return {
        "id": build.id,
        "name": f"build {build.commit[:12] or 'without commit'}{mark}",
        "start_ms": min((run["start_ms"] for run in runs if run["start_ms"]), default=0),
        "end_ms": max((run["end_ms"] for run in runs), default=0),
        "params": {name: str(value)[:_MAX_TEXT] for name, value in params.items()},
        "tags": {
            "edgeflow.matrix": build.matrix,
            "edgeflow.finished": f"{len(runs) - counts[Release.FAILED]}/{len(cells)}",
            **{f"edgeflow.{release}": str(counts[release]) for release in sorted(counts)},
            **({"mlflow.source.git.commit": build.commit} if build.commit else {}),
            "mlflow.source.name": "edgeflow",
        },
    }


# --- a variant -------------------------------------------------------------------------------------------------------


def _run(variant: Variant, record: Mapping[str, Any], jobs: Jobs) -> dict[str, Any]:
    package = layout.package(*_names(variant))["record"]
    specs = jobs.specs(package)
    start_ms, end_ms = _times(jobs, package, variant)
    run = {
        "variant": variant.cell.id,
        "start_ms": start_ms,
        "end_ms": end_ms,
        "params": _params(variant, specs),
        "metrics": [*_figures(variant, end_ms), *_ladder(variant, end_ms), *_curves(specs, end_ms)],
        "tags": _tags(variant, record, package, jobs),
        "inputs": _datasets(specs),
        "folder": str(Path(package).parent),
    }
    return {**run, "fingerprint": _digest(run)[:16], "record_sha256": files.sha256_file(Path(package))}


def _failed(variant: Variant, failure: Failure) -> dict[str, Any]:
    """A variant of which a job broke: no figures, and a failed run. That it was tried again alone is no news."""
    tags = {
        "edgeflow.release": variant.release.value,
        "edgeflow.reasons": "; ".join(variant.reasons)[:_MAX_TEXT],
        "edgeflow.failed_stage": failure.stage,
        "edgeflow.log": failure.log,
    }
    said = {"variant": variant.cell.id, "params": _params(variant, {}), "tags": tags, "status": "FAILED"}
    start_ms, end_ms = _tried(inside(Path(), layout.job(failure.stage, *failure.key)))
    times = {"start_ms": start_ms, "end_ms": end_ms}
    return {**said, **times, "metrics": [], "inputs": [], "folder": "", "fingerprint": _digest(said)[:16]}


def _tried(record: Path) -> tuple[int, int]:
    """Milliseconds since 1970 in which the job of a record ran; 0 where it left none."""
    if not record.is_file():
        return 0, 0
    cost = files.read_as(JobCost, record)
    start_s = datetime.fromisoformat(cost.started_at).timestamp()
    return int(1000 * start_s), int(1000 * (start_s + cost.wall_s))


def _times(jobs: Jobs, package: str, variant: Variant) -> tuple[int, int]:
    """Milliseconds since 1970: from the first job of the variant alone to its package."""
    known = [times for path in (layout.judge(*_names(variant))["verdict"], package) if (times := jobs.times(path))]
    if known:
        return int(min(start for start, _ in known) * 1000), int(max(end for _, end in known) * 1000)
    measured = [_milliseconds(figure, 0) for figure in variant.figures.values()]
    return (min(measured), max(measured)) if measured else (0, 0)


def _milliseconds(figure: Measurement, otherwise: int) -> int:
    return int(datetime.fromisoformat(figure.time).timestamp() * 1000) if figure.time else otherwise


def _params(variant: Variant, specs: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    params: dict[str, Any] = dict(zip(("model", "target", "scheme"), _names(variant), strict=True))
    for stage, keys in _PARAMETERS.items():
        for key in keys:
            value: Any = specs.get(stage, {})
            for part in key:
                value = value.get(part) if isinstance(value, Mapping) else None
            params.update(value if isinstance(value, Mapping) else {key[-1]: value})
    return {name: str(value)[:_MAX_TEXT] for name, value in params.items() if value is not None}


def _figures(variant: Variant, end_ms: int) -> Iterator[list[Any]]:
    """[metric, value, step, milliseconds] of every figure, and the interval of ratios and decibels."""
    names = _told(variant.figures)
    for name, figure in variant.figures.items():
        metric, at = names[name], _milliseconds(figure, end_ms)
        yield [metric, figure.value, 0, at]
        if figure.interval and figure.unit in ("ratio", "decibel"):
            yield [f"{metric}_low", figure.interval.low, 0, at]
            yield [f"{metric}_high", figure.interval.high, 0, at]


def _told(metrics: Iterable[str]) -> dict[str, str]:
    """Metric → its name in a store, of which no two are alike: that of an output may hold anything."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for metric in metrics:
        kind, of, output = metric.partition("/")
        plain = kind + of + (_UNTOLD.sub("_", output)[:_MAX_OUTPUT] if of else "")
        numbered = (plain if i == 1 else f"{plain} {i}" for i in itertools.count(1))
        names[metric] = next(name for name in numbered if not taken & {*_with_ends(name)})
        taken.update(_with_ends(names[metric]))
    return names


def _with_ends(metric: str) -> Sequence[str]:
    return metric, f"{metric}_low", f"{metric}_high"


def _ladder(variant: Variant, end_ms: int) -> Iterator[list[Any]]:
    """The task metric after each stage, as a curve: 0 is train or source, then convert, optimize, compile."""
    for step, rung in enumerate(variant.ladder.rungs):
        if rung.value is not None:
            yield [f"ladder_{rung.metric}", rung.value, step, end_ms]
        if rung.agreement is not None:
            yield ["ladder_agreement", rung.agreement, step, end_ms]


def _curves(specs: Mapping[str, Mapping[str, Any]], end_ms: int) -> Iterator[list[Any]]:
    """A step per epoch, from 1."""
    spec = specs.get("train")
    path = inside(Path(), layout.train(spec["model"]["id"], spec["recipe"])["info"]) if spec else None
    if path and path.is_file():
        for metric, values in files.read_json(path).get("curves", {}).items():
            yield from ([metric, value, epoch, end_ms] for epoch, value in enumerate(values, 1))


def _tags(variant: Variant, record: Mapping[str, Any], package: str, jobs: Jobs) -> dict[str, str]:
    archive = record["package"]
    evidence = variant.weakest_evidence
    digests = {rung.stage: rung.artifact_sha256 for rung in variant.ladder.rungs}
    if variant.program and variant.program.sha256:  # the ladder has what answered here, which need not be what ships
        digests["compile"] = variant.program.sha256
    links = {
        _ARTIFACTS[stage]: f"{path} sha256:{sha256}"
        for stage, sha256 in digests.items()
        if (path := jobs.artifact(package, stage))
    }
    brought = jobs.specs(package).get("source", {}).get("source")
    if brought and "source" in digests:
        links["source"] = f"{brought} sha256:{digests['source']}"
    tags = {
        "edgeflow.verdict": variant.verdict.status.value if variant.verdict else "infeasible",
        "edgeflow.release": variant.release.value,
        "edgeflow.evidence": evidence.value if evidence else "",
        # beside the figures, which are bare numbers in a store: what another machine took is not the target's
        **{f"edgeflow.evidence.{name}": _listed(variant, name) for name in Evidence},
        "edgeflow.reasons": "; ".join(variant.reasons)[:_MAX_TEXT],
        "edgeflow.package.path": str(Path(package).with_name(archive["name"])) if archive else "",
        "edgeflow.package.sha256": archive["sha256"] if archive else "",
        **{f"edgeflow.artifact.{name}": link for name, link in links.items()},
    }
    return {name: value for name, value in tags.items() if value}


def _listed(variant: Variant, evidence: Evidence) -> str:
    """The metrics whose figures were obtained so."""
    return ", ".join(metric for metric, figure in variant.figures.items() if figure.evidence is evidence)


def _datasets(specs: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The splits that a variant was trained, calibrated and evaluated on."""
    dataset = specs.get("prepare", {}).get("dataset")
    if dataset is None:
        return []
    paths = layout.prepare(dataset)
    info = inside(Path(), paths["info"])
    if not info.is_file():
        return []
    calibrates = specs.get("optimize", {}).get("scheme", {}).get("calibration_samples", 0) > 0
    calibration = {"calibration": "calibration"} if calibrates else {}
    contexts = {"train": "training", **calibration, "evaluation": "evaluation"}
    splits = files.read_json(info)["splits"]
    return [
        {"name": f"{dataset}/{split}", "context": context, "path": paths[split], **splits[split]}
        for split, context in contexts.items()
    ]


# --- versions of what is released ------------------------------------------------------------------------------------


def _versions(runs: Sequence[Mapping[str, Any]], build: Build, jobs: Jobs) -> Iterator[dict[str, Any]]:
    """A version per released package. `candidate` is what the report would ship; `released` the same, where the build
    is of a commit and not of an edited work tree. A report decides about no package that was made after it.
    """
    shipped = _shipped()
    reported = jobs.times(layout.report()["decision"])
    decided_ms = int(reported[1] * 1000) if reported else max((run["end_ms"] for run in runs), default=0)
    for run in runs:
        if sha256 := run["tags"].get("edgeflow.package.sha256"):
            model, target, scheme = run["variant"].split("/")
            ships = shipped.get((model, target)) == scheme and run["end_ms"] <= decided_ms
            yield {
                "model": f"{model}--{target}",
                "variant": run["variant"],
                "source": f"dvc:///{run['tags']['edgeflow.package.path']}?sha256={sha256}",
                "decided_ms": decided_ms,
                "tags": {
                    "edgeflow.sha256": sha256,
                    "edgeflow.path": run["tags"]["edgeflow.package.path"],
                    "edgeflow.scheme": scheme,
                    "edgeflow.verdict": run["tags"]["edgeflow.verdict"],
                    "edgeflow.evidence": run["tags"].get("edgeflow.evidence", ""),
                    "edgeflow.commit": build.commit,
                    "edgeflow.built_ms": str(run["end_ms"]),
                },
                "aliases": ["candidate", *([] if build.dirty else ["released"])] if ships else [],
            }


def _shipped() -> dict[tuple[str, str], str]:
    path = Path(layout.report()["decision"])
    decisions = files.read_json(path) if path.is_file() else []
    return {(entry["model"], entry["target"]): entry["ship"] for entry in decisions}

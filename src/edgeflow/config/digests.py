"""What the results of a matrix depend on in the configuration, as digests by name: comments and order do not count."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from edgeflow.config.project import Project

DIGITS = 16  # of 64: enough to tell two versions of a file apart


def digests(project: Project) -> Mapping[str, str]:
    """What changes results or the report: "seed", "target cortex_m4", … → digest. Cells are named by the plan."""
    return {name: _digest(value) for name, value in _used(project)}


def _used(project: Project) -> Iterator[tuple[str, Any]]:
    cells = project.cells()
    targets = {target for _, target, _ in cells}
    schemes = {project.baseline, *(scheme for _, _, scheme in cells)}
    steps = (step for scheme in schemes for step in project.steps(scheme))
    teachers = {str(step.options["teacher"]) for step in steps if "teacher" in step.options}
    models = {model for model, _, _ in cells} | teachers
    datasets = {project.models[model].dataset for model in models}
    yield "title", project.title
    yield "baseline", project.baseline
    yield "seed", project.seed
    used = {"dataset": datasets, "model": models, "target": targets, "scheme": schemes}
    known = {
        "dataset": project.datasets,
        "model": project.models,
        "target": project.targets,
        "scheme": project.schemes,
    }
    for kind, names in used.items():
        yield from ((f"{kind} {name}", known[kind][name].model_dump(mode="json")) for name in sorted(names))
    for name, device in project.devices.items():
        if targets & set(device.targets):
            yield f"device {name}", device.model_dump(mode="json")


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:DIGITS]

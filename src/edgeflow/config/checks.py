"""Rules that hold across files: plugin options, calibration samples, the baseline, one device a target."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow import units
from edgeflow.config import space
from edgeflow.config.budgets import METRICS
from edgeflow.config.fields import Known
from edgeflow.config.models import DatasetConfig, DeviceConfig, Matrix, ModelConfig, SchemeConfig
from edgeflow.config.problem import MATRIX, Findings, Problem, did_you_mean, file_of, joined, nearest, not_one_of
from edgeflow.config.project import cells
from edgeflow.config.validate import validate
from edgeflow.plugin import Option
from edgeflow.types.figures import Direction

if TYPE_CHECKING:
    from edgeflow.registry import Plugins


def plugin_options(kind: str, data: Mapping[str, Any], file: str, plugins: Plugins) -> Iterator[Problem]:
    """The keys that a plugin declares, held against the raw content of a file, which may be wrong elsewhere."""
    if kind == "dataset":
        loaders = {name: plugin.options for name, plugin in plugins.loaders.items()}
        yield from _options("loader", "options", data, file, loaders)
    elif kind == "model":
        yield from _trained(data, file, plugins)
        yield from _task_budgets(data, file, plugins)
    elif kind == "target":
        runtimes = {name: plugin.target_options for name, plugin in plugins.runtimes.items()}
        yield from _options("runtime", "options", data, file, runtimes)


def _trained(data: Mapping[str, Any], file: str, plugins: Plugins) -> Iterator[Problem]:
    """The settings of a training, or weights that need none; what is imported has neither."""
    if "source" in data:
        return
    misspelt = {nearest(key, ModelConfig.model_fields) for key in data if key not in ModelConfig.model_fields}
    missing = [name for name in ("framework", "builder") if name not in data and name not in misspelt]
    for name in missing:
        hint = "; or 'source: models/mine.onnx' for a model that is imported" if len(missing) > 1 else ""
        yield Problem(file, name, f"missing ({ModelConfig.model_fields[name].description}){hint}")
    if data.get("weights") is None:
        frameworks = {name: plugin.training_options for name, plugin in plugins.frameworks.items()}
        yield from _options("framework", "training", data, file, frameworks)
        return
    framework = plugins.frameworks.get(str(data.get("framework")))
    if framework is not None and framework.take_weights is None:
        yield Problem(file, "weights", f"the framework {framework.id!r} takes none; say how to train it: 'training'")


def _task_budgets(data: Mapping[str, Any], file: str, plugins: Plugins) -> Iterator[Problem]:
    """Limits on what the task of a model tells, in the task's own units."""
    task, given = plugins.tasks.get(str(data.get("task"))), data.get("budgets")
    if task is None or not isinstance(given, Mapping):
        return  # reported where the file was held against its model
    for metric, limits in given.items():
        if metric not in task.metrics:
            on_target = "; the budgets of a target are for what the machine does" if metric in METRICS else ""
            hint = did_you_mean(metric, task.metrics)
            yield Problem(file, joined("budgets", metric), f"no metric of the task {task.id!r}{hint}{on_target}")
            continue
        known = task.metrics[metric]
        good = "min" if known.direction == Direction.MAX else "max"
        for end in ("min", "max"):
            value = limits.get(end) if isinstance(limits, Mapping) else None
            if not isinstance(value, str | int | float) or isinstance(value, bool):
                continue
            key = joined(joined("budgets", metric), end)
            if end != good:
                better = "more" if good == "min" else "less"
                yield Problem(file, key, f"{better} is better; write '{good}'")
            elif problem := unusable_limit(value, metric, known.unit):
                yield Problem(file, key, problem)


def unusable_limit(value: str | int | float, metric: str, unit: str) -> str:
    """Why a person's limit on a metric cannot be read; empty when it can."""
    try:
        units.limit(value, metric, unit)
    except ValueError as error:
        return str(error)
    return ""


def _options(
    plugin_key: str, key: str, data: Mapping[str, Any], file: str, known: Mapping[str, Mapping[str, Option]]
) -> Iterator[Problem]:
    plugin = data.get(plugin_key)
    given = data.get(key, {})
    if not isinstance(plugin, str) or plugin not in known or not isinstance(given, Mapping):
        return  # reported where the file was held against its model
    options = known[plugin]
    for name, value in given.items():
        if name not in options:
            hint = did_you_mean(name, options) or f"; the {plugin_key} {plugin!r} has none"
            yield Problem(file, joined(key, name), f"unknown key{hint}")
        elif value is not None and (problem := _unusable(options[name], value)):
            yield Problem(file, joined(key, name), problem)
    misspelt = {nearest(name, options) for name in given if name not in options}
    for name, option in options.items():
        if option.required and name not in given and name not in misspelt:
            yield Problem(file, joined(key, name), f"missing ({option.help}); the {plugin_key} {plugin!r} needs it")


def _unusable(option: Option, value: object) -> str:
    """As `Option.problem`, with the nearest choice."""
    problem = option.problem(value)
    return not_one_of(value, option.choices) if problem and isinstance(value, str) and option.choices else problem


def python_files(matrix: Matrix | None, models: Mapping[str, ModelConfig], root: Path) -> Iterator[Problem]:
    """Python files that the configuration names, relative to the project."""
    for i, name in enumerate(matrix.plugins if matrix else ()):
        if not os.path.isfile(root / plugin_file(name)):  # false of a name too long
            yield Problem(MATRIX, f"plugins[{i}]", _no_file(name))
    for model, config in models.items():
        source = config.builder.rpartition(":")[0]
        if source.endswith(".py") and not os.path.isfile(root / source):
            yield Problem(file_of("model", model), "builder", _no_file(source))


def plugin_file(name: str) -> str:
    """The file of an entry of `plugins`, which may say after a colon how the object in it is called."""
    return name.rpartition(":")[0] or name


def _no_file(name: str) -> str:
    return f"no such file: {name}; paths start at the project folder"


def folders_exist(matrix: Matrix, root: Path) -> Iterator[Problem]:
    """Further folders with schemes, relative to the project."""
    for i, name in enumerate(matrix.scheme_folders):
        if not os.path.isdir(root / name):
            yield Problem(MATRIX, f"scheme_folders[{i}]", f"no such folder: {name}; paths start at the project folder")


def search_space(matrix: Matrix, known: Known) -> Iterator[Problem]:
    """Every choice of the space makes a scheme together with the first of all other choices."""
    given = matrix.search.space if matrix.search else None
    problems: dict[Problem, None] = {}
    try:
        for filled in space.corners(given or ()):
            if "description" in filled.content:
                message = "a search describes its schemes itself; remove the key"
                problems[Problem(MATRIX, filled.path("description"), message)] = None
            _, of_scheme = validate(SchemeConfig, dict(filled.content), MATRIX, known)
            problems.update(dict.fromkeys(replace(p, path=filled.path(p.path)) for p in of_scheme))
    except Findings as error:
        problems.update(dict.fromkeys(Problem(MATRIX, path, message) for path, message in error.faults))
    yield from problems


def matrix_makes_sense(matrix: Matrix, schemes: Mapping[str, SchemeConfig]) -> Iterator[Problem]:
    """The baseline is a float32 scheme or the model as it is, and at least one cell is left."""
    baseline = schemes.get(matrix.baseline)
    if baseline and baseline.mode != "as_is" and baseline.weights != "float32":
        message = f"{matrix.baseline!r} has {baseline.weights} weights; the baseline is a scheme with float32 weights"
        yield Problem(MATRIX, "baseline", message)
    if not cells(matrix):
        yield Problem(MATRIX, "exclude", "no cell is left to build; exclude less")


def calibration_suffices(
    matrix: Matrix,
    datasets: Mapping[str, DatasetConfig],
    models: Mapping[str, ModelConfig],
    schemes: Mapping[str, SchemeConfig],
    labels: Mapping[str, str],
) -> Iterator[Problem]:
    """No scheme of the matrix takes more calibration samples than the dataset of its model has."""
    pairs = dict.fromkeys((models[m].dataset, s) for m, _, s in cells(matrix) if m in models and s in schemes)
    for dataset, scheme in pairs:
        calibration = schemes[scheme].calibration
        if dataset in datasets and calibration and calibration.samples > datasets[dataset].splits.calibration:
            has = datasets[dataset].splits.calibration
            message = f"{calibration.samples} is more than dataset {dataset!r} has; lower it to {has}"
            where = f"raise splits.calibration in {file_of('dataset', dataset)}"
            yield Problem(labels[scheme], "calibration.samples", f"{message} or {where}")


def data_can_be_learnt(models: Mapping[str, ModelConfig], datasets: Mapping[str, DatasetConfig]) -> Iterator[Problem]:
    """Models that are trained here take one input and tell classes apart."""
    for name, model in models.items():
        dataset = datasets.get(model.dataset)
        if dataset is None or not model.builder:
            continue
        where = f"dataset {model.dataset!r}"
        if dataset.inputs:
            message = f"{where} has several inputs; a model that is built and trained here has one"
            yield Problem(file_of("model", name), "dataset", message)
        elif not dataset.class_count:
            message = f"{where} says neither 'classes' nor 'labels', which a model that is built here needs"
            yield Problem(file_of("model", name), "dataset", message)


def one_device_a_target(devices: Mapping[str, DeviceConfig]) -> Iterator[Problem]:
    """A measurement must know which device to use."""
    owner: dict[str, str] = {}
    for device, config in devices.items():
        for i, target in enumerate(config.targets):
            first = owner.setdefault(target, device)
            if first != device:
                message = f"{target!r} already has the device {first!r}; one device a target"
                yield Problem(file_of("device", device), f"targets[{i}]", message)

"""Read every file, find everything that is wrong, then give a Project or one error with all of it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from edgeflow.config import checks
from edgeflow.config.fields import NOT_AN_ID, Known, is_id
from edgeflow.config.models import KINDS, Matrix
from edgeflow.config.problem import FOLDERS, MATRIX, Problem
from edgeflow.config.project import Project, cells
from edgeflow.config.reader import read
from edgeflow.config.validate import validate
from edgeflow.errors import ConfigError

if TYPE_CHECKING:
    from edgeflow.registry import Plugins

COMMAND_LINE = "--config"


def load(root: Path, matrix: Mapping[str, Any] | None, plugins: Plugins) -> Project:
    """The configuration of the project in folder `root`; `matrix` stands in for the content of config/config.yaml.

    What is wrong in files that the matrix does not use is in `Project.warnings`.
    Raises ConfigError with every problem of every file when something that it does use is wrong.
    """
    project, problems = _collect(root, matrix, plugins)
    if project is None:
        raise ConfigError([str(problem) for problem in problems])
    return replace(project, warnings=tuple(str(problem) for problem in problems))


def find_problems(root: Path, matrix: Mapping[str, Any] | None, plugins: Plugins) -> tuple[str, ...]:
    """Everything that is wrong with the configuration, one line each, also what `load` only warns of."""
    return tuple(str(problem) for problem in _collect(root, matrix, plugins)[1])


def read_matrix(root: Path) -> dict[str, Any]:
    """The content of config/config.yaml, not yet held against its model.

    Raises ConfigError when it is missing, not YAML, or not keys and values.
    """
    data, problems = read(root / MATRIX, MATRIX)
    if data is None:
        raise ConfigError([str(problem) for problem in problems])
    return data


def plugin_files(matrix: Mapping[str, Any], root: Path) -> tuple[str, ...]:
    """What is under `plugins` of a matrix and exists: plugins are needed before the rest can be checked.

    What is wrong with the others, `load` reports together with everything else.
    """
    given = matrix.get("plugins")
    names = given if isinstance(given, list | tuple) else (given,)
    given_names = [name for name in names if isinstance(name, str) and name]
    return tuple(dict.fromkeys(n for n in given_names if os.path.isfile(root / checks.plugin_file(n))))


def _scheme_folders(matrix: Mapping[str, Any] | None) -> tuple[str, ...]:
    """config/schemes and what `scheme_folders` adds to it: their names are needed before the rest can be checked."""
    given = (matrix or {}).get("scheme_folders")
    names = given if isinstance(given, list | tuple) else (given,)
    added = (str(PurePosixPath(name)) for name in names if isinstance(name, str) and name.strip())
    return tuple(dict.fromkeys([FOLDERS["scheme"], *added]))


def _collect(
    root: Path, matrix: Mapping[str, Any] | None, plugins: Plugins
) -> tuple[Project | None, tuple[Problem, ...]]:
    in_file, problems = _matrix_file(root, required=matrix is None)
    given = in_file if matrix is None else _plain(matrix)
    folders = {**{kind: (folder,) for kind, folder in FOLDERS.items()}, "scheme": _scheme_folders(given)}
    labels = {kind: _files(root, folders[kind], problems) for kind in KINDS}
    known = _known({kind: tuple(files) for kind, files in labels.items()}, plugins)
    checked_matrix, of_matrix = (None, []) if given is None else validate(Matrix, given, MATRIX, known)
    things = {kind: _things(root, kind, labels[kind], known, plugins, problems) for kind in KINDS}
    of_matrix += _across_files(root, checked_matrix, things, labels["scheme"])
    if checked_matrix is not None:
        of_matrix += checks.search_space(checked_matrix, known)
    in_file = in_file or {}
    overridden = {key for key, value in (given or {}).items() if key not in in_file or in_file[key] != value}
    problems += [_relabelled(problem, overridden) for problem in of_matrix]
    problems.sort(key=_order)
    if checked_matrix is None:
        return None, tuple(problems)
    needed = {labels[kind][name] for kind, name in _needed(checked_matrix, things, labels) if name in labels[kind]}
    if any(problem.file in (COMMAND_LINE, MATRIX, *needed) for problem in problems):
        return None, tuple(problems)
    by_kind = (things["dataset"], things["model"], things["target"], things["scheme"], things["device"])
    return Project(checked_matrix, *by_kind), tuple(problems)


def _needed(
    matrix: Matrix, things: Mapping[str, Mapping[str, Any]], labels: Mapping[str, Mapping[str, str]]
) -> Iterator[tuple[str, str]]:
    """(kind, id) of all that the matrix uses, and what that uses in turn."""
    planned = cells(matrix)
    models, targets, schemes = (dict.fromkeys(cell[i] for cell in planned) for i in range(3))
    yield from (("target", name) for name in targets)
    schemes.setdefault(matrix.baseline)  # built to compare with where it is not selected
    yield from (("scheme", name) for name in schemes)
    used = [things["scheme"][name] for name in schemes if name in things["scheme"]]
    steps = [section.step() for scheme in used for section in scheme.steps]
    models.update(dict.fromkeys(str(step.options["teacher"]) for step in steps if "teacher" in step.options))
    yield from (("model", name) for name in models)
    yield from (("dataset", things["model"][name].dataset) for name in models if name in things["model"])
    for name in labels["device"]:  # one that cannot be read may be that of any target
        device = things["device"].get(name)
        if device is None or not targets.keys().isdisjoint(device.targets):
            yield "device", name


def _matrix_file(root: Path, *, required: bool) -> tuple[dict[str, Any] | None, list[Problem]]:
    """The content of config/config.yaml.

    It is read even when its content is given: who read it may not have noticed a key that is there twice.
    """
    if not required and not (root / MATRIX).exists():
        return None, []
    return read(root / MATRIX, MATRIX)


def _files(root: Path, folders: Sequence[str], problems: list[Problem]) -> dict[str, str]:
    """Id → file, of what the folders define, sorted in each; their other YAML files are problems."""
    labels: dict[str, str] = {}
    existing = [folder for folder in folders if os.path.isdir(root / folder)]
    for label in (f"{folder}/{p.name}" for folder in existing for p in sorted((root / folder).glob("[!.]*.y*ml"))):
        path = Path(label)
        if not is_id(path.stem):
            problems.append(Problem(label, "", f"the file's name {path.stem!r} {NOT_AN_ID}"))
        elif path.suffix != ".yaml":
            problems.append(Problem(label, "", f"rename it to {path.stem}.yaml"))
        elif path.stem in labels:
            # a problem of the first, so that it counts where the matrix uses the id: which is meant, nobody can tell
            problems.append(Problem(labels[path.stem], "", f"{label} has the same id; rename one of them"))
        else:
            labels[path.stem] = label
    return labels


def _known(names: Mapping[str, tuple[str, ...]], plugins: Plugins) -> Known:
    return {
        **names,
        "runtime": tuple(plugins.runtimes),
        "framework": tuple(plugins.frameworks),
        "task": tuple(plugins.tasks),
        "loader": tuple(plugins.loaders),
    }


def _plain(value: Any) -> Any:
    """Dictionaries and lists of whatever class as plain ones, with text as keys."""
    if isinstance(value, Mapping):
        return {str(key): _plain(below) for key, below in value.items()}
    return [_plain(below) for below in value] if isinstance(value, list | tuple) else value


def _things(
    root: Path, kind: str, labels: Mapping[str, str], known: Known, plugins: Plugins, problems: list[Problem]
) -> dict[str, Any]:
    """The files of one kind by id, as far as they can be used; what is wrong with them goes to `problems`."""
    checked: dict[str, Any] = {}
    for name, label in labels.items():
        data, of_yaml = read(root / label, label)
        problems += of_yaml
        if data is None:
            continue
        section, of_section = validate(KINDS[kind], data, label, known)
        problems += of_section
        known_paths = {problem.path for problem in of_section}
        options = checks.plugin_options(kind, data, label, plugins)
        problems += [problem for problem in options if problem.path not in known_paths]
        if section is not None:
            checked[name] = section
    return checked


def _across_files(
    root: Path, matrix: Matrix | None, things: Mapping[str, Mapping[str, Any]], labels: Mapping[str, str]
) -> Iterator[Problem]:
    datasets, models, schemes = (things[kind] for kind in ("dataset", "model", "scheme"))
    yield from checks.python_files(matrix, models, root)
    yield from checks.one_device_a_target(things["device"])
    yield from checks.data_can_be_learnt(models, datasets)
    if matrix is not None:
        yield from checks.folders_exist(matrix, root)
        yield from checks.matrix_makes_sense(matrix, schemes)
        yield from checks.calibration_suffices(matrix, datasets, models, schemes, labels)


def _relabelled(problem: Problem, overridden: set[str]) -> Problem:
    """A problem of the matrix says where its value came from."""
    key = re.split(r"[.\[]", problem.path)[0]
    if problem.file == MATRIX and key in overridden:
        return Problem(COMMAND_LINE, problem.path, problem.message)
    return problem


def _order(problem: Problem) -> tuple[int, str]:
    """The matrix first, then the folders in the order in which they build on each other, file by file."""
    folders = [COMMAND_LINE, MATRIX, *FOLDERS.values()]
    places = (i for i, folder in enumerate(folders) if problem.file.startswith(folder))
    return next(places, len(folders)), problem.file

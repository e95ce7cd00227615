"""Schemes of a search: named after what they say, refused where the plan refuses them, written as YAML files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from edgeflow import files
from edgeflow.config import Project, space
from edgeflow.config.checks import calibration_suffices
from edgeflow.config.models import SchemeConfig
from edgeflow.config.problem import FOLDERS, MATRIX
from edgeflow.config.reader import read
from edgeflow.config.validate import validate
from edgeflow.errors import ConfigError
from edgeflow.paths import inside
from edgeflow.plan import Plan, plan
from edgeflow.registry import Plugins


@dataclass(frozen=True)
class Candidate:
    """A scheme that can be tried."""

    id: str
    config: SchemeConfig
    hand_written: bool

    @property
    def words(self) -> str:
        """What it does to the model."""
        return described(self.config)


class Candidates:
    """The schemes of one model on one target: the project's own, and those that a search makes."""

    def __init__(self, project: Project, plugins: Plugins, model: str, target: str) -> None:
        self.project = project
        self.plugins = plugins
        self.model = model
        self.target = target

    @cached_property
    def hand_written(self) -> tuple[Candidate, ...]:
        """Every scheme of the project that can be built here, the baseline first.

        What is as it was brought is nothing that a setting led to, unless it is the baseline.
        """
        baseline = self.project.baseline
        names = [baseline, *(n for n, s in self.project.schemes.items() if n != baseline and s.mode != "as_is")]
        own = (Candidate(name, self.project.schemes[name], hand_written=True) for name in names)
        return tuple(candidate for candidate in own if not self.refusal(candidate))

    @cached_property
    def corners(self) -> tuple[Candidate, ...]:
        """Schemes of the space in which each of its choices occurs, whether or not they can be built here."""
        return tuple(self.candidate(filled.content) for filled in space.corners(self.alternatives))

    @property
    def alternatives(self) -> tuple[space.Alternative, ...]:
        """What is searched for this model."""
        return self.project.search.alternatives(imported=self.project.models[self.model].source is not None)

    @property
    def teachers(self) -> tuple[str, ...]:
        """The models that schemes of the space learn from."""
        steps = (step.step() for corner in self.corners for step in corner.config.steps)
        return tuple(dict.fromkeys(str(step.options["teacher"]) for step in steps if "teacher" in step.options))

    def candidate(self, content: Mapping[str, Any]) -> Candidate:
        """The candidate for a scheme of the space; a project's own scheme keeps its id.

        Raises ConfigError when it is none: choices that do not go together belong into alternatives of their own.
        """
        known = {"model": tuple(self.project.models)}
        config, problems = validate(SchemeConfig, dict(content), f"{MATRIX}: search.space", known)
        if config is None:
            raise ConfigError(
                [f"{problem}; write another alternative for what does not go together" for problem in problems]
            )
        name = self._own.get(digest(config))
        if name is not None:
            return Candidate(name, self.project.schemes[name], hand_written=True)
        return Candidate(f"s_{digest(config)}", config.model_copy(update={"description": described(config)}), False)

    def named(self, name: str, folder: Path) -> Candidate:
        """A scheme of the project, or one that a search wrote to a folder; ConfigError when that is damaged.

        DataError for a name that leads out of the folder: it comes from a study, which DVC holds.
        """
        if name in self.project.schemes:
            return Candidate(name, self.project.schemes[name], hand_written=True)
        path = inside(folder, f"{name}.yaml")
        data, problems = read(path, str(path))
        config, more = validate(SchemeConfig, data or {}, str(path), {"model": tuple(self.project.models)})
        if config is None or problems:
            raise ConfigError([str(problem) for problem in [*problems, *more]])
        return Candidate(name, config, hand_written=False)

    @cached_property
    def _own(self) -> Mapping[str, str]:
        """Digest → id of the project's schemes; of equal ones the first."""
        return {digest(config): name for name, config in reversed([*self.project.schemes.items()])}

    def refusal(self, candidate: Candidate) -> str:
        """Why a scheme cannot be built here; empty when it can."""
        project = self._with((candidate,))
        labels = {name: f"{FOLDERS['scheme']}/{name}.yaml" for name in project.schemes}
        things = (project.datasets, project.models, project.schemes)
        for problem in calibration_suffices(project.matrix, *things, labels):
            return f"{problem.path}: {problem.message}"
        return plan(project, self.plugins).cells[0].reason

    def planned(self, candidates: Iterable[Candidate]) -> tuple[Project, Plan]:
        """The baseline and these schemes, planned."""
        baseline = Candidate(self.project.baseline, self.project.schemes[self.project.baseline], hand_written=True)
        project = self._with(tuple({c.id: c for c in (baseline, *candidates)}.values()))
        return project, plan(project, self.plugins)

    def _with(self, candidates: tuple[Candidate, ...]) -> Project:
        update = {
            "models": (self.model,),
            "targets": (self.target,),
            "schemes": tuple(candidate.id for candidate in candidates),
            "exclude": (),
            "include": (),
        }
        schemes = {**self.project.schemes, **{candidate.id: candidate.config for candidate in candidates}}
        return replace(self.project, matrix=self.project.matrix.model_copy(update=update), schemes=schemes)


def digest(config: SchemeConfig) -> str:
    """Eight hexadecimal digits of all that a scheme says but its description; defaults count as not said."""
    return hashlib.sha256(json.dumps(_said(config), sort_keys=True).encode()).hexdigest()[:8]


def _said(config: SchemeConfig) -> dict[str, Any]:
    said: dict[str, Any] = config.model_dump(mode="json", exclude={"description"}, exclude_defaults=True)
    return said


def described(config: SchemeConfig) -> str:
    """What a scheme does to a model, in a line."""
    said = _said(config)
    same = config.weights == config.activations
    types = f"{config.weights}" if same else f"{config.weights} with {config.activations} activations"
    parts = ["as it is" if config.mode == "as_is" else types if config.mode == "float" else f"{types} {config.mode}"]
    if not config.per_channel:
        parts.append("per tensor")
    rest = {key: said[key] for key in said.keys() - {"weights", "activations", "mode", "per_channel", "steps"}}
    parts += [f"{key} {value}" for key, value in _leaves(dict(sorted(rest.items())))]
    return ", ".join(parts) + "".join(f"; {_step(step)}" for step in said.get("steps", ()))


def _step(step: Mapping[str, Any]) -> str:
    ((kind, options),) = step.items()
    rest = [f"{key} {value}" for key, value in _leaves(options) if key != "epochs"]
    return " ".join([kind, *rest, f"× {options['epochs']}"])


def _leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, below in value.items():
        if isinstance(below, Mapping):
            yield from _leaves(below, f"{key} ")
        else:
            yield prefix + key, f"{below:g}" if isinstance(below, float) else below


def write(folder: Path, candidate: Candidate) -> None:
    """Write a scheme of a search where it is not there yet; equal content is the same file."""
    path = folder / f"{candidate.id}.yaml"
    if not path.exists():
        files.write_text(path, text(candidate.config, candidate.config.description))


def text(config: SchemeConfig, description: str) -> str:
    """A scheme as a YAML file."""
    content = {"description": description, **_said(config)}
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120))

"""The whole configuration, checked: typed access, and conversion to the types that stages and plugins know."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TypeAlias

from edgeflow.config.budgets import Limit
from edgeflow.config.models import DatasetConfig, DeviceConfig, Matrix, ModelConfig, SchemeConfig, TargetConfig
from edgeflow.config.search import Search
from edgeflow.plugin import ModelSpec
from edgeflow.types.figures import Budget, Direction
from edgeflow.types.plain import to_json
from edgeflow.types.variants import SOURCE, Scheme, Step, Target
from edgeflow.units import unit_of

Steps: TypeAlias = tuple[Step, ...]


@dataclass(frozen=True)
class Project:
    """The matrix and everything that the folders define, by id."""

    matrix: Matrix
    datasets: Mapping[str, DatasetConfig]
    models: Mapping[str, ModelConfig]
    targets: Mapping[str, TargetConfig]
    schemes: Mapping[str, SchemeConfig]
    devices: Mapping[str, DeviceConfig]
    warnings: tuple[str, ...] = ()  # what is wrong in files that the matrix does not use

    @property
    def title(self) -> str:
        """Heading of the report."""
        return self.matrix.title

    @property
    def baseline(self) -> str:
        """Id of the float32 scheme that the others are compared with."""
        return self.matrix.baseline

    @property
    def seed(self) -> int:
        """Seed of every training."""
        return self.matrix.seed

    @property
    def search(self) -> Search:
        """What `edgeflow search` explores."""
        return self.matrix.search or Search.model_validate({})

    def cells(self) -> tuple[tuple[str, str, str], ...]:
        """(model, target, scheme) of every planned cell, in the order of the matrix; what is included comes last."""
        return cells(self.matrix)

    def scheme(self, scheme: str) -> Scheme:
        """A scheme as stages and plugins see it."""
        return self._schemes[scheme]

    @cached_property
    def _schemes(self) -> Mapping[str, Scheme]:
        """Every job of a matrix asks for its scheme, whose recipe is a digest."""
        return {
            scheme: Scheme(
                id=scheme,
                weights=config.weights or SOURCE,
                activations=config.activations or SOURCE,
                mode=config.mode,
                per_channel=config.per_channel,
                calibration_samples=config.calibration.samples if config.calibration else 0,
                recipe=recipe_id(self.steps(scheme)),
                mixed_precision=config.mixed_precision.drop if config.mixed_precision else None,
                description=config.description,
                calibration_method=config.calibration.method if config.calibration else "minmax",
                percentile=config.calibration.percentile if config.calibration else None,
                bias_correction=config.bias_correction,
            )
            for scheme, config in self.schemes.items()
        }

    def steps(self, scheme: str) -> Steps:
        """The training-time steps of a scheme, in order."""
        return tuple(section.step() for section in self.schemes[scheme].steps)

    @cached_property
    def recipes(self) -> Mapping[str, Steps]:
        """Recipe → its training-time steps, of every scheme and of the control of each; "base" has none."""
        recipes: dict[str, Steps] = {recipe_id(()): ()}
        for scheme in self.schemes:
            for steps in (control_of(self.steps(scheme)), self.steps(scheme)):
                recipes[recipe_id(steps)] = steps
        return recipes

    def target(self, target: str) -> Target:
        """A target as stages and plugins see it: without its budgets."""
        config = self.targets[target]
        return Target(
            id=target,
            runtime=config.runtime,
            arch=config.arch,
            accelerator=config.accelerator,
            clock_hz=config.clock_hz,
            ram_bytes=config.ram_bytes,
            flash_bytes=config.flash_bytes,
            threads=config.threads,
            options=config.options,
        )

    def budgets(self, target: str) -> tuple[Budget, ...]:
        """The limits of a target, in canonical units."""
        limits: dict[str, Limit | None] = dict(self.targets[target].budgets)
        return tuple(_budget(metric, limit) for metric, limit in limits.items() if limit is not None)

    def model_spec(self, model: str) -> ModelSpec:
        """What a framework needs to build and train a model."""
        config = self.models[model]
        dataset = self.datasets[config.dataset]
        return ModelSpec(
            id=model,
            builder=config.builder,
            arguments=config.arguments,
            input_shape=dataset.shape or (),
            classes=dataset.class_count,
            training=config.training,
            weights=config.weights or "",
        )

    def device_of(self, target: str) -> str | None:
        """The id of the device that is a unit of this target, where there is one."""
        return next((name for name, device in self.devices.items() if target in device.targets), None)

    def pinned(self, device: str) -> Mapping[str, str]:
        """What the machine must be that is a device, as far as its file says: see runners/identity.py. {}: any."""
        identity = self.devices[device].identity
        return identity.model_dump(exclude_none=True) if identity else {}


def recipe_id(steps: Steps) -> str:
    """Names a checkpoint: the kinds of its steps for people, and a digest of all that they say."""
    if not steps:
        return "base"
    content = json.dumps(to_json(steps), sort_keys=True).encode()
    return "_".join([*(step.kind for step in steps), hashlib.sha256(content).hexdigest()[:8]])


def control_of(steps: Steps) -> Steps:
    """As many epochs at the same learning rates with no technique: what the steps must beat to have gained anything."""
    return tuple(Step("fine_tune", step.epochs, step.learning_rate) for step in steps)


def cells(matrix: Matrix) -> tuple[tuple[str, str, str], ...]:
    """models × targets × schemes, less what is excluded, and what is included; each cell once."""
    planned = [
        cell
        for cell in product(matrix.models, matrix.targets, matrix.schemes)
        if not any(exclusion.matches(*cell) for exclusion in matrix.exclude)
    ]
    added = [(cell.model, cell.target, cell.scheme) for cell in matrix.include]
    return tuple(dict.fromkeys([*planned, *added]))


def _budget(metric: str, limit: Limit) -> Budget:
    direction = Direction.MIN if limit.max is None else Direction.MAX
    value = float(limit.min if limit.max is None else limit.max)
    return Budget(metric, value, unit_of(metric), direction, limit.evidence)

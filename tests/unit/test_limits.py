"""What a model on a target is held against: budgets of both, those of other tasks, and defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeflow.config import Project, load, read_matrix
from edgeflow.config.limits import Limits, limits
from edgeflow.config.models import InputConfig, ModelConfig, SchemeConfig
from edgeflow.config.validate import validate
from edgeflow.plan import plan
from edgeflow.plugin import Metric, Task
from edgeflow.registry import Plugins, discover
from edgeflow.types.figures import Budget, Direction, Evidence

MODEL, TARGET = "digits_dscnn", "cortex_m4_tflm"
FIDELITY = {"task": "fidelity"}
ONE = InputConfig(shape=(4,))
MIXED = {"weights": "int8", "activations": "int8", "mode": "static"}


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return discover()


@pytest.fixture(scope="module")
def loaded(plugins: Plugins) -> Project:
    root = Path(__file__).parents[2]
    return load(root, {**read_matrix(root), "models": [MODEL], "targets": [TARGET]}, plugins)


def held(loaded: Project, plugins: Plugins, **changes: Any) -> Limits:
    """Of the model with other keys, as its file would have them."""
    data = {**loaded.models[MODEL].model_dump(exclude_defaults=True), **changes}
    known = {"framework": ("torch",), "task": tuple(plugins.tasks), "dataset": tuple(loaded.datasets)}
    config, problems = validate(ModelConfig, data, "model.yaml", known)
    assert config is not None, problems
    return limits(replace(loaded, models={**loaded.models, MODEL: config}), plugins, MODEL, TARGET)


def by_metric(found: Limits) -> Mapping[str, Budget]:
    return {budget.metric: budget for budget in found.budgets}


def test_a_classifier_is_held_against_its_target_alone(loaded: Project, plugins: Plugins) -> None:
    found = held(loaded, plugins)
    assert found.budgets == loaded.budgets(TARGET)
    assert (found.task, found.not_applicable) == (("accuracy", "accuracy_drop"), {})


def test_a_budget_on_another_task_does_not_apply_and_the_tasks_own_holds(loaded: Project, plugins: Plugins) -> None:
    found = held(loaded, plugins, **FIDELITY)
    assert found.not_applicable == {
        "accuracy_drop": f"it is of the task classification, and {MODEL} has the task fidelity"
    }
    assert found.task == ("signal_to_noise_db", "cosine_similarity", "agreement", "exact_match")
    noise, exact = (by_metric(found)[metric] for metric in ("signal_to_noise_db", "exact_match"))
    assert (noise.limit, noise.unit, noise.direction) == (20.0, "decibel", Direction.MIN)
    assert (exact.limit, exact.unit, exact.direction) == (0.99, "ratio", Direction.MIN)
    assert noise.default.startswith(
        f"default of the task fidelity, as config/models/{MODEL}.yaml has no budgets: a root mean square error of a "
    )
    assert "agreement" not in by_metric(found)


def test_a_models_own_budget_stands_for_all_defaults(loaded: Project, plugins: Plugins) -> None:
    budgets = {"agreement": {"min": "99 %", "evidence": "simulator"}}
    found = held(loaded, plugins, **FIDELITY, budgets=budgets)
    assert by_metric(found)["agreement"] == Budget("agreement", 0.99, "ratio", Direction.MIN, Evidence.SIMULATOR)
    assert not {"signal_to_noise_db", "exact_match"} & by_metric(found).keys()


def test_limits_are_read_in_the_unit_of_the_task(loaded: Project, plugins: Plugins) -> None:
    found = held(loaded, plugins, **FIDELITY, budgets={"signal_to_noise_db": {"min": "32.5 dB"}})
    assert by_metric(found)["signal_to_noise_db"] == Budget(
        "signal_to_noise_db", 32.5, "decibel", Direction.MIN, Evidence.HOST
    )


def test_a_models_budget_stands_in_for_that_of_the_target(loaded: Project, plugins: Plugins) -> None:
    found = held(loaded, plugins, budgets={"accuracy_drop": {"max": "5 %"}})
    assert [budget.limit for budget in found.budgets if budget.metric == "accuracy_drop"] == [0.05]
    assert len(found.budgets) == len(loaded.budgets(TARGET))


def test_a_task_of_somebody_else_has_its_own_metrics(loaded: Project, plugins: Plugins) -> None:
    def nothing(*_: Any) -> Any:
        return None

    error = Task(
        "regression",
        "a test",
        "error_s",
        Direction.MIN,
        nothing,
        nothing,
        unit="second",
        further_metrics={"worst_s": Metric("second", Direction.MIN, "a test", 0.5, "a guess")},
    )
    others = replace(plugins, tasks={**plugins.tasks, "regression": error})
    found = held(loaded, others, task="regression", budgets={"error_s": {"max": "20 ms"}})
    assert by_metric(found)["error_s"] == Budget("error_s", 0.02, "second", Direction.MAX, Evidence.HOST)
    default = by_metric(held(loaded, others, task="regression"))["worst_s"]
    assert (default.limit, default.direction) == (0.5, Direction.MAX)


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        ({"dtype": "int64"}, "ranks layers on blends of samples, and the int64 of dataset digits_1x49x10 have none"),
        ({"inputs": {"a": ONE, "b": ONE}}, "ranks layers on samples of one input, and dataset digits_1x49x10 has 2"),
    ],
)
def test_layers_are_ranked_on_samples_that_can_be_blended(
    loaded: Project, plugins: Plugins, samples: dict[str, Any], reason: str
) -> None:
    name = loaded.models[MODEL].dataset
    datasets = {**loaded.datasets, name: loaded.datasets[name].model_copy(update=samples)}
    scheme = SchemeConfig.model_validate({**MIXED, "calibration": {"samples": 32}, "mixed_precision": {"drop": "1 %"}})
    matrix = loaded.matrix.model_copy(update={"schemes": ("mixed",), "targets": ("linux_x86_ort",)})
    project = replace(loaded, datasets=datasets, schemes={**loaded.schemes, "mixed": scheme}, matrix=matrix)
    assert plan(project, plugins).cells[0].reason == f"mixed_precision {reason}"


def test_layers_are_not_chosen_by_a_drop_that_there_is_none_of(loaded: Project, plugins: Plugins) -> None:
    models = {**loaded.models, MODEL: loaded.models[MODEL].model_copy(update=FIDELITY)}
    scheme = SchemeConfig.model_validate({**MIXED, "calibration": {"samples": 32}, "mixed_precision": {"drop": "1 %"}})
    matrix = loaded.matrix.model_copy(update={"schemes": ("mixed",), "targets": ("linux_x86_ort",)})
    project = replace(loaded, models=models, schemes={**loaded.schemes, "mixed": scheme}, matrix=matrix)
    assert plan(project, plugins).cells[0].reason == (
        "mixed_precision keeps a drop within its limit, and signal_to_noise_db of the task fidelity has none"
    )

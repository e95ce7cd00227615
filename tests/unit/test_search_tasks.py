"""A search for a model whose task has no drop: the metric itself is kept above its limit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeflow.config import Project, load, read_matrix
from edgeflow.errors import UsageError
from edgeflow.plugin import Comparison, Score
from edgeflow.registry import Plugins, discover
from edgeflow.report import show
from edgeflow.search.command import rules_for
from edgeflow.search.conclusion import conclude
from edgeflow.search.evaluator import lost
from edgeflow.search.tried import Ending, Figure, Rules, Tried
from edgeflow.types.figures import Budget, Direction, Evidence, Interval
from edgeflow.types.programs import Measured
from edgeflow.types.verdicts import Release

MODEL, TARGET = "digits_dscnn", "cortex_m4_tflm"
NOISE = "signal_to_noise_db"


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return discover()


@pytest.fixture(scope="module")
def imported(plugins: Plugins) -> Project:
    root = Path(__file__).parents[2]
    loaded = load(root, {**read_matrix(root), "models": [MODEL], "targets": [TARGET]}, plugins)
    models = {**loaded.models, MODEL: loaded.models[MODEL].model_copy(update={"task": "fidelity"})}
    return replace(loaded, models=models)


@pytest.fixture
def rules(imported: Project, plugins: Plugins) -> Rules:
    return rules_for(imported, plugins, MODEL, TARGET, "size_bytes", [f"{NOISE}=30 dB"])


def score(value: float, low: float, high: float) -> Score:
    return Score(value, 400, Interval(low, high, 0.95, "bootstrap-t"))


def tried(scheme: str, noise: float, size: float, hand_written: bool = False) -> Tried:
    figures = {
        NOISE: Figure(noise, noise - 0.5, noise + 0.5, Evidence.SIMULATOR),
        "size_bytes": Figure(size, None, None, Evidence.SIMULATOR),
    }
    return Tried(scheme, "a test", hand_written, Ending.MEASURED, "", Release.RELEASED, figures)


def test_the_metric_stands_in_for_a_drop_and_its_limit_is_the_least(rules: Rules) -> None:
    assert (rules.drop, rules.gains, rules.limit) == (NOISE, True, 30.0)
    budgets = {budget.metric: budget for budget in rules.budgets}
    assert budgets[NOISE] == Budget(
        NOISE, 30.0, "decibel", Direction.MIN, Evidence.HOST, default=budgets[NOISE].default
    )
    assert rules.task[0] == NOISE
    assert "accuracy_drop" in rules.not_applicable


def test_what_is_surely_too_noisy_is_not_compiled(rules: Rules) -> None:
    assert rules.excess(score(25.0, 24.0, 29.0)) == (
        "signal-to-noise 25.0 dB, at most 29.0 dB, is under 30.0 dB before anything is compiled"
    )
    assert rules.excess(score(29.5, 28.0, 31.0)) == ""
    assert rules.overshoot(Figure(31.0, 29.0, 33.0, Evidence.HOST)) == 1.0
    assert rules.overshoot(Figure(31.0, 30.5, 33.0, Evidence.HOST)) == -0.5


def test_more_signal_and_less_cost_make_the_front(rules: Rules) -> None:
    own = [tried("fp32", 120.0, 400.0, hand_written=True), tried("int8", 32.0, 200.0, hand_written=True)]
    found = conclude([*own, tried("s_1", 36.0, 150.0), tried("s_2", 31.0, 300.0)], rules, None)
    assert found.front == ("s_1", "fp32")
    assert found.better
    assert "released at signal-to-noise ≥ 30.0 dB" in found.sentence
    noisy = conclude([*own, tried("s_1", 29.0, 150.0)], rules, None)
    assert not noisy.better


def test_no_figure_of_a_task_is_a_cost(imported: Project, plugins: Plugins) -> None:
    with pytest.raises(UsageError, match="--objective: 'accuracy' is not one of latency_p50_s"):
        rules_for(imported, plugins, MODEL, TARGET, "accuracy", [])
    with pytest.raises(UsageError, match="--budget signal_to_noise_db: '3 %' is not a quantity in decibel"):
        rules_for(imported, plugins, MODEL, TARGET, "size_bytes", [f"{NOISE}=3 %"])
    assert show.value(NOISE, 0.0) == "0.0 dB"


def test_outputs_without_the_metric_that_is_searched_for_are_no_figure_of_it(rules: Rules, plugins: Plugins) -> None:
    task, real = plugins.tasks["fidelity"], {"logits": np.linspace(0, 1, 40, dtype="float32").reshape(10, 4)}
    found = lost(task, Comparison(real, {"logits": real["logits"] + np.float32(1e-3)}, None))
    assert isinstance(found, Score)
    assert rules.excess(found) == ""
    labels = {"label": np.arange(10)}
    said = lost(task, Comparison(labels, labels, None))
    assert said == f"its outputs have no {NOISE}, which is searched for, but exact_match: there is nothing to search"
    measured = Measured(MODEL, TARGET, "int8", "", (), (), None, missing={NOISE: "every output is of integers"})
    kept = rules.tried("int8", "a test", True, measured)
    assert (kept.ending, kept.reason) == (
        Ending.FAILED,
        f"has no {NOISE}, which is searched for: every output is of integers",
    )

"""What `edgeflow plan` warns of: splits that decide nothing, and what a model's last training showed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeflow import files, layout, plan_warnings
from edgeflow.cli import main
from edgeflow.config import Project, load, read_matrix
from edgeflow.config.budgets import FractionLimit, TaskLimit
from edgeflow.plan import plan
from edgeflow.registry import Plugins, discover
from edgeflow.types.figures import Evidence

MODEL, TARGET = "digits_dscnn", "cortex_m4_tflm"
DATASET = "config/datasets/digits_1x49x10.yaml"


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return discover()


@pytest.fixture
def small(project: Path, plugins: Plugins) -> Callable[..., Project]:
    """One model on one target, with so many evaluation samples and these budgets."""

    def made(evaluation: int, **budgets: Any) -> Project:
        loaded = load(project, {**read_matrix(project), "models": [MODEL], "targets": [TARGET]}, plugins)
        dataset = loaded.datasets[loaded.models[MODEL].dataset]
        splits = dataset.splits.model_copy(update={"evaluation": evaluation})
        datasets = {**loaded.datasets, loaded.models[MODEL].dataset: dataset.model_copy(update={"splits": splits})}
        target = loaded.targets[TARGET]
        limits = target.budgets.model_copy(
            update={k: FractionLimit.model_construct(evidence=Evidence.HOST, **v) for k, v in budgets.items()}
        )
        targets = {**loaded.targets, TARGET: target.model_copy(update={"budgets": limits})}
        return replace(loaded, datasets=datasets, targets=targets)

    return made


def warned(project: Project, plugins: Plugins) -> tuple[str, ...]:
    return plan_warnings.of(project, plugins, plan(project, plugins))


def test_a_split_that_cannot_decide_a_drop_is_warned_of(
    small: Callable[..., Project], plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert warned(small(240), plugins) == (
        f"{DATASET}: splits.evaluation: 240 samples are too few for accuracy_drop ≤ 1.00 % of {TARGET}: no change of "
        "any answer on them would not show it; 268 would do",
    )
    assert warned(small(267), plugins)
    assert warned(small(268), plugins) == ()


def test_other_budgets_on_the_task_are_looked_at_as_well(
    small: Callable[..., Project], plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert warned(
        small(900, accuracy={"max": None, "min": 0.999}, accuracy_drop={"max": 0.0, "min": None}), plugins
    ) == (
        f"{DATASET}: splits.evaluation: 900 samples are too few for accuracy ≥ 99.90 % of {TARGET}: no wrong answer on "
        "them would not show it; 3838 would do",
        f"{DATASET}: splits.evaluation: 900 samples are too few for accuracy_drop ≤ 0.00 % of {TARGET}: no change of "
        "any answer on them would not show it; no number would do",
    )


def test_a_default_of_metrics_that_most_models_do_not_have_warns_of_nothing(
    small: Callable[..., Project], plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """381 samples would decide 99 % of exact matches, which only outputs of integers have."""
    monkeypatch.chdir(tmp_path)
    loaded = small(100)
    model = loaded.models[MODEL].model_copy(update={"task": "fidelity"})
    assert warned(replace(loaded, models={**loaded.models, MODEL: model}), plugins) == ()
    asked = TaskLimit.model_construct(min="99 %", max=None, evidence=Evidence.HOST)
    own = model.model_copy(update={"budgets": {"exact_match": asked}})
    (said,) = warned(replace(loaded, models={**loaded.models, MODEL: own}), plugins)
    assert "too few for exact_match ≥ 99.00 %" in said


def test_what_the_last_training_showed_is_said_before_the_next(
    small: Callable[..., Project], plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    info = Path(layout.train(MODEL, "base")["info"])
    interval = {"low": 0.3, "high": 0.42, "confidence": 0.95, "method": "wilson"}
    reference = {
        "metric": "accuracy",
        "value": 0.36,
        "n": 300,
        "interval": interval,
        "direction": "max",
        "chance": 0.34,
    }
    network = {"without_gradient": [], "softmax_twice": True}
    files.write_json(info, {"network": network, "reference": reference})
    sentences = warned(small(900), plugins)
    assert [sentence.partition(", ")[0] for sentence in sentences] == [
        f"config/models/{MODEL}.yaml: as it was trained last"
    ] * 2
    assert "not shown to beat chance" in sentences[0]
    assert "a softmax of them once more" in sentences[1]
    for damaged in ('{"network": {"old": 1}}', '{"reference": {"metric": 1}}', "{"):
        info.write_text(damaged)
        assert warned(small(900), plugins) == ()


def test_the_plan_shows_the_warnings(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "config"
    for path in (project / "config").rglob("*.yaml"):
        copy = folder / path.relative_to(project / "config")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(
            path.read_text(encoding="utf-8").replace("evaluation: 900", "evaluation: 240"), encoding="utf-8"
        )
    monkeypatch.chdir(tmp_path)
    assert main(["plan"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"Warning: {DATASET}: splits.evaluation: 240 samples are too few for accuracy_drop ≤ 1.00 %" in said

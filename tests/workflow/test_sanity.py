"""A model that learns nothing: it loses nothing either, and yet it is not released before its user says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from tests.workflow.conftest import Project

from edgeflow import files, layout
from edgeflow.report.decide import Decision
from edgeflow.types.plain import from_json
from edgeflow.types.verdicts import Release, Status, Verdict

pytestmark = [pytest.mark.workflow, pytest.mark.toolchain, pytest.mark.xdist_group("workflow")]

TARGET = "linux_x86_ort"
NET = """
from torch import nn

class Guess(nn.Module):
    def __init__(self, inputs, classes):
        super().__init__()
        self.head = nn.Linear(inputs, classes)
        self.spare = nn.Linear(inputs, classes)

    def forward(self, x):
        return self.head(x.flatten(1)).softmax(1)

def build(input_shape, classes):
    return Guess(input_shape[0] * input_shape[1] * input_shape[2], classes)
"""


def guessing(made: Project) -> Project:
    """The project with a model of labels that its samples say nothing about, and 240 samples to evaluate it on."""
    random = np.random.default_rng(0)
    samples = 600
    x = random.integers(0, 256, size=(samples, 8, 8), dtype=np.uint8)
    np.savez(made.folder / "noise.npz", x=x, y=np.arange(samples) % 3)
    (made.folder / "guess.py").write_text(NET)
    dataset = {
        "loader": "npz",
        "options": {"file": "noise.npz"},
        "classes": 3,
        "shape": [1, 8, 8],
        "splits": {"calibration": 32, "evaluation": 240, "golden": 8},
        "source": "made for this test",
        "license": "CC0-1.0",
    }
    model = {"framework": "torch", "builder": "guess.py:build", "dataset": "noise", "task": "classification"}
    model["training"] = {"epochs": 2}  # type: ignore[assignment]
    for path, content in (("datasets/noise", dataset), ("models/guess", model)):
        (made.folder / f"config/{path}.yaml").write_text(yaml.safe_dump(content))
    matrix = yaml.safe_load((made.folder / "config/config.yaml").read_text())
    (made.folder / "config/config.yaml").write_text(yaml.safe_dump({**matrix, "models": ["guess"]}))
    return made


def without_clocks(made: Project) -> None:
    """Leave what a shared machine's clock decides out of it."""
    path = made.folder / f"config/targets/{TARGET}.yaml"
    target = yaml.safe_load(path.read_text())
    target["budgets"] = {"accuracy_drop": target["budgets"]["accuracy_drop"]}
    path.write_text(yaml.safe_dump(target))


def test_a_model_that_guesses_is_held_until_its_user_accepts_that(fresh: Callable[..., Project]) -> None:
    made = guessing(fresh(targets=[TARGET], schemes=["fp32"]))
    without_clocks(made)
    made.run()
    verdict = files.read_as(Verdict, made.folder / layout.judge("guess", TARGET, "fp32")["verdict"])
    assert [(check.metric, check.status) for check in verdict.checks] == [("accuracy_drop", Status.PASS)]
    assert "the same answers" in verdict.checks[0].reason  # 240 samples show no other drop of 1 %
    assert verdict.release == Release.HELD
    assert [reason.partition(":")[0] for reason in verdict.reasons] == ["the model itself is not shown to beat chance"]
    said = " ".join(made.run("summary", module="edgeflow").stdout.split())
    planned = " ".join(made.run("plan", module="edgeflow").stdout.split())
    for part in ("is not shown to beat chance", "takes a softmax of them once more", "spare.weight, spare.bias"):
        assert part in said
        assert part in planned
    assert "splits.evaluation: 240 samples are too few for accuracy_drop ≤ 1.00 %" in planned

    model = made.folder / "config/models/guess.yaml"
    model.write_text(yaml.safe_dump({**yaml.safe_load(model.read_text()), "accept_chance_level": True}))
    assert {rule for rule, _ in made.pending()} <= {"judge", "package", "report", "all"}
    made.run()
    (decision,) = from_json(tuple[Decision, ...], files.read_json(made.folder / layout.report()["decision"]))
    assert (decision.ship, decision.release) == ("fp32", Release.RELEASED)
    assert decision.warnings[0].endswith("of always the same answer, as its model accepts")
    assert Path(made.folder / layout.package("guess", TARGET, "fp32")["record"]).is_file()

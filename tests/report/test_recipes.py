"""What training-time steps gained: read from train.json, and said in the words that its interval allows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from synthetic import build, path

from edgeflow import files, layout
from edgeflow.errors import DataError
from edgeflow.report.recipes import read
from edgeflow.stages import report
from edgeflow.stages.report import Inputs, Outputs, Spec

MODEL, RECIPE = "digits_dscnn", "prune_1234abcd"


def against(low: float, high: float) -> dict[str, Any]:
    def interval(a: float, b: float) -> dict[str, Any]:
        return {"low": a, "high": b, "confidence": 0.9, "method": "tango"}

    return {
        "metric": "accuracy",
        "control": {"value": 0.975, "n": 900, "interval": interval(0.96, 0.98)},
        "recipe": {"value": 0.9612, "n": 900, "interval": interval(0.95, 0.97)},
        "drop": {"value": 0.0138, "n": 900, "interval": interval(low, high), "conditions": {}},
    }


def with_recipe(folder: Path, compared: Any) -> tuple[Spec, Inputs, Outputs]:
    """The synthetic matrix with one more training, of which two schemes are made."""
    spec, inputs, outputs = build(folder)
    plan = files.read_json(inputs.plan)
    jobs = [*plan["jobs"], ["train", MODEL, "fine_tune_00000000"], ["train", MODEL, RECIPE]]
    recipes = {"base": ["fp32"], RECIPE: ["pruned", "pruned_int8"]}
    files.write_json(inputs.plan, {**plan, "jobs": jobs, "recipes": recipes})
    info = {"figures": {"zero_weights_ratio": 0.7}, "against_control": compared}
    files.write_json(path(inputs.results, layout.train(MODEL, RECIPE)["info"]), info)
    return spec, inputs, outputs


@pytest.mark.parametrize(
    ("low", "high", "finding"),
    [
        (0.004, 0.02, "worse than its control"),
        (-0.02, -0.001, "better than its control"),
        (-0.001, 0.02, "no difference shown on 900 samples"),
        (0.0, 0.02, "no difference shown on 900 samples"),
    ],
)
def test_a_finding_is_no_stronger_than_its_interval(tmp_path: Path, low: float, high: float, finding: str) -> None:
    _, inputs, _ = with_recipe(tmp_path, against(low, high))
    (found,) = read(inputs.plan, inputs.results)
    assert (found.model, found.recipe, found.schemes) == (MODEL, RECIPE, ("pruned", "pruned_int8"))
    assert found.finding == finding


def test_the_report_shows_recipe_and_control_side_by_side(tmp_path: Path) -> None:
    spec, inputs, outputs = with_recipe(tmp_path, against(0.004, 0.02))
    report.run(spec, inputs, outputs)
    (section,) = re.findall(r'<section id="steps".*?</section>', outputs.html.read_text(), re.DOTALL)
    cells = [re.sub(r"<[^>]+>|\s+", " ", cell).split() for cell in re.findall(r"<t[dh][ >].*?</t[dh]>", section)]
    row = [" ".join(cell) for cell in cells][-8:]
    assert [text.split("> ")[-1] for text in row] == [
        *(MODEL, RECIPE, "pruned, pruned_int8", "96.12 %", "97.50 %"),
        *("1.38 points 0.40 points to 2.00 points", "70.00 %", "worse than its control"),
    ]


def test_without_steps_there_is_no_section(tmp_path: Path) -> None:
    spec, inputs, outputs = build(tmp_path)
    report.run(spec, inputs, outputs)
    assert 'id="steps"' not in outputs.html.read_text()


def test_a_comparison_that_is_damaged_is_refused(tmp_path: Path) -> None:
    _, inputs, _ = with_recipe(tmp_path, {"metric": "accuracy"})
    with pytest.raises(DataError, match=r"train\.json: against_control: .*missing key.*train again"):
        read(inputs.plan, inputs.results)

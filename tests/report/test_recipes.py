"""What training-time steps gained: read from train.json, and said in the words that its interval allows."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from synthetic import MATRIX, Case, KiB, build, path

from edgeflow import files, layout
from edgeflow.errors import DataError
from edgeflow.report.recipes import read, savings
from edgeflow.report.variants import Variant
from edgeflow.report.variants import read as variants_of
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


# Made of the recipe: the fp32 program is as fast as the dense one; the int8 programs are faster, as fast, and slower.
SHIPPED = {
    (MODEL, "linux_x86_ort", "pruned"): Case(889, 103 * KiB, None, 65.0e-6, zero_weights_ratio=0.7, compressed=0.36),
    (MODEL, "linux_x86_ort", "pruned_int8"): Case(889, 52 * KiB, None, 30e-6, zero_weights_ratio=0.71, compressed=0.45),
    (MODEL, "linux_x86_litert", "pruned_int8"): Case(889, 42 * KiB, None, 42.1e-6, zero_weights_ratio=None),
    (MODEL, "android_arm64_litert", "pruned_int8"): Case(889, 42 * KiB, None, 60e-6),
    (MODEL, "cortex_m4_tflm", "pruned_int8"): Case(889, 42 * KiB, 23_600, None),
    (MODEL, "cortex_m4_tflm", "pruned"): ("the arena does not fit",),
    (MODEL, "ethos_u55_128", "pruned_int8"): "no",
}


def with_recipe(folder: Path, compared: Any) -> tuple[Spec, Inputs, Outputs]:
    """The synthetic matrix with one more training, of which two schemes are made."""
    spec, inputs, outputs = build(folder, {**MATRIX, **SHIPPED})
    spec = replace(spec, dense={"pruned": "fp32", "pruned_int8": "int8_static"})
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
    (recipe,) = read(inputs.plan, inputs.results)
    assert (recipe.model, recipe.recipe, recipe.schemes) == (MODEL, RECIPE, ("pruned", "pruned_int8"))
    assert recipe.finding == finding


def test_the_report_shows_recipe_and_control_side_by_side(tmp_path: Path) -> None:
    spec, inputs, outputs = with_recipe(tmp_path, against(0.004, 0.02))
    report.run(spec, inputs, outputs)
    (section,) = re.findall(r'<section id="steps".*?</section>', outputs.html.read_text(), re.DOTALL)
    cells = [re.sub(r"<[^>]+>|\s+", " ", cell).split() for cell in re.findall(r"<t[dh][ >].*?</t[dh]>", section)]
    row = [" ".join(cell) for cell in cells][8:16]
    assert [text.split("> ")[-1] for text in row] == [
        *(MODEL, RECIPE, "pruned, pruned_int8", "96.12 %", "97.50 %"),
        *("1.38 points 0.40 points to 2.00 points", "70.00 %", "worse than its control"),
    ]


def test_the_report_says_what_zeros_save_and_that_they_save_no_latency(tmp_path: Path) -> None:
    spec, inputs, outputs = with_recipe(tmp_path, against(0.004, 0.02))
    report.run(spec, inputs, outputs)
    (section,) = re.findall(r'<section id="steps".*?</section>', outputs.html.read_text(), re.DOTALL)
    rows = re.findall(r"<tr><th scope.*?</tr>", section, re.DOTALL)[1:]
    said = {}
    for row in rows:
        cells = [
            re.sub(r"<[^>]+>|\s+", " ", cell).split("> ")[-1] for cell in re.findall(r"<t[dh][ >].*?</t[dh]>", row)
        ]
        _, target, scheme, *figures = (" ".join(cell.split()) for cell in cells)
        said[target, scheme] = figures
    dense = ["103 KiB", "fp32", "40.00 %", "1.00× 0.98× to 1.02×", "saves no latency"]
    assert said["linux_x86_ort", "pruned"] == ["70.00 %", dense[0], "37.1 KiB", *dense[1:]]
    assert said["linux_x86_ort", "pruned_int8"][4:] == ["50.00 %", "0.55× 0.53× to 0.57×", "faster"]
    assert said["linux_x86_litert", "pruned_int8"][0] == "–"
    assert said["linux_x86_litert", "pruned_int8"][5:] == ["1.00× 0.96× to 1.04×", "saves no latency"]
    assert said["android_arm64_litert", "pruned_int8"][-1] == "latency not compared"  # another machine was timed
    assert said["cortex_m4_tflm", "pruned_int8"][4:] == ["100.00 %", "–", "latency not compared"]
    assert len(said) == 5  # what is infeasible saves nothing


def test_times_of_two_machines_are_not_compared(tmp_path: Path) -> None:
    spec, inputs, _ = with_recipe(tmp_path, against(-0.001, 0.02))
    variants = variants_of(inputs.plan, inputs.results)

    def latency(**machines: str) -> bool:
        taken = [_taken_on(v, machines.get(v.cell.scheme, "one")) for v in variants]
        rows = savings(read(inputs.plan, inputs.results), taken, spec.dense, "fp32")
        (row,) = (r for r in rows if r.variant.cell.id == f"{MODEL}/linux_x86_ort/pruned_int8")
        return row.latency is not None

    assert (latency(), latency(int8_static="two"), latency(fp32="two")) == (True, False, True)


def _taken_on(variant: Variant, machine: str) -> Variant:
    figures = {m.metric: replace(m, conditions={"machine_id": machine}) for m in variant.figures.values()}
    return replace(variant, figures=figures)


def test_without_steps_there_is_no_section(tmp_path: Path) -> None:
    spec, inputs, outputs = build(tmp_path)
    report.run(spec, inputs, outputs)
    assert 'id="steps"' not in outputs.html.read_text()


def test_a_comparison_that_is_damaged_is_refused(tmp_path: Path) -> None:
    _, inputs, _ = with_recipe(tmp_path, {"metric": "accuracy"})
    with pytest.raises(DataError, match=r"train\.json: against_control: .*missing key.*train again"):
        read(inputs.plan, inputs.results)

"""Where a variant lost its accuracy, in sentences; and the ranking behind mixed precision."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic import build, path

from edgeflow import files, layout
from edgeflow.report import attribution, sensitivity
from edgeflow.report.variants import Variant, read
from edgeflow.stages import report
from edgeflow.types.figures import Interval
from edgeflow.types.ladder import LayerNoise, LayerSensitivity, Sensitivity
from edgeflow.types.programs import Program

LOST = ("digits_resnet8", "linux_x86_litert", "int16x8")  # 18 points, at optimize
NOISE = (
    LayerNoise("blocks.1.add", "ADD", 34.2, 9.1, 264.0),
    LayerNoise("stem", "CONV_2D", None, 38.0, 7.0),
    LayerNoise("blocks.2.conv1", "CONV_2D", 9.1, 8.9, 11.0),
    LayerNoise("classifier", "FULLY_CONNECTED", 20.0, 12.0, 4.0),
)


def lost(variants: tuple[Variant, ...], noise: tuple[LayerNoise, ...], kept: tuple[str, ...] = ()) -> Variant:
    """The variant that loses 18 points, with noise at optimize."""
    variant = next(v for v in variants if (v.cell.model, v.cell.target, v.cell.scheme) == LOST)
    rungs = tuple(
        replace(rung, noisiest=noise, kept=kept) if rung.stage == "optimize" else rung for rung in variant.ladder.rungs
    )
    return replace(variant, ladder=replace(variant.ladder, rungs=rungs))


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> tuple[Variant, ...]:
    _, inputs, _ = build(tmp_path_factory.mktemp("report"))
    return read(inputs.plan, inputs.results)


def test_the_stage_and_the_layers_are_named_with_what_to_do(variants: tuple[Variant, ...]) -> None:
    stage, first, *others = attribution.explain(lost(variants, NOISE))
    assert stage == "Accuracy falls most in optimize: from 99.33 % after convert to 81.42 %."
    assert first == (
        "blocks.1.add (ADD): 9 dB of signal to noise, 34 dB before it; range 264× its median. A few large values leave "
        "the others few steps: try percentile calibration, 16-bit activations, or mixed_precision, which keeps such "
        "layers in float32."
    )
    assert others == [  # not blocks.2.conv1, which passes on what it reads
        "classifier (FULLY_CONNECTED): 12 dB of signal to noise, 20 dB before it; range 4× its median. Try "
        "quantize_aware, or mixed_precision, which keeps such layers in float32."
    ]


def test_what_training_loses_is_not_blamed_on_a_later_stage(variants: tuple[Variant, ...]) -> None:
    variant = lost(variants, NOISE)
    low = variant.ladder.rungs[-1].value
    rungs = tuple(replace(rung, value=low) for rung in variant.ladder.rungs)
    pruned = replace(variant, ladder=replace(variant.ladder, rungs=rungs))
    (said,) = attribution.explain(pruned)
    assert said == (
        "Accuracy falls most in train: from 99.33 % of the baseline's checkpoint to 81.31 %. The steps of the scheme "
        "cost that; its control shows what more training alone does."
    )


def test_a_layer_that_reads_what_is_exact_is_told_where_it_adds_as_much(variants: tuple[Variant, ...]) -> None:
    second = LayerNoise("stem", "CONV_2D", None, 11.0, 7.0)
    *_, told = attribution.explain(lost(variants, (NOISE[0], second)))
    assert told.startswith("stem (CONV_2D): 11 dB of signal to noise, its input is exact")


def test_a_layer_in_float32_is_not_told_to_be_kept(variants: tuple[Variant, ...]) -> None:
    *_, told = attribution.explain(lost(variants, NOISE[:1], kept=("blocks.1.add",)))
    assert told.endswith("It is in float32 already: what it reads is rounded.")


def test_without_a_look_into_the_layers_it_says_so(variants: tuple[Variant, ...]) -> None:
    assert attribution.explain(lost(variants, ()))[1:] == ("Nothing is known of the layers in optimize.",)


def test_only_what_loses_more_than_its_budget_is_explained(variants: tuple[Variant, ...]) -> None:
    explained = {(v.cell.model, v.cell.target, v.cell.scheme) for v in variants if attribution.explain(v)}
    over = {
        (v.cell.model, v.cell.target, v.cell.scheme)
        for v in variants
        for check in v.checks
        if check.metric == "accuracy_drop" and check.value is not None and check.value > check.limit
    }
    assert LOST in explained
    assert explained == over


def ranking() -> Sensitivity:
    at = Interval(0.02, 0.04, 0.9, "tango")
    layers = (LayerSensitivity("<b>evil", "CONV_2D", 0.03, at, 6.0), LayerSensitivity("stem", "CONV_2D", 0.0, at, 40.0))
    return Sensitivity(
        *("digits_dscnn", "tflite", "mixed", "accuracy", 0.01, 865, 0.4),
        *(0.13, Interval(0.11, 0.15, 0.9, "tango"), 0.0, Interval(-0.003, 0.003, 0.9, "tango")),
        *(("<b>evil",), layers),
    )


def test_the_ranking_is_plotted_and_tabled(tmp_path: Path) -> None:
    spec, inputs, outputs = build(tmp_path)
    plan = files.read_json(inputs.plan)
    key = ("digits_dscnn", "tflite", "tflite", "mixed")
    files.write_json(inputs.plan, {**plan, "jobs": [*plan["jobs"], ["sensitivity", *key]]})
    model, file_format, profile, scheme = key
    made = layout.sensitivity(model, profile, scheme, file_format)["sensitivity"]
    files.write_json(path(inputs.results, made), ranking())
    assert sensitivity.read(inputs.plan, inputs.results) == (ranking(),)
    report.run(spec, inputs, outputs)
    page = outputs.html.read_text()
    (section,) = re.findall(r'<section id="sensitivity".*?</section>', page, re.DOTALL)
    assert "In float32: &lt;b&gt;evil (1 of 2 layers)" in section
    assert "13.00 points (11.00 points to 15.00 points), as it ships 0.00 points" in section
    assert "<b>evil" not in page
    (drawn,) = re.findall(r'<script type="application/json" id="chart-data">(.*?)</script>', page, re.DOTALL)
    (bars,) = json.loads(drawn)["sensitivity-0"]["data"]
    assert (bars["x"], bars["y"]) == ([3.0, 0.0], ["&lt;b&gt;evil", "stem"])
    assert bars["marker"]["color"][0] != bars["marker"]["color"][1]


def test_the_page_has_no_section_without_a_ranking(tmp_path: Path) -> None:
    spec, inputs, outputs = build(tmp_path)
    report.run(spec, inputs, outputs)
    assert 'id="sensitivity"' not in outputs.html.read_text()
    assert files.read_as(Program, next(inputs.results.glob("compile/*/*/*/*/program.json"))).ladder.rungs[0].kept == ()

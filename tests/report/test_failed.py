"""Cells of which a job broke: shown as failed, with stage, reason and log, whatever an earlier run left of them."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic import BROKEN, MATRIX, TARGETS, WITH_FAILURE, Case, build, path

from edgeflow import failures, files, layout
from edgeflow.errors import StageError
from edgeflow.report.decide import Decision, decide
from edgeflow.report.variants import finished, read
from edgeflow.stages import report
from edgeflow.types.jobs import Failure
from edgeflow.types.verdicts import Release

FAILURE = WITH_FAILURE[BROKEN]
WORDS = "compile digits_dscnn/runtime/ethos_u55_128/int16x8 failed: ended by SIGSEGV"
LOG = "results/logs/compile/digits_dscnn/ethos_u/u55/int16x8.log"


def _decision(root: Path, broken: set[str], model: str = "digits_resnet8", target: str = "linux_x86_ort") -> Decision:
    """The decision where these schemes of a model failed on a target."""
    assert isinstance(FAILURE, Failure)
    group = {key: case for key, case in MATRIX.items() if key[:2] == (model, target)}
    for key in [key for key in group if key[2] in broken]:
        group[key] = replace(FAILURE, cells=("/".join(key),))
    _, inputs, _ = build(root, group)
    variants = read(inputs.plan, inputs.results, failures.read(path(inputs.results, layout.failures())))
    (decision,) = decide(variants, [t for t in TARGETS if t.id == target], "fp32")
    return decision


def test_a_failed_cell_is_not_what_an_earlier_run_left_of_it(tmp_path: Path) -> None:
    build(tmp_path, {BROKEN: Case(888, 1024, 1024, 1e-6)})  # released, then
    _, inputs, _ = build(tmp_path, WITH_FAILURE)
    assert isinstance(FAILURE, Failure)
    (variant,) = (v for v in read(inputs.plan, inputs.results, [FAILURE]) if v.failure)
    assert variant.cell.id == "/".join(BROKEN)
    assert variant.release is Release.FAILED
    assert (variant.verdict, variant.program, variant.figures) == (None, None, {})
    assert variant.reasons == (f"{WORDS} (log: {LOG})",)
    assert [v for v in finished(inputs.plan, inputs.results, [FAILURE]) if v.failure] == [variant]


def test_without_a_failure_on_record_a_missing_cell_is_lost_and_no_report_is_made(tmp_path: Path) -> None:
    spec, inputs, outputs = build(tmp_path, WITH_FAILURE)
    with pytest.raises(StageError, match=f"1 of 50 planned cells are lost: {'/'.join(BROKEN)}"):
        report.run(spec, replace(inputs, failures=None), outputs)
    assert not outputs.html.exists()


def test_summary_and_page_name_stage_reason_and_log(tmp_path: Path) -> None:
    spec, inputs, outputs = build(tmp_path, WITH_FAILURE)
    report.run(spec, inputs, outputs)
    with outputs.summary.open(encoding="utf-8", newline="") as stream:
        rows = {(row["model"], row["target"], row["scheme"]): row for row in csv.DictReader(stream)}
    assert len(rows) == 50
    row = rows[BROKEN]
    assert (row["status"], row["failed_stage"], row["log"]) == ("failed", "compile", LOG)
    assert row["reason"] == f"{WORDS} (log: {LOG})"
    assert row["accuracy"] == row["size_bytes"] == row["evidence"] == ""
    assert {r["failed_stage"] for key, r in rows.items() if key != BROKEN} == {""}
    page = outputs.html.read_text(encoding="utf-8")
    assert f"{WORDS} (log: {LOG})" in page
    assert "1 failed" in page
    assert len(files.read_json(outputs.decision)) == 10


def test_what_ships_says_what_it_could_not_be_compared_with(tmp_path: Path) -> None:
    decision = _decision(tmp_path, {"int8_dynamic", "fp16"})
    assert (decision.ship, decision.release) == ("int8_static", Release.RELEASED)
    assert decision.why.endswith(" Not compared, since they failed: fp16, int8_dynamic.")


def test_a_model_of_which_everything_failed_is_failed(tmp_path: Path) -> None:
    decision = _decision(tmp_path, {"fp32", "fp16", "int8_dynamic", "int8_static"})
    assert (decision.ship, decision.scheme, decision.release) == (None, None, Release.FAILED)
    assert decision.why == (
        f"Nothing ships: 1 infeasible, 4 failed: {WORDS} (log: {LOG}); "
        "ONNX Runtime has no kernels for int16 activations."
    )


def test_a_failed_baseline_is_no_baseline(tmp_path: Path) -> None:
    decision = _decision(tmp_path, {"fp32"})
    assert decision.ship == "int8_static"
    assert "there is no fp32 here to compare with" in decision.why
    assert decision.size_ratio_fp32 is None

"""Reading the results folder: nothing is lost silently, nothing is taken for what it is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from synthetic import MATRIX, build, path, program

from edgeflow import files, layout
from edgeflow.errors import DataError, StageError
from edgeflow.report.variants import read
from edgeflow.types.figures import Evidence
from edgeflow.types.programs import Measured, Program
from edgeflow.types.verdicts import Release, Verdict

KEY = ("digits_dscnn", "linux_x86_ort", "int8_static")
OTHER = ("digits_resnet8", "cortex_m4_tflm", "fp32")


def test_every_cell_of_the_plan_becomes_a_variant(tmp_path: Path) -> None:
    _, inputs, _ = build(tmp_path)
    variants = read(inputs.plan, inputs.results)
    assert [(v.cell.model, v.cell.target, v.cell.scheme) for v in variants] == list(MATRIX)
    assert {v.release for v in variants} == set(Release) - {Release.FAILED}
    assert all(v.reasons for v in variants if v.release is not Release.RELEASED)


def test_lost_variants_are_all_named_with_the_files_that_are_missing(tmp_path: Path) -> None:
    _, inputs, _ = build(tmp_path)
    path(inputs.results, layout.judge(*KEY)["verdict"]).unlink()
    path(inputs.results, layout.measure(*OTHER)["measurement"]).unlink()
    path(inputs.results, program(*OTHER)["info"]).unlink()
    with pytest.raises(StageError) as caught:
        read(inputs.plan, inputs.results)
    message = str(caught.value)
    assert "2 of 50 planned cells are lost" in message
    assert "digits_dscnn/linux_x86_ort/int8_static (no verdict.json)" in message
    assert "digits_resnet8/cortex_m4_tflm/fp32 (no program.json, no measurement.json)" in message
    assert "run snakemake again" in message


def test_a_file_about_another_variant_is_refused(tmp_path: Path) -> None:
    _, inputs, _ = build(tmp_path)
    verdict = path(inputs.results, layout.judge(*KEY)["verdict"])
    files.write_json(verdict, replace(files.read_as(Verdict, verdict), scheme="fp32"))
    with pytest.raises(DataError, match=r"verdict\.json: is about digits_dscnn/linux_x86_ort/fp32, expected .*int8_st"):
        read(inputs.plan, inputs.results)


def test_a_program_of_another_build_is_refused(tmp_path: Path) -> None:
    _, inputs, _ = build(tmp_path)
    info = path(inputs.results, program(*KEY)["info"])
    files.write_json(info, replace(files.read_as(Program, info), platform="other"))
    with pytest.raises(DataError, match=r"program\.json: is about digits_dscnn/runtime/other/int8_static, expected "):
        read(inputs.plan, inputs.results)


def test_targets_that_share_a_program_show_the_same_one(tmp_path: Path) -> None:
    _, inputs, _ = build(tmp_path)
    plan = files.read_json(inputs.plan)
    first, second = (
        next(c for c in plan["cells"] if (c["model"], c["target"], c["scheme"]) == key)
        for key in (KEY, (KEY[0], "linux_x86_litert", KEY[2]))
    )
    second["platform"] = first["platform"]
    files.write_json(inputs.plan, plan)
    programs = {v.cell.id: v.program for v in read(inputs.plan, inputs.results)}
    assert programs["digits_dscnn/linux_x86_litert/int8_static"] == programs["/".join(KEY)]


def test_the_strongest_of_two_measurements_of_a_metric_counts(tmp_path: Path) -> None:
    _, inputs, _ = build(tmp_path)
    file = path(inputs.results, layout.measure(*KEY)["measurement"])
    measured = files.read_as(Measured, file)
    known = next(m for m in measured.measurements if m.metric == "latency_p50_s")
    weaker = replace(known, evidence=Evidence.ESTIMATE, value=1.0)
    for order in ((weaker, *measured.measurements), (*measured.measurements, weaker)):
        files.write_json(file, replace(measured, measurements=order))
        variant = next(v for v in read(inputs.plan, inputs.results) if v.cell.id == "/".join(KEY))
        assert variant.figures["latency_p50_s"] == known


@pytest.mark.parametrize("content", [[], {}, {"cells": None}, {"cells": [{"model": "m"}]}, {"cells": [1]}])
def test_a_malformed_plan_is_named(tmp_path: Path, content: object) -> None:
    plan = tmp_path / "plan.json"
    files.write_json(plan, content)
    with pytest.raises(DataError, match=r"plan\.json: expected \{\"cells\""):
        read(plan, tmp_path)


def test_a_cell_that_is_planned_twice_is_refused(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    cell = {"model": "m", "target": "t", "scheme": "s", "reason": "no"}
    files.write_json(plan, {"cells": [cell, cell]})
    with pytest.raises(DataError, match=r"plan\.json: m/t/s is there twice"):
        read(plan, tmp_path)


def test_weakest_evidence_is_that_of_the_judged_figures(tmp_path: Path) -> None:
    _, inputs, _ = build(tmp_path)
    weakest = {v.cell.id: v.weakest_evidence for v in read(inputs.plan, inputs.results)}
    assert weakest["digits_dscnn/linux_x86_ort/int8_static"] is Evidence.DEVICE
    assert weakest["digits_dscnn/ethos_u55_128/int8_static"] is Evidence.ESTIMATE
    assert weakest["digits_dscnn/cortex_m4_tflm/int8_static"] is Evidence.SIMULATOR
    assert weakest["digits_dscnn/cortex_m4_tflm/fp16"] is None

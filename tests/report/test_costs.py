"""What the build cost: summed per stage, and what has no record is not made up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from synthetic import build, path

from edgeflow import files, layout
from edgeflow.errors import DataError
from edgeflow.report.costs import read
from edgeflow.stages import report


def test_costs_are_summed_per_stage(tmp_path: Path) -> None:
    _, inputs, _ = build(tmp_path)
    train, measure = read(inputs.plan, inputs.results).stages
    assert (train.stage, train.planned, train.recorded, train.warm) == ("train", 2, 2, 2)
    assert (train.cpu_s, train.wall_s, train.memory_peak_bytes) == (1.0 + 2.0, 2.0 + 3.0, 101 << 20)
    assert measure.recorded == measure.planned - 1
    assert measure.warm == measure.recorded - 1


def test_the_jobs_that_took_most_come_first(tmp_path: Path) -> None:
    _, inputs, _ = build(tmp_path)
    costs = read(inputs.plan, inputs.results)
    times = [job.cost.cpu_s for job in costs.greatest]
    assert len(times) == 5
    assert times == sorted(times, reverse=True)
    assert times[0] == sum(stage.recorded for stage in costs.stages)
    assert costs.cpu_s == pytest.approx(sum(stage.cpu_s for stage in costs.stages))


def test_a_models_fromout_records_has_dashes(tmp_path: Path) -> None:
    spec, inputs, outputs = build(tmp_path)
    for record in inputs.results.rglob("job.json"):
        record.unlink()
    report.run(spec, inputs, outputs)
    (section,) = re.findall(r'<section id="cost".*?</section>', outputs.html.read_text(), re.DOTALL)
    assert "0 recorded" in section
    assert "Most CPU time" not in section
    assert section.count("–") == 8


def test_a_damaged_record_is_refused(tmp_path: Path) -> None:
    _, inputs, _ = build(tmp_path)
    record = path(inputs.results, layout.job("train", "digits_dscnn", "base"))
    files.write_json(record, {"stage": "train"})
    with pytest.raises(DataError, match=r"job\.json: JobCost: missing key"):
        read(inputs.plan, inputs.results)


def test_a_plan_without_jobs_is_refused(tmp_path: Path) -> None:
    _, inputs, _ = build(tmp_path)
    files.write_json(inputs.plan, {"cells": []})
    with pytest.raises(DataError, match="expected 'jobs', a list"):
        read(inputs.plan, inputs.results)

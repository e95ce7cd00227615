"""Models of different tasks in one report: each in its own words and units."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from synthetic import DETECTOR, IMPORTED, OF_BOTH, TARGETS, build, path

from edgeflow import files, layout
from edgeflow.errors import DataError
from edgeflow.report import ladder_charts, primary, show
from edgeflow.report.primary import Primary
from edgeflow.report.terminal import table
from edgeflow.report.variants import read
from edgeflow.stages import report
from edgeflow.types.figures import Direction


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return build(tmp_path_factory.mktemp("both"), OF_BOTH)


@pytest.fixture(scope="module")
def of_import(tmp_path_factory: pytest.TempPathFactory) -> report.Outputs:
    spec, inputs, outputs = build(tmp_path_factory.mktemp("import"), IMPORTED, TARGETS[:1])
    report.run(spec, inputs, outputs)
    return outputs


@pytest.fixture(scope="module")
def written(both: Any) -> report.Outputs:
    spec, inputs, outputs = both
    report.run(spec, inputs, outputs)
    return outputs


def test_the_table_has_columns_for_each_task_and_leaves_the_others_empty(written: report.Outputs) -> None:
    rows = {
        (row["model"], row["target"], row["scheme"]): row
        for row in csv.DictReader(written.summary.read_text(encoding="utf-8").splitlines())
    }
    imported, trained = rows[DETECTOR, "linux_x86_ort", "fp16"], rows["digits_dscnn", "linux_x86_ort", "fp16"]
    assert float(imported["signal_to_noise_db"]) == 62.4
    assert float(imported["signal_to_noise_db_low"]) < 62.4 < float(imported["signal_to_noise_db_high"])
    assert imported["agreement_low"] < imported["agreement"]
    assert (imported["accuracy"], imported["accuracy_drop"], imported["evidence_accuracy"]) == ("", "", "")
    assert imported["evidence_signal_to_noise_db"] == "device"
    assert (trained["signal_to_noise_db"], trained["agreement"]) == ("", "")
    assert trained["accuracy"] != ""


def test_a_table_of_classifiers_has_no_other_columns(tmp_path: Path) -> None:
    spec, inputs, outputs = build(tmp_path)
    report.run(spec, inputs, outputs)
    header = outputs.summary.read_text(encoding="utf-8").partition("\n")[0].split(",")
    assert [name for name in header if "noise" in name or "agreement" in name] == []
    assert header[7:12] == ["accuracy", "accuracy_low", "accuracy_high", "accuracy_drop", "accuracy_drop_upper"]


def test_a_decision_is_in_the_words_of_the_task(written: report.Outputs) -> None:
    decisions = {(entry["model"], entry["target"]): entry for entry in files.read_json(written.decision)}
    task = decisions[DETECTOR, "linux_x86_ort"]["task"]
    assert (task["metric"], task["unit"], task["value"], task["drop"]) == ("signal_to_noise_db", "decibel", 28.7, None)
    assert task["declared"] == "random"
    assert decisions["digits_dscnn", "linux_x86_ort"]["task"]["metric"] == "accuracy"


def test_the_terminal_says_which_tasks_there_are_and_what_was_asked(written: report.Outputs) -> None:
    console = Console(width=100, record=True)
    console.print(table(files.read_json(written.decision)))
    said = console.export_text()
    assert re.search(r"detector .* 28\.7 dB\*", said)
    assert "task: accuracy or signal-to-noise, as the model has it" in said
    assert "* on declared random inputs" in said
    assert max(map(len, said.splitlines())) <= 100


def test_the_page_of_an_import_never_says_accuracy(of_import: report.Outputs) -> None:
    page = of_import.html.read_text(encoding="utf-8")
    text = re.sub(r"<script>.*?</script>|<style>.*?</style>", "", page, flags=re.DOTALL)
    assert not re.search("accuracy", text, re.IGNORECASE)
    assert "Signal-to-noise against latency and size" in text
    assert "Signal-to-noise after each stage" in text
    assert "28.4 – 29.1 dB, declared random inputs" in text
    assert "signal-to-noise of boxes" in text
    assert "signal-to-noise 95 %, latency p50 90 %" in text
    console = Console(width=100, record=True)
    console.print(table(files.read_json(of_import.decision)))
    assert "signal-to-noise" in console.export_text()


def test_the_page_says_where_an_import_comes_from_and_what_would_decide_more(of_import: report.Outputs) -> None:
    page = of_import.html.read_text(encoding="utf-8")
    section = page.partition('<section id="imports"')[2].partition("</section>")[0]
    text = re.sub(r"\s+", " ", re.sub("<[^>]+>", "", section))
    assert f"models/detector.onnx, sha256 {'ab' * 32}. Asked by onnxruntime 1.32.0: 899 declared random inputs." in text
    assert "in image: uint8[batch, 3, 96, 96]" in text
    assert "out boxes: float32[batch, 40, 4]" in text
    assert "Built by: onnx → onnx (onnx_to_onnx)." in text
    assert "Samples: only random inputs were asked." in text
    assert "Labels: these figures say how far answers are from its own" in text


def test_without_imports_nothing_is_said_of_them(tmp_path: Path) -> None:
    spec, inputs, outputs = build(tmp_path)
    report.run(spec, inputs, outputs)
    assert 'href="#imports"' not in outputs.html.read_text(encoding="utf-8")


def test_a_source_that_is_damaged_is_refused(tmp_path: Path) -> None:
    spec, inputs, outputs = build(tmp_path, IMPORTED, TARGETS[:1])
    info = path(inputs.results, layout.source(DETECTOR)["info"])
    files.write_json(info, {"file": "models/detector.onnx"})
    with pytest.raises(DataError, match=r"source\.json: 'sha256'; run snakemake to write it again"):
        report.run(spec, inputs, outputs)


def test_a_ladder_begins_with_what_it_begins_with_and_skips_what_was_not_asked(both: Any) -> None:
    _, inputs, _ = both
    (variant,) = (v for v in read(inputs.plan, inputs.results) if v.cell.id == f"{DETECTOR}/linux_x86_ort/fp16")
    assert ladder_charts.stages([variant.ladder]) == ["source", "convert", "optimize", "compile"]
    drawn = ladder_charts.task({"fp16": variant.ladder}, ["fp16"], primary.of([variant.primary]))
    assert [*drawn["data"][0]["y"]] == [120.0, 62.4]
    assert drawn["layout"]["yaxis"]["ticksuffix"] == " dB"
    assert drawn["layout"]["yaxis"]["range"][1] > 120


def test_a_metric_of_which_less_is_better_gains_by_falling() -> None:
    error = Primary("error_s", "second", Direction.MIN)
    assert (error.gain(2.0), error.worse(0.1), error.worse(-0.1), error.suffix) == (-2.0, True, False, "")
    ratio = Primary("accuracy", "ratio", Direction.MAX)
    assert (ratio.change(-0.0123), ratio.change(0.0), ratio.ceiling(104.0, 0.5)) == ("−1.23", "±0", 100.5)
    decibel = Primary("signal_to_noise_db", "decibel", Direction.MAX)
    assert (decibel.change(-57.6), decibel.ceiling(125.0, 1.0)) == ("−57.6", 125.0)


def test_figures_of_fidelity_as_people_read_them() -> None:
    assert show.value("signal_to_noise_db", 41.23) == "41.2 dB"
    assert show.between("signal_to_noise_db", 40.84, 41.66) == "40.8 – 41.7 dB"
    assert show.value("cosine_similarity", 0.99987) == "0.99987"
    assert show.value("agreement", 0.991) == "99.10 %"
    assert show.name("signal_to_noise_db/a b") == "signal-to-noise of a b"

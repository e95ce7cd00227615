"""The three files of the report stage: whole, the same for the same inputs, and harmless."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic import MATRIX, MODELS, SCHEMES, TARGETS, build, build_hostile

from edgeflow import files, layout
from edgeflow.errors import DataError
from edgeflow.report import page, terminal
from edgeflow.stages import report
from edgeflow.stages.report import Outputs
from edgeflow.types.plain import to_json


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    spec, inputs, outputs = build(tmp_path_factory.mktemp("report"))
    report.run(spec, inputs, outputs)
    return outputs


def _rows(outputs: Outputs) -> dict[tuple[str, str, str], dict[str, str]]:
    with outputs.summary.open(encoding="utf-8", newline="") as stream:
        return {(row["model"], row["target"], row["scheme"]): row for row in csv.DictReader(stream)}


def test_summary_has_a_row_per_cell_and_empty_cells_where_nothing_was_measured(made: Outputs) -> None:
    rows = _rows(made)
    assert list(rows) == list(MATRIX)
    released = rows["digits_dscnn", "linux_x86_ort", "int8_static"]
    assert released["status"] == "released"
    assert released["reason"] == ""
    assert float(released["latency_p50_s"]) == 54.8e-6
    assert float(released["accuracy_low"]) < float(released["accuracy"]) < float(released["accuracy_high"])
    assert float(released["accuracy_drop_upper"]) > float(released["accuracy_drop"])
    assert released["evidence"] == released["evidence_latency"] == "device"
    arena = rows["digits_dscnn", "cortex_m4_tflm", "int8_static"]
    assert arena["latency_p50_s"] == arena["evidence_latency"] == arena["first_inference_s"] == ""
    assert arena["shipped_without"] == "latency_p50_s"
    assert float(arena["memory_peak_bytes"]) == 23_600
    planned = rows["digits_dscnn", "cortex_m4_tflm", "fp16"]
    assert planned["status"] == "infeasible"
    assert planned["reason"] == MATRIX["digits_dscnn", "cortex_m4_tflm", "fp16"]
    assert planned["accuracy"] == planned["evidence"] == ""
    compiled = rows["digits_resnet8", "cortex_m4_tflm", "fp32"]
    assert (compiled["status"], compiled["size_bytes"]) == ("infeasible", "")
    assert "needs an arena of 311 KiB" in compiled["reason"]


def test_several_reasons_stand_in_one_cell(made: Outputs) -> None:
    reason = _rows(made)["digits_resnet8", "linux_x86_litert", "int16x8"]["reason"]
    assert reason.startswith("accuracy_drop is 18.02 %")
    assert "; latency_ratio_fp32 is 30.70" in reason


def test_decision_json_is_a_list_of_plain_values(made: Outputs) -> None:
    decisions = files.read_json(made.decision)
    assert [(d["target"], d["model"]) for d in decisions] == [(t.id, m) for t in TARGETS for m in MODELS]
    assert decisions[0]["ship"] == "int8_static"
    assert decisions[0]["release"] == "released"
    nothing = next(d for d in decisions if d["target"] == "android_arm64_litert")
    assert nothing["ship"] is None
    assert nothing["memory_peak_bytes"] is None
    assert nothing["evidence_latency"] == "host"


def test_the_same_inputs_give_the_same_bytes(made: Outputs, tmp_path: Path) -> None:
    """In another process, folder, time zone and hash seed."""
    spec, inputs, outputs = build(tmp_path)
    command = [sys.executable, "-m", "edgeflow", "report", "--spec", json.dumps(to_json(spec))]
    command += ["--input", f"plan={inputs.plan}", f"results={inputs.results}"]
    command += ["--output", *(f"{k}={v}" for k, v in vars(outputs).items())]
    source = str(Path(report.__file__).parents[2])
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "PYTHONPATH": source}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name, path in vars(outputs).items():
        assert path.read_bytes() == getattr(made, name).read_bytes(), name


def test_the_page_is_one_file_that_asks_for_nothing(made: Outputs) -> None:
    html = made.html.read_text(encoding="utf-8")
    assert html.count("<script>") == 2  # plotly.js once, and the page's own
    assert not re.search(r"<(?:link|iframe|img|object|embed)\b|<script[^>]+src=", html)
    assert not re.search(r"@import|url\(", html.split("</style>")[0])


def test_the_ladder_counts_the_operators_of_each_file(made: Outputs) -> None:
    html = made.html.read_text(encoding="utf-8")
    tables = re.findall(r'<div class="scroll" role="region" aria-label="ladder of [^"/]+/.*?</div>', html, re.DOTALL)
    assert tables
    for rows in tables:
        last = r'<th scope="row">(train|optimize)</th>(?:(?!</tr>).)*<td class="text">([^<]*)</td></tr>'
        counts = re.findall(last, rows, re.DOTALL)
        assert counts == [("train", "–"), ("optimize", "9 × CONV_2D, 3 × DEQUANTIZE")]


def test_the_policy_allows_exactly_the_scripts_that_are_in_the_page(made: Outputs) -> None:
    html = made.html.read_bytes()
    policy = re.search(rb'http-equiv="Content-Security-Policy" content="([^"]+)"', html)
    assert policy is not None
    allowed = re.findall(rb"sha256-([A-Za-z0-9+/=]+)", policy[1])
    scripts = re.findall(rb"<script>(.*?)</script>", html, re.DOTALL)
    assert allowed == [base64.b64encode(hashlib.sha256(script).digest()) for script in scripts]
    assert b"default-src &#39;none&#39;" in policy[1]
    assert b"unsafe-inline" not in policy[1].split(b"script-src")[1].split(b";")[0]


def test_hostile_names_are_text(tmp_path: Path) -> None:
    spec, inputs, outputs = build_hostile(tmp_path)
    report.run(spec, inputs, outputs)
    html = outputs.html.read_text(encoding="utf-8")
    assert "<script>window.pwned" not in html
    assert "<img" not in html
    assert html.count("&lt;script&gt;window.pwned=1&lt;/script&gt;") > 3
    data = html.split('id="chart-data">')[1].split("</script>")[0]
    assert "<" not in data
    figures = json.loads(data)
    label = figures["t0-m0-latency_p50_s"]["layout"]["meta"]["labels"][-1]["text"]
    assert "&lt;img src=x" in label  # plotly reads labels as markup


def test_a_plan_without_any_program_still_has_a_report(tmp_path: Path) -> None:
    matrix = {("m", "linux_x86_ort", scheme): "no kernels" for scheme in SCHEMES}
    spec, inputs, outputs = build(tmp_path, matrix, TARGETS[:1])
    report.run(spec, inputs, outputs)
    assert "every scheme is infeasible: no kernels." in outputs.html.read_text(encoding="utf-8")
    assert [row["status"] for row in _rows(outputs).values()] == ["infeasible"] * 5


def _terminal(decision: object, width: int = 100) -> list[str]:
    from io import StringIO

    from rich.console import Console

    console = Console(file=StringIO(), width=width)
    console.print(terminal.table(decision))  # type: ignore[arg-type]
    assert isinstance(console.file, StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_terminal_table_fits_into_100_columns(made: Outputs) -> None:
    lines = _terminal(files.read_json(made.decision))
    assert max(map(len, lines)) <= 100
    rows = [line.split() for line in lines]
    assert ["digits_resnet8", "int8_static", "99.11", "%", "132", "µs", "98", "KiB", "1.78", "MiB", "released"] in rows
    assert ["digits_dscnn", "int8_static", "98.78", "%", "ʰ", "182", "µs", "ᵉ", "38", "KiB", "21.2", "KiB", "ᵉ",
            "released"] in rows  # fmt: skip
    assert next(row for row in rows if row[:2] == ["digits_dscnn", "–"])[-1] == "held"
    for target in TARGETS:
        assert [target.id] in rows


def test_terminal_table_takes_brackets_for_text(made: Outputs) -> None:
    decision = files.read_json(made.decision)[:1]
    decision[0]["model"] = "[red]m[/red]"
    assert any("[red]m[/red]" in line for line in _terminal(decision))


def _warned(folder: Path) -> Outputs:
    """A report in which what ships on two targets is warned of."""
    spec, inputs, outputs = build(folder)
    for target in ("linux_x86_ort", "linux_x86_litert"):
        verdict = inputs.results / Path(layout.judge("digits_dscnn", target, "int8_static")["verdict"]).relative_to(
            layout.RESULTS
        )
        files.write_json(verdict, {**files.read_json(verdict), "warnings": ["it guesses", "<b>twice</b>"]})
    report.run(spec, inputs, outputs)
    return outputs


def test_warnings_stand_beside_what_ships_and_in_every_table(tmp_path: Path) -> None:
    outputs = _warned(tmp_path)
    warned = {(d["model"], d["target"]): d["warnings"] for d in files.read_json(outputs.decision) if d["warnings"]}
    assert warned == {
        ("digits_dscnn", target): ["it guesses", "<b>twice</b>"] for target in ("linux_x86_ort", "linux_x86_litert")
    }
    html = outputs.html.read_text(encoding="utf-8")
    assert html.count('<p class="warning"><b>Warning:</b> it guesses.</p>') == 2
    assert "<b>twice</b>" not in html
    rows = _rows(outputs)
    said = {key: row["warnings"] for key, row in rows.items() if row["warnings"]}
    assert set(said.values()) == {"it guesses; <b>twice</b>"}
    assert len(said) == 2
    lines = _terminal(files.read_json(outputs.decision))
    assert lines.count("warning: digits_dscnn: it guesses") == 1  # whatever the target
    assert max(map(len, lines)) <= 100


def test_terminal_table_refuses_what_the_report_did_not_write() -> None:
    with pytest.raises(DataError, match=r"decision\.json: .*unknown key 'surprise'; .* run snakemake"):
        terminal.table([{"surprise": 1}])


def test_templates_are_where_the_package_says() -> None:
    assert {"index.html.j2", "report.css", "report.js"} <= {path.name for path in page.TEMPLATES.iterdir()}

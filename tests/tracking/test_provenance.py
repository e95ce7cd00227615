"""What the records of jobs say about a variant: the ones that it was made from, and not those of its baseline."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from edgeflow import layout
from edgeflow.errors import DataError
from edgeflow.report.variants import Variant
from edgeflow.tracking import dvc, git, provenance, runs
from edgeflow.tracking.provenance import Jobs
from edgeflow.types.figures import Evidence, Interval, Measurement
from edgeflow.types.ladder import Ladder, Rung
from edgeflow.types.programs import Program
from edgeflow.types.variants import Cell

PACKAGE = layout.package("m", "npu", "int8")["record"]


class Records:
    """Records as Snakemake keeps them."""

    def __init__(self) -> None:
        self.content: provenance.Records = {}

    def add(self, rule: str, outputs: Sequence[str], inputs: Sequence[str], **spec: Any) -> Sequence[str]:
        """One job; returns its outputs."""
        call = {"job": "results/jobs/x", "spec": json.dumps(spec), "toolchain": "core"}
        for output in outputs:
            name = base64.urlsafe_b64encode(output.encode()).decode()
            self.content[name] = {"rule": rule, "input": [*inputs], "params": [repr(call)]}
        return outputs


def chain(records: Records, scheme: str, recipe: str, targets: Sequence[str] = ("npu",)) -> None:
    """All jobs of one scheme on targets whose program another runtime's compiler begins."""
    data = [*layout.prepare("digits").values()]
    trained = records.add(
        "train", [*layout.train("m", recipe).values()], data, recipe=recipe, seed=0, model={"id": "m"}
    )
    converted = records.add("convert", [*layout.convert("m", recipe, "tflite").values()], [*trained, *data])
    optimized = layout.optimize("m", "tflite", scheme, "tflite")
    records.add(
        "optimize",
        [*optimized.values()],
        [*converted, *data],
        profile="tflite",
        scheme={"id": scheme, "mode": "static"},
    )
    first = layout.compile("m", "tflm", "any", scheme)
    records.add("compile", [*first.values()], [*optimized.values(), *data])
    program = layout.compile("m", "vela", "u55", scheme)
    records.add("compile", [*program.values()], [*first.values(), *data])
    for target in targets:
        measured = layout.measure("m", target, scheme)["measurement"]
        baseline = [*layout.compile("m", "vela", "u55", "fp32").values(), layout.train("m", "base")["outputs"]]
        records.add("measure", [measured], [*baseline, *program.values()], model="m")
        verdict = layout.judge("m", target, scheme)["verdict"]
        records.add("judge", [verdict], [measured], budgets={})
        package = layout.package("m", target, scheme)["record"]
        records.add("package", [package], [verdict, measured, *program.values(), data[-1]], target={"id": target})


@pytest.fixture
def jobs() -> Jobs:
    """An int8 variant, trained for it and compiled twice; it is compared with an fp32 baseline of another recipe."""
    records = Records()
    records.add("prepare", [*layout.prepare("digits").values()], [], dataset="digits")
    chain(records, "fp32", "base")
    chain(records, "int8", "qat")
    return Jobs(records.content)


def test_the_parameters_of_a_variant_are_its_own_and_not_those_of_its_baseline(jobs: Jobs) -> None:
    specs = jobs.specs(PACKAGE)
    assert specs["train"]["recipe"] == "qat"
    assert specs["optimize"]["scheme"]["id"] == "int8"
    assert specs["prepare"] == {"dataset": "digits"}
    assert specs["package"] == {"target": {"id": "npu"}}


def test_parameters_of_a_users_own_rule_are_no_spec() -> None:
    records = Records()
    records.add("download", ["results/own/raw"], [])
    records.add("package", [PACKAGE], ["results/own/raw"], target={"id": "npu"})
    (download, _) = records.content.values()
    download["params"] = [repr("{a pattern}"), repr(["{1}"]), "not a literal"]
    assert Jobs(records.content).specs(PACKAGE) == {"package": {"target": {"id": "npu"}}}


def test_a_program_that_was_compiled_from_another_is_the_one_that_ships(jobs: Jobs) -> None:
    artifacts = {stage: jobs.artifact(PACKAGE, stage) for stage in ("train", "convert", "optimize", "compile")}
    assert artifacts == {
        "train": layout.train("m", "qat")["checkpoint"],
        "convert": layout.convert("m", "qat", "tflite")["model"],
        "optimize": layout.optimize("m", "tflite", "int8", "tflite")["model"],
        "compile": layout.compile("m", "vela", "u55", "int8")["program"],
    }


def test_a_link_to_a_program_has_the_digest_of_what_ships_and_not_of_what_answered_here(jobs: Jobs) -> None:
    def rung(stage: str, sha256: str) -> Rung:
        return Rung(stage, "accuracy", 0.9, 10, 0.0, 0.0, 1.0, None, None, "", sha256, "a runtime")

    ladder = Ladder((rung("optimize", "aa"), rung("compile", "aa")))
    program = Program("m", "vela", "u55", "int8", "", "bb", 1, None, (), "model", ladder=ladder)
    variant = Variant(Cell("m", "npu", "int8", "", "vela", "u55"), program=program, ladder=ladder)
    tags = runs._tags(variant, {"package": None}, PACKAGE, jobs)
    assert tags["edgeflow.artifact.optimized"].endswith("model.tflite sha256:aa")
    assert tags["edgeflow.artifact.program"].endswith("program.bin sha256:bb")


def test_what_a_package_goes_back_to_is_not_more_where_there_are_a_thousand(jobs: Jobs) -> None:
    records = Records()
    records.add("prepare", [*layout.prepare("digits").values()], [], dataset="digits")
    chain(records, "fp32", "base")
    chain(records, "int8", "qat", [*(f"npu_{i}" for i in range(1000)), "npu"])
    assert list(Jobs(records.content)._lineage(PACKAGE)) == list(jobs._lineage(PACKAGE))


def test_the_toolchain_keeps_its_bytecode_whatever_the_shell_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert "PYTHONDONTWRITEBYTECODE" not in dvc.environment()
    assert dvc.environment()["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:9"


def test_a_package_that_was_made_after_the_report_is_no_candidate_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(layout.report()["decision"])
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps([{"model": "m", "target": "npu", "ship": "int8"}]))
    records = Records()
    records.add("report", [str(path)], [])
    for record in records.content.values():
        record.update(starttime=4.0, endtime=5.0)
    tags = {"edgeflow.package.sha256": "aa", "edgeflow.package.path": "p", "edgeflow.verdict": "pass"}
    build = runs.Build("b", "c", dirty=False, matrix="", host="", results="")
    for end_ms, aliases in ((3000, ["candidate", "released"]), (6000, [])):
        run = {"variant": "m/npu/int8", "end_ms": end_ms, "tags": tags}
        (version,) = runs._versions([run], build, Jobs(records.content))
        assert (version["decided_ms"], version["aliases"]) == (5000, aliases)


def test_damaged_records_say_what_to_do_and_that_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(layout.provenance()["jobs"])
    path.parent.mkdir(parents=True)
    path.write_text('{"output": "resu')
    with pytest.raises(DataError, match=r"jobs\.jsonl: damaged .*; remove it, 'edgeflow track' writes it again"):
        provenance.collect()
    path.unlink()
    assert provenance.collect() == {}


def test_the_edited_pointer_of_a_dataset_makes_a_build_dirty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    person = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    names = (Path("parts.npz.dvc"), Path("results/package.dvc"))
    for path in names:
        path.parent.mkdir(exist_ok=True)
        path.write_text("before")
    for command in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", "All")):
        subprocess.run(["git", *person, *command], check=True)
    assert not git.dirty()
    names[1].write_text("after")
    assert not git.dirty()
    names[0].write_text("after")
    assert git.dirty()


OUTPUTS = ("/decoder/Sigmoid_output_0", "..", ".", "x/", "a:0", "a_0", "y", "y_low", "n" * 300, "n" * 299, "ß\n", "")


def test_figures_of_outputs_with_any_name_have_names_that_stores_take_and_are_told_apart(
    track_python: Path,
) -> None:
    metrics = [f"signal_to_noise_db/{output}" for output in OUTPUTS]
    interval = Interval(1.0, 3.0, 0.95, "bootstrap-t")
    figures = {
        metric: Measurement(metric, 2.0, "decibel", Evidence.HOST, "here", "aa", "", n=9, interval=interval)
        for metric in metrics
    }
    told = [name for name, *_ in runs._figures(Variant(Cell("m", "t", "s", "", "r", "p"), figures=figures), 0)]
    assert len({*told}) == len(told) == 3 * len(OUTPUTS)
    assert "signal_to_noise_db/y" in told
    check = (
        "import json, sys\n"
        "from mlflow.utils.validation import MAX_ENTITY_KEY_LENGTH, _validate_metric_name\n"
        "for name in json.load(sys.stdin):\n"
        "    _validate_metric_name(name)\n"
        "    assert len(name) <= MAX_ENTITY_KEY_LENGTH, name\n"
    )
    subprocess.run([str(track_python), "-c", check], input=json.dumps(told), text=True, check=True)

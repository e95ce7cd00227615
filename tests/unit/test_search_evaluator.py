"""What a search makes of what Snakemake did; a script that pretends to be Snakemake does it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgeflow import files, layout
from edgeflow.config import load, read_matrix
from edgeflow.config.models import ModelConfig, SchemeConfig
from edgeflow.config.search import Search as SearchConfig
from edgeflow.errors import StageError, UsageError
from edgeflow.registry import Plugins, discover
from edgeflow.search.candidates import Candidate, Candidates
from edgeflow.search.evaluator import Snakemake
from edgeflow.types.programs import Measured

MODEL, TARGET = "digits_resnet8", "linux_x86_ort"
# `python -m snakemake` finds it first in the current folder. It makes what it is asked for, but for what fails, which
# stays as it is; it says what it was asked for, and tells programs what failed as the logger plugin does.
PRETENDED = """
import json, sys
from pathlib import Path
from snakemake_logger_plugin_edgeflow.events import Events, FailedJob

words = sys.argv[1 : sys.argv.index("--configfile")]
wanted = [word for word in words if word.startswith("results/")]
failing = json.loads(Path("failing.json").read_text())
if "--summary" in words:
    print("output_file", "date", "rule", "log-file(s)", "status", "plan", sep="\\t")
    for path in wanted:
        print(path, "-", "a_rule", "-", "ok", "update pending" if path in failing else "no update", sep="\\t")
    sys.exit()
with open("asked.txt", "a") as asked:
    asked.writelines(f"{path}\\n" for path in wanted)
events = Events(Path(words[words.index("--logger-edgeflow-events") + 1]))
if "" in failing:
    events.error(failing[""], "Error: Directory cannot be locked.\\nMore.")
    sys.exit(1)
for path in map(Path, wanted):
    if str(path) not in failing:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
for number, (path, log) in enumerate(failing.items()):
    wildcards = {"scheme": Path(path).parent.name}
    events.failed(FailedJob(number, "compile", wildcards, (path,), (log,) if log else (), "exit status 7"))
sys.exit(bool(failing))
"""


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return discover()


@pytest.fixture
def candidates(project: Path, plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Candidates:
    """Of the project, in a folder with nothing built."""
    for part in ("config", "envs"):
        (tmp_path / part).symlink_to(project / part)
    (tmp_path / "snakemake.py").write_text(PRETENDED)
    monkeypatch.chdir(tmp_path)
    fail({})
    return Candidates(load(project, read_matrix(project), plugins), plugins, MODEL, TARGET)


def fail(files_and_logs: Mapping[str, str]) -> None:
    Path("failing.json").write_text(json.dumps(files_and_logs))


def evaluator(candidates: Candidates) -> Snakemake:
    return Snakemake(candidates, cores=1, until_s=math.inf)


def measure(scheme: str) -> Measured:
    """What an earlier build left."""
    measured = Measured(MODEL, TARGET, scheme, "", (), (), None)
    files.write_json(Path(layout.measure(MODEL, TARGET, scheme)["measurement"]), measured)
    files.write_json(Path(layout.package(MODEL, TARGET, scheme)["record"]), {})
    return measured


def test_what_an_earlier_build_left_hides_no_failure(candidates: Candidates) -> None:
    good, bad, gone = candidates.hand_written[:3]
    measured = {c.id: measure(c.id) for c in (good, bad)}
    logs = {c.id: Path(layout.log("compile", MODEL, "onnxruntime", "x86", c.id)) for c in (bad, gone)}
    for log in logs.values():
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("StageError: no\n")
    fail({layout.package(MODEL, TARGET, scheme)["record"]: str(log) for scheme, log in logs.items()})
    failed = {scheme: f"compile: StageError: no (see {log})" for scheme, log in logs.items()}
    assert evaluator(candidates).measured((good, bad, gone)) == {good.id: measured[good.id], **failed}
    with pytest.raises(StageError, match=f"{good.id} cannot be timed beside {bad.id}: compile: StageError: no"):
        evaluator(candidates).compare(good, bad)
    fail({})
    assert evaluator(candidates).measured((good, bad)) == measured


def test_nothing_is_tried_on_an_old_trained_model(candidates: Candidates) -> None:
    reference = layout.train(MODEL, "base")["outputs"]
    files.write_json(Path(reference), {})
    record = layout.package(MODEL, TARGET, candidates.hand_written[0].id)["record"]
    fail(dict.fromkeys((reference, record), layout.log("train", MODEL, "base")))
    with pytest.raises(StageError, match=r"with exit code 1: compile: it ended without a word \(see "):
        evaluator(candidates).measured(candidates.hand_written)


def test_what_failed_for_a_scheme_is_told_by_its_wildcards_and_not_by_the_order(candidates: Candidates) -> None:
    first, second = candidates.hand_written[:2]
    logs = {second.id: "second.log", first.id: "first.log"}
    for scheme, log in logs.items():
        Path(log).write_text(f"Error in rule train:\n    log: elsewhere.log\nStageError: {scheme} is bad\n\n")
    fail({layout.package(MODEL, TARGET, scheme)["record"]: log for scheme, log in logs.items()})
    outcomes = evaluator(candidates).measured((first, second))
    assert outcomes == {s: f"compile: StageError: {s} is bad (see {log})" for s, log in logs.items()}


def test_the_lock_of_another_snakemake_is_no_failure_of_a_scheme(candidates: Candidates) -> None:
    fail({"": "LockException"})
    with pytest.raises(UsageError, match="another Snakemake runs in this folder; wait for it or end it"):
        evaluator(candidates).measured(candidates.hand_written)
    fail({"": "WorkflowError"})
    with pytest.raises(StageError, match=r"exit code 1: Error: .* cannot be locked\. More\.; see results/logs/"):
        evaluator(candidates).measured(candidates.hand_written)


def test_the_options_of_a_search_are_those_of_its_builds(candidates: Candidates) -> None:
    given = {"title": "Sweep", "seed": 3, "models": ["another"], "schemes": ["fp16"]}
    Snakemake(candidates, cores=1, until_s=math.inf, overrides=given).measured(())
    matrix = yaml.safe_load(Path(layout.search(MODEL, TARGET)["matrix"]).read_text())
    assert (matrix["title"], matrix["seed"]) == ("Sweep", 3)
    assert matrix["models"] == [MODEL], "what is searched comes before what is given"
    assert "int8_static" in matrix["schemes"]


# --- what a study depends on ---------------------------------------------------------------------------------------


def taught(candidates: Candidates, *teachers: str, **arguments: Any) -> Candidates:
    """A project with a second model, and a space in which these models are teachers."""
    project = candidates.project
    model = project.models[MODEL].model_copy(update={"arguments": arguments})
    plain = {"mode": "float", "weights": "float32", "activations": "float32"}
    steps = [["none", {"distill": {"epochs": 1, "teacher": list(teachers)}}]]
    search = SearchConfig.model_validate({"space": [plain | {"steps": steps}]})
    matrix = project.matrix.model_copy(update={"search": search})
    models = {**project.models, "teacher": model}
    return Candidates(replace(project, models=models, matrix=matrix), candidates.plugins, MODEL, TARGET)


def test_a_study_depends_on_what_its_teachers_know(candidates: Candidates) -> None:
    ready = taught(candidates, MODEL, "teacher")
    assert ready.teachers == (MODEL, "teacher")
    for c in ready.hand_written:
        measure(c.id)
    evaluator(ready).measured(ready.hand_written)
    # the teacher is trained before the first trial, so that the study keeps its name
    checkpoint = Path(layout.train("teacher", "base")["checkpoint"])
    first = evaluator(ready).depends_on()
    assert evaluator(ready).depends_on() == first
    assert evaluator(taught(candidates, MODEL, "teacher", channels=9)).depends_on() != first
    checkpoint.write_text("taught otherwise")
    assert evaluator(ready).depends_on() != first


def test_a_study_depends_on_the_code_of_each_stage(candidates: Candidates) -> None:
    evaluator(candidates).measured(())
    basis = evaluator(candidates).depends_on()
    stages = ["train", "convert", "optimize", "sensitivity", "compile", "measure", "judge"]
    assert [stage for stage, _, _ in basis["jobs"]] == stages
    assert len({fingerprint for _, _, fingerprint in basis["jobs"]}) == len(stages)


def test_without_a_scheme_that_people_wrote_what_all_share_is_made(candidates: Candidates) -> None:
    schemes = {"fp32": candidates.project.schemes["fp32"]}
    alone = Candidates(replace(candidates.project, schemes=schemes), candidates.plugins, MODEL, TARGET)
    alone.hand_written = ()
    assert len(evaluator(alone).depends_on()["jobs"]) == 7
    made = [layout.prepare("digits_3x32x32")["info"], *map(layout.train(MODEL, "base").get, ("checkpoint", "outputs"))]
    assert Path("asked.txt").read_text().split() == made


def test_a_search_over_an_imported_model_begins_with_its_file(candidates: Candidates) -> None:
    Path("models").mkdir()
    Path("models/brought.onnx").write_bytes(b"\x08\x0a")
    config = {"source": "models/brought.onnx", "dataset": "digits_3x32x32", "task": "classification"}
    known = {"dataset": ("digits_3x32x32",), "task": ("classification",)}
    brought = ModelConfig.model_validate(config, context=known)
    project = replace(candidates.project, models={**candidates.project.models, MODEL: brought})
    imported = Candidates(project, candidates.plugins, MODEL, TARGET)
    source = layout.source(MODEL)
    steps = SchemeConfig.model_validate(
        {"weights": "float32", "activations": "float32", "mode": "float", "steps": [{"fine_tune": {"epochs": 1}}]}
    )
    assert imported.corners
    assert not any(map(imported.refusal, imported.corners))
    assert imported.refusal(Candidate("trained", steps, hand_written=False)).startswith(f"{MODEL} is imported")
    files.write_json(Path(layout.prepare("digits_3x32x32")["info"]), {})
    files.write_json(Path(source["info"]), {})
    basis = evaluator(imported).depends_on()
    stages = [stage for stage, *_ in basis["jobs"]]
    assert stages == ["source", "convert", "optimize", "sensitivity", "compile", "measure", "judge"]
    assert source["info"] in basis
    evaluator(imported).measured(())
    asked = Path("asked.txt").read_text().split()
    assert {source["info"], source["outputs"]} <= {*asked}
    assert not [path for path in asked if path.startswith("results/train")]

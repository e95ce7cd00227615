"""What a search makes of what Snakemake did; a script that pretends to be Snakemake does it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import pytest

from edgeflow import files, layout
from edgeflow.config import load, read_matrix
from edgeflow.errors import StageError
from edgeflow.registry import Plugins, discover
from edgeflow.search.builder import Snakemake
from edgeflow.search.candidates import Candidates
from edgeflow.types import Measured

MODEL, TARGET = "digits_resnet8", "linux_x86_ort"
# `python -m snakemake` finds it first in the current folder. It makes what it is asked for, but for what fails, which
# stays as it is, and says what it was asked for.
PRETENDED = """
import json, sys
from pathlib import Path

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
for path in map(Path, wanted):
    if str(path) not in failing:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
for path, log in failing.items():
    print(f"Error in rule compile:\\n    message: None\\n    jobid: 3\\n    log: {log} (check log file(s) for details)")
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


def builder(candidates: Candidates) -> Snakemake:
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
    assert builder(candidates).measured((good, bad, gone)) == {good.id: measured[good.id], **failed}
    with pytest.raises(StageError, match=f"{good.id} cannot be timed beside {bad.id}: compile: StageError: no"):
        builder(candidates).compare(good, bad)
    fail({})
    assert builder(candidates).measured((good, bad)) == measured


def test_nothing_is_tried_on_an_old_trained_model(candidates: Candidates) -> None:
    reference = layout.train(MODEL, "base")["outputs"]
    files.write_json(Path(reference), {})
    record = layout.package(MODEL, TARGET, candidates.hand_written[0].id)["record"]
    fail(dict.fromkeys((reference, record), layout.log("train", MODEL, "base")))
    with pytest.raises(StageError, match="snakemake ended with exit code 1"):
        builder(candidates).measured(candidates.hand_written)

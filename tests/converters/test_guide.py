"""docs/guide/converters.md, done as it says: the converter keeps the contract, and models go over it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from edgeflow.config import load, read_matrix
from edgeflow.plan import plan
from edgeflow.registry import discover

RUN = """
import json, sys
sys.path[:0] = ["tests"]
from edgeflow import testing
import test_my_export
print(json.dumps(testing.failures(test_my_export.TestMyExport)))
"""


@pytest.fixture
def folder(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of the guide."""
    page = (project / "docs/guide/converters.md").read_text(encoding="utf-8")
    for block in re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        name = block.partition("\n")[0].removeprefix("# ")
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(block)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def failures(python: Path, project: Path, folder: Path) -> dict[str, str]:
    """What the guide's own tests say, in the toolchain."""
    environment = {**os.environ, "PYTHONPATH": str(project / "src")}
    done = subprocess.run(
        [str(python), "-c", RUN], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return said


@pytest.mark.toolchain
def test_the_guide_makes_a_converter_that_keeps_the_contract(project: Path, folder: Path, torch_python: Path) -> None:
    assert failures(torch_python, project, folder) == {}


@pytest.mark.toolchain
@pytest.mark.parametrize(
    ("right", "wrong", "test", "message"),
    [
        ("            job.model,\n", "            torch.nn.Sequential(job.model, torch.nn.Softmax(1)),\n",
         "test_the_file_answers_as_its_source", "output logits differs by"),
        ("{name: Bound(name) for name in inputs}", '{name: Bound("x") for name in inputs}',
         "test_every_name_is_bound_to_one_of_the_file",
         r"bound to \['x'\], which the file does not have"),
        ("    return Converted(", '    job.output.with_name("notes.txt").touch()\n    return Converted(',
         "test_nothing_else_is_touched", r"beside the output there is \['notes.txt'\]"),
        ("    return Converted(", "    import os, onnx\n    model = onnx.load(job.output)\n    model.doc_string = "
         "os.urandom(8).hex()\n    onnx.save(model, job.output)\n    return Converted(",
         "test_the_same_model_gives_the_same_bytes", "two files of one model differ"),
        ("from edgeflow.types", "import torch\nfrom edgeflow.types", "test_planning_imports_no_library",
         "imports .*torch.* when it is loaded; import inside functions"),
    ],
)  # fmt: skip
def test_a_converter_that_does_not_is_told(
    project: Path, folder: Path, torch_python: Path, right: str, wrong: str, test: str, message: str
) -> None:
    plugin = folder / "plugins/my_export.py"
    assert plugin.read_text().count(right) == 1
    plugin.write_text(plugin.read_text().replace(right, wrong))
    said = failures(torch_python, project, folder)
    assert re.search(message, said[test]), said


def test_models_go_over_the_converter_of_the_guide(project: Path, folder: Path) -> None:
    plugins = discover(["plugins/my_export.py"])
    planned = plan(load(project, read_matrix(project), plugins), plugins)
    ways = {route.edges for route in planned.routes.values()}
    assert ways == {("my_export",), ("torch_to_tflite",)}

"""docs/guide/runtime.md, done as it says: its files, a small matrix on its target, and the names of what comes out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tests.workflow.conftest import Project

pytestmark = [pytest.mark.workflow, pytest.mark.toolchain, pytest.mark.xdist_group("workflow")]


@pytest.fixture(scope="module")
def blocks(project: Path) -> list[str]:
    """The code of the guide."""
    page = (project / "docs/guide/runtime.md").read_text(encoding="utf-8")
    return re.findall(r"^```(?:python|yaml)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def test_the_guide_makes_a_runtime(fresh: Callable[..., Project], blocks: list[str]) -> None:
    project = fresh(targets=["my_target"], schemes=["fp32", "int8_static"], plugins=["plugins/my_runtime.py"])
    named = {path[1]: block for block in blocks if (path := re.match(r"# (\S+/\S+)\n", block))}
    assert set(named) == {"plugins/my_runtime.py", "plugins/my_backend.py", "config/targets/my_target.yaml"}
    for name, block in named.items():
        (project.folder / name).parent.mkdir(exist_ok=True)
        (project.folder / name).write_text(block)

    planned = project.run("plan", module="edgeflow").stdout
    assert "infeasible: runs float32 only" in planned
    project.run()
    verdicts = {
        scheme: json.loads((project.folder / f"results/package/tiny_a/my_target/{scheme}/package.json").read_text())
        for scheme in ("fp32", "int8_static")
    }
    assert verdicts["fp32"]["status"] == "released", verdicts["fp32"]
    assert verdicts["int8_static"]["reasons"] == ["runs float32 only"]
    file = project.folder / "results/measure/tiny_a/my_target/fp32/measurement.json"
    figures = {figure["metric"]: figure for figure in json.loads(file.read_text())["measurements"]}
    assert {"accuracy", "accuracy_drop", "latency_p90_s", "memory_peak_bytes", "size_bytes"} <= set(figures)
    assert figures["latency_p90_s"]["evidence"] == "host"

    # "Say what a program depends on": the same function, named in the plugin
    (shared,) = (block for block in blocks if block.startswith("def compiles_for"))
    plugin = project.folder / "plugins/my_runtime.py"
    code = plugin.read_text().replace(
        "plugin = Runtime(", f"{shared}\n\nplugin = Runtime(\n    compiles_for=compiles_for,"
    )
    plugin.write_text(code)
    target = project.folder / "config/targets/my_target.yaml"
    (project.folder / "config/targets/my_twin.yaml").write_text(
        yaml.safe_dump({**yaml.safe_load(target.read_text()), "ram_bytes": "1 GiB"})
    )
    assert project.pending("--config", "targets=[my_target,my_twin]") >= {
        ("compile", "tiny_a/my_runtime/x86/fp32"),
        ("measure", "tiny_a/my_target/fp32"),
        ("measure", "tiny_a/my_twin/fp32"),
    }


def test_what_the_guide_says_of_options_is_so(fresh: Callable[..., Project], blocks: list[str], project: Path) -> None:
    page = (project / "docs/guide/runtime.md").read_text(encoding="utf-8")
    said = re.search(r"`(target_options=.*?)`", page)
    assert said
    made = fresh(targets=["my_target"], schemes=["fp32"], plugins=["plugins/my_runtime.py"])
    named = {path[1]: block for block in blocks if (path := re.match(r"# (\S+/\S+)\n", block))}
    (made.folder / "plugins").mkdir()
    code = named["plugins/my_runtime.py"].replace("Runtime, Tolerance", "Option, Runtime, Tolerance")
    code = code.replace("plugin = Runtime(", f"plugin = Runtime(\n    {said[1]},")
    (made.folder / "plugins/my_runtime.py").write_text(code)
    target = made.folder / "config/targets/my_target.yaml"
    target.write_text(named["config/targets/my_target.yaml"] + "options: { delegate: gpu }\n")
    done = made.run("plan", module="edgeflow", check=False)
    assert done.returncode != 0
    assert "config/targets/my_target.yaml: options.delegate: 'gpu' is not one of cpu, npu" in done.stderr
    target.write_text(target.read_text().replace("gpu", "npu"))
    made.run("plan", module="edgeflow")

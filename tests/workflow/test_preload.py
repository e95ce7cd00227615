"""Warm workers import what jobs would import: a module that no job wants costs every worker time and memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.workflow.conftest import Project

from edgeflow import layout
from edgeflow.wiring import Wiring
from edgeflow.workflow import open_with_plugins

pytestmark = [pytest.mark.workflow, pytest.mark.toolchain, pytest.mark.xdist_group("workflow")]

# What an interpreter runs first, where PYTHONPATH has it: at their ends the job and its children, which leave at once,
# say in its log what they have imported.
SAY = """
import atexit, os, sys

def say():
    os.write(2, f"imported: {' '.join(sys.modules)}\\n".encode())

def leave(code, leave=os._exit):
    say()
    leave(code)

os._exit = leave
atexit.register(say)
"""
KEYS = {  # as plan.keys and the logs of the rules have them
    "train": ("model", "recipe"),
    "convert": ("model", "recipe", "format"),
    "sensitivity": ("model", "format", "profile", "scheme"),
    "optimize": ("model", "format", "profile", "scheme"),
    "compile": ("model", "runtime", "platform", "scheme"),
    "measure": ("model", "target", "scheme"),
    "package": ("model", "target", "scheme"),
}


def jobs(wiring: Wiring) -> Iterator[tuple[tuple[tuple[str, ...], ...], str]]:
    """The lists of what each job has preloaded, and its log."""
    frameworks = {framework.preload for framework in wiring.plugins.frameworks.values()}
    for stage, names in KEYS.items():
        for key in wiring.plan.keys[stage]:
            preload = wiring.job(stage, dict(zip(names, key, strict=True))).preload
            own = next((listed for listed in frameworks if preload[: len(listed)] == listed), ())
            yield tuple(filter(None, (own, preload[len(own) :]))), layout.log(stage, *key)
    yield (wiring.job("report", {}).preload,), layout.log("report")


def test_every_preloaded_module_is_imported_by_a_job_of_its_list(
    fresh: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = fresh(
        targets=["linux_x86_ort", "linux_x86_litert", "cortex_m4_tflm", "ethos_u55_128"],
        schemes=["fp32", "fp16", "int8_static"],
    )
    monkeypatch.setenv("EDGEFLOW_WARM", "0")  # a job that imports for itself
    (project.folder / "src/sitecustomize.py").write_text(SAY)
    project.run()
    monkeypatch.chdir(project.folder)
    opened, plugins, planned = open_with_plugins()
    imported: dict[tuple[str, ...], set[str]] = {}
    for lists, log in jobs(Wiring(opened, plugins, planned)):
        said = {name for line in Path(log).read_text().splitlines() if "imported: " in line for name in line.split()}
        assert "edgeflow.stages.command" in said
        for listed in lists:
            imported.setdefault(listed, set()).update(said)
    assert {plugins.frameworks["torch"].preload, plugins.runtimes["litert"].preload} <= imported.keys()
    unwanted = {name for listed, modules in imported.items() for name in listed if name not in modules}
    assert unwanted == set()

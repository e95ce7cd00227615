"""One door for built-ins and third parties, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeflow.errors import PluginError
from edgeflow.registry import discover, file_of, foreign_module_files, load_reference

TASK = """
from edgeflow.plugin import Task
from edgeflow.types.figures import Direction
plugin = Task("{id}", "a test", "accuracy", Direction.MAX, None, None{more})
"""


def write(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_built_ins_come_through_the_entry_points() -> None:
    plugins = discover()
    assert set(plugins.runtimes) == {"onnxruntime", "litert", "tflite_micro", "ethos_u"}
    assert set(plugins.frameworks) == {"torch"}
    assert set(plugins.tasks) == {"classification", "fidelity"}
    assert set(plugins.loaders) == {"sklearn_digits", "npz", "image_folder", "random"}
    assert set(plugins.formats) >= {"onnx", "tflite"}
    assert set(plugins.converters) >= {"torch_to_onnx", "torch_to_tflite"}
    assert plugins.reference("runtime", "litert") == "edgeflow.runtimes.litert:plugin"


def test_a_file_adds_a_plugin(tmp_path: Path) -> None:
    file = write(tmp_path, "task.py", TASK.format(id="ranking", more=""))
    assert "ranking" in discover([file]).tasks


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TASK.format(id="classification", more=""), "task 'classification' is already provided by edgeflow.tasks"),
        (TASK.format(id="x", more=", api_version=99"), "plugin API version 99; this edgeflow has 1"),
        ("plugin = 3", "is of type int; a plugin is one of runtime, framework, task, loader, format, converter"),
        ("plugins = 3", "has no 'plugin'"),
        ("import nothing_like_this", "cannot load .*No module named 'nothing_like_this'"),
        ("plugin = (", "cannot load .*was never closed"),
    ],
)
def test_broken_plugins_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        discover([write(tmp_path, "broken.py", text)])


def test_two_runtimes_may_not_make_the_same_format(tmp_path: Path) -> None:
    text = """
import dataclasses
from edgeflow.runtimes import litert
plugin = dataclasses.replace(litert.plugin, id="mine")
"""
    with pytest.raises(PluginError, match="runtime 'mine' makes 'tflite' files, as 'litert' does; set models_from"):
        discover([write(tmp_path, "mine.py", text)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ('compiles_from="nothing"', "compiles_from 'nothing': there is no such runtime"),
        ('compiles_from="ethos_u"', "its programs are made from those of 'tflite_micro'; name that one"),
        ('compiles_from="onnxruntime"', "another runtime makes its models; set the same models_from"),
    ],
)
def test_programs_can_be_made_of_those_of_one_related_runtime(tmp_path: Path, changes: str, message: str) -> None:
    text = f"""
import dataclasses
from edgeflow.runtimes import ethos_u
plugin = dataclasses.replace(ethos_u.plugin, id="mine", {changes})
"""
    with pytest.raises(PluginError, match=message):
        discover([write(tmp_path, "mine.py", text)])


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nothing", "write 'package.module:name' or 'folder/file.py:name'"),
        ("a/b.py:plugin", "no such file: a/b.py"),
        ("edgeflow.nowhere:plugin", "cannot import edgeflow.nowhere"),
        ("edgeflow.units:nothing", "edgeflow.units has no 'nothing'"),
    ],
)
def test_references_that_lead_nowhere(reference: str, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        load_reference(reference)


def test_files_of_installed_modules_are_handed_to_toolchains() -> None:
    files = foreign_module_files(["edgeflow.units:parse", "rfc8785:dumps", "plugins/x.py:plugin"])
    assert set(files) == {"rfc8785"}
    assert Path(files["rfc8785"]).is_file()
    with pytest.raises(PluginError, match="there is no module nowhere_at_all"):
        file_of("nowhere_at_all:plugin")

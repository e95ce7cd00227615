"""Files of the project import each other in the ways that people try first."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from edgeflow import reach

SCRIPT = """
import sys
from edgeflow.errors import EdgeflowError
from edgeflow.registry import load_reference
for reference in sys.argv[1:]:
    try:
        print(load_reference(reference)(None, None))
    except EdgeflowError as error:
        print(f"{type(error).__name__}: {error}")
"""


def load(folder: Path, project: Path, files: Mapping[str, str], *references: str) -> list[str]:
    """What the functions answer, loaded as a job does it: in the project's folder, which is not on the path."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "-P", "-c", SCRIPT, *references],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(project / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


WAYS = {
    "from the project": "from nets.blocks import f\ndef build(s, c): return f()\n",
    "relative": "from .blocks import f\ndef build(s, c): return f()\n",
    "beside": "from blocks import f\ndef build(s, c): return f()\n",
    "relative above": "from ..common import f\ndef build(s, c): return f()\n",
    "above, from the project": "import common\ndef build(s, c): return common.f()\n",
    "when it is called": "def build(s, c):\n    from .deep.inner import f\n    return f()\n",
    "itself": "import nets.net\ndef g(): return 1\ndef build(s, c): return nets.net.g()\n",
}


@pytest.mark.parametrize("reference", ["nets/net.py:build", "nets.net:build"])
@pytest.mark.parametrize("way", WAYS)
def test_a_builder_imports_files_of_the_project(tmp_path: Path, project: Path, way: str, reference: str) -> None:
    one = "def f(): return 1\n"
    files = {"nets/net.py": WAYS[way], "nets/blocks.py": one, "common.py": one, "nets/deep/inner.py": one}
    assert load(tmp_path, project, files, reference) == ["1"]
    assert reach.fault(reference, tmp_path) == ""
    before = reach.of(reference, tmp_path).code
    for name in files:
        (tmp_path / name).write_text((tmp_path / name).read_text().replace("return 1", "return 22"))
    assert load(tmp_path, project, {}, reference) == ["22"]
    assert reach.of(reference, tmp_path).code != before


def test_packages_of_the_project_are_executed_and_reached(tmp_path: Path, project: Path) -> None:
    files = {
        "nets/__init__.py": "WIDTH = []\nWIDTH.append(3)\n",
        "nets/net.py": "from . import WIDTH\ndef build(s, c): return WIDTH[0]\n",
        "nets/pack/__init__.py": "from .. import WIDTH\ndef build(s, c): return WIDTH[0] + 1\n",
    }
    references = ("nets/net.py:build", "nets/pack/__init__.py:build", "nets.pack:build")
    assert load(tmp_path, project, files, *references) == ["3", "4", "4"]
    before = [reach.of(reference, tmp_path).code for reference in references]
    (tmp_path / "nets/__init__.py").write_text("WIDTH = []\nWIDTH.append(5)\n")
    after = [reach.of(reference, tmp_path).code for reference in references]
    assert all(one != other for one, other in zip(before, after, strict=True))


def test_libraries_come_before_files_of_their_name(tmp_path: Path, project: Path) -> None:
    files = {"nets/net.py": "import json, yaml\ndef build(s, c): return yaml.__name__ + json.dumps(1)\n"}
    files |= dict.fromkeys(("nets/json.py", "json.py", "yaml.py"), "raise RuntimeError\n")
    assert load(tmp_path, project, files, "nets/net.py:build") == ["yaml1"]


def test_two_modules_of_one_name_are_not_taken_for_each_other(tmp_path: Path, project: Path) -> None:
    files = {}
    for folder in ("student", "teacher"):
        files[f"{folder}/net.py"] = "from .blocks import f\ndef build(s, c): return f()\n"
        files[f"{folder}/blocks.py"] = f"def f(): return {folder!r}\n"
    references = ("student/net.py:build", "teacher/net.py:build")
    assert load(tmp_path, project, files, *references) == ["student", "teacher"]
    files["student/net.py"] = "from blocks import f\ndef build(s, c): return f()\n"
    student, teacher = load(tmp_path, project, files, *references)
    assert student == "student"
    assert teacher.startswith("PluginError: ")
    assert "imports 'blocks', which is in " in teacher
    assert "write 'from .blocks import …'" in teacher
    student, teacher = load(tmp_path, project, files, *reversed(references))
    assert (student, teacher.split(":")[0]) == ("teacher", "PluginError")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nothing_like_this", "nets/net.py:1: No module named 'nothing_like_this'; what"),
        ("from .blocks import f", "nets/blocks.py:3: ZeroDivisionError: division by zero"),
        ("x = (", "'(' was never closed (net.py, line 1)"),
    ],
)
def test_a_failing_import_says_where(tmp_path: Path, project: Path, text: str, message: str) -> None:
    files = {"nets/net.py": text, "nets/blocks.py": "# first\n\nx = 1 / 0\n"}
    (said,) = load(tmp_path, project, files, "nets/net.py:build")
    assert said.startswith("PluginError: nets/net.py:build: cannot load ")
    assert message in said


def test_files_whose_path_is_no_name(tmp_path: Path, project: Path) -> None:
    files = {
        "my-nets/net.py": "from .blocks import f\nimport other\ndef build(s, c): return f() + other.f()\n",
        "my-nets/blocks.py": "def f(): return 1\n",
        "my-nets/other.py": "def f(): return 1\n",
    }
    assert load(tmp_path, project, files, "my-nets/net.py:build") == ["2"]


def test_the_name_of_a_module_is_the_same_in_every_checkout(tmp_path: Path, project: Path) -> None:
    files = {"nets/net.py": "def build(s, c): return build.__module__\n"}
    names = [load(tmp_path / folder, project, files, "nets/net.py:build") for folder in ("a", "somewhere/else")]
    assert names[0] == names[1]

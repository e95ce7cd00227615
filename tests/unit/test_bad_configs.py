"""Every way to get a configuration wrong that we know of, with the whole message that the user gets."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from tests.unit.bad_configs import matrix, models, schemes, targets
from tests.unit.bad_configs.project import (
    FP32,
    GOOD,
    INT8,
    MATRIX,
    WORDS,
    Case,
    Edit,
    write_project,
)
from tests.unit.bad_configs.several import SEVERAL

from edgeflow.config import find_problems, load, plugin_files, read_matrix
from edgeflow.errors import ConfigError
from edgeflow.registry import Plugins

CASES = [*matrix.CASES, *models.CASES, *targets.CASES, *schemes.CASES, *SEVERAL]


@pytest.mark.parametrize("wrong", CASES, ids=lambda wrong: wrong.name)
def test_the_whole_message(wrong: Case, tmp_path: Path, config_plugins: Plugins) -> None:
    write_project(tmp_path, wrong.edits)
    assert find_problems(tmp_path, None, config_plugins) == wrong.problems


def test_the_project_that_the_cases_break_is_good(tmp_path: Path, config_plugins: Plugins) -> None:
    write_project(tmp_path)
    assert find_problems(tmp_path, None, config_plugins) == ()


def test_load_raises_everything_at_once(tmp_path: Path, config_plugins: Plugins) -> None:
    several = SEVERAL[1]
    write_project(tmp_path, several.edits)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, None, config_plugins)
    assert caught.value.problems == several.problems
    assert str(caught.value) == "\n".join(several.problems)


OLD_MODEL = """\
framework: torch
builder: gone/net.py:build
dataset: words
task: classification
training: {epochs: 1}
"""


@pytest.mark.parametrize(
    ("file", "content", "warning"),
    [
        (
            "config/models/old.yaml",
            OLD_MODEL,
            "config/models/old.yaml: builder: no such file: gone/net.py; paths start at the project folder",
        ),
        ("config/datasets/old.yaml", "loader: {", "config/datasets/old.yaml: not valid YAML"),
        ("config/schemes/old.yaml", "weights: int7\n", "config/schemes/old.yaml: weights: "),
        ("config/targets/old.yaml", "runtime: tflite_mikro\n", "config/targets/old.yaml: runtime: "),
        ("config/devices/old.yaml", "targets: [spare]\ncolour: red\n", "config/devices/old.yaml: colour: unknown key"),
        ("config/models/Old Net.yaml", "framework: torch\n", "config/models/Old Net.yaml: the file's name"),
    ],
)
def test_a_fault_in_a_file_that_the_matrix_does_not_use_is_a_warning(
    file: str, content: str, warning: str, tmp_path: Path, config_plugins: Plugins
) -> None:
    spare = GOOD["config/targets/gateway.yaml"]
    write_project(tmp_path, (Edit(file, None, content), Edit("config/targets/spare.yaml", None, spare)))
    project = load(tmp_path, None, config_plugins)
    assert project.warnings
    assert project.warnings[0].startswith(warning)
    assert {said.split(": ")[0] for said in project.warnings} == {file}
    assert project.cells() == tuple(("kws", t, s) for t in ("gateway", "sensor") for s in ("fp32", "int8"))


def test_a_fault_in_what_the_matrix_uses_at_a_distance_is_an_error(tmp_path: Path, config_plugins: Plugins) -> None:
    """A dataset by its model, a teacher by a scheme, the baseline by the matrix."""
    step = "steps:\n  - distill: {teacher: old, epochs: 1}\n"
    edit = Edit("config/models/old.yaml", None, OLD_MODEL)
    write_project(tmp_path, (edit,))
    assert load(tmp_path, None, config_plugins).warnings
    write_project(tmp_path, (edit, Edit(INT8, None, GOOD[INT8] + step)))
    with pytest.raises(ConfigError, match=r"gone/net\.py"):
        load(tmp_path, None, config_plugins)
    write_project(tmp_path, (edit, Edit(INT8, None, GOOD[INT8]), Edit(FP32, None, GOOD[FP32] + step)))
    baseline_alone = {**read_matrix(tmp_path), "schemes": ["int8"]}  # not selected, and yet built to compare with
    with pytest.raises(ConfigError, match=r"gone/net\.py"):
        load(tmp_path, baseline_alone, config_plugins)
    write_project(tmp_path, (Edit(FP32, None, GOOD[FP32]), Edit(WORDS, None, "loader: {")))
    with pytest.raises(ConfigError, match=r"config/datasets/words\.yaml: not valid YAML"):
        load(tmp_path, None, config_plugins)


def test_an_id_that_two_files_have_is_an_error_only_where_it_is_used(tmp_path: Path, config_plugins: Plugins) -> None:
    folders = Edit(MATRIX, "baseline: fp32\n", "baseline: fp32\nscheme_folders: [more]\n")
    write_project(tmp_path, (folders, Edit("more/int8.yaml", None, GOOD[INT8])))
    message = f"{INT8}: more/int8.yaml has the same id; rename one of them"
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, None, config_plugins)
    assert caught.value.problems == (message,)
    project = load(tmp_path, {**read_matrix(tmp_path), "schemes": ["fp32"]}, config_plugins)
    assert project.warnings == (message,)


OVERRIDES: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "an unknown scheme": (
        {"schemes": "int4"},
        "--config: schemes: there is no scheme 'int4' in config/schemes; did you mean 'int8'?",
    ),
    "an unknown key": (
        {"scheme": "int8"},
        "--config: scheme: unknown key; did you mean 'schemes'?",
    ),
    "a key without a value": (
        {"exclude": None},
        "--config: exclude: has no value; give it one or remove the key",
    ),
    "a word that YAML 1.1 takes for a boolean": (
        {"title": False},
        "--config: title: expected text, found false; put it in quotes if text is meant",
    ),
    "text that YAML 1.1 takes for a date": (
        {"title": date(2026, 1, 31)},
        "--config: title: expected text, found the date 2026-01-31; put it in quotes if text is meant",
    ),
    "a baseline that is none": (
        {"baseline": "int8"},
        "--config: baseline: 'int8' has int8 weights; the baseline is a scheme with float32 weights",
    ),
}


@pytest.mark.parametrize("name", OVERRIDES)
def test_a_value_from_the_command_line_is_not_blamed_on_the_file(
    name: str, tmp_path: Path, config_plugins: Plugins
) -> None:
    override, message = OVERRIDES[name]
    write_project(tmp_path)
    assert find_problems(tmp_path, {**read_matrix(tmp_path), **override}, config_plugins) == (message,)


def test_a_key_that_is_twice_in_the_file_is_found_where_its_content_is_given(
    tmp_path: Path, config_plugins: Plugins
) -> None:
    write_project(tmp_path, (Edit(MATRIX, "baseline: fp32", "baseline: fp32\nbaseline: int8"),))
    given = {"models": ["kws"], "targets": ["gateway"], "schemes": ["fp32"], "baseline": "fp32"}
    message = f"{MATRIX}: baseline: given twice (lines 4 and 5); keep one"
    assert find_problems(tmp_path, given, config_plugins) == (message,)


def test_a_folder_in_place_of_a_file(tmp_path: Path, config_plugins: Plugins) -> None:
    write_project(tmp_path)
    (tmp_path / "config/targets/board.yaml").mkdir()
    assert find_problems(tmp_path, None, config_plugins) == (
        "config/targets/board.yaml: cannot be read: Is a directory",
    )


def test_an_empty_project(tmp_path: Path, config_plugins: Plugins) -> None:
    assert find_problems(tmp_path, None, config_plugins) == (f"{MATRIX}: no such file",)
    with pytest.raises(ConfigError, match=rf"^{MATRIX}: no such file$"):
        read_matrix(tmp_path)


def test_folders_without_files(tmp_path: Path, config_plugins: Plugins) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / MATRIX).write_text(GOOD[MATRIX])
    assert find_problems(tmp_path, None, config_plugins) == (
        f"{MATRIX}: models[0]: there is no model 'kws' in config/models; none is known",
        f"{MATRIX}: targets[0]: there is no target 'gateway' in config/targets; none is known",
        f"{MATRIX}: targets[1]: there is no target 'sensor' in config/targets; none is known",
        f"{MATRIX}: schemes[0]: there is no scheme 'fp32' in config/schemes; none is known",
        f"{MATRIX}: schemes[1]: there is no scheme 'int8' in config/schemes; none is known",
        f"{MATRIX}: baseline: there is no scheme 'fp32' in config/schemes; none is known",
    )


def test_plugin_files_leaves_what_is_wrong_to_load(tmp_path: Path) -> None:
    (tmp_path / "mine.py").touch()
    assert plugin_files({}, tmp_path) == ()
    assert plugin_files({"plugins": "mine.py"}, tmp_path) == ("mine.py",)
    assert plugin_files({"plugins": ["mine.py", "other.py", 3, "mine.py"]}, tmp_path) == ("mine.py",)

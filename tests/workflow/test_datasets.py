"""Datasets of one's own in the workflow: files of any name, and what is wrong with one is said by its job."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.workflow.conftest import Project

pytestmark = [pytest.mark.workflow, pytest.mark.toolchain]

TARGET = "results/prepare/parts/dataset.json"
DATASET = """\
loader: image_folder
options: { folder: "it's here" }
classes: 2
shape: [1, 4, 4]
splits: { calibration: 8, evaluation: 20, golden: 4 }
source: made up
license: internal
"""
NAMES = ("it's", "two\nlines", "größe 猫", "a {b} *", "{dataset}", "-x=y", " spaced ", "a,b;c", "$(x) `y` %s")


def save(project: Project, path: str, value: int) -> Path:
    """One small grey image."""
    made = project.folder / "it's here" / path
    made.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 4), value, np.uint8)).save(made)
    return made


@pytest.fixture
def own(fresh: Callable[..., Project]) -> Project:
    """An unbuilt project with a dataset of files and classes of every name."""
    made = fresh()
    (made.folder / "config/datasets/parts.yaml").write_text(DATASET)
    for label in ("hund\n🐕 {x}", "it's a cat"):
        for i, name in enumerate(NAMES * 4):
            save(made, f"{label}/{name}{i}.png", i)
    return made


def edgeflow(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return project.run(*arguments, check=False, module="edgeflow")


def test_names_of_any_characters_are_prepared_listed_and_watched(own: Project) -> None:
    own.run(TARGET)
    done = edgeflow(own, "data", "list", "--split", "evaluation")
    lines = list(csv.DictReader(done.stdout.splitlines(keepends=True)))
    assert len(lines) == 20
    assert {line["label"] for line in lines} == {"hund\n🐕 {x}", "it's a cat"}
    for line in lines:
        assert (own.folder / line["name"]).is_file()
    assert own.pending(TARGET) == set()
    save(own, "it's a cat/{dataset}4.png", 255)
    assert own.pending(TARGET) == {("prepare", "parts")}


def test_what_is_wrong_with_data_is_said_by_their_job(own: Project) -> None:
    (own.folder / "it's here/it's a cat/bad.png").write_bytes(b"")
    save(own, "stray.png", 0)
    assert ("prepare", "parts") in own.pending(TARGET)  # planning goes on
    assert own.run(TARGET, check=False).returncode != 0
    log = (own.folder / "results/logs/prepare/parts.log").read_text()
    assert "it's here/stray.png: is not in the folder of a class; expected it's here/<class>/<image>" in log
    assert "it's here/it's a cat/bad.png: cannot be read as an image: the file is empty" in log
    (own.folder / "it's here/it's a cat/bad.png").unlink()
    (own.folder / "it's here/stray.png").unlink()
    own.run(TARGET)


def test_a_folder_that_is_not_there_stops_its_own_job_alone(own: Project) -> None:
    (own.folder / "it's here").rename(own.folder / "elsewhere")
    assert own.run("results/prepare/digits_1x49x10/dataset.json", TARGET, "--keep-going", check=False).returncode != 0
    assert (own.folder / "results/prepare/digits_1x49x10/dataset.json").is_file()
    log = (own.folder / "results/logs/prepare/parts.log").read_text()
    assert log == "DataError: it's here: no such folder (dataset parts, options.folder)\n"

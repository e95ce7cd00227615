"""`edgeflow add model`: one more model in a project, of which nothing else changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from tests.scaffold.conftest import StandIns, run

pytestmark = [pytest.mark.toolchain, pytest.mark.tensorflow, pytest.mark.xdist_group("try")]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A project whose matrix somebody has written comments into."""
    assert run("init", ".", folder=tmp_path).returncode == 0
    matrix = tmp_path / "config/config.yaml"
    matrix.write_text(matrix.read_text().replace("- digits_dscnn", "- digits_dscnn   # the oldest"))
    return tmp_path


def everything(folder: Path) -> dict[str, bytes]:
    """Every file of a project but what edgeflow makes for itself."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".toolchains" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_model_is_added_and_planned(own: Path, stand_ins: StandIns) -> None:
    before = everything(own)
    done = run("add", "model", stand_ins.torch("listing") / "listing.onnx", folder=own)
    assert done.returncode == 0, done.stderr
    after = everything(own)
    assert set(after) - set(before) == {
        "config/models/listing.yaml",
        "config/datasets/listing_samples.yaml",
        "models/listing.onnx",
    }
    assert {name for name in before if after[name] != before[name]} == {"config/config.yaml"}
    text = after["config/config.yaml"].decode()
    assert "- digits_dscnn   # the oldest\n  - listing\n" in text
    plan = run("plan", "--json", folder=own)
    assert plan.returncode == 0, plan.stderr
    assert any(cell["model"] == "listing" for cell in yaml.safe_load(plan.stdout))


def test_what_is_quantized_already_brings_the_scheme_that_leaves_it_so(own: Path, stand_ins: StandIns) -> None:
    done = run("add", "model", stand_ins.keras("kws") / "kws.int8.tflite", "--id", "words", folder=own)
    assert done.returncode == 0, done.stderr
    assert "only as_is" in done.stdout
    matrix = yaml.safe_load((own / "config/config.yaml").read_text())
    assert (matrix["models"][-1], matrix["schemes"][-1]) == ("words", "as_is")


def test_what_cannot_be_added_changes_nothing(own: Path, stand_ins: StandIns, tmp_path: Path) -> None:
    file = stand_ins.torch("listing") / "listing.onnx"
    (own / "config/models/listing.yaml").write_text("# of somebody else\n")
    before = everything(own)
    done = run("add", "model", file, folder=own)
    assert (done.returncode, everything(own)) == (2, before)
    assert "config/models/listing.yaml is there already: choose another name with --id" in done.stderr
    done = run("add", "model", file, "--id", "Not An Id", folder=own)
    assert done.returncode != 0
    assert everything(own) == before
    assert not os.path.lexists(own / "models")
    (outside := tmp_path / "outside").mkdir()
    done = run("add", "model", file, folder=outside)
    assert done.returncode == 2
    assert "this is no project" in done.stderr

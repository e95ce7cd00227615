"""What an edit of a user's own files trains again: the models that reach what was edited, and no other."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable

import pytest
import yaml
from tests.workflow.conftest import Project

pytestmark = [pytest.mark.workflow, pytest.mark.toolchain, pytest.mark.xdist_group("workflow")]

NET = '''\
"""Two networks."""
from torch import nn

from .blocks import width


def features(shape):
    return shape[0] * shape[1] * shape[2]


class Narrow(nn.Sequential):
    def __init__(self, shape, classes):
        super().__init__(nn.Flatten(), nn.Linear(features(shape), width()), nn.ReLU(), nn.Linear(width(), classes))


def narrow(shape, classes, weights):
    assert open(weights).read()
    return Narrow(shape, classes)


def linear(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(features(shape), classes))
'''
FILES = {
    "nets/net.py": NET,
    "nets/blocks.py": "def width():\n    return 4\n\n\ndef unused():\n    return 1\n",
    "data/pre.txt": "first",
}


def add_model(project: Project, name: str, **content: object) -> str:
    """Returns what its training makes."""
    model = {"framework": "torch", "dataset": "digits_1x49x10", "task": "classification", **content}
    (project.folder / f"config/models/{name}.yaml").write_text(yaml.safe_dump(model))
    return f"results/train/{name}/base/train.json"


def test_models_train_again_for_what_they_reach(fresh: Callable[..., Project]) -> None:
    made = fresh(models=["narrow", "linear", "brought"], targets=["linux_x86_ort"], schemes=["fp32"])
    for name, text in FILES.items():
        (made.folder / name).parent.mkdir(exist_ok=True)
        (made.folder / name).write_text(text)
    once = {"training": {"epochs": 1}}
    infos = [
        add_model(made, "narrow", builder="nets/net.py:narrow", arguments={"weights": "data/pre.txt"}, **once),
        add_model(made, "linear", builder="nets/net.py:linear", **once),
        add_model(made, "brought", builder="nets/net.py:linear", weights="models/mine.safetensors"),
    ]
    made.run(*infos[:2])
    (made.folder / "models").mkdir()
    weights = made.folder / "models/mine.safetensors"
    shutil.copy(made.folder / "results/train/linear/base/checkpoint.safetensors", weights)
    made.run(infos[2], "results/convert/narrow/base/onnx/model.onnx")

    info = json.loads((made.folder / infos[2]).read_text())
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert info["weights"] == {"file": "models/mine.safetensors", "sha256": sha256}
    assert info["curves"] == {}
    assert (made.folder / "results/train/brought/base/checkpoint.safetensors").read_bytes() == weights.read_bytes()
    assert made.pending(*infos) == set()

    def trained_after(file: str, old: str, new: str) -> set[str]:
        path = made.folder / file
        before = path.read_text()
        assert old in before
        path.write_text(before.replace(old, new))
        pending = made.pending(*infos)
        path.write_text(before)
        assert {rule for rule, _ in pending} <= {"train"}
        return {keys.partition("/")[0] for _, keys in pending}

    assert trained_after("nets/net.py", '"""Two networks."""', "# Two networks") == set()
    assert trained_after("nets/blocks.py", "return 1", "return 2") == set()
    assert trained_after("nets/blocks.py", "return 4", "return 5") == {"narrow"}
    assert trained_after("nets/net.py", "nn.ReLU()", "nn.Tanh()") == {"narrow"}
    last = "features(shape), classes"
    assert trained_after("nets/net.py", f"{last})", f"{last}, False)") == {"linear", "brought"}
    assert trained_after("data/pre.txt", "first", "other") == {"narrow"}
    weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")
    assert made.pending(*infos) == {("train", "brought/base")}

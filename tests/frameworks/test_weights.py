"""Trained weights that somebody brings are taken as they are, and what is wrong with them is said by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.toolchain

SCRIPT = r'''
import hashlib, json, sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file, save_model

from edgeflow import files
from edgeflow.errors import EdgeflowError
from edgeflow.frameworks.torch import plugin
from edgeflow.plugin import ModelSpec
from edgeflow.stages import train as stage
from edgeflow.types.plain import to_json
from tests.splits import read_answers, write_split
from edgeflow.types.variants import Step
from edgeflow.zoo import dscnn

spec = ModelSpec("tiny", "edgeflow.zoo.dscnn:build", {"channels": 4, "blocks": 1}, (1, 10, 8), 2, {})
x, y = np.random.default_rng(0).random((60, 1, 10, 8), np.float32), np.arange(60) % 2
write_split(Path("train.safetensors"), x[:40], y[:40])
write_split(Path("golden.safetensors"), x[-4:])
write_split(Path("evaluation.safetensors"), x[40:], y[40:])
results = {}


def run(name, weights, steps=(), start=None, **changes):
    made = ("checkpoint.safetensors", "outputs.safetensors", "ladder.json", "train.json")
    paths = [Path("made", name, file) for file in made]
    references = ("edgeflow.frameworks.torch:plugin", "edgeflow.tasks.classification:plugin")
    model = to_json(replace(spec, weights=weights, **changes))
    splits = (Path(f"{name}.safetensors") for name in ("train", "evaluation", "golden"))
    inputs = stage.Inputs(*splits, start=start)
    stage.run(stage.Spec(model, *references, "r", 0, steps), inputs, stage.Outputs(*paths))
    return paths


def refused(name, *arguments, **keywords):
    try:
        run(name, *arguments, **keywords)
    except EdgeflowError as error:
        results[name] = f"{type(error).__name__}: {error}"
    else:
        results[name] = "no error"


torch.manual_seed(1)
network = dscnn.build((1, 10, 8), 2, channels=4, blocks=1)
for name, buffer in network.named_buffers():  # statistics that one forward pass in training mode would move
    if buffer.is_floating_point():
        buffer.copy_(torch.rand(buffer.shape) + 0.5)
network.eval()
state = network.state_dict()
save_file(state, "w.safetensors")
torch.save(state, "w.pt")
torch.save({"state_dict": state, "epoch": 3}, "lightning.pth")
torch.save(network, "whole.pt")
torch.save([1, 2], "list.pt")
torch.save({"a": 1, "b": 2}, "numbers.pt")
Path("noise.pt").write_bytes(b"noise")
Path("cut.safetensors").write_bytes(Path("w.safetensors").read_bytes()[:-9])
torch.save({f"module.{name}": tensor for name, tensor in state.items()}, "parallel.pt")
few = {name: tensor for name, tensor in state.items() if name != "stem.weight"}
save_file({**few, "extra.bias": torch.zeros(2), "classifier.bias": torch.zeros(3)}, "other.safetensors")
save_file({**state, "classifier.bias": torch.tensor([0.0, float("nan")])}, "nan.safetensors")
save_file({name: t for name, t in state.items() if "num_batches" not in name}, "old.safetensors")

for file in ("w.safetensors", "w.pt", "lightning.pth", "old.safetensors"):
    checkpoint, outputs, ladder, info = run(file, file)
    kept = load_file(checkpoint)
    same = all(torch.equal(kept[name], tensor) for name, tensor in state.items() if "num_batches" not in name)
    with torch.no_grad():
        expected = network(torch.from_numpy(x[40:])).numpy()
    answers = read_answers(outputs)[1]
    said = json.loads(info.read_text())
    sha256 = hashlib.sha256(Path(file).read_bytes()).hexdigest()
    results[file] = {
        "same": same,
        "answers": float(abs(answers - expected).max()),
        "weights": said["weights"] == {"file": file, "sha256": sha256},
        "curves": said["curves"],
        "figures": sorted(said["figures"]),
        "rung": json.loads(ladder.read_text())["rungs"][0]["stage"],
    }
for file in ("whole.pt", "list.pt", "numbers.pt", "noise.pt", "cut.safetensors", "parallel.pt", "other.safetensors",
             "nan.safetensors", "nowhere.pt"):
    refused(file, file)
    results[file + " left"] = Path("made", file, "checkpoint.safetensors").exists()
refused("arguments", "w.safetensors", arguments={"channels": 8, "blocks": 1})
refused("training", "w.safetensors", input_shape=(1, 10, 8), classes=3)

Path("tied.py").write_text("""
from torch import nn

class Tied(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(80, 80), nn.Linear(80, 80), nn.Linear(80, classes)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.last(self.second(self.first(x.flatten(1))))

def build(shape, classes):
    return Tied(classes)
""")
sys.path.append(".")
import tied
save_model(tied.build(None, 2), "tied.safetensors")
run("tied", "tied.safetensors", builder="tied.py:build", arguments={})
results["tied"] = len(load_file("made/tied/checkpoint.safetensors"))

# a recipe goes on from what was taken
base = run("base", "w.safetensors")[0]
tuned = run("tuned", "w.safetensors", (Step("fine_tune", 1, 0.001, {}),), base)
results["tuned"] = not torch.equal(load_file(tuned[0])["stem.weight"], state["stem.weight"])
results["tuned weights"] = json.loads(tuned[3].read_text())["weights"]
halved = Step("prune_channels", 1, 0.001, {"channels": 0.5, "round_to": 1, "iterations": 1})
pruned = run("pruned", "w.safetensors", (halved,), base)[0]
again = run("again", str(pruned))[0]
results["pruned"] = again.read_bytes() == pruned.read_bytes()
json.dump(results, sys.stdout)
'''


@pytest.fixture(scope="module")
def results(run_script: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """What the script found."""
    return run_script(SCRIPT)


@pytest.mark.parametrize("file", ["w.safetensors", "w.pt", "lightning.pth", "old.safetensors"])
def test_weights_are_taken_as_they_are(results: dict[str, Any], file: str) -> None:
    said = results[file]
    assert said["same"]  # every tensor, and so the statistics of batch normalisation
    assert said["answers"] < 1e-5
    assert said["weights"]
    assert said["curves"] == {}
    assert "final_loss" not in said["figures"]
    assert said["rung"] == "train"


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("whole.pt", "DataError: whole.pt: holds pickled code, which is not run, "),
        ("noise.pt", "DataError: noise.pt: holds pickled code, which is not run, or is no file of torch.save; "),
        ("list.pt", "DataError: list.pt: holds a list; expected tensors by name"),
        ("numbers.pt", "DataError: numbers.pt: holds a dict with a, b; expected tensors by name"),
        ("cut.safetensors", "DataError: cut.safetensors: not a readable safetensors file: "),
        ("nowhere.pt", "DataError: model tiny: weights: nowhere.pt: no such file; paths start at the project folder"),
        ("nan.safetensors", "StageError: nan.safetensors: not finite: classifier.bias"),
        (
            "other.safetensors",
            "StageError: other.safetensors: does not fit model tiny: missing: stem.weight; unexpected: extra.bias; "
            "of another shape: classifier.bias [3], and [2] in the network",
        ),
        ("arguments", "StageError: w.safetensors: does not fit model tiny: of another shape: stem.weight [4"),
        ("training", "StageError: w.safetensors: does not fit model tiny: of another shape: classifier.weight [2"),
    ],
)
def test_weights_that_are_refused(results: dict[str, Any], file: str, message: str) -> None:
    assert results[file].startswith(message)
    assert not results.get(f"{file} left")


def test_code_is_never_run_and_the_message_says_what_to_save(results: dict[str, Any]) -> None:
    assert "safetensors.torch.save_file(model.state_dict(), 'model.safetensors')" in results["whole.pt"]


def test_names_with_the_prefix_of_a_wrapper_are_explained(results: dict[str, Any]) -> None:
    assert results["parallel.pt"] == (
        "StageError: parallel.pt: does not fit model tiny: all names begin with 'module.'; "
        "save the state_dict() of the network inside"
    )


def test_a_tensor_with_two_names_needs_one(results: dict[str, Any]) -> None:
    assert results["tied"] == 6


def test_recipes_go_on_from_them(results: dict[str, Any]) -> None:
    assert results["tuned"]
    assert results["tuned weights"] is None


def test_a_checkpoint_of_pruned_channels_can_be_brought(results: dict[str, Any]) -> None:
    assert results["pruned"]

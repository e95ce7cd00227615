"""The PyTorch framework and the train stage: the same bits again, settings, builders and checkpoints that are wrong.

What needs PyTorch runs in its toolchain: `edgeflow train` as a user calls it, and one script for everything else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.splits import read_answers, write_splits

from edgeflow import files
from edgeflow.errors import ConfigError
from edgeflow.frameworks.torch import Training, plugin
from edgeflow.plugin import ModelSpec, TrainJob
from edgeflow.types.figures import Reference
from edgeflow.types.ladder import Ladder
from edgeflow.types.plain import from_json

pytestmark = pytest.mark.xdist_group("torch")  # one worker makes what the tests share

TINY = {
    "id": "tiny",
    "builder": "edgeflow.zoo.dscnn:build",
    "arguments": {"channels": 4, "blocks": 1},
    "input_shape": [1, 10, 8],
    "classes": 2,
    "training": {"epochs": 8, "batch_size": 16, "learning_rate": 0.02, "noise": 0.1, "label_smoothing": 0.05},
}
TENSORS = (
    *("stem.weight", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked"),
    *("blocks.0.depthwise.weight", "blocks.0.pointwise.weight", "classifier.weight", "classifier.bias"),
)


# --- edgeflow train --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Project:
    """A folder with the toolchains of the checkout and three splits of two classes, dark and bright."""

    folder: Path
    source: Path

    def train(self, name: str, check: bool = True, **spec: Any) -> Any:
        """`edgeflow train` with its outputs in the folder `name`; the name is also the seed of Python's hashes."""
        given = {
            "model": TINY,
            "framework": "edgeflow.frameworks.torch:plugin",
            "task": "edgeflow.tasks.classification:plugin",
            "recipe": "base",
            "seed": 3,
            **spec,
        }
        inputs = [f"{name}={name}.safetensors" for name in ("train", "evaluation", "golden")]
        outputs = {"checkpoint": "checkpoint.safetensors", "outputs": "outputs.safetensors", "ladder": "ladder.json"}
        return subprocess.run(
            [
                *(sys.executable, "-m", "edgeflow", "train", "--toolchain", "torch", "--spec", json.dumps(given)),
                *("--input", *inputs),
                *("--output", *(f"{k}={name}/{v}" for k, v in outputs.items()), f"info={name}/train.json"),
            ],
            cwd=self.folder,
            env={**os.environ, "PYTHONHASHSEED": name, "PYTHONPATH": str(self.source / "src")},
            capture_output=True,
            text=True,
            check=check,
        )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, project: Path, torch_python: Path) -> Project:
    """Trained once, into the folder "1"."""
    folder = tmp_path_factory.mktemp("project")
    (folder / ".toolchains").symlink_to(project / ".toolchains")
    write_splits(folder, evaluation=40, noise=0.3, distance=1.0)
    made = Project(folder, project)
    made.train("1")
    return made


@pytest.mark.toolchain
def test_a_training_is_recorded(trained: Project) -> None:
    folder = trained.folder / "1"
    golden, evaluation = read_answers(folder / "outputs.safetensors")
    assert (golden.shape, evaluation.shape) == ((4, 2), (40, 2))
    (rung,) = files.read_as(Ladder, folder / "ladder.json").rungs
    assert (rung.stage, rung.metric, rung.n) == ("train", "accuracy", 40)
    assert rung.value == (evaluation.argmax(axis=1) == np.arange(40) % 2).mean()
    assert rung.value > 0.9  # it has learned to tell dark from bright
    assert rung.artifact_sha256 == files.sha256_file(folder / "checkpoint.safetensors")
    info = files.read_json(folder / "train.json")
    assert (info["model"], info["samples"]) == ("tiny", 64)
    # 4·1·10·4 + 2·4 in the stem, 4·9 + 2·4 + 4·4 + 2·4 in the block, 4·2 + 2 in the classifier
    assert info["figures"]["parameters"] == 246
    assert 0 < info["figures"]["final_loss"] < 0.6
    assert rung.evaluated_on == f"torch {info['tools']['torch']}"


ODD = """
import torch
from torch import nn

class Odd(nn.Module):
    def __init__(self, inputs, classes, softmax):
        super().__init__()
        self.frozen = nn.Linear(inputs, 8).requires_grad_(False)
        self.spare = nn.Linear(inputs, 8)
        self.head = nn.Linear(8, classes)
        self.softmax = softmax

    def forward(self, x):
        outputs = self.head(torch.relu(self.frozen(x.flatten(1))))
        return outputs.softmax(1) if self.softmax else outputs

def build(input_shape, classes, softmax):
    return Odd(input_shape[0] * input_shape[1] * input_shape[2], classes, softmax)
"""


@pytest.mark.toolchain
@pytest.mark.parametrize("softmax", [False, True])
def test_a_parameter_that_is_used_nowhere_is_told_from_a_frozen_one(trained: Project, softmax: bool) -> None:
    (trained.folder / "odd.py").write_text(ODD)
    model = {**TINY, "id": "odd", "builder": "odd.py:build", "arguments": {"softmax": softmax}}
    trained.train(f"4{int(softmax)}", model=model)
    info = files.read_json(trained.folder / f"4{int(softmax)}" / "train.json")
    assert info["network"] == {"without_gradient": ["spare.weight", "spare.bias"], "softmax_twice": softmax}


@pytest.mark.toolchain
def test_a_training_says_how_its_model_compares_with_chance(trained: Project) -> None:
    info = files.read_json(trained.folder / "1/train.json")
    assert info["network"] == {"without_gradient": [], "softmax_twice": False}
    reference = from_json(Reference, info["reference"])
    assert (reference.metric, reference.n, reference.chance) == ("accuracy", 40, 0.5)
    assert reference.beats_chance


@pytest.mark.toolchain
def test_two_processes_train_the_same_bytes(trained: Project) -> None:
    trained.train("2")
    first, second = ({p.name: files.sha256_file(p) for p in (trained.folder / name).iterdir()} for name in "12")
    assert first == second
    assert len(first) == 4


@pytest.mark.toolchain
def test_a_training_that_cannot_start_writes_nothing(trained: Project) -> None:
    done = trained.train("5", model={**TINY, "training": {"epochs": 0, "rate": 1}}, check=False)
    assert done.returncode == ConfigError.exit_code
    assert done.stderr.splitlines() == [
        "ConfigError: model tiny: training.rate: unknown key; known: epochs, batch_size, learning_rate, weight_decay, "
        "label_smoothing, noise",
        "model tiny: training.epochs: 0 must be at least 1",
    ]
    assert list((trained.folder / "5").glob("*")) == []


# --- settings, without PyTorch ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("epochs", 0, "0 must be at least 1"),
        ("epochs", 2.0, "expected a whole number, found 2.0"),
        ("epochs", "20", "expected a whole number, found '20'; write 20"),
        ("epochs", True, "expected a whole number, found true"),
        ("epochs", None, "expected a whole number, found nothing"),
        ("batch_size", -1, "-1 must be at least 1"),
        ("learning_rate", 0, "0 must be more than 0"),
        ("learning_rate", -0.1, "-0.1 must be more than 0"),
        ("learning_rate", "1e-3", "expected a finite number, found '1e-3'; write 0.001"),
        ("learning_rate", float("nan"), "expected a finite number, found nan"),
        ("learning_rate", float("inf"), "expected a finite number, found inf"),
        ("weight_decay", -1, "-1 must be at least 0"),
        ("label_smoothing", 1.5, "1.5 is more than 100 %; write '1.5 %' if percent is meant"),
        ("label_smoothing", 1, "1 may mean 1 % or 100 %; write '1 %' or '100 %'"),
        ("noise", [0.1], "expected a finite number, found a list"),
    ],
)
def test_settings_that_cannot_be_used(tmp_path: Path, name: str, value: Any, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _train(tmp_path, {name: value})
    assert caught.value.problems == (f"model tiny: training.{name}: {problem}",)


def test_all_wrong_settings_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        _train(tmp_path, {"epochs": -1, "noise": "much", "learning_rte": 1})
    assert [problem.split(":")[1].strip() for problem in caught.value.problems] == [
        "training.learning_rte",
        "training.epochs",
        "training.noise",
    ]


def _train(folder: Path, training: dict[str, Any]) -> None:
    model = ModelSpec("tiny", TINY["builder"], TINY["arguments"], (1, 10, 8), 2, training)  # type: ignore[arg-type]
    x, y = np.zeros((2, 1, 10, 8), np.float32), np.array([0, 1])
    plugin.train(TrainJob(model, x, y, 0, folder / "checkpoint.safetensors"))


def test_every_setting_is_declared() -> None:
    assert list(plugin.training_options) == [field.name for field in fields(Training)]
    for name, value in asdict(Training()).items():
        assert plugin.training_options[name].problem(value) == ""
    assert not any(option.required for option in plugin.training_options.values())


# --- inside the toolchain --------------------------------------------------------------------------------------------

SCRIPT = '''
import json, sys
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from edgeflow import files
from edgeflow.errors import EdgeflowError
from edgeflow.frameworks.torch import plugin
from edgeflow.plugin import ModelSpec, TrainJob
from edgeflow.stages import train as stage
from edgeflow.types.plain import to_json
from tests.splits import read_answers, write_split
from edgeflow.zoo import dscnn, resnet8

tiny = ModelSpec("tiny", "edgeflow.zoo.dscnn:build", {"channels": 4, "blocks": 1}, (1, 10, 8), 2, {"epochs": 1})
x, y = np.random.default_rng(0).random((600, 1, 10, 8), np.float32), np.arange(600) % 2
results = {}


def train(name="x", **changes):
    path = Path(name).with_suffix(".safetensors")
    plugin.train(TrainJob(replace(tiny, **changes), x[:8], y[:8], 0, path))
    return path


def refused(name, function, *arguments, **keywords):
    try:
        function(*arguments, **keywords)
    except EdgeflowError as error:
        results[name] = f"{type(error).__name__}: {error}"
    else:
        results[name] = "no error"


def count(network):
    return sum(p.numel() for p in network.parameters())


results["dscnn parameters"] = count(dscnn.build((1, 49, 10), 10))
results["resnet8 parameters"] = count(resnet8.build((3, 32, 32), 10))
results["resnet8 parameters of 4 channels"] = count(resnet8.build((3, 32, 32), 10, channels=4))
for zoo in (dscnn, resnet8):
    for shape in ((1, 49, 10), (3, 32, 32), (2, 10, 8)):
        network = zoo.build(shape, 7).eval()
        results[f"{zoo.__name__} {shape}"] = list(network(torch.zeros(5, *shape)).shape)

Path("own.py").write_text("""
import torch
from torch import nn

def number(input_shape, classes): return 3

def three(input_shape, classes): return nn.Sequential(nn.Flatten(), nn.Linear(80, 3))

def wide(input_shape, classes): return nn.Sequential(nn.Flatten(), nn.Linear(81, classes))

class Two(nn.Module):
    def __init__(self, input_shape, classes):
        super().__init__()
        self.layer = nn.Linear(80, classes)

    def forward(self, x):
        return x, x

class Tied(nn.Module):
    def __init__(self, input_shape, classes):
        super().__init__()
        self.first = nn.Linear(80, 80)
        self.second = nn.Linear(80, 80)
        self.second.weight = self.first.weight
        self.last = nn.Linear(80, classes)
        self.last.weight = nn.Parameter(torch.randn(80, classes).t())

    def forward(self, x):
        return self.last(self.second(torch.relu(self.first(x.flatten(1)))))
""")
for name in ("number", "three", "wide", "Two", "nothing"):
    refused(name, train, builder=f"own.py:{name}", arguments={})
refused("no module", train, builder="edgeflow.zoo.nowhere:build")
refused("argument", train, arguments={"chanels": 4})
refused("loss", train, training={"epochs": 3, "learning_rate": 1e38})
results["left"] = Path("x.safetensors").exists()

checkpoint = train("tiny")
native = plugin.load(tiny, checkpoint)
results["tensors"] = sorted(native.state_dict())
results["mode"] = [native.training, any(p.requires_grad for p in native.parameters())]
answers = plugin.predict(native, x)
results["answers"] = [str(answers.dtype), *answers.shape]
alone = [plugin.predict(native, x[i : i + 1])[0] for i in range(600)]
results["batches"] = float(abs(answers - alone).max())


def run_stage(name, evaluation, seed):
    """The whole stage; its checkpoint and what it answers to the evaluation samples, in the order of x."""
    write_split(Path("train.safetensors"), x[:40], y[:40])
    write_split(Path("golden.safetensors"), x[-4:])
    write_split(Path("evaluation.safetensors"), x[evaluation], y[evaluation])
    paths = [Path(name, file) for file in ("checkpoint", "outputs.safetensors", "ladder.json", "train.json")]
    references = ("edgeflow.frameworks.torch:plugin", "edgeflow.tasks.classification:plugin")
    spec = stage.Spec(to_json(tiny), *references, "base", seed)
    splits = (Path(f"{name}.safetensors") for name in ("train", "evaluation", "golden"))
    stage.run(spec, stage.Inputs(*splits), stage.Outputs(*paths))
    return paths[0].read_bytes(), read_answers(paths[1])[1][np.argsort(evaluation)]


order = np.arange(100, 200)
first, answers = run_stage("first", order, 3)
permuted, again = run_stage("permuted", np.random.default_rng(1).permutation(order), 3)
results["permuted"] = [first == permuted, float(abs(answers - again).max())]
results["seed"] = first == run_stage("seed", order, 4)[0]
with mock.patch("edgeflow.stages.splits.IN_MEMORY_BYTES", 0):
    results["from disk"] = first == run_stage("disk", order, 3)[0]

tied = replace(tiny, builder="own.py:Tied", arguments={})
again = plugin.load(tied, train("tied", builder="own.py:Tied", arguments={}))
results["tied"] = bool((again.first.weight == again.second.weight).all())

refused("missing", plugin.load, tiny, Path("nowhere.safetensors"))
Path("damaged.safetensors").write_bytes(checkpoint.read_bytes()[:-9])
refused("damaged", plugin.load, tiny, Path("damaged.safetensors"))
refused("fewer blocks", plugin.load, replace(tiny, arguments={"channels": 4, "blocks": 0}), checkpoint)
refused("more blocks", plugin.load, replace(tiny, arguments={"channels": 4, "blocks": 2}), checkpoint)
refused("more classes", plugin.load, replace(tiny, classes=3), checkpoint)
json.dump(results, sys.stdout)
'''


@pytest.fixture(scope="module")
def results(run_script: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """What the script found."""
    return run_script(SCRIPT)


@pytest.mark.toolchain
def test_samples_that_are_read_from_disk_train_to_the_same_bits(results: dict[str, Any]) -> None:
    assert results["from disk"] is True


@pytest.mark.toolchain
def test_the_zoo_has_as_many_parameters_as_it_says(results: dict[str, Any]) -> None:
    assert results["dscnn parameters"] == 23_050
    assert results["resnet8 parameters"] == 77_946
    assert results["resnet8 parameters of 4 channels"] == 5_190


@pytest.mark.toolchain
@pytest.mark.parametrize("network", ["dscnn", "resnet8"])
@pytest.mark.parametrize("shape", ["(1, 49, 10)", "(3, 32, 32)", "(2, 10, 8)"])
def test_the_zoo_takes_any_shape(results: dict[str, Any], network: str, shape: str) -> None:
    assert results[f"edgeflow.zoo.{network} {shape}"] == [5, 7]


@pytest.mark.toolchain
@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("nothing", "PluginError: own.py:nothing: own.py has no 'nothing'"),
        ("no module", "PluginError: edgeflow.zoo.nowhere:build: cannot import edgeflow.zoo.nowhere: No module named"),
        (
            "argument",
            "ConfigError: model tiny: builder edgeflow.zoo.dscnn:build: got an unexpected keyword argument 'chanels'; "
            "it is called as function(input_shape, classes, **arguments)",
        ),
        ("number", "ConfigError: model tiny: builder own.py:number: gave a int; expected a torch.nn.Module"),
        (
            "three",
            "StageError: train: model tiny: the network of own.py:three gives outputs of shape [1, 3] for one sample; "
            "expected [1, 2], one per class",
        ),
        (
            "wide",
            "StageError: train: model tiny: the network of own.py:wide cannot be run on inputs of shape [1, 1, 10, 8]",
        ),
        (
            "Two",
            "StageError: train: model tiny: the network of own.py:Two cannot be run on inputs of shape [1, 1, 10, 8]",
        ),
        ("loss", "StageError: train: model tiny: the loss is nan after epoch 2; lower its learning_rate"),
        ("missing", "DataError: nowhere.safetensors: not a readable safetensors file: "),
        ("damaged", "DataError: damaged.safetensors: not a readable safetensors file: "),
    ],
)
def test_what_the_framework_refuses(results: dict[str, Any], case: str, message: str) -> None:
    assert results[case].startswith(message)


@pytest.mark.toolchain
def test_the_order_of_the_evaluation_split_changes_no_byte_of_the_checkpoint(results: dict[str, Any]) -> None:
    same, difference = results["permuted"]
    assert same
    assert difference < 1e-5


@pytest.mark.toolchain
def test_the_seed_changes_the_checkpoint(results: dict[str, Any]) -> None:
    assert results["seed"] is False


@pytest.mark.toolchain
def test_a_refused_training_writes_no_checkpoint(results: dict[str, Any]) -> None:
    assert results["left"] is False


@pytest.mark.toolchain
@pytest.mark.parametrize(
    ("case", "kind", "tensors"),
    [
        ("fewer blocks", "unexpected: ", ["blocks.0.depthwise.weight", "blocks.0.norm2.running_var"]),
        ("more blocks", "missing: ", ["blocks.1.depthwise.weight", "blocks.1.norm2.running_var"]),
        ("more classes", "of another shape: ", ["classifier.weight", "classifier.bias"]),
    ],
)
def test_a_checkpoint_of_another_network(results: dict[str, Any], case: str, kind: str, tensors: list[str]) -> None:
    assert results[case].startswith("StageError: tiny.safetensors: does not fit model tiny: ")
    assert kind in results[case]
    assert all(name in results[case] for name in tensors)
    assert "stem.weight" not in results[case]


@pytest.mark.toolchain
def test_a_checkpoint_has_the_tensors_of_the_network(results: dict[str, Any]) -> None:
    assert set(TENSORS) <= set(results["tensors"])


@pytest.mark.toolchain
def test_tensors_that_share_memory_or_are_transposed_can_be_kept(results: dict[str, Any]) -> None:
    assert results["tied"] is True


@pytest.mark.toolchain
def test_loaded_networks_only_infer_and_batches_change_nothing(results: dict[str, Any]) -> None:
    assert results["mode"] == [False, False]
    assert results["answers"] == ["float32", 600, 2]
    assert results["batches"] < 1e-5

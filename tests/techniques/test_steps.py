"""Training-time steps by `edgeflow train`: what they leave in a checkpoint, their control, and what was killed."""

from __future__ import annotations

import json
import os
import re
import signal
import struct
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.splits import read_answers, read_split, write_splits

from edgeflow import files
from edgeflow.errors import StageError, UsageError

pytestmark = [pytest.mark.toolchain, pytest.mark.xdist_group("torch")]

STUDENT = {
    "id": "student",
    "builder": "edgeflow.zoo.dscnn:build",
    "arguments": {"channels": 4, "blocks": 1},
    "input_shape": [1, 10, 8],
    "classes": 2,
    "training": {"epochs": 4, "batch_size": 16, "learning_rate": 0.02, "noise": 0.1},
}
TEACHER = {**STUDENT, "id": "teacher", "arguments": {"channels": 16, "blocks": 2}}
WEIGHTS = ("stem.weight", "blocks.0.depthwise.weight", "blocks.0.pointwise.weight", "classifier.weight")


def step(kind: str, epochs: int, learning_rate: float = 0.01, **options: Any) -> dict[str, Any]:
    return {"kind": kind, "epochs": epochs, "learning_rate": learning_rate, "options": options}


@dataclass(frozen=True)
class Project:
    """Three splits of two classes that overlap, and trainings in folders of their own."""

    folder: Path
    source: Path

    def command(self, name: str, model: Mapping[str, Any], steps: list[Any], inputs: Mapping[str, str]) -> list[str]:
        spec = {
            **{"model": model, "framework": "edgeflow.frameworks.torch:plugin", "recipe": name, "seed": 3},
            **{"task": "edgeflow.tasks.classification:plugin", "steps": steps},
            "teachers": [TEACHER] if "teachers" in inputs else [],
        }
        data = {split: f"{split}.safetensors" for split in ("train", "evaluation", "golden")}
        outputs = {"checkpoint": "checkpoint.safetensors", "outputs": "outputs.safetensors", "ladder": "ladder.json"}
        return [
            *(sys.executable, "-m", "edgeflow", "train", "--toolchain", "torch", "--spec", json.dumps(spec)),
            *("--input", *(f"{k}={v}" for k, v in {**data, **inputs}.items())),
            *("--output", *(f"{k}={name}/{v}" for k, v in outputs.items()), f"info={name}/train.json"),
        ]

    def train(
        self, name: str, *steps: Any, model: Mapping[str, Any] = STUDENT, check: bool = True, **inputs: str
    ) -> subprocess.CompletedProcess[str]:
        command = self.command(name, model, [*steps], inputs)
        env = {**os.environ, "PYTHONPATH": str(self.source / "src")}
        return subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, check=check)

    def kill_at(self, line: str, name: str, *steps: Any, model: Mapping[str, Any] = STUDENT, **inputs: str) -> None:
        """Start a training, and kill it with all that it started once it says this."""
        command = self.command(name, model, [*steps], inputs)
        env = {**os.environ, "PYTHONPATH": str(self.source / "src"), "EDGEFLOW_WARM": "0"}
        with subprocess.Popen(command, cwd=self.folder, env=env, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            assert any(said.startswith(line) for said in process.stderr)
            process.kill()
        assert process.returncode == -signal.SIGKILL

    def python(self, python: Path, code: str, stdin: str = "") -> str:
        """What a piece of code prints in the torch toolchain."""
        env = {**os.environ, "PYTHONPATH": str(self.source / "src")}
        command = [str(python), "-c", code]
        done = subprocess.run(
            command, cwd=self.folder, env=env, input=stdin, capture_output=True, text=True, check=True
        )
        return done.stdout

    def tensors(self, name: str) -> dict[str, np.ndarray[Any, Any]]:
        """float32 tensors of a checkpoint, read as the format says it: a length, a JSON header, the bytes."""
        content = (self.folder / name / "checkpoint.safetensors").read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + length])
        return {
            key: np.frombuffer(content[8 + length :][slice(*entry["data_offsets"])], np.float32).reshape(entry["shape"])
            for key, entry in header.items()
            if entry.get("dtype") == "F32"
        }

    def zeros(self, name: str) -> float:
        tensors = [self.tensors(name)[key] for key in WEIGHTS]
        return float(sum((t == 0).sum() for t in tensors) / sum(t.size for t in tensors))

    def answers(self, name: str) -> np.ndarray[Any, Any]:
        _, evaluation = read_answers(self.folder / name / "outputs.safetensors")
        return evaluation


BASE = {"start": "base/checkpoint.safetensors"}
WIDE = {"start": "teacher/checkpoint.safetensors"}
TAUGHT = {**BASE, "teachers": "teacher/checkpoint.safetensors"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, project: Path, torch_python: Path) -> Project:
    """With a student and a teacher trained."""
    folder = tmp_path_factory.mktemp("project")
    (folder / ".toolchains").symlink_to(project / ".toolchains")
    write_splits(folder, evaluation=200, noise=1.5, distance=0.3)
    made = Project(folder, project)
    made.train("base")
    made.train("teacher", model=TEACHER)
    return made


def test_pruned_weights_are_zero_exactly_and_stay_so_in_later_steps(made: Project) -> None:
    made.train("pruned", step("prune", 4, sparsity=0.7), **BASE)
    made.train("further", step("prune", 4, sparsity=0.7), step("fine_tune", 3), **BASE)
    size = sum(made.tensors("base")[key].size for key in WEIGHTS)
    assert made.zeros("base") == 0
    assert made.zeros("pruned") == made.zeros("further") == round(0.7 * size) / size
    pruned, further = made.tensors("pruned"), made.tensors("further")
    assert all(((pruned[key] == 0) == (further[key] == 0)).all() for key in WEIGHTS)
    assert any((pruned[key] != further[key]).any() for key in WEIGHTS)  # what is left went on learning
    figures = files.read_json(made.folder / "further/train.json")
    assert figures["figures"]["zero_weights_ratio"] == pytest.approx(made.zeros("further"))
    assert len(figures["curves"]["train_loss"]) == 7


def test_zeros_of_a_step_stay_in_further_pruning_also_to_fewer(made: Project) -> None:
    # Long and fast enough for zeros that grow back to overtake others.
    first, second, third = (step("prune", n, 0.05, sparsity=s) for n, s in ((2, 0.5), (20, 0.6), (2, 0.3)))
    made.train("pruned_once", first, **BASE)
    made.train("pruned_twice", first, second, **BASE)
    made.train("pruned_to_fewer", first, second, third, **BASE)
    once, twice, fewer = (made.tensors(f"pruned_{name}") for name in ("once", "twice", "to_fewer"))
    assert all((twice[key][once[key] == 0] == 0).all() for key in WEIGHTS)
    assert all(((fewer[key] == 0) == (twice[key] == 0)).all() for key in WEIGHTS)
    size = sum(once[key].size for key in WEIGHTS)
    assert made.zeros("pruned_once") == 0.5
    assert made.zeros("pruned_twice") == round(0.6 * size) / size


def test_a_student_comes_closer_to_its_teacher_than_its_control_does(made: Project) -> None:
    options: dict[str, float | str] = {"teacher": "teacher", "temperature": 4.0, "soft_weight": 0.9}
    made.train("taught", step("distill", 12, **options), **TAUGHT)
    made.train("control", step("fine_tune", 12), **BASE)

    def softened(name: str) -> np.ndarray[Any, Any]:
        exponent = np.exp(made.answers(name) / 4)
        return np.asarray(exponent / exponent.sum(axis=1, keepdims=True))

    distances = {name: abs(softened(name) - softened("teacher")).mean() for name in ("taught", "control")}
    assert distances["taught"] < 0.8 * distances["control"]


ANSWERS = {"teacher": "teacher", "temperature": 4.0, "soft_weight": 0.7}
DISTANCE = """
import json, sys
from pathlib import Path
import numpy as np, torch
from edgeflow.frameworks.torch import load
from edgeflow.plugin import ModelSpec
from edgeflow.runners import tensors

x, outputs = torch.from_numpy(tensors.Split("evaluation.safetensors").batch()["input"]), []
for model, checkpoint, module in json.load(sys.stdin):
    network = load(ModelSpec(**model), Path(checkpoint))
    network.get_submodule(module).register_forward_hook(lambda m, i, output: outputs.append(output))
    network(x)
given, wanted = (torch.nn.functional.normalize(features, dim=1) for features in outputs)
print(float((given - wanted).square().sum(1).mean()))
"""


def test_matched_features_come_closer_to_the_teachers(made: Project, torch_python: Path) -> None:
    student = {**STUDENT, "arguments": {"channels": 16, "blocks": 1}}
    made.train("broad", model=student)
    taught = {**TAUGHT, "start": "broad/checkpoint.safetensors"}
    made.train("answers", step("distill", 12, **ANSWERS), model=student, **taught)
    matched = step("distill", 12, **ANSWERS, features={"blocks.0": "blocks.1"}, feature_weight=10.0)
    made.train("matched", matched, model=student, **taught)

    def distance(name: str) -> float:
        networks = [(student, name, "blocks.0"), (TEACHER, "teacher", "blocks.1")]
        asked = [(model, f"{folder}/checkpoint.safetensors", module) for model, folder, module in networks]
        return float(made.python(torch_python, DISTANCE, json.dumps(asked)))

    assert distance("matched") < 0.8 * distance("answers")


def test_features_of_other_widths_are_projected_and_nothing_of_that_is_left(made: Project) -> None:
    features = {"stem": "stem", "blocks.0": "blocks.1", "pool": "blocks.0"}  # 4 channels and 16; 1 × 1 and 5 × 4
    made.train("answered", step("distill", 4, **ANSWERS), **TAUGHT)
    made.train("projected", step("distill", 4, **ANSWERS, features=features, feature_weight=2.0), **TAUGHT)
    assert shapes(made.tensors("projected")) == shapes(made.tensors("base"))
    assert (made.tensors("projected")["stem.weight"] != made.tensors("answered")["stem.weight"]).any()


def test_a_teacher_that_is_not_named_is_the_model_at_the_start(made: Project) -> None:
    unnamed = {name: value for name, value in ANSWERS.items() if name != "teacher"}
    half = step("prune_channels", 1, channels=0.5, round_to=4, iterations=1)
    made.train("unnamed", half, step("distill", 2, **unnamed), model=TEACHER, **WIDE)
    made.train("named", half, step("distill", 2, **ANSWERS), model=TEACHER, **{**TAUGHT, **WIDE})
    first, second = ((made.folder / n / "checkpoint.safetensors").read_bytes() for n in ("unnamed", "named"))
    assert first == second


UNMATCHED = """
import json
import torch
from torch import nn
from edgeflow.errors import StageError
from edgeflow.techniques.distill import Features

torch.manual_seed(0)
small = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.Flatten(), nn.Dropout())  # 1 × 9 × 9: 4 × 4 × 4
large = nn.Sequential(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2, ceil_mode=True), nn.Conv2d(4, 4, 2))  # 7 × 7, 4 × 4, 3 × 3
said = {}
for name, pairs in {"name": {"0.conv": "0"}, "teacher": {"0": "3"}, "axes": {"1": "0"}, "size": {"0": "2"}}.items():
    try:
        Features(small, large, pairs, torch.zeros(1, 1, 9, 9))
    except StageError as error:
        said[name] = str(error)
print(json.dumps(said))
"""


def test_features_that_cannot_be_compared_are_named(made: Project, torch_python: Path) -> None:
    assert json.loads(made.python(torch_python, UNMATCHED)) == {
        "name": "train: distill: features: the model has no module '0.conv'; it has 0, 1, 2",
        "teacher": "train: distill: features: the teacher has no module '3'; it has 0, 1, 2",
        "axes": (
            "train: distill: features: 1 of the model gives [1, 64], 0 of the teacher gives [1, 4, 7, 7]; "
            "both must be batches of channels with as many further axes"
        ),
        "size": (
            "train: distill: features: 0 of the model gives [1, 4, 4, 4], 2 of the teacher gives [1, 4, 3, 3]; "
            "the larger size of each axis must be a multiple of the smaller"
        ),
    }


def test_a_killed_distillation_goes_on_with_the_projections_that_it_had(made: Project) -> None:
    features = {"stem": "stem", "blocks.0": "blocks.1"}
    taught = step("distill", 20, **ANSWERS, features=features, feature_weight=2.0)
    steps = (taught, step("prune", 20, sparsity=0.5))
    made.train("taught_whole", *steps, **TAUGHT)
    for kind, done_before in (("distill", 0), ("prune", 20)):
        name = f"taught_killed_{kind}"
        made.kill_at(f"model student: {kind}: epoch 3 of 20", name, *steps, **TAUGHT)
        said = made.train(name, *steps, **TAUGHT).stderr.splitlines()
        assert sum(": epoch " in line for line in said) <= 40 - done_before - 3
        first, second = ((made.folder / n / "checkpoint.safetensors").read_bytes() for n in ("taught_whole", name))
        assert first == second


def test_a_recipe_is_held_against_its_control_on_the_same_samples(made: Project) -> None:
    made.train("held_control", step("fine_tune", 4), **BASE)
    done = made.train("held", step("prune", 4, sparsity=0.9), control="held_control/outputs.safetensors", **BASE)
    _, y = read_split(made.folder / "evaluation.safetensors")
    right = {name: made.answers(name).argmax(axis=1) == y for name in ("held", "held_control")}
    against = files.read_json(made.folder / "held/train.json")["against_control"]
    assert against["control"]["value"] == right["held_control"].mean()
    assert against["recipe"]["value"] == right["held"].mean()
    assert against["drop"]["value"] == pytest.approx(right["held_control"].mean() - right["held"].mean())
    assert against["drop"]["interval"]["low"] <= against["drop"]["value"] <= against["drop"]["interval"]["high"]
    assert files.read_json(made.folder / "held_control/train.json")["against_control"] is None
    said = [line for line in done.stderr.splitlines() if line.startswith("model student: prune: epoch")]
    assert len(said) == 4


def test_a_teacher_without_its_checkpoint(made: Project) -> None:
    done = made.train("no_teacher", step("fine_tune", 1), check=False, **BASE, teachers="")
    assert done.returncode == UsageError.exit_code
    assert "recipe no_teacher got 0 checkpoints for 1 teachers" in done.stderr


def test_steps_need_a_checkpoint_to_start_from(made: Project) -> None:
    done = made.train("nothing", step("fine_tune", 1), check=False)
    assert done.returncode == UsageError.exit_code
    assert "--input start=PATH is missing: recipe nothing starts from a checkpoint" in done.stderr
    assert not list((made.folder / "nothing").glob("*"))


# --- killed ----------------------------------------------------------------------------------------------------------

LONG = (step("prune", 40, sparsity=0.5), step("fine_tune", 40))


@pytest.fixture(scope="module")
def whole(made: Project) -> bytes:
    """The checkpoint of a training that nobody killed."""
    made.train("whole", *LONG, **BASE)
    return (made.folder / "whole/checkpoint.safetensors").read_bytes()


@pytest.mark.parametrize(("kind", "done_before"), [("prune", 0), ("fine_tune", 40)])
def test_a_killed_training_goes_on_and_ends_with_the_same_bytes(
    made: Project, whole: bytes, kind: str, done_before: int
) -> None:
    name = f"killed_{kind}"
    made.kill_at(f"model student: {kind}: epoch 3 of 40", name, *LONG, **BASE)
    assert not (made.folder / name / "checkpoint.safetensors").exists()
    said = made.train(name, *LONG, **BASE).stderr.splitlines()
    assert any(line.startswith("going on after epoch ") for line in said)
    epochs = [line for line in said if ": epoch " in line]
    assert 0 < len(epochs) <= 80 - done_before - 3
    losses = files.read_json(made.folder / name / "train.json")["curves"]["train_loss"]
    assert losses == files.read_json(made.folder / "whole/train.json")["curves"]["train_loss"]
    assert (made.folder / name / "checkpoint.safetensors").read_bytes() == whole
    assert not list((made.folder / name).glob(".*"))


def test_a_killed_second_pruning_begins_with_the_zeros_of_the_first(made: Project) -> None:
    twice = (step("prune", 20, sparsity=0.5), step("prune", 21, sparsity=0.8))
    made.train("twice_whole", *twice, **BASE)
    made.kill_at("model student: prune: epoch 3 of 21", "twice_killed", *twice, **BASE)
    assert "going on after epoch " in made.train("twice_killed", *twice, **BASE).stderr
    first, second = ((made.folder / n / "checkpoint.safetensors").read_bytes() for n in ("twice_whole", "twice_killed"))
    assert first == second


def test_what_was_killed_of_another_recipe_is_not_continued(made: Project, whole: bytes) -> None:
    other = (step("prune", 40, sparsity=0.6), step("fine_tune", 40))
    made.kill_at("model student: prune: epoch 3 of 40", "changed", *other, **BASE)
    assert len(list((made.folder / "changed").glob(".*.training"))) == 1
    done = made.train("changed", *LONG, **BASE)
    assert "going on" not in done.stderr
    assert sum(": epoch " in line for line in done.stderr.splitlines()) == 80
    assert not list((made.folder / "changed").glob(".*"))


def test_what_cannot_be_read_of_a_killed_training_is_done_again(made: Project, whole: bytes) -> None:
    made.kill_at("model student: prune: epoch 3 of 40", "damaged", *LONG, **BASE)
    (kept,) = (made.folder / "damaged").glob(".*.training")
    kept.write_bytes(kept.read_bytes()[:100])
    done = made.train("damaged", *LONG, **BASE)
    assert "cannot be read" in done.stderr
    assert "training starts again" in done.stderr
    assert sum(": epoch " in line for line in done.stderr.splitlines()) == 80


# --- structured ------------------------------------------------------------------------------------------------------

RESIDUAL = {
    **{"id": "student", "builder": "edgeflow.zoo.resnet8:build", "arguments": {}, "input_shape": [1, 10, 8]},
    **{"classes": 2, "training": {"epochs": 1, "batch_size": 16}},
}


def shapes(tensors: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, tuple[int, ...]]:
    return {key: tensor.shape for key, tensor in tensors.items()}


@pytest.mark.parametrize("model", [TEACHER, RESIDUAL], ids=["depthwise", "residual"])
def test_fewer_channels_are_fewer_weights_and_the_checkpoint_can_be_loaded(
    made: Project, model: dict[str, Any]
) -> None:
    name = model["builder"].split(".")[2].split(":")[0]
    made.train(f"{name}_wide", model=model)
    start = {"start": f"{name}_wide/checkpoint.safetensors"}
    half = step("prune_channels", 2, channels=0.5, round_to=4, iterations=1)
    made.train(f"{name}_half", half, model=model, **start)
    wide, narrow = (made.tensors(f"{name}_{which}") for which in ("wide", "half"))
    assert wide.keys() == narrow.keys()
    assert narrow["stem.weight"].shape[0] == wide["stem.weight"].shape[0] / 2
    assert narrow["classifier.weight"].shape == (2, wide["classifier.weight"].shape[1] / 2)
    assert all(narrow[key].shape[0] % 4 == 0 for key in narrow if key.endswith("norm.weight"))
    figures = files.read_json(made.folder / f"{name}_half/train.json")["figures"]
    assert figures["parameters"] == sum(tensor.size for key, tensor in narrow.items() if "running" not in key)
    assert figures["macs"] < 0.5 * figures["macs_before"]
    # the stage scored a fresh load of what it wrote; a later step starts from one too
    assert np.isfinite(made.answers(f"{name}_half")).all()
    more = [half, step("prune", 2, sparsity=0.5), step("quantize_aware", 1)]
    made.train(f"{name}_more", *more, model=model, **start)
    assert shapes(made.tensors(f"{name}_more")) == shapes(narrow)
    info = files.read_json(made.folder / f"{name}_more/train.json")["figures"]
    assert info["zero_weights_ratio"] == pytest.approx(0.5, abs=0.001)


REMOVALS = """
import json
import torch
from edgeflow.techniques.prune_channels import cost, removals
from edgeflow.zoo import dscnn, resnet8

def left(zoo, shape, ratio, round_to):
    model, example = zoo.build(shape, 10), torch.zeros(1, *shape)
    list(removals(model, example, 10, {"channels": ratio, "round_to": round_to, "iterations": 1}))
    convolutions = [module for module in model.modules() if isinstance(module, torch.nn.Conv2d)]
    return cost(model, example)[0], min(module.out_channels for module in convolutions)

print(json.dumps([
    [left(zoo, shape, percent / 100, round_to) for percent in range(10, 100, 10)]
    for zoo, shape, round_to in ((dscnn, (1, 49, 10), 8), (resnet8, (3, 32, 32), 8), (resnet8, (3, 32, 32), 24))
]))
"""


def test_a_higher_ratio_never_costs_more_and_no_layer_goes_below_round_to(made: Project, torch_python: Path) -> None:
    for series, least in zip(json.loads(made.python(torch_python, REMOVALS)), (8, 8, 16), strict=True):
        macs, channels = zip(*series, strict=True)
        assert list(macs) == sorted(macs, reverse=True)
        assert macs[-1] < macs[0]
        assert min(channels) == least  # a layer of 16 channels is below a round_to of 24, and keeps them all


@pytest.mark.parametrize("goal", ["macs", "parameters"])
def test_a_goal_is_reached_and_not_by_far(made: Project, goal: str) -> None:
    options = {goal: 0.4, "round_to": 1, "iterations": 1}
    made.train(f"goal_{goal}", step("prune_channels", 1, **options), model=TEACHER, **WIDE)
    figures = files.read_json(made.folder / f"goal_{goal}/train.json")["figures"]
    before = files.read_json(made.folder / "teacher/train.json")["figures"]["parameters"]
    left = {"macs": figures["macs"] / figures["macs_before"], "parameters": figures["parameters"] / before}
    assert 0.3 < left[goal] <= 0.4


@pytest.mark.parametrize("goal", ["macs", "parameters"])
def test_a_goal_that_is_out_of_reach_is_an_error_with_what_is_left(made: Project, goal: str) -> None:
    options = {goal: 0.01, "round_to": 8, "iterations": 1}
    done = made.train(f"unreached_{goal}", step("prune_channels", 1, **options), model=TEACHER, check=False, **WIDE)
    assert done.returncode == StageError.exit_code
    said = rf"{goal}: 1\.00% is out of reach with round_to: 8, which leaves [3-5]\d\.\d\d%; raise {goal} or lower"
    assert re.search(said, done.stderr)


def test_parts_of_a_removal_leave_as_many_channels_and_choose_them_anew(made: Project) -> None:
    once, twice = (step("prune_channels", 6, channels=0.5, round_to=4, iterations=n) for n in (1, 2))
    made.train("once", once, model=TEACHER, **WIDE)
    done = made.train("twice", twice, model=TEACHER, **WIDE)
    assert shapes(made.tensors("once")) == shapes(made.tensors("twice"))
    assert (made.tensors("once")["stem.weight"] != made.tensors("twice")["stem.weight"]).any()
    said = [line.partition(": loss")[0] for line in done.stderr.splitlines() if ": epoch " in line]
    parts = [f"model teacher: prune_channels {part} of 2: epoch {n} of 3" for part in (1, 2) for n in (1, 2, 3)]
    assert said == parts


def test_a_part_in_which_nothing_can_go_is_an_error(made: Project) -> None:
    parts = step("prune_channels", 6, channels=0.5, round_to=4, iterations=3)
    done = made.train("idle", parts, model=TEACHER, check=False, **WIDE)
    said = "prune_channels: no channel can go in part 3 of 3 with round_to: 4; lower it, have fewer iterations, or"
    assert said in done.stderr


def test_a_removal_in_parts_that_was_killed_goes_on_with_the_part_that_it_was_at(made: Project) -> None:
    parts = step("prune_channels", 40, channels=0.5, round_to=4, iterations=2)
    made.train("parts_whole", parts, model=TEACHER, **WIDE)
    for part, done_before in ((1, 0), (2, 20)):
        name = f"parts_killed_{part}"
        made.kill_at(f"model teacher: prune_channels {part} of 2: epoch 3 of 20", name, parts, model=TEACHER, **WIDE)
        said = made.train(name, parts, model=TEACHER, **WIDE).stderr.splitlines()
        assert sum(": epoch " in line for line in said) <= 40 - done_before - 3
        first, second = ((made.folder / n / "checkpoint.safetensors").read_bytes() for n in ("parts_whole", name))
        assert first == second


def test_nothing_that_can_go_is_an_error(made: Project) -> None:
    done = made.train("none", step("prune_channels", 1, channels=0.5, round_to=8, iterations=1), check=False, **BASE)
    assert "prune_channels: no channel can go with round_to: 8" in done.stderr
    assert not (made.folder / "none/checkpoint.safetensors").exists()


def test_a_checkpoint_of_another_width_that_nobody_pruned_is_refused(made: Project) -> None:
    done = made.train("other", step("fine_tune", 1), check=False, start="teacher/checkpoint.safetensors")
    assert "does not fit model student" in done.stderr


def test_a_killed_training_takes_the_same_channels_away_again(made: Project) -> None:
    steps = (
        *(step("fine_tune", 3), step("prune_channels", 20, channels=0.5, round_to=4, iterations=1)),
        step("prune", 20, sparsity=0.5),
    )
    start = {"start": "teacher/checkpoint.safetensors"}
    made.train("channels_whole", *steps, model=TEACHER, **start)
    made.kill_at("model teacher: prune: epoch 3 of 20", "channels_killed", *steps, model=TEACHER, **start)
    assert "going on after epoch " in made.train("channels_killed", *steps, model=TEACHER, **start).stderr
    first, second = (
        (made.folder / name / "checkpoint.safetensors").read_bytes() for name in ("channels_whole", "channels_killed")
    )
    assert first == second


# --- quantization-aware ----------------------------------------------------------------------------------------------


def test_quantization_aware_training_leaves_an_ordinary_checkpoint(made: Project) -> None:
    made.train("aware", step("quantize_aware", 3), **BASE)
    base, aware = made.tensors("base"), made.tensors("aware")
    assert {key: t.shape for key, t in base.items()} == {key: t.shape for key, t in aware.items()}
    assert all((base[key] != aware[key]).any() for key in (*WEIGHTS, "norm.running_mean", "norm.running_var"))
    assert np.isfinite(made.answers("aware")).all()


def test_zeros_survive_quantization_aware_training(made: Project) -> None:
    made.train("stacked", step("prune", 4, sparsity=0.7), step("quantize_aware", 3), **BASE)
    made.train("sparse", step("prune", 4, sparsity=0.7), **BASE)
    assert made.zeros("stacked") == made.zeros("sparse")
    assert any((made.tensors("stacked")[key] != made.tensors("sparse")[key]).any() for key in WEIGHTS)


def test_a_killed_quantization_aware_training_goes_on_with_the_ranges_that_it_had(made: Project) -> None:
    steps = (step("quantize_aware", 12), step("fine_tune", 2))
    made.train("aware_whole", *steps, **BASE)
    made.kill_at("model student: quantize_aware: epoch 3 of 12", "aware_killed", *steps, **BASE)
    said = made.train("aware_killed", *steps, **BASE).stderr
    assert "going on after epoch " in said
    first, second = (
        (made.folder / name / "checkpoint.safetensors").read_bytes() for name in ("aware_whole", "aware_killed")
    )
    assert first == second


DROPOUT = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.layer = nn.Linear(80, 4000)
        self.dropout = nn.Dropout(0.1)
        self.last = nn.Linear(4000, classes)

    def forward(self, x):
        return self.last(self.dropout(torch.relu(self.layer(x.flatten(1))) + 1))

def build(input_shape, classes):
    return Net(classes)
"""
LOOK = """
import json, sys, torch
sys.path.insert(0, ".")
import own
from edgeflow.techniques import quantize_aware

torch.manual_seed(0)
model = own.build((1, 10, 8), 2)
network = quantize_aware.prepared(model, torch.randn(1, 1, 10, 8))
seen = []
node = next(n for n in network.graph.nodes if "dropout" in str(n.target))
with network.graph.inserting_after(node):
    network.spy = type("Spy", (torch.nn.Module,), {"forward": lambda self, x: seen.append(x.detach()) or x})()
    spy = network.graph.call_module("spy", (node,))
node.replace_all_uses_with(spy, delete_user_cb=lambda user: user is not spy)
network.recompile()
network(torch.randn(50, 1, 10, 8))
print(json.dumps({"zeros": float((seen[0] == 0).float().mean()), "training": model.training}))
"""


def test_dropout_keeps_its_probability(made: Project, torch_python: Path) -> None:
    (made.folder / "own.py").write_text(DROPOUT)
    said = made.python(torch_python, LOOK)
    # every activation is 1 or more before: what is zero after was dropped; 200,000 draws, so 0.003 is four deviations
    assert json.loads(said)["zeros"] == pytest.approx(0.1, abs=0.003)

"""Files of two inputs, images and token ids, and three outputs: what each runtime answers, by the model's own names."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeflow.runners import tensors

pytestmark = [pytest.mark.toolchain, pytest.mark.xdist_group("named")]
JOBS = Path(__file__).with_name("named_jobs.py")
N = 21  # more than one batch


@dataclass(frozen=True)
class Asked:
    """Samples, weights, and what was answered."""

    images: Any
    ids: Any
    weights: Any
    folder: Path

    def answers(self, suffix: str) -> Any:
        """Output → [N, …]."""
        return np.load(self.folder / f"answers.{suffix}.npz")

    def signature(self, suffix: str) -> dict[str, list[tuple[str, str, list[Any]]]]:
        """Name, dtype and shape of the inputs and outputs in the file."""
        said = json.loads((self.folder / "signatures.json").read_text())[suffix]
        return {side: [(t["name"], t["dtype"], t["shape"]) for t in tensors] for side, tensors in said.items()}

    def expected(self, read: Any) -> dict[str, Any]:
        """What the network answers where `read` [N, 3] is what the ids say."""
        both = (self.images / np.float32(255)).mean(axis=(2, 3)) + read
        logits = both @ self.weights["head"]
        boxes = (both @ self.weights["boxes"]).reshape(-1, 3, 2).transpose(0, 2, 1)
        return {"logits": logits, "boxes": boxes, "top": logits.argmax(1)}


@pytest.fixture(scope="module")
def asked(edge_python: Path, torch_python: Path, project: Path, tmp_path_factory: pytest.TempPathFactory) -> Asked:
    folder = tmp_path_factory.mktemp("named")
    rng = np.random.default_rng(0)
    shapes = {"table": (11, 3), "head": (3, 4), "boxes": (3, 6)}
    weights = {name: rng.normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()}
    np.savez(folder / "weights.npz", **weights, most=np.array(255, np.float32))
    # as the data have them: channels first, and of types that not every file takes
    images, ids = rng.integers(0, 128, (N, 3, 4, 4), dtype=np.uint8), rng.integers(0, 11, (N, 5))
    inputs = {"image": ("uint8", images.shape), "ids": ("int64", ids.shape)}
    writer = tensors.split_writer(
        folder / "samples.safetensors", inputs, dict.fromkeys(inputs, tensors.How()), labelled=False
    )
    writer.write("inputs/image", 0, images)
    writer.write("inputs/ids", 0, ids)
    environment = {**os.environ, "PYTHONPATH": str(project / "src")}
    for python, job in ((edge_python, "make_onnx"), (torch_python, "make_tflite"), (edge_python, "ask")):
        command = [str(python), str(JOBS), job, str(folder)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{job}: {done.stderr[-3000:]}"
    return Asked(images, ids, weights, folder)


@pytest.mark.parametrize("suffix", ["onnx", "tflite", "micro.tflite"])
def test_answers_are_those_of_the_network(asked: Asked, suffix: str) -> None:
    micro = suffix == "micro.tflite"  # which weighs the ids, where the others look them up
    table = asked.weights["table"]
    read = asked.ids.astype(np.float32) @ table[:5] if micro else table[asked.ids].mean(axis=1)
    answers, expected = asked.answers(suffix), asked.expected(read)
    assert {*answers} == {*expected}
    for name, values in expected.items():
        assert answers[name].shape == values.shape
        np.testing.assert_allclose(answers[name], values, rtol=1e-4, atol=1e-4)


def test_signatures_name_what_is_free(asked: Asked) -> None:
    assert asked.signature("onnx") == {
        "inputs": [("pixels", "uint8", ["n", 4, 4, 3]), ("ids", "int64", ["n", "length"])],
        "outputs": [("found", "float32", ["n", 3, 2]), ("scores", "float32", ["n", 4]), ("best", "int64", ["n"])],
    }


def test_tflite_has_the_names_of_its_signature_in_both_interpreters(asked: Asked) -> None:
    for suffix, pixels in (("tflite", "uint8"), ("micro.tflite", "int8")):
        signature = asked.signature(suffix)
        given = {name: (dtype, shape) for name, dtype, shape in signature["inputs"]}
        # the converter made int32 of the ids, which are int64 in the samples
        assert given == {"args_0": (pixels, [1, 4, 4, 3]), "args_1": ("int32", [1, 5])}
        assert {name: shape for name, _, shape in signature["outputs"]} == {
            **{"output_0": [1, 4], "output_1": [1, 3, 2], "output_2": [1]},
        }

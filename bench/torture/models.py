"""The 22 models of the torture matrix, and what must come of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KEYWORDS, IMAGES = "digits_1x49x10", "digits_3x32x32"


@dataclass(frozen=True)
class Model:
    """One model: how it is built and trained, and what must never be said of it."""

    builder: str
    dataset: str
    training: Mapping[str, Any] = field(default_factory=lambda: {"epochs": 6})
    # Every cell that has a runtime for it fails, with these words in the reason.
    fails: str = ""
    released: bool = True  # False: no cell may be


def _nets(name: str) -> str:
    return f"nets/{name}"


MODELS: Mapping[str, Model] = {
    "dscnn": Model("edgeflow.zoo.dscnn:build", KEYWORDS),
    "resnet8": Model("edgeflow.zoo.resnet8:build", IMAGES),
    "inverted_residual": Model(_nets("inverted_residual.py:build"), IMAGES),
    "transformer": Model(_nets("sequences.py:transformer"), KEYWORDS),
    "gru": Model(_nets("sequences.py:gru"), KEYWORDS),
    "lstm": Model(_nets("sequences.py:lstm"), KEYWORDS),
    "convolutions": Model(_nets("sequences.py:convolutions"), "sensors"),
    "perceptron": Model(_nets("sequences.py:perceptron"), "table"),
    "decoder": Model(_nets("images.py:decoder"), IMAGES),
    "large": Model(_nets("images.py:large"), IMAGES),
    "photographs": Model("edgeflow.zoo.dscnn:build", "photos"),
    "softmax_output": Model(_nets("faulty.py:softmax_output"), KEYWORDS),
    "unused_parameter": Model(_nets("faulty.py:unused_parameter"), KEYWORDS),
    "chance_level": Model(_nets("faulty.py:plain"), "noise", released=False),
    "random_dropout": Model(_nets("faulty.py:random_dropout"), KEYWORDS, released=False),
    "tuple_output": Model(_nets("faulty.py:tuple_output"), KEYWORDS, fails="tuple"),
    "wrong_classes": Model(_nets("faulty.py:wrong_classes"), KEYWORDS, fails="expected [1, 10]"),
    "raises": Model(_nets("faulty.py:raises"), KEYWORDS, fails="this branch is for the new camera"),
    "syntax_error": Model(_nets("syntax_error.py:build"), KEYWORDS, fails="nets/syntax_error.py"),
    "missing_package": Model(_nets("missing_package.py:build"), KEYWORDS, fails="a_package_that_nobody_has"),
    "diverges": Model(
        _nets("faulty.py:plain"), KEYWORDS, {"epochs": 2, "learning_rate": 1e30}, fails="loss", released=False
    ),
    "bad_files": Model("edgeflow.zoo.dscnn:build", "bad_photos", fails="truncated.jpg"),
}
SYNTAX_ERROR = "import torch\n\n\ndef build(input_shape, classes):\n    return torch.nn.Sequential(torch.nn.Flatten(\n"

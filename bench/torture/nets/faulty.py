"""Networks with one fault each, as people write them; a syntax error has a file of its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class _Net(nn.Module):
    """Two layers that learn the digits."""

    def __init__(self, input_shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(input_shape[0], 8, 3, 2, 1), nn.ReLU(), nn.Flatten())
        size = 8 * ((input_shape[1] + 1) // 2) * ((input_shape[2] + 1) // 2)
        self.head = nn.Linear(size, classes)

    def forward(self, x: Any) -> Any:
        """x float32[N, C, H, W] → float32[N, K]."""
        return self.head(self.body(x))


class _Tuple(_Net):
    def forward(self, x: Any) -> Any:
        features = self.body(x)
        return self.head(features), features


class _Raises(_Net):
    def forward(self, x: Any) -> Any:
        raise NotImplementedError("this branch is for the new camera")


class _Dropout(_Net):
    def forward(self, x: Any) -> Any:
        return self.head(nn.functional.dropout(self.body(x), 0.5, training=True))


class _Softmax(_Net):
    def forward(self, x: Any) -> Any:
        return torch.softmax(super().forward(x), 1)


class _Unused(_Net):
    def __init__(self, input_shape: tuple[int, ...], classes: int) -> None:
        super().__init__(input_shape, classes)
        self.forgotten = nn.Linear(4, 4)


def tuple_output(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Gives logits and features."""
    return _Tuple(input_shape, classes)


def wrong_classes(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """One class more than the data have."""
    return _Net(input_shape, classes + 1)


def raises(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Raises when it is run."""
    return _Raises(input_shape, classes)


def random_dropout(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Drops values in inference too."""
    return _Dropout(input_shape, classes)


def softmax_output(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Gives probabilities, which cross-entropy takes for logits."""
    return _Softmax(input_shape, classes)


def unused_parameter(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Has a layer that nothing runs."""
    return _Unused(input_shape, classes)


def plain(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Nothing wrong with it: what is wrong is what it is trained on, or how."""
    return _Net(input_shape, classes)

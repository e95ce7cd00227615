"""MobileNetV3's block: expand, depthwise, squeeze-and-excite, hard-swish, project (Howard et al. 2019)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class SqueezeExcite(nn.Module):
    """Weighs channels by what a small network says of their means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, channels // 4, 1), nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Any) -> Any:
        """x float32[N, C, H, W] → the same shape."""
        weights = x.mean((2, 3), keepdim=True)
        return x * nn.functional.hardsigmoid(self.up(torch.relu(self.down(weights))))


class InvertedResidual(nn.Module):
    """One block; with a skip where it changes no shape."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        hidden = 4 * inputs
        self.skips = stride == 1 and inputs == outputs
        self.body = nn.Sequential(
            nn.Conv2d(inputs, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.Hardswish(),
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.Hardswish(),
            SqueezeExcite(hidden),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Any) -> Any:
        """x float32[N, C, H, W] → float32[N, C', H / stride, W / stride]."""
        return x + self.body(x) if self.skips else self.body(x)


def build(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Three blocks."""
    return nn.Sequential(
        nn.Conv2d(input_shape[0], 8, 3, 2, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.Hardswish(),
        InvertedResidual(8, 8, 1),
        InvertedResidual(8, 16, 2),
        InvertedResidual(16, 16, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, classes),
    )

"""Depthwise-separable CNN, the keyword-spotting network of MLPerf Tiny.

Zhang et al., "Hello Edge: Keyword Spotting on Microcontrollers", arXiv:1711.07128; Banbury et al., "MLPerf Tiny
Benchmark", arXiv:2106.07597. Unlike there: no dropout, and the same padding on both sides, so that [1, 49, 10] becomes
64×24×5 after the first convolution and not 64×25×5. It stays that until the average; then 64, and one number per class.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class _Separable(nn.Module):
    """A depthwise 3×3 and a pointwise 1×1 convolution, each with batch normalisation and ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32[N, C, H, W] → the same shape."""
        x = self.relu(self.norm1(self.depthwise(x)))
        return self.relu(self.norm2(self.pointwise(x)))


class DsCnn(nn.Module):
    """A strided convolution, separable blocks, global average, one linear layer."""

    def __init__(self, channels_in: int, classes: int, channels: int, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels_in, channels, (10, 4), stride=2, padding=(4, 1), bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.blocks = nn.Sequential(*(_Separable(channels) for _ in range(blocks)))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32[N, C, H, W] → logits float32[N, classes]."""
        x = self.blocks(self.relu(self.norm(self.stem(x))))
        return self.classifier(torch.flatten(self.pool(x), 1))


def build(input_shape: Sequence[int], classes: int, channels: int = 64, blocks: int = 4) -> nn.Module:
    """The network for inputs [C, H, W]; 23,050 parameters for [1, 49, 10] and 10 classes."""
    return DsCnn(input_shape[0], classes, channels, blocks)

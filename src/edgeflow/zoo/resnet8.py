"""ResNet-8, the image-classification network of MLPerf Tiny.

He et al., "Deep Residual Learning for Image Recognition", arXiv:1512.03385, with three blocks as in Banbury et al.,
"MLPerf Tiny Benchmark", arXiv:2106.07597. [3, 32, 32] becomes 16×32×32, 32×16×16, 64×8×8, 64, and one number per class.
Another width of the first stage makes all stages wider or narrower.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class _Residual(nn.Module):
    """Two 3×3 convolutions around a shortcut, which is a 1×1 convolution where the shape changes."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        same = stride == 1 and channels_in == channels
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels_in, channels, 1, stride=stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32[N, channels_in, H, W] → float32[N, channels, H / stride, W / stride]."""
        y = self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x)))))
        return self.relu(y + self.shortcut(x))


class ResNet8(nn.Module):
    """A convolution, three residual blocks, each of twice the channels, global average, one linear layer."""

    def __init__(self, channels_in: int, classes: int, channels: int) -> None:
        super().__init__()
        first, second, third = channels, 2 * channels, 4 * channels
        self.stem = nn.Conv2d(channels_in, first, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(first)
        self.relu = nn.ReLU()
        self.blocks = nn.Sequential(
            _Residual(first, first, 1), _Residual(first, second, 2), _Residual(second, third, 2)
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(third, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32[N, C, H, W] → logits float32[N, classes]."""
        x = self.blocks(self.relu(self.norm(self.stem(x))))
        return self.classifier(torch.flatten(self.pool(x), 1))


def build(input_shape: Sequence[int], classes: int, channels: int = 16) -> nn.Module:
    """The network for inputs [C, H, W]; 77,946 parameters for [3, 32, 32] and 10 classes."""
    return ResNet8(input_shape[0], classes, channels)

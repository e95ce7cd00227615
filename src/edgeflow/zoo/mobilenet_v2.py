"""MobileNetV2, a network of the size that phones and small cameras run.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", arXiv:1801.04381, table 2: a strided
convolution, seventeen inverted residual blocks, a 1×1 convolution, global average, one linear layer. [3, 224, 224]
becomes 32×112×112 and in the end 1280×7×7. Another `width` makes all stages wider or narrower.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

# Of each stage: how many times wider it is inside, channels, blocks, stride of the first block.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
FIRST, LAST = 32, 1280
ROUND_TO = 8  # channels are multiples of this, and rounding takes away at most a tenth


class _Convolution(nn.Sequential):
    """A convolution, batch normalisation, ReLU6."""

    def __init__(self, channels_in: int, channels: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU6(),
        )


class _InvertedResidual(nn.Module):
    """1×1 convolution to a wider inside, 3×3 depthwise, 1×1 back; a sum where shapes are equal."""

    def __init__(self, channels_in: int, channels: int, stride: int, wider: int) -> None:
        super().__init__()
        inside = channels_in * wider
        self.expand = _Convolution(channels_in, inside, 1) if wider != 1 else nn.Identity()
        self.depthwise = _Convolution(inside, inside, 3, stride, groups=inside)
        self.project = nn.Conv2d(inside, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.adds = stride == 1 and channels_in == channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32[N, channels_in, H, W] → float32[N, channels, H / stride, W / stride]."""
        y = self.norm(self.project(self.depthwise(self.expand(x))))
        return x + y if self.adds else y


class MobileNetV2(nn.Module):
    """A strided convolution, inverted residual blocks, a 1×1 convolution, global average, one linear layer."""

    def __init__(self, channels_in: int, classes: int, width: float) -> None:
        super().__init__()
        channels = _channels(FIRST, width)
        self.stem = nn.Conv2d(channels_in, channels, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU6()
        blocks = []
        for wider, unscaled, count, stride in STAGES:
            for i in range(count):
                made = _channels(unscaled, width)
                blocks.append(_InvertedResidual(channels, made, stride if i == 0 else 1, wider))
                channels = made
        self.blocks = nn.Sequential(*blocks)
        last = _channels(LAST, max(width, 1.0))  # as in the paper, section 6.1
        self.head = _Convolution(channels, last, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(last, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32[N, C, H, W] → logits float32[N, classes]."""
        x = self.head(self.blocks(self.relu(self.norm(self.stem(x)))))
        return self.classifier(torch.flatten(self.pool(x), 1))


def _channels(unscaled: int, width: float) -> int:
    scaled = unscaled * width
    rounded = max(ROUND_TO, int(scaled + ROUND_TO / 2) // ROUND_TO * ROUND_TO)
    return rounded + ROUND_TO if rounded < 0.9 * scaled else rounded


def build(input_shape: Sequence[int], classes: int, width: float = 1.0) -> nn.Module:
    """The network for inputs [C, H, W]; 3,504,872 parameters for [3, 224, 224] and 1,000 classes."""
    return MobileNetV2(input_shape[0], classes, width)

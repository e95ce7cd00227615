"""Small untrained networks, one for each public bug report of converters, quantizers and kernels, with what goes in."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

SAMPLES = 24


class TransposedView(nn.Module):
    """Constants that are views of other storage: a transposed weight, and a transposed table that is added."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(48, 6)
        self.dense.weight = nn.Parameter(torch.randn(48, 6).t())
        self.register_buffer("table", torch.randn(8, 6).t())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dense((x + self.table).flatten(1))


class CeilPool(nn.Module):
    """Windows of average pooling that reach over the border: the divisor counts what is inside."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.pools = nn.ModuleList([nn.AvgPool2d(3, stride=2, ceil_mode=True)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        return torch.cat([pool(x).flatten(1) for pool in self.pools], 1)


class CeilPoolPadded(CeilPool):
    """The same with padding that counts, and with padding that does not."""

    def __init__(self) -> None:
        super().__init__()
        counted = nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True)
        uncounted = nn.AvgPool2d(4, stride=3, padding=1, ceil_mode=True, count_include_pad=False)
        self.pools = nn.ModuleList([counted, uncounted])


class HardSwish(nn.Module):
    """Answers far beyond 1."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        with torch.no_grad():
            self.conv.weight.mul_(6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.hardswish(self.conv(x)).flatten(1)


class EvenKernel(nn.Module):
    """Padding that is not the same on both sides."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(3, 8, 4, padding="same")
        self.second = nn.Conv1d(8, 4, 2, padding="same")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x))).flatten(1)


class AlignedCorners(nn.Module):
    """Bilinear upsampling between the centres of the corners."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.interpolate(self.conv(x), scale_factor=2, mode="bilinear", align_corners=True).flatten(1)


class Recurrent(nn.Module):
    """A GRU over a short sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 8, batch_first=True)
        self.classifier = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, _ = self.gru(x)
        return self.classifier(y[:, -1])


class TinyWeights(nn.Module):
    """Weights of 1e-9 beside biases of ±5: in steps of input × weights these biases have more than 32 bits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        with torch.no_grad():
            self.conv.weight.copy_(1e-9 * torch.sign(self.conv.weight))
            self.conv.bias.copy_(torch.tensor([5.0, -5.0, 5.0, -5.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).flatten(1)


class Transposed(nn.Module):
    """A transposed convolution whose output channels differ by far: one scale for all would drown the small ones."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, stride=2)
        self.up = nn.ConvTranspose2d(3, 4, 3, stride=2)
        with torch.no_grad():
            self.up.weight.mul_(torch.tensor([1.0, 0.3, 0.1, 3.0]).view(1, 4, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.up(self.conv(x)).flatten(1)


class UsedTwice(nn.Module):
    """One convolution on two inputs, of which one is fifty times the other."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        with torch.no_grad():
            self.conv.bias.copy_(torch.tensor([0.5, -0.5]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.conv(x), self.conv(self.conv(x) * 50) / 50], 1).flatten(1)


class MostlyNegative(nn.Module):
    """A ReLU that lets little through: of a range that was found before it, most would be wasted, or the ReLU lost."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        with torch.no_grad():
            self.conv.bias.fill_(-1.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.conv(x)).flatten(1)


class Transformer(nn.Module):
    """LayerNorm, attention, GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(4, 16)
        self.norm1, self.norm2 = nn.LayerNorm(16), nn.LayerNorm(16)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.wide, self.narrow = nn.Linear(16, 32), nn.Linear(32, 16)
        self.classifier = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x)
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        x = x + self.narrow(functional.gelu(self.wide(self.norm2(x))))
        return self.classifier(x.mean(1))


IMAGE, SEQUENCE = (2, 12, 10), (12, 4)
NETS: dict[str, tuple[type[nn.Module], tuple[int, ...]]] = {
    "transposed_view": (TransposedView, (6, 8)),
    "ceil_pool": (CeilPool, IMAGE),
    "ceil_pool_padded": (CeilPoolPadded, IMAGE),
    "hard_swish": (HardSwish, IMAGE),
    "even_kernel": (EvenKernel, (3, 24)),
    "aligned_corners": (AlignedCorners, IMAGE),
    "recurrent": (Recurrent, SEQUENCE),
    "tiny_weights": (TinyWeights, IMAGE),
    "transposed": (Transposed, IMAGE),
    "used_twice": (UsedTwice, IMAGE),
    "mostly_negative": (MostlyNegative, IMAGE),
    "transformer": (Transformer, SEQUENCE),
}


def build(name: str) -> tuple[nn.Module, np.ndarray]:
    """A network and float32[SAMPLES, …] to ask it, the same every time."""
    kind, shape = NETS[name]
    torch.manual_seed(7)
    return kind().eval(), np.random.default_rng(3).standard_normal((SAMPLES, *shape), dtype=np.float32)

"""Small untrained networks, float32[N, 2, 12, 10] → float32[N, 4], one for each thing that the LiteRT tests look at.

`faint` answers with 960 values.
"""

from __future__ import annotations

import torch
from torch import nn


class Mixed(nn.Module):
    """The operators of the default models: convolution, depthwise convolution, addition, mean, fully connected."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 16, 3, padding=1)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        return self.classifier(self.pool(torch.relu(self.depthwise(x) + x)).flatten(1))


class Sine(nn.Module):
    """One operator that has no integer kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 8, 3)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.pool(torch.sin(self.conv(x))).flatten(1))


class Wide(nn.Module):
    """300,000 weights, more than 256 KiB even as int8; every other one is zero."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(240, 600)
        self.middle = nn.Linear(600, 250)
        self.classifier = nn.Linear(250, 4)
        with torch.no_grad():
            for layer in (self.hidden, self.middle, self.classifier):
                layer.weight.view(-1)[::2] = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(torch.relu(self.middle(torch.relu(self.hidden(x.flatten(1))))))


class Faint(nn.Module):
    """Probabilities of which an int8, whose steps they have to have by TFLite's specification, tells nearly none apart.

    A detector's scores are such where it finds nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 16, 3, padding=1)
        self.scores = nn.Conv2d(16, 8, 3, padding=1)
        with torch.no_grad():
            self.scores.weight.mul_(0.3)
            self.scores.bias.fill_(-4.6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.scores(torch.relu(self.conv(x)))).flatten(1)


class Sparse(nn.Module):
    """Two weights of three are zero, and all layers but the first have an odd number of weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 9, 3)
        self.middle = nn.Conv2d(9, 5, 3)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(5, 7)
        with torch.no_grad():
            for layer in (self.conv, self.middle, self.classifier):
                layer.weight.view(-1)[::3] = 0
                layer.weight.view(-1)[1::3] = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.middle(torch.relu(self.conv(x))))
        return self.classifier(self.pool(x).flatten(1))[:, :4]


class Roomy(nn.Module):
    """Activations of 200 times the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 64, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pool(torch.relu(self.conv(x))).flatten(1)[:, :4]


class Deep(nn.Module):
    """What nobody trained, standardised layer by layer: whatever differs after the first grows in all that follow."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.ModuleList(nn.Conv2d(2 if i == 0 else 16, 16, 3, padding=1) for i in range(20))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(16, 4)
        x = torch.randn(64, 2, 12, 10)
        with torch.no_grad():
            x = torch.tanh(x)
            for layer in self.body:
                x = torch.relu(_standardised(layer, x))
            _standardised(self.classifier, self.pool(x).flatten(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(x)
        for layer in self.body:
            x = torch.relu(layer(x))
        return self.classifier(self.pool(x).flatten(1))


def _standardised(layer: nn.Conv2d | nn.Linear, x: torch.Tensor) -> torch.Tensor:
    """What the layer answers when each channel is given mean 0 and deviation 1 over all samples."""
    y = layer(x).transpose(0, 1).flatten(1)
    deviation = y.std(1)
    layer.bias.copy_((layer.bias - y.mean(1)) / deviation)
    layer.weight.div_(deviation.view(-1, *[1] * (layer.weight.ndim - 1)))
    return layer(x)


class Eigen(nn.Module):
    """Something that LiteRT has no operator for."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigvals(x[:, :, :2, :2]).real.flatten(1)


NETS = {
    "mixed": Mixed,
    "sine": Sine,
    "wide": Wide,
    "roomy": Roomy,
    "sparse": Sparse,
    "faint": Faint,
    "deep": Deep,
    "eigen": Eigen,
}


def build(name: str) -> nn.Module:
    """A network with the same weights every time."""
    torch.manual_seed(7)
    return NETS[name]().eval()

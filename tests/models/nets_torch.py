"""Small untrained networks, one for each thing that routes between formats get wrong; what goes in, and what comes out.

As a program, in the torch toolchain: `nets_torch.py FOLDER NET…` writes what `write` says for each.

Weights and inputs come from fixed seeds. Shapes have no two axes of one length, so that a wrong order of axes does not
fit; `cube` has only one length, so that it fits and only the numbers tell. Names of several inputs and outputs sort
against their order.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
import torch_files
from nets import Net
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

IMAGE = (6, 12, 9)  # channels, height, width
SEQUENCE = (11, 8)  # steps, features


class _Convolution(nn.Module):
    """One kind of convolution between two plain ones, image in, image out."""

    def __init__(self, middle: nn.Module, activation: nn.Module | None = None) -> None:
        super().__init__()
        self.first = nn.Conv2d(IMAGE[0], 8, 3, padding=1)
        self.middle = middle
        self.norm = nn.BatchNorm2d(12)
        self.activation = activation or nn.ReLU()
        self.last = nn.Conv2d(12, 5, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """float32[N, 6, 12, 9] → float32[N, 5, height, width]."""
        return self.last(self.activation(self.norm(self.middle(torch.relu(self.first(image))))))


class _Head(nn.Module):
    """Ends with one number per class."""

    def __init__(self, body: nn.Module, features: int) -> None:
        super().__init__()
        self.body = body
        self.classifier = nn.Linear(features, 4)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.body(image).flatten(1))


class _Depthwise(nn.Module):
    """More than one output channel per input channel, then one, strided, with an even kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv2d(8, 12, 1)
        self.multiplied = nn.Conv2d(12, 24, 3, padding=1, groups=12)
        self.strided = nn.Conv2d(24, 24, (4, 2), stride=2, padding=(1, 0), groups=24)
        self.narrow = nn.Conv2d(24, 12, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.narrow(self.strided(torch.relu(self.multiplied(self.wide(x)))))


class LayerNorm(nn.Module):
    """Normalised over features, with weights, and over two axes, without."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(SEQUENCE[1], 16)
        self.features = nn.LayerNorm(16)
        self.both = nn.LayerNorm((SEQUENCE[0], 16), elementwise_affine=False)
        self.last = nn.Linear(16, 5)

    def forward(self, sequence: torch.Tensor) -> torch.Tensor:
        return self.last(self.both(torch.relu(self.features(self.first(sequence)))))


class Attention(nn.Module):
    """An embedding of token ids with positions, self-attention of two heads, a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 16)
        self.positions = nn.Parameter(torch.randn(1, SEQUENCE[0], 16))
        self.norm = nn.LayerNorm(16)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.last = nn.Linear(16, 4)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """int64[N, 11], 0 ≤ id < 50 → float32[N, 4]."""
        x = self.norm(self.embedding(ids) + self.positions)
        return self.last((x + self.attention(x, x, x, need_weights=False)[0]).mean(1))


class Recurrent(nn.Module):
    """A recurrent layer of which all steps are used."""

    def __init__(self, layer: type[nn.GRU | nn.LSTM]) -> None:
        super().__init__()
        self.layer = layer(SEQUENCE[1], 12, batch_first=True)
        self.last = nn.Linear(12, 4)

    def forward(self, sequence: torch.Tensor) -> torch.Tensor:
        steps = self.layer(sequence)[0]
        return self.last(steps.mean(1) + steps[:, -1])


class Resize(nn.Module):
    """Bilinear with and without aligned corners, and nearest, by factors and to a size."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(IMAGE[0], 5, 3, padding=1)
        self.last = nn.Conv2d(15, 3, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.first(image)
        size = (20, 16)
        ways = (
            functional.interpolate(x, size=size, mode="bilinear", align_corners=False),
            functional.interpolate(x, size=size, mode="bilinear", align_corners=True),
            functional.interpolate(functional.interpolate(x, scale_factor=2.0, mode="nearest"), size=size),
        )
        return self.last(torch.cat(ways, 1))


class TwoInputs(nn.Module):
    """An image and a row of figures of the same number of features, in which they are not alike."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(IMAGE[0], 7, 3, stride=2)
        self.scale = nn.Linear(7, 7)
        self.last = nn.Linear(7, 4)

    def forward(self, image: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """float32[N, 6, 12, 9], float32[N, 7] → float32[N, 4]."""
        return self.last(torch.relu(self.conv(image)).mean((2, 3)) * torch.tanh(self.scale(context)))


class TwoAlike(nn.Module):
    """Two inputs of one shape, whose names sort against their order: exchanged, they fit and answer otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other, self.last = nn.Linear(10, 8), nn.Linear(10, 8), nn.Linear(8, 4)

    def forward(self, query: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
        """float32[N, 10] twice → float32[N, 4]."""
        return self.last(torch.relu(self.one(query)) - torch.sigmoid(self.other(item)))


class TwoOutputs(nn.Module):
    """Two outputs of one shape, and the names sort against their order."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(IMAGE[0], 8, 3, padding=1)
        self.scores, self.boxes = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 4, 3, padding=1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """float32[N, 6, 12, 9] → scores and boxes, float32[N, 4, 12, 9] each."""
        x = torch.relu(self.conv(image))
        return torch.sigmoid(self.scores(x)), self.boxes(x)


class SharedWeights(nn.Module):
    """A layer that is used twice, and an embedding whose table is also the last layer's."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(30, 16)
        self.twice = nn.Linear(16, 16)
        self.last = nn.Linear(16, 30, bias=False)
        self.last.weight = self.embedding.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """int64[N, 11], 0 ≤ id < 30 → float32[N, 11, 30]."""
        x = self.embedding(ids)
        return self.last(torch.tanh(self.twice(torch.tanh(self.twice(x)))))


class Cube(nn.Module):
    """Channels, height and width of one length."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, (3, 1), padding=(1, 0))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """float32[N, 8, 8, 8] → the same shape."""
        return torch.relu(self.conv(image)) + image


def _image(build: Callable[[], nn.Module], outputs: tuple[str, ...] = ("output",)) -> Net:
    return Net(build, {"image": IMAGE}, outputs)


NETS: Mapping[str, Net] = {
    "strided": _image(lambda: _Convolution(nn.Conv2d(8, 12, (5, 3), stride=(2, 3), padding=(2, 0)))),
    "grouped": _image(lambda: _Convolution(nn.Conv2d(8, 12, 3, padding=1, groups=4))),
    "dilated": _image(lambda: _Convolution(nn.Conv2d(8, 12, 3, padding=(2, 3), dilation=(2, 3)))),
    "depthwise": _image(lambda: _Convolution(_Depthwise())),
    "transposed": _image(
        lambda: _Convolution(nn.ConvTranspose2d(8, 12, 3, stride=2, padding=1, output_padding=(1, 0)))
    ),
    "hard_swish": _image(lambda: _Convolution(nn.Conv2d(8, 12, 3), nn.Hardswish())),
    "prelu": _image(lambda: _Convolution(nn.Conv2d(8, 12, 3), nn.PReLU(12, init=0.3))),
    "adaptive_pool": _image(
        lambda: _Head(nn.Sequential(nn.Conv2d(6, 8, 3, padding=1), nn.AdaptiveAvgPool2d((4, 3))), 96)
    ),
    "adaptive_pool_uneven": _image(lambda: _Head(nn.AdaptiveAvgPool2d((5, 4)), 120)),
    "layer_norm": Net(LayerNorm, {"sequence": SEQUENCE}),
    "attention": Net(Attention, {"ids": SEQUENCE[:1]}, ids=50),
    "gru": Net(lambda: Recurrent(nn.GRU), {"sequence": SEQUENCE}),
    "lstm": Net(lambda: Recurrent(nn.LSTM), {"sequence": SEQUENCE}),
    "resize": _image(Resize),
    "two_inputs": Net(TwoInputs, {"image": IMAGE, "context": (7,)}),
    "two_alike": Net(TwoAlike, {"query": (10,), "item": (10,)}),
    "two_outputs": _image(TwoOutputs, ("scores", "boxes")),
    "shared_weights": Net(SharedWeights, {"ids": SEQUENCE[:1]}, ids=30),
    "cube": Net(Cube, {"image": (8, 8, 8)}),
}


def build(name: str) -> nn.Module:
    """A network in eval mode, with the same weights every time; those of normalisation are no identity."""
    torch.manual_seed(zlib.crc32(name.encode()))
    net = NETS[name].build()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
        elif isinstance(
            module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear
        ):  # the default is small: answers hang on biases
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.normal_(module.bias, 0, 0.1)
        elif isinstance(module, nn.LayerNorm) and module.elementwise_affine:
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
        elif isinstance(module, nn.PReLU):
            nn.init.uniform_(module.weight, 0.1, 0.6)
    return net.eval()


def answers(name: str, given: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    """What PyTorch answers: output name → float32[samples, …]."""
    with torch.no_grad():
        said = build(name)(*(torch.from_numpy(array) for array in given.values()))
    said = said if isinstance(said, tuple) else (said,)
    return {key: tensor.numpy() for key, tensor in zip(NETS[name].outputs, said, strict=True)}


def write(name: str, folder: Path, samples: int = 8) -> None:
    """NET.pt2 and NET.onnx (both with a free batch), NET.inputs.npz and NET.answers.npz, arrays by name."""
    net = NETS[name]
    given = net.samples(samples)
    torch_files.write(build(name), net.samples(2).values(), [*net.inputs], net.outputs, folder / name)
    np.savez(folder / f"{name}.inputs.npz", **given)
    np.savez(folder / f"{name}.answers.npz", **answers(name, given))


if __name__ == "__main__":
    for wanted in sys.argv[2:] or NETS:
        write(wanted, Path(sys.argv[1]))

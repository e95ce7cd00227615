"""Stand-ins as PyTorch users hand them out: ONNX files and exported programs, and one that needs names to be bound.

As a program, in the torch toolchain: `stand_ins_torch.py FOLDER NAME…` writes NAME.onnx and NAME.pt2 for each.

`kws`, `vww`, `ic` and `ad` are the networks of MLPerf Tiny (see stand_ins_keras.py), channels first; `listing` takes a
uint8 image and int64 token ids, whose names sort against their order, and gives three outputs; `mobilenet` is as large
as what people usually bring. Nobody trained them: weights come from a seed, statistics of normalisation from what
flows through them.
"""

from __future__ import annotations

import itertools
import sys
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch_files
from numpy.typing import NDArray
from torch import nn

from edgeflow.zoo import dscnn, resnet8

SAMPLES = 16  # that statistics are taken from


def _separable(channels_in: int, channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_in, 3, stride, 1, groups=channels_in, bias=False),
        nn.BatchNorm2d(channels_in),
        nn.ReLU(),
        nn.Conv2d(channels_in, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    )


def mobilenet() -> nn.Module:
    """MobileNetV2: float32[N, 3, 224, 224] → 1,000 classes, 3.5 million parameters."""
    from edgeflow.zoo import mobilenet_v2

    return mobilenet_v2.build((3, 224, 224), 1000)


def visual_wake_words() -> nn.Module:
    """MobileNetV1 of a quarter of the width: float32[N, 3, 96, 96] → person or not."""
    blocks = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *((128, 1),) * 5, (256, 2), (256, 1))
    body: list[nn.Module] = [nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
    before = 8
    for channels, stride in blocks:
        body.append(_separable(before, channels, stride))
        before = channels
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 2))


def anomaly_detection() -> nn.Module:
    """Autoencoder: float32[N, 640] of log-mel energies → the same."""
    widths = (640, 128, 128, 128, 128, 8, 128, 128, 128, 128)
    layers = [
        module
        for wide, narrow in itertools.pairwise(widths)
        for module in (nn.Linear(wide, narrow), nn.BatchNorm1d(narrow), nn.ReLU())
    ]
    return nn.Sequential(*layers, nn.Linear(128, 640))


class Listing(nn.Module):
    """A photo and the ids of the words beside it: how well they fit, where on the photo, and features of both."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.body = nn.Sequential(_separable(16, 32, 2), _separable(32, 32, 1))
        self.words = nn.Embedding(200, 32)
        self.both = nn.Linear(64, 48)
        self.scores, self.boxes = nn.Linear(48, 5), nn.Linear(48, 8)

    def forward(self, photo: torch.Tensor, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """uint8[N, 3, 32, 32], int64[N, 12] below 200 → scores [N, 5], boxes [N, 2, 4], features [N, 48], float32."""
        seen = self.body(self.stem(photo.float() / 127.5 - 1)).mean((2, 3))
        features = torch.relu(self.both(torch.cat([seen, self.words(ids).mean(1)], 1)))
        return self.scores(features), self.boxes(features).reshape(-1, 2, 4), features


@dataclass(frozen=True)
class StandIn:
    """How a network is made, its inputs by name, in order (shape without the batch, dtype, end of the values of
    integers), and its outputs.
    """

    build: Callable[[], nn.Module]
    inputs: Mapping[str, tuple[tuple[int, ...], str, int]]
    outputs: tuple[str, ...] = ("logits",)


def _one(build: Callable[[], nn.Module], *shape: int) -> StandIn:
    return StandIn(build, {"input": (shape, "float32", 0)})


NAMES: Mapping[str, StandIn] = {
    "kws": _one(lambda: dscnn.build((1, 49, 10), 12), 1, 49, 10),
    "vww": _one(visual_wake_words, 3, 96, 96),
    "ic": _one(lambda: resnet8.build((3, 32, 32), 10), 3, 32, 32),
    "ad": _one(anomaly_detection, 640),
    "listing": StandIn(
        Listing,
        {"photo": ((3, 32, 32), "uint8", 256), "ids": ((12,), "int64", 200)},
        ("scores", "boxes", "features"),
    ),
    "mobilenet": _one(mobilenet, 3, 224, 224),
}


def inputs(name: str, samples: int, seed: int = 0) -> dict[str, NDArray[np.generic]]:
    """Input name → [samples, …], in order."""
    random = np.random.default_rng(seed)
    return {
        key: random.integers(0, end, (samples, *shape)).astype(dtype)
        if end
        else random.standard_normal((samples, *shape), dtype=np.float32)
        for key, (shape, dtype, end) in NAMES[name].inputs.items()
    }


def build(name: str) -> nn.Module:
    """A stand-in with the same weights every time, in eval mode."""
    torch.manual_seed(zlib.crc32(name.encode()))
    net = NAMES[name].build()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
            module.momentum = None  # statistics are those of all that was seen
    x = tuple(map(torch.from_numpy, inputs(name, SAMPLES).values()))
    with torch.no_grad():
        net.train()(*x)
        _spread(net.eval(), x)
    return net


def _spread(net: nn.Module, x: tuple[torch.Tensor, ...]) -> None:
    """Let answers differ between samples as those of a trained network do: what no layer reads is about 0 ± 2."""
    said: dict[nn.Linear, torch.Tensor] = {}
    layers = [module for module in net.modules() if isinstance(module, nn.Linear)]
    hooks = [layer.register_forward_hook(lambda layer, _, output: said.update({layer: output})) for layer in layers]
    net(*x)
    for hook in hooks:
        hook.remove()
    for layer in layers[-2 if isinstance(net, Listing) else -1 :]:
        mean, deviation = said[layer].mean(0), said[layer].std(0)
        layer.bias.copy_((layer.bias - mean) * 2 / deviation)
        layer.weight.mul_((2 / deviation)[:, None])


def write(name: str, folder: Path) -> None:
    """NAME.pt2 and NAME.onnx with a free batch."""
    stand_in = NAMES[name]
    torch_files.write(build(name), inputs(name, 2).values(), [*stand_in.inputs], stand_in.outputs, folder / name)


if __name__ == "__main__":
    for wanted in sys.argv[2:] or NAMES:
        write(wanted, Path(sys.argv[1]))

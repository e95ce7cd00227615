"""A depthwise-separable network that is hard to quantize: the same function, with channels of very different ranges.

In one block every other channel of the depthwise convolution answers 100 times as much, and the pointwise convolution
after it weighs these channels by 1/100. Between them lie only a batch normalisation, which is scaled in place of the
weights, and a ReLU, so nothing else changes. (With all channels scaled int8 loses nothing: the
scale of the layer takes the factor.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from edgeflow.zoo import dscnn

FACTOR = 100.0
BLOCK = 1  # of four


def build(input_shape: Sequence[int], classes: int, channels: int = 64, blocks: int = 4) -> nn.Module:
    """The network of the zoo, made uneven whenever a checkpoint is loaded: it trains as it does there."""
    network = dscnn.build(input_shape, classes, channels, blocks)
    network.register_load_state_dict_post_hook(_scale)
    return network


def _scale(network: Any, _keys: Any) -> None:
    block = network.blocks[min(BLOCK, len(network.blocks) - 1)]
    with torch.no_grad():
        block.norm1.weight[::2] *= FACTOR
        block.norm1.bias[::2] *= FACTOR
        block.pointwise.weight[:, ::2] /= FACTOR

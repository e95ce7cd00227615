"""Networks of sequences: a transformer, a GRU and an LSTM on [1, T, F], convolutions on [C, L], and a tabular one."""

from __future__ import annotations

from typing import Any

from torch import nn


class Transformer(nn.Module):
    """LayerNorm, multi-head attention and GELU, before each a norm."""

    def __init__(self, features: int, classes: int, width: int = 16) -> None:
        super().__init__()
        self.embed = nn.Linear(features, width)
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.head = nn.Linear(width, classes)

    def forward(self, x: Any) -> Any:
        """x float32[N, 1, T, F] → float32[N, K]."""
        tokens = self.embed(x.squeeze(1))
        normed = self.before_attention(tokens)
        tokens = tokens + self.attention(normed, normed, normed, need_weights=False)[0]
        tokens = tokens + self.mlp(self.before_mlp(tokens))
        return self.head(tokens.mean(1))


class Recurrent(nn.Module):
    """The last state of a GRU or an LSTM decides."""

    def __init__(self, kind: type[nn.Module], features: int, classes: int) -> None:
        super().__init__()
        self.cells = kind(features, 16, batch_first=True)
        self.head = nn.Linear(16, classes)

    def forward(self, x: Any) -> Any:
        """x float32[N, 1, T, F] → float32[N, K]."""
        states, _ = self.cells(x.squeeze(1))
        return self.head(states[:, -1])


def transformer(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """One block of width 16."""
    return Transformer(input_shape[-1], classes)


def gru(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """16 units."""
    return Recurrent(nn.GRU, input_shape[-1], classes)


def lstm(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """16 units."""
    return Recurrent(nn.LSTM, input_shape[-1], classes)


def convolutions(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """On sensor channels [C, L], one kernel of even size."""
    return nn.Sequential(
        nn.Conv1d(input_shape[0], 8, 5, 2, 2),
        nn.ReLU(),
        nn.Conv1d(8, 16, 4, 1, "same"),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(16, classes),
    )


def perceptron(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """On table rows [F]."""
    return nn.Sequential(nn.Linear(input_shape[0], 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, classes))

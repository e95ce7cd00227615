"""Networks of images: a decoder with all that upsamples, and one of a million parameters."""

from __future__ import annotations

from torch import nn


def decoder(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Upsampling, PReLU, grouped, dilated and transposed convolutions."""
    return nn.Sequential(
        nn.Conv2d(input_shape[0], 8, 3, 2, 1),
        nn.PReLU(8),
        nn.Conv2d(8, 16, 3, 2, 1, groups=4),
        nn.PReLU(16),
        nn.Conv2d(16, 16, 3, 1, 2, dilation=2),
        nn.ReLU(),
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
        nn.Conv2d(16, 8, 3, 1, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 8, 2, 2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, classes),
    )


def large(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """A million parameters: more than a microcontroller's flash holds in float32."""
    return nn.Sequential(
        nn.Conv2d(input_shape[0], 32, 3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * (input_shape[1] // 4) * (input_shape[2] // 4), 240),
        nn.ReLU(),
        nn.Linear(240, classes),
    )

"""How a raw sample becomes a model's input: the record that ships with every package, and what carries it out.

prepare does what the record says, and nothing else, so that an app that follows the record gives a model what it was
trained on. numpy and Pillow are imported when they are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]

GREY, COLOUR = 1, 3  # channels
ORDER = ("decode", "channels", "resize", "scale", "normalize")
CHANNELS = (
    "where shape has more than one channel, a grey sample is repeated over them; where it has one, a sample of three "
    "becomes their mean, (R + G + B) / 3 in float32; else the channels are those of the sample"
)
FORMULA = (
    "along the width, then along the height, from n pixels to m: out[i] = sum(w[j] * in[j]) / sum(w[j]) over the "
    "pixels 0 <= j < n, with w[j] = max(0, 1 - abs(j + 0.5 - (i + 0.5) * n / m) / max(1, n / m))"
)


@dataclass(frozen=True)
class Resize:
    """A resize to the height and width of `Preprocessing.shape`; `formula` alone says all of it."""

    filter: str  # "triangle": what libraries call bilinear
    antialias: bool  # true: a filter that shrinks is as wide as the pixels that it makes; OpenCV's INTER_LINEAR is not
    coordinates: str  # "half_pixel": pixel i has its middle at i + 0.5
    edges: str  # "renormalized": pixels outside have no weight, and the others' are scaled to the sum of 1
    rounding: str  # "none": float32 goes in and comes out
    formula: str
    library: str  # what made the training data so


@dataclass(frozen=True)
class Preprocessing:
    """How a raw sample becomes the program's input, in this `order`; then come the signature's layout, scale and zero
    point.
    """

    order: tuple[str, ...]
    decode: tuple[str, ...]  # how a file becomes a raw sample [C, H, W], [C, L] or [F], step by step; () for arrays
    channels: str | None  # how the number of channels becomes that of `shape`; None: there is nothing to do
    resize: Resize | None  # None: no images, samples must have their shape
    # Type of raw values → (low, high), which become 0 and 1: x → (x − low) / (high − low) in float32; None: x stays
    scale: Mapping[str, tuple[float, ...]] | None
    shape: tuple[int, ...]  # of one sample: (channels, height, width), (channels, length) or (features,)
    mean: tuple[float, ...]  # one, or one per channel or feature, of scaled values: x → (x − mean) / std in float32
    std: tuple[float, ...]


def bilinear() -> Resize:
    """What `resized` does, with the version of the library that does it."""
    import PIL

    return Resize(
        filter="triangle",
        antialias=True,
        coordinates="half_pixel",
        edges="renormalized",
        rounding="none",
        formula=FORMULA,
        library=f"Pillow {PIL.__version__}: Image.resize with Resampling.BILINEAR, each channel in mode F",
    )


def scaled(how: Preprocessing, raw: NDArray[Any]) -> Float32:
    """float32[shape] of a raw sample: all but the normalisation."""
    import numpy as np

    x = _resized(raw, how.shape) if how.resize else np.asarray(raw, np.float32)
    if how.scale is None:
        return x
    low, high = (np.float32(value) for value in how.scale[str(raw.dtype)])
    return (x - low) / (high - low)


def normalize(how: Preprocessing, x: Float32) -> None:
    """x float32[N, *shape] → (x − mean) / std, in place."""
    import numpy as np

    axes = (-1, *(1 for _ in how.shape[1:]))
    x -= np.asarray(how.mean, np.float32).reshape(axes)
    x /= np.asarray(how.std, np.float32).reshape(axes)


def _resized(raw: NDArray[Any], shape: tuple[int, ...]) -> Float32:
    """float32[C, H, W] of the wanted shape, of an image [C, H, W] in its own values."""
    import numpy as np
    from PIL import Image

    channels, height, width = shape
    # the mean has no other way than float32 for all pixels; else one channel at a time is enough
    planes = raw if len(raw) in (GREY, channels) else raw.mean(axis=0, dtype=np.float32, keepdims=True)
    resized = np.empty((len(planes), height, width), np.float32)
    for plane, wanted in zip(planes, resized, strict=True):
        image = Image.fromarray(np.asarray(plane, np.float32))
        wanted[:] = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    return np.broadcast_to(resized, (channels, height, width))

"""How a raw sample becomes a model's input: the record that ships with every package, and what carries it out.

prepare does what the record says, and nothing else, so that an app that follows the record gives a model what it was
trained on. numpy and Pillow are imported when they are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgeflow.runners.tensors import How

if TYPE_CHECKING:
    from numpy.typing import NDArray

GREY, COLOUR = 1, 3  # channels
FLOAT32 = "float32"
ORDER = ("decode", "channels", "resize", "scale", "normalize")
CHANNELS = (
    "where shape has more than one channel, a grey sample is repeated over them; where it has one, a sample of three "
    "becomes their mean, (R + G + B) / 3 in float32, of uint8 samples to the nearest integer; else the channels are "
    "those of the sample"
)
FORMULA = (
    "along the width, then along the height, from n pixels to m: out[i] = sum(w[j] * in[j]) / sum(w[j]) over the "
    "pixels 0 <= j < n, with w[j] = max(0, 1 - abs(j + 0.5 - (i + 0.5) * n / m) / max(1, n / m)); of uint8 samples, "
    "each time in integers: out[i] = floor((2**21 + sum(k[j] * in[j])) / 2**22), from 0 to 255, with "
    "k[j] = floor(0.5 + 2**22 * w[j] / sum(w[j]))"
)
ROUNDING = "uint8 samples: to the nearest integer, halves up, along the width and along the height; others: none"


@dataclass(frozen=True)
class Resize:
    """A resize to the height and width of `Preprocessing.shape`; `formula` alone says all of it."""

    filter: str  # "triangle": what libraries call bilinear
    antialias: bool  # true: a filter that shrinks is as wide as the pixels that it makes; OpenCV's INTER_LINEAR is not
    coordinates: str  # "half_pixel": pixel i has its middle at i + 0.5
    edges: str  # "renormalized": pixels outside have no weight, and the others' are scaled to the sum of 1
    rounding: str  # of uint8 samples, which stay integers; in others float32 goes in and comes out
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
    dtype: str = "float32"  # of what the program is given; another one: values are of it already, and stay as they are


def bilinear() -> Resize:
    """What `resized` does, with the version of the library that does it."""
    import PIL

    return Resize(
        filter="triangle",
        antialias=True,
        coordinates="half_pixel",
        edges="renormalized",
        rounding=ROUNDING,
        formula=FORMULA,
        library=f"Pillow {PIL.__version__}: Image.resize with Resampling.BILINEAR, each channel in mode L, one axis "
        "after the other (uint8 samples), or in mode F",
    )


def shaped(how: Preprocessing, raw: NDArray[Any]) -> NDArray[Any]:
    """A raw sample in its own values, before they are scaled: integers stay what they are where nothing makes floats.

    [shape]; integers of the sample's type, or float32; of `how.dtype` where that is no float32.
    """
    import numpy as np

    if how.dtype != FLOAT32:
        raw = np.asarray(raw, how.dtype)
    if how.resize and (raw.shape != how.shape or raw.dtype.kind == "f"):
        return _resized(raw, how.shape)
    return raw if how.dtype != FLOAT32 or raw.dtype.kind in "iu" else np.asarray(raw, np.float32)


def stored_how(how: Preprocessing, kind: str, stored: str) -> How:
    """How a sample of raw type `kind` that is stored as `stored` becomes scaled float32, or stays what it is."""
    if how.dtype != FLOAT32:
        return How()
    low, high = (0.0, 1.0) if how.scale is None else how.scale[kind]
    return How() if stored == "float32" and (low, high) == (0, 1) else How(low=float(low), high=float(high))


def prepared(how: Preprocessing, raw: NDArray[Any]) -> NDArray[Any]:
    """What the program is given of a raw sample, [shape]: all that is done."""
    sample = shaped(how, raw)
    done = stored_how(how, str(raw.dtype), str(sample.dtype))
    if how.dtype == FLOAT32:
        done = replace(done, mean=how.mean, std=how.std)
    x: NDArray[Any] = done.applied(sample[None])[0]
    return x


def _resized(raw: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """[C, H, W] of the wanted shape, of an image [C, H, W] in its own values: uint8 of uint8, else float32."""
    import numpy as np
    from PIL import Image

    channels, height, width = shape
    dtype = np.uint8 if raw.dtype == np.uint8 else np.float32
    resized = np.empty((channels, height, width), dtype)
    planes = raw if len(raw) in (GREY, channels) else _mean(raw)
    for plane, wanted in zip(planes, resized, strict=False):  # one at a time: float32 of all may not fit
        image = Image.fromarray(np.asarray(plane, dtype))
        if dtype is np.uint8:  # Pillow begins along the height where that is less work, which rounds otherwise
            image = image.resize((width, image.height), Image.Resampling.BILINEAR)
        wanted[:] = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    resized[len(planes) :] = resized[:1]
    return resized


def _mean(raw: NDArray[Any]) -> NDArray[Any]:
    """The mean of three channels, as CHANNELS has it."""
    import numpy as np

    if raw.dtype != np.uint8:
        return np.asarray(raw.mean(axis=0, dtype=np.float32, keepdims=True))
    return np.asarray((raw.sum(axis=0, dtype=np.uint16, keepdims=True) + 1) // COLOUR, np.uint8)

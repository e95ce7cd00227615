"""The networks of nets_torch.py as a Keras user writes them: channels last, other padding, named outputs.

As a program, in the tf toolchain: `nets_keras.py FOLDER NET…` writes what `write` says for each. What differs from
PyTorch differs on purpose: "same" padding of a strided convolution is not the same on both sides, a GRU resets after,
`Resizing` has half-pixel centres, and a PReLU has a slope for every element unless axes share it.
"""

from __future__ import annotations

import math
import sys
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from nets import Net
from numpy.typing import NDArray

IMAGE = (12, 9, 6)  # height, width, channels
SEQUENCE = (11, 8)  # steps, features


def _convolution(
    middle: Callable[[], layers.Layer],
    activation: Callable[[], layers.Layer] = layers.ReLU,
) -> Callable[[], keras.Model]:
    """One kind of convolution between two plain ones, image in, image out."""

    def build() -> keras.Model:
        image = keras.Input(IMAGE, name="image")
        x = middle()(layers.Conv2D(8, 3, padding="same", activation="relu")(image))
        x = activation()(layers.BatchNormalization()(x))
        return keras.Model(image, layers.Conv2D(5, 1, name="output")(x))

    return build


def _depthwise() -> keras.Sequential:
    """More than one output channel per input channel, then one, strided, with an even kernel."""
    multiplied = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=3, activation="relu")
    return keras.Sequential([multiplied, layers.DepthwiseConv2D(4, strides=2, padding="same"), layers.Conv2D(12, 1)])


def _pooled(height: int, width: int) -> Callable[[], keras.Model]:
    def build() -> keras.Model:
        image = keras.Input(IMAGE, name="image")
        x = layers.AdaptiveAveragePooling2D((height, width))(layers.Conv2D(8, 3, padding="same")(image))
        return keras.Model(image, layers.Dense(4, name="output")(layers.Flatten()(x)))

    return build


def _layer_norm() -> keras.Model:
    sequence = keras.Input(SEQUENCE, name="sequence")
    x = layers.LayerNormalization()(layers.Dense(16)(sequence))
    x = layers.LayerNormalization(axis=(1, 2), center=False, scale=False)(layers.ReLU()(x))
    return keras.Model(sequence, layers.Dense(5, name="output")(x))


def _attention() -> keras.Model:
    ids = keras.Input(SEQUENCE[:1], dtype="int64", name="ids")
    x = layers.LayerNormalization()(layers.Embedding(50, 16)(ids))
    x = layers.Add()([x, layers.MultiHeadAttention(2, 8)(x, x)])
    return keras.Model(ids, layers.Dense(4, name="output")(layers.GlobalAveragePooling1D()(x)))


def _recurrent(layer: type[layers.Layer]) -> Callable[[], keras.Model]:
    def build() -> keras.Model:
        sequence = keras.Input(SEQUENCE, name="sequence")
        steps = layer(12, return_sequences=True)(sequence)
        x = layers.Add()([layers.GlobalAveragePooling1D()(steps), layer(12)(steps)])
        return keras.Model(sequence, layers.Dense(4, name="output")(x))

    return build


def _resize() -> keras.Model:
    image = keras.Input(IMAGE, name="image")
    x = layers.Conv2D(5, 3, padding="same")(image)
    ways = [
        layers.Resizing(20, 16)(x),
        layers.Resizing(20, 16, interpolation="nearest")(x),
        layers.Resizing(20, 16, interpolation="nearest")(layers.UpSampling2D(2, interpolation="bilinear")(x)),
    ]
    return keras.Model(image, layers.Conv2D(3, 1, name="output")(layers.Concatenate()(ways)))


def _two_inputs() -> keras.Model:
    image, context = keras.Input(IMAGE, name="image"), keras.Input((7,), name="context")
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(7, 3, strides=2, activation="relu")(image))
    x = layers.Multiply()([x, layers.Dense(7, activation="tanh")(context)])
    return keras.Model([image, context], layers.Dense(4, name="output")(x))


def _two_alike() -> keras.Model:
    query, item = keras.Input((10,), name="query"), keras.Input((10,), name="item")
    both = [layers.Dense(8, activation="relu")(query), layers.Dense(8, activation="sigmoid")(item)]
    return keras.Model([query, item], layers.Dense(4, name="output")(layers.Subtract()(both)))


def _two_outputs() -> keras.Model:
    image = keras.Input(IMAGE, name="image")
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(image)
    scores = layers.Conv2D(4, 1, activation="sigmoid", name="scores")(x)
    boxes = layers.Conv2D(4, 3, padding="same", name="boxes")(x)
    return keras.Model(image, {"scores": scores, "boxes": boxes})


def _shared_weights() -> keras.Model:
    ids = keras.Input(SEQUENCE[:1], dtype="int64", name="ids")
    twice = layers.Dense(16, activation="tanh")
    x = twice(twice(layers.Embedding(30, 16)(ids)))
    return keras.Model(ids, layers.Dense(30, name="output")(x))


def _cube() -> keras.Model:
    image = keras.Input((8, 8, 8), name="image")
    x = layers.Conv2D(8, (3, 1), padding="same", activation="relu")(image)
    return keras.Model(image, layers.Add(name="output")([x, image]))


def _image(build: Callable[[], keras.Model], outputs: tuple[str, ...] = ("output",)) -> Net:
    return Net(build, {"image": IMAGE}, outputs)


NETS: Mapping[str, Net] = {
    "strided": _image(_convolution(lambda: layers.Conv2D(12, (5, 4), strides=2, padding="same"))),
    "grouped": _image(_convolution(lambda: layers.Conv2D(12, 3, padding="same", groups=4))),
    "dilated": _image(_convolution(lambda: layers.Conv2D(12, 3, padding="same", dilation_rate=(2, 3)))),
    "depthwise": _image(_convolution(_depthwise)),
    "transposed": _image(_convolution(lambda: layers.Conv2DTranspose(12, 3, strides=2, padding="same"))),
    "hard_swish": _image(_convolution(lambda: layers.Conv2D(12, 3), lambda: layers.Activation("hard_swish"))),
    "prelu": _image(_convolution(lambda: layers.Conv2D(12, 3), lambda: layers.PReLU(shared_axes=[1, 2]))),
    "adaptive_pool": _image(_pooled(4, 3)),
    "adaptive_pool_uneven": _image(_pooled(5, 4)),
    "layer_norm": Net(_layer_norm, {"sequence": SEQUENCE}),
    "attention": Net(_attention, {"ids": SEQUENCE[:1]}, ids=50),
    "gru": Net(_recurrent(layers.GRU), {"sequence": SEQUENCE}),
    "lstm": Net(_recurrent(layers.LSTM), {"sequence": SEQUENCE}),
    "resize": _image(_resize),
    "two_inputs": Net(_two_inputs, {"image": IMAGE, "context": (7,)}),
    "two_alike": Net(_two_alike, {"query": (10,), "item": (10,)}),
    "two_outputs": _image(_two_outputs, ("scores", "boxes")),
    "shared_weights": Net(_shared_weights, {"ids": SEQUENCE[:1]}, ids=30),
    "cube": Net(_cube, {"image": (8, 8, 8)}),
}


def build(name: str) -> keras.Model:
    """A network with the same weights every time, statistics, biases and slopes among them."""
    keras.utils.clear_session()  # names of layers count up within a process
    random = np.random.default_rng(zlib.crc32(name.encode()))
    keras.utils.set_random_seed(zlib.crc32(name.encode()))
    model = NETS[name].build()
    for variable in model.weights:
        kind, shape = variable.path.rsplit("/", 1)[-1], variable.shape
        if kind in ("moving_variance", "gamma"):
            variable.assign(random.uniform(0.5, 1.5, shape))
        elif kind == "alpha":
            variable.assign(random.uniform(0.1, 0.6, shape))
        elif kind in ("bias", "beta", "moving_mean"):
            variable.assign(random.normal(0, 0.1, shape))
        elif kind == "embeddings":
            variable.assign(random.normal(0, 1, shape))
        elif kind == "kernel":  # the default is small: answers hang on biases
            adds = math.prod(shape[:2]) if "depthwise" in variable.path else math.prod(shape[:-1])
            variable.assign(random.normal(0, (2 / adds) ** 0.5, shape))
    return model


def answers(name: str, given: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    """What Keras answers: output name → float32[samples, …]."""
    said = build(name)(list(given.values()) if len(given) > 1 else next(iter(given.values())), training=False)
    said = said if isinstance(said, dict) else {"output": said}
    return {key: said[key].numpy() for key in NETS[name].outputs}


def write(name: str, folder: Path, samples: int = 8) -> None:
    """NET.keras, NET.saved_model/, NET.tflite (batch 1), NET.inputs.npz and NET.answers.npz, arrays by name."""
    net = NETS[name]
    given = net.samples(samples)
    model = build(name)
    model.save(folder / f"{name}.keras")
    dtype = "int64" if net.ids else "float32"
    saved, fixed = folder / f"{name}.saved_model", folder / f"{name}.fixed"
    for path, batch in ((saved, None), (fixed, 1)):
        spec = [tf.TensorSpec((batch, *shape), dtype, name=key) for key, shape in net.inputs.items()]
        signature = spec if len(spec) == 1 else [spec]
        model.export(str(path), format="tf_saved_model", verbose=False, input_signature=signature)
    (folder / f"{name}.tflite").write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(fixed)).convert())
    np.savez(folder / f"{name}.inputs.npz", **given)
    np.savez(folder / f"{name}.answers.npz", **answers(name, given))


if __name__ == "__main__":
    for wanted in sys.argv[2:] or NETS:
        write(wanted, Path(sys.argv[1]))

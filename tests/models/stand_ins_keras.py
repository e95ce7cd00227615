"""Stand-ins for the networks of MLPerf Tiny, as their reference implementations are handed out: Keras and TFLite files.

As a program, in the tf toolchain: `stand_ins_keras.py FOLDER NAME…` writes for each NAME.keras, NAME.h5,
NAME.saved_model, NAME.tflite (float32) and NAME.int8.tflite (int8, inputs and outputs too), all with a batch of 1 or
a free one as their converters give it.

The shapes are those of Banbury et al., "MLPerf Tiny Benchmark", arXiv:2106.07597. What they learned is to tell fixed
patterns of noise, in seconds: their answers depend on what goes in, as those of untrained networks hardly do.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

SAMPLES, TRAINED_ON, EPOCHS = 64, 512, 4


def _normalized(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))


def _separable(x: keras.KerasTensor, channels: int, strides: int = 1) -> keras.KerasTensor:
    x = _normalized(layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False)(x))
    return _normalized(layers.Conv2D(channels, 1, use_bias=False)(x))


def keyword_spotting() -> keras.Model:
    """DS-CNN: float32[N, 49, 10, 1] of MFCC → 12 words."""
    audio = keras.Input((49, 10, 1), name="input_1")
    x = _normalized(layers.Conv2D(64, (10, 4), strides=2, padding="same", use_bias=False)(audio))
    for _ in range(4):
        x = _separable(x, 64)
    x = layers.Flatten()(layers.AveragePooling2D((25, 5))(x))
    return keras.Model(audio, layers.Dense(12, activation="softmax")(x))


def visual_wake_words() -> keras.Model:
    """MobileNetV1 of a quarter of the width: float32[N, 96, 96, 3] → person or not."""
    image = keras.Input((96, 96, 3), name="input_1")
    x = _normalized(layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(image))
    blocks = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *((128, 1),) * 5, (256, 2), (256, 1))
    for channels, strides in blocks:
        x = _separable(x, channels, strides)
    x = layers.Flatten()(layers.AveragePooling2D(3)(x))
    return keras.Model(image, layers.Dense(2, activation="softmax")(x))


def image_classification() -> keras.Model:
    """ResNet-8: float32[N, 32, 32, 3] → 10 classes."""
    image = keras.Input((32, 32, 3), name="input_1")
    x = _normalized(layers.Conv2D(16, 3, padding="same")(image))
    for channels, strides in ((16, 1), (32, 2), (64, 2)):
        y = _normalized(layers.Conv2D(channels, 3, strides=strides, padding="same")(x))
        y = layers.BatchNormalization(momentum=0.9)(layers.Conv2D(channels, 3, padding="same")(y))
        if strides == 2:
            x = layers.Conv2D(channels, 1, strides=2, padding="same")(x)
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.Flatten()(layers.AveragePooling2D(8)(x))
    return keras.Model(image, layers.Dense(10, activation="softmax")(x))


def anomaly_detection() -> keras.Model:
    """Autoencoder: float32[N, 640] of log-mel energies → the same."""
    x = frames = keras.Input((640,), name="input_1")
    for units in (128, 128, 128, 128, 8, 128, 128, 128, 128):
        x = _normalized(layers.Dense(units)(x))
    return keras.Model(frames, layers.Dense(640)(x))


NAMES: Mapping[str, Callable[[], keras.Model]] = {
    "kws": keyword_spotting,
    "vww": visual_wake_words,
    "ic": image_classification,
    "ad": anomaly_detection,
}


def samples(name: str, model: keras.Model, count: int = SAMPLES) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """float32[count, …] as the network takes them, noise with the pattern of a class in it; and the classes."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    shape = model.input_shape[1:]
    classes = 8 if name == "ad" else model.output_shape[-1]
    patterns = random.standard_normal((classes, *shape), dtype=np.float32)
    y = random.integers(0, classes, count)
    share = random.uniform(0.3, 0.7, (count, *(1 for _ in shape))).astype(np.float32)
    return share * patterns[y] + (1 - share) * random.standard_normal((count, *shape), dtype=np.float32), y


def build(name: str) -> keras.Model:
    """A stand-in with the same weights every time, trained for seconds so that its answers hang on what goes in."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(zlib.crc32(name.encode()))
    model = NAMES[name]()
    x, y = samples(name, model, TRAINED_ON)
    loss = "mse" if name == "ad" else "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(3e-3), loss)
    model.fit(x, x if name == "ad" else y, batch_size=32, epochs=EPOCHS, verbose=0, shuffle=False)
    return model


def tflite(name: str, model: keras.Model, folder: Path, *, quantized: bool) -> bytes:
    """The file that TensorFlow's own converter makes, with a batch of 1."""
    path = folder / f"{name}.fixed"
    spec = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32, name="input_1")
    model.export(str(path), format="tf_saved_model", verbose=False, input_signature=[spec])
    converter = tf.lite.TFLiteConverter.from_saved_model(str(path))
    if quantized:

        def represent() -> Iterator[list[NDArray[np.float32]]]:
            for sample in samples(name, model)[0]:
                yield [sample[None]]

        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = represent
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def write(name: str, folder: Path) -> None:
    """Every file of one stand-in."""
    model = build(name)
    model.save(folder / f"{name}.keras")
    model.save(folder / f"{name}.h5")
    model.export(str(folder / f"{name}.saved_model"), format="tf_saved_model", verbose=False)
    (folder / f"{name}.tflite").write_bytes(tflite(name, model, folder, quantized=False))
    np.savez(folder / f"{name}.npz", **dict(zip(("x", "y"), samples(name, model, 512), strict=True)))
    (folder / f"{name}.int8.tflite").write_bytes(tflite(name, model, folder, quantized=True))


if __name__ == "__main__":
    for wanted in sys.argv[2:] or NAMES:
        write(wanted, Path(sys.argv[1]))

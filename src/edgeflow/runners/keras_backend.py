"""Runner backend for Keras models, .keras and .h5: standard library, numpy, keras and h5py only
(see harness.py).

What is in a file is looked through first by formats/keras.py.
"""

from __future__ import annotations

import os
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import keras

if TYPE_CHECKING:
    from edgeflow.runners.harness import Answers, Array, RefusedError, decode, distinct, encode
else:
    try:
        from harness import RefusedError, decode, distinct, encode  # beside this file on a device
    except ImportError:
        from edgeflow.runners.harness import RefusedError, decode, distinct, encode

UNLOADED = (r"A total of \d+ objects could not be loaded", "Skipping nested container at")
ZIP = b"PK\x03\x04"


class _Depthwise(keras.layers.DepthwiseConv2D):  # type: ignore[misc] # Any, where Keras is absent
    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """As Keras 2 wrote it: with a number of groups, which was always 1, and which Keras 3 does not take."""
        kept = {key: value for key, value in config.items() if key != "groups" or value != 1}
        return keras.layers.DepthwiseConv2D(**kept)


OLDER = {"DepthwiseConv2D": _Depthwise}  # layers of files that Keras 3 would refuse


class Session:
    """One model, run by Keras on the CPU in inference mode."""

    batch = 16  # as elsewhere: more is not faster, and takes more memory

    def __init__(self, program: str, threads: int) -> None:
        _set_threads(threads)
        self._program = program
        try:
            self._model = load(program)
        except Exception as error:  # Keras raises whatever its layers do
            raise ValueError(f"{program}: Keras {keras.__version__} cannot load it: {error}") from error
        signature = describe(self._model)
        self._inputs, self._outputs = signature["inputs"], signature["outputs"]

    def signature(self) -> dict[str, Any]:
        """Names of the layers, or keys where the model has them; the format names no free axis."""
        return {"inputs": self._inputs, "outputs": self._outputs}

    def encode(self, feed: Mapping[str, Array]) -> list[Any]:
        """Real values in the types of the inputs, in their order."""
        native = encode(feed, self._inputs)
        return [keras.ops.convert_to_tensor(native[tensor["name"]]) for tensor in self._inputs]

    def invoke(self, native: list[Any]) -> list[Any]:
        """All outputs, in the order of the signature."""
        try:
            answers = self._model(packed(self._model, native), training=False)
        except Exception as error:  # of TensorFlow, of Keras, of a layer
            raise RefusedError(f"{self._program}: Keras {keras.__version__} cannot run it: {error}") from error
        leaves: list[Any] = keras.tree.flatten(answers)
        return leaves

    def decode(self, raw: list[Any]) -> Answers:
        """Real values by the names of the outputs."""
        names = [tensor["name"] for tensor in self._outputs]
        values = {name: keras.ops.convert_to_numpy(one) for name, one in zip(names, raw, strict=True)}
        return decode(values, self._outputs)

    def arena_bytes(self) -> None:
        """Unknown to Keras."""
        return

    def operators(self) -> list[dict[str, Any]]:
        """Layers as they are in the file, those of models inside of it too."""
        counts = Counter(type(layer).__name__ for layer in _layers(self._model))
        return [{"operator": name, "count": n, "placement": "CPU"} for name, n in sorted(counts.items())]

    @staticmethod
    def versions() -> dict[str, str]:
        """The versions of Keras and of what computes for it."""
        return {"keras": keras.__version__, keras.backend.backend(): _backend().__version__}


def describe(model: Any) -> dict[str, Any]:
    """Inputs and outputs of a Keras model, in the order in which Keras flattens them."""
    graph = getattr(model, "_functional", None) or model
    sides = {}
    for side, struct, tensors in (
        ("inputs", graph._inputs_struct, graph.inputs),
        ("outputs", graph._outputs_struct, graph.outputs),
    ):
        by_key = isinstance(struct, dict) and len(struct) == len(tensors)
        names = sorted(struct) if by_key else [tensor._keras_history.operation.name for tensor in tensors]
        sides[side] = [_tensor(name, tensor) for name, tensor in zip(distinct(names), tensors, strict=True)]
    return sides


def _tensor(name: str, tensor: Any) -> dict[str, Any]:
    shape = ["?" if axis is None else int(axis) for axis in tensor.shape]
    return {"name": name, "dtype": str(tensor.dtype), "shape": shape, "scale": None, "zero_point": None}


def packed(model: Any, native: list[Any]) -> Any:
    """Inputs as the model was built with them: one, a list, or by key."""
    graph = getattr(model, "_functional", None) or model
    return keras.tree.pack_sequence_as(graph._inputs_struct, native)


def load(program: str) -> Any:
    """Keras goes by the suffix, and a file may have any name."""
    with open(program, "rb") as stream:
        suffix = ".keras" if stream.read(4) == ZIP else ".h5"
    with tempfile.TemporaryDirectory(prefix="edgeflow-") as folder:
        named = Path(folder) / f"model{suffix}"
        named.symlink_to(os.path.abspath(program))
        with warnings.catch_warnings():  # else layers that a file has no weights for would keep random ones
            for message in UNLOADED:
                warnings.filterwarnings("error", message=message)
            model = keras.saving.load_model(named, custom_objects=OLDER, compile=False, safe_mode=True)
    if suffix == ".keras":
        _check_all_taken(program, model)
    return model


def _check_all_taken(program: str, model: Any) -> None:
    """Refuse weights of a larger network, of which Keras takes the first layers and says nothing of the others."""
    every = model._flatten_layers()  # cells of recurrent layers and projections of attention too, each once
    described = sum(bool(layer._trainable_variables + layer._non_trainable_variables) for layer in every)
    with zipfile.ZipFile(program) as archive, archive.open("model.weights.h5") as stream, h5py.File(stream) as file:
        stored: set[str] = set()
        file.visititems(lambda name, found: stored.add(found.parent.name) if isinstance(found, h5py.Dataset) else None)
    layers = {name for name in stored if not any(part.startswith("optimizer") for part in name.split("/"))}
    if len(layers) > described:
        raise ValueError(
            f"it holds weights of {len(layers)} layers, and describes {described} that have any: "
            "they are of another network"
        )


def _layers(model: Any) -> Iterator[Any]:
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from _layers(layer)
        else:
            yield layer


def _backend() -> Any:
    import importlib

    return importlib.import_module(keras.backend.backend())


def _set_threads(threads: int) -> None:
    """For the whole process, and only before anything has run in it."""
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    with suppress(RuntimeError):  # something has
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)

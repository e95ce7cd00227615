"""Runner backend for SavedModel folders: standard library, numpy and tensorflow only (see harness.py).

A SavedModel is a program: formats/saved_model.py looks through its operators first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from edgeflow.runners.harness import Answers, Array, RefusedError, decode, encode
else:
    try:
        from harness import RefusedError, decode, encode  # beside this file on a device
    except ImportError:
        from edgeflow.runners.harness import RefusedError, decode, encode

DEFAULT = "serving_default"


class Session:
    """One SavedModel, run by TensorFlow on the CPU."""

    batch = 16  # as elsewhere: more is not faster, and takes more memory

    def __init__(self, program: str, threads: int) -> None:
        _set_threads(threads)
        self._program = program
        try:
            self._loaded = tf.saved_model.load(program)  # what it holds lives as long as this does
        except (tf.errors.OpError, OSError, ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{program}: TensorFlow {tf.__version__} cannot load it: {error}") from error
        signatures = self._loaded.signatures
        self._function = signatures[DEFAULT if DEFAULT in signatures else next(iter(signatures))]
        _, takes = self._function.structured_input_signature
        self._inputs = [_tensor(name, takes[name]) for name in sorted(takes)]
        gives = self._function.structured_outputs
        self._outputs = [_tensor(name, gives[name]) for name in sorted(gives)]

    def signature(self) -> dict[str, Any]:
        """The names of the signature, sorted; the format names no free axis."""
        return {"inputs": self._inputs, "outputs": self._outputs}

    def encode(self, feed: Mapping[str, Array]) -> dict[str, Any]:
        """Real values in the types of the inputs."""
        return {name: tf.constant(values) for name, values in encode(feed, self._inputs).items()}

    def invoke(self, native: dict[str, Any]) -> dict[str, Any]:
        """All outputs by name."""
        try:
            answers: dict[str, Any] = self._function(**native)
        except tf.errors.OpError as error:
            raise RefusedError(f"{self._program}: TensorFlow {tf.__version__} cannot run it: {error}") from error
        return answers

    def decode(self, raw: dict[str, Any]) -> Answers:
        """Real values by the names of the outputs."""
        return decode({name: value.numpy() for name, value in raw.items()}, self._outputs)

    def arena_bytes(self) -> None:
        """Unknown to TensorFlow."""
        return

    def operators(self) -> list[dict[str, Any]]:
        """Operators of the functions that the signature calls, as they are in the file."""
        definition = self._function.graph.as_graph_def()
        nodes = [*definition.node, *(node for function in definition.library.function for node in function.node_def)]
        return [
            {"operator": name, "count": n, "placement": "CPU"}
            for name, n in sorted(Counter(node.op for node in nodes).items())
        ]

    @staticmethod
    def versions() -> dict[str, str]:
        """The version of TensorFlow."""
        return {"tensorflow": tf.__version__}


def _set_threads(threads: int) -> None:
    """For the whole process, and only before anything has run in it."""
    with suppress(RuntimeError):  # something has
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)


def _tensor(name: str, spec: Any) -> dict[str, Any]:
    return {
        "name": name,
        "dtype": np.dtype(spec.dtype.as_numpy_dtype).name,
        "shape": ["?" if axis is None else axis for axis in spec.shape.as_list()],
        "scale": None,
        "zero_point": None,
    }

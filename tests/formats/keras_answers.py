"""What backends answer: keras_answers.py FOLDER, of trusted files. Who executes payloads: keras_answers.py WHO FILE…
Who takes weights of another network: keras_answers.py taken FILE…

The first compares with Keras and TensorFlow themselves, and with the signatures of the formats; the second loads and
runs each file in a folder of its own, as Keras and TensorFlow do it, or as edgeflow does.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgeflow.formats import keras as keras_format
from edgeflow.formats import saved_model
from edgeflow.runners import harness, keras_backend
from edgeflow.types.plain import to_json

RUNNERS = Path(harness.__file__).parent
CHANCE = np.random.default_rng(7)


def compare(path: Path) -> dict[str, Any]:
    """Greatest difference, and whether the format and its backend say the same signature."""
    format_ = saved_model if path.is_dir() else keras_format
    backend = RUNNERS / ("saved_model_backend.py" if path.is_dir() else "keras_backend.py")
    session = harness.load_backend(str(backend)).Session(str(path), 1)
    said = session.signature()
    feed = {tensor["name"]: _values(tensor) for tensor in said["inputs"]}
    ours = session.decode(session.invoke(session.encode(feed)))
    theirs = _tensorflow(path, feed) if path.is_dir() else _keras(path, feed, list(ours))
    differences = [float(abs(ours[name] - theirs[name]).max()) for name in theirs]
    same = json.loads(json.dumps(to_json(format_.signature(path)))) == json.loads(json.dumps(said))
    operators = sum(one["count"] for one in session.operators())
    return {"outputs": list(ours), "difference": max(differences), "same": same, "operators": operators}


def _values(tensor: dict[str, Any]) -> NDArray[Any]:
    shape = [3 if isinstance(axis, str) else axis for axis in tensor["shape"]]
    if tensor["dtype"] == "int32":
        return CHANCE.integers(0, 9, shape, dtype=np.int32)
    return CHANCE.standard_normal(shape, dtype=np.float32)


def _keras(path: Path, feed: dict[str, Any], names: list[str]) -> dict[str, Any]:
    # Keras 3 does not load what Keras 2 wrote of depthwise convolutions, which is the same as this
    model = keras.saving.load_model(path, compile=False) if path.stem != "older" else _older(path)
    answers = model.predict_on_batch(next(iter(feed.values())) if len(feed) == 1 else feed)
    return dict(zip(names, keras.tree.flatten(answers), strict=True))


def _older(path: Path) -> Any:
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 1, name="pointwise")(keras.layers.DepthwiseConv2D(3, name="depthwise")(image))
    model = keras.Model(image, keras.layers.Dense(2, name="dense")(keras.layers.Flatten()(x)))
    model.load_weights(path)
    return model


def _tensorflow(path: Path, feed: dict[str, Any]) -> dict[str, Any]:
    loaded = tf.saved_model.load(str(path))
    answers = loaded.signatures["serving_default"](**{name: tf.constant(value) for name, value in feed.items()})
    return {name: value.numpy() for name, value in answers.items()}


def taken(path: Path) -> dict[str, str]:
    """Why Keras does not load a file, and why edgeflow does not; "" where it is loaded."""
    return {
        "keras": _error(lambda: keras.saving.load_model(path, compile=False)),
        "edgeflow": _error(lambda: keras_backend.Session(str(path), 1)),
    }


def _error(load: Callable[[], object]) -> str:
    try:
        load()
    except Exception as error:  # noqa: BLE001 - whatever they raise over such a file
        return str(error)
    return ""


def executed(who: str, path: Path) -> dict[str, Any]:
    """Whether the payload of a file ran, and why it was refused."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        error = ""
        try:
            if who == "edgeflow":
                (saved_model if path.is_dir() else keras_format).signature(path)
            elif path.is_dir():
                tf.saved_model.load(str(path)).signatures["serving_default"](x=tf.ones((2, 8)))
            else:
                keras.saving.load_model(path, compile=False, safe_mode=False)(np.ones((2, 8), np.float32))
        except Exception as reason:  # noqa: BLE001 - whatever they raise over such a file
            error = f"{type(reason).__name__}: {reason}".splitlines()[0]
        ran = bool(list(Path().glob("canary*")))
        os.chdir("/")
    return {"ran": ran, "error": error}


if __name__ == "__main__":
    if len(sys.argv) == 2:
        print(json.dumps({path.name: compare(path) for path in sorted(Path(sys.argv[1]).iterdir())}))
    elif sys.argv[1] == "taken":
        print(json.dumps({path.name: taken(path) for path in map(Path, sys.argv[2:])}))
    else:
        who, *files = sys.argv[1:]
        print(json.dumps({path.name: executed(who, path) for path in (Path(file).absolute() for file in files)}))

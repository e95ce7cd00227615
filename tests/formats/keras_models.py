"""Keras files and SavedModels, sound and hostile: keras_models.py FOLDER.

Every payload makes an empty file `canary` in the working directory: whoever executes one can be told.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import tensorflow as tf
from keras import layers
from tensorflow.core.protobuf import saved_model_pb2

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
PAYLOAD = "__import__('pathlib').Path('canary').touch()"


def two() -> keras.Model:
    """Image and words in, by names that sort against their order; two answers, of which one has another's name."""
    image = keras.Input((8, 8, 3), name="zimage")
    words = keras.Input((None,), dtype="int32", name="awords")
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, kernel_regularizer="l2")(image))
    x = keras.ops.mean(layers.ReLU(6)(x) * 2.0, axis=(1, 2))
    both = layers.Concatenate()([x, layers.GRU(4)(layers.Embedding(10, 4)(words))])
    logits = layers.Dense(3, name="zeta")(layers.Dropout(0.5)(both))
    return keras.Model([image, words], [logits, layers.Softmax(name="alpha")(logits)])


def by_key() -> keras.Model:
    """One in, two out by keys that are not the names of layers."""
    x = keras.Input((8,), name="x")
    return keras.Model(x, {"late": layers.Dense(2, name="a")(x), "early": layers.Dense(3, name="b")(x)})


def nested() -> keras.Model:
    """A model in a model, which was trained by itself."""
    inside = keras.Sequential([layers.Dense(4, activation="gelu"), layers.Dropout(0.1)], name="inside")
    inside.compile(keras.optimizers.Adam(), keras.losses.MeanSquaredError(), [keras.metrics.MeanAbsoluteError()])
    return keras.Sequential([keras.Input((8,), name="x"), inside, layers.Dense(2, name="y")])


def blocks(number: int) -> keras.Model:
    """As many convolutions; it has been trained, so that its file has numbers of an optimizer too."""
    convolutions = [layers.Conv2D(4, 3, padding="same", activation="relu", name=f"block{i}") for i in range(number)]
    net = keras.Sequential([keras.Input((8, 8, 4)), *convolutions, layers.Flatten(), layers.Dropout(0.1)])
    net.compile(keras.optimizers.Adam(), "mse", metrics=["mae"])
    chance = np.random.default_rng(3)
    net.fit(chance.standard_normal((4, 8, 8, 4)), chance.standard_normal((4, 256)), verbose=0)
    return net


def older(path: Path) -> None:
    """A file of Keras 2: it says input shapes and groups in its own way."""
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 1, name="pointwise")(layers.DepthwiseConv2D(3, name="depthwise")(image))
    keras.Model(image, layers.Dense(2, name="dense")(layers.Flatten(name="flat")(x))).save(path)
    convolution = {"kernel_size": [3, 3], "groups": 1, "depthwise_initializer": {"class_name": "Zeros", "config": {}}}
    described = [
        ("InputLayer", "image", {"batch_input_shape": [None, 8, 8, 3], "sparse": False, "ragged": False}, ""),
        ("DepthwiseConv2D", "depthwise", convolution, "image"),
        ("Conv2D", "pointwise", {"filters": 4, "kernel_size": [1, 1], "groups": 1}, "depthwise"),
        ("Flatten", "flat", {}, "pointwise"),
        ("Dense", "dense", {"units": 2}, "flat"),
    ]
    nodes = [
        {
            "class_name": kind,
            "config": {"name": name, "dtype": "float32", **config},
            "name": name,
            "inbound_nodes": [[[before, 0, 0, {}]]] if before else [],
        }
        for kind, name, config, before in described
    ]
    config = {"name": "model", "layers": nodes, "input_layers": [["image", 0, 0]], "output_layers": [["dense", 0, 0]]}
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Functional", "config": config})
        file.attrs["keras_version"] = "2.15.0"


def executing() -> keras.Model:
    """A layer that executes code of the file."""

    touch = layers.Lambda(lambda x: (__import__("pathlib").Path("canary").touch(), x)[1])
    return keras.Sequential([keras.Input((8,)), touch])


class Net(tf.Module):
    """A SavedModel that is no Keras model."""

    def __init__(self) -> None:
        self.weights = tf.Variable(np.random.default_rng(3).standard_normal((8, 3)), dtype=tf.float32)

    @tf.function(input_signature=[tf.TensorSpec([None, 8], name="x"), tf.TensorSpec([], tf.int32, name="add")])
    def __call__(self, x: Any, add: Any) -> dict[str, Any]:
        """float32[N, 8], int32[] → float32[N, 3], float32[N]."""
        y = x @ self.weights + tf.cast(add, tf.float32)
        return {"y": y, "a": tf.reduce_sum(y, 1)}


class Reader(tf.Module):
    """Reads a file of the machine that it runs on."""

    @tf.function(input_signature=[tf.TensorSpec([None, 8], name="x")])
    def __call__(self, x: Any) -> Any:
        """float32[N, 8] → float32[N, 8]."""
        return x + tf.cast(tf.strings.length(tf.io.read_file("/etc/passwd")), tf.float32)


class Writer(tf.Module):
    """Writes one, in a branch."""

    @tf.function(input_signature=[tf.TensorSpec([None, 8], name="x")])
    def __call__(self, x: Any) -> Any:
        """float32[N, 8] → float32[N, 8]."""

        def touch() -> Any:
            with tf.control_dependencies([tf.io.write_file("canary", "")]):
                return tf.identity(x)

        return tf.cond(tf.reduce_sum(x) > 0, touch, lambda: x)


class Mapped(tf.Module):
    """Reads one by an operator whose name does not say so."""

    @tf.function(input_signature=[tf.TensorSpec([None, 8], name="x")])
    def __call__(self, x: Any) -> Any:
        """float32[N, 8] → float32[N, 8]."""
        return x + tf.raw_ops.ImmutableConst(dtype=tf.float32, shape=[8], memory_region_name="/etc/passwd")


class Saver(tf.Module):
    """Writes one with an operator that every SavedModel has, where it must not be."""

    @tf.function(input_signature=[tf.TensorSpec([None, 8], name="x")])
    def __call__(self, x: Any) -> Any:
        """float32[N, 8] → float32[N, 8]."""
        with tf.control_dependencies(
            [tf.raw_ops.SaveV2(prefix="canary", tensor_names=["x"], shape_and_slices=[""], tensors=[x])]
        ):
            return tf.identity(x)


class Python(tf.Module):
    """Runs Python."""

    @tf.function(input_signature=[tf.TensorSpec([None, 8], name="x")])
    def __call__(self, x: Any) -> Any:
        """float32[N, 8] → float32[N, 8]."""
        return tf.ensure_shape(tf.numpy_function(lambda value: value, [x], tf.float32), [None, 8])


def sound(folder: Path) -> None:
    """Files and folders that can be read."""
    keras.utils.set_random_seed(3)
    for build in (two, by_key, nested):
        build().save(folder / f"{build.__name__}.keras")
    nested().save(folder / "nested.h5")
    keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 3), layers.Flatten()]).save(folder / "image.h5")
    older(folder / "older.h5")
    net = Net()
    tf.saved_model.save(net, str(folder / "net"), signatures={"serving_default": net.__call__})
    two().export(folder / "two", format="tf_saved_model", verbose=False)


def hostile(folder: Path) -> None:
    """Those that must be refused."""
    executing().save(folder / "lambda.keras")
    executing().save(folder / "lambda.h5")
    rewriter = Rewriter(folder.parent / "sound" / "nested.keras", folder)
    rewriter.write("module", layer={"module": "os", "class_name": "System", "registered_name": None})
    rewriter.write("function", layer={"module": "keras.utils", "class_name": "get_file", "registered_name": None})
    trained = {"optimizer": {"module": "os", "class_name": "System", "config": {}, "registered_name": None}}
    rewriter.write("trained_inside", layer={"compile_config": trained})
    rewriter.write("unsafe", layer={"module": "keras.config", "class_name": "function", "config": "enable_unsafe"})
    rewriter.write("own", layer={"module": None, "class_name": "Mine", "registered_name": "acme>Mine"})
    rewriter.write("other_model", layer={"module": "keras.layers", "class_name": "TFSMLayer"})
    vocabulary = {"class_name": "StringLookup", "config": {"vocabulary": "/etc/passwd"}}
    rewriter.write("vocabulary", layer={"module": "keras.layers", **vocabulary})
    rewriter.write("typespec", layer={"class_name": "__typespec__", "config": {"module": "os", "name": "x"}})
    rewriter.write("activation", activation={"module": "builtins", "class_name": "function", "config": "eval"})
    rewriter.write("asset", members={"assets/x.txt": b"x"})
    rewriter.write("no_json", members={CONFIG: b"\x00"})
    rewriter.write("deep", members={CONFIG: b"[" * 1_000_000})
    rewriter.write("bomb", members={CONFIG: bytes(256 * 2**20)}, compression=zipfile.ZIP_DEFLATED)
    rewriter.write("no_weights", members={WEIGHTS: b"\x89HDF\r\n\x1a\n" + bytes(100)})
    rewriter.write("linked", members={WEIGHTS: _hdf5(lambda f: f.update({"w": h5py.ExternalLink("/etc/x.h5", "/w")}))})
    rewriter.write("external", members={WEIGHTS: _hdf5(_external)})
    rewriter.write("virtual", members={WEIGHTS: _hdf5(_virtual)})
    rewriter.write("huge", members={WEIGHTS: _hdf5(lambda f: f.create_dataset("w", (2**38,), "f4", chunks=(2**20,)))})
    rewriter.write("objects", members={WEIGHTS: _hdf5(lambda f: f.create_dataset("w", (1,), h5py.string_dtype()))})
    (folder / "cut.keras").write_bytes((folder.parent / "sound" / "nested.keras").read_bytes()[:-30])
    (folder / "cut.h5").write_bytes((folder.parent / "sound" / "nested.h5").read_bytes()[:2000])
    with h5py.File(folder / "weights.h5", "w") as file:
        file["w"] = np.ones(3)
    nets = {"reader": Reader(), "writer": Writer(), "mapped": Mapped(), "saver": Saver(), "python": Python()}
    for name, net in nets.items():
        tf.saved_model.save(net, str(folder / name), signatures={"serving_default": net.__call__})
    good = folder.parent / "sound" / "net"
    shutil.copytree(good, folder / "linked_out")
    os.remove(folder / "linked_out" / "fingerprint.pb")
    (folder / "linked_out" / "fingerprint.pb").symlink_to("/etc/passwd")
    shutil.copytree(good, folder / "no_index")
    os.remove(folder / "no_index" / "variables" / "variables.index")
    shutil.copytree(good, folder / "cut")
    graph = folder / "cut" / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[:-50])
    _joined(folder / "writer", folder / "graph_twice", b"\x12\x00")  # an empty graph, field 2
    _joined(folder / "writer", folder / "long_number", b"\x92\x80\x80\x80\x10\x00")  # 2 in the lower 32 bits
    _changed(good, folder / "called", _call_the_saver)
    _changed(good, folder / "replaced", _replace_by_the_saver)
    _changed(good, folder / "same_name", lambda graph: _copy_of(graph.graph_def.library.function))
    _changed(good, folder / "unnamed", lambda graph: graph.signature_def.pop("serving_default"))
    _changed(good, folder / "older", lambda graph: graph.ClearField("object_graph_def"))


def mixed(folder: Path) -> None:
    """The description of three convolutions and the weights of as many as the name says."""
    for number in (3, 4, 2):
        blocks(number).save(folder / f"{number}.keras")
        blocks(number).save(folder / f"{number}.h5")
    with zipfile.ZipFile(folder / "3.keras") as archive, h5py.File(folder / "3.h5") as file:
        members = {name: archive.read(name) for name in archive.namelist()}
        described = file.attrs["model_config"]
    for number in (4, 2):
        with zipfile.ZipFile(folder / f"{number}.keras") as archive:
            members[WEIGHTS] = archive.read(WEIGHTS)
        with zipfile.ZipFile(folder / f"{number}.keras", "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        with h5py.File(folder / f"{number}.h5", "r+") as file:
            file.attrs["model_config"] = described


def live(folder: Path) -> None:
    """What executes its payload if Keras and TensorFlow themselves load and run it."""
    for name in ("lambda.keras", "lambda.h5"):
        shutil.copy(folder.parent / "hostile" / name, folder / name)
    for name in ("writer", "saver", "graph_twice"):
        shutil.copytree(folder.parent / "hostile" / name, folder / name)


def _changed(good: Path, output: Path, change: Callable[[Any], Any]) -> None:
    shutil.copytree(good, output)
    model = saved_model_pb2.SavedModel.FromString((good / "saved_model.pb").read_bytes())
    change(model.meta_graphs[0])
    (output / "saved_model.pb").write_bytes(model.SerializeToString())


def _joined(good: Path, output: Path, field: bytes) -> None:
    """With a field behind the others of the graph's message."""
    shutil.copytree(good, output)
    model = saved_model_pb2.SavedModel.FromString((good / "saved_model.pb").read_bytes())
    graph = model.meta_graphs[0].SerializeToString() + field
    number = len(graph)
    length = bytes((number >> shift & 127) | (128 if number >> shift + 7 else 0) for shift in (0, 7, 14, 21))
    (output / "saved_model.pb").write_bytes(b"\x08\x01\x12" + length.rstrip(b"\0") + graph)


def _copy_of(functions: Any) -> None:
    functions.add().CopyFrom(functions[0])


def _saving(graph: Any) -> Any:
    return next(f for f in graph.graph_def.library.function if "traced_save" in f.signature.name)


def _replace_by_the_saver(graph: Any) -> None:
    """Have TensorFlow call the function that writes a checkpoint in the place of another."""
    for function in (_saving(graph), next(f for f in graph.graph_def.library.function if "_call_" in f.signature.name)):
        function.attr["api_implements"].s = b"one"


def _call_the_saver(graph: Any) -> None:
    """Have loading call the function that writes a checkpoint."""
    save = _saving(graph).signature.name
    graph.object_graph_def.concrete_functions[save].CopyFrom(
        next(iter(graph.object_graph_def.concrete_functions.values()))
    )


def _hdf5(fill: Callable[[Any], Any]) -> bytes:
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        fill(file)
    return content.getvalue()


def _external(file: Any) -> None:
    file.create_dataset("w", (10,), "u1", external=[("/etc/passwd", 0, 10)])


def _virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((10,), "u1")
    layout[:] = h5py.VirtualSource("/etc/x.h5", "w", (10,))
    file.create_virtual_dataset("w", layout)


class Rewriter:
    """Writes a .keras file again with some of its parts changed."""

    def __init__(self, clean: Path, folder: Path) -> None:
        with zipfile.ZipFile(clean) as archive:
            self._members = {name: archive.read(name) for name in archive.namelist()}
        self._folder = folder

    def write(
        self,
        name: str,
        layer: dict[str, Any] | None = None,
        activation: dict[str, Any] | None = None,
        members: dict[str, bytes] | None = None,
        compression: int = zipfile.ZIP_STORED,
    ) -> None:
        """With another last layer, another activation in it, or other members."""
        contents = {**self._members, **(members or {})}
        if layer or activation:
            config = json.loads(contents[CONFIG])
            last = config["config"]["layers"][-1]
            last.update(layer or {})
            if activation:
                last["config"]["activation"] = activation
            contents[CONFIG] = json.dumps(config).encode()
        with zipfile.ZipFile(self._folder / f"{name}.keras", "w", compression) as archive:
            for member, content in contents.items():
                archive.writestr(member, content)


if __name__ == "__main__":
    root = Path(sys.argv[1])
    os.chdir(root)  # what is made here executes its payload once
    for make in (sound, hostile, mixed, live):
        (root / make.__name__).mkdir()
        make(root / make.__name__)

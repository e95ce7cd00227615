"""SavedModel folders of TensorFlow: a program with weights, so its operators are looked through before it is loaded.

`saved_model.pb` is walked field by field (formats/protobuf.py); numbers of fields are those of TensorFlow's
saved_model.proto, meta_graph.proto, graph.proto and saved_object_graph.proto.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Container, Iterator
from pathlib import Path

from edgeflow.errors import DataError
from edgeflow.formats.contained import contained
from edgeflow.formats.protobuf import Message
from edgeflow.formats.signatures import UNKNOWN, checked
from edgeflow.formats.tensorflow_operators import COMPUTING
from edgeflow.plugin import Format
from edgeflow.types.signatures import Signature, Tensor

GRAPH = "saved_model.pb"
FIRST = b"\x08\x01\x12"  # schema version 1, then the graphs
TYPES = {  # DataType of types.proto → name
    **{1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "text", 8: "complex64"},
    **{9: "int64", 10: "bool", 14: "bfloat16", 17: "uint16", 18: "complex128", 19: "float16", 20: "a resource"},
    **{21: "a variant", 22: "uint32", 23: "uint64"},
}
SAVING = ("SaveV2", "RestoreV2", "MergeV2Checkpoints")  # in functions for `save` and `restore` alone
NAMING = "ShardedFilename"  # puts a text together
FUNCTION = re.compile(r"__[a-z]+_")  # what names of functions begin with, and those of no operator
REPLACEABLE = "api_implements"  # of a function that TensorFlow calls in the place of others which say the same
OWN = "__saved_model_init_op"  # a signature that every file has


def recognizes(path: Path) -> bool:
    """Whether a folder holds the graph of a SavedModel."""
    graph = path / GRAPH
    if not path.is_dir() or not graph.is_file():
        return False
    with graph.open("rb") as stream:
        return stream.read(len(FIRST)) == FIRST


def check(path: Path) -> None:
    """Refuse a folder that is damaged, holds links out of it, or a graph with operators that reach out of it."""
    contained(str, lambda folder: _Model(folder).key, path)


def signature(path: Path) -> Signature:
    """Inputs and outputs of `serving_default`, or of the only signature that there is, sorted by name."""
    return contained(Signature, lambda folder: _Model(folder).signature(), path)


def quantized(path: Path) -> str:
    """SavedModels hold float32: ""."""
    check(path)
    return ""


def key(path: Path) -> str:
    """The name of the signature that `signature` describes."""
    return contained(str, lambda folder: _Model(folder).key, path)


class _Model:
    """A whole folder, looked through; what cannot be is refused on the way."""

    def __init__(self, path: Path) -> None:
        self._path = path
        _check_files(path)
        self._message = Message.of(path / GRAPH)
        served = [graph for graph in self._message.all(2) if "serve" in _tags(graph)]
        if len(served) != 1:
            raise DataError(f"{path}: it has {len(served)} graphs with the tag 'serve' instead of one; save it again")
        self._graph = served[0]
        objects = self._graph.only(7)
        if objects is None:
            raise DataError(f"{path}: it is of TensorFlow 1; save it again with tf.saved_model.save of TensorFlow 2")
        self._check_operators({entry.text(1) for entry in objects.all(2)})
        signatures = {entry.text(1): entry.only(2) for entry in self._graph.all(5)}
        self._signatures = {name: found for name, found in signatures.items() if found is not None and name != OWN}
        self.key = self._choose()

    def _choose(self) -> str:
        if "serving_default" in self._signatures:
            return "serving_default"
        if len(self._signatures) != 1:
            names = ", ".join(sorted(self._signatures)) or "none"
            raise DataError(
                f"{self._path}: no signature is called 'serving_default' (it has: {names}); save it with one"
            )
        return next(iter(self._signatures))

    def signature(self) -> Signature:
        chosen = self._signatures[self.key]
        sides = (sorted(map(self._tensor, chosen.all(field)), key=lambda tensor: tensor.name) for field in (1, 2))
        return checked(self._path, *sides)

    def _tensor(self, entry: Message) -> Tensor:
        name, info = entry.text(1), entry.only(2)
        shape = info.only(3) if info is not None else None
        if info is None or shape is None or shape.number(3):
            raise DataError(f"{self._path}: how many axes {name!r} has is not in it; save it with an input_signature")
        sizes = [axis.number(1) for axis in shape.all(2)]
        dtype = TYPES.get(info.number(2), f"type {info.number(2)}")
        return Tensor(name, dtype, tuple(size if size >= 0 else UNKNOWN for size in sizes))

    # --- operators ---------------------------------------------------------------------------------------------------

    def _check_operators(self, concrete: set[str]) -> None:
        """Refuse operators that reach out of the model, but for what saves and restores it.

        `concrete`: functions that loading may call. What saves must not be among them, nor be called by any other.
        """
        graph = self._graph.only(2)
        if graph is None:
            raise DataError(f"{self._path}: {GRAPH} has no graph: it is damaged")
        library = graph.only(2)
        functions: dict[str, Message] = {}
        for function in library.all(1) if library else ():
            described = function.only(1)
            name = described.text(1) if described is not None else ""
            if not name or name in functions:
                raise DataError(f"{self._path}: two functions are called {name!r}, or one has no name: it is damaged")
            functions[name] = function
        calls = {name: set(_called(fun.all(3))) for name, fun in functions.items()}
        saver = self._graph.only(3)
        ends = {saver.text(i).partition(":")[0] for i in (1, 2, 3)} if saver is not None else set()
        saving = _reached(set(_called(node for node in graph.all(1) if node.text(1) in ends)), calls)
        others = _reached(concrete | set(_called(node for node in graph.all(1) if node.text(1) not in ends)), calls)
        for name, function in functions.items():
            replaceable = any(entry.text(1) == REPLACEABLE for entry in function.all(5))
            alone = name in saving and name not in others and not replaceable
            self._check_nodes(function.all(3), functions, SAVING if alone else ())
        self._check_nodes(graph.all(1), functions, ())

    def _check_nodes(self, nodes: Iterator[Message], functions: Container[str], allowed: tuple[str, ...]) -> None:
        """Operators may compute, and be functions of the file, which are looked through themselves."""
        for node in nodes:
            operator = node.text(2)
            calls = operator in functions and FUNCTION.match(operator)
            if operator not in COMPUTING and operator not in (*allowed, NAMING) and not calls:
                raise DataError(
                    f"{self._path}: its operator {operator} may read or write files, or run code that is not in it; "
                    "save the model without it"
                )


def _tags(graph: Message) -> list[str]:
    info = graph.only(1)
    return info.texts(4) if info is not None else []


def _called(nodes: Iterator[Message]) -> Iterator[str]:
    """Functions that nodes name: as their operator, and in attributes of the kinds `func` and `list(func)`."""
    for node in nodes:
        yield node.text(2)
        for attribute in node.all(5):
            value = attribute.only(2)
            if value is None:
                continue
            listed = value.only(1)
            for named in (*value.all(10), *(listed.all(9) if listed is not None else ())):
                yield named.text(1)


def _reached(names: set[str], calls: dict[str, set[str]]) -> set[str]:
    """Functions that are called, and those that they call."""
    reached, todo = set(), [name for name in names if name in calls]
    while todo:
        name = todo.pop()
        if name not in reached:
            reached.add(name)
            todo += [called for called in calls[name] if called in calls]
    return reached


def _check_files(path: Path) -> None:
    """Plain files and folders alone, and all of them in here."""
    if not (path / GRAPH).is_file():
        raise DataError(f"{path}: it has no {GRAPH}: it is no SavedModel")
    if not (path / "variables" / "variables.index").is_file() and (path / "variables").exists():
        raise DataError(f"{path}: variables/variables.index is missing: it is not whole; copy the whole folder")
    for folder, folders, names in os.walk(path):
        for name in (*folders, *names):
            mode = os.lstat(os.path.join(folder, name)).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                where = os.path.relpath(os.path.join(folder, name), path)
                raise DataError(
                    f"{path}: {where!r} is a link or no plain file; copy what it stands for into the folder"
                )


plugin = Format(
    id="saved_model",
    description="TensorFlow SavedModel",
    suffixes=(GRAPH,),
    toolchain="tf",
    recognizes=recognizes,
    check=check,
    signature=signature,
    quantized=quantized,
    backend=Path(__file__).parent.parent / "runners" / "saved_model_backend.py",
    preload=("tensorflow",),
)

"""Keras models, .keras and .h5: a description in JSON and weights in HDF5.

Keras builds what the description says by the names of classes and modules in it, some of which execute code that is in
the file, import modules, or read other files. So it is looked through first, and Keras sees it only if it is made of
Keras's own layers. HDF5 files may point into other files, which is looked for, too.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from edgeflow.errors import DataError
from edgeflow.formats.contained import contained
from edgeflow.formats.signatures import checked
from edgeflow.plugin import Format
from edgeflow.runners import archive
from edgeflow.types.signatures import Signature, Tensor

HDF5 = b"\x89HDF\r\n\x1a\n"
CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
TRAINING = "compile_config"  # key of a description
CONFIG_BYTES = 16 * 2**20
MOST_OBJECTS = 100_000  # groups and arrays of an HDF5 file
MODULES = re.compile(  # whose classes build layers, and say how a model in a model is trained
    r"keras(\.(layers|initializers|regularizers|constraints|activations|dtype_policies|quantizers|models))?"
    r"|keras\.(losses|metrics|optimizers(\.schedules)?)"
    r"|keras\.src\.(models\.(functional|sequential|model)|ops\.\w+|engine\.(functional|sequential)|layers(\.\w+)+)"
)
CLASS = re.compile(r"[A-Z]\w*", re.ASCII)
PARTS = ("__keras_tensor__", "__tuple__", "__slice__", "__ellipsis__", "__numpy__", "__tensor__", "CompositeTensor")
OTHERS_CODE = {  # class → what it does
    "Lambda": "executes Python code that is in the file",
    "__lambda__": "executes Python code that is in the file",
    "TFOpLambda": "calls any function of TensorFlow, and Keras 3 does not have it",
    "SlicingOpLambda": "calls any function of TensorFlow, and Keras 3 does not have it",
    "TFSMLayer": "loads another model",
    "TorchModuleWrapper": "unpickles a model of PyTorch",
    "JaxLayer": "executes code of JAX",
    "FlaxLayer": "executes code of JAX",
}
VOCABULARIES = ("StringLookup", "IntegerLookup", "TextVectorization", "IndexLookup")
AGAIN = "save the model again with Keras's own layers in its place"


def recognizes(path: Path) -> bool:
    """Whether a file is HDF5, or a zip with Keras's members; a damaged zip goes by its name."""
    if not path.is_file():
        return False
    if archive.is_zip(path):
        members = archive.names(path)
        return {CONFIG, METADATA} <= set(members) if members else path.suffix == ".keras"
    with path.open("rb") as stream:
        return stream.read(len(HDF5)) == HDF5


def check(path: Path) -> None:
    """Refuse a file that is damaged, or holds anything but layers of Keras and their weights."""
    contained(str, lambda file: str(len(_config(file))), path)


def signature(path: Path) -> Signature:
    """Inputs by the names of their layers, outputs by those of theirs, or by keys where the model has them.

    Shapes of outputs are what Keras says after it has built the model, without weights.
    """
    check(path)
    import keras  # noqa: F401 - here, so that the child does not: it takes seconds

    return contained(Signature, _signature, path)


def quantized(path: Path) -> str:
    """What its numbers are, where they are not float32: "int8 weights", "float16"; else ""."""
    return contained(str, lambda file: _quantized(_config(file)), path)


# --- the file --------------------------------------------------------------------------------------------------------


def _config(path: Path) -> dict[str, Any]:
    """The description of the model, looked through; the weights are, too."""
    try:
        config = _of_zip(path) if archive.is_zip(path) else _of_hdf5(path)
    except archive.ArchiveError as error:
        raise DataError(str(error)) from None
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict):
        raise DataError(f"{path}: its description is none of a model: it is damaged")
    _check_config(path, config)
    return config


def _of_zip(path: Path) -> Any:
    with archive.Archive(path) as members:
        if extra := sorted(set(members.names) - {CONFIG, METADATA, WEIGHTS}):
            raise DataError(f"{path}: it holds {extra[0]!r}, which is neither a description nor weights; {AGAIN}")
        config = _json(path, members.read(CONFIG, CONFIG_BYTES))
        with members.open(WEIGHTS) as stream:
            _check_hdf5(path, stream, members.size(WEIGHTS))
    return config


def _of_hdf5(path: Path) -> Any:
    import h5py

    with path.open("rb") as stream:
        _check_hdf5(path, stream, path.stat().st_size)
        try:
            with h5py.File(stream, "r") as file:
                said = file.attrs.get("model_config")
        except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
            raise _damaged(path, error) from None
    if said is None:
        raise DataError(
            f"{path}: it holds weights alone, and no network; save the whole model: model.save('model.keras')"
        )
    content = said.encode() if isinstance(said, str) else bytes(said)
    if len(content) > CONFIG_BYTES:
        raise DataError(f"{path}: its description has {len(content):,} bytes: no model is that large")
    return _json(path, content)


def _json(path: Path, content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise DataError(f"{path}: its description is no JSON: {error}") from None


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: its HDF5 part cannot be read: {str(error).splitlines()[0] if str(error) else error!r}")


def _check_hdf5(path: Path, stream: IO[bytes], size: int) -> None:
    """Arrays alone, all in the file itself, and not larger than it could hold."""
    import h5py

    try:
        with h5py.File(stream, "r") as file:
            declared = 0
            for name, found in _arrays(path, file):
                if found.external or found.is_virtual:
                    raise DataError(f"{path}: {name!r} is kept in another file; save the model again")
                if found.dtype.kind not in "biuf":
                    raise DataError(f"{path}: {name!r} holds {found.dtype}, and no numbers; save the model again")
                declared += math.prod(found.shape) * found.dtype.itemsize
            if declared > max(archive.FREE_BYTES, archive.MOST_RATIO * size):
                raise DataError(f"{path}: its {size:,} bytes say {declared:,}: it is made to fill memory")
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from None


def _arrays(path: Path, root: Any) -> Iterator[tuple[str, Any]]:
    """Every array, each once, by name."""
    import h5py

    seen, todo = set(), [("", root)]
    while todo:
        where, group = todo.pop()
        for name in group:
            full = f"{where}/{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise DataError(f"{path}: {full!r} is a link, maybe into another file; save the model again")
            found = group[name]
            address = h5py.h5o.get_info(found.id).addr
            if address in seen:
                continue
            seen.add(address)
            if len(seen) > MOST_OBJECTS:
                raise DataError(f"{path}: it has more than {MOST_OBJECTS:,} arrays: no model has so many")
            if isinstance(found, h5py.Group):
                todo.append((full, found))
            elif isinstance(found, h5py.Dataset):
                yield full, found


# --- the description -------------------------------------------------------------------------------------------------


def _check_config(path: Path, config: dict[str, Any]) -> None:
    """Refuse what Keras would build from other than its own layers.

    How the model was trained is not built; how a model in it was is.
    """
    todo: list[Any] = [{key: part for key, part in config.items() if key != TRAINING}]
    while todo:
        value = todo.pop()
        if isinstance(value, list):
            todo += value
        elif isinstance(value, dict):
            if "class_name" in value:
                _check_class(path, value)
            elif "module" in value or "registered_name" in value:
                raise DataError(f"{path}: its description names a module for no class: it is damaged")
            todo += value.values()


def _check_class(path: Path, value: dict[str, Any]) -> None:
    name, module, registered = (value.get(key) for key in ("class_name", "module", "registered_name"))
    if name in OTHERS_CODE:
        raise DataError(f"{path}: its layer {name} {OTHERS_CODE[name]}; {AGAIN}")
    if name in PARTS:
        return
    if not isinstance(name, str) or (registered and registered != name and not str(registered).startswith("keras")):
        raise DataError(f"{path}: {registered or name!r} is a class of somebody's own, whose code is not here; {AGAIN}")
    if not CLASS.fullmatch(name) or not (module is None or MODULES.fullmatch(str(module))):
        raise DataError(f"{path}: {module or ''}.{name} is none of Keras's layers; {AGAIN}")
    inside = value.get("config")
    if name in VOCABULARIES and isinstance(inside, dict) and isinstance(inside.get("vocabulary"), str):
        raise DataError(f"{path}: its layer {name} reads the file {inside['vocabulary']!r}; {AGAIN}")


def _quantized(config: dict[str, Any]) -> str:
    text = json.dumps(config)
    if found := re.search(r'"(?:quantization_mode|mode)": "(int8|int4|float8)"', text):
        return f"{found[1]} weights"
    return "float16" if re.search(r'"DTypePolicy", "config": \{"name": "float16"\}|"dtype": "float16"', text) else ""


def _untrained(part: Any) -> Any:
    """A description without how its models are trained: optimizers have variables with values."""
    if isinstance(part, list):
        return [_untrained(one) for one in part]
    if isinstance(part, dict):
        return {key: _untrained(value) for key, value in part.items() if key != TRAINING}
    return part


def _signature(path: Path) -> Signature:
    """In a child that has Keras: the model is built with variables that have shapes and no values."""
    import keras
    from keras.src.backend.common.stateless_scope import StatelessScope
    from keras.src.legacy.saving import saving_utils

    from edgeflow.runners import keras_backend

    config = _untrained(_config(path))
    try:
        with StatelessScope():
            if archive.is_zip(path):
                model = keras.saving.deserialize_keras_object(config, safe_mode=True)
            else:
                model = saving_utils.model_from_config(config, custom_objects=keras_backend.OLDER)
        sides = keras_backend.describe(model)
    except Exception as error:  # Keras raises whatever its layers do
        first = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(f"{path}: Keras {keras.__version__} cannot build it: {first[0][:500]}") from error
    inputs, outputs = (
        [Tensor(one["name"], one["dtype"], tuple(one["shape"])) for one in sides[side]]
        for side in ("inputs", "outputs")
    )
    return checked(path, inputs, outputs)


plugin = Format(
    id="keras",
    description="Keras",
    suffixes=(".keras", ".h5", ".hdf5"),
    toolchain="tf",
    recognizes=recognizes,
    check=check,
    signature=signature,
    quantized=quantized,
    backend=Path(__file__).parent.parent / "runners" / "keras_backend.py",
    preload=("tensorflow", "keras"),
)

"""Find plugins: the entry-point group `edgeflow.plugins` and the `plugins:` files of the config, one door for all.

A reference says where a plugin object is: "package.module:attribute" or "folder/file.py:attribute", the latter relative
to the project. Stages get references in their spec, because the environment they run in knows no entry points.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from edgeflow.errors import PluginError
from edgeflow.plugin import API_VERSION, DatasetLoader, Framework, Plugin, Runtime, Task

GROUP = "edgeflow.plugins"
KINDS: Mapping[str, type] = {"runtime": Runtime, "framework": Framework, "task": Task, "loader": DatasetLoader}
# Set for a stage that runs in a toolchain: module name → file, for plugins that are installed beside edgeflow only.
MODULE_FILES = "EDGEFLOW_MODULE_FILES"


@dataclass(frozen=True)
class Plugins:
    """Every plugin by kind and id, and where each came from."""

    runtimes: Mapping[str, Runtime]
    frameworks: Mapping[str, Framework]
    tasks: Mapping[str, Task]
    loaders: Mapping[str, DatasetLoader]
    references: Mapping[tuple[str, str], str]  # (kind, id) → reference

    def reference(self, kind: str, plugin_id: str) -> str:
        """The reference of a known plugin, e.g. `reference("runtime", "litert")`."""
        return self.references[kind, plugin_id]


def discover(files: Sequence[str] = ()) -> Plugins:
    """Load every plugin.

    Raises PluginError for a duplicate id, an unknown API version, an object of another kind, or a failing import.
    """
    found: dict[str, dict[str, Plugin]] = {kind: {} for kind in KINDS}
    references: dict[tuple[str, str], str] = {}
    entries = sorted(e.value for e in importlib.metadata.entry_points(group=GROUP))
    for reference in [*dict.fromkeys(entries), *(f"{file}:plugin" for file in files)]:
        plugin = load_reference(reference)
        kind = _kind_of(plugin, reference)
        if plugin.id in found[kind]:
            first = references[kind, plugin.id]
            raise PluginError(f"{reference}: {kind} {plugin.id!r} is already provided by {first}; rename one of them")
        found[kind][plugin.id] = plugin
        references[kind, plugin.id] = reference
    _check_runtimes(found["runtime"], references)
    return Plugins(found["runtime"], found["framework"], found["task"], found["loader"], references)  # type: ignore[arg-type]


def _kind_of(plugin: Any, reference: str) -> str:
    kind = next((name for name, cls in KINDS.items() if isinstance(plugin, cls)), None)
    if kind is None:
        raise PluginError(f"{reference}: is of type {type(plugin).__name__}; a plugin is one of {', '.join(KINDS)}")
    if plugin.api_version != API_VERSION:
        raise PluginError(f"{reference}: plugin API version {plugin.api_version}; this edgeflow has {API_VERSION}")
    return kind


def _check_runtimes(runtimes: Mapping[str, Any], references: Mapping[tuple[str, str], str]) -> None:
    """Converted models are kept by format, so one runtime makes them, and the others name it in `build_with`.

    A compiler that takes another's programs gets what that one made of the same model, and not of a third's program.
    """
    makers: dict[str, str] = {}
    for runtime in runtimes.values():
        where = references["runtime", runtime.id]
        if runtime.build_with:
            if runtime.build_with not in runtimes:
                raise PluginError(f"{where}: build_with {runtime.build_with!r}: there is no such runtime")
        elif other := makers.get(runtime.format):
            raise PluginError(
                f"{where}: runtime {runtime.id!r} makes {runtime.format!r} files, as {other!r} does; "
                f"set build_with={other!r} to share them, or choose another format name"
            )
        else:
            makers[runtime.format] = runtime.id
        if name := runtime.compiles_from:
            _check_compiles_from(runtime, runtimes.get(name), where)


def _check_compiles_from(runtime: Any, source: Any, where: str) -> None:
    wrong = f"{where}: compiles_from {runtime.compiles_from!r}: "
    if source is None:
        raise PluginError(f"{wrong}there is no such runtime")
    if source.compiles_from:
        raise PluginError(f"{wrong}its programs are made from those of {source.compiles_from!r}; name that one")
    if (source.build_with or source.id) != (runtime.build_with or runtime.id):
        raise PluginError(f"{wrong}another runtime makes its models; set the same build_with")


def load_reference(reference: str) -> Any:
    """The object that a reference names.

    Raises PluginError that names the reference when it is malformed, or the module or attribute is missing or broken.
    """
    source, colon, attribute = reference.rpartition(":")
    if not colon or not source or not attribute.isidentifier():
        raise PluginError(f"{reference!r}: write 'package.module:name' or 'folder/file.py:name'")
    module = _load_file(Path(source), reference) if source.endswith(".py") else _load_module(source, reference)
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise PluginError(f"{reference}: {source} has no {attribute!r}") from None


def _load_module(name: str, reference: str) -> ModuleType:
    files: Mapping[str, str] = json.loads(os.environ.get(MODULE_FILES, "{}"))
    if name in files:
        return _load_file(Path(files[name]), reference)
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise PluginError(f"{reference}: cannot import {name}: {error}") from error


def _load_file(path: Path, reference: str) -> ModuleType:
    if not path.is_file():
        raise PluginError(f"{reference}: no such file: {path}; paths start at the project folder")
    name = "edgeflow_file_" + "".join(c if c.isalnum() else "_" for c in str(path.resolve()))
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{reference}: {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up while it is being executed
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise PluginError(f"{reference}: cannot load {path}: {error}") from error
    return module


def file_of(reference: str) -> Path:
    """The source file behind a reference, without importing it where that can be avoided.

    Raises PluginError when there is none.
    """
    source = reference.rpartition(":")[0]
    if source.endswith(".py"):
        return Path(source)
    try:
        spec = importlib.util.find_spec(source)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        raise PluginError(f"{reference}: there is no module {source}")
    return Path(spec.origin)


def foreign_module_files(references: Sequence[str]) -> dict[str, str]:
    """Module name → file of the references that live outside edgeflow, for the environment of a toolchain."""
    modules = {r.rpartition(":")[0]: r for r in references}
    return {
        name: str(file_of(reference).resolve())
        for name, reference in modules.items()
        if not name.endswith(".py") and name.partition(".")[0] != "edgeflow"
    }

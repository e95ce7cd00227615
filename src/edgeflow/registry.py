"""Find plugins: the entry-point group `edgeflow.plugins` and the `plugins:` files of the config, one door for all.

A reference says where a plugin object is: "package.module:attribute" or "folder/file.py:attribute", the latter relative
to the project. Stages get references in their spec, because the environment they run in knows no entry points.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.metadata
import importlib.util
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from edgeflow import reach
from edgeflow.errors import PluginError
from edgeflow.plugin import API_VERSION, Converter, DatasetLoader, Format, Framework, Plugin, Runtime, Task

GROUP = "edgeflow.plugins"
KINDS: Mapping[str, type] = {
    "runtime": Runtime,
    "framework": Framework,
    "task": Task,
    "loader": DatasetLoader,
    "format": Format,
    "converter": Converter,
}
# Set for a stage that runs in a toolchain: module name → file, for plugins that are installed beside edgeflow only.
MODULE_FILES = "EDGEFLOW_MODULE_FILES"
PROJECT = "edgeflow_project"  # package that the project's files are loaded in
USER_REQUIREMENTS = "envs/<toolchain>.user.in"


@dataclass(frozen=True)
class Plugins:
    """Every plugin by kind and id, and where each came from."""

    runtimes: Mapping[str, Runtime]
    frameworks: Mapping[str, Framework]
    tasks: Mapping[str, Task]
    loaders: Mapping[str, DatasetLoader]
    formats: Mapping[str, Format]
    converters: Mapping[str, Converter]
    references: Mapping[tuple[str, str], str]  # (kind, id) → reference
    unavailable: Callable[[str], str] = lambda toolchain: ""  # why this machine cannot have a toolchain; "": it can

    def reference(self, kind: str, plugin_id: str) -> str:
        """The reference of a known plugin, e.g. `reference("runtime", "litert")`."""
        return self.references[kind, plugin_id]


def discover(files: Sequence[str] = ()) -> Plugins:
    """Load every plugin; of a file the object named `plugin`, or the one that is named after a colon.

    Raises PluginError for a duplicate id, an unknown API version, an object of another kind, or a failing import.
    """
    by_kind: dict[str, dict[str, Plugin]] = {kind: {} for kind in KINDS}
    references: dict[tuple[str, str], str] = {}
    entries = sorted(e.value for e in importlib.metadata.entry_points(group=GROUP))
    for reference in [*dict.fromkeys(entries), *(file if ":" in file else f"{file}:plugin" for file in files)]:
        plugin = load_reference(reference)
        kind = _kind_of(plugin, reference)
        if plugin.id in by_kind[kind]:
            first = references[kind, plugin.id]
            raise PluginError(f"{reference}: {kind} {plugin.id!r} is already provided by {first}; rename one of them")
        by_kind[kind][plugin.id] = plugin
        references[kind, plugin.id] = reference
    runtimes, frameworks, tasks, loaders, formats, converters = (by_kind[kind] for kind in KINDS)
    plugins = Plugins(runtimes, frameworks, tasks, loaders, formats, converters, references)  # type: ignore[arg-type]
    _check_runtimes(by_kind["runtime"], references)
    _check_formats(plugins)
    return plugins


def _kind_of(plugin: Any, reference: str) -> str:
    kind = next((name for name, cls in KINDS.items() if isinstance(plugin, cls)), None)
    if kind is None:
        raise PluginError(f"{reference}: is of type {type(plugin).__name__}; a plugin is one of {', '.join(KINDS)}")
    if plugin.api_version != API_VERSION:
        raise PluginError(f"{reference}: plugin API version {plugin.api_version}; this edgeflow has {API_VERSION}")
    return kind


def _check_runtimes(runtimes: Mapping[str, Any], references: Mapping[tuple[str, str], str]) -> None:
    """Converted models are kept by format, so one runtime makes them, and the others name it in `models_from`.

    A compiler that takes another's programs gets what that one made of the same model, and not of a third's program.
    """
    makers: dict[str, str] = {}
    for runtime in runtimes.values():
        where = references["runtime", runtime.id]
        if runtime.models_from:
            if runtime.models_from not in runtimes:
                raise PluginError(f"{where}: models_from {runtime.models_from!r}: there is no such runtime")
        elif other := makers.get(runtime.format):
            raise PluginError(
                f"{where}: runtime {runtime.id!r} makes {runtime.format!r} files, as {other!r} does; "
                f"set models_from={other!r} to share them, or choose another format name"
            )
        else:
            makers[runtime.format] = runtime.id
        if name := runtime.compiles_from:
            _check_compiles_from(runtime, runtimes.get(name), where)


def _check_formats(plugins: Plugins) -> None:
    """Every runtime and converter names formats that there are, and a converted model is one file that can be run."""
    for runtime in plugins.runtimes.values():
        if runtime.format not in plugins.formats:
            where, known = plugins.reference("runtime", runtime.id), ", ".join(plugins.formats)
            raise PluginError(
                f"{where}: format {runtime.format!r}: there is no such format, only {known or 'none'}; add a plugin "
                "with a Format, or install edgeflow again if it was updated: 'make .venv/bin/.dev'"
            )
    for format_id in plugins.formats:
        if format_id in plugins.frameworks:
            where = plugins.reference("format", format_id)
            raise PluginError(f"{where}: format {format_id!r} has the id of a framework; rename it")
    for converter in plugins.converters.values():
        where = plugins.reference("converter", converter.id)
        if converter.source not in (*plugins.formats, *plugins.frameworks):
            raise PluginError(f"{where}: source {converter.source!r}: there is no such framework or format")
        target = plugins.formats.get(converter.target)
        if target is None:
            raise PluginError(f"{where}: target {converter.target!r}: there is no such format")
        if target.backend is None:
            raise PluginError(f"{where}: target {target.id!r}: no backend runs it, so nothing could be checked")
        if not all(suffix.startswith(".") for suffix in target.suffixes):
            raise PluginError(f"{where}: target {target.id!r} is a folder; a converted model is one file")
        if converter.cost < 0:
            raise PluginError(f"{where}: cost {converter.cost} must be at least 0")


def _check_compiles_from(runtime: Any, source: Any, where: str) -> None:
    wrong = f"{where}: compiles_from {runtime.compiles_from!r}: "
    if source is None:
        raise PluginError(f"{wrong}there is no such runtime")
    if source.compiles_from:
        raise PluginError(f"{wrong}its programs are made from those of {source.compiles_from!r}; name that one")
    if (source.models_from or source.id) != (runtime.models_from or runtime.id):
        raise PluginError(f"{wrong}another runtime makes its models; set the same models_from")


def load_reference(reference: str) -> Any:
    """The object that a reference names.

    Raises PluginError that names the reference when it is malformed, or the module or attribute is missing or broken.
    """
    source, colon, attribute = reference.rpartition(":")
    if not colon or not source or not attribute.isidentifier():
        raise PluginError(f"{reference!r}: write 'package.module:name' or 'folder/file.py:name'")
    path = reach.source_file(source) if source.partition(".")[0] != reach.OWN else None
    module = _load_file(path, reference) if path else _load_module(source, reference)
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise PluginError(f"{reference}: {source} has no {attribute!r}") from None


def _load_module(name: str, reference: str) -> ModuleType:
    """A module of edgeflow or of a package that is installed here."""
    known: Mapping[str, str] = json.loads(os.environ.get(MODULE_FILES, "{}"))
    if name in known:
        path = Path(known[name])
        return _execute(_package(path.parent), path, reference)
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise PluginError(f"{reference}: cannot import {name}: {reason(error)}") from error


def _load_file(path: Path, reference: str) -> ModuleType:
    """A file of the project.

    It imports other files of the project from the project's folder (`from nets.blocks import Block`), from its own
    (`from blocks import Block`), or relative to itself (`from .blocks import Block`); reach.py follows the same ways.
    """
    if not path.is_file():
        raise PluginError(f"{reference}: no such file: {path}; paths start at the project folder")
    _import_from(path.resolve().parent, reference)
    return _execute(_package(path.resolve().parent), path.resolve(), reference)


_beside: dict[Path, dict[str, str]] = {}  # folder → module that a file in it imports from there by name → reference


def _import_from(folder: Path, reference: str) -> None:
    """Let modules be imported from the project's folder, and from that of a file, after all that is installed.

    Raises PluginError when modules of one name in the folders of two files would be taken for each other.
    """
    mine = _beside.setdefault(folder, {})
    mine.update(dict.fromkeys(reach.of(reference).beside, reference))
    for other, theirs in _beside.items():
        for name in {**mine, **theirs} if other != folder else ():
            if reach.has(folder, name) and reach.has(other, name):
                both = f"{mine.get(name, reference)} imports {name!r}, which is in {folder} and in {other}"
                raise PluginError(f"{both}, and both are needed at once; write 'from .{name} import …'")
    sys.path.extend(path for path in (str(Path().resolve()), str(folder)) if path not in sys.path)


def _package(folder: Path) -> str:
    """Name of the package that a folder is while its files are loaded, so that they can import relative to themselves.

    The name of a folder of the project is the same in every checkout: exporters write it into their files.
    """
    root = Path().resolve()
    inside = folder.relative_to(root).parts if folder.is_relative_to(root) else None
    if inside is not None and all(part.isidentifier() for part in inside):
        _make_package(PROJECT, root)
        return ".".join((PROJECT, *inside))
    name = "edgeflow_folder_" + "".join(c if c.isalnum() else "_" for c in str(folder))
    _make_package(name, folder)
    return name


def _make_package(name: str, folder: Path) -> None:
    if name in sys.modules and sys.modules[name].__path__ != [str(folder)]:  # of another project, in a test
        for known in [known for known in sys.modules if known == name or known.startswith(f"{name}.")]:
            del sys.modules[known]
    if name not in sys.modules:
        package = sys.modules[name] = ModuleType(name)
        package.__path__ = [str(folder)]


def _execute(package: str, path: Path, reference: str) -> ModuleType:
    """Import a file as a module of a package; PluginError says in which line it fails."""
    name = package if path.name == "__init__.py" else f"{package}.{path.stem}"
    try:
        return importlib.import_module(name)
    except Exception as error:
        shown = path.relative_to(Path().resolve()) if path.is_relative_to(Path().resolve()) else path
        raise PluginError(f"{reference}: cannot load {shown}: {reason(error)}") from error


def reason(error: Exception) -> str:
    """An error of somebody's code, with the last line of the project that it came through."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(Path().resolve())]
    frames = [frame for frame in frames if not Path(frame.filename).is_relative_to(Path(__file__).parent)]
    where = f"{os.path.relpath(frames[-1].filename)}:{frames[-1].lineno}: " if frames else ""
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] not in (reach.OWN, PROJECT):
        return f"{where}{error}; what your own code needs is written in {USER_REQUIREMENTS}, then 'make lock'"
    kind = "" if isinstance(error, ImportError | SyntaxError) else f"{type(error).__name__}: "
    return f"{where}{kind}{error}"


def file_of(reference: str) -> Path:
    """The source file behind a reference; nothing is imported.

    Raises PluginError when there is none.
    """
    source = reference.rpartition(":")[0]
    path = reach.source_file(source) or _installed(source)
    if path is None:
        raise PluginError(f"{reference}: there is no module {source}")
    return path


def _installed(module: str) -> Path | None:
    """The file of a module that is installed in this interpreter's environment; nothing is imported."""
    top, *below = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
        for part in below:  # find_spec would import what is above
            if spec is None or not spec.submodule_search_locations:
                return None
            name = f"{spec.name}.{part}"
            spec = importlib.machinery.PathFinder.find_spec(name, spec.submodule_search_locations)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec is not None and spec.origin is not None else None


def files_of_package(module: str) -> list[Path]:
    """The Python files of the package that has a module, as it is in this interpreter's environment."""
    path = _installed(module.partition(".")[0]) or _installed(module)
    if path is None:
        return []
    return sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]


def foreign_module_files(references: Sequence[str]) -> dict[str, str]:
    """Module name → file of the plugins that live outside edgeflow, for the environment of a toolchain."""
    modules = {r.rpartition(":")[0]: r for r in references}
    return {
        name: str(file_of(reference).resolve())
        for name, reference in modules.items()
        if not name.endswith(".py") and name.partition(".")[0] != reach.OWN
    }

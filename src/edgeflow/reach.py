"""What a function of the project reaches: the definitions that it uses, in its own file and in what that imports.

Told from syntax trees (syntax.py), so nothing is executed and no library is needed. A unit, one top-level statement of
a module, is reached when something reached uses a name that it binds, or when it does more than bind a name and its
module is imported. Comments, docstrings, white space and what nothing uses do not count. Where the text cannot tell
what is used (a star import, `globals()`, `exec`, a module that is handed around, an import by a computed name), all of
it counts.
"""

from __future__ import annotations

import ast
import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeflow import syntax
from edgeflow.syntax import TRICKS, Chain, Import, Module, Unit, may_be_path

OWN = "edgeflow"  # its modules are told apart file by file, in fingerprint.py
IMPORTERS = frozenset(("__import__", "import_module"))


@dataclass(frozen=True)
class Reach:
    """What one reference depends on."""

    code: tuple[str, ...] = ()  # one line a unit: its file and a digest of its syntax tree
    own: frozenset[str] = frozenset()  # modules of edgeflow that are imported on the way
    files: tuple[Path, ...] = ()  # data files that the code names
    sources: tuple[Path, ...] = ()  # Python files that are read on the way
    beside: frozenset[str] = frozenset()  # modules that are imported by name from the folder of the reference's file


def of(reference: str, root: Path = Path()) -> Reach:
    """What the object of a reference reaches; `root` is the project's folder.

    "nets/mine.py:build", or "nets.mine:build". All of a file for "nets/mine.py", without an attribute. Empty for a
    module that is not the project's: a lock has its version. A source that cannot be parsed is taken as it is.
    """
    source, attribute = _parts(reference)
    path = source_file(source, root)
    if path is None:
        return Reach()
    walk = _Walk(root, path)
    walk.attribute(path, (attribute,)) if attribute else walk.whole(path)
    return walk.result()


def fault(reference: str, root: Path = Path()) -> str:
    """What is wrong with the source of a reference, with file and line; "" when nothing is that its text tells.

    A missing file, a syntax error in it or in a file of the project that it imports, a name that it does not define.
    """
    source, attribute = _parts(reference)
    path = source_file(source, root)
    if path is None:
        missing = source.partition(".")[0] == OWN and not source.endswith(".py")
        return f"{reference}: there is no module {source}" if missing else ""
    if not path.is_file():
        return f"{path}: no such file; paths start at the project folder"
    module = syntax.module(path)
    if module.fault:
        return module.fault
    if attribute in module.bound or not module.tells_names:
        if path.is_relative_to(Path(__file__).parent):
            return ""
        walk = _Walk(root, path)
        walk.attribute(path, (attribute,))
        return next((syntax.module(file).fault for file in walk.result().sources if syntax.module(file).fault), "")
    defined = sorted(name for name, units in module.bound.items() if module.defines(name, units))
    return f"{path}: does not define {attribute!r}" + (f"; it defines {', '.join(defined)}" if defined else "")


def named(value: Any) -> list[str]:
    """The texts in an argument, also in lists and below keys, that may be the name of a file."""
    if isinstance(value, Mapping):
        return [text for below in value.values() for text in named(below)]
    if isinstance(value, list | tuple):
        return [text for below in value for text in named(below)]
    return [value] if isinstance(value, str) and may_be_path(value) else []


def data(texts: Iterable[str], root: Path = Path()) -> list[Path]:
    """The files that texts name, and those in the folders of the project that they name."""
    files: dict[Path, None] = {}
    for text in texts:
        path = root / text
        if os.path.isfile(path):  # false of a name too long
            files[path] = None
        elif os.path.isdir(path) and path.resolve() != root.resolve() and path.resolve().is_relative_to(root.resolve()):
            files.update((file, None) for file in sorted(path.rglob("*")) if file.is_file())
    return list(files)


def source_file(source: str, root: Path = Path()) -> Path | None:
    """The file of "nets/mine.py", of a module of the project or of edgeflow; None for a module of anybody else."""
    if source.endswith(".py"):
        return root / source
    top, *below = source.split(".")
    if top == OWN:
        base = Path(__file__).parent.joinpath(*below)
        return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)
    *_, file = find(tuple(source.split(".")), (root,)) or (None,)
    return file


def find(name: Chain, folders: Iterable[Path]) -> tuple[Path | None, ...]:
    """The files that an absolute import of a module executes, its packages first, in the first folder that has it.

    None in their place for a folder without `__init__.py`. () when no folder has it, or the standard library does.
    """
    if name[0] in sys.stdlib_module_names or name[0] == OWN:
        return ()
    for folder in folders:
        if (executed := _below(folder, name)) is not None:
            return executed
    return ()


def has(folder: Path, name: str) -> bool:
    """True when a folder has a module of this name."""
    return any(_below(folder, (name,)) or ())


def _below(folder: Path, name: Sequence[str]) -> tuple[Path | None, ...] | None:
    executed: list[Path | None] = []
    for i, part in enumerate(name):
        package, module = folder / part / "__init__.py", folder / f"{part}.py"
        if os.path.isfile(package):
            executed.append(package)
        elif os.path.isfile(module):
            executed.append(module)
            return tuple(executed) if i == len(name) - 1 else None
        elif os.path.isdir(folder / part):
            executed.append(None)
        else:
            return None
        folder = folder / part
    return tuple(executed)


def _parts(reference: str) -> tuple[str, str]:
    """Source and attribute; a file may stand without one."""
    source, colon, attribute = reference.rpartition(":")
    return (source, attribute) if colon else (attribute, "")


class _Walk:
    """Follows names from one definition of a file."""

    def __init__(self, root: Path, start: Path) -> None:
        self._root = root
        self._folders = [root, start.parent]  # where the file is loaded, both can be imported from: registry.py
        self._reached: dict[Path, set[int]] = {}
        self._names: dict[Path, set[Import]] = {}  # imports that are used
        self._imported: dict[Path, None] = {}
        self._own: set[str] = set()
        self._beside: set[str] = set()
        self._files: set[Path] = set()
        self._everything = False
        self._todo: list[tuple[Path, int]] = []
        for folder in start.parents if start.is_relative_to(root) else ():  # the file is loaded as a module of them
            if folder.is_relative_to(root) and folder != root and (folder / "__init__.py").is_file():
                self.visit(folder / "__init__.py")

    def result(self) -> Reach:
        """Everything, once there is nothing left to follow."""
        self._work()
        while self._everything and (left := [path for path in self._imported if not self._is_whole(path)]):
            for path in left:
                self.whole(path)
            self._work()
        code = [f"{self._label(path)} {line}" for path in sorted(self._imported) for line in self._lines(path)]
        files = tuple(sorted(self._files))
        return Reach(tuple(code), frozenset(self._own), files, tuple(self._imported), frozenset(self._beside))

    def _lines(self, path: Path) -> Iterator[str]:
        module = syntax.module(path)
        if module.content or module.fault:
            yield hashlib.sha256(module.content).hexdigest()
        yield from sorted(f"import {imported.line}" for imported in self._names.get(path, ()))
        for i in sorted(self._reached.get(path, ())):
            yield module.units[i].digest

    def _label(self, path: Path) -> str:
        """A name for a file that is the same in every checkout."""
        inside = os.path.relpath(path, self._root).replace(os.sep, "/")
        return path.name if inside.startswith("../") else inside

    def _is_whole(self, path: Path) -> bool:
        return len(self._reached.get(path, ())) == len(syntax.module(path).units)

    def _work(self) -> None:
        while self._todo:
            path, index = self._todo.pop()
            self._follow(path, syntax.module(path).units[index])

    def visit(self, path: Path) -> None:
        """A module is imported: what does more than bind names is executed, and what it imports is imported."""
        if path in self._imported:
            return
        self._imported[path] = None
        module = syntax.module(path)
        if module.moves_path:
            self._look_around(path, module)
        for i, unit in enumerate(module.units):
            for imported in unit.imports if not isinstance(unit.node, ast.FunctionDef | ast.AsyncFunctionDef) else ():
                ours, _ = self._target(path, imported)
                if not ours and imported.name in module.unused:
                    self._names.setdefault(path, set()).add(imported)
            if unit.effects:
                self._reach(path, i)

    def _look_around(self, path: Path, module: Module) -> None:
        """A module changes `sys.path`: the folders that it names, its own and the one above may be meant."""
        named = (folder / text for unit in module.units for text in unit.texts for folder in (self._root, path.parent))
        for folder in (path.parent, path.parent.parent, *named):
            if folder not in self._folders and os.path.isdir(folder):
                self._folders.append(folder)

    def whole(self, path: Path) -> None:
        """All of a module is reached."""
        self.visit(path)
        for i in range(len(syntax.module(path).units)):
            self._reach(path, i)

    def attribute(self, path: Path, rest: Chain) -> None:
        """`rest` is used of a module: ("Block", "forward")."""
        self.visit(path)
        module = syntax.module(path)
        units = module.bound.get(rest[0], ())
        for i in units:
            unit = module.units[i]
            self._through(path, unit, rest)
            if not isinstance(unit.node, ast.Import | ast.ImportFrom):
                self._reach(path, i)
        if path.name == "__init__.py":
            self._member(path.parent, rest)
        if not units and (module.star or "__getattr__" in module.bound or rest[0].startswith("__")):
            self.whole(path)

    def _reach(self, path: Path, index: int) -> None:
        known = self._reached.setdefault(path, set())
        if index not in known:
            known.add(index)
            self._todo.append((path, index))

    def _follow(self, path: Path, unit: Unit) -> None:
        module = syntax.module(path)
        for imported in unit.imports:
            self._target(path, imported)
            if imported.attribute == "*":
                self._resolve_import(path, imported, ())
        for chain in unit.uses:
            self._through(path, unit, chain)
            if chain[0] in module.bound:
                self.attribute(path, chain)
            self._trick(path, unit, chain)
        if isinstance(unit.node, ast.ClassDef) and (unit.node.keywords or _hooks(unit.node)):
            self._everything = True
        for text in unit.texts:
            if text in module.bound:  # an annotation in quotes, or a name for getattr
                self.attribute(path, (text,))
            self._files.update(self._data(path, text))

    def _trick(self, path: Path, unit: Unit, chain: Chain) -> None:
        """What the text does not tell."""
        if chain[0] in TRICKS and len(chain) == 1:
            self.whole(path)
        elif chain[-1] == "__subclasses__" or chain == ("sys", "modules"):
            self._everything = True
        elif chain[-1] in IMPORTERS:
            self.whole(path)
            for text in unit.texts:
                self._by_name(path, text)
            for file in sorted(path.parent.glob("*.py")):
                self.whole(file)

    def _by_name(self, path: Path, text: str) -> None:
        parts = tuple(text.lstrip(".").split("."))
        if all(part.isidentifier() for part in parts):
            level = len(text) - len(text.lstrip("."))
            self._resolve_import(path, Import(level, parts, "", parts[0]), parts[1:])

    def _through(self, path: Path, unit: Unit, chain: Chain) -> None:
        """A name that an import in this unit binds."""
        for imported in unit.imports:
            if imported.name == chain[0]:
                self._names.setdefault(path, set()).add(imported)
                self._resolve_import(path, imported, chain[1:])

    def _resolve_import(self, path: Path, imported: Import, rest: Chain) -> None:
        """`rest` is used of what an import binds."""
        files, folder = self._target(path, imported)
        if folder is None:
            return
        if imported.attribute:
            rest = () if imported.attribute == "*" else (imported.attribute, *rest)
        elif imported.top:
            files, folder = self._located(replace(imported, module=imported.module[:1]), path)
            if folder is None:
                return
        if files and files[-1]:
            self.attribute(files[-1], rest) if rest else self.whole(files[-1])
        elif rest:
            self._member(folder, rest)

    def _member(self, folder: Path, rest: Chain) -> None:
        """A module in a package."""
        for file in _below(folder, rest[:1]) or ():
            if file is None:
                if len(rest) > 1:
                    self._member(folder / rest[0], rest[1:])
            elif len(rest) > 1:
                self.attribute(file, rest[1:])
            else:
                self.whole(file)

    def _target(self, path: Path, imported: Import) -> tuple[tuple[Path | None, ...], Path | None]:
        """Import what an import imports; its files, and the folder in which its members are."""
        if imported.level == 0 and imported.module[0] == OWN:
            name = ".".join(imported.module)
            self._own.update((name, f"{name}.{imported.attribute}"))
            return (), None
        files, folder = self._located(imported, path)
        for file in files:
            if file is not None:
                self.visit(file)
        if folder is not None and imported.attribute not in ("", "*"):
            for file in _below(folder, (imported.attribute,)) or ():  # `from . import blocks`
                if file is not None:
                    self.visit(file)
        return files, folder

    def _located(self, imported: Import, path: Path) -> tuple[tuple[Path | None, ...], Path | None]:
        module = imported.module
        if imported.level:
            base = path.parent
            for _ in range(imported.level - 1):
                base = base.parent
            files = _below(base, module) if module else _package(base)
        else:
            files = find(module, self._folders)
            base = next((f for f in self._folders if _below(f, module) is not None), self._root)
            if files and base != self._root:
                self._beside.add(module[0])
        return (files, base.joinpath(*module)) if files else ((), None)

    def _data(self, path: Path, text: str) -> Iterator[Path]:
        """Files that a text names, from the project's folder or from the file's own."""
        for folder in dict.fromkeys((self._root, path.parent)):
            file = folder / text
            if os.path.isfile(file):
                yield file


def _package(folder: Path) -> tuple[Path | None, ...]:
    file = folder / "__init__.py"
    return (file if file.is_file() else None,)


def _hooks(node: ast.ClassDef) -> bool:
    """True for a class that notices its subclasses."""
    return any(isinstance(below, ast.FunctionDef) and below.name == "__init_subclass__" for below in node.body)

"""What a function of the project reaches: the definitions that it uses, in its own file and in what that imports.

Told from syntax trees, so nothing is executed and no library is needed. A unit is one top-level statement of a module;
it is reached when something reached uses a name that it binds, or when it does more than bind a name and its module is
imported. Comments, docstrings, white space and what nothing uses do not count. Where the text cannot tell what is used
(a star import, `globals()`, `exec`, a module that is handed around, an import by a computed name), all of it counts.
"""

from __future__ import annotations

import ast
import hashlib
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

OWN = "edgeflow"  # its modules are told apart file by file, in fingerprint.py
# Functions by which code reaches names that its text does not have.
TRICKS = frozenset(("globals", "locals", "vars", "eval", "exec", "compile", "dir"))
IMPORTERS = frozenset(("__import__", "import_module"))
# Functions and decorators that make a value and change nothing else, by the last part of their name.
PURE = frozenset(
    (
        *("abstractmethod", "cache", "cached_property", "classmethod", "contextmanager", "dataclass", "deleter"),
        *("lru_cache", "no_grad", "overload", "override", "property", "setter", "staticmethod", "wraps"),
        *("NamedTuple", "NewType", "Path", "TypeVar", "field", "getLogger", "namedtuple", "partial"),
        *("bool", "bytes", "dict", "float", "frozenset", "int", "list", "range", "set", "str", "tuple", "zip"),
        *("len", "max", "min", "round", "sorted", "sum", "total_ordering"),
    )
)
Chain = tuple[str, ...]  # ("blocks", "Block", "forward") for `blocks.Block.forward`


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
    module = _module(path)
    if module.fault:
        return module.fault
    if attribute in module.bound or not module.tells_names:
        if path.is_relative_to(Path(__file__).parent):
            return ""
        walk = _Walk(root, path)
        walk.attribute(path, (attribute,))
        return next((_module(file).fault for file in walk.result().sources if _module(file).fault), "")
    defined = sorted(name for name, units in module.bound.items() if module.defines(name, units))
    return f"{path}: does not define {attribute!r}" + (f"; it defines {', '.join(defined)}" if defined else "")


def named(value: Any) -> list[str]:
    """The texts in an argument, also in lists and below keys, that may be the name of a file."""
    if isinstance(value, Mapping):
        return [text for below in value.values() for text in named(below)]
    if isinstance(value, list | tuple):
        return [text for below in value for text in named(below)]
    return [value] if isinstance(value, str) and _may_be_path(value) else []


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


def _may_be_path(text: str) -> bool:
    return 0 < len(text) < 1024 and "\0" not in text


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


# --- one module ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Import:
    """One name that an import statement binds, or a star."""

    level: int  # dots in front
    module: Chain
    attribute: str  # "" for `import module`, "*" for all of it
    name: str  # that is bound
    top: bool = False  # `import a.b` binds a

    @property
    def line(self) -> str:
        """All that it says."""
        return f"{'.' * self.level}{'.'.join(self.module)}:{self.attribute} as {self.name}"


@dataclass
class Unit:
    """One top-level statement."""

    node: ast.stmt
    keeps_docstrings: bool

    def read(self) -> None:
        """Look at all of it; RecursionError when it is nested too deep for that."""
        _ = self.digest, self.uses, self.binds, self.effects

    @cached_property
    def digest(self) -> str:
        """Of the syntax tree."""
        return digest_of(self.node, self.keeps_docstrings)

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        """Every import in it, inside functions too."""
        return tuple(imported for node in ast.walk(self.node) for imported in _imported(node))

    @cached_property
    def uses(self) -> frozenset[Chain]:
        """Names, and attributes of names, that occur in it."""
        return frozenset(_chains(self.node))

    @cached_property
    def texts(self) -> frozenset[str]:
        """Text that may be the name of a file or module."""
        nodes = (node.value for node in ast.walk(self.node) if isinstance(node, ast.Constant))
        return frozenset(text for text in nodes if isinstance(text, str) and _may_be_path(text))

    @cached_property
    def effects(self) -> bool:
        """True when it does more at import than to bind names."""
        return _has_effects(self.node)

    @cached_property
    def binds(self) -> frozenset[str]:
        """Names of the module that it gives a value, also through `global` in a function."""
        return frozenset(_bound(self.node)) | {
            name for node in ast.walk(self.node) if isinstance(node, ast.Global) for name in node.names
        }


@dataclass
class Module:
    """A parsed file of the project."""

    path: Path
    units: tuple[Unit, ...] = ()
    content: bytes = field(default=b"", repr=False)  # of a file whose units are not told
    fault: str = ""  # why it cannot be parsed

    @cached_property
    def bound(self) -> dict[str, list[int]]:
        """Name → the units that bind it."""
        binding: dict[str, list[int]] = {}
        for i, unit in enumerate(self.units):
            for name in unit.binds:
                binding.setdefault(name, []).append(i)
        return binding

    @cached_property
    def unused(self) -> frozenset[str]:
        """Names that it binds and does not use: an import of one of them is there for what it does."""
        return frozenset(self.bound) - {chain[0] for unit in self.units for chain in unit.uses}

    @cached_property
    def moves_path(self) -> bool:
        """True when it says where modules are imported from."""
        return any(chain[:2] == ("sys", "path") for unit in self.units for chain in unit.uses)

    @cached_property
    def star(self) -> bool:
        """True when it imports names that its text does not have."""
        return any(imported.attribute == "*" for unit in self.units for imported in unit.imports)

    @property
    def tells_names(self) -> bool:
        """False when it may define more than its text says."""
        if self.content or self.star or "__getattr__" in self.bound:
            return False
        used = {chain for unit in self.units if unit.effects for chain in unit.uses}
        return not any(chain[0] in TRICKS or chain[:2] == ("sys", "modules") for chain in used)

    def defines(self, name: str, units: Sequence[int]) -> bool:
        """True for a public function or class of its own."""
        kinds = (ast.FunctionDef, ast.ClassDef)
        return not name.startswith("_") and any(isinstance(self.units[i].node, kinds) for i in units)


def _module(path: Path) -> Module:
    """Parse a file, again only where it changed."""
    try:
        stat = path.stat()
    except OSError as error:
        return Module(path, fault=f"{path}: cannot be read: {error.strerror}")
    return _parsed(path, (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino))


@cache
def _parsed(path: Path, _stamp: tuple[int, ...]) -> Module:
    try:
        content = path.read_bytes()
    except OSError as error:
        return Module(path, fault=f"{path}: cannot be read: {error.strerror}")
    try:
        tree = parse(content)
        units = tuple(Unit(node, b"__doc__" in content) for node in tree.body if not _is_main(node))
        for unit in units:
            unit.read()
    except SyntaxError as error:
        line = f":{error.lineno}" if error.lineno else ""
        return Module(path, content=content, fault=f"{path}{line}: SyntaxError: {error.msg}")
    except RecursionError:  # an expression of a thousand terms: Python can run it
        return Module(path, content=content)
    return Module(path, units)


def parse(content: bytes) -> ast.Module:
    """The syntax tree; SyntaxError whatever is wrong with the text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an escape in somebody's text, say
        try:
            return ast.parse(content)
        except (ValueError, RecursionError, MemoryError) as error:  # zero bytes; nested too deep
            raise SyntaxError(str(error) or "nested too deep") from None


def digest_of(tree: ast.AST, keep_docstrings: bool = False) -> str:
    """Digest of a syntax tree without comments, white space and docstrings; of the tree itself these are taken out."""
    if not keep_docstrings:
        _drop_docstrings(tree)
    return hashlib.sha256(ast.dump(tree).encode("utf-8", "surrogatepass")).hexdigest()


def _drop_docstrings(tree: ast.AST) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and type(first.value.value) is str:
                node.body = node.body[1:] or [ast.Pass()]


def _imported(node: ast.AST) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            parts = tuple(alias.name.split("."))
            yield Import(0, parts, "", alias.asname or parts[0], top=alias.asname is None and len(parts) > 1)
    elif isinstance(node, ast.ImportFrom):
        module = tuple((node.module or "").split(".")) if node.module else ()
        for alias in node.names:
            yield Import(node.level, module, alias.name, alias.asname or alias.name)


def _chains(node: ast.AST) -> Iterator[Chain]:
    if isinstance(node, ast.Attribute):
        parts = [node.attr]
        below: ast.expr = node.value
        while isinstance(below, ast.Attribute):
            parts.append(below.attr)
            below = below.value
        if isinstance(below, ast.Name):
            yield (below.id, *reversed(parts))
            return
    elif isinstance(node, ast.Name):
        yield (node.id,)
    for child in ast.iter_child_nodes(node):
        yield from _chains(child)


def _bound(node: ast.stmt) -> Iterator[str]:
    """Names that a statement binds in its own scope."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
        return
    for imported in _imported(node):
        yield imported.name
    for child in ast.iter_child_nodes(node):
        yield from _bound_below(child)


def _bound_below(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Lambda):
        return
    if isinstance(node, ast.stmt):
        yield from _bound(node)
        return
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
        yield node.name
    for child in ast.iter_child_nodes(node):
        yield from _bound_below(child)


def _is_main(node: ast.stmt) -> bool:
    """True for `if __name__ == "__main__":`, which an import does not run; what follows `else` is no more than that."""
    if not isinstance(node, ast.If) or node.orelse or not isinstance(node.test, ast.Compare):
        return False
    name, values = node.test.left, node.test.comparators
    named = isinstance(name, ast.Name) and name.id == "__name__" and isinstance(node.test.ops[0], ast.Eq)
    return named and isinstance(values[0], ast.Constant) and values[0].value == "__main__"


def _has_effects(node: ast.stmt) -> bool:
    if isinstance(node, ast.ImportFrom):  # what an import executes is visited; which names a star binds is not told
        return any(alias.name == "*" for alias in node.names)
    if isinstance(node, ast.Import | ast.Pass | ast.Global):
        return False
    if isinstance(node, ast.Expr):
        return not isinstance(node.value, ast.Constant)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        defaults = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
        return any(map(_is_impure, node.decorator_list)) or any(map(_calls, defaults))
    if isinstance(node, ast.ClassDef):
        made = any(map(_is_impure, node.decorator_list)) or bool(node.keywords) or any(map(_calls, node.bases))
        return made or any(map(_has_effects, node.body))
    if isinstance(node, ast.Assign):
        return not all(map(_is_name, node.targets)) or _calls(node.value)
    if isinstance(node, ast.AnnAssign | ast.AugAssign):
        return not _is_name(node.target) or (node.value is not None and _calls(node.value))
    if isinstance(node, ast.If):
        return _calls(node.test) or any(map(_has_effects, [*node.body, *node.orelse]))
    return True


def _is_name(node: ast.expr) -> bool:
    if isinstance(node, ast.Tuple | ast.List):
        return all(map(_is_name, node.elts))
    return isinstance(node, ast.Name) or (isinstance(node, ast.Starred) and _is_name(node.value))


def _calls(node: ast.AST) -> bool:
    """True when an expression calls something that may do more than make a value; not inside a lambda."""
    if isinstance(node, ast.Lambda):
        return False
    if isinstance(node, ast.Call | ast.Await) and _is_impure(node):
        return True
    return any(map(_calls, ast.iter_child_nodes(node)))


def _is_impure(node: ast.AST) -> bool:
    """True for a decorator, or a call, of something that is not known to be without effects."""
    function = node.func if isinstance(node, ast.Call) else node
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name not in PURE


# --- from one module to the next -------------------------------------------------------------------------------------


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
        module = _module(path)
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
        return len(self._reached.get(path, ())) == len(_module(path).units)

    def _work(self) -> None:
        while self._todo:
            path, index = self._todo.pop()
            self._follow(path, _module(path).units[index])

    def visit(self, path: Path) -> None:
        """A module is imported: what does more than bind names is executed, and what it imports is imported."""
        if path in self._imported:
            return
        self._imported[path] = None
        module = _module(path)
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
        for i in range(len(_module(path).units)):
            self._reach(path, i)

    def attribute(self, path: Path, rest: Chain) -> None:
        """`rest` is used of a module: ("Block", "forward")."""
        self.visit(path)
        module = _module(path)
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
        module = _module(path)
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

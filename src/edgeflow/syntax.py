"""What one file of Python says, told from its syntax tree: its top-level statements, what they bind and what they use.

Nothing is executed. Comments, docstrings and white space do not count.
"""

from __future__ import annotations

import ast
import hashlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

# Functions by which code reaches names that its text does not have.
TRICKS = frozenset(("globals", "locals", "vars", "eval", "exec", "compile", "dir"))
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
        return frozenset(text for text in nodes if isinstance(text, str) and may_be_path(text))

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


def module(path: Path) -> Module:
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


def may_be_path(text: str) -> bool:
    """True for what may be the name of a file."""
    return 0 < len(text) < 1024 and "\0" not in text

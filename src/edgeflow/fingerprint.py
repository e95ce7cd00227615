"""What a stage's result depends on beside its files: its source, what that imports, its plugins and its lock.

A fingerprint is a `param` of the rule, so that Snakemake reruns exactly the stages whose code changed.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent


def fingerprint(
    stage: str, sources: Iterable[Path] = (), lock: Path | None = None, libraries: Sequence[str] = ()
) -> str:
    """Hexadecimal digest over the stage's module, `sources` (plugins, builders), what both import, and the lock.

    `libraries`: of the lock these alone.
    """
    files = _closure([PACKAGE / "stages" / f"{stage}.py", *sources])
    digest = hashlib.sha256()
    for line in sorted(f"{_label(path)} {_sha256(path)}\n" for path in files):  # sources may share a name
        digest.update(line.encode())
    if lock is not None and lock.is_file():
        digest.update(f"lock {lock_digest(lock, libraries)}\n".encode())
    return digest.hexdigest()[:16]


def lock_digest(lock: Path, libraries: Sequence[str] = ()) -> str:
    """Digest of the pinned requirements, of all or of these; whatever their order, comments and white space."""
    lines = (line.partition("#")[0].strip() for line in lock.read_text(encoding="utf-8").splitlines())
    wanted = (line for line in lines if not libraries or line.partition("==")[0].strip().lower() in libraries)
    return hashlib.sha256("\n".join(sorted(filter(None, wanted))).encode()).hexdigest()


def _label(path: Path) -> str:
    """A name for a file that is the same in every checkout."""
    resolved = path.resolve()
    return resolved.relative_to(PACKAGE).as_posix() if resolved.is_relative_to(PACKAGE) else path.name


def _closure(start: Iterable[Path]) -> set[Path]:
    files: set[Path] = set()
    todo = [path.resolve() for path in start]
    while todo:
        path = todo.pop()
        if path not in files:
            files.add(path)
            todo.extend(_imports(path))
    return files


@cache
def _imports(path: Path) -> tuple[Path, ...]:
    """The modules of edgeflow that a file imports anywhere, inside functions too."""
    if path.suffix != ".py":  # a template, say
        return ()
    names: set[str] = set()
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError:  # for the job that runs it to say
        return ()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
    return tuple(file for name in names if (file := _module_file(name)) is not None)


def _module_file(name: str) -> Path | None:
    if not name.startswith("edgeflow."):
        return None
    base = PACKAGE.joinpath(*name.split(".")[1:])
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


@cache
def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

"""What a stage's result depends on beside its files: its source, what that imports, its plugins and its lock.

A fingerprint is a `param` of the rule, so that Snakemake reruns exactly the stages whose code changed. Of edgeflow a
stage depends on modules, of the project on the definitions that it reaches (reach.py); comments and docstrings count
in neither.
"""

from __future__ import annotations

import ast
import atexit
import contextlib
import hashlib
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from edgeflow import files, layout, pointers, reach, registry, syntax
from edgeflow.errors import DataError

PACKAGE = Path(__file__).parent
ASKS_FOR = "# python:"  # how the line of a lock begins that asks for a Python; to pip and uv it is a comment
LOCAL = (".", "/", "file:")  # how the place of a wheel or a folder of this machine begins


def fingerprint(
    stage: str,
    references: Iterable[str] = (),
    sources: Iterable[Path] = (),
    lock: Path | None = None,
    libraries: Sequence[str] = (),
    *,
    installed: bool = False,
) -> str:
    """Hexadecimal digest over the stage's module, what `references` (plugins, builders) and `sources` reach, the lock.

    `libraries`: of the lock these alone. `installed`: modules of others are those of this interpreter; else the lock
    says which they are. A source that is missing or broken has a fingerprint too: the stage says what is wrong.
    """
    own = {PACKAGE / "stages" / f"{stage}.py"}
    lines: set[str] = set()
    for reference in references:
        module = reference.rpartition(":")[0]
        path = reach.source_file(module)
        if path is None:
            lines.update(_foreign(module, installed=installed))
        elif _is_own(path):
            own.add(path)
        else:
            own |= _reached(reference, reference, lines)
    for source in sources:
        if _is_own(source):
            own.add(source)
        else:
            own |= _reached(str(source), source.name, lines)
    lines.update(f"{path.relative_to(PACKAGE).as_posix()} {_source(path)['code']}" for path in _closure(own))
    if lock is not None and lock.is_file():
        lines.add(f"lock {lock_digest(lock, libraries)}")
    return hashlib.sha256("".join(f"{line}\n" for line in sorted(lines)).encode()).hexdigest()[:16]


def _is_own(path: Path) -> bool:
    return path.resolve().is_relative_to(PACKAGE)


def _reached(reference: str, label: str, lines: set[str]) -> set[Path]:
    """The modules of edgeflow that code of the project imports; what else it reaches goes to `lines`."""
    reached = reach.of(reference)
    lines.add(f"{label} {hashlib.sha256(repr(reached.code).encode()).hexdigest()}")
    lines.update(_digests(reached.files))
    return {path for name in reached.own if (path := reach.source_file(name)) is not None}


def _foreign(module: str, *, installed: bool) -> list[str]:
    """Code that is neither edgeflow's nor the project's.

    Of a plugin that is installed beside edgeflow, its file, which is all that a toolchain gets of it. Of a builder
    nothing where a lock says what is installed, else its package as it is here.
    """
    if module in sys.modules:
        files_of = [registry.file_of(f"{module}:plugin")]
    else:
        files_of = registry.files_of_package(module) if installed else []
    return [f"{module} {line}" for line in _digests(files_of)]


def _digests(paths: Sequence[Path], folder: Path | None = None) -> list[str]:
    """A line a file, with its name in `folder` or its own."""
    digests = pointers.digests(paths) if paths else {}
    names = {path: Path(path).relative_to(folder).as_posix() if folder else Path(path).name for path in digests}
    return [f"{names[path]} {digest}" for path, digest in digests.items()]


# --- edgeflow's own modules ------------------------------------------------------------------------------------------


def _closure(start: Iterable[Path]) -> set[Path]:
    closure: set[Path] = set()
    todo = [path.resolve() for path in start]
    while todo:
        path = todo.pop()
        if path not in closure:
            closure.add(path)
            todo.extend(PACKAGE / name for name in _source(path)["imports"])
    return closure


def _source(path: Path) -> Mapping[str, Any]:
    """`{"code": digest, "imports": [file in the package, …]}` of a file of edgeflow, kept as long as it stays the same.

    Parsing them takes a third of a second, which every run would wait for.
    """
    known, stamp = _known(), pointers.stamp(path)
    entry = known.get(str(path))
    if entry is None or entry["stamp"] != stamp:
        entry = known[str(path)] = {"stamp": stamp, **_read(path)}
    return entry


def _read(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    try:
        tree = syntax.parse(content) if path.suffix == ".py" else None  # or a template
    except SyntaxError:
        tree = None
    if tree is None:
        return {"code": hashlib.sha256(content).hexdigest(), "imports": []}
    return {"code": syntax.digest_of(tree, keep_docstrings=b"__doc__" in content), "imports": _imports(tree)}


def _imports(tree: ast.Module) -> list[str]:
    """The modules of edgeflow that are imported anywhere, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
    paths = (reach.source_file(name) for name in names if name.startswith(f"{reach.OWN}."))
    return sorted(path.relative_to(PACKAGE).as_posix() for path in paths if path is not None)


@cache
def _known() -> dict[str, Any]:
    """What was found out in earlier runs with the same code, path → entry; what is added is written at the end."""
    record = Path(layout.sources())
    made_by = [sys.version, *(pointers.stamp(Path(file)) for file in (__file__, syntax.__file__, reach.__file__))]
    before: Any = {}
    with contextlib.suppress(DataError):
        before = files.read_json(record)
    known: dict[str, Any] = dict(before["files"]) if before and before["made_by"] == made_by else {}

    def keep() -> None:
        if known != before.get("files"):
            with contextlib.suppress(OSError):  # a project that cannot be written to
                files.write_json(record, {"made_by": made_by, "files": known})

    if record.parent.is_dir():  # Snakemake's
        atexit.register(keep)
    return known


# --- locks -----------------------------------------------------------------------------------------------------------


def lock_files(lock: Path) -> list[Path]:
    """The lock of a toolchain and the one with what the user's own code needs: envs/torch.txt, envs/torch.user.txt.

    That is in the project also where the toolchain's is the installed one.
    """
    folder = layout.LOCKS if lock.is_relative_to(layout.PACKAGED) else lock.parent
    return [path for path in (lock, Path(folder, f"{lock.stem}.user.txt")) if path.is_file()]


def requirements(lock: Path) -> list[str]:
    """The pinned requirements of a toolchain, sorted, without comments and white space."""
    lines = (line for path in lock_files(lock) for line in path.read_text(encoding="utf-8").splitlines())
    return sorted({kept for line in lines if (kept := re.sub(r"(^|\s)#.*", "", line).strip())})


def least_python(lock: Path) -> tuple[int, int]:
    """The Python that a toolchain asks for in a line `# python: >=3.12` of its lock; (0, 0) where any will do.

    Raises DataError for a line that says anything else.
    """
    for line in lock.read_text(encoding="utf-8").splitlines():
        if line.startswith(ASKS_FOR):
            said = re.fullmatch(r">= ?(\d+)\.(\d+)", line.removeprefix(ASKS_FOR).strip())
            if said is None:
                raise DataError(f"{lock}: {line!r} is not understood; write '{ASKS_FOR} >=3.12'")
            return int(said[1]), int(said[2])
    return 0, 0


def local(requirement: str) -> Path | None:
    """The wheel or folder of this machine that a requirement names: `./libs/nets`, `nets @ file:./libs/nets`."""
    where = requirement.partition(" @ ")[2] or requirement.removeprefix("-e ").strip()
    path = Path(where.removeprefix("file://").removeprefix("file:"))
    return path if where.startswith(LOCAL) and path.exists() else None


def lock_digest(lock: Path, libraries: Sequence[str] = ()) -> str:
    """Digest of the pinned requirements, of all or of these, and of the wheels and folders that they name.

    Raises DataError when there is no lock.
    """
    if not lock.is_file():
        raise DataError(f"{lock}: no such lock")
    lines = [line for line in requirements(lock) if not libraries or _project(line) in libraries]
    contents = [digest for line in lines if (path := local(line)) for digest in _contents(path)]
    if any(least := least_python(lock)):
        contents.append(f"python {least}")
    return hashlib.sha256("\n".join([*lines, *contents]).encode()).hexdigest()


def _project(requirement: str) -> str:
    return requirement.partition("==")[0].strip().lower()


def _contents(path: Path) -> list[str]:
    """Digest of a wheel, or of each file of a folder but what a build leaves there."""
    if path.is_file():
        return _digests([path])
    sources = [file for file in sorted(path.rglob("*")) if not any(map(_is_left, file.relative_to(path).parts))]
    return _digests(sources, path)


def _is_left(part: str) -> bool:
    return part in ("build", "__pycache__") or part.endswith(".egg-info") or part.startswith(".")

"""Interpreters for toolchains that ask for another Python than edgeflow's: those that this machine has.

A lock asks in a comment of its own, `# python: >=3.12`, which pip and uv pass over. Nothing is ever downloaded.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from edgeflow.errors import ToolchainError
from edgeflow.fingerprint import least_python

Version: TypeAlias = tuple[int, int]  # 3, 12

INTERPRETERS = "EDGEFLOW_PYTHONS"  # further interpreters, separated as PATH is; they come first
PATIENCE_S = 20.0  # an interpreter on a slow disk takes seconds to say what it is
_SAY = "import sys; print(*sys.version_info[:2], sys.implementation.name)"


def find(lock: Path) -> tuple[Path, Version]:
    """The interpreter for a toolchain: edgeflow's own where that will do, else the oldest that will.

    The oldest, since the lock was resolved for it. Raises ToolchainError that says what there is and what to do.
    """
    least = least_python(lock)
    if least <= (here := sys.version_info[:2]):
        return Path(sys.executable), here
    seen: dict[Version, Path] = {here: Path(sys.executable)}
    for candidate in _candidates(least):
        version = _version(candidate)
        if version is not None:
            seen.setdefault(version, candidate)
        if version == least:
            break
    if enough := [version for version in sorted(seen) if version >= least]:
        return seen[enough[0]], enough[0]
    raise ToolchainError(
        f"{lock.stem} needs Python {_text(least)} or newer, and this machine has none that was found (edgeflow runs in "
        f"{_text(here)}): install one, put it on the PATH or name it in {INTERPRETERS}"
    )


def _text(version: Version) -> str:
    return ".".join(map(str, version))


def _candidates(least: Version) -> Iterator[Path]:
    """Files that may be an interpreter of that version or newer, the likely ones first."""
    for name in filter(None, os.environ.get(INTERPRETERS, "").split(os.pathsep)):
        yield Path(name)
    for folder in map(Path, os.get_exec_path()):
        for path in _oldest_first(folder, "python*"):
            named = re.fullmatch(r"python(\d+)\.(\d+)", path.name)
            if named and _pair(named) >= least:
                yield path
    for root in _managed():
        for path in _oldest_first(root, "*"):
            named = re.search(r"(\d+)\.(\d+)", path.name)
            if named and _pair(named) >= least:
                yield path / "bin/python3"
    for folder in map(Path, os.get_exec_path()):
        yield from (folder / name for name in ("python3", "python") if (folder / name).is_file())


def _managed() -> Iterator[Path]:
    """Folders in which version managers keep one interpreter a folder: pyenv, uv, asdf."""
    home = Path.home()
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share")
    yield Path(os.environ.get("PYENV_ROOT") or home / ".pyenv") / "versions"
    yield Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv/python")
    yield Path(os.environ.get("ASDF_DATA_DIR") or home / ".asdf") / "installs/python"


def _oldest_first(folder: Path, pattern: str) -> list[Path]:
    try:
        return sorted(folder.glob(pattern), key=lambda path: [int(n) for n in re.findall(r"\d+", path.name)])
    except OSError:  # a folder that cannot be read has nothing for us
        return []


def _pair(match: re.Match[str]) -> Version:
    return int(match[1]), int(match[2])


def _version(candidate: Path) -> Version | None:
    """What a file says that it is; None where it is no CPython that starts, such as a version manager's stand-in."""
    try:
        said = subprocess.run(
            [str(candidate), "-I", "-S", "-c", _SAY], capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    words = said.stdout.split()
    if said.returncode != 0 or words[2:] != ["cpython"]:
        return None
    return int(words[0]), int(words[1])

"""Toolchains: pinned Python environments, made with uv from `envs/<id>.txt` when a stage needs one.

`EDGEFLOW_ENVS=system` runs every stage in the current interpreter instead, for containers and conda.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgeflow import files, layout
from edgeflow.errors import ToolchainError
from edgeflow.fingerprint import least_python, local, lock_digest, lock_files, requirements
from edgeflow.toolchains import CORE, pythons, system

CACHE = "EDGEFLOW_CACHE"  # folder of what projects of a user share


def create(toolchain: str, lock: Path, stamp: Path) -> None:
    """Give the project the environment of a toolchain as its lock says; the stamp goes first and is written last. It
    depends on the lock and on the minor version of Python alone: a clone on another machine has the same one.

    Projects of one user share environments (`shared`): the second project with a lock has its own at once.
    Raises ToolchainError with uv's message when a package cannot be installed, and where the lock asks for a Python
    that this machine does not have.
    """
    interpreter, version = pythons.find(lock)
    stamp.unlink(missing_ok=True)  # else it stands for an environment that was cleared and could not be filled
    environment = stamp.with_suffix("")
    record = {"toolchain": toolchain, "lock_sha256": lock_digest(lock), "python": ".".join(map(str, version))}
    kept = shared(lock, interpreter)
    if kept is None:
        _remove(environment)
        _install(lock, interpreter, environment)
    else:
        with _held(kept.with_suffix(".lock")):
            whole = kept / stamp.name
            if not whole.is_file():
                _install(lock, interpreter, kept)
                files.write_json(whole, record)
        _remove(environment)
        environment.parent.mkdir(parents=True, exist_ok=True)
        environment.symlink_to(kept)
    files.write_json(stamp, record)


def shared(lock: Path, interpreter: Path) -> Path | None:
    """Where the environment of a lock is kept for all projects of a user; None where it is the project's alone, since
    it holds a wheel or folder of the project, or nothing can be kept.

    In the folder that EDGEFLOW_CACHE names, by default in the user's cache. Whatever is there can be removed.
    """
    if any(map(local, requirements(lock))):
        return None
    about = (lock_digest(lock), str(interpreter.resolve()), sys.platform, platform.machine())
    key = hashlib.sha256("\n".join(about).encode()).hexdigest()[:16]
    cache = os.environ.get(CACHE) or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "edgeflow")
    folder = Path(cache).expanduser().absolute() / "toolchains"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # a home that cannot be written, or none
        return None
    return folder / f"{lock.stem}-{key}" if os.access(folder, os.W_OK) else None


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    """One at a time: of several projects that need an environment, one makes it."""
    import fcntl

    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _remove(environment: Path) -> None:
    if environment.is_symlink():
        environment.unlink()
    elif environment.exists():
        shutil.rmtree(environment)


def _install(lock: Path, interpreter: Path, environment: Path) -> None:
    _uv("venv", "--quiet", "--clear", "--python", str(interpreter), str(environment))
    locks = lock_files(lock)  # the toolchain's, and that of the user's own requirements
    fresh = ["--refresh"] if any(map(local, requirements(lock))) else []  # uv keeps what it built of a folder
    options = ["--quiet", "--python", str(_python(environment)), *fresh, *_torch_backend(lock)]
    _uv("pip", "sync", *options, *map(str, locks))


def why_not(toolchain: str) -> str:
    """Why this machine cannot have a toolchain, for planning: it has no lock, or needs a Python that is nowhere here.

    "": it can.
    """
    if toolchain == CORE:
        return ""
    lock = Path(layout.toolchain(toolchain)["lock"])
    if not lock.is_file():
        return f"there is no toolchain {toolchain!r}: its lock {layout.LOCKS}/{toolchain}.txt is missing"
    least, here = least_python(lock), sys.version_info[:2]
    if least <= here:
        return ""
    if system():
        needs = f"{toolchain} needs Python {least[0]}.{least[1]} or newer"
        return f"{needs}, and EDGEFLOW_ENVS=system runs it in {here[0]}.{here[1]}"
    try:
        python_of(toolchain)
    except ToolchainError:
        try:
            pythons.find(lock)
        except ToolchainError as error:
            return str(error)
    return ""


def _torch_backend(lock: Path) -> Sequence[str]:
    """PyTorch's index serves a CUDA build of several GB by default; an offline wheel folder takes precedence."""
    pinned = any(line.startswith("torch==") for line in lock.read_text(encoding="utf-8").splitlines())
    return ("--torch-backend", "cpu") if pinned and not _find_links() else ()


def _find_links() -> str:
    """uv does not read pip's setting for extra wheel folders, so it is handed on."""
    return os.environ.get("UV_FIND_LINKS") or os.environ.get("PIP_FIND_LINKS", "")


def _uv(*arguments: str) -> None:
    environment = {**os.environ, "UV_FIND_LINKS": _find_links()}
    command = [sys.executable, "-m", "uv", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ToolchainError(f"'uv {' '.join(arguments)}' failed:\n{done.stderr.strip()}")


def _python(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def python_of(toolchain: str) -> Path:
    """The interpreter of a toolchain.

    Raises ToolchainError with the command that makes it when it does not exist.
    """
    if toolchain == CORE or system():
        return Path(sys.executable)
    paths = layout.toolchain(toolchain)
    if not Path(paths["stamp"]).is_file():
        raise ToolchainError(f"toolchain {toolchain!r} is not installed here: run 'edgeflow toolchain {toolchain}'")
    lock = Path(paths["lock"])  # absent where stages run by hand, outside a project
    if lock.is_file() and files.read_json(Path(paths["stamp"])).get("lock_sha256") != lock_digest(lock):
        raise ToolchainError(
            f"{paths['lock']} has changed since it was installed: run 'edgeflow toolchain {toolchain}'"
        )
    return _python(Path(paths["environment"]))

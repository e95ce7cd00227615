"""DVC through its command line, in the toolchain `track`: it is imported nowhere."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from edgeflow import files, layout
from edgeflow.errors import ToolchainError, TrackingError
from edgeflow.toolchains import environments
from edgeflow.tracking.lock import exclusive

TOOLCHAIN = "track"
_NOISE = ("Having any troubles?", "WARNING: The following untracked files")
_MAX_LINES = 12  # of DVC's own words in a message: it may list thousands of missing objects


def python() -> Path:
    """The interpreter of the toolchain, which is made on first use."""
    try:
        return environments.python_of(TOOLCHAIN).absolute()
    except ToolchainError:
        with exclusive("toolchain_lock"):
            try:  # somebody else may have made it while we waited
                return environments.python_of(TOOLCHAIN).absolute()
            except ToolchainError:
                paths = layout.toolchain(TOOLCHAIN)
                environments.create(TOOLCHAIN, Path(paths["lock"]), Path(paths["stamp"]))
        return environments.python_of(TOOLCHAIN).absolute()


def environment() -> dict[str, str]:
    """Variables for the toolchain's Python, which keeps its bytecode: compiling MLflow at every start takes seconds."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def run(*arguments: str) -> str:
    """Standard output of `dvc <arguments>` in the current folder.

    Raises TrackingError with DVC's own words when it fails.
    """
    _clear_stale_lock()
    command = [str(python()), "-m", "dvc", *arguments]
    variables = {**environment(), "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = _said(done.stderr) or _said(done.stdout) or f"exit code {done.returncode}"
        raise TrackingError(f"'dvc {arguments[0]}' failed: {said}")
    return done.stdout


def _clear_stale_lock() -> None:
    """Remove what killed processes left in DVC's lock; it takes one that nobody has reaped for a running one."""
    path = Path(".dvc/tmp/rwlock")
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        holders = [
            holder for entry in entries.values() for holder in (entry.get("write"), *entry.get("read", [])) if holder
        ]
        dead = not any(files.alive(int(holder["pid"])) for holder in holders)
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError, AttributeError):  # half written
        dead = True
    if dead:
        path.unlink(missing_ok=True)


def _said(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(_NOISE)]
    errors = [line for line in lines if line.startswith("ERROR")]
    shown = errors[:_MAX_LINES] or lines[-_MAX_LINES:]
    return "\n".join(shown)


def require() -> None:
    """Raises TrackingError that says which command to run, unless DVC is set up here."""
    if not Path(".dvc/config").is_file():
        raise TrackingError("DVC is not set up in this project: run 'edgeflow init-tracking'")


def remote() -> str:
    """Name of the default remote; "" when there is none."""
    try:
        return run("config", "core.remote").strip()
    except TrackingError:
        return ""


def require_remote() -> None:
    """Raises TrackingError that says which command to run, unless there is a default remote."""
    require()
    if not remote():
        raise TrackingError("DVC has no remote here: run 'edgeflow init-tracking REMOTE', a folder or an address")


def cache() -> Path:
    """The folder of cached objects, by the MD5 of their content."""
    return Path(run("cache", "dir").strip()) / "files" / "md5"

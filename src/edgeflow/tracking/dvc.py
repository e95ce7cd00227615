"""DVC through its command line, in the toolchain `track`: it is imported nowhere."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgeflow import host, layout
from edgeflow.errors import ToolchainError, TrackingError
from edgeflow.toolchains import environments
from edgeflow.tracking.lock import exclusive
from edgeflow.tracking.secrets import redacted

TOOLCHAIN = "track"
SCRIPT = Path(__file__).with_name("bring.py")
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
    return _run(["-m", "dvc", *arguments], "", f"dvc {arguments[0]}")


def bring(objects: Iterable[tuple[str, str]]) -> None:
    """Bring single objects, (MD5, remote or ""), into the cache where the remote has them; of a folder its list alone.

    Raises TrackingError with DVC's own words when the remote cannot be reached.
    """
    wanted: dict[str, list[str]] = {}
    for md5, remote in objects:
        wanted.setdefault(remote, []).append(md5)
    if wanted:
        _run(["-P", str(SCRIPT)], json.dumps(wanted), "dvc fetch")


def _run(arguments: Sequence[str], given: str, name: str) -> str:
    _clear_stale_lock()
    process = subprocess.Popen(
        [str(python()), *arguments],
        env={**environment(), "DVC_NO_ANALYTICS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process, _recorded(process.pid):
        said, errors = process.communicate(given)
    if process.returncode != 0:
        why = _said(errors) or _said(said) or f"exit code {process.returncode}"
        raise TrackingError(f"'{name}' failed: {redacted(why)}")
    return said


@contextmanager
def _recorded(process: int) -> Iterator[None]:
    """Have it known that a process of DVC is one of ours, as long as it runs."""
    record = Path(layout.tracking()["dvc"]) / host.owner(process)
    record.parent.mkdir(parents=True, exist_ok=True)
    record.touch()
    yield
    record.unlink(missing_ok=True)  # not when this process is killed, and DVC with it


def _clear_stale_lock() -> None:
    """Remove what killed processes of ours left in DVC's lock; it takes one that nobody has reaped for a running one.

    What others left there, on this host or another that shares the folder, is for DVC to judge.
    """
    records = Path(layout.tracking()["dvc"])
    ended = [record for record in records.glob("*") if host.ended(record.name)]
    if not ended:
        return
    ours = {record.name.split("-")[1] for record in ended}
    path = Path(".dvc/tmp/rwlock")
    try:
        if {str(holder["pid"]) for holder in _holders(json.loads(path.read_text(encoding="utf-8")))} <= ours:
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        pass
    except (ValueError, KeyError, TypeError, AttributeError):  # half written when it was killed
        path.unlink(missing_ok=True)
    for record in ended:
        record.unlink(missing_ok=True)


def _holders(lock: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Who writes a path, and all who read one: `{"write": {path: holder}, "read": {path: [holder, …]}}`."""
    yield from lock.get("write", {}).values()
    for readers in lock.get("read", {}).values():
        yield from readers


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

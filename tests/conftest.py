"""What all tests share: the project folder and the interpreters of its toolchains."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeflow.toolchains.environments import why_not

PROJECT = Path(__file__).parent.parent
PATIENCE_S = 60


def pytest_collection_finish(session: pytest.Session) -> None:
    """What a group of tests shares takes minutes to make: it must not be made by every worker, unnoticed."""
    if getattr(session.config.option, "loadgroup", False):
        ungrouped = [
            item for item in session.items if item.get_closest_marker("xdist_group") and "@" not in item.nodeid
        ]
        if ungrouped:
            pytest.exit(f"xdist does not group tests, e.g. {ungrouped[0].nodeid}: its release does not fit pytest's", 3)


@pytest.fixture(scope="session", autouse=True)
def signals_that_arrive() -> None:
    """Under `nohup` or in the background of a script some are ignored, and so they would be in all that tests start."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def warm_workers() -> Iterator[None]:
    """Warm workers of this session alone, shared by all of its tests; none is left behind."""
    folder = tempfile.mkdtemp(prefix="ef-")  # short: a socket's path has 107 characters at most
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as run, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", folder)
        patch.setenv("EDGEFLOW_RUN", str(run.pid))
        yield
        run.kill()
    left = [pid for pid in _workers(folder) if not wait_for_end(pid)]
    shutil.rmtree(folder)
    assert not left, f"warm workers that are still there: {left}"


def _workers(folder: str) -> list[int]:
    """Process ids of the workers whose socket is in a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it has ended meanwhile
            continue
        if any(word.endswith("worker.py") for word in words) and any(word.startswith(folder) for word in words):
            found.append(int(path.parent.name))
    return found


def wait_for_end(pid: int) -> bool:
    """Wait until a process has ended; False when it does not."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        readable, _, _ = select.select([descriptor], [], [], PATIENCE_S)
    finally:
        os.close(descriptor)
    return bool(readable)


@pytest.fixture(scope="session")
def project() -> Path:
    """The checkout."""
    return PROJECT


def _interpreter(toolchain: str) -> Path:
    python = PROJECT / ".toolchains" / toolchain / "bin" / "python"
    if not python.exists():
        pytest.fail(f"toolchain {toolchain} is missing: run 'make test', which makes it")
    return python


@pytest.fixture(scope="session")
def torch_python() -> Path:
    """The interpreter of the torch toolchain."""
    return _interpreter("torch")


@pytest.fixture(scope="session")
def edge_python() -> Path:
    """The interpreter of the edge toolchain."""
    return _interpreter("edge")


@pytest.fixture(scope="session")
def tf_python() -> Path:
    """The interpreter of the TensorFlow toolchain."""
    return _interpreter("tf")


@pytest.fixture(scope="session")
def without_onnx2tf() -> str:
    """Why this machine has no toolchain onnx2tf: it needs a newer Python. "": it has one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(PROJECT)
        return why_not("onnx2tf")


@pytest.fixture(scope="session")
def onnx2tf_python(without_onnx2tf: str) -> Path:
    """The interpreter of the onnx2tf toolchain; skips where this machine has no Python for it."""
    if without_onnx2tf:
        pytest.skip(without_onnx2tf)
    return _interpreter("onnx2tf")

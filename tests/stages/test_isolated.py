"""Work in a child process: what it returns and raises comes back, and how it ends is told apart."""

from __future__ import annotations

import errno
import os
import signal
import tempfile
from pathlib import Path

import numpy as np
import pytest

from edgeflow.errors import StageError, StorageError
from edgeflow.plugin import CRASHES, Runtime, Unsupported
from edgeflow.registry import load_reference
from edgeflow.runners.harness import RefusedError
from edgeflow.stages.isolated import CrashError, attempt, in_child


def test_what_is_returned_and_written_is_there(tmp_path: Path) -> None:
    def work() -> tuple[int, np.ndarray]:
        (tmp_path / "written").write_text("by the child")
        return os.getpid(), np.arange(1_000_000, dtype=np.float32)

    process, values = in_child(work, "working")
    assert process != os.getpid()
    assert np.array_equal(values, np.arange(1_000_000, dtype=np.float32))
    assert (tmp_path / "written").read_text() == "by the child"


def test_what_is_raised_is_raised_here_with_its_traceback() -> None:
    def work() -> None:
        raise ModuleNotFoundError("No module named 'absent'", name="absent")

    with pytest.raises(ModuleNotFoundError) as missing:
        in_child(work, "working")
    assert missing.value.name == "absent"
    assert "in work" in missing.value.__notes__[0]


def test_an_exception_that_cannot_be_sent_is_told_in_words() -> None:
    class OfALibraryError(Exception):
        pass

    def work() -> None:
        raise OfALibraryError("no kernel")

    with pytest.raises(RuntimeError, match="OfALibraryError: no kernel"):
        in_child(work, "working")


@pytest.mark.parametrize("number", sorted(CRASHES))
def test_a_crash_is_told_by_its_signal(number: signal.Signals) -> None:
    with pytest.raises(CrashError, match=rf"working ends in a crash \({number.name}, signal {number.value}\)"):
        in_child(lambda: os.kill(os.getpid(), number), "working", quiet=True)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_signal_from_outside_is_no_crash(number: signal.Signals) -> None:
    with pytest.raises(StageError, match=f"working was ended by {number.name}, signal {number.value}") as error:
        in_child(lambda: os.kill(os.getpid(), number), "working", quiet=True)
    assert not isinstance(error.value, CrashError)


def test_a_process_that_ends_without_an_answer_is_an_error() -> None:
    with pytest.raises(StageError, match="working ended its process with exit code 5"):
        in_child(lambda: os._exit(5), "working")


def test_temporary_files_of_what_crashed_are_removed(tmp_path: Path) -> None:
    def work() -> None:
        (tmp_path / "folder").write_text(tempfile.mkdtemp())
        os.kill(os.getpid(), signal.SIGSEGV)

    with pytest.raises(CrashError):
        in_child(work, "working", quiet=True)
    folder = Path((tmp_path / "folder").read_text())
    assert not folder.exists()
    assert not folder.parent.exists()
    assert folder.parent != Path(tempfile.gettempdir())


def test_a_child_ends_with_its_parent() -> None:
    readable, writable = os.pipe()

    def child() -> None:
        signal.signal(signal.SIGALRM, lambda *_: os.write(writable, b"outlived its parent"))
        signal.alarm(10)
        os.kill(os.getppid(), signal.SIGKILL)
        signal.pause()

    with pytest.raises(StageError, match="SIGKILL"):
        in_child(lambda: in_child(child, "working"), "working", quiet=True)
    os.close(writable)
    with os.fdopen(readable, "rb") as pipe:
        assert pipe.read() == b""


def test_a_full_disk_is_told_where_a_library_hides_it() -> None:
    def work() -> None:
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "model.onnx")
        except OSError as error:
            raise RuntimeError("cannot save the model") from error

    with pytest.raises(StorageError, match=r"model\.onnx.*No space left on device") as full:
        in_child(work, "working")
    assert "in work" in full.value.__notes__[0]


def _refuses(reason: str, how: str) -> Unsupported:
    if how == "raises":
        raise RefusedError(reason)
    return Unsupported(reason)


@pytest.mark.parametrize("how", ["raises", "returns"])
@pytest.mark.parametrize(
    "reason",
    [
        "ONNX Runtime cannot run it: 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested buffer of size 8",
        "its interpreter dies of SIGABRT: terminate called after throwing an instance of 'std::bad_alloc'",
        "litert_torch cannot convert the model: [enforce fail] DefaultCPUAllocator: can't allocate memory",
    ],
)
def test_a_machine_without_memory_makes_nothing_infeasible(reason: str, how: str) -> None:
    runtime: Runtime = load_reference("edgeflow.runtimes.onnxruntime:plugin")
    with pytest.raises(StageError, match=r"working: .*; this machine has too little memory: free some, and run again"):
        attempt(runtime, "working", Path("model"), lambda _: _refuses(reason, how))


@pytest.mark.parametrize("how", ["raises", "returns"])
def test_a_full_disk_makes_nothing_infeasible(how: str) -> None:
    runtime: Runtime = load_reference("edgeflow.runtimes.onnxruntime:plugin")
    with pytest.raises(StorageError, match="No space left on device"):
        attempt(runtime, "working", Path("model"), lambda _: _refuses("cannot save: No space left on device", how))


@pytest.mark.parametrize("how", ["raises", "returns"])
def test_a_refusal_is_infeasible(how: str) -> None:
    runtime: Runtime = load_reference("edgeflow.runtimes.onnxruntime:plugin")
    answer = attempt(runtime, "working", Path("model"), lambda _: _refuses("no kernel for SIN", how))
    assert answer == Unsupported("no kernel for SIN")


def test_a_crash_that_does_not_happen_again_makes_nothing_infeasible(tmp_path: Path) -> None:
    def work(model: Path) -> None:
        if not model.exists():
            model.touch()
            os.kill(os.getpid(), signal.SIGSEGV)

    runtime: Runtime = load_reference("edgeflow.runtimes.onnxruntime:plugin")
    with pytest.raises(StageError, match=r"working ends in a crash \(SIGSEGV, signal 11\), and not when it was done"):
        attempt(runtime, "working", tmp_path / "model", work)

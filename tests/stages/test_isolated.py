"""Work in a child process: what it returns and raises comes back, and how it ends is told apart."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from edgeflow.errors import StageError
from edgeflow.plugin import CRASHES
from edgeflow.stages.isolated import CrashError, in_child


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

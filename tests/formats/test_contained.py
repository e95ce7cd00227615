"""What a reader does that nothing stopped before: it takes all memory, crashes, or has no end of nesting."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from edgeflow.errors import DataError
from edgeflow.formats import contained as module
from edgeflow.formats.contained import contained
from edgeflow.types.signatures import Signature, Tensor

FILE = Path("models/any.onnx")


def test_what_is_read_comes_back() -> None:
    signature = Signature((Tensor("x", "int8", ("batch", 3), 0.5, -1),), (Tensor("y", "float32", ()),))
    assert contained(Signature, lambda _: signature, FILE) == signature


def test_a_refusal_comes_back() -> None:
    def read(path: Path) -> str:
        raise DataError(f"{path}: it is damaged")

    with pytest.raises(DataError, match=r"^models/any.onnx: it is damaged$"):
        contained(str, read, FILE)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the limit does not hold")
def test_who_wants_all_memory_is_refused() -> None:
    with pytest.raises(DataError, match="reading it takes more than 384 MiB of memory"):
        contained(str, lambda _: str(len(bytes(2**33))), FILE)


def test_who_crashes_is_refused() -> None:
    def read(path: Path) -> str:
        os.kill(os.getpid(), signal.SIGSEGV)
        return ""

    with pytest.raises(DataError, match=r"reading it ends in a crash \(SIGSEGV\)"):
        contained(str, read, FILE)


def test_who_computes_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(path: Path) -> str:
        while True:
            pass

    monkeypatch.setattr(module, "CPU_S", 1)
    with pytest.raises(DataError, match="takes more than 1 s of computing"):
        contained(str, read, FILE)


def test_who_waits_for_what_never_comes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(path: Path) -> str:
        threading.Event().wait()
        return ""

    monkeypatch.setattr(module, "WAIT_S", 1)
    with pytest.raises(DataError, match="takes more than 1 s: it is damaged"):
        contained(str, read, FILE)


def test_who_says_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    with pytest.raises(DataError, match="fills more than 1,000 bytes"):
        contained(str, lambda _: "x" * 1_000_000, FILE)


def test_who_ends_without_an_answer_is_refused() -> None:
    with pytest.raises(DataError, match="ended its process with exit code 3"):
        contained(str, lambda _: os._exit(3), FILE)


def test_nesting_without_end_is_refused() -> None:
    def read(path: Path) -> str:
        return read(path)

    with pytest.raises(DataError, match="it is nested too deep"):
        contained(str, read, FILE)

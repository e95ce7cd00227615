"""Who holds the lock of a folder, as far as its records tell."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from snakemake import exceptions

from edgeflow import files, host, layout, locks


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A locked folder, and an exception that says whose it is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(exceptions, "LockException", exceptions.LockException)  # `explain` replaces it
    locks.explain()
    files.write_text(Path(layout.locks()["folder"], "0.input.lock"), "")
    return tmp_path


def test_a_record_names_the_run(folder: Path) -> None:
    files.write_json(Path(layout.locks()["runs"], f"{host.owner()}.json"), {"host": "here", "pid": 7, "locks": {}})
    assert "another run is building here, process 7 on here. Wait" in str(exceptions.LockException())


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", None])
def test_a_record_that_cannot_be_read_hides_no_lock(folder: Path, content: bytes | None) -> None:
    record = Path(layout.locks()["runs"], f"{host.owner()}.json")
    record.parent.mkdir(parents=True)
    if content is None:
        os.mkdir(record)  # as closed to this user as another's file is, for root too
    else:
        record.write_bytes(content)
    assert f"this folder is locked by {layout.locks()['folder']}/0.input.lock, and" in str(exceptions.LockException())

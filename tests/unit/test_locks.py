"""Who holds the lock of a folder, as far as its records tell."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from snakemake import exceptions

from edgeflow import files, host, layout, locks
from edgeflow.tracking.lock import no_build


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A locked folder, and an exception that says whose it is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(exceptions, "LockException", exceptions.LockException)  # `explain` replaces it
    locks.explain()
    files.write_text(Path(layout.locks()["folder"], "0.input.lock"), "")
    return tmp_path


def test_a_run_says_what_it_waits_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = [sys.executable, "-c", "from edgeflow import locks; assert locks.present()"]
    with no_build("pull"):
        run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert run.stderr is not None
        assert run.stderr.readline() == "waiting: 'edgeflow pull' replaces results in this folder\n"
        assert run.poll() is None
    assert (run.communicate()[1], run.returncode) == ("", 0)
    assert subprocess.run(command, capture_output=True, text=True, check=True).stderr == ""


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

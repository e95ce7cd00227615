"""Files are whole or not there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgeflow import files, host
from edgeflow.errors import DataError
from edgeflow.types.variants import Cell


def test_a_failing_block_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_text("old")

    with pytest.raises(KeyboardInterrupt), files.atomic(path) as temporary:  # noqa: PT012 - it is the block that fails
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_removed_by_the_next_writer(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    code = f"""
import os, signal
from pathlib import Path
from edgeflow.files import atomic
with atomic(Path({str(path)!r})) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    assert not path.exists()
    assert len(list(tmp_path.iterdir())) == 1
    files.write_text(path, "whole")
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]


def test_what_a_process_left_that_nobody_has_waited_for_is_removed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        place, _, _ = host.owner().split("-")
        owner = f"{place}-{ended.pid}-{host.started(ended.pid)}"
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)  # it has ended and stays a zombie
        (tmp_path / f".model.{owner}.onnx").write_text("half")
        files.write_text(tmp_path / "model.onnx", "whole")
        assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]


def test_what_cannot_be_removed_keeps_nobody_from_writing(tmp_path: Path) -> None:
    place, _, _ = host.owner().split("-")
    left = tmp_path / f".model.{place}-{2**22 + 1}-77.onnx"
    left.mkdir()  # nobody may unlink a folder, as nobody may another user's file in a folder like /tmp
    assert files.abandoned(left)
    files.write_text(tmp_path / "model.onnx", "mine")
    assert (tmp_path / "model.onnx").read_text() == "mine"


def test_files_of_a_living_process_stay(tmp_path: Path) -> None:
    place, _, _ = host.owner().split("-")
    other = tmp_path / f".model.{place}-{os.getppid()}-{host.started(os.getppid())}.onnx"
    other.write_text("in progress")
    files.write_text(tmp_path / "model.onnx", "mine")
    assert other.read_text() == "in progress"


@pytest.mark.parametrize("name", ["{nobody}", "0123456789abcdef-{nobody}-77", "half", "{place}-{nobody}"])
def test_files_of_whom_nobody_here_knows_stay(tmp_path: Path, name: str) -> None:
    """Another host's, another container's or an older version's: a process with that number is none of theirs."""
    place, _, _ = host.owner().split("-")
    other = tmp_path / f".model.{name.format(nobody=2**22 + 1, place=place)}.onnx"
    other.write_text("in progress elsewhere")
    with files.atomic(tmp_path / "model.onnx") as temporary:
        assert temporary != other
        temporary.write_text("mine")
    assert other.read_text() == "in progress elsewhere"


def test_two_processes_never_write_to_the_same_file(tmp_path: Path) -> None:
    """Also where both have the same number, as the first processes of two containers do."""
    isolated = ["unshare", "--user", "--map-root-user", "--pid", "--fork"]
    if not shutil.which("unshare") or subprocess.run([*isolated, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody make a namespace")
    path = tmp_path / "model.onnx"
    code = f"""
import os
from pathlib import Path
from edgeflow.files import atomic
with atomic(Path({str(path)!r})) as temporary:
    print(os.getpid(), temporary.name, flush=True)
    temporary.write_text(input())
"""
    command = [*isolated, sys.executable, "-c", code]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other,
    ):
        assert one.stdout is not None
        assert other.stdout is not None
        (pid, name), (other_pid, other_name) = one.stdout.readline().split(), other.stdout.readline().split()
        assert pid == other_pid
        assert name != other_name
        for process in (one, other):
            assert process.communicate("whole")[0] == ""
            assert process.returncode == 0
            assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_files_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.write_text(tmp_path / "a.json", "{}")
    finally:
        os.umask(before)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o640


def test_read_as_names_file_and_field(tmp_path: Path) -> None:
    path = tmp_path / "cell.json"
    files.write_json(path, {"model": "a", "target": "b", "schem": "c"})
    with pytest.raises(DataError, match=r"cell\.json: Cell: unknown key 'schem'; known: model, target, scheme, reason"):
        files.read_as(Cell, path)
    path.write_text("{")
    with pytest.raises(DataError, match=r"cell\.json: not valid JSON"):
        files.read_as(Cell, path)


def test_nan_never_reaches_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(tmp_path / "a.json", {"value": float("nan")})
    assert list(tmp_path.iterdir()) == []

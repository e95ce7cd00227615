"""A full disk, a folder that cannot be written, another user's file: one line with the next step, and no traceback."""

from __future__ import annotations

import errno
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.rights import heed_modes

from edgeflow import files
from edgeflow.errors import storage_error

FULL_DEVICE = Path("/dev/full")


@pytest.fixture
def folder(project: Path, tmp_path: Path) -> Path:
    """A project with nothing built."""
    for part in ("config", "envs"):
        shutil.copytree(project / part, tmp_path / part)
    return tmp_path


def run(
    folder: Path, *arguments: str, prepare: Callable[[], None] = heed_modes, **more: object
) -> subprocess.CompletedProcess[str]:
    """`edgeflow <arguments>` as a user who obeys the modes of files."""
    return subprocess.run(
        [sys.executable, "-m", "edgeflow", *arguments],
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more},
        cwd=folder,
        text=True,
        check=False,
        preexec_fn=prepare,
    )


def only_read(folder: Path) -> None:
    """As in somebody else's checkout, or one on a disk that is mounted for reading."""
    for path in [*folder.rglob("*"), folder]:
        path.chmod(path.stat().st_mode & ~0o222)


def one_line(done: subprocess.CompletedProcess[str], message: str) -> None:
    assert re.fullmatch(f"StorageError: {message}\n", done.stderr), done.stderr
    assert done.returncode == 10


def test_the_plan_of_a_checkout_that_cannot_be_written(folder: Path) -> None:
    only_read(folder)
    done = run(folder, "plan", "--json", "--config", "schemes=fp32")
    assert (done.returncode, done.stderr) == (0, "")
    assert '"fp32"' in done.stdout


@pytest.mark.parametrize(
    ("arguments", "path", "where"),
    [
        (("schema",), "config/schema/config.json", "config/schema/config.json"),
        (("plan", "--output", "results/plan.json"), "results", "."),
        (("search", "--model", "digits_dscnn", "--target", "linux_x86_ort"), "results", "."),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_command_in_a_folder_that_cannot_be_written(
    folder: Path, arguments: tuple[str, ...], path: str, where: str
) -> None:
    only_read(folder)
    done = run(folder, *arguments)
    one_line(done, f"{path}: Permission denied: {re.escape(where)} is yours, and its mode forbids it: see chmod")


@pytest.mark.parametrize("command", ["push", "pull", "data x.dvc", "track --check"])
def test_a_tracking_command_in_a_folder_that_cannot_be_written(folder: Path, command: str) -> None:
    only_read(folder)
    done = run(folder, *command.split())
    assert done.returncode in (9, 10)
    assert re.fullmatch(r"(Tracking|Storage)Error: \.(tracking|snakemake)\S*: Permission denied[;:] .+\n", done.stderr)


def judged(folder: Path, verdict: str) -> tuple[str, ...]:
    """The arguments of a stage that reads one file and writes another."""
    measured = {"model": "m", "target": "t", "scheme": "s", "infeasible": "no", "measurements": [], "operators": []}
    files.write_json(folder / "measurement.json", {**measured, "signature": None})
    spec = '{"model": "m", "target": "t", "scheme": "s", "budgets": [], "release_without": []}'
    return ("judge", "--spec", spec, "--input", "measurement=measurement.json", "--output", f"verdict={verdict}")


def test_a_stage_that_may_not_write(folder: Path) -> None:
    arguments = judged(folder, "closed/verdict.json")
    assert run(folder, *arguments).returncode == 0
    (folder / "closed").chmod(0o500)
    (folder / "closed/verdict.json").chmod(0o400)
    done = run(folder, *arguments)
    one_line(done, "closed/verdict.json: Permission denied: closed/verdict.json is yours, and its mode .*")
    assert [path.name for path in (folder / "closed").iterdir()] == ["verdict.json"]


def no_file_longer_than(size_bytes: int) -> Callable[[], None]:
    """As a full disk or a quota, which need rights to make: the system refuses a write in its middle."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, size_bytes))

    return limit


@pytest.mark.parametrize("warm", ["0", "1"])
def test_a_stage_whose_write_is_refused_in_its_middle(folder: Path, warm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEFLOW_WARM", warm)
    arguments = judged(folder, "verdict.json")
    done = run(folder, *arguments, prepare=no_file_longer_than(40))
    one_line(done, r"verdict.json: File too large: it was not written; raise the limit on the size of files .*")
    assert not list(folder.glob("*verdict*"))


@pytest.mark.skipif(not FULL_DEVICE.exists(), reason="needs a device that is always full, which Linux has")
@pytest.mark.parametrize("arguments", [("plan",), ("--help",), ("--version",)])
def test_a_command_whose_output_goes_to_a_full_disk(folder: Path, arguments: tuple[str, ...]) -> None:
    with FULL_DEVICE.open("w") as full:
        done = run(folder, *arguments, stdout=full)
    one_line(done, "No space left on device: it was not written; make room, then give the same command again")


def test_a_write_that_fails_names_the_file_that_it_was_for(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space") as caught, files.atomic(tmp_path / "x.npz"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert str(storage_error(caught.value)) == (
        f"{tmp_path}/x.npz: No space left on device: it was not written; make room, then give the same command again"
    )
    assert not list(tmp_path.iterdir())


def test_whose_a_file_is(tmp_path: Path) -> None:
    path = tmp_path / "theirs"
    if os.geteuid() == 0:
        path.touch()
        os.chown(path, 54321, -1)
        owner = "user 54321"
    else:
        path, owner = Path("/etc"), "root"
    error = PermissionError(errno.EACCES, "Permission denied", str(path / "lock"))
    assert str(storage_error(error)).endswith(
        f"Permission denied: {path} belongs to {owner}: ask for access, or work in a copy of your own"
    )


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EROFS, "Read-only file system", "x"), "x: Read-only file system: work in a copy of this"),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), "Disk quota exceeded: it was not written; make room"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "No space left on device: it was not"),
        (RuntimeError("(sqlite3.OperationalError) database or disk is full"), "database or disk is full: it was not"),
        (
            caused(RuntimeError("cannot save"), OSError(errno.ENOSPC, "No space left on device", "x")),
            "x: No space left",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_libraries_raise(error: Exception, said: str) -> None:
    assert str(storage_error(error)).startswith(said)


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file or directory", "x"),
        PermissionError(errno.EPERM, "Operation not permitted"),  # of a signal
        caused(ValueError("wrong"), PermissionError(errno.EACCES, "Permission denied", "x")),  # was dealt with
        ValueError("wrong"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_errors_keep_their_traceback(error: Exception) -> None:
    assert storage_error(error) is None

"""A toolchain that asks for another Python: found among what a machine has, told apart, and never downloaded."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest
from tests.toolchains.conftest import Stage

from edgeflow.errors import DataError, ToolchainError
from edgeflow.fingerprint import lock_digest
from edgeflow.toolchains import environments, pythons

ABSENT = "# python: >=3.98\n"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with an empty home and PATH, and a project with a lock that asks for a Python that nobody has yet."""
    for name in ("PYENV_ROOT", "UV_PYTHON_INSTALL_DIR", "ASDF_DATA_DIR", "XDG_DATA_HOME", pythons.INTERPRETERS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.chdir(tmp_path)
    for folder in ("bin", "envs", ".toolchains"):
        Path(folder).mkdir()
    Path("envs/new.txt").write_text(ABSENT)
    return tmp_path


def interpreter(path: Path, says: str, code: int = 0) -> Path:
    """A program that answers as an interpreter does that is asked what it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {says}\nexit {code}\n")
    path.chmod(0o755)
    return path


LOCK = Path("envs/new.txt")


@pytest.mark.parametrize(
    "place", ["bin/python3.98", "bin/python3", ".pyenv/versions/3.98.1/bin/python3", "opt/python/bin/python"]
)
def test_an_interpreter_is_found_where_people_have_them(
    machine: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv(pythons.INTERPRETERS, str(machine / "opt/python/bin/python"))
    made = interpreter(machine / place, "3 98 cpython")
    assert pythons.find(LOCK) == (made, (3, 98))
    assert environments.why_not("new") == ""


def test_managers_may_keep_them_elsewhere(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(machine / "uv"))
    made = interpreter(machine / "uv/cpython-3.98.2-linux-x86_64-gnu/bin/python3", "3 98 cpython")
    assert pythons.find(LOCK) == (made, (3, 98))


def test_the_oldest_that_will_do_is_taken(machine: Path) -> None:
    interpreter(machine / "bin/python3.99", "3 99 cpython")
    interpreter(machine / "bin/python3.97", "3 97 cpython")
    assert pythons.find(LOCK)[1] == (3, 99)
    made = interpreter(machine / ".pyenv/versions/3.98.0/bin/python3", "3 98 cpython")
    assert pythons.find(LOCK) == (made, (3, 98))


def test_what_only_looks_like_an_interpreter_is_passed_over(machine: Path) -> None:
    """pyenv's stand-ins fail for versions that are not chosen; PyPy has other wheels; names are not believed."""
    interpreter(machine / "bin/python3.98", "pyenv: command not found", code=127)
    interpreter(machine / "bin/python3.99", "3 99 pypy")
    interpreter(machine / "bin/python3", "3 97 cpython")
    (machine / ".pyenv/versions/3.98.0").mkdir(parents=True)
    said = r"new needs Python 3\.98 or newer, and this machine has none .* \(edgeflow runs in 3\.\d+\): install one, "
    with pytest.raises(ToolchainError, match=said) as raised:
        environments.create("new", LOCK, Path(".toolchains/new.json"))
    assert environments.why_not("new") == str(raised.value)
    assert environments.why_not("core") == ""


def test_a_toolchain_without_a_lock_is_none(machine: Path) -> None:
    assert environments.why_not("nope") == "there is no toolchain 'nope': its lock envs/nope.txt is missing"


def test_in_one_environment_for_all_its_own_python_counts(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interpreter(machine / "bin/python3.98", "3 98 cpython")
    monkeypatch.setenv("EDGEFLOW_ENVS", "system")
    assert "new needs Python 3.98 or newer, and EDGEFLOW_ENVS=system" in environments.why_not("new")
    LOCK.write_text("# python: >=3.11\n")
    assert environments.why_not("new") == ""


def test_a_lock_counts_with_the_python_that_it_asks_for(machine: Path) -> None:
    before = lock_digest(LOCK)
    LOCK.write_text("# python: >=3.11\n# a note\n")
    assert lock_digest(LOCK) != before
    assert pythons.find(LOCK) == (Path(sys.executable), sys.version_info[:2])
    LOCK.write_text("# python: 3.12 or so\n")
    with pytest.raises(
        DataError, match=r"envs/new\.txt: '# python: 3\.12 or so' is not understood; write '# python: >=3\.12'"
    ):
        lock_digest(LOCK)


@pytest.mark.parametrize("worker", ["warm", "cold"])
def test_a_job_runs_in_another_python(own: Stage, worker: str) -> None:
    """With edgeflow's own source, in a warm worker and in a process of its own."""
    newer = (sys.version_info[0], sys.version_info[1] + 1)
    lock = own.folder / "envs/other.txt"
    lock.parent.mkdir()
    needs = (f"{name}=={metadata.version(name)}" for name in ("numpy", "pillow", "threadpoolctl"))
    lock.write_text("\n".join((f"# python: >={newer[0]}.{newer[1]}", *needs)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(own.folder)
        if missing := environments.why_not("other"):
            pytest.skip(missing)
        Path(".toolchains").mkdir()
        environments.create("other", Path("envs/other.txt"), Path(".toolchains/other.json"))
    stage = own.with_variables(EDGEFLOW_WARM="1" if worker == "warm" else "0")
    done = stage.run("print(sys.version_info[:2])", "out", "--toolchain", "other")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{newer}\n"
    assert stage.job()["worker"] == worker

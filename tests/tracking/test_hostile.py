"""Remotes, pointers and checkouts that somebody made wrong on purpose, or that lack something."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tests.tracking.conftest import Repository, write_results
from tests.workflow.conftest import copy_checkout

from edgeflow import host, layout
from edgeflow.tracking import dvc

pytestmark = [pytest.mark.tracking, pytest.mark.toolchain, pytest.mark.xdist_group("tracking")]

NOBODY = 2**22 + 1  # beyond the greatest process id of Linux
Fake = Callable[[int], Repository]


@pytest.fixture
def pushed(fake: Fake) -> Repository:
    """Two artifacts, tracked, committed and pushed; not in the cache any more, and not in the results."""
    made = fake(2)
    made.edgeflow("track")
    made.commit("Results")
    made.edgeflow("push")
    shutil.rmtree(made.cache)
    for path in (made.folder / layout.RESULTS).iterdir():
        if path.is_dir():
            shutil.rmtree(path)
    return made


def plant(project: Repository, content: bytes, suffix: str = "") -> str:
    """Put an object into the remote under its right name; returns its digest."""
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    path = project.remote / "files/md5" / md5[:2] / f"{md5[2:]}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return md5 + suffix


def point(project: Repository, pointer: str, **changes: object) -> None:
    """Change what a pointer says, as one who can write to the repository."""
    path = project.folder / pointer
    content = yaml.safe_load(path.read_text())
    content["outs"][0].update(changes)
    path.write_text(yaml.safe_dump(content))


def outside(project: Repository) -> set[Path]:
    """Every file around the project, but for its remote and what DVC keeps for this machine."""
    around = project.folder.parent
    own = (project.folder, project.remote, around / "dvc-site")
    return {p for p in around.rglob("*") if not any(map(p.is_relative_to, own))}


@pytest.mark.parametrize(
    ("name", "digest"),
    [("../../../escaped", ""), ("{outside}", ""), ("link/escaped", ""), ("fine", "../../../../../../escaped")],
)
def test_a_list_that_names_files_elsewhere_is_refused_before_anything_is_written(
    pushed: Repository, name: str, digest: str
) -> None:
    """`dvc pull` by itself writes them."""
    there = pushed.folder.parent / "there"
    there.mkdir()
    evil = plant(pushed, b"evil")
    entry = {"relpath": name.format(outside=there / "escaped"), "md5": digest or evil}
    listed = plant(pushed, json.dumps([{"relpath": "a", "md5": evil}, entry]).encode(), ".dir")
    point(pushed, "results/compile.dvc", md5=listed)
    (pushed.folder / "results/compile").mkdir()
    (pushed.folder / "results/compile/link").symlink_to(there)
    before = outside(pushed)
    done = pushed.edgeflow("pull", "--force", check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (3, False), done.stderr
    assert ("link" if "link" in name else f"results/compile.dvc: the list of its files, {listed}, names") in done.stderr
    pushed.commit("Evil")
    for command in (("fetch", "m/t/s"), ("track", "--check")):
        if command[0] == "fetch":
            point(pushed, "results/package.dvc", md5=listed)
            pushed.commit("More")
        assert "Traceback" not in pushed.edgeflow(*command, check=False).stderr
    assert outside(pushed) == before
    assert not list(there.iterdir())


def test_a_dataset_whose_list_leads_elsewhere_is_not_brought(pushed: Repository) -> None:
    evil = plant(pushed, b"evil")
    listed = plant(pushed, json.dumps([{"relpath": "../../escaped", "md5": evil}]).encode(), ".dir")
    outs = [{"md5": listed, "size": 4, "nfiles": 1, "hash": "md5", "path": "photos"}]
    (pushed.folder / "photos.dvc").write_text(yaml.safe_dump({"outs": outs}))
    before = outside(pushed)
    done = pushed.edgeflow("data", "photos.dvc", check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (3, False), done.stderr
    assert "'../../escaped', which leads out of its folder" in done.stderr
    assert outside(pushed) == before


@pytest.mark.parametrize("changes", [{"path": "../escaped"}, {"path": "/tmp/escaped"}, {"md5": "../../../../escaped"}])
def test_a_pointer_that_leads_elsewhere_is_none(pushed: Repository, changes: dict[str, str]) -> None:
    point(pushed, "results/compile.dvc", **changes)
    before = outside(pushed)
    done = pushed.edgeflow("pull", "--force", check=False)
    assert done.returncode == 3
    assert "results/compile.dvc: not a pointer as 'dvc add' writes it" in done.stderr
    assert outside(pushed) == before


@pytest.mark.parametrize("key", ["files", "wdir"])
def test_a_pointer_that_has_dvc_write_elsewhere_is_none(pushed: Repository, key: str) -> None:
    """`dvc pull` by itself writes there, and asks no list of the remote's that somebody could look at before."""
    there = pushed.folder.parent / "there"
    there.mkdir()
    if key == "files":
        evil = {"relpath": "../../../there/escaped", "md5": plant(pushed, b"evil"), "size": 4}
        point(pushed, "results/compile.dvc", files=[evil])
    else:
        path = pushed.folder / "results/compile.dvc"
        path.write_text(yaml.safe_dump({"wdir": "../config", **yaml.safe_load(path.read_text())}))
    before = outside(pushed)
    done = pushed.edgeflow("pull", "--force", check=False)
    assert (outside(pushed), list(there.iterdir())) == (before, [])
    assert not (pushed.folder / "config/compile").exists()
    assert done.returncode == 3
    assert "results/compile.dvc: not a pointer as 'dvc add' writes it" in done.stderr


def test_what_a_remote_lacks_is_named_by_file_and_digest(pushed: Repository) -> None:
    lost = b"program 1 " * 2000
    md5 = hashlib.md5(lost, usedforsecurity=False).hexdigest()
    (pushed.remote / "files/md5" / md5[:2] / md5[2:]).unlink()
    done = pushed.edgeflow("pull", check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (9, False), done.stderr
    assert f"results/compile/m/t/s1/program.bin (MD5 {md5}): missing in the remote" in done.stderr
    assert "'edgeflow push' where it was built" in done.stderr
    assert "'snakemake' makes results again" in done.stderr
    assert "s0" not in done.stderr
    checked = pushed.edgeflow("track", "--check", check=False)
    assert f"results/compile/m/t/s1/program.bin (MD5 {md5}): missing in the cache" in checked.stderr


def test_what_a_remote_has_and_does_not_give_is_not_called_missing(pushed: Repository) -> None:
    """`track --check` would say to delete the rest of it."""
    md5 = yaml.safe_load((pushed.folder / "results/compile.dvc").read_text())["outs"][0]["md5"]
    path = pushed.remote / "files/md5" / md5[:2] / md5[2:]
    path.unlink()
    path.mkdir()  # whoever is root reads everything else
    for command in (("pull",), ("track", "--check")):
        done = pushed.edgeflow(*command, check=False)
        assert (done.returncode, "Traceback" in done.stderr) == (9, False), done.stderr
        assert "'dvc fetch' failed: ERROR: [Errno 21] Is a directory" in done.stderr
        assert "missing" not in done.stderr
    point(pushed, "results/compile.dvc", remote="nowhere")
    done = pushed.edgeflow("pull", check=False)
    assert done.stderr.startswith("TrackingError: 'dvc fetch' failed: ERROR: config file error: remote 'nowhere'")


def test_a_password_of_a_remote_does_not_come_into_git(pushed: Repository) -> None:
    before = (pushed.folder / ".dvc/config").read_text()
    done = pushed.edgeflow("init-tracking", "https://me:hunter2@host/store", check=False)
    assert done.returncode == 2
    assert "https://host/store: its password would be in .dvc/config" in done.stderr
    assert "hunter2" not in done.stderr
    assert (pushed.folder / ".dvc/config").read_text() == before
    pushed.edgeflow("init-tracking", "ssh://me@host/store")
    assert "ssh://me@host/store" in (pushed.folder / ".dvc/config").read_text()


def test_the_list_of_a_folder_that_a_remote_lacks_is_named(pushed: Repository) -> None:
    md5 = yaml.safe_load((pushed.folder / "results/compile.dvc").read_text())["outs"][0]["md5"]
    (pushed.remote / "files/md5" / md5[:2] / md5[2:]).unlink()
    done = pushed.edgeflow("pull", check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (9, False), done.stderr
    assert f"results/compile (MD5 {md5}): missing in the remote" in done.stderr


def test_a_pull_after_all_that_is_as_before(pushed: Repository) -> None:
    done = pushed.edgeflow("pull")
    assert "folders and files of the results" in done.stdout
    assert (pushed.folder / "results/compile/m/t/s1/program.bin").read_bytes() == b"program 1 " * 2000


def test_tracking_in_a_folder_with_an_apostrophe_and_a_space(project: Path, track_python: Path, tmp_path: Path) -> None:
    made = Repository(copy_checkout(tmp_path / "it's here" / "my project", project).folder)
    (made.folder / ".gitignore").write_text(".toolchains/\n.snakemake/\n__pycache__/\n")
    made.git("init", "--quiet", "--initial-branch", "main")
    made.edgeflow("init-tracking")
    made.commit()
    write_results(made.folder, 1)
    assert "1 runs added" in made.edgeflow("track").stdout
    made.commit("Results")
    made.edgeflow("push")
    shutil.rmtree(made.cache)
    shutil.rmtree(made.folder / "results/compile")
    made.edgeflow("pull")
    assert (made.folder / "results/compile/m/t/s0/program.bin").read_bytes() == b"program 0 " * 2000


# --- DVC's lock ------------------------------------------------------------------------------------------------------


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """DVC's lock in a folder of its own, held by nobody."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / ".dvc/tmp/rwlock"
    path.parent.mkdir(parents=True)
    (tmp_path / layout.tracking()["dvc"]).mkdir(parents=True)
    return path


def held(process: int) -> str:
    """The lock as DVC 3 writes it."""
    holder = {"pid": process, "cmd": "dvc add"}
    return json.dumps({"write": {"/project/results": holder}, "read": {"/project/data": [holder]}})


@pytest.mark.parametrize("place", ["", "0123456789abcdef"])
def test_the_lock_of_a_dvc_that_is_not_ours_is_left_alone(lock: Path, place: str) -> None:
    """Somebody's at a terminal, or on another host that shares the folder: the number means nothing here."""
    if place:
        (Path(layout.tracking()["dvc"]) / f"{place}-{NOBODY}-7").touch()
    lock.write_text(held(NOBODY))
    dvc._clear_stale_lock()
    assert lock.exists()


def test_the_lock_of_a_dvc_of_ours_that_was_killed_goes(lock: Path) -> None:
    """Also while nobody has waited for it, when DVC takes it for a running one."""
    records = Path(layout.tracking()["dvc"])
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        record = records / host.owner(process.pid)
        record.touch()
        lock.write_text(held(process.pid))
        dvc._clear_stale_lock()
        assert lock.exists(), "it runs"
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended and stays a zombie
        dvc._clear_stale_lock()
    assert not lock.exists()
    assert not record.exists()

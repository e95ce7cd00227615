"""A clone that needs no rebuild."""

from __future__ import annotations

import fcntl
import json
import os
import random
import shutil
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml
from tests.tracking.conftest import VARIANTS, Repository

from edgeflow import layout
from edgeflow.runners import identity
from edgeflow.wiring import IDENTITY

pytestmark = [pytest.mark.tracking, pytest.mark.workflow, pytest.mark.toolchain, pytest.mark.xdist_group("tracking")]

ONE_SCHEME = "tiny_a/linux_x86_ort/int8_static"
CHAIN = {
    ("optimize", "tiny_a/onnx/onnxruntime-x86/int8_static"),
    *((rule, ONE_SCHEME) for rule in ("measure", "judge", "package")),
    ("report", ""),
    ("all", ""),
}


def scramble(folder: Path) -> None:
    """Any file may be older or newer than any other."""
    generator = random.Random(0)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        when = generator.randrange(10**9, 17 * 10**8)  # in the past: Snakemake takes the future for a wrong clock
        os.utime(path, (when, when))


def change_scheme(project: Repository) -> None:
    """Calibrate int8_static with fewer samples."""
    path = project.folder / "config/schemes/int8_static.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "calibration": {"samples": 32}}))


@pytest.fixture
def clone(tracked: Repository, tmp_path: Path) -> Repository:
    return tracked.clone(tmp_path / "clone")


def test_git_sees_pointers_only(tracked: Repository) -> None:
    files = [name for name in tracked.git("ls-files").splitlines() if name.startswith(("results", ".dvc/"))]
    assert {"results/package.dvc", "results/prepare.dvc", "results/provenance.dvc", "results/plan.json.dvc"} <= set(
        files
    )
    assert all(name.endswith(".dvc") for name in files if name.startswith("results"))
    assert tracked.git("status", "--porcelain") == ""


def test_a_clone_has_nothing_to_do_and_an_edit_reruns_its_chain(clone: Repository) -> None:
    assert not (clone.folder / "results/package").exists()
    (clone.folder / ".toolchains/edge").unlink()
    (clone.folder / ".toolchains/edge.json").unlink()
    assert "made toolchains edge" in clone.edgeflow("pull").stdout
    for seed in ("as they came", "scrambled"):
        if seed == "scrambled":
            scramble(clone.folder / "results")
        assert clone.pending() == set()
    change_scheme(clone)
    pending = clone.pending()
    (compiled,) = ((rule, keys) for rule, keys in pending if rule == "compile")
    assert compiled[1].endswith("/int8_static")
    assert pending - {compiled} == CHAIN
    clone.run()
    assert clone.pending() == set()


def test_another_machine_measures_what_it_pulled_and_builds_nothing(
    clone: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone.edgeflow("pull")
    monkeypatch.setenv(IDENTITY, quote(json.dumps({**identity.here(), "cpu": "of a colleague's laptop"})))
    assert {rule for rule, _ in clone.pending()} == {"measure", "judge", "package", "report", "all"}


def test_the_second_person_reuses_what_the_first_built(copy: Repository, tmp_path: Path) -> None:
    """Both push to one remote; neither computes what the other did."""
    bare = tmp_path / "shared.git"
    copy.git("clone", "--quiet", "--bare", str(copy.folder), str(bare))
    copy.git("remote", "add", "origin", str(bare))
    second = Repository(tmp_path / "second")
    copy.git("clone", "--quiet", str(bare), str(second.folder))
    shutil.copytree(copy.folder / ".toolchains", second.folder / ".toolchains", symlinks=True)
    second.set_remote(copy.remote)
    second.edgeflow("pull")
    assert second.pending() == set()

    change_scheme(second)
    assert ("train", "tiny_a/base") not in second.pending()
    second.run()
    second.edgeflow("track")
    second.commit("Fewer samples")
    second.git("push", "--quiet", "origin", "main")
    second.edgeflow("push")

    copy.edgeflow("push")  # after the other: it has nothing that the remote lacks, and removes nothing
    copy.git("pull", "--quiet", "origin", "main")
    copy.edgeflow("pull")
    assert copy.pending() == set()
    mine, theirs = (p.folder / "results/summary.csv" for p in (copy, second))
    assert mine.read_bytes() == theirs.read_bytes()


def test_a_killed_pull_is_completed_by_the_next(clone: Repository) -> None:
    process = clone.start("pull")
    while not list(clone.folder.glob("results/*/*")):
        assert process.poll() is None, (clone.folder.parent / "said.txt").read_text()
    os.killpg(process.pid, 9)
    process.wait()
    clone.edgeflow("pull")
    assert clone.pending() == set()


def test_what_was_built_here_is_not_dropped_by_a_pull(copy: Repository) -> None:
    before = copy.package().read_bytes()
    copy.package().write_bytes(b"built here")
    done = copy.edgeflow("pull", check=False)
    assert done.returncode == 9
    assert "'edgeflow track' keeps them, 'edgeflow pull --force' drops them" in done.stderr
    assert copy.package().read_bytes() == b"built here"
    copy.edgeflow("pull", "--force")
    assert copy.package().read_bytes() == before


def test_a_pull_does_not_change_files_under_a_build(copy: Repository) -> None:
    with (copy.folder / layout.running()).open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)  # as every run of the workflow holds it
        done = copy.edgeflow("pull", "--force", check=False)
        assert done.returncode == 9
        assert "a build is running here, and 'edgeflow pull' would change its files" in done.stderr
    copy.edgeflow("pull", "--force")


def test_what_a_killed_training_left_is_no_artifact(copy: Repository) -> None:
    left = copy.folder / "results/train/tiny_a/base/.0123456789abcdef.training"
    left.write_bytes(b"half of it")
    assert "0 changed" in copy.edgeflow("track").stdout
    assert left.is_file()


def test_a_pull_leaves_an_edited_dataset_alone(copy: Repository) -> None:
    data = copy.folder / "parts.npz"
    data.write_bytes(b"as it was tracked")
    copy.dvc("add", "parts.npz")
    copy.commit("A dataset")
    data.write_bytes(b"an edit that is nowhere else")
    copy.edgeflow("pull")
    copy.edgeflow("pull", "--force")
    assert data.read_bytes() == b"an edit that is nowhere else"


def test_without_dvc_or_remote_it_says_what_to_run(clone: Repository, copy: Repository) -> None:
    clone.set_remote(clone.folder / "nowhere")
    done = clone.edgeflow("pull", check=False)
    assert done.returncode == 9
    assert "'edgeflow push' where it was built" in done.stderr
    clone.dvc("remote", "remove", "storage")
    done = clone.edgeflow("pull", check=False)
    assert done.returncode == 9
    assert "run 'edgeflow init-tracking REMOTE'" in done.stderr
    shutil.rmtree(clone.folder / ".dvc")
    for command in ("pull", "push", "track"):
        done = clone.edgeflow(command, check=False)
        assert done.returncode == 9
        assert "run 'edgeflow init-tracking'" in done.stderr
    for pointer in copy.folder.glob("results/*.dvc"):
        pointer.unlink()
    done = copy.edgeflow("pull", check=False)
    assert "this commit tracks no results" in done.stderr


def test_a_damaged_file_in_the_remote_is_named_and_not_used(copy: Repository, tmp_path: Path) -> None:
    digest = next(o for o in copy.remote.rglob("*") if o.is_file() and o.read_bytes() == copy.package().read_bytes())
    digest.chmod(0o644)
    digest.write_bytes(copy.package().read_bytes()[:-1] + b"\xff")
    clone = copy.clone(tmp_path / "clone")
    clone.set_remote(copy.remote)
    done = clone.edgeflow("pull", check=False)
    assert done.returncode == 9
    name = copy.package().relative_to(copy.folder)
    assert f"damaged: {name}" in done.stderr
    assert not (clone.folder / name).exists()
    assert {keys for rule, keys in clone.pending() if rule == "package"} <= VARIANTS


def test_a_project_that_is_no_repository_says_so(copy: Repository) -> None:
    shutil.rmtree(copy.folder / ".git")
    done = copy.edgeflow("init-tracking", check=False)
    assert done.returncode == 9
    assert "run 'git init'" in done.stderr

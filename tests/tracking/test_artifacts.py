"""Artifacts in DVC: from a digest to the bytes, repeated, interrupted and out of space, damaged and repaired."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from tests.tracking.conftest import Repository

from edgeflow import files, host

pytestmark = [pytest.mark.tracking, pytest.mark.toolchain, pytest.mark.xdist_group("tracking")]

Fake = Callable[[int], Repository]


def objects(folder: Path) -> list[Path]:
    """Whole objects of a cache or a remote, without those that are being written."""
    return [path for path in folder.rglob("*") if path.is_file() and len(path.name.removesuffix(".dir")) == 30]


def assert_whole(folder: Path) -> None:
    """Every object has the content that its name says."""
    paths = objects(folder)
    assert paths
    for path in paths:
        name = path.parent.name + path.name.removesuffix(".dir")
        assert hashlib.md5(path.read_bytes()).hexdigest() == name


def damage(path: Path) -> None:
    """Flip one bit."""
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


# --- from a digest to the bytes --------------------------------------------------------------------------------------


def test_a_digest_leads_to_pointer_commit_and_bytes_also_after_it_was_replaced(
    copy: Repository, tmp_path: Path
) -> None:
    package = copy.package()
    digest, content, tracked = files.sha256_file(package), package.read_bytes(), copy.git("rev-parse", "HEAD").strip()
    package.write_bytes(content + b"!")
    copy.edgeflow("track")
    copy.commit("Other results")
    copy.edgeflow("push")
    other = copy.clone(tmp_path / "elsewhere")  # a year later, on another machine
    other.set_remote(copy.remote)
    assert "results/package.dvc" in other.git("log", "--name-only", "--format=%H", f"-S{digest}", "--", "results/*.dvc")

    done = other.edgeflow("fetch", digest)
    assert (other.folder / package.name).read_bytes() == content
    assert f"of commit {tracked}, which results/package.dvc keeps" in done.stdout
    other.edgeflow("fetch", "tiny_a/linux_x86_ort/fp32", "--rev", tracked, "--output", "old")
    assert (other.folder / "old" / package.name).read_bytes() == content
    done = other.edgeflow("fetch", "tiny_a/linux_x86_ort/fp32", check=False)  # whose record has another digest
    assert done.returncode == 9
    assert not (other.folder / "tiny_a-linux_x86_ort-fp32").exists()


def test_every_ancestor_that_a_package_names_can_be_fetched(copy: Repository) -> None:
    record = json.loads((copy.package().parent / "package.json").read_text())
    for name, digest in record["digests"].items():
        copy.edgeflow("fetch", digest, "--output", f"found/{name}") if name != "evaluation" else None
        if name != "evaluation":
            assert files.sha256_file(copy.folder / "found" / name) == digest


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["0" * 64], 9, "no pointer of any commit here names"),
        (["tiny_a/linux_x86_ort"], 2, "neither a SHA-256 of 64 hexadecimal digits nor a variant"),
        (["tiny_a/linux_x86_ort/fp32", "--rev", "nowhere"], 9, "'nowhere' is no commit here"),
        (["tiny_a/linux_x86_ort/int4"], 9, "dvc get"),
        (["tiny_a/linux_x86_ort/fp32", "--output", "config"], 2, "config is there already"),
    ],
)
def test_what_cannot_be_fetched_says_why(tracked: Repository, arguments: list[str], code: int, words: str) -> None:
    done = tracked.edgeflow("fetch", *arguments, check=False)
    assert (done.returncode, words in done.stderr) == (code, True), done.stderr


def test_a_variant_is_not_taken_when_a_file_beside_its_package_is_damaged(copy: Repository) -> None:
    record = copy.package().with_name("package.json")
    digest = hashlib.md5(record.read_bytes()).hexdigest()
    damage(copy.cache / digest[:2] / digest[2:])
    done = copy.edgeflow("fetch", "tiny_a/linux_x86_ort/fp32", "--output", "found", check=False)
    assert (done.returncode, "came back with other bytes" in done.stderr) == (9, True), done.stderr
    assert not list(copy.folder.glob("*found*"))
    copy.edgeflow("track", "--check")
    left = copy.folder / f".found.{host.place()}-{2**22 + 1}-7.coming"  # of a call that was killed
    left.mkdir()
    copy.edgeflow("fetch", "tiny_a/linux_x86_ort/fp32", "--output", "found")
    assert (copy.folder / "found/package.json").read_bytes() == record.read_bytes()
    assert not left.exists()


# --- again, interrupted, out of space --------------------------------------------------------------------------------


def test_tracking_again_changes_nothing(copy: Repository) -> None:
    done = copy.edgeflow("track")
    assert " 0 changed." in done.stdout
    assert copy.git("status", "--porcelain") == ""
    pointer = yaml.safe_load((copy.folder / "results/package.dvc").read_text())
    assert pointer["meta"]["of"] == pointer["outs"][0]["md5"]


def test_outputs_stay_writable_and_equal_files_stay_apart(copy: Repository) -> None:
    for path in (p for p in (copy.folder / "results").rglob("*") if p.is_file()):
        assert path.stat().st_mode & 0o200, path
        assert path.stat().st_nlink == 1, path


def until_objects(process: subprocess.Popen[str], folder: Path, least: int) -> None:
    """Return when a process has begun to write objects."""
    while len(objects(folder)) < least:
        assert process.poll() is None, "ended before it wrote anything"


def test_a_killed_track_is_completed_by_the_next(fake: Fake) -> None:
    project = fake(600)
    process = project.start("track")
    until_objects(process, project.cache, 20)
    os.killpg(process.pid, 9)
    process.wait()
    assert len(objects(project.cache)) < 600
    assert not (project.folder / "results/compile.dvc").exists()
    project.edgeflow("track")
    assert_whole(project.cache)
    assert "objects are whole" in project.edgeflow("track", "--check").stdout
    assert " 0 changed." in project.edgeflow("track").stdout


def test_a_killed_push_is_completed_by_the_next(fake: Fake, tmp_path: Path) -> None:
    project = fake(600)
    project.edgeflow("track")
    project.commit("Results")
    process = project.start("push")
    until_objects(process, project.remote, 20)
    os.killpg(process.pid, 9)
    process.wait()
    assert len(objects(project.remote)) < 600
    project.edgeflow("push")
    assert_whole(project.remote)
    clone = project.clone(tmp_path / "clone")
    clone.set_remote(project.remote)
    clone.dvc("pull")
    assert clone.edgeflow("track", "--check").stdout.endswith("objects are whole.\n")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that is a file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"needs the right to mount a small file system: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def grow(folder: Path) -> None:
    """Room for everything."""
    subprocess.run(["mount", "-o", "remount,size=200m", str(folder)], check=True)


def test_a_full_disk_loses_nothing(fake: Fake, small_disk: Path, tmp_path: Path) -> None:
    project = fake(200)
    before = {path: path.read_bytes() for path in (project.folder / "results").rglob("*") if path.is_file()}
    project.dvc("cache", "dir", "--local", str(small_disk / "cache"))
    done = project.edgeflow("track", check=False)
    assert done.returncode == 9
    assert "No space left on device" in done.stderr
    for path, content in before.items():
        assert path.read_bytes() == content
    grow(small_disk)
    project.edgeflow("track")
    assert_whole(small_disk / "cache")


def test_a_full_remote_gets_no_half_objects(fake: Fake, small_disk: Path) -> None:
    project = fake(200)
    project.edgeflow("track")
    project.set_remote(small_disk)
    done = project.edgeflow("push", check=False)
    assert done.returncode == 9
    grow(small_disk)
    project.edgeflow("push")
    assert_whole(small_disk)
    assert len(objects(small_disk)) == len(objects(project.cache))


def test_a_full_disk_of_the_store_delays_what_mlflow_shows(
    copy: Repository, small_disk: Path, read_store: Callable[..., dict[str, list[dict[str, object]]]]
) -> None:
    (small_disk / "fill").write_bytes(bytes(900_000))
    project = Repository(copy.folder, {"MLFLOW_TRACKING_URI": f"sqlite:///{small_disk}/mlflow.db"})
    done = project.edgeflow("track")
    assert "did not take everything" in done.stdout
    assert "The next 'edgeflow track' catches up" in done.stdout
    grow(small_disk)
    assert "2 runs added" in project.edgeflow("track").stdout
    assert len(read_store(f"sqlite:///{small_disk}/mlflow.db")["runs"]) == 3


# --- damage ----------------------------------------------------------------------------------------------------------


def cached(project: Repository) -> Path:
    """The released package's object in the cache."""
    digest = hashlib.md5(project.package().read_bytes()).hexdigest()
    return project.cache / digest[:2] / digest[2:]


def test_damage_in_the_cache_is_named_and_repaired_from_the_folder_or_the_remote(copy: Repository) -> None:
    content, name = copy.package().read_bytes(), copy.package().relative_to(copy.folder)
    damage(cached(copy))
    done = copy.edgeflow("track", "--check")
    assert f"{name}: its copy in the cache was damaged; repaired from this folder" in done.stdout
    assert cached(copy).read_bytes() == content

    where = cached(copy)
    where.unlink()
    package = copy.package()
    package.unlink()
    done = copy.edgeflow("track", "--check")
    assert f"{name}: its copy in the cache was missing; repaired from the remote" in done.stdout
    assert where.read_bytes() == content
    assert "repaired" not in copy.edgeflow("track", "--check").stdout


def test_the_list_of_a_folder_is_repaired_too(copy: Repository) -> None:
    pointer = yaml.safe_load((copy.folder / "results/compile.dvc").read_text())["outs"][0]["md5"]
    path = copy.cache / pointer[:2] / pointer[2:]
    content = path.read_bytes()
    damage(path)
    assert "repaired from this folder" in copy.edgeflow("track", "--check").stdout
    assert path.read_bytes() == content
    path.unlink()
    shutil.rmtree(copy.folder / "results/compile")
    assert "repaired from the remote" in copy.edgeflow("track", "--check").stdout
    assert path.read_bytes() == content


def test_what_nobody_has_whole_is_named_and_made_again(copy: Repository) -> None:
    program = copy.folder / "results/judge/tiny_a/linux_x86_ort/fp32/verdict.json"
    digest = hashlib.md5(program.read_bytes()).hexdigest()
    for store in (copy.cache, copy.remote / "files/md5"):
        damage(store / digest[:2] / digest[2:])
    program.unlink()
    done = copy.edgeflow("track", "--check", check=False)
    assert done.returncode == 3
    assert f"{program.relative_to(copy.folder)} (MD5 {digest}): damaged in the cache, and no whole copy" in done.stderr
    assert "run 'snakemake', which makes them again" in done.stderr
    assert ("judge", "tiny_a/linux_x86_ort/fp32") in copy.pending()
    copy.run()
    copy.edgeflow("track")
    assert "objects are whole" in copy.edgeflow("track", "--check").stdout


def test_a_file_that_was_built_since_is_told_from_damage(copy: Repository) -> None:
    copy.package().write_bytes(b"built since")
    done = copy.edgeflow("track", "--check")
    name = copy.package().relative_to(copy.folder)
    assert f"{name}: is not what was tracked; 'edgeflow track' takes it as it is now" in done.stdout
    assert copy.package().read_bytes() == b"built since"


def test_pointers_that_git_ignores_are_an_error(copy: Repository) -> None:
    path = copy.folder / ".gitignore"
    path.write_text(path.read_text() + "results/\n")
    path.write_text("\n".join(line for line in path.read_text().splitlines() if "?" not in line) + "\n")
    done = copy.edgeflow("track", check=False)
    assert "run 'edgeflow init-tracking', which corrects it" in done.stderr
    copy.edgeflow("init-tracking")
    assert "results/" not in path.read_text().splitlines()
    copy.edgeflow("track")

"""From a digest or a variant to the pointer, the commit and the bytes."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from edgeflow import files, layout
from edgeflow.errors import TrackingError, UsageError
from edgeflow.tracking import dvc, git
from edgeflow.tracking.artifacts import index

_SHA256 = re.compile(r"[0-9a-f]{64}")
_POINTERS = f"{layout.RESULTS}/*{layout.POINTER}"


@dataclass(frozen=True)
class Found:
    """Where something is kept."""

    pointer: str  # path of the pointer file
    commit: str  # whose pointer says so
    path: str  # in the project, as of that commit
    sha256: str  # of the file; "" for the folder of a variant


def fetch(what: str, revision: str, output: Path | None) -> tuple[Found, Path]:
    """Bring the file with a SHA-256, or the package folder of a variant `model/target/scheme`, as of a commit.

    Returns where it was found and where it is now. Raises UsageError for anything else, TrackingError when no commit
    knows it, the remote does not have it, or its bytes are not what the pointer says.
    """
    git.require_repository()
    dvc.require()
    found = locate(what, revision)
    target = output or Path(Path(found.path).name if found.sha256 else what.replace("/", "-"))
    if target.exists():
        raise UsageError(f"{target} is there already; choose another place with --output")
    dvc.run("get", ".", found.path, "--rev", found.commit, "--out", str(target))
    _check(found, target)
    return found, target


def locate(what: str, revision: str) -> Found:
    """Find the pointer and the commit; "" looks for a digest in all commits, and for a variant in the current one."""
    if _SHA256.fullmatch(what):
        return _by_digest(what, revision)
    if len(what.split("/")) != 3 or not all(re.fullmatch("[a-z][a-z0-9_]*", part) for part in what.split("/")):
        raise UsageError(f"{what!r} is neither a SHA-256 of 64 hexadecimal digits nor a variant model/target/scheme")
    path = str(Path(layout.package(*what.split("/"))["record"]).parent)
    pointer = f"{'/'.join(path.split('/')[:2])}{layout.POINTER}"
    commit = git.resolve(revision or "HEAD")
    if not git.show(commit, pointer):
        raise TrackingError(f"{pointer} is not in commit {commit[:12]}: 'git log -- {pointer}' shows where it is")
    return Found(pointer, commit, path, "")


def _by_digest(sha256: str, revision: str) -> Found:
    commits = [git.resolve(revision)] if revision else git.commits_with(sha256, [_POINTERS])
    for commit in commits:
        for pointer, text in _pointers(commit):
            if path := index(text).get(sha256) if sha256 in text else None:
                folder = yaml.safe_load(text)["outs"][0]["md5"].endswith(".dir")
                out = pointer.removesuffix(layout.POINTER)
                return Found(pointer, commit, f"{out}/{path}" if folder else out, sha256)
    where = f"commit {revision}" if revision else "any commit here"
    raise TrackingError(
        f"no pointer of {where} names {sha256}: 'git fetch' brings the commits of others; what was not tracked and "
        "committed cannot be brought back"
    )


def _pointers(commit: str) -> Iterator[tuple[str, str]]:
    for name in git.files(commit, f"{layout.RESULTS}/"):
        if name.endswith(layout.POINTER):
            yield name, git.show(commit, name)


def _check(found: Found, target: Path) -> None:
    """Compare what came with what the pointer or the package's own record says, and remove it when it differs."""
    if found.sha256:
        whole = files.sha256_file(target) == found.sha256
    else:
        record = files.read_json(target / "package.json")
        archive = record["package"]
        whole = archive is None or files.sha256_file(target / archive["name"]) == archive["sha256"]
    if whole:
        return
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    raise TrackingError(
        f"{found.path} of commit {found.commit[:12]} came back with other bytes: the copy in the cache or the remote "
        "is damaged; 'edgeflow track --check' repairs the cache, and names what the remote has no whole copy of"
    )

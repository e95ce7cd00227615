"""From a digest or a variant to the pointer, the commit and the bytes."""

from __future__ import annotations

import glob
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeflow import files, host, layout, pointers
from edgeflow.errors import DataError, TrackingError, UsageError
from edgeflow.paths import inside
from edgeflow.tracking import dvc, git, objects
from edgeflow.tracking.artifacts import digests

_SHA256 = re.compile(r"[0-9a-f]{64}")
_POINTERS = f"{layout.RESULTS}/*{layout.POINTER}"


@dataclass(frozen=True)
class Origin:
    """Where something is kept."""

    pointer: str  # path of the pointer file
    commit: str  # whose pointer says so
    path: str  # in the project, as of that commit
    sha256: str  # of the file; "" for the folder of a variant
    files: Mapping[str, str]  # what the pointer names of it: path inside it, "" for the file itself → SHA-256


def fetch(what: str, revision: str, output: Path | None) -> tuple[Origin, Path]:
    """Bring the file with a SHA-256, or the package folder of a variant `model/target/scheme`, as of a commit.

    Returns where it was found and where it is now. Raises UsageError for anything else, TrackingError when no commit
    knows it, the remote does not have it, or its bytes are not what the pointer says.
    """
    git.require_repository()
    dvc.require()
    origin = locate(what, revision)
    target = output or Path(Path(origin.path).name if origin.sha256 else what.replace("/", "-"))
    if target.exists():
        raise UsageError(f"{target} is there already; choose another place with --output")
    for left in target.parent.glob(f".{glob.escape(target.name)}.*.coming"):  # of a call that was killed
        if files.abandoned(left):
            _remove(left)
    objects.bring_lists([pointers.parse(Path(origin.pointer), git.show(origin.commit, origin.pointer))])
    coming = target.with_name(f".{target.name}.{host.owner()}.coming")  # what is at its place is whole and checked
    try:
        dvc.run("get", ".", origin.path, "--rev", origin.commit, "--out", str(coming))
        _check(origin, coming)
        coming.rename(target)
    finally:
        _remove(coming)
    return origin, target


def locate(what: str, revision: str) -> Origin:
    """Find the pointer and the commit; "" looks for a digest in all commits, and for a variant in the current one."""
    if _SHA256.fullmatch(what):
        return _by_digest(what, revision)
    if len(what.split("/")) != 3 or not all(re.fullmatch("[a-z][a-z0-9_]*", part) for part in what.split("/")):
        raise UsageError(f"{what!r} is neither a SHA-256 of 64 hexadecimal digits nor a variant model/target/scheme")
    path = str(Path(layout.package(*what.split("/"))["record"]).parent)
    pointer = f"{'/'.join(path.split('/')[:2])}{layout.POINTER}"
    commit = git.resolve(revision or "HEAD")
    text = git.show(commit, pointer)
    if not text:
        raise TrackingError(f"{pointer} is not in commit {commit[:12]}: 'git log -- {pointer}' shows where it is")
    prefix = f"{path.removeprefix(f'{pointer.removesuffix(layout.POINTER)}/')}/"
    named = {name.removeprefix(prefix): digest for name, digest in digests(text).items() if name.startswith(prefix)}
    return Origin(pointer, commit, path, "", named)


def _by_digest(sha256: str, revision: str) -> Origin:
    commits = [git.resolve(revision)] if revision else git.commits_with(sha256, [_POINTERS])
    for commit in commits:
        for pointer, text in _pointers(commit):
            named = digests(text) if sha256 in text else {}
            if path := next((path for path, digest in named.items() if digest == sha256), ""):
                folder = pointers.parse(Path(pointer), text).folder
                out = pointer.removesuffix(layout.POINTER)
                return Origin(pointer, commit, f"{out}/{path}" if folder else out, sha256, {"": sha256})
    where = f"commit {revision}" if revision else "any commit here"
    raise TrackingError(
        f"no pointer of {where} names {sha256}: 'git fetch' brings the commits of others; what was not tracked and "
        "committed cannot be brought back"
    )


def _pointers(commit: str) -> Iterator[tuple[str, str]]:
    for name in git.files(commit, f"{layout.RESULTS}/"):
        if name.endswith(layout.POINTER):
            yield name, git.show(commit, name)


def _check(origin: Origin, came: Path) -> None:
    """Raises TrackingError when what came is not what the pointer and the package's own record say."""
    named = all(_is(inside(came, name) if name else came, digest) for name, digest in origin.files.items())
    if not named or not (origin.sha256 or _as_recorded(came)):
        raise TrackingError(
            f"{origin.path} of commit {origin.commit[:12]} came back with other bytes: the copy in the cache or the "
            "remote is damaged; 'edgeflow track --check' repairs the cache, and names what the remote has no whole "
            "copy of"
        )


def _as_recorded(folder: Path) -> bool:
    """True when the package is the one that the record beside it names."""
    try:
        archive = files.read_json(folder / "package.json")["package"]
        return archive is None or _is(inside(folder, archive["name"]), archive["sha256"])
    except (DataError, KeyError, TypeError):  # the record itself is damaged
        return False


def _is(path: Path, sha256: str) -> bool:
    return path.is_file() and files.sha256_file(path) == sha256


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

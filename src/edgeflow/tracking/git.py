"""What git knows: the commit, whether the work tree differs from it, and which commit first named a digest."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from edgeflow import layout
from edgeflow.errors import TrackingError

# Tracking writes these itself: they must not make a clean build dirty. The pointer of a dataset is an edit like others.
OWN = (f"{layout.RESULTS}/*{layout.POINTER}", ".dvc", ".dvcignore", ".gitignore")


def run(*arguments: str) -> str:
    """Standard output of a git command in the current folder.

    Raises TrackingError with git's own words when it fails or there is no git.
    """
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise TrackingError("git is not installed; tracking keeps its pointers in a git repository") from None
    if done.returncode != 0:
        raise TrackingError(f"git {arguments[0]}: {done.stderr.strip() or f'exit code {done.returncode}'}")
    return done.stdout


def require_repository() -> None:
    """Raises TrackingError unless the current folder is the top of a git repository with a commit."""
    try:
        prefix = run("rev-parse", "--show-prefix").strip()
    except TrackingError as error:
        raise TrackingError(f"this folder is not a git repository ({error}); run 'git init' and commit first") from None
    if prefix:
        raise TrackingError("run this at the top of the git repository: the project and the repository are one folder")


def commit() -> str:
    """The commit that is checked out, 40 hexadecimal digits; "" before the first one."""
    try:
        return run("rev-parse", "--verify", "HEAD").strip()
    except TrackingError:
        return ""


def dirty() -> bool:
    """True when the work tree has changes that are not in the commit, other than those that tracking makes."""
    return bool(run("status", "--porcelain", "--", ".", *(f":(exclude){pattern}" for pattern in OWN)).strip())


def resolve(revision: str) -> str:
    """The commit that a revision names; TrackingError when there is none."""
    try:
        return run("rev-parse", "--verify", f"{revision}^{{commit}}").strip()
    except TrackingError:
        raise TrackingError(f"{revision!r} is no commit here; 'git fetch' brings those of others") from None


def commits_with(text: str, paths: Sequence[str]) -> list[str]:
    """Commits on any branch that added or removed a text in files, newest first."""
    return run("log", "--all", "--format=%H", f"-S{text}", "--", *paths).split()


def show(revision: str, path: str) -> str:
    """A file as of a commit; "" when that commit does not have it."""
    try:
        return run("show", f"{revision}:{path}")
    except TrackingError:
        return ""


def files(revision: str, pattern: str) -> list[str]:
    """Files of a commit whose path matches a pattern."""
    return run("ls-tree", "--name-only", "-r", revision, "--", pattern).splitlines()

"""Artifacts in DVC: one pointer per folder of the results, in which git also sees the digests that a package names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from edgeflow import files, layout, pointers
from edgeflow.errors import DataError, TrackingError, UsageError
from edgeflow.paths import problem
from edgeflow.pointers import Pointer
from edgeflow.tracking import dvc, git
from edgeflow.tracking.secrets import has_password, redacted

REMOTE = "storage"
IGNORED = (f"{layout.TRACKING}/", layout.tracking()["store"], f"{layout.tracking()['copies']}/")
# Not the pattern with a bare star: DVC takes that for the folder itself and then looks for no pointer in it.
RESULTS = (f"{layout.RESULTS}/?*", f"!{layout.RESULTS}/*{layout.POINTER}")
UNFINISHED = (f"/{layout.RESULTS}/*/**/.*",)


def init(remote: str) -> str:
    """Set up DVC in this git repository, and what git ignores; "" keeps the remote, or takes a folder beside this one.

    Returns the address of the remote, without a password. Raises TrackingError outside a git repository, and UsageError
    for an address with a password: DVC keeps it in .dvc/config, which is committed.
    """
    git.require_repository()
    if has_password(remote):
        raise UsageError(
            f"{redacted(remote)}: its password would be in .dvc/config and so in git. Give the address without it, "
            f"then 'dvc remote modify --local {REMOTE} password …', which git ignores"
        )
    if not Path(".dvc/config").is_file():
        dvc.run("init")
    # A hard link would make an artifact read-only and equal files one file.
    dvc.run("config", "cache.type", "reflink,copy")
    dvc.run("config", "core.analytics", "false")
    dvc.run("config", "core.check_update", "false")
    if remote or not dvc.remote():
        here = Path.cwd()
        dvc.run(
            "remote", "add", "--force", "--default", REMOTE, remote or str(here.with_name(f"{here.name}.dvc-store"))
        )
    _ignore()
    _ignore_unfinished()
    return redacted(dvc.run("config", f"remote.{dvc.remote()}.url").strip())


def _ignore() -> None:
    path = Path(".gitignore")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    hiding = {f"{root}{layout.RESULTS}{rest}" for root in ("", "/") for rest in ("", "/", "/*")}
    kept = [line for line in lines if line.strip() not in hiding]
    if not _visible(kept):
        kept = [*(line for line in kept if line not in RESULTS), *RESULTS]  # the exception comes after the rule
    kept += [line for line in IGNORED if line not in kept]
    if kept != lines:
        files.write_text(path, "\n".join(kept) + "\n")


def _ignore_unfinished() -> None:
    """What killed processes left, as a training that it can go on with beside its checkpoint, is no artifact."""
    path = Path(".dvcignore")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    if missing := [line for line in UNFINISHED if line not in lines]:
        files.write_text(path, "\n".join((*lines, *missing)) + "\n")


def _visible(lines: list[str]) -> bool:
    return set(RESULTS) <= set(lines) and lines.index(RESULTS[0]) < lines.index(RESULTS[1])


def _require_visible() -> None:
    """Raises TrackingError when git ignores the pointers: DVC would then see none, and say that all is well."""
    lines = Path(".gitignore").read_text(encoding="utf-8").splitlines() if Path(".gitignore").is_file() else []
    if not _visible(lines):
        raise TrackingError(
            ".gitignore hides the pointers in the results: run 'edgeflow init-tracking', which corrects it"
        )


@dataclass(frozen=True)
class Tracked:
    """What was added."""

    folders: int
    changed: tuple[str, ...]  # pointers that are not what they were


def add() -> Tracked:
    """One `dvc add` of every folder of the results, then their digests into the pointers.

    Raises TrackingError when DVC is not set up, or cannot write.
    """
    dvc.require()
    _require_visible()
    targets = layout.tracked(Path())
    if not targets:
        raise TrackingError("there are no results to track yet: run 'snakemake' first")
    before = {pointer: pointer.read_bytes() for pointer in layout.pointers(Path())}
    dvc.run("add", *targets)
    for target in targets:
        _write_index(Path(f"{target}{layout.POINTER}"))
    changed = [str(p) for p in layout.pointers(Path()) if before.get(p) != p.read_bytes()]
    return Tracked(len(targets), tuple(changed))


# --- digests in the pointers -----------------------------------------------------------------------------------------


def _write_index(file: Path) -> None:
    """Add `meta`, which DVC keeps and does not read: SHA-256 and path of what packages name, as sha256sum writes it."""
    pointer = pointers.read(file)
    text = file.read_text(encoding="utf-8")
    outs, _, meta = text.partition("\nmeta:\n")
    if meta.startswith(f"  of: {pointer.md5}\n"):
        return
    named = sorted(
        (path, files.sha256_file(pointer.out / path if pointer.folder else pointer.out)) for path in _named(pointer)
    )
    lines = "".join(f"    {digest}  {path}\n" for path, digest in named)
    block = f"  of: {pointer.md5}\n" + (f"  sha256: |\n{lines}" if lines else "  sha256: ''\n")
    files.write_text(file, f"{outs.rstrip()}\nmeta:\n{block}")


def _named(pointer: Pointer) -> Iterable[str]:
    """Files whose digest a package or its manifest names, and the package's record; not what can be read off them."""
    paths = (p for p in pointer.out.rglob("*") if p.is_file()) if pointer.folder else (pointer.out,)
    for path in paths:
        if layout.named_by_digest(path) or path.name == "package.json":
            yield path.relative_to(pointer.out).as_posix() if pointer.folder else path.name


def digests(text: str) -> dict[str, str]:
    """Path inside what a pointer stands for → SHA-256, of a pointer's text.

    Raises DataError for a path that leads out of it, and for what is no pointer.
    """
    try:
        meta = (yaml.safe_load(text) or {}).get("meta") or {}
        lines = (meta.get("sha256") or "").splitlines()
    except (yaml.YAMLError, AttributeError):
        raise DataError(
            "a pointer of this commit is not as 'edgeflow track' writes it; 'git log' shows others"
        ) from None
    sha256s = {path: digest for digest, _, path in (line.partition("  ") for line in lines)}
    for path in sha256s:
        if bad := problem(path):
            raise DataError(f"a pointer names {path!a}, which {bad}; restore it with 'git checkout'")
    return sha256s


def push() -> None:
    """Send what the remote does not have yet.

    Raises TrackingError when nothing is tracked, there is no remote, or it cannot be reached.
    """
    dvc.require_remote()
    _require_visible()
    if not layout.pointers(Path()):
        raise TrackingError("nothing is tracked yet: run 'edgeflow track' first")
    dvc.run("push")

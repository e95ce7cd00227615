"""DVC's cached objects, by the MD5 of their content: which there should be, and whether they are what their names say.

DVC trusts a cached object by its name: a flipped byte in the cache or in a remote is copied as if it were right.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeflow import files, layout, pointers
from edgeflow.errors import DataError, TrackingError
from edgeflow.pointers import Pointer
from edgeflow.tracking import dvc, git


def tracked() -> list[Pointer]:
    """Every pointer of the project: those of the results, and those of datasets that git knows."""
    known = git.run("ls-files", "-z", f"*{layout.POINTER}").split("\0")  # -z: as they are, also beyond ASCII
    names = {*map(str, layout.pointers(Path())), *filter(None, known)}
    return [pointers.read(Path(name)) for name in sorted(names) if Path(name).is_file()]


def path_of(cache: Path, md5: str) -> Path:
    """Where DVC keeps an object."""
    return cache / md5[:2] / md5[2:]


def whole(path: Path, md5: str) -> bool:
    """True when a file is there and has the content that its name says."""
    return path.is_file() and pointers.md5(path) == md5.removesuffix(pointers.DIRECTORY)


def listing(cache: Path, pointer: Pointer) -> dict[Path, str]:
    """File → MD5 of what a pointer stands for; its object in the cache must be whole."""
    if not pointer.folder:
        return {pointer.out: pointer.md5}
    entries = json.loads(path_of(cache, pointer.md5).read_text(encoding="utf-8"))
    return {pointer.out / entry["relpath"]: entry["md5"] for entry in entries}


@dataclass(frozen=True)
class Bad:
    """An object that is missing or damaged."""

    md5: str
    state: str  # "missing" or "damaged"
    paths: tuple[Path, ...]  # what it should be in the project


@dataclass(frozen=True)
class Checked:
    """What a check of the cache found."""

    objects: int
    repaired: tuple[tuple[Bad, str], ...]  # with where the right bytes came from
    lost: tuple[Bad, ...]
    differing: tuple[Path, ...]  # files of the project that are not what was tracked


def check() -> Checked:
    """Find every object that is missing or damaged, and repair it from this folder or from the remote.

    Raises TrackingError when nothing is tracked.
    """
    dvc.require()
    found = tracked()
    if not found:
        raise TrackingError("nothing is tracked yet: run 'edgeflow track' first")
    cache = dvc.cache()
    folders = {pointer.md5: (pointer.out,) for pointer in found if pointer.folder}
    repaired, lost = _mend(cache, _bad(cache, folders))
    lost_folders = {bad.md5 for bad in lost}
    paths: dict[str, list[Path]] = {}
    for pointer in found:
        if pointer.md5 not in lost_folders:
            for path, md5 in listing(cache, pointer).items():
                paths.setdefault(md5, []).append(path)
    more, still_lost = _mend(cache, _bad(cache, paths))
    differing = [p for md5, names in paths.items() for p in names if p.is_file() and pointers.md5(p) != md5]
    return Checked(len(folders) + len(paths), (*repaired, *more), (*lost, *still_lost), tuple(sorted(differing)))


def _bad(cache: Path, wanted: Mapping[str, Iterable[Path]]) -> list[Bad]:
    return [
        Bad(md5, "damaged" if path_of(cache, md5).exists() else "missing", tuple(paths))
        for md5, paths in wanted.items()
        if not whole(path_of(cache, md5), md5)
    ]


def _mend(cache: Path, bad: list[Bad]) -> tuple[list[tuple[Bad, str]], list[Bad]]:
    """Put the right bytes in place; returns what was repaired and from where, and what nobody has."""
    repaired: list[tuple[Bad, str]] = []
    for one in bad:
        path_of(cache, one.md5).unlink(missing_ok=True)
        if _from_project(cache, one):
            repaired.append((one, "this folder"))
    done = {one.md5 for one, _ in repaired}
    left = [one for one in bad if one.md5 not in done]
    if left and dvc.remote():
        _fetch()
        for one in [*left]:
            if whole(path_of(cache, one.md5), one.md5):
                repaired.append((one, "the remote"))
                left.remove(one)
            else:  # the remote's own copy is damaged
                path_of(cache, one.md5).unlink(missing_ok=True)
    return repaired, left


def _from_project(cache: Path, bad: Bad) -> bool:
    target = path_of(cache, bad.md5)
    for path in bad.paths:
        if bad.md5.endswith(pointers.DIRECTORY):
            if path.is_dir() and pointers.digest(path) == bad.md5:
                files.write_text(target, pointers.listing(path))
                return True
        elif whole(path, bad.md5):
            target.parent.mkdir(parents=True, exist_ok=True)
            with files.atomic(target) as temporary:
                shutil.copyfile(path, temporary)
            return True
    return False


def _fetch() -> None:
    try:
        dvc.run("fetch")
    except TrackingError as error:  # also when only some of the objects are there
        if "ailed to load directory" not in str(error) and "ache file" not in str(error):
            raise


def drop_damaged(cache: Path) -> list[Path]:
    """Remove every file of the results, and its cached object, that is not what its pointer says; returns the files.

    For a pull that has just copied them: nothing of the user's own is among them. Datasets are not touched.
    """
    bad: list[Path] = []
    for pointer in map(pointers.read, layout.pointers(Path())):
        if pointer.folder and not whole(path_of(cache, pointer.md5), pointer.md5):
            path_of(cache, pointer.md5).unlink(missing_ok=True)
            bad.append(pointer.out)
            continue
        for path, md5 in listing(cache, pointer).items():
            if not whole(path, md5):
                path.unlink(missing_ok=True)
                bad.append(path)
                if not whole(path_of(cache, md5), md5):
                    path_of(cache, md5).unlink(missing_ok=True)
    return bad


def fetch_data(file: Path) -> None:
    """Bring what a dataset's pointer stands for, where it is not there, and check that it is what the pointer says.

    Raises DataError when it differs, TrackingError when it cannot be brought.
    """
    pointer = pointers.read(file)
    if not pointer.out.exists():
        try:
            dvc.run("pull", str(file))
        except TrackingError as error:
            raise DataError(
                f"{pointer.out}: is not here, and {error}; 'edgeflow push' where it was added sends it"
            ) from None
    pointers.check(pointer)

"""DVC's cached objects, by the MD5 of their content: which there should be, and whether they are what their names say.

DVC trusts a cached object by its name: a flipped byte in the cache or in a remote is copied as if it were right.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edgeflow import files, layout, pointers
from edgeflow.errors import DataError, TrackingError
from edgeflow.paths import inside, problem
from edgeflow.pointers import Pointer
from edgeflow.tracking import dvc, git

_MAX_NAMED = 10  # objects in a message
NEXT = (
    "Is it pushed, and is the remote right? 'edgeflow track --check' and 'edgeflow push' where it was built; "
    "'dvc remote list' here, and 'dvc remote modify --local NAME url ADDRESS' where the address is another on this "
    "machine. 'snakemake' makes results again"
)


def tracked() -> list[Pointer]:
    """Every pointer of the project: those of the results, and those of datasets that git knows."""
    known = git.run("ls-files", "-z", f"*{layout.POINTER}").split("\0")  # -z: as they are, also beyond ASCII
    names = {*map(str, layout.pointers(Path())), *filter(None, known)}
    return [pointers.read(Path(name)) for name in sorted(names) if Path(name).is_file()]


def path_of(cache: Path, md5: str) -> Path:
    """Where DVC keeps an object.

    Raises DataError for what is no digest, and may lead anywhere.
    """
    if not pointers.is_md5(md5):
        raise DataError(f"{md5!a} is no digest of DVC's")
    return cache / md5[:2] / md5[2:]


def whole(path: Path, md5: str) -> bool:
    """True when a file is there and has the content that its name says."""
    return path.is_file() and pointers.md5(path) == md5.removesuffix(pointers.DIRECTORY)


def listing(cache: Path, pointer: Pointer) -> dict[Path, str]:
    """File → MD5 of what a pointer stands for; its object in the cache must be whole.

    Raises DataError for a list that DVC does not write, and for one that names a file outside the folder.
    """
    if not pointer.folder:
        return {inside(Path(), str(pointer.out)): pointer.md5}
    try:
        entries = json.loads(path_of(cache, pointer.md5).read_text(encoding="utf-8"))
        named = {str(entry["relpath"]): entry["md5"] for entry in entries}
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{pointer.file}: the list of its files, {pointer.md5}, is not as DVC writes it") from None
    md5s = {}
    for name, md5 in named.items():
        if bad := problem(name) or ("" if pointers.is_md5(md5) else "has a digest that is none"):
            raise DataError(
                f"{pointer.file}: the list of its files, {pointer.md5}, names {name!a}, which {bad}: "
                "whoever made it is hostile, or their disk is damaged. Nothing of it was written"
            )
        md5s[inside(Path(), f"{pointer.out}/{name}")] = md5
    return md5s


def bring_lists(kept: Iterable[Pointer]) -> None:
    """Bring the list of each folder into the cache and look at it, before DVC writes the files that it names.

    Raises DataError for a list that is damaged or hostile, TrackingError for one that the remote does not have.
    """
    folders = [pointer for pointer in kept if pointer.folder]
    cache = dvc.cache()
    wanted = [pointer for pointer in folders if not whole(path_of(cache, pointer.md5), pointer.md5)]
    for pointer in wanted:
        path_of(cache, pointer.md5).unlink(missing_ok=True)
    dvc.bring((pointer.md5, pointer.remote) for pointer in wanted)
    require(cache, {pointer.md5: [pointer.out] for pointer in wanted})
    for pointer in folders:
        listing(cache, pointer)


def pull(kept: Sequence[Pointer], *options: str) -> None:
    """`dvc pull` of what pointers stand for, once it is known that no list names anything outside its folder.

    Raises as `bring_lists`, and TrackingError that names what the remote does not have or with DVC's own words.
    """
    bring_lists(kept)
    try:
        dvc.run("pull", *options, *(str(pointer.file) for pointer in kept))
    except TrackingError:
        require(dvc.cache(), lacking(kept))
        raise


def require(cache: Path, wanted: Mapping[str, Sequence[Path]]) -> None:
    """Raises TrackingError that names each object that did not come whole, by file and digest; a damaged one goes."""
    bad = _bad(cache, wanted)
    for one in bad:
        path_of(cache, one.md5).unlink(missing_ok=True)
    if bad:
        shown = [f"{one.paths[0]} (MD5 {one.md5}): {one.state} in the remote" for one in bad[:_MAX_NAMED]]
        shown += [f"and {len(bad) - _MAX_NAMED} more"] if len(bad) > _MAX_NAMED else []
        raise TrackingError("\n".join((*shown, NEXT)))


def lacking(kept: Iterable[Pointer]) -> dict[str, list[Path]]:
    """MD5 → files, of what pointers stand for and the cache does not have; their lists must be there."""
    cache = dvc.cache()
    wanted: dict[str, list[Path]] = {}
    for pointer in kept:
        for path, md5 in listing(cache, pointer).items():
            if not path_of(cache, md5).is_file():
                wanted.setdefault(md5, []).append(path)
    return wanted


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
    kept = tracked()
    if not kept:
        raise TrackingError("nothing is tracked yet: run 'edgeflow track' first")
    cache = dvc.cache()
    folders = {pointer.md5: (pointer.out,) for pointer in kept if pointer.folder}
    remotes = {pointer.md5: pointer.remote for pointer in kept}
    repaired, lost = _mend(cache, _bad(cache, folders), remotes)
    lost_folders = {bad.md5 for bad in lost}
    paths: dict[str, list[Path]] = {}
    for pointer in kept:
        if pointer.md5 not in lost_folders:
            for path, md5 in listing(cache, pointer).items():
                paths.setdefault(md5, []).append(path)
                remotes.setdefault(md5, pointer.remote)
    more, still_lost = _mend(cache, _bad(cache, paths), remotes)
    differing = [p for md5, names in paths.items() for p in names if p.is_file() and pointers.md5(p) != md5]
    return Checked(len(folders) + len(paths), (*repaired, *more), (*lost, *still_lost), tuple(sorted(differing)))


def _bad(cache: Path, wanted: Mapping[str, Iterable[Path]]) -> list[Bad]:
    return [
        Bad(md5, "damaged" if path_of(cache, md5).exists() else "missing", tuple(paths))
        for md5, paths in wanted.items()
        if not whole(path_of(cache, md5), md5)
    ]


def _mend(cache: Path, bad: list[Bad], remotes: Mapping[str, str]) -> tuple[list[tuple[Bad, str]], list[Bad]]:
    """Put the right bytes in place; returns what was repaired and from where, and what nobody has."""
    repaired: list[tuple[Bad, str]] = []
    for one in bad:
        path_of(cache, one.md5).unlink(missing_ok=True)
        if _from_project(cache, one):
            repaired.append((one, "this folder"))
    done = {one.md5 for one, _ in repaired}
    left = [one for one in bad if one.md5 not in done]
    if left and dvc.remote():
        dvc.bring((one.md5, remotes[one.md5]) for one in left)
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


def drop_damaged(cache: Path) -> list[Path]:
    """Remove every file of the results, and its cached object, that is not what its pointer says; returns the files.

    For a pull that has just copied them: nothing of the user's own is among them. Datasets are not touched.
    """
    bad: list[Path] = []
    for pointer in map(pointers.read, layout.pointers(Path())):
        if pointer.folder and not whole(path_of(cache, pointer.md5), pointer.md5):
            _drop(path_of(cache, pointer.md5))
            bad.append(pointer.out)
            continue
        for path, md5 in listing(cache, pointer).items():
            if not whole(path, md5):
                _drop(path)
                bad.append(path)
                if not whole(path_of(cache, md5), md5):
                    _drop(path_of(cache, md5))
    return bad


def _drop(path: Path) -> None:
    """Remove a file; what is a folder there, or behind a file, is none."""
    with suppress(IsADirectoryError, NotADirectoryError):
        path.unlink(missing_ok=True)


def fetch_data(file: Path) -> None:
    """Bring what a dataset's pointer stands for, where it is not there, and check that it is what the pointer says.

    Raises DataError when it differs, TrackingError when it cannot be brought.
    """
    pointer = pointers.read(file)
    if not pointer.out.exists():
        try:
            pull([pointer])
        except TrackingError as error:
            raise DataError(f"{pointer.out}: is not here, and {error}") from None
    pointers.check(pointer)

"""Names from tracked data, archives and servers: whatever they are, nothing is read, written or removed outside."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgeflow import layout, pointers
from edgeflow.efpkg import ustar
from edgeflow.errors import DataError, EdgeflowError
from edgeflow.paths import MAX_BYTES, MAX_PART_BYTES, clash, inside, portable_problem, problem
from edgeflow.tracking import artifacts, objects, provenance

HOSTILE = [
    "..", "../x", "a/../../x", "a/..", "/etc/passwd", "//server/share", "\\\\server\\share", "..\\x", "a\\..\\..\\x",
    "C:\\x", "c:x", "C:/x", "", ".", "./x", "a//b", "a/", "a\0b", "../x\0.png", "a\nb", "a\x1b[2Jb", "a\x7f", "a\x85b",
    "a\u2028b", "a\u202egnp.exe", "\udcff", "a" * (MAX_PART_BYTES + 1), "é" * MAX_PART_BYTES, "a/" * MAX_BYTES + "a",
    ".\u200d./x", ".\u200b./x", "\u200d", "a/\ufeff../x", "\u200f../x",
]  # fmt: skip
FINE = [
    "a", "a b", "it's", "größe.jpg", "gro\u0308ße", "写真1\uff0f2.png", "👩\u200d💻.png", "a..b", "...", ".hidden",
    "-rf", "at 12:30", "a/b/c",
]  # fmt: skip
RESERVED = ["con", "CON.txt", "a/nul", "lpt1.h", "Com9", "a.", "a./b"]

unusual = ["..", "../", "é", "e\u0301", "\u200d", "\u202e", "\udcff", "con", "\uff0e", "\uff0f"]
letters = st.sampled_from([*"./\\:~aAb \0\n\x1b", *unusual])
names = st.one_of(st.sampled_from(HOSTILE), st.lists(letters, max_size=12).map("".join), st.text(max_size=40))


@contextmanager
def trap() -> Iterator[tuple[Path, Path]]:
    """A folder to work in, deep in another of which nothing may change; links in the first lead out of it."""
    with tempfile.TemporaryDirectory() as name:
        outer = Path(name).resolve()
        home = outer / "a/b/c/home"
        (home / "links").mkdir(parents=True)
        (outer / "secret").mkdir()
        (outer / "secret/x").write_text("theirs")
        (outer / "x").write_text("theirs")
        (home / "links/out").symlink_to(outer / "secret")
        (home / "links/up").symlink_to("../..")
        (home / "links/in").symlink_to(".")
        yield outer, home


def everything(outer: Path, home: Path) -> dict[str, str]:
    """What is outside the folder, with its content."""
    outside = (p for p in outer.rglob("*") if not p.is_relative_to(home))
    return {str(p): p.read_text() if p.is_file() else "" for p in outside}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_refused_and_the_message_can_be_shown(name: str) -> None:
    assert problem(name)
    assert portable_problem(name)
    with pytest.raises(DataError) as caught:
        inside(Path("folder"), name)
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", FINE)
def test_names_that_people_give_their_files_are_fine(name: str) -> None:
    assert problem(name) == ""
    assert inside(Path("folder"), name) == Path("folder", name)


@pytest.mark.parametrize("name", RESERVED)
def test_what_other_systems_cannot_unpack_is_no_name_in_a_package(name: str) -> None:
    assert problem(name) == ""
    assert portable_problem(name)
    with pytest.raises(ValueError, match=r"Windows keeps for a device|ends with a dot"):
        ustar.header(name, 0)


@given(names)
@settings(deadline=None)
def test_what_is_joined_to_a_folder_stays_in_it(name: str) -> None:
    with trap() as (outer, home):
        before = everything(outer, home)
        for tried in (name, f"links/out/{name}", f"links/up/{name}", f"links/in/{name}"):
            try:
                path = inside(home, tried)
            except DataError:
                continue
            assert path.parent.resolve().is_relative_to(home)
            assert ".." not in path.relative_to(home).parts
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.is_dir():
                path.unlink(missing_ok=True)
                path.write_text("ours")
            assert everything(outer, home) == before


@given(names)
def test_a_name_is_judged_alike_in_every_normal_form(name: str) -> None:
    forms = {unicodedata.normalize(form, name) for form in ("NFC", "NFD")}
    shortest = min(map(len, forms))
    if shortest == max(map(len, forms)) or max(len(f.encode(errors="replace")) for f in forms) < MAX_PART_BYTES:
        assert len({bool(problem(form)) for form in forms}) == 1


@given(names)
def test_what_a_package_may_hold_is_fine_everywhere(name: str) -> None:
    if not portable_problem(name):
        assert problem(name) == ""
        assert name.isascii()
        assert ustar.header(name, 0)[: len(name)] == name.encode()


@given(st.lists(st.text(st.sampled_from("aAbB/"), min_size=1, max_size=5), max_size=6))
def test_names_that_do_not_clash_are_different_files_where_case_does_not_count(given_names: list[str]) -> None:
    if not clash(given_names):
        lower = [name.lower() for name in given_names]
        assert len(set(lower)) == len(lower)
        assert not [a for a in lower for b in lower if b.startswith(f"{a}/")]


# --- what reads such names -------------------------------------------------------------------------------------------


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """As `contextlib.chdir`, and back also when the folder is gone."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def record_names(name: str) -> list[str]:
    """Names for a record of Snakemake's: as given, among base64, and as what base64 stands for."""
    encoded = base64.urlsafe_b64encode(name.encode(errors="surrogatepass")).decode()
    results = base64.urlsafe_b64encode(f"{layout.RESULTS}/{name}".encode(errors="surrogatepass")).decode()
    good = base64.urlsafe_b64encode(f"{layout.RESULTS}/x".encode()).decode()
    return [name, encoded, results, f"{name}/{good}", f"@{good[:4]}/{name}/{good[4:]}", f"{good}/{name}"]


def leniently_decoded(name: str) -> str:
    """What a name says to a reader that drops what is no base64."""
    encoded = "".join(part.removeprefix("@") for part in name.split("/"))
    try:
        return base64.urlsafe_b64decode(encoded).decode()
    except ValueError:
        return ""


@given(names)
@example("../../../AAAA")
@example("../../../../x")
@settings(deadline=None, max_examples=40)  # each in a folder of its own
def test_records_are_restored_among_snakemakes_or_not_at_all(name: str) -> None:
    for file in record_names(name):
        with trap() as (outer, home), working_in(home):
            record = Path(layout.provenance()["jobs"])
            record.parent.mkdir(parents=True)
            line = {"file": file, "output": leniently_decoded(file), "record": {"rule": "x"}}
            record.write_text(json.dumps(line) + "\n")
            metadata = provenance.METADATA.resolve()
            before, mine = everything(outer, home), {p for p in home.rglob("*") if p.is_file()}
            try:
                provenance.restore()
            except DataError as error:
                assert str(record) in str(error)  # noqa: PT017 - hypothesis also finds those that raise nothing
            assert everything(outer, home) == before
            written = {p for p in home.rglob("*") if p.is_file()} - mine
            assert all(p.is_relative_to(metadata) for p in written)


@given(names, names)
@example("../../../../x", "0" * 32)
@example("x", "../../../../../../x")
@example("x", "..//../../../../x")
@settings(deadline=None, max_examples=40)
def test_nothing_outside_is_removed_whatever_a_list_of_files_says(name: str, digest: str) -> None:
    with trap() as (outer, home), working_in(home):
        cache = home / ".dvc/cache/files/md5"
        (home / layout.RESULTS / "train").mkdir(parents=True)
        entries = [{"relpath": name, "md5": digest}, {"relpath": f"links/{name}", "md5": "0" * 32}]
        text = json.dumps(entries).encode()
        md5 = hashlib.md5(text, usedforsecurity=False).hexdigest() + pointers.DIRECTORY
        for tracked in (md5, digest):
            outs = [{"md5": tracked, "hash": "md5", "path": "train"}]
            (home / f"{layout.RESULTS}/train.dvc").write_text(yaml.safe_dump({"outs": outs}))
            (cache / md5[:2]).mkdir(parents=True, exist_ok=True)
            (cache / md5[:2] / md5[2:]).write_bytes(text)
            before = everything(outer, home)
            try:
                objects.drop_damaged(cache)
            except EdgeflowError as error:
                assert str(error).isprintable()  # noqa: PT017 - hypothesis also finds those that raise nothing
            assert everything(outer, home) == before


@given(names)
@settings(deadline=None)
def test_a_pointer_stands_for_what_is_beside_it(name: str) -> None:
    outs = [{"md5": "0" * 32, "hash": "md5", "path": name}]
    try:
        pointer = pointers.parse(Path("data/x.dvc"), yaml.safe_dump({"outs": outs}))
    except DataError:
        return
    assert pointer.out.parent == Path("data")
    assert pointer.out.name == name


@given(names)
def test_a_pointer_names_digests_of_what_is_in_it(name: str) -> None:
    text = yaml.safe_dump({"outs": [], "meta": {"sha256": f"{'0' * 64}  {name}\n"}})
    try:
        listed = artifacts.digests(text)
    except DataError:
        return
    assert all(problem(path) == "" for path in listed)

"""The archive has one encoding, which other tools read too."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping

import pytest
from tests.package.conftest import CONTENTS

from edgeflow import efpkg
from edgeflow.errors import PackageError


def test_what_is_built_reads_back(tmp_path, manifest, contents):
    path = tmp_path / "net.efpkg"
    efpkg.pack(path, manifest, contents)
    assert efpkg.verify(path) == manifest
    assert [p.name for p in tmp_path.iterdir()] == ["net.efpkg"]


def test_files_and_bytes_give_the_same_archive(tmp_path, manifest, contents, good):
    for name, content in contents.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(content)
    on_disk = {name: tmp_path / "in" / name for name in reversed(contents)}
    assert efpkg.describe(on_disk) == manifest.files
    efpkg.pack(tmp_path / "net.efpkg", manifest, on_disk)
    assert (tmp_path / "net.efpkg").read_bytes() == good


def test_the_container_is_what_tarfile_writes_as_ustar(good, members, pack):
    assert [name for name, _ in members] == ["manifest.json", *sorted(CONTENTS)]
    assert pack(members) == good


def test_every_member_has_the_same_plain_metadata(good):
    with tarfile.open(fileobj=io.BytesIO(good), mode="r:") as tar:
        seen = {(m.mode, m.uid, m.gid, m.mtime, m.uname, m.gname, m.type) for m in tar}
    assert seen == {(0o644, 0, 0, 0, "", "", tarfile.REGTYPE)}


def test_system_tar_extracts_it(tmp_path, good, contents):
    (tmp_path / "net.efpkg").write_bytes(good)
    done = subprocess.run(["tar", "-xf", "net.efpkg"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert {name: (tmp_path / name).read_bytes() for name in contents} == dict(contents)


def test_the_manifest_s_digest_is_of_its_bytes_without_that_key(members):
    """As docs/reference/package.md tells readers in other languages: cut the text out, hash the rest."""
    content = members[0][1]
    claimed = json.loads(content)["manifest_sha256"]
    rest = content.replace(b'"manifest_sha256":"' + claimed.encode() + b'",', b"")
    assert len(rest) == len(content) - 85
    assert hashlib.sha256(rest).hexdigest() == claimed


BUILD_AGAIN = """
import sys
from pathlib import Path
from edgeflow import efpkg
source, output = map(Path, sys.argv[1:])
manifest = efpkg.verify(source)
import tarfile
with tarfile.open(source, "r:") as tar:
    members = {m.name: tar.extractfile(m).read() for m in tar if m.name != "manifest.json"}
efpkg.pack(output, manifest, {name: members[name] for name in sorted(members, key=hash)})
"""


def test_surroundings_do_not_change_a_byte(tmp_path, project, good):
    source = tmp_path / "net.efpkg"
    source.write_bytes(good)
    surroundings: tuple[tuple[int, Mapping[str, str]], ...] = (
        (0o077, {"TZ": "Asia/Kathmandu", "PYTHONHASHSEED": "1", "LC_ALL": "C"}),
        (0o000, {"TZ": "America/Anchorage", "PYTHONHASHSEED": "4242", "LC_ALL": "tr_TR.UTF-8", "PYTHONUTF8": "0"}),
    )
    for i, (umask, variables) in enumerate(surroundings):
        folder = tmp_path / f"folder{i}"
        folder.mkdir()
        subprocess.run(
            [sys.executable, "-c", BUILD_AGAIN, str(source), "again.efpkg"],
            cwd=folder,
            umask=umask,
            env={**os.environ, "PYTHONPATH": str(project / "src"), **variables},
            check=True,
        )
        assert (folder / "again.efpkg").read_bytes() == good


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../evil", "'../evil' leads out of its folder"),
        ("/etc/passwd", "'/etc/passwd' has an absolute path"),
        ("manifest.json", "'manifest.json' and 'manifest.json' are the same file where case does not count"),
        ("PROGRAM.tflite", "'program.tflite' and 'PROGRAM.tflite' are the same file where case does not count"),
        ("net.cc/x", "'net.cc' is a file and a folder of 'net.cc/x'"),
        (
            "-rf",
            "'-rf' has a name with other characters than A-Z a-z 0-9 . _ + - / or with a part that starts with . + -",
        ),
        ("a" * 101, f"'{'a' * 101}' has a name of more than 100 bytes"),
    ],
)
def test_names_that_no_reader_may_meet_are_not_written(tmp_path, manifest, contents, name, message):
    packed = {**contents, name: b""}
    with pytest.raises(PackageError) as caught:
        efpkg.pack(tmp_path / "x.efpkg", dataclasses.replace(manifest, files=efpkg.describe(packed)), packed)
    assert str(caught.value) == f"x.efpkg: manifest.json: files: {message}"
    assert not list(tmp_path.iterdir())


def test_a_manifest_of_other_files_is_refused(tmp_path, manifest, contents):
    with pytest.raises(PackageError, match=r"^x\.efpkg: the manifest's files are not those to be packed$"):
        efpkg.pack(tmp_path / "x.efpkg", manifest, {**contents, "more": b""})
    assert not list(tmp_path.iterdir())


def test_a_file_that_changed_since_it_was_described_leaves_no_package(tmp_path, manifest, contents):
    changed = {**contents, "net.cc": b"\1" * 512}
    with pytest.raises(PackageError, match=r"byte \d+: 'net\.cc' is damaged: "):
        efpkg.pack(tmp_path / "x.efpkg", manifest, changed)
    assert not list(tmp_path.iterdir())


def test_nan_cannot_be_written(tmp_path, manifest, contents):
    nan = dataclasses.replace(manifest.measurements[0], value=float("nan"))
    with pytest.raises(PackageError, match=r"^x\.efpkg: manifest\.json: nan is not representable in JCS$"):
        efpkg.pack(tmp_path / "x.efpkg", dataclasses.replace(manifest, measurements=(nan,)), contents)


def test_great_numbers_survive(tmp_path, manifest, contents):
    """RFC 8785 writes 1e18 without exponent: it must come back as the same double."""
    measurement = dataclasses.replace(manifest.measurements[0], conditions={"cycles": 1e18, "tiny": 5e-324})
    great = dataclasses.replace(manifest, measurements=(measurement,))
    efpkg.pack(tmp_path / "x.efpkg", great, contents)
    assert efpkg.verify(tmp_path / "x.efpkg") == great

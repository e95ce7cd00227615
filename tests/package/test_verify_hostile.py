"""Archives that someone made wrong on purpose: each kind by name, with what is said about it."""

from __future__ import annotations

import io
import json
import tarfile
import tracemalloc
from collections.abc import Callable

import pytest
import rfc8785

from edgeflow import efpkg
from edgeflow.errors import PackageError

KNOWN = (
    "this reader knows 'edgeflow.package/v3', 'edgeflow.package/v2', 'edgeflow.package/v1': a package of another "
    "version is checked with the edgeflow that made it"
)
CHARACTERS = "has a name with other characters than A-Z a-z 0-9 . _ + - / or with a part that starts with . + -"


def _second_header(good: bytes) -> int:
    """Where the header after the manifest stands."""
    size = int(good[124:135], 8)
    return 512 + size + -size % 512


def _with_checksum(block: bytes) -> bytes:
    return block[:148] + b"%06o\0 " % (sum(block[:148]) + sum(block[156:512]) + 256) + block[156:]


def _patched(good: bytes, at: int, place: slice, value: bytes) -> bytes:
    """One field of the header at byte `at` replaced, with the checksum made right."""
    block = bytearray(good[at : at + 512])
    block[place] = value.ljust(place.stop - place.start, b"\0")
    return good[:at] + _with_checksum(bytes(block)) + good[at + 512 :]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("../../etc/cron.d/x", "leads out of its folder"),
        ("include/../../x", "leads out of its folder"),
        ("/etc/passwd", "has an absolute path"),
        ("C:\\x", CHARACTERS),
        ("./net.h", CHARACTERS),
        (".bashrc", CHARACTERS),
        ("include//net.h", CHARACTERS),
        ("include/", CHARACTERS),
        ("a\x1b[2Jb", CHARACTERS),
        ("größe", CHARACTERS),
        ("", CHARACTERS),
    ],
)
def test_unsafe_name(good, refusal, name, what):
    at = _second_header(good)
    assert refusal(_patched(good, at, slice(0, 100), name.encode())) == f"byte {at}: member {name!r} {what}"


def test_name_that_is_not_utf8(good, refusal):
    at = _second_header(good)
    evil = _patched(good, at, slice(0, 100), b"\xff\xfe")
    assert refusal(evil) == f"byte {at}: member '\\\\xff\\\\xfe' has a name that is not UTF-8"


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (b"1", "is a hard link"),
        (b"2", "is a symbolic link"),
        (b"3", "is a character device"),
        (b"4", "is a block device"),
        (b"5", "is a folder"),
        (b"6", "is a FIFO"),
        (b"x", "is a pax header"),
        (b"g", "is a global pax header"),
        (b"L", "is a GNU long name"),
        (b"S", "is a GNU sparse file"),
        (b"\0", "is of unknown type b'\\x00'"),
        (b"7", "is of unknown type b'7'"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_anything_but_plain_files(good, refusal, kind, what, first):
    at, name = (0, "manifest.json") if first else (_second_header(good), "include/net.h")
    evil = _patched(good, at, slice(156, 157), kind)
    assert refusal(evil) == f"byte {at}: member {name!r} {what}; only plain files are allowed"


@pytest.mark.parametrize(
    ("field", "place", "value"),
    [
        ("mode", slice(100, 108), b"0000755"),
        ("uid", slice(108, 116), b"0001750"),
        ("gid", slice(116, 124), b"0001750"),
        ("size", slice(124, 136), b"        015 "),
        ("mtime", slice(136, 148), b"14500000000"),
        ("link name", slice(157, 257), b"/etc/passwd"),
        ("magic", slice(257, 263), b"ustar "),
        ("version", slice(263, 265), b" \0"),
        ("uname", slice(265, 297), b"root"),
        ("gname", slice(297, 329), b"root"),
        ("devmajor", slice(329, 337), b"0000001"),
        ("devminor", slice(337, 345), b"0000001"),
        ("prefix", slice(345, 500), b"/etc"),
        ("padding", slice(500, 512), b"x"),
    ],
)
def test_fields_that_are_fixed(good, refusal, field, place, value):
    at = _second_header(good)
    message = refusal(_patched(good, at, place, value))
    assert message.startswith(f"byte {at}: member 'include/net.h': header field {field!r} is ")


def test_name_with_bytes_behind_its_end(good, refusal):
    at = _second_header(good)
    message = refusal(_patched(good, at, slice(0, 100), b"include/net.h\0x"))
    assert message == f"byte {at}: member 'include/net.h\\x00x' {CHARACTERS}"


def test_duplicate_member(members, pack, refusal):
    evil = pack([*members[:2], members[1], *members[2:]])
    assert refusal(evil).endswith(": duplicate member 'include/net.h'; expected 'net.cc'")


def test_duplicate_member_at_the_end(members, pack, refusal):
    evil = pack([*members, members[3]])
    assert refusal(evil).endswith(": duplicate member 'program.tflite'; expected the end of the archive")


def test_second_manifest(members, pack, refusal):
    evil = pack([*members, members[0]])
    assert refusal(evil).endswith(": duplicate member 'manifest.json'; expected the end of the archive")


def test_extra_member(members, pack, refusal):
    evil = pack([*members[:2], ("install.sh", b"rm -rf /\n"), *members[2:]])
    assert refusal(evil).endswith(": member 'install.sh' does not belong here; expected 'net.cc'")


def test_extra_member_at_the_end(members, pack, refusal):
    evil = pack([*members, ("z.sh", b"")])
    assert refusal(evil).endswith(": member 'z.sh' does not belong here; expected the end of the archive")


def test_missing_member(members, pack, refusal):
    assert refusal(pack(members[:-1])).endswith(": the archive ends here; expected 'samples/raw1.bin'")


def test_members_in_another_order(members, pack, refusal):
    evil = pack([members[0], members[2], members[1], *members[3:]])
    assert refusal(evil).endswith(": member 'net.cc' is out of order; expected 'include/net.h'")


def test_manifest_not_first(members, pack, refusal):
    evil = pack([*members[1:], members[0]])
    assert refusal(evil) == "byte 0: member 'include/net.h' does not belong here; expected 'manifest.json'"


def test_content_of_another_size(members, pack, refusal):
    evil = pack([members[0], ("include/net.h", b"#pragma\n"), *members[2:]])
    assert refusal(evil).endswith(": member 'include/net.h': the header says 8 bytes, the manifest 13")


def test_other_content(good, refusal):
    at = _second_header(good) + 512
    message = refusal(good.replace(b"#pragma once", b"#pragma twice"[:12]))
    assert message.startswith(f"byte {at}: 'include/net.h' is damaged: its SHA-256 is ")


def test_padding_that_hides_something(good, refusal):
    at = _second_header(good) + 512 + 13
    evil = good[:at] + b"secret" + good[at + 6 :]
    assert refusal(evil) == f"byte {at}: the padding after 'include/net.h' is not zero"


def test_end_that_hides_something(good, refusal):
    assert refusal(good[:-1] + b"x") == f"byte {len(good) - 512}: the end of the archive is not zero"


def test_one_zero_block_at_the_end(good, refusal):
    message = refusal(good[:-512])
    assert message == f"byte {len(good) - 512}: truncated: the end of the archive needs 512 bytes, 0 are left"


def test_truncated_content(good, refusal):
    at = good.index(b"program.tflite\0") + 512
    assert refusal(good[: at + 700]) == f"byte {at}: truncated: 'program.tflite' needs 768 bytes, 700 are left"


def test_no_archive_at_all(refusal):
    assert refusal(b"") == "byte 0: truncated: a header needs 512 bytes, 0 are left"
    assert refusal(b"PK\3\4" * 200) == (
        "byte 0: not a ustar header, or damaged: its checksum is wrong; expected 'manifest.json'"
    )
    assert refusal(bytes(1024)) == "byte 0: the archive ends here; expected 'manifest.json'"


def test_a_gzipped_package_is_not_one(good, refusal):
    import gzip

    assert "not a ustar header" in refusal(gzip.compress(good, mtime=0))


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_other_tar_formats(members, refusal, form):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form, pax_headers={"comment": "x"}) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    assert refusal(buffer.getvalue()).startswith("byte 0: member ")


# --- sizes -----------------------------------------------------------------------------------------------------------


def test_huge_manifest_is_not_read(good, refusal):
    evil = _patched(good, 0, slice(124, 136), b"77777777777")
    assert refusal(evil) == "byte 512: manifest.json has 8589934591 bytes; at most 1048576 are allowed"


def test_manifest_larger_than_the_file(good, refusal):
    evil = _patched(good, 0, slice(124, 136), b"00003777777")
    assert refusal(evil) == f"byte 512: truncated: 'manifest.json' needs 1048575 bytes, {len(good) - 512} are left"


def test_huge_file_declared_in_manifest_and_header(lie, refusal):
    def edit(fields):
        fields["files"][2]["size_bytes"] = 8**11 - 1

    evil = lie(edit)
    at = evil.index(b"program.tflite\0")
    evil = _patched(evil, at, slice(124, 136), b"77777777777")
    left = len(evil) - at - 512
    assert refusal(evil) == f"byte {at + 512}: truncated: 'program.tflite' needs 8589934591 bytes, {left} are left"


def test_memory_does_not_grow_with_the_package(tmp_path, manifest, contents):
    """A sparse 64 MiB file: verified in chunks of 1 MiB."""
    import dataclasses

    big = tmp_path / "big"
    with big.open("wb") as stream:
        stream.truncate(2**26)
    contents = {**contents, "program.tflite": big}
    listed = efpkg.describe(contents)
    old = manifest.ancestors
    program = next(file.sha256 for file in listed if file.path == "program.tflite")
    described = dataclasses.replace(
        manifest, files=listed, ancestors={**old, "program": program, "measured": old["program"]}
    )
    tracemalloc.start()
    try:
        efpkg.pack(tmp_path / "big.efpkg", described, contents)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def test_nothing_is_extracted(tmp_path, good, monkeypatch):
    (tmp_path / "net.efpkg").write_bytes(good)
    monkeypatch.chdir(tmp_path)
    efpkg.verify(tmp_path / "net.efpkg")
    assert [path.name for path in tmp_path.iterdir()] == ["net.efpkg"]


# --- paths -----------------------------------------------------------------------------------------------------------


def test_missing_file(tmp_path):
    with pytest.raises(PackageError) as caught:
        efpkg.verify(tmp_path / "no.efpkg")
    assert str(caught.value) == f"{tmp_path}/no.efpkg: cannot be read: No such file or directory"


def test_folder(tmp_path):
    with pytest.raises(PackageError) as caught:
        efpkg.verify(tmp_path)
    assert str(caught.value) == f"{tmp_path}: not a file"


def test_fifo_does_not_block(tmp_path):
    import os

    os.mkfifo(tmp_path / "x.efpkg")
    with pytest.raises(PackageError, match="not a file"):
        efpkg.verify(tmp_path / "x.efpkg")


# --- the manifest's text ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def with_text(members, pack) -> Callable[[bytes], bytes]:
    """The package with another text for a manifest."""
    return lambda text: pack([("manifest.json", text), *members[1:]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "Expecting value: line 1 column 1 (char 0)"),
        (b"{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b"[]", "expected an object, found a list"),
        (b"null", "expected an object, found a NoneType"),
        (b"{}", f"schema is None; {KNOWN}"),
        (
            b'{"schema":"edgeflow.package/v4"}',
            f"schema is 'edgeflow.package/v4'; {KNOWN}",
        ),
        (b'{"schema":{"a":1}}', f"schema is {{'a': 1}}; {KNOWN}"),
        (b'{"a":1,"a":1}', "duplicate key 'a'"),
        (b'{"a":{"b":1,"\\u0062":2}}', "duplicate key 'b'"),
        (b'{"a":NaN}', "NaN is not a JSON number"),
        (b'{"a":-Infinity}', "-Infinity is not a JSON number"),
        (b'{"a":1e999}', "inf is not representable in JCS"),
        (b'{"a":1.0}', "not canonical JSON (RFC 8785): differs at byte 6"),
        (b'{"a":-0}', "not canonical JSON (RFC 8785): differs at byte 5"),
        (b'{"a":1e2}', "not canonical JSON (RFC 8785): differs at byte 6"),
        (b'{"a":9007199254740993}', "not canonical JSON (RFC 8785): differs at byte 20"),
        (b'{"b":1,"a":1}', "not canonical JSON (RFC 8785): differs at byte 2"),
        (b'{ "a":1}', "not canonical JSON (RFC 8785): differs at byte 1"),
        (b'{"a":1}\n', "not canonical JSON (RFC 8785): differs at byte 7"),
        (b'{"a":"\\u0041"}', "not canonical JSON (RFC 8785): differs at byte 6"),
        (b'{"a":"\\/"}', "not canonical JSON (RFC 8785): differs at byte 6"),
        (b'{"a":"\\ud800"}', "input contains non-UTF-8 codepoints"),
        (
            b'{"\\udfff":1}',
            "'utf-16-be' codec can't encode character '\\udfff' in position 0: surrogates not allowed",
        ),
        (b'\xef\xbb\xbf{"a":1}', "Unexpected UTF-8 BOM (decode using utf-8-sig): line 1 column 1 (char 0)"),
        (b'{"a":"\xff"}', "'utf-8' codec can't decode byte 0xff in position 6: invalid start byte"),
        (b'{"a":' + b"9" * 33 + b"}", "a number of 33 characters"),
        (b'{"a":' + b"9" * 100000 + b"}", "a number of 100000 characters"),
        (b'{"a":0.' + b"1" * 100000 + b"}", "a number of 100002 characters"),
        (b"[" * 17 + b"]" * 17, "nested deeper than 16"),
        (b'{"a":' * 100000 + b"1" + b"}" * 100000, "nested deeper than 16"),
        (
            b'{"schema":"' + b"x" * 500000 + b'"}',
            f"schema is '{'x' * 299}…; {KNOWN}",
        ),
    ],
)
def test_manifest_that_is_not_the_one_text(with_text, refusal, text, message):
    assert refusal(with_text(text)) == f"byte 512: manifest.json: {message}"


def test_brackets_in_strings_are_not_nesting(with_text, refusal):
    text = rfc8785.dumps({"a": '[{"\\' * 50})
    assert "schema is None" in refusal(with_text(text))


def test_a_text_that_makes_naive_scanners_slow_is_read_once(with_text, refusal):
    """A mebibyte of escaped quotes: a pattern that looks for whole strings would need hours."""
    message = refusal(with_text(b'\\"' * 524288))
    assert message == "byte 512: manifest.json: Expecting value: line 1 column 1 (char 0)"


def test_edited_manifest(members, pack, refusal):
    """The last character of a label, in place: still canonical, still consistent."""
    text = members[0][1].replace(b'"null"', b'"nu11"')
    message = refusal(pack([("manifest.json", text), *members[1:]]))
    claimed = json.loads(text)["manifest_sha256"]
    assert message.startswith(f"byte 512: manifest.json: manifest_sha256 is '{claimed}', the digest of the rest is ")


def test_manifest_without_its_digest(members, with_text, refusal):
    fields = json.loads(members[0][1])
    del fields["manifest_sha256"]
    message = refusal(with_text(rfc8785.dumps(fields)))
    assert message.startswith("byte 512: manifest.json: manifest_sha256 is None, the digest of the rest is '")

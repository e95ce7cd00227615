"""What `edgeflow verify FILE` says."""

from __future__ import annotations

import hashlib

import pytest

from edgeflow import efpkg
from edgeflow.errors import PackageError


def test_a_whole_package_is_summed_up(tmp_path, good, contents):
    path = tmp_path / "net-board-int8_static.efpkg"
    path.write_bytes(good)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    assert efpkg.verify_command(path).splitlines() == [
        f"net-board-int8_static.efpkg: whole, {len(good) / 1024:g} KiB, sha256 {hashlib.sha256(good).hexdigest()}",
        "  variant          net/board/int8_static, release counter 3",
        "  runtime          interpreter: interpreter ≥ 2.1; armv7e-m, cpu",
        "  needs            memory 64 KiB, flash 768 B",
        "  verdict          released: 2 checks",
        "  shipped without  latency_p90_s",
        "  measured         accuracy_drop 0.005 (host)",
        "  labels           null, größer",
        "  golden samples   2, raw and prepared, answered by interpreter 2.1",
        "  example          net.cc",
        f"  file             include/net.h, 13 B, sha256 {digests['include/net.h']}",
        f"  file             net.cc, 512 B, sha256 {digests['net.cc']}",
        f"  file             program.tflite, 768 B, sha256 {digests['program.tflite']}",
        f"  file             samples/input.bin, 980 B, sha256 {digests['samples/input.bin']}",
        f"  file             samples/output.bin, 4 B, sha256 {digests['samples/output.bin']}",
        f"  file             samples/prepared.bin, 3.83 KiB, sha256 {digests['samples/prepared.bin']}",
        f"  file             samples/raw0.bin, 64 B, sha256 {digests['samples/raw0.bin']}",
        f"  file             samples/raw1.bin, 189 B, sha256 {digests['samples/raw1.bin']}",
        "  not signed       whole, but nothing here proves who made it",
    ]


def test_control_characters_do_not_reach_the_terminal(tmp_path, lie):
    path = tmp_path / "x.efpkg"
    path.write_bytes(lie(lambda fields: fields["runtime"].update(id="\x1b]0;owned\x07\nverdict released")))
    text = efpkg.verify_command(path)
    assert "runtime          \\x1b]0;owned\\x07\\x0averdict released: interpreter ≥ 2.1" in text
    assert all(c.isprintable() or c == "\n" for c in text)


def test_a_damaged_package_is_refused(tmp_path, good):
    path = tmp_path / "x.efpkg"
    path.write_bytes(good[:-1])
    with pytest.raises(PackageError) as caught:
        efpkg.verify_command(path)
    assert str(caught.value) == (
        f"{path}: byte {len(good) - 512}: truncated: the end of the archive needs 512 bytes, 511 are left"
    )

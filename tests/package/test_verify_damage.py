"""No damage passes: every byte flipped, every cut, and random edits."""

from __future__ import annotations

import dataclasses
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeflow import efpkg
from edgeflow.errors import PackageError
from edgeflow.types.ladder import Ladder
from edgeflow.types.signatures import Binding, Bound, Signature, Tensor


def _refused(content: bytes) -> bool:
    try:
        efpkg.verify_stream(io.BytesIO(content), len(content), "it")
    except PackageError:
        return True
    return False


@pytest.fixture(scope="module")
def tiny(manifest, tmp_path_factory) -> bytes:
    """A package as small as can be with every kind of byte in it, so that each can be tried."""
    inputs = efpkg.Array("a", "int8", (1, 2))
    prepared = efpkg.Array("b", "float32", (1, 2))
    contents = {"a": bytes(2), "b": bytes(8), "program.tflite": bytes(range(200))}
    program = efpkg.describe(contents)[2].sha256
    signature = Signature((Tensor("x", "int8", (1, 2)),), (Tensor("y", "int8", (1, 2)),))
    described = dataclasses.replace(
        manifest,
        files=efpkg.describe(contents),
        ancestors={"program": program},
        operators=(),
        measurements=tuple(dataclasses.replace(m, artifact_sha256=program) for m in manifest.measurements[:1]),
        ladder=Ladder(()),
        signature=signature,
        binding=Binding({"sound": Bound("x")}, {"words": Bound("y")}),
        golden=dataclasses.replace(
            manifest.golden,
            samples=1,
            raw={},
            raw_left_out="large",
            prepared={"x": prepared},
            inputs={"x": inputs},
            outputs={"y": inputs},
            artifact_sha256=program,
        ),
        example=None,
        verdict=dataclasses.replace(manifest.verdict, checks=manifest.verdict.checks[:1]),
    )
    path = tmp_path_factory.mktemp("tiny") / "tiny.efpkg"
    efpkg.pack(path, described, contents)
    return path.read_bytes()


def test_the_whole_ones_are_accepted(good, tiny):
    assert not _refused(good)
    assert not _refused(tiny)


def test_one_flipped_bit_in_any_byte(tiny):
    """Header, manifest, content, padding and end; which bit changes from byte to byte."""
    damaged = bytearray(tiny)
    accepted = []
    for i in range(len(tiny)):
        damaged[i] ^= 1 << i % 8
        if not _refused(bytes(damaged)):
            accepted.append(i)
        damaged[i] = tiny[i]
    assert accepted == []


def test_every_shorter_file(tiny):
    assert [n for n in range(len(tiny)) if not _refused(tiny[:n])] == []


@pytest.mark.parametrize("tail", [b"\0", b"x", bytes(512), bytes(10240), b"\n"])
def test_anything_after_the_end(good, refusal, tail):
    assert refusal(good + tail) == f"byte {len(good)}: {len(tail)} bytes after the end of the archive"


@settings(max_examples=300, derandomize=True, deadline=None)
@given(data=st.data())
def test_random_edits(good, data):
    """Replace a piece by other bytes, anywhere and of any length, structure included."""
    start = data.draw(st.integers(0, len(good)))
    stop = data.draw(st.integers(start, min(len(good), start + 1024)))
    piece = data.draw(st.one_of(st.binary(max_size=64), st.just(bytes(stop - start)), st.just(good[:512])))
    edited = good[:start] + piece + good[stop:]
    assert _refused(edited) == (edited != good)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(content=st.binary(max_size=2048))
def test_random_files(content):
    assert _refused(content)

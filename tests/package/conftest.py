"""A small package that is right, and tools to make wrong ones from it."""

from __future__ import annotations

import hashlib
import io
import json
import math
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from edgeflow import efpkg
from edgeflow.efpkg import Manifest
from edgeflow.errors import PackageError
from edgeflow.preprocessing import Preprocessing, Resize
from edgeflow.types.figures import Direction, Evidence, Interval, Measurement
from edgeflow.types.ladder import Ladder, Rung
from edgeflow.types.programs import Operators
from edgeflow.types.signatures import Binding, Bound, Signature, Tensor
from edgeflow.types.verdicts import Check, Release, Status, Verdict

N = 2  # golden samples
ARRAYS = {
    "samples/input.bin": efpkg.Array("samples/input.bin", "int8", (N, 49, 10, 1)),
    "samples/output.bin": efpkg.Array("samples/output.bin", "int8", (N, 2)),
    "samples/prepared.bin": efpkg.Array("samples/prepared.bin", "float32", (N, 49, 10, 1)),
    "samples/raw0.bin": efpkg.Array("samples/raw0.bin", "uint8", (1, 8, 8)),
    "samples/raw1.bin": efpkg.Array("samples/raw1.bin", "uint8", (3, 9, 7)),
}
CONTENTS = {
    **{"include/net.h": b"#pragma once\n", "net.cc": bytes(512), "program.tflite": bytes(range(256)) * 3},
    **{path: bytes(math.prod(a.shape) * efpkg.ITEM_BYTES[a.dtype]) for path, a in ARRAYS.items()},
}
PREPROCESSING = Preprocessing(
    order=("decode", "channels", "resize", "scale", "normalize"),
    decode=("as it is",),
    channels="grey",
    resize=Resize("triangle", True, "half_pixel", "renormalized", "none", "out = in", "Pillow 13"),
    scale={"uint8": (0, 255)},
    shape=(1, 49, 10),
    mean=(0.3,),
    std=(0.4,),
)
PROGRAM = hashlib.sha256(CONTENTS["program.tflite"]).hexdigest()
CHECKPOINT = "c" * 64


def _measurement() -> Measurement:
    return Measurement(
        metric="accuracy_drop",
        value=0.005,
        unit="ratio",
        evidence=Evidence.HOST,
        device="host",
        artifact_sha256=PROGRAM,
        method="paired on the evaluation split",
        n=900,
        interval=Interval(0.001, 0.009, 0.9, "tango"),
        tools={"interpreter": "2.1"},
        conditions={"lost": 6, "won": 2},
    )


def _verdict() -> Verdict:
    passed = Check(
        metric="accuracy_drop",
        status=Status.PASS,
        limit=0.01,
        unit="ratio",
        direction=Direction.MAX,
        evidence_required=Evidence.ESTIMATE,
        value=0.005,
        bound=0.009,
        margin=0.001,
        evidence=Evidence.HOST,
        reason="0.90 % is at most 1.00 %",
    )
    missing = Check(
        metric="latency_p90_s",
        status=Status.UNMEASURED,
        limit=0.015,
        unit="second",
        direction=Direction.MAX,
        evidence_required=Evidence.DEVICE,
        value=None,
        bound=None,
        margin=None,
        evidence=None,
        reason="no device",
    )
    return Verdict(
        model="net",
        target="board",
        scheme="int8_static",
        status=Status.PASS,
        release=Release.RELEASED,
        reasons=(),
        shipped_without=("latency_p90_s",),
        checks=(passed, missing),
    )


def _rung() -> Rung:
    return Rung("train", "accuracy", 0.97, 900, None, None, 8.5, None, None, "", CHECKPOINT, "trainer 1.0")


@pytest.fixture(scope="session")
def contents() -> Mapping[str, bytes]:
    """With a folder in the name, of exactly one block, and of one block and a half; and golden samples."""
    return CONTENTS


@pytest.fixture(scope="session")
def manifest() -> Manifest:
    """A manifest that fits `contents` and does not contradict itself."""
    return Manifest(
        schema=efpkg.SCHEMA,
        model="net",
        target="board",
        scheme="int8_static",
        release_counter=3,
        program="program.tflite",
        runtime=efpkg.RuntimeNeed("interpreter", {"interpreter": "2.1"}),
        needs=efpkg.Needs("armv7e-m", "cpu", 65536, len(CONTENTS["program.tflite"])),
        signature=Signature(
            (Tensor("x", "int8", (1, 49, 10, 1), 0.5, -3),), (Tensor("y", "int8", (1, 2), 0.00390625, -128),)
        ),
        binding=Binding({"sound": Bound("x", (1, 2, 0))}, {"words": Bound("y")}),
        preprocessing={"sound": PREPROCESSING},
        postprocessing=efpkg.Postprocessing("argmax", "y"),
        labels=("null", "größer"),
        operators=(Operators("CONV_2D", 3, "CPU"),),
        measurements=(_measurement(),),
        ladder=Ladder((_rung(),)),
        verdict=_verdict(),
        shipped_without=("latency_p90_s",),
        ancestors={"checkpoint": CHECKPOINT, "evaluation": "e" * 64, "program": PROGRAM},
        golden=efpkg.Golden(
            samples=N,
            raw={"sound": (ARRAYS["samples/raw0.bin"], ARRAYS["samples/raw1.bin"])},
            raw_left_out="",
            prepared={"x": ARRAYS["samples/prepared.bin"]},
            inputs={"x": ARRAYS["samples/input.bin"]},
            outputs={"y": ARRAYS["samples/output.bin"]},
            tolerance={"y": 0.01},
            answered_by="interpreter 2.1",
            artifact_sha256=PROGRAM,
        ),
        example="net.cc",
        files=efpkg.describe(CONTENTS),
    )


@pytest.fixture(scope="session")
def good(manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The package of `manifest` and `contents`."""
    path = tmp_path_factory.mktemp("good") / "net.efpkg"
    efpkg.pack(path, manifest, CONTENTS)
    return path.read_bytes()


@pytest.fixture(scope="session")
def refusal() -> Callable[[bytes], str]:
    """Verify bytes; the message of the PackageError, without the archive's name."""

    def of(content: bytes) -> str:
        with pytest.raises(PackageError) as caught:
            efpkg.verify_stream(io.BytesIO(content), len(content), "it")
        message = str(caught.value)
        assert message.startswith("it: byte ")
        return message.removeprefix("it: ")

    return of


Members = Sequence[tuple[str, bytes]]


@pytest.fixture(scope="session")
def pack() -> Callable[..., bytes]:
    """An archive of any members in any order, written by Python's own tarfile; headers can be edited on the way."""

    def archive(members: Members, edit: Callable[[tarfile.TarInfo], None] = lambda _: None) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for name, content in members:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                edit(info)
                tar.addfile(info, io.BytesIO(content))
            written = tar.offset
        return buffer.getvalue()[: written + 1024]  # without tarfile's padding to records of 20 blocks

    return archive


@pytest.fixture(scope="session")
def members(good: bytes) -> Members:
    """The members of `good` as tarfile reads them."""
    with tarfile.open(fileobj=io.BytesIO(good), mode="r:") as tar:
        return [(info.name, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]


@pytest.fixture(scope="session")
def lie(members: Members, pack: Callable[..., bytes]) -> Callable[..., bytes]:
    """`good` with an edited manifest whose digest and archive are right again: only its claims are wrong."""

    def edited(edit: Callable[[dict[str, Any]], None]) -> bytes:
        fields = json.loads(members[0][1])
        edit(fields)
        fields.pop("manifest_sha256")
        fields["manifest_sha256"] = hashlib.sha256(rfc8785.dumps(fields)).hexdigest()
        return pack([("manifest.json", rfc8785.dumps(fields)), *members[1:]])

    return edited


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """An empty folder for what stages make."""
    return tmp_path / "results"

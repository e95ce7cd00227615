"""The manifest of a package: what it is for, what it needs, what was measured, and what it was made from."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import rfc8785

from edgeflow.preprocessing import Preprocessing
from edgeflow.types.figures import Measurement
from edgeflow.types.ladder import Ladder
from edgeflow.types.plain import from_json, to_json
from edgeflow.types.programs import Operators
from edgeflow.types.signatures import Binding, Bound, Signature, Tensor
from edgeflow.types.verdicts import Verdict

SCHEMA = "edgeflow.package/v3"
SCHEMA_V2 = "edgeflow.package/v2"  # is still read: of one input and one output, whose axes `signature.layout` orders
SCHEMA_V1 = "edgeflow.package/v1"  # too: also without golden samples and example, and with a looser preprocessing
NAME = "manifest.json"  # of the archive's first member
DIGEST_KEY = "manifest_sha256"  # not a field: digest of the manifest without this key
MAX_BYTES = 2**20  # far above any real manifest (some 10 KiB), so that a reader can hold it
MAX_DEPTH = 16  # objects and lists inside each other; real manifests have 5
_MAX_NUMBER = 32  # characters; the longest canonical number has 25
_MAX_QUOTE = 300  # characters of the manifest that a message repeats

# Bytes of one element, by numpy's name: what a golden array may be made of.
ITEM_BYTES = {
    **{"uint8": 1, "int8": 1, "uint16": 2, "int16": 2, "float16": 2},
    **{"uint32": 4, "int32": 4, "float32": 4, "uint64": 8, "int64": 8, "float64": 8},
}

_TOKENS = re.compile(rb'\\.|["\[\]{}]', re.DOTALL)


@dataclass(frozen=True)
class File:
    """One member of the archive beside the manifest."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class RuntimeNeed:
    """The software that must be on the device."""

    id: str
    least_versions: Mapping[str, str]  # library → version that the package was measured with; an older one is unproven


@dataclass(frozen=True)
class Needs:
    """What the device must have."""

    arch: str
    accelerator: str
    memory_bytes: int | None  # measured peak; None when the package ships without that figure
    flash_bytes: int  # of the program


@dataclass(frozen=True)
class PreprocessingV1:
    """As the first version of the format has it: "bilinear" does not say which of the resizes that go by that name."""

    scale: str  # range that raw values are brought into: "[0, 1]"
    resize: str  # "bilinear"
    shape: tuple[int, ...]  # of one sample: (channels, height, width)
    mean: tuple[float, ...]  # one, or one per channel, in the scaled range
    std: tuple[float, ...]


@dataclass(frozen=True)
class Postprocessing:
    """How the program's output becomes an answer."""

    operation: str  # "argmax": index of the greatest value of the last axis, looked up in `labels`
    output: str  # name of the output tensor in the signature


@dataclass(frozen=True)
class Array:
    """A file of the package that is one array, from its first byte to its last: little-endian, in C order."""

    path: str
    dtype: str  # a key of ITEM_BYTES
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Golden:
    """A few samples, what must become of them on the way, and what the program answered: with them an app proves its
    own preprocessing and its runtime. They go into no flash. N is the same everywhere.
    """

    samples: int  # N
    # What the model calls its input → each sample before preprocessing; {} where they are too large.
    raw: Mapping[str, tuple[Array, ...]]
    raw_left_out: str  # why `raw` is empty; empty when it is not
    # From here on by the names in the program; a sample has the axes of its tensor, without the batch.
    prepared: Mapping[str, Array]  # input → [N, …] after preprocessing
    inputs: Mapping[str, Array]  # input → [N, …] in its own type: `prepared` quantized or cast, or the same file
    outputs: Mapping[str, Array]  # output → [N, …] in its own type
    tolerance: Mapping[str, float]  # output → greatest absolute difference of real values that another machine may show
    answered_by: str  # what ran: "onnxruntime 1.32.0"
    artifact_sha256: str  # what it ran: the program, or where nothing here can run that, what it was compiled from


@dataclass(frozen=True)
class Common:
    """What the archive says beside its files, in every version of the format. Units stand in the names."""

    schema: str
    model: str
    target: str
    scheme: str
    release_counter: int  # a device takes no lower one than it has
    program: str  # path of the file that the runtime loads
    runtime: RuntimeNeed
    needs: Needs
    signature: Signature  # of the program, by the names in it
    postprocessing: Postprocessing | None  # None: the answer is what the outputs hold
    labels: tuple[str, ...]  # of class i; () where the task has none
    operators: tuple[Operators, ...]
    measurements: tuple[Measurement, ...]
    ladder: Ladder
    verdict: Verdict
    shipped_without: tuple[str, ...]  # metrics that nobody measured well enough, and that the target accepts to lack
    ancestors: Mapping[str, str]  # name → sha256 of what the program was made from and judged on
    files: tuple[File, ...]  # sorted by path

    @property
    def variant(self) -> str:
        """`model/target/scheme`, as messages name it."""
        return f"{self.model}/{self.target}/{self.scheme}"


@dataclass(frozen=True)
class OlderSignature(Signature):
    """As the first two versions have it: -1 stands for an axis of any length."""

    layout: str  # "NCHW" or "NHWC", of four-dimensional inputs


@dataclass(frozen=True)
class GoldenV2:
    """As the second version has it, of one input."""

    samples: int
    raw: tuple[Array, ...]
    raw_left_out: str
    prepared: Mapping[str, Array]
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]
    tolerance: Mapping[str, float]
    answered_by: str
    artifact_sha256: str


@dataclass(frozen=True)
class ManifestV1(Common):
    """The manifest of a package of the first version."""

    signature: OlderSignature
    preprocessing: PreprocessingV1


@dataclass(frozen=True)
class ManifestV2(Common):
    """The manifest of a package of the second version."""

    signature: OlderSignature
    preprocessing: Preprocessing
    golden: GoldenV2
    example: str | None


@dataclass(frozen=True)
class Manifest(Common):
    """The manifest of a package that is built today."""

    binding: Binding  # where what the model calls its inputs and outputs is in the program
    preprocessing: Mapping[str, Preprocessing]  # by what the model calls its inputs
    golden: Golden
    example: str | None  # path of a short program that asks `program` and checks its answers to the golden samples


_KINDS: Mapping[str, type[Manifest] | type[ManifestV2] | type[ManifestV1]] = {
    **{SCHEMA: Manifest, SCHEMA_V2: ManifestV2, SCHEMA_V1: ManifestV1}
}


def encode(manifest: Manifest) -> bytes:
    """The manifest's one encoding: RFC 8785, with a digest of itself.

    Raises ValueError for what JSON cannot hold, such as NaN.
    """
    fields: dict[str, Any] = to_json(manifest)
    return rfc8785.dumps({**fields, DIGEST_KEY: _digest(fields)})


def _digest(fields: Mapping[str, Any]) -> str:
    return hashlib.sha256(rfc8785.dumps(dict(fields))).hexdigest()


def decode(content: bytes) -> Manifest | ManifestV1:
    """Read what `encode` wrote, today or as earlier versions did, and nothing else.

    Raises ValueError that says what is wrong, also when only the spelling is not canonical.
    """
    fields = parse(content)
    kind = _KINDS.get(str(fields.get("schema")))
    if kind is None:
        known = ", ".join(map(repr, _KINDS))
        raise ValueError(
            f"schema is {quote(fields.get('schema'))}; this reader knows {known}: a package of another version is "
            "checked with the edgeflow that made it"
        )
    claimed = fields.pop(DIGEST_KEY, None)
    digest = _digest(fields)
    if claimed != digest:
        raise ValueError(f"{DIGEST_KEY} is {quote(claimed)}, the digest of the rest is {digest!r}: damaged or edited")
    described = from_json(kind, fields)
    if isinstance(described, Manifest):
        if to_json(described) != fields:
            raise ValueError("a key is missing: every key is written, null where there is no value")
        return described
    return _of_today(described) if isinstance(described, ManifestV2) else described


def _of_today(older: ManifestV2) -> Manifest:
    """The same in today's words; ValueError for what that version never described."""
    signature, golden = older.signature, older.golden
    if len(signature.inputs) != 1 or len(signature.outputs) != 1:
        raise ValueError(f"schema {older.schema!r} is of one input and one output")
    (given,), (output,) = (tuple(map(_named_axes, side)) for side in (signature.inputs, signature.outputs))
    last = signature.layout == "NHWC" and len(given.shape) == 4
    fields = {field.name: getattr(older, field.name) for field in dataclasses.fields(Common)}
    return Manifest(
        **{**fields, "signature": Signature((given,), (output,))},
        binding=Binding({given.name: Bound(given.name, (1, 2, 0) if last else ())}, {output.name: Bound(output.name)}),
        preprocessing={given.name: older.preprocessing},
        golden=Golden(
            golden.samples,
            {given.name: golden.raw} if golden.raw else {},
            golden.raw_left_out,
            *(golden.prepared, golden.inputs, golden.outputs, golden.tolerance),
            *(golden.answered_by, golden.artifact_sha256),
        ),
        example=older.example,
    )


def _named_axes(tensor: Tensor) -> Tensor:
    return dataclasses.replace(tensor, shape=tuple("?" if axis == -1 else axis for axis in tensor.shape))


def parse(content: bytes) -> dict[str, Any]:
    """Canonical JSON as an object.

    Raises ValueError for anything else: other spellings, duplicate keys, NaN, deep nesting, no object at the top.
    """
    _check_depth(content)
    value = json.loads(
        content.decode("utf-8"),
        object_pairs_hook=_unique,
        parse_constant=_refuse_constant,
        parse_int=_integer,
        parse_float=_real,
    )
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, found a {type(value).__name__}")
    canonical = rfc8785.dumps(value)
    if canonical != content:
        at = next((i for i, (a, b) in enumerate(zip(canonical, content, strict=False)) if a != b), len(canonical))
        raise ValueError(f"not canonical JSON (RFC 8785): differs at byte {at}")
    return value


def _check_depth(content: bytes) -> None:
    """Count brackets outside strings in one pass, before a recursive parser sees them."""
    depth, inside_string = 0, False
    for token in _TOKENS.finditer(content):
        character = token[0]
        if character == b'"':
            inside_string = not inside_string
        elif not inside_string and character in b"[{":
            depth += 1
        elif not inside_string and character in b"]}":
            depth -= 1
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key, value in pairs:
        if key in fields:
            raise ValueError(f"duplicate key {quote(key)}")
        fields[key] = value
    return fields


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _integer(text: str) -> int | float:
    """RFC 8785 knows doubles only: a greater whole number is one, as other languages read it."""
    value = int(text) if len(text) <= _MAX_NUMBER else _refuse_number(text)
    return value if abs(value) < 2**53 else float(value)


def _real(text: str) -> float:
    return float(text) if len(text) <= _MAX_NUMBER else _refuse_number(text)


def _refuse_number(text: str) -> Any:
    raise ValueError(f"a number of {len(text)} characters")


def quote(value: object) -> str:
    """A value from an untrusted file as part of a message: escaped and short."""
    text = ascii(value)
    return text if len(text) <= _MAX_QUOTE else text[:_MAX_QUOTE] + "…"


def printable(text: str) -> str:
    """Text with parts from an untrusted file, fit for a terminal: control characters escaped."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)

"""A model as C++ source: what microcontroller projects compile in, since they have no file system.

Beside the program go its interface (types, scale, zero point, mean, std, labels), golden samples, which are for a check
and need not be flashed, and an example that makes it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeflow.errors import StageError
from edgeflow.plugin import PackageJob
from edgeflow.runtimes.python_example import EXAMPLES
from edgeflow.types.signatures import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Functions of MicroMutableOpResolver are operator names in camel case, but for these (micro_mutable_op_resolver.h).
_SPECIAL = {
    "BATCH_MATMUL": "BatchMatMul",
    "CUMSUM": "CumSum",
    "PADV2": "PadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
    "ethos-u": "EthosU",
}
_TYPES = {
    **{name: f"std::{name}_t" for name in ("int8", "uint8", "int16", "uint16", "int32", "uint32")},
    "float32": "float",
}
PER_LINE = 12
SCALED_VALUES = 1024  # enough to prove every channel's mean and std


@dataclass(frozen=True)
class Arena:
    """The tensor arena of a program."""

    size_bytes: int
    source: str  # one line: where that number is from
    extra_bytes: int = 0  # that the example adds
    before: str = "The board must be set up before: clocks, and whatever printf writes to."  # the first inference


def identifier(*parts: str) -> str:
    """A C identifier made of names: letters, digits and single underscores, as the language leaves to users."""
    name = re.sub(r"[^0-9A-Za-z]+", "_", "_".join(parts)).strip("_")
    return f"model_{name}" if name[:1].isdigit() else name


def registration(operator: str) -> str:
    """The function of MicroMutableOpResolver that an operator needs: "CONV_2D" is "AddConv2D"."""
    camel = "".join("2D" if word == "2D" else word.capitalize() for word in operator.split("_"))
    return "Add" + _SPECIAL.get(operator, camel)


def literal(text: str) -> str:
    """A C string of the UTF-8 bytes of any text. What is not plain ASCII is three octal digits, which no character
    after them can lengthen; so are question marks, of which two begin a trigraph.
    """
    plain = (chr(b) if 32 <= b < 127 and b not in b'"\\?' else f"\\{b:03o}" for b in text.encode())
    return f'"{"".join(plain)}"'


def real(value: float) -> str:
    """A float literal that reads back as the same float32."""
    text = f"{value:.9g}"
    return f"{text}f" if re.search("[.e]", text) else f"{text}.0f"


def sources(job: PackageJob, arena: Arena, operators: Iterable[str]) -> Mapping[str, bytes]:
    """`<name>.h` and `<name>.cc`: the program, 16-byte aligned as the interpreter wants it, what it needs and what goes
    in and out; `<name>_golden.h` and `.cc`; example.cc and interpreter.cc.

    Raises StageError for a program that C++ cannot be given, such as one of two inputs.
    """
    name = identifier(job.info.model, job.info.scheme)
    made = {
        f"{name}.h": _header(name, job, arena, sorted(set(operators))),
        f"{name}.cc": _array_source(name, job.program.read_bytes()),
        f"{name}_golden.h": _golden_header(name, job),
        f"{name}_golden.cc": _golden_source(name, job),
        "example.cc": _example("example.cc", NAME=name, ANSWERED_BY=job.golden.answered_by),
        "interpreter.cc": _example(
            "interpreter.cc",
            NAME=name,
            ARENA=arena.source,
            ARENA_EXTRA_BYTES=str(arena.extra_bytes),
            BEFORE=arena.before,
        ),
    }
    return {path: text.encode() for path, text in made.items()}


def _example(file: str, **words: str) -> str:
    text = (EXAMPLES / file).read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text


# --- the program and its interface -----------------------------------------------------------------------------------


def _header(name: str, job: PackageJob, arena: Arena, kinds: list[str]) -> str:
    added = " &&\n         ".join(f"resolver.{registration(kind)}() == 0" for kind in kinds) or "true"
    return f"""\
// Made by edgeflow: {name}.tflite for TensorFlow Lite Micro.
{_guarded(name, _interface(name, job))}
extern const std::uint8_t {name}[];
constexpr std::size_t {name}_size_bytes = {job.program.stat().st_size};

// {arena.source}
constexpr std::size_t {name}_arena_bytes = {arena.size_bytes};

// Adds the program's operators to a tflite::MicroMutableOpResolver for that many kinds; false when it has no room.
constexpr unsigned int {name}_operator_kinds = {len(kinds)};
template <typename Resolver>
bool {name}_add_operators(Resolver& resolver) {{
  // kTfLiteOk is 0
  return {added};
}}

#endif
"""


def _guarded(name: str, rest: str) -> str:
    guard = f"{name}_H_".upper()
    return f"#ifndef {guard}\n#define {guard}\n\n#include <cstddef>\n#include <cstdint>\n\n{rest}"


def _interface(name: str, job: PackageJob) -> str:
    """Types, shapes, scales and zero points of input and output, mean and std, labels."""
    given, answer = _tensors(job)
    how = job.preprocessing
    stride = 1 if _channels_last(job) or len(how.shape) == 1 else math.prod(how.shape[1:])
    channels = max(len(how.mean), len(how.std))
    mean, std = (", ".join(real(v) for v in (*values, *values * channels)[:channels]) for values in (how.mean, how.std))
    labels = "\n".join(f"    {literal(label)}," for label in job.labels)
    return f"""\
// The input, {given.dtype}{[*given.shape]}, and the output, {answer.dtype}{[*answer.shape]}.
// The real value of an integer is scale * (stored - zero point); floats have scale 1 and zero point 0.
{_tensor(f"{name}_input", given)}
{_tensor(f"{name}_output", answer)}

// Before it is quantized, value i of the input is (value - mean[c]) / std[c], c = i / channel_stride % channels.
constexpr std::size_t {name}_channel_stride = {stride};
constexpr std::size_t {name}_channels = {channels};
constexpr float {name}_mean[{channels}] = {{{mean}}};
constexpr float {name}_std[{channels}] = {{{std}}};

// The answer is the label of the greatest value of the output, in UTF-8.
constexpr std::size_t {name}_classes = {len(job.labels)};
constexpr const char* {name}_labels[{len(job.labels)}] = {{
{labels}
}};
"""


def _tensors(job: PackageJob) -> tuple[Tensor, Tensor]:
    """The program's input and output; StageError when it has others, or of a type that C++ has not."""
    variant = f"package: {job.info.model}/{job.target.id}/{job.info.scheme}"
    signature = job.info.signature
    if signature is None or len(signature.inputs) != 1 or len(signature.outputs) != 1:
        raise StageError(f"{variant}: C++ source is made for programs of one input and one output")
    tensors = signature.inputs[0], signature.outputs[0]
    for tensor in tensors:
        if tensor.dtype not in _TYPES or not all(isinstance(axis, int) and axis > 0 for axis in tensor.shape):
            raise StageError(f"{variant}: tensor {tensor.name} is {tensor.dtype}{[*tensor.shape]}, which C++ has not")
    if not job.labels:
        raise StageError(f"{variant}: no labels; an answer is one of them")
    return tensors


def _channels_last(job: PackageJob) -> bool:
    (bound,) = job.binding.inputs.values()
    return bound.axes == (1, 2, 0)


def _tensor(name: str, tensor: Tensor) -> str:
    scale, zero_point = (1.0, 0) if tensor.scale is None else (tensor.scale, tensor.zero_point or 0)
    return f"""\
using {name}_t = {_TYPES[tensor.dtype]};
constexpr std::size_t {name}_values = {math.prod(tensor.shape)};
constexpr float {name}_scale = {real(scale)};
constexpr std::int32_t {name}_zero_point = {zero_point};"""


def _array_source(name: str, program: bytes) -> str:
    return f"""\
// Made by edgeflow.
#include "{name}.h"

alignas(16) extern const std::uint8_t {name}[{name}_size_bytes] = {{
{_rows(f"0x{byte:02x}" for byte in program)}
}};
"""


def _rows(values: Iterable[str]) -> str:
    every = [f"{value}," for value in values]
    return "\n".join("    " + " ".join(every[i : i + PER_LINE]) for i in range(0, len(every), PER_LINE))


# --- golden samples --------------------------------------------------------------------------------------------------


def _golden_header(name: str, job: PackageJob) -> str:
    golden = job.golden
    samples, scaled = len(golden.inputs), min(SCALED_VALUES, golden.inputs[0].size)
    return f"""\
// Made by edgeflow: samples to prove an application on; leave them out of what you flash.
// Expected answers are those of {golden.answered_by}.
{_guarded(f"{name}_golden", f'#include "{name}.h"')}

constexpr std::size_t {name}_golden_samples = {samples};
extern const {name}_input_t {name}_golden_inputs[{samples}][{name}_input_values];
extern const {name}_output_t {name}_golden_outputs[{samples}][{name}_output_values];

// Greatest difference of real values that another machine may show.
constexpr float {name}_golden_tolerance = {real(golden.tolerance)};

// The first values of the first sample before mean and std.
constexpr std::size_t {name}_golden_scaled_values = {scaled};
extern const float {name}_golden_scaled[{scaled}];

#endif
"""


def _golden_source(name: str, job: PackageJob) -> str:
    scaled = job.golden.scaled[0].ravel()[:SCALED_VALUES]
    return f"""\
// Made by edgeflow.
#include "{name}_golden.h"

const {name}_input_t {name}_golden_inputs[{name}_golden_samples][{name}_input_values] = {{
{_samples(job.golden.inputs)}
}};
const {name}_output_t {name}_golden_outputs[{name}_golden_samples][{name}_output_values] = {{
{_samples(job.golden.outputs)}
}};
const float {name}_golden_scaled[{name}_golden_scaled_values] = {{
{_rows(_literals(scaled))}
}};
"""


def _samples(arrays: NDArray[Any]) -> str:
    return "\n".join(f"    {{\n{_rows(_literals(sample))}\n    }}," for sample in arrays)


def _literals(values: NDArray[Any]) -> Iterator[str]:
    write = real if values.dtype.kind == "f" else str
    return (write(value) for value in values.ravel().tolist())

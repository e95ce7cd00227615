"""A model as C++ source: what microcontroller projects compile in, since they have no file system.

Beside the program go its interface (types, scale, zero point, mean, std, labels), golden samples, which are for a check
and need not be flashed, and an example that makes it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeflow.errors import StageError
from edgeflow.plugin import PackageJob
from edgeflow.runtimes.python_example import EXAMPLES
from edgeflow.types.signatures import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeflow.preprocessing import Preprocessing

# Functions of MicroMutableOpResolver are operator names in camel case, but for these (micro_mutable_op_resolver.h).
_SPECIAL = {
    "BATCH_MATMUL": "BatchMatMul",
    "CUMSUM": "CumSum",
    "PADV2": "PadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
    "ethos-u": "EthosU",
}
_TYPES = {
    **{name: f"std::{name}_t" for name in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")},
    **{"float32": "float", "bool": "bool"},
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

    Raises StageError for a program that C++ cannot be given, such as one with an axis of any length.
    """
    name = identifier(job.info.model, job.info.scheme)
    ports = _ports(name, job)
    made = {
        f"{name}.h": _header(name, job, ports, arena, sorted(set(operators))),
        f"{name}.cc": _array_source(name, job.program.read_bytes()),
        f"{name}_golden.h": _golden_header(name, job, ports),
        f"{name}_golden.cc": _golden_source(name, job, ports),
        "example.cc": _example(
            "example.cc",
            NAME=name,
            ANSWERED_BY=job.golden.answered_by,
            PARAMETERS=_parameters(ports),
            **_checks(name, job, ports),
        ),
        "interpreter.cc": _example(
            "interpreter.cc",
            NAME=name,
            ARENA=arena.source,
            ARENA_EXTRA_BYTES=str(arena.extra_bytes),
            BEFORE=arena.before,
            PARAMETERS=_parameters(ports),
            **_glue(ports),
        ),
    }
    return {path: text.encode() for path, text in made.items()}


@dataclass(frozen=True)
class _Port:
    """An input or output of the program, and what it is called in C++."""

    tensor: Tensor
    own: str  # what the model calls it
    axes: tuple[int, ...]
    at: int  # its place in the interpreter
    answers: bool  # an output
    base: str  # "net"
    rest: str  # "" where there is one, "_image" of several

    @property
    def name(self) -> str:
        """What its type and numbers begin with: "net_input", "net_output_boxes"."""
        return f"{self.base}_{'output' if self.answers else 'input'}{self.rest}"

    @property
    def golden(self) -> str:
        """Its golden samples: "net_golden_inputs", "net_golden_outputs_boxes"."""
        return f"{self.base}_golden_{'outputs' if self.answers else 'inputs'}{self.rest}"

    @property
    def parameter(self) -> str:
        """Of the function that runs the program: "input", "output_boxes"."""
        return self.name.removeprefix(f"{self.base}_")


def _ports(base: str, job: PackageJob) -> tuple[_Port, ...]:
    """Inputs, then outputs; StageError when one is of a type or shape that C++ has not."""
    variant = f"package: {job.info.model}/{job.target.id}/{job.info.scheme}"
    if job.info.signature is None:
        raise StageError(f"{variant}: no signature; compile the variant again")
    ports: list[_Port] = []
    sides = ((job.info.signature.inputs, job.binding.inputs), (job.info.signature.outputs, job.binding.outputs))
    for answers, (tensors, bound) in enumerate(sides):
        places = {tensor.name: (at, tensor) for at, tensor in enumerate(tensors)}
        taken: set[str] = set()
        for own, where in bound.items():
            at, tensor = places[where.tensor]
            rest = "" if len(bound) == 1 else f"_{identifier(own) or at}"
            rest = f"{rest}_{at}" if rest in taken else rest
            taken.add(rest)
            if tensor.dtype not in _TYPES or not all(isinstance(axis, int) and axis > 0 for axis in tensor.shape):
                shape = [*tensor.shape]
                raise StageError(f"{variant}: tensor {tensor.name} is {tensor.dtype}{shape}, which C++ has not")
            ports.append(_Port(tensor, own, where.axes, at, bool(answers), base, rest))
    return tuple(ports)


def _parameters(ports: Iterable[_Port]) -> str:
    return ", ".join(f"{'' if port.answers else 'const '}{port.name}_t* {port.parameter}" for port in ports)


def _normalised(job: PackageJob, ports: Iterable[_Port]) -> list[_Port]:
    """Inputs whose values are normalised; others are given as they are."""
    return [port for port in ports if not port.answers and job.preprocessing[port.own].dtype == "float32"]


def _checks(name: str, job: PackageJob, ports: Sequence[_Port]) -> dict[str, str]:
    """The parts of example.cc that are about this program's inputs and outputs."""
    outputs = [port for port in ports if port.answers]
    inputs = [
        f"  right = input_is_right<{port.name}_t>(\n"
        f"              {name}_golden_scaled{port.rest}, {name}_golden_scaled{port.rest}_values, {port.golden}[0], "
        f"{port.name}_scale, {port.name}_zero_point,\n"
        f"              {{{name}_mean{port.rest}, {name}_std{port.rest}, {name}_channels{port.rest}, "
        f"{name}_channel_stride{port.rest}}}) &&\n          right;"
        for port in _normalised(job, ports)
    ]
    checks = [
        f"  right = output_is_right({port.parameter}, {port.golden}[sample], {port.name}_values, {port.name}_scale,\n"
        f"                          {port.name}_zero_point, {name}_golden_tolerance{port.rest}) &&\n          right;"
        for port in outputs
    ]
    return {
        "CHECK_INPUTS": "\n".join(inputs),
        "ANSWERS": "\n".join(f"  static {p.name}_t {p.parameter}[{p.name}_values];" for p in outputs),
        "ARGUMENTS": ", ".join(p.parameter if p.answers else f"{p.golden}[sample]" for p in ports),
        "CHECK_OUTPUTS": "\n".join(checks),
        "REPORT": _report(name, job, outputs),
    }


def _report(name: str, job: PackageJob, outputs: Sequence[_Port]) -> str:
    number = "static_cast<unsigned>(sample)"
    if not job.labels or len(outputs) != 1:
        return f'  std::printf("sample %u: %s\\n", {number}, right ? "as expected" : "WRONG");'
    (port,) = outputs
    best = (f"{name}_labels[greatest({values}, {port.name}_values)]" for values in (port.parameter, "expected"))
    return (
        f"  const {port.name}_t* expected = {port.golden}[sample];\n"
        f"  std::printf(\"sample %u: '%s', expected '%s'%s\\n\", {number},\n"
        f"              {next(best)}, {next(best)},\n"
        '              right ? "" : ": WRONG");'
    )


def _glue(ports: Sequence[_Port]) -> dict[str, str]:
    """The parts of interpreter.cc that are about this program's inputs and outputs."""

    def tensor(port: _Port, of: str) -> str:
        return f"{of}{'output' if port.answers else 'input'}({port.at})"

    fits = [f"{tensor(port, 'interpreter.')}->bytes == {port.name}_values * sizeof({port.name}_t)" for port in ports]
    copies = {
        port: (f"{tensor(port, 'interpreter->')}->data.data", port.parameter, f"{tensor(port, 'interpreter->')}->bytes")
        for port in ports
    }
    return {
        "FITS": " &&\n                    ".join(fits),
        "SET": "\n".join(f"  std::memcpy({t}, {p}, {n});" for port, (t, p, n) in copies.items() if not port.answers),
        "GET": "\n".join(f"  std::memcpy({p}, {t}, {n});" for port, (t, p, n) in copies.items() if port.answers),
    }


def _example(file: str, **words: str) -> str:
    text = (EXAMPLES / file).read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text


# --- the program and its interface -----------------------------------------------------------------------------------


def _header(name: str, job: PackageJob, ports: Sequence[_Port], arena: Arena, kinds: list[str]) -> str:
    added = " &&\n         ".join(f"resolver.{registration(kind)}() == 0" for kind in kinds) or "true"
    return f"""\
// Made by edgeflow: {name}.tflite for TensorFlow Lite Micro.
{_guarded(name, _interface(name, job, ports))}
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


def _interface(name: str, job: PackageJob, ports: Sequence[_Port]) -> str:
    """Types, shapes, scales and zero points of inputs and outputs, mean and std, labels."""
    described = "; ".join(
        f"{'output' if port.answers else 'input'} {port.own}, {port.tensor.dtype}{[*port.tensor.shape]}"
        for port in ports
    )
    parts = [
        f"// {_comment(described)}.",
        "// The real value of a quantized integer is scale * (stored - zero point); others have scale 1, zero point 0.",
        *(_tensor(port.name, port.tensor) for port in ports),
        *(_normalisation(name, port, job.preprocessing[port.own]) for port in _normalised(job, ports)),
    ]
    if job.labels:
        labels = "\n".join(f"    {literal(label)}," for label in job.labels)
        parts.append(f"""\

// The answer is the label of the greatest value of the output, in UTF-8.
constexpr std::size_t {name}_classes = {len(job.labels)};
constexpr const char* {name}_labels[{len(job.labels)}] = {{
{labels}
}};""")
    return "\n".join(parts) + "\n"


def _comment(text: str) -> str:
    """Any text on one line of a comment: a backslash at its end would go on with the next line."""
    return "".join(c if c.isprintable() and c != "\\" else "?" for c in text)


def _normalisation(name: str, port: _Port, how: Preprocessing) -> str:
    """How the values of an input are normalised, by their place in it."""
    order = port.axes or range(len(how.shape))
    places = [how.shape[axis] for axis in order]
    stride = math.prod(places[list(order).index(0) + 1 :])
    channels = max(len(how.mean), len(how.std))
    mean, std = (", ".join(real(v) for v in (*values, *values * channels)[:channels]) for values in (how.mean, how.std))
    rest = port.rest
    return f"""\

// Before it is quantized, value i of {port.parameter} is (value - mean[c]) / std[c], c = i / channel_stride % channels.
constexpr std::size_t {name}_channel_stride{rest} = {stride};
constexpr std::size_t {name}_channels{rest} = {channels};
constexpr float {name}_mean{rest}[{channels}] = {{{mean}}};
constexpr float {name}_std{rest}[{channels}] = {{{std}}};"""


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


def _golden_header(name: str, job: PackageJob, ports: Sequence[_Port]) -> str:
    golden = job.golden
    arrays = [f"extern const {port.name}_t {port.golden}[{name}_golden_samples][{port.name}_values];" for port in ports]
    tolerances = [
        f"constexpr float {name}_golden_tolerance{port.rest} = {real(golden.tolerance[port.tensor.name])};"
        for port in ports
        if port.answers
    ]
    scaled = [
        f"constexpr std::size_t {name}_golden_scaled{port.rest}_values = {len(_first_scaled(job, port))};\n"
        f"extern const float {name}_golden_scaled{port.rest}[{name}_golden_scaled{port.rest}_values];"
        for port in _normalised(job, ports)
    ]
    lines = "\n".join(
        (
            *arrays,
            "\n// Greatest difference of real values that another machine may show.",
            *tolerances,
            *(["\n// The first values of the first sample before mean and std.", *scaled] if scaled else []),
        )
    )
    return f"""\
// Made by edgeflow: samples to prove an application on; leave them out of what you flash.
// Expected answers are those of {golden.answered_by}.
{_guarded(f"{name}_golden", f'#include "{name}.h"')}

constexpr std::size_t {name}_golden_samples = {_samples_of(job)};
{lines}

#endif
"""


def _samples_of(job: PackageJob) -> int:
    return len(next(iter(job.golden.inputs.values())))


def _first_scaled(job: PackageJob, port: _Port) -> NDArray[Any]:
    values: NDArray[Any] = job.golden.scaled[port.tensor.name][0].ravel()[:SCALED_VALUES]
    return values


def _golden_source(name: str, job: PackageJob, ports: Sequence[_Port]) -> str:
    golden = job.golden
    arrays = [
        f"const {port.name}_t {port.golden}[{name}_golden_samples][{port.name}_values] = {{\n"
        f"{_samples((golden.outputs if port.answers else golden.inputs)[port.tensor.name])}\n}};"
        for port in ports
    ]
    scaled = [
        f"const float {name}_golden_scaled{port.rest}[{name}_golden_scaled{port.rest}_values] = {{\n"
        f"{_rows(_literals(_first_scaled(job, port)))}\n}};"
        for port in _normalised(job, ports)
    ]
    return "\n".join(("// Made by edgeflow.", f'#include "{name}_golden.h"', "", *arrays, *scaled, ""))


def _samples(arrays: NDArray[Any]) -> str:
    return "\n".join(f"    {{\n{_rows(_literals(sample))}\n    }}," for sample in arrays)


def _literals(values: NDArray[Any]) -> Iterator[str]:
    write: Callable[[Any], str] = {"f": real, "b": lambda value: "true" if value else "false"}.get(
        values.dtype.kind, str
    )
    return (write(value) for value in values.ravel().tolist())

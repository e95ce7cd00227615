"""A model as C++ source: what microcontroller projects compile in, since they have no file system."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

# Functions of MicroMutableOpResolver are operator names in camel case, but for these (micro_mutable_op_resolver.h).
_SPECIAL = {
    "BATCH_MATMUL": "BatchMatMul",
    "CUMSUM": "CumSum",
    "PADV2": "PadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
    "ethos-u": "EthosU",
}
PER_LINE = 12


def identifier(*parts: str) -> str:
    """A C identifier made of names: letters, digits and single underscores, as the language leaves to users."""
    found = re.sub(r"[^0-9A-Za-z]+", "_", "_".join(parts)).strip("_")
    return f"model_{found}" if found[:1].isdigit() else found


def registration(operator: str) -> str:
    """The function of MicroMutableOpResolver that an operator needs: "CONV_2D" is "AddConv2D"."""
    camel = "".join("2D" if word == "2D" else word.capitalize() for word in operator.split("_"))
    return "Add" + _SPECIAL.get(operator, camel)


def sources(
    name: str, program: bytes, arena_bytes: int, arena_source: str, operators: Iterable[str]
) -> Mapping[str, bytes]:
    """`<name>.h` and `<name>.cc`: the program, 16-byte aligned as the interpreter wants it, and what it needs.

    `arena_source` says in one line where the arena's size is from.
    """
    guard = f"{name}_H_".upper()
    kinds = sorted(set(operators))
    added = " &&\n         ".join(f"resolver.{registration(kind)}() == 0" for kind in kinds) or "true"
    header = f"""\
// Made by edgeflow: {name}.tflite for TensorFlow Lite Micro.
#ifndef {guard}
#define {guard}

#include <cstddef>
#include <cstdint>

extern const std::uint8_t {name}[];
constexpr std::size_t {name}_size_bytes = {len(program)};

// {arena_source}
constexpr std::size_t {name}_arena_bytes = {arena_bytes};

// Adds the program's operators to a tflite::MicroMutableOpResolver for that many kinds; false when it has no room.
constexpr unsigned int {name}_operator_kinds = {len(kinds)};
template <typename Resolver>
bool {name}_add_operators(Resolver& resolver) {{
  // kTfLiteOk is 0
  return {added};
}}

#endif  // {guard}
"""
    lines = [program[i : i + PER_LINE] for i in range(0, len(program), PER_LINE)]
    body = "\n".join("    " + " ".join(f"0x{byte:02x}," for byte in line) for line in lines)
    source = f"""\
// Made by edgeflow.
#include "{name}.h"

alignas(16) extern const std::uint8_t {name}[{name}_size_bytes] = {{
{body}
}};
"""
    return {f"{name}.h": header.encode(), f"{name}.cc": source.encode()}

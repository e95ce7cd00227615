"""A model as C source: what microcontroller projects compile in, since they have no file system."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from edgeflow.types import Operators

# TFLite's operator names are upper case with underscores; the resolver's functions are CamelCase with these exceptions.
_SPECIAL = {"ethos-u": "EthosU", "BATCH_TO_SPACE_ND": "BatchToSpaceNd", "SPACE_TO_BATCH_ND": "SpaceToBatchNd"}
PER_LINE = 12


def identifier(*parts: str) -> str:
    """A C identifier made of names."""
    found = re.sub(r"\W", "_", "_".join(parts))
    return f"_{found}" if found[0].isdigit() else found


def resolver_call(operator: str) -> str:
    """The registration that an operator needs: "CONV_2D" is "AddConv2D"."""
    words = operator.split("_")
    camel = "".join("2D" if word == "2D" else word.capitalize() for word in words)
    return "Add" + _SPECIAL.get(operator, camel)


def sources(name: str, program: bytes, arena_bytes: int, operators: Sequence[Operators]) -> Mapping[str, bytes]:
    """`<name>.h` and `<name>.cc`: the program, 16-byte aligned as the interpreter wants it, and what it needs."""
    guard = identifier("EDGEFLOW", name, "H").upper()
    kinds = sorted({o.operator for o in operators})
    calls = "\n".join(f"//   resolver.{resolver_call(kind)}();" for kind in kinds)
    header = f"""\
// Made by edgeflow. Operators, for tflite::MicroMutableOpResolver<{len(kinds)}>:
{calls}
#ifndef {guard}
#define {guard}

#include <cstddef>
#include <cstdint>

extern const std::uint8_t {name}[];
constexpr std::size_t {name}_size_bytes = {len(program)};
constexpr std::size_t {name}_arena_bytes = {arena_bytes};  // tensor arena that it was measured with
constexpr std::size_t {name}_operator_kinds = {len(kinds)};

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

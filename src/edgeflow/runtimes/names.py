"""Names of layers, for people: which module of the network they come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


def distinct(names: Iterable[str]) -> list[str]:
    """The same names, those that were there before with a number behind: a, b, a → a, b, a_2."""
    seen: Counter[str] = Counter()
    unique: list[str] = []
    for name in names:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return unique


def of(modules: str, operator: str) -> str:
    """The path of modules and what is computed there: blocks.0 and Add → blocks.0.add; blocks.0.relu and Relu stays."""
    operator = operator.lower()
    return modules if modules.rpartition(".")[2] == operator else f"{modules}.{operator}".lstrip(".")

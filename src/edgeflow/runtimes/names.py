"""Names for people: of layers, which module of the network they come from; of the types that a model holds."""

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


def types(weights: Counter[str], activations: Counter[str]) -> str:
    """What a model holds most of, in words: "int8 weights and activations", "float16 weights"; "" of nothing."""
    (weight, activation) = (counts.most_common(1)[0][0] if counts else "" for counts in (weights, activations))
    if weight and weight == activation:
        return f"{weight} weights and activations"
    both = ((weight, "weights"), (activation, "activations"))
    return " and ".join(f"{kind} {what}" for kind, what in both if kind)

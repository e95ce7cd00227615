"""The space of a search: schemes in which a value may be a list of choices or a range of numbers.

Nothing here knows what the keys of a scheme mean, so that a key that schemes get can be searched as well. Two rules:
where a scheme has one value, a list is a choice among its items and `{from, to, step}` is a range; in `steps`, which is
a list in a scheme too, each item may be such a list, and its item `none` leaves the step out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

from edgeflow import units
from edgeflow.config.problem import Findings, joined
from edgeflow.written import shown

NONE = "none"  # among the choices of a step: no step
STEPS = "steps"
RANGE = ("from", "to", "step")
GREATEST = 1000  # values of a range: more are not told apart in a search

Alternative: TypeAlias = Mapping[str, Any]  # a scheme with open values

# What is left of a network learns anew, at the rate of a first training: measured on digits_resnet8, half of the
# channels lose 1.2 points after 5 epochs at 0.001, and nothing after 40 at 0.004.
PRUNED = {
    "prune_channels": {
        "channels": {"from": "20 %", "to": "60 %", "step": "10 %"},
        "epochs": [10, 40],
        "learning_rate": 0.004,
    }
}
AWARE = {"quantize_aware": {"epochs": 3}}
# What is searched where config/config.yaml does not say. Zeros (`prune`) are missing: they change no figure of a
# program. `distill` is too: which model is a teacher, only its project knows.
DEFAULT: tuple[Alternative, ...] = (
    {"mode": "float", "weights": "float32", "activations": "float32", "steps": [PRUNED]},
    {"mode": "float", "weights": "float16", "activations": "float16", "steps": [[NONE, PRUNED]]},
    {"mode": "dynamic", "weights": "int8", "activations": "int8", "steps": [[NONE, PRUNED]]},
    {
        "mode": "static",
        "weights": "int8",
        "activations": "int8",
        "per_channel": [True, False],
        "calibration": {"samples": [32, 128]},
        "steps": [[NONE, PRUNED], [NONE, AWARE]],
    },
    {
        "mode": "static",
        "weights": "int8",
        "activations": "int16",
        "calibration": {"samples": 128},
        "steps": [[NONE, PRUNED], [NONE, AWARE]],
    },
)
# The same for a model that is imported: what nothing has to be trained for.
UNTRAINED: tuple[Alternative, ...] = tuple(
    {key: value for key, value in alternative.items() if key != STEPS}
    for alternative in DEFAULT
    if all(NONE in choices for choices in alternative[STEPS])
)


@dataclass(frozen=True)
class Parameter:
    """One open value."""

    name: str  # where it is in the space: "3.calibration.samples"
    values: tuple[Any, ...]  # what is chosen among; keys and values are shown by a label
    ordered: bool = False  # a range of numbers, from the least up


Choose: TypeAlias = Callable[[Parameter], int]  # the place of one of the values


@dataclass(frozen=True)
class Filled:
    """A scheme without open values."""

    content: Mapping[str, Any]
    alternative: int
    origins: tuple[str, ...]  # of each of its steps: where in the alternative it is, "steps[1][0]"

    def path(self, key: str) -> str:
        """Where in the configuration a key of the scheme is, e.g. "search.space[3].steps[1][0].epochs"."""
        for i, origin in enumerate(self.origins):
            if key == f"{STEPS}[{i}]" or key.startswith((f"{STEPS}[{i}].", f"{STEPS}[{i}][")):
                key = origin + key.removeprefix(f"{STEPS}[{i}]")
                break
        return ".".join(filter(None, (f"search.space[{self.alternative}]", key)))


def fill(space: Sequence[Alternative], choose: Choose) -> Filled:
    """A scheme of the space; `choose` is asked for each open value that it has, and for no other.

    Raises Findings for a list or range that cannot be chosen from.
    """
    at = choose(Parameter("alternative", tuple(range(len(space))))) if len(space) > 1 else 0
    content: dict[str, Any] = {}
    origins: list[str] = []
    try:
        for key, value in space[at].items():
            if key != STEPS:
                content[key] = _value(value, f"{at}.{key}", key, choose)
                continue
            items = value if isinstance(value, list | tuple) else [value]
            made = (_step(item, f"{at}.{key}.{i}", f"{key}[{i}]", choose) for i, item in enumerate(items))
            steps = [(step, origin) for step, origin in made if step != NONE]
            content[key] = [step for step, _ in steps]
            origins = [origin for _, origin in steps]
    except Findings as error:
        raise Findings([(f"search.space[{at}].{path}", message) for path, message in error.faults]) from None
    return Filled(content, at, tuple(origins))


def corners(space: Sequence[Alternative]) -> Iterator[Filled]:
    """Schemes in which every choice and both ends of every range occur: all first choices, and each other one in turn.

    Raises Findings as `fill` does.
    """
    seen: set[str] = set()
    pending: list[dict[str, int]] = [{}] if space else []
    while pending:
        chosen = pending.pop(0)
        met: list[Parameter] = []

        def choose(parameter: Parameter, chosen: dict[str, int] = chosen, met: list[Parameter] = met) -> int:
            met.append(parameter)
            return chosen.get(parameter.name, 0)

        yield fill(space, choose)
        for parameter in met:
            if parameter.name not in seen:
                seen.add(parameter.name)
                last = len(parameter.values) - 1
                others = [last] if parameter.ordered else range(1, last + 1)
                pending += [{**chosen, parameter.name: place} for place in others]


def size(space: Sequence[Alternative]) -> int:
    """How many schemes there are in a space, also those that two ways lead to."""
    return sum(_ways({**scheme}) for scheme in space)


def _ways(value: Any) -> int:
    if isinstance(value, Mapping):
        if _is_range(value):
            return len(_numbers(value, ""))
        ways = 1
        for key, below in value.items():
            items = below if isinstance(below, list | tuple) else [below]
            ways *= math.prod(map(_ways, items)) if key == STEPS else _ways(below)
        return ways
    if isinstance(value, list | tuple):
        return sum(1 if isinstance(item, list | tuple) else _ways(item) for item in value)
    return 1


def _step(item: Any, name: str, path: str, choose: Choose) -> tuple[Any, str]:
    """A step, or NONE, and where it is."""
    if not isinstance(item, list | tuple):
        return _value(item, name, path, choose), path
    place = _place(item, name, path, choose)
    below = f"{path}[{place}]"
    return _value(item[place], _inside(name, item, place), below, choose), below


def _value(value: Any, name: str, path: str, choose: Choose) -> Any:
    if isinstance(value, Mapping):
        if _is_range(value):
            numbers = _numbers(value, path)
            return numbers[choose(Parameter(name, numbers, ordered=True))]
        return {k: _value(v, f"{name}.{k}", joined(path, k), choose) for k, v in value.items()}
    if isinstance(value, list | tuple):
        place = _place(value, name, path, choose)
        item = value[place]
        # a list among the choices is a value of its own: some keys take lists
        return item if isinstance(item, list | tuple) else _value(item, _inside(name, value, place), path, choose)
    return value


def _inside(name: str, items: Sequence[Any], place: int) -> str:
    """The name of what is open inside a choice. It has the choice's place, so that no two parameters share a name."""
    return f"{name}.{place}" if isinstance(items[place], Mapping | list | tuple) else name


def _place(items: Sequence[Any], name: str, path: str, choose: Choose) -> int:
    if not items:
        raise Findings([(path, "is empty; name at least one choice")])
    known = [json.dumps(item, sort_keys=True, default=str) for item in items]
    for i, item in enumerate(known):
        if item in known[:i]:
            raise Findings([(path, f"{shown(items[i])} is listed twice")])
    return choose(Parameter(name, _labels(items))) if len(items) > 1 else 0


def _labels(items: Sequence[Any]) -> tuple[Any, ...]:
    """Choices as they are stored and shown: plain values as they are, others by their first key."""
    labels: list[Any] = []
    for item in items:
        if isinstance(item, Mapping):
            label: Any = next(iter(item), "")
            labels.append(label if label not in labels else f"{label} {len(labels)}")
        else:
            labels.append(json.dumps(item, default=str) if isinstance(item, list | tuple) else item)
    return tuple(labels)


def _is_range(value: Mapping[str, Any]) -> bool:
    return "from" in value or "to" in value


def _numbers(value: Mapping[str, Any], path: str) -> tuple[float, ...]:
    """The values of a range; whole numbers where all three of its keys are."""
    if set(value) != set(RANGE):
        raise Findings([(path, f"a range has exactly the keys {', '.join(RANGE)}; found {', '.join(value)}")])
    try:
        low, high, step = (Decimal(str(units.parse(value[key], "ratio"))) for key in RANGE)
    except ValueError as error:
        raise Findings([(path, str(error))]) from None
    if step <= 0 or high <= low or (high - low) % step:
        raise Findings([(path, "'to' is more than 'from' by a whole number of steps")])
    if (high - low) / step >= GREATEST:
        raise Findings([(path, f"has more than {GREATEST} values; take larger steps")])
    count = int((high - low) / step) + 1
    whole = all(isinstance(value[key], int) for key in RANGE)
    return tuple(int(low + i * step) if whole else float(low + i * step) for i in range(count))

"""Spaces of a search: which schemes they have, and what is asked for on the way to one."""

from __future__ import annotations

import itertools
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeflow.config import load
from edgeflow.config.models import SchemeConfig
from edgeflow.config.problem import MATRIX
from edgeflow.config.space import DEFAULT, STEPS, UNTRAINED, Filled, Parameter, corners, fill, size
from edgeflow.config.validate import validate
from edgeflow.registry import Plugins

STATIC = {
    "mode": "static",
    "weights": "int8",
    "activations": ["int8", "int16"],
    "calibration": {"samples": {"from": 32, "to": 96, "step": 32}},
    "steps": [
        ["none", {"prune_channels": {"channels": ["25 %", "50 %"], "epochs": 5}}],
        {"fine_tune": {"epochs": 1}},
        ["none", {"quantize_aware": {"epochs": 3}}, {"quantize_aware": {"epochs": [6, 9]}}],
    ],
}
FLOAT = {"mode": "float", "weights": "float32", "activations": "float32"}


def every(space: tuple[dict[str, Any], ...]) -> list[Filled]:
    """All schemes of a space, by going back to each choice in turn."""
    schemes: list[Filled] = []
    pending: list[list[int]] = [[]]
    while pending:
        chosen = pending.pop()
        asked = itertools.count()

        def choose(parameter: Parameter, chosen: list[int] = chosen, asked: Any = asked) -> int:
            at = next(asked)
            if at == len(chosen):
                pending.extend([*chosen, other] for other in range(1, len(parameter.values)))
                chosen.append(0)
            return chosen[at]

        schemes.append(fill(space, choose))
    return schemes


def test_a_space_has_each_combination_once() -> None:
    space = (FLOAT, STATIC)
    schemes = [repr(filled.content) for filled in every(space)]
    assert len(schemes) == len(set(schemes)) == size(space) == 1 + 2 * 3 * 3 * 4


def test_only_what_a_scheme_has_is_asked_for() -> None:
    asked: list[Parameter] = []

    def last(parameter: Parameter) -> int:
        asked.append(parameter)
        return len(parameter.values) - 1

    filled = fill((FLOAT, STATIC), last)
    assert [(p.name, p.values, p.ordered) for p in asked] == [
        ("alternative", (0, 1), False),
        ("1.activations", ("int8", "int16"), False),
        ("1.calibration.samples", (32, 64, 96), True),
        ("1.steps.0", ("none", "prune_channels"), False),
        ("1.steps.0.1.prune_channels.channels", ("25 %", "50 %"), False),
        ("1.steps.2", ("none", "quantize_aware", "quantize_aware 2"), False),
        ("1.steps.2.2.quantize_aware.epochs", (6, 9), False),
    ]
    assert filled.content == {
        "mode": "static",
        "weights": "int8",
        "activations": "int16",
        "calibration": {"samples": 96},
        "steps": [
            {"prune_channels": {"channels": "50 %", "epochs": 5}},
            {"fine_tune": {"epochs": 1}},
            {"quantize_aware": {"epochs": 9}},
        ],
    }
    assert filled.path("steps[2].quantize_aware.epochs") == "search.space[1].steps[2][2].quantize_aware.epochs"
    assert filled.path("calibration.samples") == "search.space[1].calibration.samples"


def test_a_step_that_is_left_out_moves_no_path() -> None:
    filled = fill((STATIC,), lambda parameter: 0)
    assert filled.content["steps"] == [{"fine_tune": {"epochs": 1}}]
    assert filled.path("steps[0].fine_tune") == "search.space[0].steps[1].fine_tune"


def test_a_list_among_the_choices_is_a_value() -> None:
    lists, channels = [["first", "last"], []], [True, 1]
    met = [repr(filled.content) for filled in every(({"keep": lists, "per_channel": channels},))]
    expected = itertools.product(lists, channels)
    assert sorted(met) == sorted(repr({"keep": keep, "per_channel": channel}) for keep, channel in expected)


def test_corners_have_every_choice_and_both_ends_of_ranges() -> None:
    met = [filled.content for filled in corners((FLOAT, STATIC))]
    assert len(met) < size((FLOAT, STATIC)) / 5
    assert {content["mode"] for content in met} == {"float", "static"}
    static = [content for content in met if content["mode"] == "static"]
    assert {content["activations"] for content in static} == {"int8", "int16"}
    assert {content["calibration"]["samples"] for content in static} == {32, 96}
    epochs = {step["quantize_aware"]["epochs"] for c in static for step in c["steps"] if "quantize_aware" in step}
    assert epochs == {3, 6, 9}


@pytest.mark.parametrize(
    "steps",
    [
        [{"prune_channels": [{"macs": "50 %", "epochs": [10, 20]}, {"channels": "30 %", "epochs": [20, 40]}]}],
        [{"prune_channels": {"channels": "30 %", "epochs": [5, {"from": 10, "to": 20, "step": 10}]}}],
        [["none", [{"fine_tune": {"epochs": [1, 2]}}, {"prune": {"epochs": [3, 4]}}]]],
    ],
)
def test_each_parameter_has_a_name_of_its_own(steps: list[Any]) -> None:
    """Optuna refuses a second set of choices under a known name."""
    space = (FLOAT | {"steps": steps},)
    known: dict[str, tuple[Any, ...]] = {}

    def choose_at(place: int, parameter: Parameter) -> int:
        assert known.setdefault(parameter.name, parameter.values) == parameter.values
        return min(place, len(parameter.values) - 1)

    for place in range(2):
        fill(space, partial(choose_at, place))
    # here every scheme is a corner
    met = [filled.content for filled in corners(space)]
    assert all(filled.content in met for filled in every(space))


def test_every_scheme_of_the_default_space_is_one() -> None:
    schemes = every(DEFAULT)
    assert len(schemes) == size(DEFAULT)
    untrained = [filled.content for filled in every(UNTRAINED)]
    plain = [{**filled.content} for filled in schemes if not filled.content[STEPS]]
    assert len(untrained) == len(plain)
    assert all({**content, STEPS: []} in plain for content in untrained)
    for filled in schemes:
        config, problems = validate(SchemeConfig, dict(filled.content), MATRIX, {})
        assert problems == []
        assert config is not None


def test_the_space_in_the_guide_is_one(project: Path, tmp_path: Path, config_plugins: Plugins) -> None:
    guide = (project / "docs/guide/search.md").read_text(encoding="utf-8")
    shutil.copytree(project / "config", tmp_path / "config")
    with (tmp_path / MATRIX).open("a", encoding="utf-8") as config:
        config.write("\n" + guide.partition("```yaml\n")[2].partition("```")[0])
    loaded = load(tmp_path, None, config_plugins)
    assert loaded.search.alternatives(imported=True) == loaded.search.alternatives(imported=False)
    space = loaded.search.alternatives(imported=False)
    assert [alternative["mode"] for alternative in space] == ["float", "static"]
    assert size(space) == 5 + 2 * 2 * 2 * 6 * 2
    assert loaded.search.timeout_s == 600


@given(st.integers(0, 50), st.integers(1, 9), st.integers(1, 20))
def test_ranges_in_percent_are_the_numbers_that_people_write(low: int, step: int, count: int) -> None:
    space = ({"x": {"from": f"{low} %", "to": f"{low + step * count} %", "step": f"{step} %"}},)
    values = [filled.content["x"] for filled in every(space)]
    assert sorted(values) == [float(f"{low + i * step}e-2") for i in range(count + 1)]

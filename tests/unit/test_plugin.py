"""What a plugin says about its keys, and what that refuses."""

from __future__ import annotations

import math
from typing import Any

import pytest

from edgeflow.plugin import Option
from edgeflow.registry import discover
from edgeflow.units import fraction


@pytest.mark.parametrize(
    ("option", "good", "bad", "problem"),
    [
        (Option("", type=bool), False, "no", "expected true or false, found 'no'; write false"),
        (Option("", type=bool), True, 1, "expected true or false, found 1"),
        (Option("", type=int, least=-2, greatest=2), -2, 3, "3 must be at most 2"),
        (Option("", type=int), 10**30, 1.0, "expected a whole number, found 1.0"),
        (Option("", type=float, above=0.5), 0.6, 0.5, "0.5 must be more than 0.5"),
        (Option("", type=float), 7, math.nan, "expected a finite number, found nan"),
        (Option("", type=list), ("a", 2), [True], "expected a list of names, found a list"),
        (Option("", type=list), ["a"], [], "is empty; give it a value or remove the key"),
        (Option("", choices=("a", "b")), "a", "c", "'c' is not one of a, b"),
        (Option("", type=fraction), "10 %", 1, "1 may mean 1 % or 100 %; write '1 %' or '100 %'"),
        (Option(""), "a", "", "is empty; give it a value or remove the key"),
    ],
)
def test_what_an_option_takes_and_refuses(option: Option, good: Any, bad: Any, problem: str) -> None:
    assert option.problem(good) == ""
    assert option.problem(bad) == problem


def test_a_plugin_gets_what_a_person_meant() -> None:
    assert Option("", type=fraction).read("10 %") == 0.1
    assert Option("", type=list).read(["a"]) == ["a"]


def test_what_is_no_text_is_refused_by_the_built_in_plugins() -> None:
    """Every key has a type: a number where a text belongs, and a text where a number belongs, cannot be used."""
    plugins = discover()
    options = {
        f"{plugin.id}.{name}": option
        for plugin, given in [
            *((p, p.options) for p in plugins.loaders.values()),
            *((p, p.training_options) for p in plugins.frameworks.values()),
            *((p, p.target_options) for p in plugins.runtimes.values()),
        ]
        for name, option in given.items()
    }
    assert {name for name, option in options.items() if not option.problem("many")} == {
        *("npz.file", "npz.x", "npz.y", "npz.url", "npz.sha256", "image_folder.folder"),
    }
    numbers = {name for name, option in options.items() if not option.problem(0.5) or not option.problem(1)}
    of_torch = {f"torch.{setting}" for setting in plugins.frameworks["torch"].training_options}
    assert numbers == {*of_torch, "random.samples", "random.seed"}

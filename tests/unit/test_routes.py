"""The way from where a model comes to a format: cheapest first, the same on every machine, as a tree."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgeflow.plugin import Converter, Format, Tolerance, Unsupported
from edgeflow.routes import Routes, Way, format_of, search


def edge(source: str, target: str, cost: int = 1, toolchain: str = "core", name: str = "") -> Converter:
    refuse = Unsupported("a stand-in")
    tolerance = Tolerance(0, "nothing changes")
    plugin_id = name or f"{source}_to_{target}"
    return Converter(plugin_id, f"{plugin_id}!", source, target, toolchain, lambda job: refuse, tolerance, cost)


def kind(name: str, recognizes: Any = lambda path: False) -> Format:
    nothing: Any = None
    return Format(name, name.upper(), (f".{name}",), "core", recognizes, nothing, nothing, nothing, Path("backend.py"))


def find(origin: str, wanted: str, *edges: Converter, **unavailable: str) -> Way | Unsupported:
    plugins: Any = SimpleNamespace(
        converters={each.id: each for each in edges},
        formats={name: kind(name) for name in ("a", "b", "c")},
        unavailable=lambda toolchain: unavailable.get(toolchain, ""),
    )
    return Routes(plugins).find(origin, wanted)


def test_the_least_cost_wins_then_the_fewest_edges_then_the_ids() -> None:
    long = (edge("torch", "a"), edge("a", "b"), edge("b", "c"))
    assert find("torch", "c", *long, edge("torch", "c", cost=4)) == Way(
        ("torch_to_a", "a_to_b", "b_to_c"), ("a", "b", "c")
    )
    assert find("torch", "c", *long, edge("torch", "c", cost=3)) == Way(("torch_to_c",), ("c",))
    twins = (edge("torch", "a", name="second"), edge("torch", "a", name="first"))
    assert find("torch", "a", *twins) == find("torch", "a", *reversed(twins)) == Way(("first",), ("a",))


def test_ways_from_one_place_are_a_tree() -> None:
    """What the cache of conversions needs: a format is made from one predecessor, whatever comes after it."""
    rng = random.Random(0)
    names = [f"f{i}" for i in range(8)]
    for _ in range(50):
        edges = [
            edge(source, target, cost=rng.randint(0, 3), name=f"e{rng.random()}")
            for source in ("torch", *names)
            for target in names
            if rng.random() < 0.3
        ]
        ways = search(edges, "torch", lambda edge: True, takes_itself=False)
        for way in ways.values():
            for i in range(1, len(way.formats)):
                assert ways[way.formats[i - 1]] == Way(way.edges[:i], way.formats[:i])
        rng.shuffle(edges)
        assert search(edges, "torch", lambda edge: True, takes_itself=False) == ways


def test_a_file_is_adopted_once_where_an_edge_does_that_and_else_taken_as_it_is() -> None:
    onward = edge("a", "b")
    assert find("a", "a", onward) == Way((), ("a",))
    assert find("a", "a", onward, edge("a", "a")) == Way(("a_to_a",), ("a",))
    assert find("a", "b", onward, edge("a", "a")) == Way(("a_to_b",), ("b",))  # what is adopted is another file
    assert find("torch", "a", edge("torch", "a"), edge("a", "a")) == Way(("torch_to_a",), ("a",))
    assert find("a", "a", onward, edge("b", "a")) == Way((), ("a",))  # and not there and back


def test_why_there_is_no_way() -> None:
    assert find("torch", "b", edge("torch", "a")) == Unsupported("no converter leads from torch to b")
    assert find("a", "b", edge("b", "a")) == Unsupported("no converter leads from a to b")


def test_what_this_machine_cannot_do_is_gone_round_or_said() -> None:
    edges = (edge("a", "b", toolchain="new"), edge("a", "c"), edge("c", "b"))
    why = "new needs Python 3.12"
    assert find("a", "b", *edges) == Way(("a_to_b",), ("b",))
    assert find("a", "b", *edges, new=why) == Way(("a_to_c", "c_to_b"), ("c", "b"))
    assert find("a", "b", *edges[:2], new=why) == Unsupported("a_to_b! cannot be used: new needs Python 3.12")
    adopted = (*edges[:2], edge("a", "a", toolchain="new"))
    assert find("a", "a", *adopted, new=why) == Way((), ("a",))


def test_a_toolchain_is_asked_about_only_where_the_best_way_needs_it() -> None:
    """To look for another Python takes time, which planning does not have."""
    asked: list[str] = []
    edges = [edge("torch", "a"), edge("torch", "b"), edge("a", "b", toolchain="new"), edge("b", "c", toolchain="late")]
    search(edges, "torch", lambda edge: not asked.append(edge.toolchain), takes_itself=False)
    assert asked == ["core", "core", "late"]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("model.a", "A", "a"),
        ("model.b", "A", "a"),  # what is in it counts
        ("model.bin", "B", "b"),
        ("model.b", None, "b"),  # it is somewhere else: DVC will bring it
        ("model.bin", "?", "{file} is of no format that is known: A (.a), B (.b)"),
        ("model.a", "", "{file} is empty: bring the whole file"),
        ("model.bin", None, "{file} is of no format that is known: A (.a), B (.b)"),
    ],
)
def test_the_format_of_a_file(tmp_path: Path, name: str, content: str | None, expected: str) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_text(content)
    known = {x: kind(x, lambda path, x=x: path.read_text() == x.upper()) for x in ("a", "b")}
    found = format_of(SimpleNamespace(formats=known), file)  # type: ignore[arg-type]
    assert (found.reason if isinstance(found, Unsupported) else found) == expected.format(file=file)


def test_a_folder_is_known_by_a_file_in_it(tmp_path: Path) -> None:
    folder = replace(kind("saved"), suffixes=("saved_model.pb",), recognizes=lambda p: (p / "saved_model.pb").is_file())
    (tmp_path / "saved_model.pb").touch()
    assert format_of(SimpleNamespace(formats={"saved": folder}), tmp_path) == "saved"  # type: ignore[arg-type]

"""From where a model comes to the format that a runtime takes: the cheapest way over the converters that there are."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from edgeflow.errors import DataError
from edgeflow.plugin import Converter, Format, Unsupported

if TYPE_CHECKING:
    from edgeflow.registry import Plugins


@dataclass(frozen=True)
class Way:
    """Edges and the format that each makes. A file that is taken as it is has no edges, and its own format."""

    edges: tuple[str, ...]  # ids of converters
    formats: tuple[str, ...]


class Routes:
    """The ways from every framework and format; all from one place form a tree, so that they share what they can.

    What needs a toolchain that this machine cannot have is left out.
    """

    def __init__(self, plugins: Plugins) -> None:
        self._plugins = plugins
        self._missing = cache(plugins.unavailable)
        self._ways = cache(self._search)

    def find(self, origin: str, wanted: str) -> Way | Unsupported:
        """The way from a framework or a format to a format, or why there is none."""
        way = self._ways(origin, False).get(wanted)
        if way is not None:
            return way
        lost = self._ways(origin, True).get(wanted)
        if lost is None:
            return Unsupported(f"no converter leads from {origin} to {wanted}")
        converters = [self._plugins.converters[edge] for edge in lost.edges]
        said = ((each.description, self._missing(each.toolchain)) for each in converters)
        return next(Unsupported(f"{description} cannot be used: {why}") for description, why in said if why)

    def _search(self, origin: str, everything: bool) -> Mapping[str, Way]:
        def usable(converter: Converter) -> bool:
            return everything or not self._missing(converter.toolchain)

        takes_itself = origin in self._plugins.formats
        return search(self._plugins.converters.values(), origin, usable, takes_itself=takes_itself)


def format_of(plugins: Plugins, source: Path) -> str | Unsupported:
    """The format of a file or folder that somebody brings: by its content, or by its name where it is not here.

    Unsupported where it is of none.
    """
    named = [each for each in plugins.formats.values() if _is_named(each, source)]
    if not source.exists():
        found = named
    else:
        found = [each for each in (*named, *plugins.formats.values()) if each.recognizes(source)]
    if found:
        return _refusal(found[0], source) or found[0].id
    if source.is_file() and not source.stat().st_size:
        return Unsupported(f"{source} is empty: bring the whole file")
    known = ", ".join(f"{each.description} ({', '.join(each.suffixes)})" for each in plugins.formats.values())
    return Unsupported(f"{source} is of no format that is known: {known}")


def _refusal(found: Format, source: Path) -> Unsupported | None:
    """What a format says that is known only so that somebody is told the way out: nothing runs its files."""
    if found.backend is not None or not source.exists():
        return None
    try:
        found.check(source)
    except DataError as refusal:
        return Unsupported(str(refusal))
    return None


def _is_named(candidate: Format, source: Path) -> bool:
    return any(source.name.endswith(s) if s.startswith(".") else (source / s).exists() for s in candidate.suffixes)


def search(
    converters: Iterable[Converter], origin: str, usable: Callable[[Converter], bool], *, takes_itself: bool
) -> Mapping[str, Way]:
    """Format → the way there from `origin`: least cost, then fewest edges, then by ids.

    A way that begins as the best one begins there too: this is Dijkstra's search, with the origin apart from the format
    of its name, which only an edge from there to itself, or else `takes_itself`, makes of it. `usable` is asked late:
    of edges that the best ways need.
    """
    known = {converter.id: converter for converter in converters}
    edges: dict[str, list[Converter]] = {}
    for converter in known.values():
        edges.setdefault(converter.source, []).append(converter)
    ways: dict[str, Way] = {}
    todo: list[tuple[int, int, tuple[str, ...], tuple[str, ...]]] = [(0, 0, (), ())]
    while todo:
        cost, number, ids, formats = heapq.heappop(todo)
        if formats:
            if formats[-1] in ways or not usable(known[ids[-1]]):
                continue
            ways[formats[-1]] = Way(ids, formats)
        for edge in edges.get(formats[-1] if formats else origin, ()):
            if edge.target not in ways and (edge.source != edge.target or not formats):
                heapq.heappush(todo, (cost + edge.cost, number + 1, (*ids, edge.id), (*formats, edge.target)))
    adopted = origin in ways and len(ways[origin].formats) == 1
    if takes_itself and not adopted:
        ways[origin] = Way((), (origin,))
    return ways

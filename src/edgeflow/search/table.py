"""The Pareto front of a search as a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from edgeflow.report import show
from edgeflow.search.conclusion import Conclusion
from edgeflow.search.tried import BESIDE, Ending, Figure, Rules, Tried
from edgeflow.types.verdicts import Release

if TYPE_CHECKING:
    from rich.table import Table

_STYLES = {Release.RELEASED: "green", Release.HELD: "yellow", Release.REJECTED: "red"}


def front(tried: Mapping[str, Tried], conclusion: Conclusion, rules: Rules) -> Table:
    """A row for each scheme on the front and for the best hand-written one; * marks what people wrote."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    names = _shown(conclusion)
    metrics = [m for m in dict.fromkeys((rules.objective, *BESIDE)) if any(m in tried[n].figures for n in names)]
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
        caption=f"* hand-written   in brackets: {95 if rules.gains else 90} % interval",
        caption_justify="left",
    )
    table.add_column("scheme", no_wrap=True)
    table.add_column(
        f"{show.name(rules.drop)}, {show.value(rules.drop, 0.0).partition(' ')[2]}", justify="right", no_wrap=True
    )
    for metric in metrics:
        table.add_column(show.name(metric), justify="right")
    table.add_column("verdict")
    for name in names:
        row = tried[name]
        figures = [Text(_drop(row.figures[rules.drop], rules.drop)), *(Text(_figure(row, m)) for m in metrics)]
        verdict = Text(row.release.value, _STYLES.get(row.release, "")) if row.release else Text("")
        table.add_row(Text(f"{name}{'*' * row.hand_written}", "bold"), *figures, verdict)
    return table


def legend(tried: Mapping[str, Tried], conclusion: Conclusion) -> Table:
    """What the schemes of the front are."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    for name in _shown(conclusion):
        grid.add_row(Text(name, "bold"), Text(tried[name].words))
    return grid


def _shown(conclusion: Conclusion) -> list[str]:
    """The front and the best hand-written scheme."""
    return list(dict.fromkeys(filter(None, (*conclusion.front, conclusion.hand_written))))


def _drop(figure: Figure, metric: str) -> str:
    """In points or decibel, with its interval: "0.20 [−0.20, 0.60]"."""
    value, low, high = (
        None if end is None else show.value(metric, end).partition(" ")[0]
        for end in (figure.value, figure.low, figure.high)
    )
    return f"{value}" if low is None else f"{value} [{low}, {high}]"


def _figure(tried: Tried, metric: str) -> str:
    figure = tried.figures.get(metric)
    return show.optional(metric, figure.value if figure else None)


def line(tried: Tried, rules: Rules) -> str:
    """What came of one scheme, as soon as it is known."""
    if tried.ending != Ending.MEASURED:
        return f"{tried.scheme} ({tried.words}): {tried.ending}: {tried.reason}"
    figures = (rules.drop, rules.objective)
    said = ", ".join(f"{show.name(m)} {show.value(m, tried.figures[m].value)}" for m in figures)
    return f"{tried.scheme} ({tried.words}): {said}: {tried.release}"


def counts(tried: Iterable[Tried]) -> str:
    """How many schemes ended in which way, hand-written ones left out."""
    endings = [t.ending for t in tried if not t.hand_written]
    return ", ".join(f"{endings.count(ending)} {ending}" for ending in Ending if ending in endings) or "none"

"""The ladder of every scheme of one model on one target: the task metric and golden distance, stage by stage."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from edgeflow.report import show
from edgeflow.report.charts import base_axis, base_layout
from edgeflow.report.primary import Primary
from edgeflow.types.ladder import Ladder, Rung

# Colours that people with any colour vision tell apart (Okabe and Ito, 2008), each with its own dash and symbol.
STYLES = (
    ("#1f2933", "solid", "circle"),
    ("#0072b2", "dash", "square"),
    ("#d55e00", "dot", "diamond"),
    ("#009e73", "dashdot", "triangle-up"),
    ("#cc79a7", "longdash", "cross"),
    ("#b8860b", "longdashdot", "triangle-down"),
)
BEGINNINGS, STAGES = ("train", "source"), ("convert", "optimize", "compile")
FLOOR = 1e-9  # where the logarithmic axis shows a distance of nothing
_TICKS = {FLOOR: "0", 1e-7: "10⁻⁷", 1e-5: "10⁻⁵", 1e-3: "0.001", 1e-1: "0.1", 1.0: "1"}


def style(schemes: Sequence[str], scheme: str) -> tuple[str, str, str]:
    """Colour, dash and symbol of a scheme: the same in every chart."""
    return STYLES[list(schemes).index(scheme) % len(STYLES)]


def task(ladders: Mapping[str, Ladder], schemes: Sequence[str], primary: Primary) -> dict[str, Any]:
    """The task metric after each stage; `ladders` by scheme, `schemes` are all of the matrix."""
    values = [primary.scale * value for ladder in ladders.values() for _, value in ladder.valued]
    low, high = min(values, default=0.0), max(values, default=0.0)
    room = max(0.1 * (high - low), primary.least_room)
    axis = {
        **base_axis(""),
        "ticksuffix": primary.suffix,
        "range": [low - room, primary.ceiling(high + room, 0.1 * room)],
    }

    def scaled(rung: Rung) -> float | None:
        return None if rung.value is None else primary.scale * rung.value

    return _figure(ladders, schemes, "lines+markers", scaled, axis)


def distance(ladders: Mapping[str, Ladder], schemes: Sequence[str]) -> dict[str, Any]:
    """The greatest difference of golden outputs to the stage before, as a part of their range."""
    axis = {
        **base_axis(""),
        "type": "log",
        "range": [-9.6, 0.6],
        "tickmode": "array",
        "tickvals": list(_TICKS),
        "ticktext": list(_TICKS.values()),
    }
    return _figure(ladders, schemes, "markers", _clamped, axis)


def relative(rung: Rung) -> float | None:
    """golden_max_abs as a part of the range; None on the first rung."""
    if rung.golden_max_abs is None:
        return None
    return rung.golden_max_abs / rung.golden_range if rung.golden_range else 0.0


def same(rung: Rung) -> str:
    """What is known of a rung that has no value: the evaluation samples were not asked."""
    within = "" if rung.tolerance is None else " within tolerance"
    return f"as before{within}, on {rung.golden_n} golden inputs"


def _clamped(rung: Rung) -> float | None:
    part = relative(rung)
    return None if part is None else min(max(part, FLOOR), 3.0)


def _figure(
    ladders: Mapping[str, Ladder],
    schemes: Sequence[str],
    mode: str,
    y: Callable[[Rung], float | None],
    yaxis: Mapping[str, Any],
) -> dict[str, Any]:
    """A trace per scheme over the stages, a little beside each other so that equal ones stay visible."""
    import plotly.graph_objects as go

    names = stages(ladders.values())
    traces = []
    for i, (scheme, ladder) in enumerate(ladders.items()):
        colour, dash, symbol = style(schemes, scheme)
        beside = (i - (len(ladders) - 1) / 2) * 0.09
        rungs = [rung for rung in ladder.rungs if y(rung) is not None]
        traces.append(
            go.Scatter(
                x=[names.index(rung.stage) + beside for rung in rungs],
                y=[y(rung) for rung in rungs],
                mode=mode,
                name=html.escape(scheme),
                line={"color": colour, "dash": dash, "width": 1.5},
                marker={"color": colour, "symbol": symbol, "size": 8},
                text=[_hover(scheme, rung) for rung in rungs],
                hovertemplate="%{text}<extra></extra>",
            )
        )
    xaxis = {
        **base_axis(""),
        "range": [-0.45, len(names) - 0.55],
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "ticktext": [html.escape(name) for name in names],
        "showgrid": False,
    }
    layout = {**base_layout(), "xaxis": xaxis, "yaxis": yaxis}
    layout["margin"] = {**layout["margin"], "b": 28}
    return dict(go.Figure(data=traces, layout=layout).to_plotly_json())


def stages(ladders: Iterable[Ladder]) -> list[str]:
    """What models begin with, the usual stages, then any other that a ladder has."""
    there = {rung.stage: None for ladder in ladders for rung in ladder.rungs}
    begin = [stage for stage in BEGINNINGS if stage in there] or BEGINNINGS[:1]
    return list(dict.fromkeys([*begin, *STAGES, *there]))


def steps(ladder: Ladder, names: Sequence[str]) -> list[tuple[Rung | None, float | None]]:
    """For each stage in `names` its rung and how much the metric changed since the last one that has a value."""
    changes = {rung.stage: value - before for (_, before), (rung, value) in pairwise(ladder.valued)}
    rungs = {rung.stage: rung for rung in ladder.rungs}
    return [(rungs.get(name), changes.get(name)) for name in names]


def _hover(scheme: str, rung: Rung) -> str:
    part = relative(rung)
    figure = same(rung) if rung.value is None else f"{show.name(rung.metric)} {show.value(rung.metric, rung.value)}"
    text = f"<b>{html.escape(scheme)}</b>, {html.escape(rung.stage)}<br>{figure}"
    return text if part is None else f"{text}<br>golden difference {part:.3g} of the range"

"""The task metric against cost: one interactive scatter per model, target and cost metric, as plotly figures."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgeflow.report import show
from edgeflow.report.pareto import front
from edgeflow.report.primary import Primary
from edgeflow.report.ticks import log_ticks
from edgeflow.report.variants import Variant, machines
from edgeflow.types.figures import Evidence, Measurement
from edgeflow.types.verdicts import Release
from edgeflow.units import unit_of

FONT = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
INK = "#1f2933"
GRID = "#e4e7eb"
FRONT = "#3b5b8c"
MARKS: Mapping[Release, tuple[str, str]] = {  # colour and shape: never colour alone
    Release.RELEASED: ("#0b7a63", "circle"),
    Release.HELD: ("#a15c07", "diamond-open"),
    Release.REJECTED: ("#b3261e", "x-thin"),
}


@dataclass(frozen=True)
class Point:
    """A variant that has both figures."""

    tip: str  # id of the element with all its figures, which the page shows on hover
    scheme: str
    release: Release
    cost: Measurement
    task: Measurement
    chooses: bool  # its cost is the target's own, and of the machine of the others: it may choose between variants


def points(variants: Mapping[str, Variant], metric: str) -> list[Point]:
    """The variants, by the id of their tip, that can be drawn against `metric`."""
    comparable = len(machines(variants.values(), metric)) < 2
    drawn = []
    for tip, variant in variants.items():
        cost = variant.figures.get(metric)
        task = variant.figures.get(variant.primary.metric) if variant.primary else None
        if cost is not None and task is not None and cost.value > 0:  # the axis is logarithmic
            chooses = comparable and variant.chooses(metric)
            drawn.append(Point(tip, variant.cell.scheme, variant.release, cost, task, chooses))
    return drawn


def scatter(drawn: Sequence[Point], metric: str, primary: Primary) -> dict[str, Any]:
    """A plotly figure with the Pareto front of what is not rejected, and `layout.meta.labels` for the page to place.

    What another machine than the target took, or what two machines did, is drawn, and is on no front.
    """
    import plotly.graph_objects as go

    may_ship = [p for p in drawn if p.release is not Release.REJECTED and p.chooses]
    best = [may_ship[i] for i in front([(p.cost.value, primary.gain(p.task.value)) for p in may_ship])]
    traces = [_front_line(best, primary), _front_rings(best, primary)]
    traces += [_markers([p for p in drawn if p.release is release], release, primary) for release in MARKS]
    figure = go.Figure(data=[trace for trace in traces if trace is not None], layout=_layout(drawn, metric, primary))
    return dict(figure.to_plotly_json())


def _front_line(best: Sequence[Point], primary: Primary) -> Any:
    """Steps: up to the next point's cost, nothing is better than the last one."""
    import plotly.graph_objects as go

    line = {"color": FRONT, "width": 1.5, "shape": "hv"}
    return go.Scatter(x=_x(best), y=_y(best, primary), mode="lines", line=line, hoverinfo="skip", name="Pareto front")


def _front_rings(best: Sequence[Point], primary: Primary) -> Any:
    import plotly.graph_objects as go

    ring = {"symbol": "circle-open", "size": 19, "color": FRONT, "line": {"width": 1.5}}
    return go.Scatter(
        x=_x(best), y=_y(best, primary), mode="markers", marker=ring, hoverinfo="skip", name="on the front"
    )


def _markers(drawn: Sequence[Point], release: Release, primary: Primary) -> Any:
    import plotly.graph_objects as go

    if not drawn:
        return None
    colour, symbol = MARKS[release]
    return go.Scatter(
        x=_x(drawn),
        y=_y(drawn, primary),
        mode="markers",
        name=release.value,
        marker={"symbol": symbol, "color": colour, "size": 10, "line": {"width": 2, "color": colour}, "opacity": 1},
        error_x=_error([p.cost for p in drawn], 1.0, colour),
        error_y=_error([p.task for p in drawn], primary.scale, colour),
        customdata=[p.tip for p in drawn],
        hoverinfo="none",
    )


def _x(drawn: Sequence[Point]) -> list[float]:
    return [p.cost.value for p in drawn]


def _y(drawn: Sequence[Point], primary: Primary) -> list[float]:
    return [primary.scale * p.task.value for p in drawn]


def _ends(measurement: Measurement) -> tuple[float, float]:
    interval = measurement.interval
    return (interval.low, interval.high) if interval else (measurement.value, measurement.value)


def _error(measurements: Sequence[Measurement], scale: float, colour: str) -> dict[str, Any]:
    """Error bars from the intervals; of no length where a figure has none."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(0.0, scale * (_ends(m)[1] - m.value)) for m in measurements],
        "arrayminus": [max(0.0, scale * (m.value - _ends(m)[0])) for m in measurements],
        "color": f"rgba({', '.join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))}, 0.45)",
        "thickness": 1.2,
        "width": 3,
    }


def _layout(drawn: Sequence[Point], metric: str, primary: Primary) -> dict[str, Any]:
    costs = [end for p in drawn for end in _ends(p.cost) if end > 0]
    low, high = _padded(math.log10(min(costs)), math.log10(max(costs)), part=0.28, least=0.25)
    values, texts = log_ticks(10**low, 10**high, unit_of(metric))
    values_of_task = [primary.scale * end for p in drawn for end in _ends(p.task)]
    bottom, top = _padded(min(values_of_task), max(values_of_task), part=0.12, least=1.2 * primary.least_room)
    return {
        **base_layout(),
        "xaxis": {
            **base_axis(show.name(metric)),
            "type": "log",
            "range": [low, high],
            "tickmode": "array",
            "tickvals": values,
            "ticktext": texts,
        },
        "yaxis": {
            **base_axis(""),
            "range": [bottom, primary.ceiling(top, 0.06 * (top - bottom))],
            "ticksuffix": primary.suffix,
        },
        "meta": {"labels": [_label(p, drawn, primary) for p in drawn]},
    }


def _padded(low: float, high: float, part: float, least: float) -> tuple[float, float]:
    """A range with room for labels at both ends: `part` of its length, and never below `least`."""
    room = max(part * (high - low), least)
    return low - room, high + room


def title(drawn: Sequence[Point], metric: str, primary: Primary) -> str:
    """The chart in words: "Accuracy (host) against latency p50 (estimate)"."""
    task, cost = _common([p.task for p in drawn]), _common([p.cost for p in drawn])
    return f"{primary.name.capitalize()}{task} against {show.name(metric)}{cost}"


def _common(measurements: Sequence[Measurement]) -> str:
    """Evidence that all figures share, as " (simulator)"; where it differs, the labels say so."""
    kinds = {m.evidence for m in measurements}
    return f" ({next(iter(kinds)).value})" if len(kinds) == 1 else ""


def _label(point: Point, drawn: Sequence[Point], primary: Primary) -> dict[str, Any]:
    """A point's name; where evidence differs within the chart, its own stands beside it."""
    own: list[Evidence] = []
    for mine, all_of_them in (
        (point.cost.evidence, {p.cost.evidence for p in drawn}),
        (point.task.evidence, {p.task.evidence for p in drawn}),
    ):
        if len(all_of_them) > 1 and mine not in own:
            own.append(mine)
    text = html.escape(point.scheme) + (f" ({', '.join(e.value for e in own)})" if own else "")
    y = primary.scale * point.task.value
    return {"x": point.cost.value, "y": y, "text": text, "color": MARKS[point.release][0]}


def base_layout() -> dict[str, Any]:
    """What all charts share: a white, quiet plot without plotly's legend and title."""
    return {
        "template": {},
        "font": {"family": FONT, "size": 12, "color": INK},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "margin": {"l": 58, "r": 12, "t": 10, "b": 46},
        "showlegend": False,
        "hovermode": "closest",
        "hoverdistance": 24,
    }


def base_axis(title: str) -> dict[str, Any]:
    """An axis with faint grid lines."""
    return {
        "title": {"text": title, "standoff": 8, "font": {"size": 12}},
        "gridcolor": GRID,
        "linecolor": "#9aa5b1",
        "showline": True,
        "zeroline": False,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": "#9aa5b1",
    }

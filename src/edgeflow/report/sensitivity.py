"""Which layers lose most when they are quantized: the ranking behind each mixed-precision scheme, and its plot."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeflow import files, layout
from edgeflow.report.charts import INK, base_axis, base_layout
from edgeflow.types.ladder import Sensitivity

KEPT, QUANTIZED = "#a15c07", "#3b5b8c"
ROW_PX = 24


def read(plan: Path, results: Path) -> tuple[Sensitivity, ...]:
    """Every ranking that the plan has and that is there; DataError for one that does not fit."""
    jobs = files.read_json(plan).get("jobs", ())
    keys = [key for stage, *key in jobs if stage == "sensitivity"]
    made = (
        layout.sensitivity(model, profile, scheme, file_format)["sensitivity"]
        for model, file_format, profile, scheme in keys
    )
    paths = [results / Path(path).relative_to(layout.RESULTS) for path in made]
    rankings = (files.read_as(Sensitivity, path) for path in paths if path.is_file())
    return tuple(ranking for ranking in rankings if not ranking.infeasible)


def chart(ranking: Sensitivity) -> dict[str, Any]:
    """A plotly figure: a bar per layer, the most sensitive on top, with the interval of its drop."""
    import plotly.graph_objects as go

    drops = [100 * layer.drop for layer in ranking.layers]
    bars = go.Bar(
        x=drops,
        y=[html.escape(layer.name) for layer in ranking.layers],  # plotly reads markup in labels
        orientation="h",
        marker={"color": [KEPT if layer.name in ranking.kept else QUANTIZED for layer in ranking.layers]},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [100 * layer.interval.high - drop for layer, drop in zip(ranking.layers, drops, strict=True)],
            "arrayminus": [drop - 100 * layer.interval.low for layer, drop in zip(ranking.layers, drops, strict=True)],
            "color": INK,
            "thickness": 1,
            "width": 3,
        },
        text=[f"{layer.output_db:.0f} dB" for layer in ranking.layers],
        hovertemplate="%{y}: %{x:.2f} points, output %{text}<extra></extra>",
        textposition="none",
    )
    axis = base_axis(f"{ranking.metric} lost where this layer alone is quantized, points")
    figure = go.Figure(
        data=[bars],
        layout={
            **base_layout(),
            "height": 80 + ROW_PX * len(ranking.layers),
            "margin": {"l": 150, "r": 12, "t": 10, "b": 46},
            "xaxis": {**axis, "zeroline": True},
            "yaxis": {"autorange": "reversed", "ticks": ""},
        },
    )
    return dict(figure.to_plotly_json())


def figures(rankings: Sequence[Sensitivity]) -> dict[str, dict[str, Any]]:
    """Figure by the id of its place in the page."""
    return {f"sensitivity-{i}": chart(ranking) for i, ranking in enumerate(rankings)}

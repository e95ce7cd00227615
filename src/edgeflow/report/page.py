"""index.html: one file with everything in it, that opens offline and is the same for the same figures.

The page's own security policy allows the two scripts that are written here, by digest, and no request at all: a
hostile name in a config cannot run, and opening the report tells nobody.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeflow.report import charts, ladder_charts, primary, sensitivity, show
from edgeflow.report.attribution import explain
from edgeflow.report.costs import Costs
from edgeflow.report.decide import Decision, TargetInfo
from edgeflow.report.imports import Imported
from edgeflow.report.primary import Primary
from edgeflow.report.recipes import Recipe, Saving
from edgeflow.report.variants import Variant, machines
from edgeflow.types.figures import Evidence
from edgeflow.types.ladder import Sensitivity
from edgeflow.types.verdicts import Release, Status

TEMPLATES = Path(__file__).parent / "templates"
_BLOCKING = {
    Release.REJECTED: {Status.FAIL},
    Release.HELD: {Status.UNMEASURED, Status.INSUFFICIENT_EVIDENCE},
}
COSTS = ("latency_p50_s", "size_bytes")  # what the task metric is drawn against


@dataclass(frozen=True)
class Chart:
    """A place for a plotly figure, or the sentence that stands there instead."""

    id: str
    title: str
    note: str = ""  # what is not drawn, and why


@dataclass(frozen=True)
class ModelPanel:
    """The charts of one model on one target."""

    model: str
    scatters: tuple[Chart, ...]
    ladders: tuple[Chart, ...]
    variants: tuple[tuple[str, Variant], ...]  # (id of the variant in the page, variant) with a ladder
    primary: Primary
    stages: tuple[str, ...]  # of the ladders


@dataclass(frozen=True)
class TargetPanel:
    """All that the page shows of one target at a time."""

    target: TargetInfo
    models: tuple[ModelPanel, ...]


@dataclass(frozen=True)
class Content:
    """What the page shows, in its order."""

    decisions: Sequence[Decision]
    variants: Sequence[Variant]
    recipes: Sequence[Recipe]
    savings: Sequence[Saving]
    rankings: Sequence[Sensitivity]
    costs: Costs
    imports: Sequence[Imported] = ()


def render(title: str, baseline: str, targets: Sequence[TargetInfo], content: Content) -> str:
    """The whole page."""
    from plotly.offline import get_plotlyjs

    figures: dict[str, Any] = sensitivity.figures(content.rankings)
    variants = content.variants
    numbered = {f"v{i}": variant for i, variant in enumerate(variants)}
    schemes = _unique(v.cell.scheme for v in variants)
    panels = tuple(_panel(i, target, numbered, schemes, figures) for i, target in enumerate(targets))
    scripts = [_unix(get_plotlyjs()), _unix((TEMPLATES / "report.js").read_text(encoding="utf-8"))]
    template = _environment().get_template("index.html.j2")
    return str(
        template.render(
            title=title,
            baseline=baseline,
            targets=targets,
            content=content,
            numbered=numbered,
            models=_unique(v.cell.model for v in variants),
            schemes=schemes,
            panels=panels,
            metrics=primary.named(primary.all_of(v.primary for v in variants), "the task metric"),
            bars=_bars(variants),
            by_cell={(v.cell.model, v.cell.target, v.cell.scheme): (tip, v) for tip, v in numbered.items()},
            ships={(d.model, d.target, d.ship) for d in content.decisions},
            counts=Counter(v.release for v in variants),
            releases=tuple(Release),
            release_help=show.RELEASE,
            evidence_help=show.EVIDENCE,
            marks=charts.MARKS,
            line_style=lambda scheme: ladder_charts.style(schemes, scheme),
            css=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
            figures=_safe_json(figures),
            scripts=scripts,
            policy=_policy(scripts),
        )
    )


def _bars(variants: Sequence[Variant]) -> str:
    """What the bars of the charts are: confidence by metric."""
    tasks = primary.all_of(v.primary for v in variants)
    figures = (v.figures.get(metric) for metric in (*(t.metric for t in tasks), "latency_p50_s") for v in variants)
    known = {
        show.name(f.metric): f.interval.confidence for f in figures if f and f.interval and f.interval.confidence < 1
    }
    return ", ".join(f"{name} {100 * confidence:g} %" for name, confidence in known.items())


def _unique(names: Any) -> list[str]:
    return list(dict.fromkeys(names))


def _unix(script: str) -> str:
    """Line ends as an HTML parser makes them, so that the digest in the policy fits."""
    return script.replace("\r\n", "\n").replace("\r", "\n")


def _policy(scripts: Sequence[str]) -> str:
    digests = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    return f"default-src 'none'; script-src {digests}; style-src 'unsafe-inline'; img-src data: blob:"


def _safe_json(value: Any) -> str:
    """JSON that may stand inside a script element, whatever its strings hold."""
    from plotly.io.json import to_json_plotly

    text: str = to_json_plotly(value)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "name": show.name,
        "interval": show.interval,
        "evidence": show.evidence,
        "relative": ladder_charts.relative,
        "same": ladder_charts.same,
    }
    environment.globals |= {
        "value": show.value,
        "between": show.between,
        "times": show.times,
        "common": show.common,
        "listed": show.listed,
        "optional": show.optional,
        "short_reason": short_reason,
        "short_evidence": short_evidence,
        "elsewhere": lambda evidence: "" if evidence is Evidence.DEVICE else f" ({evidence})",
        "steps": ladder_charts.steps,
        "explain": explain,
    }
    return environment


def short_reason(variant: Variant, prefer: str) -> str:
    """What a cell of the matrix has room for: the figure that counts, or what stands in the way."""
    if variant.failure:
        return variant.failure.sentence
    if variant.release is Release.INFEASIBLE:
        return "; ".join(variant.reasons)
    if variant.release is Release.RELEASED:
        metric = _shown_metric(variant, prefer)
        return f"{show.name(metric)} {show.optional(metric, variant.value(metric))}"
    names = [show.name(c.metric) for c in variant.checks if c.status in _BLOCKING[variant.release]]
    return ", ".join(names) or "; ".join(variant.reasons)


def short_evidence(variant: Variant, prefer: str) -> Evidence | None:
    """The evidence of the figure in `short_reason`; None where it names no figure."""
    return variant.evidence(_shown_metric(variant, prefer)) if variant.release is Release.RELEASED else None


def _shown_metric(variant: Variant, prefer: str) -> str:
    return prefer if prefer in variant.figures else "size_bytes"


def _panel(
    number: int,
    target: TargetInfo,
    numbered: Mapping[str, Variant],
    schemes: Sequence[str],
    figures: dict[str, Any],
) -> TargetPanel:
    """The panel of one target; its figures are added to `figures` by chart id."""
    here = {tip: v for tip, v in numbered.items() if v.cell.target == target.id}
    models = []
    for i, model in enumerate(_unique(v.cell.model for v in here.values())):
        own = {tip: v for tip, v in here.items() if v.cell.model == model}
        laddered = {tip: v for tip, v in own.items() if v.ladder.rungs}
        models.append(
            ModelPanel(
                model,
                tuple(_scatter(f"t{number}-m{i}-{metric}", own, metric, figures) for metric in COSTS),
                _ladders(f"t{number}-m{i}", laddered, schemes, figures),
                tuple(laddered.items()),
                primary.of(v.primary for v in own.values()),
                tuple(ladder_charts.stages(v.ladder for v in laddered.values())),
            )
        )
    return TargetPanel(target, tuple(models))


def _scatter(chart: str, variants: Mapping[str, Variant], metric: str, figures: dict[str, Any]) -> Chart:
    drawn, task = charts.points(variants, metric), primary.of(v.primary for v in variants.values())
    if drawn:
        figures[chart] = charts.scatter(drawn, metric, task)
    tips = {point.tip for point in drawn}
    absent = [v for tip, v in variants.items() if tip not in tips]
    infeasible = [v.cell.scheme for v in absent if v.release is Release.INFEASIBLE]
    failed = [v.cell.scheme for v in absent if v.release is Release.FAILED]
    unmeasured = [v.cell.scheme for v in absent if v.release not in (Release.INFEASIBLE, Release.FAILED)]
    notes = [f"Infeasible: {', '.join(infeasible)}." if infeasible else ""]
    notes += [f"Failed: {', '.join(failed)}." if failed else ""]
    notes += [f"{show.name(metric).capitalize()} not measured: {', '.join(unmeasured)}." if unmeasured else ""]
    if len(named := machines(variants.values(), metric)) > 1:
        notes.append(f"Taken on {len(named)} machines, which cannot be compared: {', '.join(named)}.")
    elif elsewhere := [point.scheme for point in drawn if not point.chooses]:
        evidence = ", ".join(dict.fromkeys(p.cost.evidence.value for p in drawn if not p.chooses))
        notes.append(f"{evidence.capitalize()} evidence, which chooses nothing here: {', '.join(elsewhere)}.")
    return Chart(chart if drawn else "", charts.title(drawn, metric, task), " ".join(filter(None, notes)))


def _ladders(
    prefix: str, variants: Mapping[str, Variant], schemes: Sequence[str], figures: dict[str, Any]
) -> tuple[Chart, ...]:
    if not variants:
        return ()
    ladders, task = (
        {v.cell.scheme: v.ladder for v in variants.values()},
        primary.of(v.primary for v in variants.values()),
    )
    figures[f"{prefix}-ladder"] = ladder_charts.task(ladders, schemes, task)
    figures[f"{prefix}-distance"] = ladder_charts.distance(ladders, schemes)
    return (
        Chart(f"{prefix}-ladder", f"{task.name.capitalize()} after each stage"),
        Chart(f"{prefix}-distance", "Greatest golden difference to the stage before, as a part of the range"),
    )

"""Where a variant loses more than its budget: the stage, and the layers, in words that a person can act on."""

from __future__ import annotations

from itertools import pairwise

from edgeflow.report import show
from edgeflow.report.variants import Variant
from edgeflow.types.figures import DROP
from edgeflow.types.ladder import LayerNoise, Rung
from edgeflow.types.verdicts import Check

NAMED = 3  # layers
TOLD_DB = 3.0  # twice the noise: what adds less has it from the layers before
WIDE = 20  # range over median from which on a few values leave the others few steps of 8 bits


def explain(variant: Variant) -> tuple[str, ...]:
    """Sentences for a variant whose task metric dropped by more than its budget; none for any other."""
    lost = next((check for check in variant.checks if check.metric.endswith(DROP) and _over(check)), None)
    valued = variant.ladder.valued
    if lost is None or len(valued) < 2:
        return ()
    (before, high), (worst, low) = max(pairwise(valued), key=lambda pair: pair[0][1] - pair[1][1])
    if (trained := _lost_in_training(variant, lost)) > high - low:
        start, reached = valued[0]
        return (
            f"{show.name(start.metric).capitalize()} falls most in {start.stage}: from "
            f"{show.value(start.metric, reached + trained)} of the baseline's checkpoint to "
            f"{show.value(start.metric, reached)}. The steps of the scheme cost that; its control shows what more "
            "training alone does.",
        )
    said = [
        f"{show.name(worst.metric).capitalize()} falls most in {worst.stage}: from "
        f"{show.value(worst.metric, high)} after {before.stage} to {show.value(worst.metric, low)}."
    ]
    if not worst.noisiest:
        return (*said, f"Nothing is known of the layers in {worst.stage}.")
    first, *others = worst.noisiest
    told = [first, *(layer for layer in others if _adds(layer, first))]
    return (*said, *(_layer(layer, worst) for layer in told[:NAMED]))


def _adds(layer: LayerNoise, first: LayerNoise) -> bool:
    """More than it has from the layers before; where those are exact, about as much as the first layer or more."""
    if layer.before_db is None:
        return layer.after_db - first.after_db < TOLD_DB
    return layer.before_db - layer.after_db > TOLD_DB


def _lost_in_training(variant: Variant, lost: Check) -> float:
    """How much less the scheme's own checkpoint does than the baseline's, which its drop is held against."""
    (start, reached), *_, (_, last) = variant.ladder.valued
    if lost.value is None or lost.metric != f"{start.metric}{DROP}":
        return 0.0
    return last + lost.value - reached


def _over(check: Check) -> bool:
    return check.value is not None and check.value > check.limit


def _layer(layer: LayerNoise, rung: Rung) -> str:
    before = "its input is exact" if layer.before_db is None else f"{layer.before_db:.0f} dB before it"
    return (
        f"{layer.name} ({layer.operator}): {layer.after_db:.0f} dB of signal to noise, {before}; range "
        f"{layer.range_over_median:.0f}× its median. {_advice(layer, rung)}"
    )


def _advice(layer: LayerNoise, rung: Rung) -> str:
    if layer.name in rung.kept:
        return "It is in float32 already: what it reads is rounded."
    if layer.range_over_median > WIDE:
        return (
            "A few large values leave the others few steps: try percentile calibration, 16-bit activations, or "
            "mixed_precision, which keeps such layers in float32."
        )
    return "Try quantize_aware, or mixed_precision, which keeps such layers in float32."

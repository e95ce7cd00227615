"""What training-time steps gained: each recipe beside its control, as the train stage compared them, and what its
programs save beside those of the same scheme without steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from edgeflow import files, layout
from edgeflow.errors import DataError
from edgeflow.figures import RATIO
from edgeflow.plugin import Drop, Score
from edgeflow.report.decide import TIE
from edgeflow.report.variants import Variant, machines
from edgeflow.types.plain import from_json

Ratio: TypeAlias = tuple[float, float, float]  # value, low, high


@dataclass(frozen=True)
class Compared:
    """train.json's `against_control`."""

    metric: str
    control: Score  # as many epochs with no technique
    recipe: Score
    drop: Drop  # of the recipe against its control, on the same samples; > 0 is worse


@dataclass(frozen=True)
class Recipe:
    """One checkpoint that training-time steps made."""

    model: str
    recipe: str
    schemes: tuple[str, ...]  # that ship it
    zero_weights_ratio: float | None
    compared: Compared

    @property
    def finding(self) -> str:
        """In words, at the confidence of the interval."""
        interval = self.compared.drop.interval
        if interval.high < 0:
            return "better than its control"
        if interval.low > 0:
            return "worse than its control"
        return f"no difference shown on {self.compared.drop.n} samples"


@dataclass(frozen=True)
class Saving:
    """One program of a recipe, beside the dense one of the same model and target: the same scheme without steps."""

    variant: Variant
    zero_weights_ratio: float | None
    compressed_bytes: int | None
    dense: str  # id of that scheme; empty when it is not in the matrix, or infeasible
    compressed_ratio: float | None  # to the dense program's compressed size
    latency: Ratio | None  # to the dense program's, with its interval; None: not timed

    @property
    def finding(self) -> str:
        """Whether latency was saved, in words no stronger than what separate measurements can tell apart."""
        if self.latency is None:
            return "latency not compared"
        _, low, high = self.latency
        if high * TIE < 1:
            return "faster"
        return "slower" if low > TIE else "saves no latency"


def savings(
    recipes: Sequence[Recipe], variants: Sequence[Variant], dense: Mapping[str, str], baseline: str
) -> tuple[Saving, ...]:
    """Every program that recipes ship; `dense`: scheme → the one in the matrix that is the same without steps."""
    known = {(v.cell.model, v.cell.target, v.cell.scheme): v for v in variants}
    shipped = {(recipe.model, scheme) for recipe in recipes for scheme in recipe.schemes}
    return tuple(
        _saving(variant, known.get((model, target, dense.get(scheme, ""))), baseline)
        for (model, target, scheme), variant in known.items()
        if (model, scheme) in shipped and variant.program and variant.program.sha256
    )


def _saving(variant: Variant, dense: Variant | None, baseline: str) -> Saving:
    own, other = variant.program, dense.program if dense else None
    size = own.compressed_bytes if own else None
    dense_size = other.compressed_bytes if other else None
    return Saving(
        variant,
        own.zero_weights_ratio if own else None,
        size,
        dense.cell.scheme if dense and dense_size else "",
        size / dense_size if size and dense_size else None,
        _latency(variant, dense, baseline) if dense else None,
    )


def _latency(variant: Variant, dense: Variant, baseline: str) -> Ratio | None:
    """Latency over the dense program's: each was measured in turn with the baseline, on one machine.

    Their quotient lies between those of their ends.
    """
    own, other = _ratio(variant, baseline), _ratio(dense, baseline)
    if own is None or other is None or len(machines((variant, dense), RATIO)) > 1:
        return None
    return own[0] / other[0], own[1] / other[2], own[2] / other[1]


def _ratio(variant: Variant, baseline: str) -> Ratio | None:
    """Latency over the baseline's, with its interval; the baseline's own is 1 where it is timed.

    None where another machine than the target was timed: a gain there is none here.
    """
    if variant.cell.scheme == baseline:
        return None if variant.value("latency_p50_s") is None else (1.0, 1.0, 1.0)
    ratio = variant.figures.get(RATIO) if variant.chooses(RATIO) else None
    return (ratio.value, ratio.interval.low, ratio.interval.high) if ratio and ratio.interval else None


def read(plan: Path, results: Path) -> tuple[Recipe, ...]:
    """Every planned recipe that has a control, in the order of the plan.

    Raises DataError for a plan or a train.json that does not fit.
    """
    content = files.read_json(plan)
    return tuple(_recipes(content.get("jobs", ()), content.get("recipes", {}), results))


def _recipes(jobs: list[list[str]], schemes: Mapping[str, list[str]], results: Path) -> Iterator[Recipe]:
    for model, recipe in (key for stage, *key in jobs if stage == "train"):
        if recipe not in schemes:  # a control, or what others start from
            continue
        path = results / Path(layout.train(model, recipe)["info"]).relative_to(layout.RESULTS)
        info = files.read_json(path) if path.is_file() else {}
        if against := info.get("against_control"):
            zeros = info.get("figures", {}).get("zero_weights_ratio")
            yield Recipe(model, recipe, tuple(schemes[recipe]), zeros, _compared(against, path))


def _compared(against: Any, path: Path) -> Compared:
    try:
        return from_json(Compared, against)
    except ValueError as error:
        raise DataError(f"{path}: against_control: {error}; train again") from None

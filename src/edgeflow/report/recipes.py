"""What training-time steps gained: each recipe beside its control, as the train stage compared them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeflow import files, layout
from edgeflow.errors import DataError
from edgeflow.plugin import Drop, Score
from edgeflow.types import from_json


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

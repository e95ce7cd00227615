"""What prepare makes of a dataset: where its files are, and which sample is where."""

from __future__ import annotations

import csv
from pathlib import Path

from edgeflow.stages import prepare


def outputs(folder: Path) -> prepare.Outputs:
    """Where prepare writes."""
    arrays = (folder / f"{name}.safetensors" for name in (*prepare.SPLITS, "golden_raw"))
    return prepare.Outputs(*arrays, folder / "samples.csv", folder / "dataset.json")


def indices(folder: Path, split: str) -> list[int]:
    """The samples of a split, by their place in the dataset."""
    with outputs(folder).samples.open(newline="") as stream:
        return [int(line["index"]) for line in csv.DictReader(stream) if line["split"] == split]

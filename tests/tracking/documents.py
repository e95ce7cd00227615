"""Documents as runs.py writes them, of any number of variants, without a build."""

from __future__ import annotations

from typing import Any

SHA256 = "ab" * 32


def document(variants: int, accuracy: float = 0.9, epochs: int = 5) -> dict[str, Any]:
    """A build of up to 10 models × any number of schemes on one target; every second variant is released."""
    runs = [_run(i, accuracy, epochs) for i in range(variants)]
    versions = [_version(run, i) for i, run in enumerate(runs) if i % 2 == 0]
    return {
        "schema": "edgeflow.tracking/v1",
        "experiment": "Documents",
        "build": {
            "id": "0123456789abcdef",
            "name": "build 0123",
            "start_ms": 1000,
            "end_ms": 9000,
            "params": {"commit": "0123", "cells": str(variants)},
            "tags": {"edgeflow.finished": f"{variants}/{variants}"},
        },
        "cells": variants,
        "variants": runs,
        "versions": versions,
    }


def _run(i: int, accuracy: float, epochs: int) -> dict[str, Any]:
    name = f"m{i % 10}/target/s{i // 10}"
    figures = ("accuracy_low", "accuracy_high", "accuracy_drop", "latency_p50_s", "latency_p90_s", "latency_p99_s",
               "memory_peak_bytes", "size_bytes")  # fmt: skip
    return {
        "variant": name,
        "fingerprint": f"{name} {accuracy}",
        "start_ms": 2000 + i,
        "end_ms": 3000 + i,
        "params": {f"parameter_{k}": str(k) for k in range(20)},
        "metrics": [
            ["accuracy", accuracy, 0, 2500],
            *([metric, 0.5, 0, 2500] for metric in figures),
            *(["ladder_accuracy", 0.9, step, 2500] for step in range(4)),
            *(["train_loss", 1 / epoch, epoch, 2500] for epoch in range(1, epochs + 1)),
        ],
        "tags": {"edgeflow.release": "released", "edgeflow.verdict": "pass"},
        "inputs": [
            {"name": f"data/{split}", "context": split, "path": "x.npz", "samples": 9, "sha256": SHA256}
            for split in ("training", "evaluation")
        ],
        "folder": "package",
    }


def _version(run: dict[str, Any], i: int) -> dict[str, Any]:
    model, target, scheme = run["variant"].split("/")
    digest = f"{i:064x}"
    return {
        "model": f"{model}--{target}",
        "variant": run["variant"],
        "source": f"dvc:///package/{i}.efpkg?sha256={digest}",
        "decided_ms": run["end_ms"],
        "tags": {"edgeflow.sha256": digest, "edgeflow.path": f"package/{i}.efpkg", "edgeflow.scheme": scheme,
                 "edgeflow.built_ms": str(run["end_ms"])},
        "aliases": ["candidate", "released"],
    }  # fmt: skip

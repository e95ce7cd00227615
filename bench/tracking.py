"""Tracking: 1,000 small artifacts into DVC, 200 variants into MLflow, and both again with nothing new."""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgeflow import layout
from edgeflow.tracking import store

ARTIFACTS = 1_000
ARTIFACT_BYTES = 20_000
VARIANTS = 200
EPOCHS = 20
RUNS = 3
ROOT = Path(__file__).parent.parent


def main() -> None:
    """Print the figures: medians of three, each from an empty store."""
    rows: dict[str, list[float]] = {}
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory(prefix="edgeflow-bench-") as folder:
            for name, seconds in _measure(Path(folder)).items():
                rows.setdefault(name, []).append(seconds)
    for name, seconds_of in rows.items():
        spread = f"{min(seconds_of):.1f} – {max(seconds_of):.1f}"
        print(f"{name:66} {statistics.median(seconds_of):6.1f} s   ({spread}, {len(seconds_of)} runs)")


def _measure(folder: Path) -> dict[str, float]:
    os.environ["DVC_SITE_CACHE_DIR"] = str(folder / "dvc-site")
    project = folder / "project"
    _make_project(project)
    seconds = {
        f"edgeflow track, {ARTIFACTS:,} artifacts of {ARTIFACT_BYTES // 1000} kB": _seconds(project, "track"),
        "edgeflow track again": _seconds(project, "track"),
    }
    os.chdir(project)
    document = _document()
    store.put(document)  # as a build leaves it: `edgeflow track` flushes what waits
    _forget(project)
    seconds[f"edgeflow track again, {VARIANTS} variants into a new store"] = _seconds(project, "track")
    _forget(project)
    seconds |= _flushes(document, "into a new store")
    with _server(folder) as address:
        os.environ["MLFLOW_TRACKING_URI"] = address
        seconds |= _flushes(document, "to a server here")
        del os.environ["MLFLOW_TRACKING_URI"]
    os.chdir(ROOT)
    return seconds


def _flushes(document: dict[str, Any], where: str) -> dict[str, float]:
    seconds = {}
    for which in (where, f"{where}, again"):
        begin = time.perf_counter()
        with store.opened() as opened:
            store.put({**document, "build": {**document["build"], "id": "none"}, "variants": [], "versions": []})
            opened.flush()  # until MLflow is imported and connected: `edgeflow track` has DVC work meanwhile
            ready = time.perf_counter()
            store.put(document)
            flushed = opened.flush()
            end = time.perf_counter()
        if flushed.error:
            sys.exit(flushed.error)
        seconds[f"{VARIANTS} variants flushed {which}"] = end - ready
        seconds["  with the start of the process" + which.removeprefix(where) + f" ({where})"] = end - begin
    return seconds


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    """An MLflow server with sqlite, and its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    python = ROOT / layout.toolchain("track")["environment"] / "bin/python"
    options = f"--host 127.0.0.1 --port {port} --workers 1 --backend-store-uri sqlite:///server.db".split()
    command = [str(python), "-m", "mlflow", "server", *options, "--artifacts-destination", str(folder / "artifacts")]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            while not _serves(port):
                if process.poll() is not None:
                    raise RuntimeError(f"the MLflow server ended with exit code {process.returncode}")
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def _serves(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
            return True
    except OSError:
        return False


def _forget(project: Path) -> None:
    (project / layout.tracking()["store"]).unlink()


def _seconds(project: Path, *arguments: str) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-m", "edgeflow", *arguments], cwd=project, check=True, capture_output=True)
    return time.perf_counter() - begin


def _make_project(project: Path) -> None:
    """A git repository with a plan of one infeasible cell and as many artifacts as are measured."""
    (project / "config").mkdir(parents=True)
    (project / "config/config.yaml").write_text("title: Benchmark\n")
    for name in (layout.TOOLCHAINS, layout.LOCKS):
        (project / name).symlink_to(ROOT / name)
    git = ["git", "-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    (project / ".gitignore").write_text(f"{layout.TOOLCHAINS}\n")
    subprocess.run([*git, "init", "--quiet"], cwd=project, check=True)
    subprocess.run([*git, "add", "--all"], cwd=project, check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "Benchmark"], cwd=project, check=True)
    _seconds(project, "init-tracking")
    cell = {"model": "m", "target": "t", "scheme": "s", "reason": "too large"}
    plan = project / layout.plan()["plan"]
    plan.parent.mkdir()
    plan.write_text(json.dumps({"cells": [cell]}))
    for i in range(ARTIFACTS):
        path = plan.parent / f"compile/m/t/s{i}/program.bin"
        path.parent.mkdir(parents=True)
        path.write_bytes(f"{i} ".encode().ljust(ARTIFACT_BYTES, b"."))


def _document() -> dict[str, Any]:
    """What tracking/runs.py makes of a sweep: 20 models, ten schemes, every fifth variant released."""
    runs = [_run(i) for i in range(VARIANTS)]
    return {
        "schema": "edgeflow.tracking/v1",
        "experiment": "Benchmark",
        "build": {"id": "b", "name": "build", "start_ms": 1, "end_ms": 2, "params": {}, "tags": {}},
        "cells": VARIANTS,
        "variants": runs,
        "versions": [_version(run) for run in runs[::5]],
    }


def _run(i: int) -> dict[str, Any]:
    at = 1_000_000 + i
    return {
        "variant": f"model_{i % 20}/target/scheme_{i // 20}",
        "fingerprint": f"{i:016x}",
        "start_ms": at,
        "end_ms": at,
        "params": {f"parameter_{k}": "value" for k in range(20)},
        "metrics": [
            *([f"figure_{k}_s", 0.5 + k, 0, at] for k in range(14)),
            *(["ladder_accuracy", 0.9, step, at] for step in range(4)),
            *(["ladder_agreement", 0.9, step, at] for step in range(1, 4)),
            *(["train_loss", 1 / epoch, epoch, at] for epoch in range(1, EPOCHS + 1)),
        ],
        "tags": {f"edgeflow.tag_{k}": "results/some/path sha256:" + "a" * 64 for k in range(9)},
        "inputs": [
            {"name": f"data/{split}", "context": split, "path": "x.npz", "samples": 9, "sha256": "a" * 64}
            for split in ("training", "evaluation")
        ],
        "folder": "package",
    }


def _version(run: dict[str, Any]) -> dict[str, Any]:
    model, target, scheme = run["variant"].split("/")
    return {
        "model": f"{model}--{target}",
        "variant": run["variant"],
        "source": f"dvc:///package?sha256={run['fingerprint']}",
        "decided_ms": run["end_ms"],
        "tags": {"edgeflow.sha256": run["fingerprint"], "edgeflow.path": "package", "edgeflow.scheme": scheme,
                 "edgeflow.built_ms": str(run["end_ms"])},
        "aliases": ["candidate", "released"] if scheme == "scheme_0" else [],
    }  # fmt: skip


if __name__ == "__main__":
    main()

"""A small project in git and DVC, built once by real Snakemake, an MLflow server, and a proxy that spoils requests."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.workflow.conftest import Project, copy_checkout, link_toolchains, make_project

MATRIX = {
    "title": "Tiny",
    "models": ["tiny_a"],
    "targets": ["linux_x86_ort"],
    "schemes": ["fp32", "int8_static"],
    "baseline": "fp32",
    "seed": 0,
}
VARIANTS = {"tiny_a/linux_x86_ort/fp32", "tiny_a/linux_x86_ort/int8_static"}


@dataclass(frozen=True)
class Repository(Project):
    """A project folder that is a git repository."""

    variables: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of this machine's own settings decides."""
        quiet = {"DVC_SITE_CACHE_DIR": str(self.folder.parent / "dvc-site"), "GIT_CONFIG_GLOBAL": os.devnull}
        person = {
            f"GIT_{who}_{what}": "test@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        kept = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
        return {**kept, "PYTHONPATH": str(self.folder / "src"), **quiet, **person, **self.variables}

    def edgeflow(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`edgeflow <arguments>`."""
        return self.run(*arguments, check=check, module="edgeflow")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """`edgeflow <arguments>` in a process group of its own."""
        with (self.folder.parent / "said.txt").open("w") as said:
            return subprocess.Popen(
                [sys.executable, "-m", "edgeflow", *arguments],
                cwd=self.folder, env=self.environment, stdout=said, stderr=said, text=True, start_new_session=True,
            )  # fmt: skip

    def git(self, *arguments: str) -> str:
        """Standard output of `git <arguments>`."""
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            pytest.fail(f"git {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def dvc(self, *arguments: str) -> str:
        """Standard output of `dvc <arguments>`."""
        command = [str(self.folder / ".toolchains/track/bin/python"), "-m", "dvc", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    def commit(self, message: str = "A change") -> str:
        """Commit everything that git does not ignore; returns the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD").strip()

    def clone(self, folder: Path) -> Repository:
        """A fresh clone that has the toolchains already, as making them takes a while, and no results."""
        self.git("clone", "--quiet", str(self.folder), str(folder))
        link_toolchains(self.folder, folder)
        return Repository(folder, self.variables)

    def moved(self, folder: Path, **variables: str) -> Repository:
        """A copy of everything, with a remote of its own."""
        shutil.copytree(self.folder, folder, symlinks=True)
        copied = Repository(folder, {**self.variables, **variables})
        if self.remote.exists():
            shutil.copytree(self.remote, copied.remote)
        copied.set_remote(copied.remote)
        return copied

    def set_remote(self, remote: Path) -> None:
        """As `dvc remote modify --local storage url` does, which takes a second."""
        (self.folder / ".dvc/config.local").write_text(f"['remote \"storage\"']\n    url = {remote}\n")

    @property
    def remote(self) -> Path:
        """The folder that `moved` and the default of `init-tracking` push to."""
        return self.folder.with_name(f"{self.folder.name}.dvc-store")

    @property
    def cache(self) -> Path:
        """DVC's objects."""
        return self.folder / ".dvc/cache/files/md5"

    def package(self, scheme: str = "fp32") -> Path:
        """The released package of a variant."""
        (path,) = (self.folder / "results/package/tiny_a/linux_x86_ort" / scheme).glob("*.efpkg")
        return path


@pytest.fixture(scope="session")
def track_python(project: Path) -> Path:
    """The interpreter of the toolchain that has DVC and MLflow."""
    python = project / ".toolchains/track/bin/python"
    if not python.exists():
        pytest.fail("toolchain track is missing: run 'make test', which makes it")
    return python


@pytest.fixture(scope="session")
def tracked(
    tmp_path_factory: pytest.TempPathFactory, project: Path, torch_python: Path, edge_python: Path, track_python: Path
) -> Repository:
    """Built, tracked, committed and pushed. Not to be written to: take `copy`."""
    made = make_project(tmp_path_factory.mktemp("tracked") / "project", project, MATRIX)
    # any latency is good enough here, so that what is released does not depend on what else the machine does
    path = made.folder / "config/targets/linux_x86_ort.yaml"
    path.write_text("\n".join(line for line in path.read_text().splitlines() if "latency" not in line) + "\n")
    repository = Repository(made.folder)
    (repository.folder / ".gitignore").write_text(".toolchains/\n.snakemake/\n__pycache__/\nresults/\n")
    repository.git("init", "--quiet", "--initial-branch", "main")
    repository.commit("The project")
    repository.edgeflow("init-tracking")
    repository.commit("Track artifacts")
    repository.run("track")
    repository.commit("Results")
    repository.edgeflow("push")
    return repository


@pytest.fixture
def copy(tracked: Repository, tmp_path: Path) -> Repository:
    """A tracked project of this test's own."""
    return tracked.moved(tmp_path / "project")


@pytest.fixture(scope="session")
def empty(project: Path, tmp_path_factory: pytest.TempPathFactory, track_python: Path) -> Repository:
    """A project in git and DVC without results. Not to be written to: take `moved`."""
    made = Repository(copy_checkout(tmp_path_factory.mktemp("empty") / "project", project).folder)
    (made.folder / ".gitignore").write_text(".toolchains/\n.snakemake/\n__pycache__/\n")
    made.git("init", "--quiet", "--initial-branch", "main")
    made.edgeflow("init-tracking")
    made.commit()
    return made


@pytest.fixture
def fake(empty: Repository, tmp_path: Path) -> Callable[[int], Repository]:
    """Make a project whose results are a plan of one infeasible cell and as many small files as asked for."""

    def make(count: int) -> Repository:
        made = empty.moved(tmp_path / "fake")
        write_results(made.folder, count)
        return made

    return make


def write_results(folder: Path, count: int) -> None:
    """A plan of one infeasible cell with its record, and `count` artifacts of 20 kB."""
    cell = {"model": "m", "target": "t", "scheme": "s", "reason": "too large"}
    (folder / "results").mkdir()
    (folder / "results/plan.json").write_text(json.dumps({"cells": [cell]}))
    record = {"status": "infeasible", "package": None, "reasons": ["too large"]}
    path = folder / "results/package/m/t/s/package.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record))
    for i in range(count):
        path = folder / f"results/compile/m/t/s{i}/program.bin"
        path.parent.mkdir(parents=True)
        path.write_bytes(f"program {i} ".encode() * 2000)


# --- MLflow ----------------------------------------------------------------------------------------------------------


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@dataclass(frozen=True)
class Server:
    """A running MLflow server."""

    port: int
    folder: Path

    @property
    def uri(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"


def answers(port: int) -> bool:
    """True when somebody serves HTTP there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, track_python: Path) -> Iterator[Server]:
    """An MLflow server with sqlite and local artifacts, for all tests: each has an experiment of its own."""
    folder = tmp_path_factory.mktemp("mlflow")
    port = free_port()
    options = ("--host", "127.0.0.1", "--port", str(port), "--workers", "1")
    stores = ("--backend-store-uri", "sqlite:///mlflow.db", "--artifacts-destination", str(folder / "artifacts"))
    variables = {"MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [str(track_python), "-m", "mlflow", "server", *options, *stores],
            cwd=folder, env={**os.environ, **variables}, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        while not answers(port):
            try:
                process.wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                continue
            pytest.fail("the MLflow server ended: " + (folder / "log.txt").read_text())
        yield Server(port, folder)
    finally:
        os.killpg(process.pid, 15)
        process.wait()


class Proxy(ThreadingHTTPServer):
    """Hands requests on to a server; after `good` of them it does what `mode` says."""

    daemon_threads = True

    def __init__(self, server: Server) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.server = server
        self.mode = ""  # "", "500", "hang", or "lose": carried out, and the answer never comes
        self.good = 0
        self.spoiled = threading.Event()  # set when a request was not simply handed on
        self.over = threading.Event()  # ends those that hang

    @property
    def uri(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that were killed are no news."""


class _Handler(BaseHTTPRequestHandler):
    server: Proxy

    def _handle(self) -> None:
        proxy = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        proxy.good -= 1
        mode = proxy.mode if proxy.good < 0 else ""
        if mode == "lose" and self.command == "GET":
            mode = ""
        if mode == "lose":
            self._forward(body)
            proxy.mode = ""  # once
        elif not mode:
            self._answer(*self._forward(body))
            return
        proxy.spoiled.set()
        if mode == "500":
            self._answer(500, b'{"error_code": "INTERNAL_ERROR", "message": "disk quota exceeded"}')
        elif mode == "hang":
            proxy.over.wait()
        self.close_connection = True

    do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = _handle  # noqa: N815 - names that http.server calls

    def _forward(self, body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server.port)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        connection.request(self.command, self.path, body, {**headers, "Host": f"127.0.0.1:{self.server.server.port}"})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """A proxy before the MLflow server."""
    before = Proxy(server)
    thread = threading.Thread(target=before.serve_forever, daemon=True)
    thread.start()
    yield before
    before.over.set()
    before.shutdown()
    before.server_close()


_READ = """
import json, sys
from mlflow import MlflowClient

def read(uri, name):
    client = MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name(name)
    every = client.search_runs([experiment.experiment_id], max_results=1000) if experiment else []
    names = {run.info.run_id: run.info.run_name for run in every}
    runs = [describe(client, run, names) for run in every]
    versions = [
        {"model": v.name, "version": v.version, "source": v.source, "tags": v.tags,
         "run": names.get(v.run_id, "other"), "aliases": sorted(client.get_model_version(v.name, v.version).aliases)}
        for v in client.search_model_versions()
    ]
    runs.sort(key=lambda run: run["name"])
    versions.sort(key=lambda version: version["model"])
    return {"runs": runs, "versions": versions}

def tags(run, names):
    kept = {k: v for k, v in run.data.tags.items() if k not in ("mlflow.parentRunId", "mlflow.user")}
    parent = run.data.tags.get("mlflow.parentRunId")
    return {**kept, **({"parent": names.get(parent, "lost")} if parent else {})}

def describe(client, run, names):
    return {
        "name": run.info.run_name, "status": run.info.status, "start": run.info.start_time, "end": run.info.end_time,
        "params": run.data.params, "tags": tags(run, names), "metrics": run.data.metrics,
        "history": {k: [[m.step, m.value, m.timestamp] for m in client.get_metric_history(run.info.run_id, k)]
                    for k in run.data.metrics},
        "inputs": [[i.dataset.name, i.dataset.digest, i.tags[0].value] for i in run.inputs.dataset_inputs],
        "files": [f.path for f in client.list_artifacts(run.info.run_id, "package")],
    }

for line in sys.stdin:
    print(json.dumps(read(*json.loads(line))), flush=True)
"""


@pytest.fixture(scope="session")
def read_store(
    track_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., dict[str, list[dict[str, Any]]]]]:
    """Everything that MLflow has of an experiment, with no id that it chose itself."""
    log = tmp_path_factory.mktemp("reader") / "log.txt"
    with log.open("w") as said, subprocess.Popen(
        [str(track_python), "-c", _READ], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
    ) as process:  # fmt: skip
        stdin, stdout = process.stdin, process.stdout
        assert stdin
        assert stdout

        def read(uri: str, experiment: str = "Tiny") -> dict[str, list[dict[str, Any]]]:
            if uri.startswith("sqlite:"):  # MLflow keeps stores by address, and a test may have made a new file there
                copied = log.parent / f"{uuid.uuid4()}.db"
                shutil.copyfile(uri.removeprefix("sqlite:///"), copied)
                uri = f"sqlite:///{copied}"
            stdin.write(json.dumps([uri, experiment]) + "\n")
            stdin.flush()
            line = stdout.readline()
            assert line, log.read_text()
            stored: dict[str, list[dict[str, Any]]] = json.loads(line)
            return stored

        yield read
        stdin.close()

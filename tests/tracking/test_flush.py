"""Metrics in MLflow: what is there, once; again, changed, elsewhere; and through everything that a server can do."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import sqlite3
import subprocess
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.tracking.conftest import VARIANTS, Proxy, Repository, Server, write_results
from tests.tracking.documents import document

from edgeflow import failures, files
from edgeflow.config import read_matrix
from edgeflow.tracking import secrets, store
from edgeflow.types.jobs import Failure, JobCost

pytestmark = [pytest.mark.tracking, pytest.mark.toolchain, pytest.mark.xdist_group("tracking")]

Read = Callable[..., dict[str, list[dict[str, Any]]]]


def own_store(project: Repository) -> str:
    return f"sqlite:///{project.folder}/mlflow.db"


def by_name(content: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    assert len({run["name"] for run in content["runs"]}) == len(content["runs"]), "a run is there twice"
    return {run["name"]: run for run in content["runs"]}


def edit(project: Repository) -> None:
    """Make the work tree differ from the commit, and no job run."""
    path = project.folder / "config/schemes/fp32.yaml"
    path.write_text(path.read_text() + "# an edit\n")


# --- what is there ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shown(tracked: Repository, read_store: Read) -> dict[str, list[dict[str, Any]]]:
    return read_store(own_store(tracked))


def test_the_experiment_has_the_title_of_the_run(copy: Repository, read_store: Read) -> None:
    (copy.folder / "sweep.yaml").write_text("title: Sweep\n")
    copy.run("track", "--configfile", "sweep.yaml")
    assert set(by_name(read_store(own_store(copy), "Sweep"))) > VARIANTS
    copy.edgeflow("track", "--configfile", "sweep.yaml", "--config", "title=By hand")
    assert set(by_name(read_store(own_store(copy), "By hand"))) > VARIANTS


def test_a_build_has_a_run_per_variant(tracked: Repository, shown: dict[str, list[dict[str, Any]]]) -> None:
    runs = by_name(shown)
    (name,) = set(runs) - VARIANTS
    build, commit = runs[name], tracked.git("rev-list", "HEAD").split()[1]  # before the pointers were committed
    assert (build["params"]["commit"], build["params"]["dirty"]) == (commit, "False")
    assert build["params"]["schemes"] == "fp32, int8_static"
    assert build["params"]["host"]
    assert build["tags"]["edgeflow.finished"] == "2/2"
    assert {runs[variant]["tags"]["parent"] for variant in VARIANTS} == {name}
    assert {run["status"] for run in shown["runs"]} == {"FINISHED"}


def test_a_variant_has_parameters_figures_curves_and_links(
    tracked: Repository, shown: dict[str, list[dict[str, Any]]]
) -> None:
    run = by_name(shown)["tiny_a/linux_x86_ort/fp32"]
    expected = {"model": "tiny_a", "target": "linux_x86_ort", "scheme": "fp32", "dataset": "digits_1x49x10",
                "epochs": "2", "weights": "float32", "seed": "0", "runtime": "onnxruntime"}  # fmt: skip
    assert expected.items() <= run["params"].items()
    measured = json.loads((tracked.folder / "results/measure/tiny_a/linux_x86_ort/fp32/measurement.json").read_text())[
        "measurements"
    ]
    assert {m["metric"]: m["value"] for m in measured}.items() <= run["metrics"].items()
    training = json.loads((tracked.folder / "results/train/tiny_a/base/train.json").read_text())
    losses = [[step, value] for step, value, _ in run["history"]["train_loss"]]
    assert losses == [[epoch, value] for epoch, value in enumerate(training["curves"]["train_loss"], 1)]
    assert len(losses) == 2
    # convert and optimize change nothing of fp32: they are proved on golden inputs, and evaluate nothing
    assert [step for step, _, _ in run["history"]["ladder_accuracy"]] == [0, 3]
    digest = files.sha256_file(tracked.package())
    tags = run["tags"]
    assert (tags["edgeflow.package.sha256"], tags["edgeflow.verdict"]) == (digest, "pass")
    assert tags["edgeflow.package.path"] == str(tracked.package().relative_to(tracked.folder))
    path, _, checkpoint = tags["edgeflow.artifact.checkpoint"].partition(" sha256:")
    assert files.sha256_file(tracked.folder / path) == checkpoint
    assert len(tags["edgeflow.fingerprint"]) == 16
    assert tags["edgeflow.evidence"] in ("device", "host")
    assert all(m["metric"] in tags[f"edgeflow.evidence.{m['evidence']}"].split(", ") for m in measured)
    assert run["files"] == []  # a link, no copy


def test_dataset_inputs_have_digests(tracked: Repository, shown: dict[str, list[dict[str, Any]]]) -> None:
    splits = json.loads((tracked.folder / "results/prepare/digits_1x49x10/dataset.json").read_text())["splits"]
    runs = by_name(shown)
    for scheme, expected in (
        ("fp32", ["train", "evaluation"]),
        ("int8_static", ["train", "calibration", "evaluation"]),
    ):
        inputs = runs[f"tiny_a/linux_x86_ort/{scheme}"]["inputs"]
        assert {name.split("/")[1] for name, _, _ in inputs} == set(expected)
        for name, digest, _ in inputs:
            assert digest == splits[name.split("/")[1]]["sha256"][:32]
    assert ["digits_1x49x10/train", splits["train"]["sha256"][:32], "training"] in inputs


def test_released_packages_are_versions(tracked: Repository, shown: dict[str, list[dict[str, Any]]]) -> None:
    decision = json.loads((tracked.folder / "results/report/decision.json").read_text())[0]
    released = {v["tags"]["edgeflow.scheme"]: v for v in shown["versions"]}
    assert {v["model"] for v in shown["versions"]} == {"tiny_a--linux_x86_ort"}
    version = released[decision["ship"]]
    digest = files.sha256_file(tracked.package(decision["ship"]))
    assert version["aliases"] == ["candidate", "released"]  # of a clean commit
    assert (version["tags"]["edgeflow.sha256"], version["tags"]["edgeflow.verdict"]) == (digest, "pass")
    assert version["source"].endswith(digest)
    assert [v["aliases"] for scheme, v in released.items() if scheme != decision["ship"]] in ([], [[]])


# --- again, changed, elsewhere ---------------------------------------------------------------------------------------


def test_flushing_again_adds_nothing_and_a_new_store_gets_the_same(copy: Repository, read_store: Read) -> None:
    before = read_store(own_store(copy))
    assert "0 runs added, 0 replaced, 2 as they were, 0 versions added" in copy.edgeflow("track").stdout
    assert read_store(own_store(copy)) == before
    (copy.folder / "mlflow.db").unlink()
    copy.edgeflow("track")
    assert read_store(own_store(copy)) == before


def test_a_clone_and_a_later_commit_flush_nothing_twice(copy: Repository, tmp_path: Path, read_store: Read) -> None:
    before = read_store(own_store(copy))
    (copy.folder / "notes.txt").write_text("nothing that a stage reads")
    copy.commit("Notes")
    assert "0 runs added, 0 replaced" in copy.edgeflow("track").stdout
    clone = copy.clone(tmp_path / "clone")
    clone.set_remote(copy.remote)
    clone.edgeflow("pull")
    clone = Repository(clone.folder, {"MLFLOW_TRACKING_URI": own_store(copy)})
    assert "0 runs added, 0 replaced, 2 as they were" in clone.edgeflow("track").stdout
    assert read_store(own_store(copy)) == before


def test_what_changed_is_replaced_and_an_edited_work_tree_releases_nothing(copy: Repository, read_store: Read) -> None:
    path = copy.folder / "results/measure/tiny_a/linux_x86_ort/fp32/measurement.json"
    content = json.loads(path.read_text())
    for measurement in content["measurements"]:
        measurement["value"] = 0.25 if measurement["metric"] == "accuracy" else measurement["value"]
    path.write_text(json.dumps(content))
    edit(copy)
    before = by_name(read_store(own_store(copy)))
    for changes in ("2 runs added, 0 replaced, 0 as they were", "0 runs added, 0 replaced, 2 as they were"):
        assert changes in copy.edgeflow("track").stdout  # a build of its own: it is not of the commit alone
    content["measurements"][0]["value"] += 0.001
    path.write_text(json.dumps(content))
    assert "0 runs added, 1 replaced, 1 as they were" in copy.edgeflow("track").stdout
    after = read_store(own_store(copy))
    builds = [run for run in after["runs"] if run["name"].startswith("build")]
    assert sorted(run["params"]["dirty"] for run in builds) == [
        "False",
        "True",
    ]  # of one name: in any order
    assert len(after["runs"]) == len(before) + 3


def test_packages_are_copied_when_asked(copy: Repository, read_store: Read) -> None:
    (copy.folder / "mlflow.db").unlink()  # an experiment keeps the folder of its copies, here of another project
    copy.edgeflow("track", "--copy")
    run = by_name(read_store(own_store(copy)))["tiny_a/linux_x86_ort/fp32"]
    assert sorted(run["files"]) == ["package/package.json", f"package/{copy.package().name}"]
    copied = list((copy.folder / "mlartifacts").rglob(copy.package().name))
    assert [path.read_bytes() for path in copied] == [copy.package().read_bytes()]


def test_packages_are_copied_once_the_server_is_there(copy: Repository, server: Server, read_store: Read) -> None:
    experiment = f"copies {uuid.uuid4()}"
    away = Repository(copy.folder, {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
                                    "MLFLOW_EXPERIMENT_NAME": experiment})  # fmt: skip
    away.edgeflow("track", "--copy")
    away.edgeflow("track")
    back = Repository(copy.folder, {"MLFLOW_TRACKING_URI": server.uri, "MLFLOW_EXPERIMENT_NAME": experiment})
    back.edgeflow("track")
    run = by_name(read_store(server.uri, experiment))["tiny_a/linux_x86_ort/fp32"]
    assert sorted(run["files"]) == ["package/package.json", f"package/{copy.package().name}"]


def test_what_was_built_since_is_not_copied_into_an_older_run(own: Flusher, tmp_path: Path, read_store: Read) -> None:
    content = document(2)
    for variant, text in zip(content["variants"], ("as it was", "built again"), strict=True):
        folder = tmp_path / variant["variant"].replace("/", "-")
        folder.mkdir()
        (folder / "package.json").write_text(text)
        variant |= {"folder": str(folder), "record_sha256": hashlib.sha256(b"as it was").hexdigest()}
        variant["tags"] = {}
    assert "error" not in own.flush({**content, "copy": True})
    runs = by_name(read_store(f"sqlite:///{tmp_path}/mlflow.db", own.experiment))
    files = [runs[variant["variant"]]["files"] for variant in content["variants"]]
    assert files == [["package/package.json"], []]


def test_a_document_that_is_put_while_another_is_flushed_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store.put(document(1))

    def ask(_self: store.Store, _request: object) -> dict[str, int]:
        if len(asked) < 2:
            store.put(document(2 + len(asked)))
        asked.append(len(json.loads(store.waiting()[0].read_text())["variants"]))
        return {"created": 1}

    asked: list[int] = []
    monkeypatch.setattr(store.Store, "_ask", ask)
    with subprocess.Popen(["true"], text=True) as process:
        opened = store.Store(process, "sqlite:///mlflow.db")
        for expected in (2, 3, 3):
            opened.flush()
            assert asked[-1] == expected
    assert store.waiting() == []


def test_two_that_make_the_store_at_once_spoil_nothing(
    track_python: Path, project: Path, tmp_path: Path, read_store: Read
) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    folders = [tmp_path / "one", tmp_path / "other"]
    script = project / "src/edgeflow/tracking/flush.py"
    for folder in folders:
        folder.mkdir()
    both = [Flusher(track_python, script, folder, uri, lock=tmp_path / "store.lock") for folder in folders]
    for flusher in both:
        flusher.ask(document(2))
    for flusher in both:
        assert "error" not in flusher.answer()
        assert_complete(read_store(uri, flusher.experiment), document(2))
        flusher.close()


def test_an_unreachable_server_delays_and_fails_nothing(copy: Repository, server: Server, read_store: Read) -> None:
    experiment = f"unreachable {uuid.uuid4()}"
    away = Repository(copy.folder, {"MLFLOW_TRACKING_URI": "http://me:secret@127.0.0.1:9",
                                    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
                                    "MLFLOW_EXPERIMENT_NAME": experiment})  # fmt: skip
    done = away.edgeflow("track")
    assert "MLflow (http://127.0.0.1:9) did not take everything" in done.stdout
    assert "secret" not in done.stdout + done.stderr
    # another build comes before the server is back
    edit(copy)
    path = copy.folder / "results/judge/tiny_a/linux_x86_ort/fp32/verdict.json"
    path.write_text(path.read_text().replace('"reasons": []', '"reasons": ["a remark"]'))
    away.edgeflow("track")
    assert len(list((copy.folder / ".tracking/spool").glob("*.json"))) == 2
    back = Repository(copy.folder, {"MLFLOW_TRACKING_URI": server.uri, "MLFLOW_EXPERIMENT_NAME": experiment})
    assert "4 runs added" in back.edgeflow("track").stdout
    assert len(read_store(server.uri, experiment)["runs"]) == 6
    assert list((copy.folder / ".tracking/spool").glob("*.json")) == []
    assert "0 runs added, 0 replaced" in back.edgeflow("track").stdout


# --- a server that misbehaves ----------------------------------------------------------------------------------------


class Flusher:
    """The process that flushes: one document after the other, to one address."""

    def __init__(self, python: Path, script: Path, folder: Path, uri: str, lock: Path = Path("store.lock")) -> None:
        self._log = (folder / "flush.txt").open("w")
        self.path = folder / "document.json"
        self.experiment = f"Documents {uuid.uuid4()}"
        self._start = ([str(python), "-P", str(script)], folder)
        self._where = {
            "uri": uri,
            "copies": "",
            "lock": str(lock),
            "new": f".mlflow.db.{folder.name}.new",
            "secrets": [],
        }
        self.restart()

    def restart(self, patience_s: int = 2) -> None:
        """A new process, as the next command has it; it waits so long for an answer."""
        command, folder = self._start
        patience = {"MLFLOW_HTTP_REQUEST_TIMEOUT": str(patience_s), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
                    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0", "MLFLOW_DISABLE_TELEMETRY": "true"}  # fmt: skip
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        self.process = subprocess.Popen(
            command, cwd=folder, env={**kept, **patience},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
        )  # fmt: skip
        assert self.process.stdin
        self.process.stdin.write(json.dumps(self._where) + "\n")
        self.process.stdin.flush()

    def use(self, uri: str) -> None:
        """A new process, for another address."""
        self._where["uri"] = uri
        self.restart()

    def next(self) -> None:
        """The next command's process, for a server that is well: on a busy machine it may take its time."""
        self.end()
        self.restart(patience_s=60)

    def ask(self, content: dict[str, Any]) -> None:
        """Begin to flush."""
        self.path.write_text(json.dumps({**content, "experiment": self.experiment}))
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"document": str(self.path)}) + "\n")
        self.process.stdin.flush()

    def flush(self, content: dict[str, Any]) -> dict[str, Any]:
        """Flush to the end."""
        self.ask(content)
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """What came of it."""
        assert self.process.stdout
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def end(self, signal: int = 9) -> None:
        """As kill -9 does."""
        self.process.send_signal(signal)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream
            stream.close()

    def close(self) -> None:
        """End for good."""
        self.end()
        self._log.close()


@pytest.fixture
def flusher(track_python: Path, project: Path, tmp_path: Path, proxy: Proxy) -> Iterator[Flusher]:
    """Flushes to the server through the proxy."""
    made = Flusher(track_python, project / "src/edgeflow/tracking/flush.py", tmp_path, proxy.uri)
    yield made
    made.close()


@pytest.fixture
def own(track_python: Path, project: Path, tmp_path: Path) -> Iterator[Flusher]:
    """Flushes into a store of its own."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    made = Flusher(track_python, project / "src/edgeflow/tracking/flush.py", tmp_path, uri)
    yield made
    made.close()


def assert_complete(stored: dict[str, list[dict[str, Any]]], content: dict[str, Any]) -> None:
    """Nothing lost, nothing twice."""
    runs = by_name(stored)
    assert set(runs) == {content["build"]["name"], *(v["variant"] for v in content["variants"])}
    for variant in content["variants"]:
        run = runs[variant["variant"]]
        history = {(name, step, value) for name, points in run["history"].items() for step, value, _ in points}
        assert history == {(name, step, value) for name, value, step, _ in variant["metrics"]}
        assert sum(map(len, run["history"].values())) == len(variant["metrics"])
        assert run["params"] == variant["params"]
        assert len(run["inputs"]) == len(variant["inputs"])
        assert run["status"] == "FINISHED"
    digests = {v["tags"]["edgeflow.sha256"] for v in content["versions"]}
    mine = [v for v in stored["versions"] if v["tags"].get("edgeflow.sha256") in digests and "--target" in v["model"]]
    assert len(mine) == len(digests)
    for version in content["versions"]:
        assert version["source"] in [v["source"] for v in mine]


@pytest.mark.parametrize(("mode", "good"), [("500", 2), ("500", 9), ("hang", 9)])
def test_a_server_that_fails_is_caught_up_with(
    flusher: Flusher, proxy: Proxy, server: Server, read_store: Read, mode: str, good: int
) -> None:
    content = document(4)
    proxy.mode, proxy.good = mode, good
    assert "error" in flusher.flush(content)
    assert proxy.spoiled.is_set()
    proxy.mode = ""
    flusher.next()
    assert "error" not in flusher.flush(content)
    assert_complete(read_store(server.uri, flusher.experiment), content)
    assert flusher.flush(content) == {"created": 0, "replaced": 0, "kept": 4, "versions": 0}


@pytest.mark.parametrize("good", [1, 3, 6, 9, 14])
def test_a_request_whose_answer_is_lost_leaves_nothing_twice(
    flusher: Flusher, proxy: Proxy, server: Server, read_store: Read, good: int
) -> None:
    content = document(4)
    proxy.mode, proxy.good = "lose", good
    if "error" in flusher.flush(content):
        flusher.next()
        assert "error" not in flusher.flush(content)
    assert proxy.spoiled.is_set()
    assert_complete(read_store(server.uri, flusher.experiment), content)


@pytest.mark.parametrize("good", [2, 14])
def test_a_killed_flush_is_completed_by_the_next(
    flusher: Flusher, proxy: Proxy, server: Server, read_store: Read, good: int
) -> None:
    content = document(4)
    proxy.mode, proxy.good = "hang", good
    flusher.ask(content)
    assert proxy.spoiled.wait(60)
    proxy.mode = ""
    flusher.next()
    assert "error" not in flusher.flush(content)
    assert_complete(read_store(server.uri, flusher.experiment), content)


def test_a_killed_track_flushes_with_the_next(copy: Repository, proxy: Proxy, server: Server, read_store: Read) -> None:
    variables = {"MLFLOW_TRACKING_URI": proxy.uri, "MLFLOW_EXPERIMENT_NAME": f"killed {uuid.uuid4()}"}
    project = Repository(copy.folder, variables)
    proxy.mode, proxy.good = "hang", 6
    process = project.start("track")
    assert proxy.spoiled.wait(60)
    os.killpg(process.pid, 9)
    process.wait()
    assert len(list((copy.folder / ".tracking/spool").glob("*.json"))) == 1
    proxy.mode = ""
    project.edgeflow("track")
    runs = by_name(read_store(server.uri, variables["MLFLOW_EXPERIMENT_NAME"]))
    assert set(runs) > VARIANTS
    assert len(runs) == 3


def test_a_killed_flush_into_the_own_store_is_completed_by_the_next(own: Flusher, read_store: Read) -> None:
    content, path = document(30), own.path.with_name("mlflow.db")
    own.ask(content)
    while not path.exists():
        assert own.process.poll() is None
    own.end()  # while it connects to the new store, or writes the first runs
    own.restart()
    assert "error" not in own.flush(content)
    assert_complete(read_store(f"sqlite:///{path}", own.experiment), content)


def test_a_changed_variant_takes_the_place_of_the_old_one(own: Flusher, read_store: Read) -> None:
    before = document(4)
    own.flush(before)
    after = {**before, "variants": [before["variants"][0], *document(4, accuracy=0.8)["variants"][1:]]}
    assert own.flush(after) == {"created": 0, "replaced": 3, "kept": 1, "versions": 0}
    stored = read_store(f"sqlite:///{own.path.with_name('mlflow.db')}", own.experiment)
    assert_complete(stored, after)
    runs = {version["run"] for version in stored["versions"]}
    assert runs == {version["variant"] for version in after["versions"]}  # and not runs that were replaced


def test_the_run_of_a_build_begins_with_its_first_variant(own: Flusher, read_store: Read) -> None:
    """While a build runs the first variant to end need not be the first that began; a new store knows only the end."""
    whole = document(4)
    nothing = {**whole, "variants": [], "versions": [], "build": {**whole["build"], "start_ms": 0, "end_ms": 0}}
    late = {**nothing, "variants": whole["variants"][2:], "build": {**whole["build"], "start_ms": 2002}}
    for content in (nothing, late, whole):
        assert "error" not in own.flush(content)
    stored = read_store(f"sqlite:///{own.path.with_name('mlflow.db')}", own.experiment)
    assert_complete(stored, whole)
    build = by_name(stored)[whole["build"]["name"]]
    assert (build["start"], build["end"]) == (1000, 9000)
    assert {run["tags"].get("parent") for run in stored["runs"]} == {build["name"], None}


def test_an_alias_follows_the_report_also_to_a_package_that_was_built_before(own: Flusher, read_store: Read) -> None:
    content = document(20)
    first, second = (v for v in content["versions"] if v["model"] == "m0--target")
    for shipped, other, decided_ms in ((second, first, 4000), (first, second, 5000)):
        other["aliases"], shipped["aliases"] = [], ["candidate"]
        for version in (first, second):
            version["decided_ms"] = decided_ms
        own.flush(content)
    versions = read_store(f"sqlite:///{own.path.with_name('mlflow.db')}", own.experiment)["versions"]
    aliases = {v["tags"]["edgeflow.sha256"]: v["aliases"] for v in versions if v["model"] == "m0--target"}
    assert aliases == {first["tags"]["edgeflow.sha256"]: ["candidate"], second["tags"]["edgeflow.sha256"]: []}


def test_a_document_that_cannot_be_used_holds_up_no_other(own: Flusher) -> None:
    broken = {**document(1), "build": {}}
    assert "remove it if another edgeflow wrote it" in own.flush(broken)["error"]
    assert own.flush(document(1)) == {"created": 1, "replaced": 0, "kept": 0, "versions": 1}


def test_an_older_build_does_not_take_an_alias_back(own: Flusher, read_store: Read) -> None:
    newer, older = document(1), document(1)
    tags = {**older["versions"][0]["tags"], "edgeflow.sha256": "f" * 64, "edgeflow.built_ms": "1"}
    older["versions"][0] |= {"decided_ms": 1, "tags": tags}
    for content in (newer, older):
        own.flush(content)
    versions = read_store(f"sqlite:///{own.path.with_name('mlflow.db')}", own.experiment)["versions"]
    aliases = {v["tags"]["edgeflow.built_ms"]: v["aliases"] for v in versions}
    assert aliases == {"3000": ["candidate", "released"], "1": []}


# --- secrets, and stores that are not ours ---------------------------------------------------------------------------

SECRET = "hunter2/@:x"
SPELLED = "hunter2%2F%40%3Ax"


def command_lines() -> list[str]:
    """The arguments of every process of this host, as `ps` shows them to everybody."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return lines


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="arguments of processes are read in /proc")
def test_a_password_is_seen_nowhere(empty: Repository, tmp_path: Path) -> None:
    """Not among the arguments of a process, in what is printed, in the log, in what waits, and in the results."""
    waits = socket.create_server(("127.0.0.1", 0))  # takes a connection, and then says nothing
    port = waits.getsockname()[1]
    made = empty.moved(
        tmp_path / "project",
        MLFLOW_TRACKING_URI=f"http://me:{SPELLED}@127.0.0.1:{port}/?token={SPELLED}",
        MLFLOW_TRACKING_PASSWORD=f"own {SECRET}",
        MLFLOW_HTTP_REQUEST_TIMEOUT="2",
        MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
    )
    write_results(made.folder, 1)
    process = made.start("track")
    connection, _ = waits.accept()
    seen = command_lines()
    assert any("flush.py" in line for line in seen)
    assert [line for line in seen if SPELLED in line or SECRET in line] == []
    connection.close()
    waits.close()
    assert process.wait() == 0, (tmp_path / "said.txt").read_text()
    said = (tmp_path / "said.txt").read_text()
    assert f"MLflow (http://127.0.0.1:{port}/?token=***) did not take everything" in said
    kept = [tmp_path / "said.txt", *(made.folder / ".tracking").rglob("*"), *(made.folder / "results").rglob("*")]
    texts = {path: path.read_bytes() for path in kept if path.is_file()}
    assert [path for path, text in texts.items() if b"hunter2" in text] == []


def test_what_is_printed_of_an_address_has_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"postgresql://me:{SPELLED}@db:5432/mlflow?sslpassword=other&sslmode=require"
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "a-token")
    text = f"cannot open {uri}: {SECRET!r}, other or a-token is wrong; nor ssh://you:hunter3@host/path"
    shown = secrets.redacted(text, uri)
    assert shown == (
        "cannot open postgresql://db:5432/mlflow?sslpassword=***&sslmode=require: '***', *** or *** is wrong; nor "
        "ssh://host/path"
    )
    assert secrets.redacted("no http://me:p[w@host?", "http://me:p[w@host?key=1") == "no http://host?"
    assert secrets.redacted("sqlite:////home/me/it's here/mlflow.db") == "sqlite:////home/me/it's here/mlflow.db"


def test_the_log_of_the_flush_has_no_password(track_python: Path, project: Path, tmp_path: Path) -> None:
    where = {"uri": "sqlite:///mlflow.db", "copies": "", "lock": "lock", "new": ".new", "secrets": ["JSONDecodeError"]}
    done = subprocess.run(
        [str(track_python), "-P", str(project / "src/edgeflow/tracking/flush.py")],
        input=json.dumps(where) + "\nno JSON\n",  # it ends with a traceback, whose last word stands for a password
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "Traceback" in done.stderr
    assert ".***: " in done.stderr
    assert "JSONDecodeError" not in done.stderr


def test_a_store_of_an_unknown_schema_is_left_alone(own: Flusher, tmp_path: Path) -> None:
    assert "error" not in own.flush(document(1))
    path = tmp_path / "mlflow.db"
    with contextlib.closing(sqlite3.connect(path)) as store_of_tomorrow, store_of_tomorrow:
        store_of_tomorrow.execute("UPDATE alembic_version SET version_num = 'fedcba987654'")
        store_of_tomorrow.execute("DROP TABLE webhooks")  # which MLflow would make again, and go on
    before = path.read_bytes()
    own.next()
    error = own.flush(document(2))["error"]
    assert "has the schema 'fedcba987654', which MLflow" in error
    assert "nothing was changed in it. Use another: MLFLOW_TRACKING_URI names it, or move the file away" in error
    assert len(error.splitlines()) == 1
    assert path.read_bytes() == before
    path.rename(tmp_path / "other.db")
    assert "error" not in own.flush(document(2)), "the next step works, without another process"


def test_a_database_that_is_none_of_mlflow_is_left_alone(own: Flusher, tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    own.end()
    with contextlib.closing(sqlite3.connect(path)) as accounts, accounts:
        accounts.execute("CREATE TABLE accounts (name TEXT)")
    before = path.read_bytes()
    own.restart()
    assert "the database is not of MLflow; nothing was changed in it" in own.flush(document(1))["error"]
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("http://me:p[ss@host", "MLFLOW_TRACKING_URI is no address (Invalid IPv6 URL): write [ and ] in a password as"),
        ("mssql+pymssql://me@host/mlflow", "ModuleNotFoundError: No module named 'pymssql'"),
    ],
)
def test_an_address_that_cannot_be_used_is_said(own: Flusher, uri: str, why: str) -> None:
    own.end()
    own.use(uri)
    assert why in own.flush(document(1))["error"]
    assert why in own.flush(document(1))["error"], "it waits for the next document"


def test_a_server_does_not_choose_a_folder_of_this_machine(
    flusher: Flusher, server: Server, read_store: Read, tmp_path: Path
) -> None:
    """What MLflow's client would write to, as it writes to any artifact store that a server names."""
    there = tmp_path / "chosen by the server"
    content = {"name": flusher.experiment, "artifact_location": there.as_uri()}
    address = f"{server.uri}/api/2.0/mlflow/experiments/create"
    request = urllib.request.Request(address, json.dumps(content).encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request).close()
    package = tmp_path / "package"
    package.mkdir()
    (package / "package.json").write_text("{}")
    given = document(1)
    given["variants"][0].update(folder=str(package), record_sha256=files.sha256_file(package / "package.json"))
    given["variants"][0]["tags"].pop("edgeflow.package.sha256", None)
    flusher.next()
    error = flusher.flush({**given, "versions": [], "copy": True})["error"]
    assert "a folder of this machine: nothing is copied there" in error
    assert not there.exists()


def test_a_failed_variant_is_a_failed_run_until_it_is_built(
    fake: Callable[[int], Repository], read_store: Read
) -> None:
    project = fake(1)
    title = read_matrix(project.folder)["title"]
    refused = {"model": "m", "target": "t", "scheme": "s", "reason": "too large"}
    broken = {"model": "bad", "target": "t", "scheme": "s", "runtime": "r", "platform": "b"}
    (project.folder / "results/plan.json").write_text(json.dumps({"cells": [refused, broken]}))
    record = project.folder / "results/report/failures.json"
    log = "results/logs/train/bad/base.log"
    failure = Failure("train", ("bad", "base"), "net.py:3: RuntimeError: no", log, ("bad/t/s",))
    failures.write(record, [failure])
    cost = JobCost("train", "torch", "warm", "2026-01-01T00:00:10Z", 2.5, 1.0, 1, 1)
    files.write_json(project.folder / "results/jobs/train/bad/base/job.json", cost)
    for _ in range(2):  # again adds nothing
        project.edgeflow("track")
        runs = by_name(read_store(own_store(project), title))
        run = runs["bad/t/s"]
        assert run["status"] == "FAILED"
        assert run["tags"]["edgeflow.release"] == "failed"
        assert run["tags"]["edgeflow.failed_stage"] == "train"
        assert run["tags"]["edgeflow.log"] == log
        assert "net.py:3: RuntimeError: no" in run["tags"]["edgeflow.reasons"]
        assert (run["start"], run["end"], run["metrics"]) == (1767225610000, 1767225612500, {})
        assert runs["m/t/s"]["status"] == "FINISHED"
        (build,) = (run for name, run in runs.items() if name.startswith("build"))
        assert (build["tags"]["edgeflow.finished"], build["tags"]["edgeflow.failed"]) == ("1/2", "1")
    failures.write(record, [replace(failure, reason="net.py:4: RuntimeError: still no")])
    project.edgeflow("track")
    run = by_name(read_store(own_store(project), title))["bad/t/s"]
    assert "still no" in run["tags"]["edgeflow.reasons"]

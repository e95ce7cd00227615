"""Bring documents into MLflow. A script of its own for the toolchain `track`: it needs MLflow and nothing of edgeflow.

Reads lines of JSON from standard input. The first says where to, `{"uri", "copies", "lock", "new", "secrets"}`: an
address may have a password, and every user of the host can read arguments. `new` is what a store is called while it is
made; `secrets` are not to be written to the log. Each further line is a document, `{"document": path}`, and is answered
by one: `{"created": n, "replaced": n, "kept": n, "versions": n}` or `{"error": text}`. What runs.py says is in a
document.

A run counts once it has the fingerprint of its variant as a tag and is finished, which is written last. So whatever was
interrupted, repeated by a retry, or done by two at once is found and removed by the next flush.
"""

# ruff: noqa: E402 - some things come before the imports

from __future__ import annotations

import gc
import sys

gc.disable()  # hardly any of the objects that MLflow and SQLAlchemy make, imports too, are garbage; looking takes long
# MLflow does without these, as mlflow-skinny has to, and importing them takes as long as creating twenty runs.
sys.modules.update(dict.fromkeys(("numpy", "pandas", "pyarrow")))  # type: ignore[arg-type]

import fcntl
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

import mlflow.store
import requests
import sqlalchemy.engine
import sqlalchemy.event
import sqlalchemy.exc
import sqlalchemy.inspection
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunStatus, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.store.db.db_types import DATABASE_ENGINES
from mlflow.tracking import MlflowClient

WRITERS = 8  # requests at once to a server, which spends most of a request waiting for its database
BATCH = 900  # metrics a request; stores take 1,000 values at once
BUILD, VARIANT, FINGERPRINT = "edgeflow.build", "edgeflow.variant", "edgeflow.fingerprint"
COPIED = "edgeflow.copied"
SQLITE = "sqlite:///"
# The last one: a database without its driver.
FAILURES = (MlflowException, requests.RequestException, sqlalchemy.exc.SQLAlchemyError, OSError, ImportError)
FINISHED = RunStatus.to_string(RunStatus.FINISHED)

Json = dict[str, Any]


class Flush:
    """One document against one store."""

    def __init__(self, client: MlflowClient, document: Json, copies: str) -> None:
        self.client = client
        self.remote = client.tracking_uri.startswith("http")
        self.document = document
        self.build: str = document["build"]["id"]
        self.experiment = self._experiment(copies)
        self.current: set[str] = set()  # ids of the runs that show the document's variants

    def _experiment(self, copies: str) -> str:
        name = self.document["experiment"]
        if known := self.client.get_experiment_by_name(name):
            if known.lifecycle_stage != "active":
                self.client.restore_experiment(known.experiment_id)
            return str(known.experiment_id)
        try:
            return str(self.client.create_experiment(name, artifact_location=copies or None))
        except MlflowException as error:
            if not _is(error, RESOURCE_ALREADY_EXISTS):
                raise
            return str(self.client.get_experiment_by_name(name).experiment_id)

    def run(self) -> Json:
        """Make the store say what the document says."""
        runs = list(self._runs())
        parents = [run for run in runs if VARIANT not in run.data.tags]
        parent = self._parent(parents)
        good, removed = self._settle(run for run in runs if VARIANT in run.data.tags)
        missing = [v for v in self.document["variants"] if v["variant"] not in good]
        good.update(self._create_all(missing, parent))
        replaced = len({run.data.tags[VARIANT] for run in removed} & {v["variant"] for v in missing})
        for run in removed:
            self.client.delete_run(run.info.run_id)
        made = missing or parent not in {run.info.run_id for run in runs}
        if made and self.remote:  # a request that was repeated after a time-out may have been carried out twice
            runs = list(self._runs())
            good, twice = self._settle(run for run in runs if VARIANT in run.data.tags)
            parents = [run for run in runs if VARIANT not in run.data.tags]
            for run in twice:
                self.client.delete_run(run.info.run_id)
        for run in good.values():
            if run.data.tags.get("mlflow.parentRunId") != parent:
                self.client.set_tag(run.info.run_id, "mlflow.parentRunId", parent)
        for run in parents:
            if run.info.run_id != parent:
                self.client.delete_run(run.info.run_id)
        if self.document.get("copy"):
            self._copy(good)
        self.current = {run.info.run_id for run in good.values()}
        versions = sum(self._versions(name, good) for name in {v["model"] for v in self.document["versions"]})
        kept = len(self.document["variants"]) - len(missing)
        return {"created": len(missing) - replaced, "replaced": replaced, "kept": kept, "versions": versions}

    def _runs(self) -> Iterator[Any]:
        """Every run of this build, oldest first."""
        return self._search(f"tags.`{BUILD}` = '{self.build}'", ViewType.ACTIVE_ONLY)

    def _search(self, which: str, view: int) -> Iterator[Any]:
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment],
                which,
                view,
                1000,
                ["start_time ASC"],
                token,
            )
            yield from page
            token = page.token
            if not token:
                return

    def _parent(self, parents: list[Any]) -> str:
        """The run of the build, made where there is none that began when this one did: that cannot be changed."""
        wanted = self.document["build"]
        begun_then = [run for run in parents if wanted["start_ms"] in (0, run.info.start_time)]
        tags = {**wanted["tags"], BUILD: self.build}
        if begun_then:
            known = begun_then[0]
            run_id = known.info.run_id
        else:
            known = None
            run_id = self.client.create_run(self.experiment, wanted["start_ms"], tags, wanted["name"]).info.run_id
        given = known.data.params if known else {}
        params = [Param(name, value) for name, value in wanted["params"].items() if name not in given]
        had = known.data.tags if known else tags
        changed = [RunTag(name, value) for name, value in tags.items() if had.get(name) != value]
        if params or changed:
            self.client.log_batch(run_id, params=params, tags=changed)
        if not known or known.info.status != FINISHED or known.info.end_time != wanted["end_ms"]:
            self.client.set_terminated(run_id, FINISHED, wanted["end_ms"])
        return str(run_id)

    def _settle(self, runs: Iterable[Any]) -> tuple[dict[str, Any], list[Any]]:
        """Variant → its one good run, and the runs to remove: unfinished ones, outdated ones, second ones."""
        wanted = {v["variant"]: (v["fingerprint"], _status(v)) for v in self.document["variants"]}
        good: dict[str, Any] = {}
        removed = []
        for run in runs:
            name = run.data.tags[VARIANT]
            if name not in wanted:  # not finished again yet
                continue
            whole = (run.data.tags.get(FINGERPRINT), run.info.status) == wanted[name]
            if whole and name not in good:
                good[name] = run
            else:
                removed.append(run)
        return good, removed

    def _create_all(self, variants: list[Json], parent: str) -> dict[str, Any]:
        """A run per variant; the first with a dataset goes ahead, as a server fails when two bring it at once."""
        seen: set[str] = set()
        first: list[Json] = []
        others: list[Json] = []
        for variant in variants:
            datasets = {given["name"] for given in variant["inputs"]}
            (others if datasets <= seen else first).append(variant)
            seen |= datasets
        made = {variant["variant"]: self._create(variant, parent) for variant in first}
        pool = ThreadPoolExecutor(WRITERS if self.remote else 1)
        try:
            runs = pool.map(lambda variant: self._create(variant, parent), others)
            return {**made, **{variant["variant"]: run for variant, run in zip(others, runs, strict=True)}}
        finally:
            pool.shutdown(cancel_futures=True)  # where one fails, the others would too, one time-out after another

    def _create(self, variant: Json, parent: str) -> Any:
        own = {BUILD: self.build, VARIANT: variant["variant"], FINGERPRINT: variant["fingerprint"]}
        tags = {**variant["tags"], **own, "mlflow.parentRunId": parent}
        run = self.client.create_run(self.experiment, variant["start_ms"], tags, variant["variant"])
        run_id = run.info.run_id
        if variant["inputs"]:
            self.client.log_inputs(run_id, [_dataset(given) for given in variant["inputs"]])
        metrics = [Metric(name, value, at, step) for name, value, step, at in variant["metrics"]]
        params = [Param(name, value) for name, value in variant["params"].items()]
        parts = [metrics[i : i + BATCH] for i in range(0, len(metrics), BATCH)] or [[]]
        for part in parts[:-1]:
            self.client.log_batch(run_id, metrics=part)
        self.client.log_batch(run_id, parts[-1], params)
        self.client.set_terminated(run_id, _status(variant), variant["end_ms"])
        return run

    def _copy(self, runs: dict[str, Any]) -> None:
        """Copy packages; of those that were built again since, there is nothing left to copy."""
        for variant in self.document["variants"]:
            run = runs[variant["variant"]]
            if _status(variant) != FINISHED or run.data.tags.get(COPIED) == variant["fingerprint"]:
                continue
            files = {_sha256(path): path for path in Path(variant["folder"]).glob("[!.]*")}
            wanted = {variant["record_sha256"], variant["tags"].get("edgeflow.package.sha256")} - {None}
            if wanted <= set(files):
                self._check_destination(run.info.artifact_uri)
                for sha256 in sorted(wanted):
                    self.client.log_artifact(run.info.run_id, str(files[sha256]), "package")
                self.client.set_tag(run.info.run_id, COPIED, variant["fingerprint"])

    def _check_destination(self, address: str) -> None:
        """A server chooses where its clients copy to: it must not be a folder of this machine."""
        if self.remote and urlsplit(address).scheme in ("", "file"):
            raise MlflowException(
                f"the server says to copy packages to {address}, a folder of this machine: nothing is copied there; "
                "start it with --artifacts-destination, or do not give --copy"
            )

    def _versions(self, name: str, runs: dict[str, Any]) -> int:
        """Make the versions of one registered model; returns how many are new."""
        wanted = [v for v in self.document["versions"] if v["model"] == name]
        model = self._model(name)
        known, extra = self._known(name)
        new = [v for v in wanted if not self._is_current(known.get(v["tags"]["edgeflow.sha256"]))]
        added = sum(v["tags"]["edgeflow.sha256"] not in known for v in new)  # others show a run that was replaced
        for version in new:
            run_id = runs[version["variant"]].info.run_id
            description = f"{version['variant']}: {version['tags']['edgeflow.path']}"
            self.client.create_model_version(
                name, version["source"], run_id, version["tags"], description=description, await_creation_for=0
            )
        if new:
            known, extra = self._known(name)
        for version in wanted:
            for alias in version["aliases"]:
                self._alias(model, alias, known, version)
        for version in extra:
            self.client.delete_model_version(name, version.version)
        return added

    def _model(self, name: str) -> Any:
        try:
            return self.client.get_registered_model(name)
        except MlflowException as error:
            if not _is(error, RESOURCE_DOES_NOT_EXIST):
                raise
        try:
            return self.client.create_registered_model(name)
        except MlflowException as error:
            if not _is(error, RESOURCE_ALREADY_EXISTS):
                raise
            return self.client.get_registered_model(name)

    def _known(self, name: str) -> tuple[dict[str, Any], list[Any]]:
        """SHA-256 of a package → its version, and the versions to remove: second ones of a package."""
        first: dict[str, Any] = {}
        extra = []
        versions = self.client.search_model_versions(f"name = '{name}'", 10000)
        for version in sorted(versions, key=lambda v: (not self._is_current(v), int(v.version))):
            sha256 = version.tags.get("edgeflow.sha256", version.version)
            if sha256 in first:
                extra.append(version)
            else:
                first[sha256] = version
        return first, extra

    def _is_current(self, version: Any) -> bool:
        """True for a version whose run is there: of this build, or of another and not replaced since."""
        return version is not None and (version.run_id in self.current or version.run_id not in self._deleted)

    @cached_property
    def _deleted(self) -> set[str]:
        return {run.info.run_id for run in self._search("", ViewType.DELETED_ONLY)}

    def _alias(self, model: Any, alias: str, known: dict[str, Any], version: Json) -> None:
        """Point an alias at a version, unless a later report has decided about it."""
        tag = f"edgeflow.{alias}.decided_ms"
        decided = int(model.tags.get(tag, 0))
        if decided > version["decided_ms"]:
            return
        if decided < version["decided_ms"]:
            self.client.set_registered_model_tag(model.name, tag, str(version["decided_ms"]))
        wanted = str(known[version["tags"]["edgeflow.sha256"]].version)
        if str(model.aliases.get(alias)) != wanted:
            self.client.set_registered_model_alias(model.name, alias, wanted)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _is(error: MlflowException, code: int) -> bool:
    return bool(error.error_code == ErrorCode.Name(code))


def _status(variant: Json) -> str:
    """What MLflow says of a variant's run: finished, unless a job broke."""
    return str(variant.get("status", FINISHED))


def _dataset(given: Json) -> DatasetInput:
    """MLflow keeps 36 characters of a digest; the profile has all 64."""
    dataset = Dataset(
        name=given["name"],
        digest=given["sha256"][:32],
        source_type="local",
        source=json.dumps({"uri": given["path"]}),
        profile=json.dumps({"samples": given["samples"], "sha256": given["sha256"]}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", given["context"])])


def _unhurried(connection: Any, _record: object) -> None:
    """Do not wait for the disk after each of a thousand small transactions; `_settle_on_disk` does so once.

    A killed process loses nothing by it. A power cut in these seconds may damage the file, which the results replace.
    """
    connection.execute("PRAGMA synchronous = OFF")


def _settle_on_disk(uri: str) -> None:
    if uri.startswith(SQLITE):
        with Path(uri.removeprefix(SQLITE)).open("rb") as stream:
            os.fsync(stream.fileno())


def _connect(uri: str, lock: str, new: str) -> MlflowClient:
    if uri.startswith(SQLITE):
        sqlalchemy.event.listen(sqlalchemy.engine.Engine, "connect", _unhurried)
        with open(lock, "a") as stream:  # two that make it at once would spoil each other's
            fcntl.flock(stream, fcntl.LOCK_EX)
            _create_store(Path(uri.removeprefix(SQLITE)), new)
    try:
        urlsplit(uri)
    except ValueError as error:
        raise MlflowException(
            f"MLFLOW_TRACKING_URI is no address ({error}): write [ and ] in a password as %5B and %5D"
        ) from None
    _check_schema(uri)
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    client.search_experiments(max_results=1)
    return client


def _check_schema(uri: str) -> None:
    """Raises MlflowException for a database of another MLflow or of none: to open it is to add what this one misses."""
    if uri.partition("://")[0].partition("+")[0] not in DATABASE_ENGINES:
        return
    engine = sqlalchemy.create_engine(uri)
    try:
        with engine.connect() as connection:
            tables = sqlalchemy.inspection.inspect(connection).get_table_names()
            versioned = "alembic_version" in tables
            query = sqlalchemy.text("SELECT version_num FROM alembic_version")
            versions = set(connection.execute(query).scalars()) if versioned else set()
    finally:
        engine.dispose()
    scripts = Path(mlflow.store.__path__[0], "db_migrations", "versions").glob("*.py")
    if unknown := versions - {script.name.partition("_")[0] for script in scripts}:
        what = f"has the schema {min(unknown)!r}, which MLflow {mlflow.__version__} does not know"
    elif tables and not versions:
        what = "is not of MLflow"
    else:
        return
    raise MlflowException(
        f"the database {what}; nothing was changed in it. Use another: MLFLOW_TRACKING_URI names it, or move the file "
        "away, and 'edgeflow track' makes a new one from the results"
    )


def _create_store(path: Path, name: str) -> None:
    """Make a new sqlite store as a whole: one that was interrupted half way has tables and could never be opened."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(name)
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # seconds, and no server needs it

    store = SqlAlchemyStore(f"{SQLITE}{new}", str(path.parent))
    store.engine.dispose()
    new.replace(path)


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')}"


class _Redacting(io.TextIOBase):
    """A stream that leaves secrets out."""

    def __init__(self, stream: TextIO, secrets: Sequence[str]) -> None:
        self._stream, self._secrets = stream, secrets

    def write(self, text: str) -> int:
        shown = text
        for secret in self._secrets:
            shown = shown.replace(secret, "***")
        self._stream.write(shown)
        return len(text)

    def flush(self) -> None:
        self._stream.flush()


def main() -> None:
    """Answer one line of standard input after the other."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what MLflow prints is no answer
    where = json.loads(sys.stdin.readline())
    uri, copies = where["uri"], where["copies"]
    sys.stderr = sys.stdout = _Redacting(sys.stderr, where["secrets"])
    client: MlflowClient | None = None
    with suppress(*FAILURES):  # while nobody waits for it; the first document meets the failure again, and says so
        client = _connect(uri, where["lock"], where["new"])
    for line in sys.stdin:
        request = json.loads(line)
        answer: Json
        try:
            document = json.loads(Path(request["document"]).read_text(encoding="utf-8"))
            client = client or _connect(uri, where["lock"], where["new"])
            answer = Flush(client, document, copies).run()
            _settle_on_disk(uri)
        except FAILURES as error:
            answer = {"error": _text(error)}
        except (KeyError, TypeError, ValueError) as error:
            answer = {"error": f"{request['document']}: {_text(error)}; remove it if another edgeflow wrote it"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()

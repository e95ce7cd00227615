"""Why a job broke, by its log; which failures stay on record."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeflow import failures
from edgeflow.errors import DataError
from edgeflow.types.jobs import Failure

TRACEBACK = """\
Some warning first
Traceback (most recent call last):
  File "{root}/src/edgeflow/stages/train.py", line 88, in run
    trained = framework.train(job)
  File "{root}/mine/net.py", line 7, in forward
    raise RuntimeError("no forward today")
  File "{root}/.toolchains/torch/lib/python3.11/site-packages/torch/nn.py", line 9, in call
    pass
RuntimeError: no forward today
"""


def _log(folder: Path, text: str) -> Path:
    path = folder / "job.log"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("mine/net.py", ".toolchains/torch/lib/python3.11/site-packages/torch/nn.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_an_exception_is_named_with_the_line_of_the_users_file(here: Path) -> None:
    log = _log(here, TRACEBACK.format(root=here))
    assert failures.reason(log, 1) == "mine/net.py:7: RuntimeError: no forward today"


def test_an_exception_of_a_library_alone_has_no_place(here: Path) -> None:
    log = _log(here, TRACEBACK.format(root="/elsewhere"))
    assert failures.reason(log, 1) == "RuntimeError: no forward today"


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        ("edgeflow: running cold\nDataError: data/x.npz: no such file\n", 3, "DataError: data/x.npz: no such file"),
        ("ConfigError: model a: one\nmodel a: two\n", 2, "ConfigError: model a: one"),
        ("", -11, "ended by SIGSEGV"),
        ("loading\nquantizing 3 of 9\n", -9, "ended by SIGKILL after: quantizing 3 of 9"),
        ("", None, "it ended without a word"),
        ("bash: line 1: edgeflow: command not found\n", None, "bash: line 1: edgeflow: command not found"),
        ("\r 1 %\r 2 %\rdisk full\n\n", 1, "disk full"),
        ("x" * 5000, 1, "x" * 399 + "…"),
    ],
)
def test_the_reason_is_one_line(here: Path, text: str, code: int | None, expected: str) -> None:
    assert failures.reason(_log(here, text), code) == expected


def test_a_log_that_is_not_there_gives_a_reason_too(here: Path) -> None:
    assert failures.reason(here / "none.log", -15) == "ended by SIGTERM"
    assert failures.reason(None, None) == "it ended without a word"


def _failure(stage: str, *key: str) -> Failure:
    return Failure(stage, key, "it broke", "results/logs/x.log", ("a/b/c",))


def test_a_run_of_a_part_settles_its_own_jobs_only() -> None:
    old, retried = _failure("train", "a", "base"), _failure("convert", "b", "base", "onnx")
    now = _failure("compile", "b", "onnxruntime", "any", "fp32")
    tried = [("convert", ("b", "base", "onnx")), ("compile", now.key)]
    assert failures.merged([old, retried], [now], tried) == (old, now)


def test_the_record_is_there_only_with_failures_in_it(tmp_path: Path) -> None:
    record = tmp_path / "failures.json"
    failures.write(record, [_failure("train", "b", "base"), _failure("train", "a", "base")])
    assert [failure.key[0] for failure in failures.read(record)] == ["a", "b"]
    failures.write(record, [])
    assert not record.exists()
    assert failures.read(record) == ()


@pytest.mark.parametrize("damaged", ["{", "{}", '[{"stage": "train", "of_another_version": 1}]'])
def test_a_record_that_does_not_fit_names_the_next_step(tmp_path: Path, damaged: str) -> None:
    record = tmp_path / "failures.json"
    record.write_text(damaged)
    with pytest.raises(
        DataError, match=r"failures\.json: .*; delete the file: the next run of everything writes it anew"
    ):
        failures.read(record)


def test_a_cell_is_lost_by_the_first_of_its_failures() -> None:
    first, second = _failure("train", "a", "base"), _failure("convert", "b", "base", "onnx")
    assert failures.by_cell([first, second]) == {"a/b/c": first}

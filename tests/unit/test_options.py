"""`--config` and `--configfile` mean what they mean for snakemake, which is asked."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgeflow import cli
from edgeflow.config import options
from edgeflow.errors import UsageError

SNAKEFILE = """
import json
configfile: "config/config.yaml"
with open("seen.json", "w") as stream:
    json.dump(config, stream)
rule all:
"""
ONE = "schemes: [fp32]\nsearch: {timeout_s: 5 min, trials: 3}\ntitle: One\n"
TWO = '{"title": "Two", "search": {"trials": 4}}'


@pytest.fixture
def folder(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(project / "config", tmp_path / "config")
    shutil.copytree(project / "envs", tmp_path / "envs")
    (tmp_path / "one.yaml").write_text(ONE)
    (tmp_path / "two.json").write_text(TWO)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def matrix(*arguments: str) -> dict[str, Any] | None:
    parser = argparse.ArgumentParser()
    options.add_options(parser)
    return options.matrix(parser.parse_args(arguments))


@pytest.mark.parametrize(
    "arguments",
    [
        ("--config", "schemes=[fp32,int8_static]", "seed=7", "title="),
        ("--config", "schemes=int8_static", "exclude=[{scheme: fp16, target: cortex_m4_tflm}]", "seed=1e3"),
        ("-C", "search={'trials': 2}", "title=no", "baseline=true"),
        ("--configfile", "one.yaml", "two.json"),
        ("--configfile", "two.json", "one.yaml", "--config", "search={trials: 9}", "title=Said"),
        ("--configfiles", "one.yaml"),
    ],
    ids=" ".join,
)
def test_the_matrix_is_the_one_that_snakemake_sees(folder: Path, arguments: tuple[str, ...]) -> None:
    (folder / "Snakefile").write_text(SNAKEFILE)
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    assert matrix(*arguments) == json.loads((folder / "seen.json").read_text())


def test_without_options_the_file_is_left_to_be_read(folder: Path) -> None:
    assert matrix() is None


def test_a_configfile_stands_in_for_a_configuration_that_is_not_there(folder: Path) -> None:
    Path("config/config.yaml").unlink()
    assert matrix("--configfile", "two.json") == json.loads(TWO)


def planned(capsys: pytest.CaptureFixture[str], *arguments: str) -> set[tuple[str, str, str]]:
    assert cli.main(["plan", "--json", *arguments]) == 0
    return {(cell["model"], cell["target"], cell["scheme"]) for cell in json.loads(capsys.readouterr().out)}


def test_the_plan_is_that_of_the_options(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    everything = planned(capsys)
    assert planned(capsys, "--configfile", "one.yaml") == {cell for cell in everything if cell[2] == "fp32"}
    some = planned(capsys, "--configfile", "one.yaml", "--config", "schemes=[fp16]", "models=digits_dscnn")
    assert some == {cell for cell in everything if cell[0] == "digits_dscnn" and cell[2] == "fp16"}
    whole = {"models": ["digits_dscnn"], "targets": ["linux_x86_ort"], "schemes": ["fp32"], "baseline": "fp32"}
    assert planned(capsys, "--matrix", json.dumps(whole)) == {("digits_dscnn", "linux_x86_ort", "fp32")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--config", "schemes"), "--config schemes: Invalid config definition: "),
        (("--configfile", "absent.yaml"), "--configfile absent.yaml: no such file"),
        (("--configfile", "config"), "--configfile config: cannot be read: Is a directory"),
        (("--configfile", "list.yaml"), "--configfile list.yaml: Config file must be given as JSON or YAML with keys"),
        (("--configfile", "broken.yaml"), "--configfile broken.yaml: Config file is not valid JSON or YAML"),
        (("--configfile", "bytes.yaml"), "--configfile bytes.yaml: is not UTF-8 text"),
        (("--matrix", "{"), "--matrix: not valid JSON: "),
        (("--matrix", "[]"), "--matrix: expected a JSON object, found list"),
        (("--matrix", "{}", "--config", "seed=1"), "--matrix is the whole matrix: give it alone"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_options_that_snakemake_would_not_take(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    Path("list.yaml").write_text("- 1\n")
    Path("broken.yaml").write_text("a: [\n")
    Path("bytes.yaml").write_bytes(b"title: \xff\n")
    with pytest.raises(UsageError) as caught:
        matrix(*arguments)
    assert str(caught.value).startswith(message)

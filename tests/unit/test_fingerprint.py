"""A fingerprint covers what a stage imports, and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgeflow.fingerprint import fingerprint, lock_digest
from edgeflow.stages import STAGES

CODE = "import sys; from edgeflow.fingerprint import fingerprint; print(*[fingerprint(s) for s in sys.argv[1:]])"


def fingerprints(source: Path) -> dict[str, str]:
    command = [sys.executable, "-c", CODE, *STAGES]
    done = subprocess.run(command, env={"PYTHONPATH": str(source)}, capture_output=True, text=True, check=True)
    return dict(zip(STAGES, done.stdout.split(), strict=True))


@pytest.fixture
def source(project: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(project / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__")))


@pytest.mark.parametrize(
    ("edited", "stages"),
    [
        ("judge.py", {"judge"}),
        ("stages/judge.py", {"judge"}),
        ("stages/ladder.py", {"train", "source", "convert", "optimize", "compile", "measure", "package"}),
        # a package's golden samples are laid out and quantized as the runners do
        ("runners/harness.py", {"source", "convert", "sensitivity", "optimize", "compile", "measure", "package"}),
        ("types/plain.py", set(STAGES)),
        ("types/verdicts.py", {"judge", "package", "report"}),
        ("types/jobs.py", {"report"}),
        ("cli.py", set()),
        ("workflow.py", set()),
        ("wiring.py", set()),
    ],
)
def test_an_edit_changes_the_stages_that_import_it(source: Path, edited: str, stages: set[str]) -> None:
    before = fingerprints(source)
    path = source / "edgeflow" / edited
    path.write_text(path.read_text() + "\nedit = 1\n")
    after = fingerprints(source)
    assert {stage for stage in STAGES if before[stage] != after[stage]} == stages


@pytest.mark.parametrize("edited", ["types/variants.py", "plugin.py", "stages/train.py", "runners/harness.py"])
def test_comments_and_docstrings_change_nothing(source: Path, edited: str) -> None:
    before = fingerprints(source)
    path = source / "edgeflow" / edited
    text = path.read_text()
    assert text.startswith('"""')
    path.write_text(text.replace('"""', '"""In other words: ', 1) + "\n# a comment\n")
    assert fingerprints(source) == before


def test_a_fingerprint_is_the_same_in_every_checkout(project: Path, source: Path) -> None:
    assert fingerprints(source) == fingerprints(project / "src")


def test_a_plugin_is_what_it_reaches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "plugins/noise.py": "from edgeflow.plugin import DatasetLoader\nfrom .helper import draw\n\n\ndef load(job):\n"
        "    return draw()\n\n\nplugin = DatasetLoader('noise', '', 'core', load, lambda job: ())\n",
        "plugins/helper.py": "def draw():\n    return 1\n\n\ndef other():\n    return 1\n",
        "plugins/backend.py": "class Session:\n    threads = 1\n",
    }.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text)

    def changes(file: str, old: str, new: str) -> bool:
        backend = (tmp_path / "plugins/backend.py",)
        before = fingerprint("prepare", ["plugins/noise.py:plugin"], backend)
        Path(file).write_text(Path(file).read_text().replace(old, new, 1))
        return fingerprint("prepare", ["plugins/noise.py:plugin"], backend) != before

    assert not changes("plugins/helper.py", "draw():", "draw():  # a number")
    assert changes("plugins/helper.py", "return 1", "return 2")
    assert not changes("plugins/helper.py", "return 1", "return 2")  # of the other function
    assert changes("plugins/backend.py", "threads = 1", "threads = 2")


def test_what_is_known_of_the_sources_is_kept_and_never_stale(source: Path, tmp_path: Path) -> None:
    def run() -> tuple[dict[str, str], str]:
        command = [sys.executable, "-c", CODE, *STAGES]
        made = {"cwd": tmp_path, "env": {"PYTHONPATH": str(source)}}
        done = subprocess.run(command, **made, capture_output=True, text=True, check=True)  # type: ignore[call-overload]
        record = tmp_path / ".snakemake/edgeflow.sources.json"
        return dict(zip(STAGES, done.stdout.split(), strict=True)), record.read_text() if record.exists() else ""

    first, record = run()
    assert record == ""  # no project
    (tmp_path / ".snakemake").mkdir()
    assert run()[0] == first
    again, record = run()
    assert (again, record) == (first, run()[1])
    judge = source / "edgeflow/judge.py"
    stat = judge.stat()
    text = judge.read_text()
    judge.write_text(text.replace("return", "return ", 1))  # nothing that counts
    assert run()[0] == first
    changed = text.replace("percent(value, 6)", "percent(value, 5)")
    assert len(changed) == len(text)
    assert changed != text
    judge.write_text(changed)
    os.utime(judge, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as long and as old as before
    edited, record = run()
    assert {stage for stage in STAGES if edited[stage] != first[stage]} == {"judge"}
    assert run() == (edited, record)


def test_a_lock_is_its_requirements(tmp_path: Path) -> None:
    lock = tmp_path / "a.txt"
    digests = []
    for text in ("a==1\nb==2\n", "# pinned\nb==2\n\na==1  # why\n", "a==1\nb==3\n"):
        lock.write_text(text)
        digests.append(lock_digest(lock))
    assert digests[0] == digests[1] != digests[2]
    assert lock_digest(lock, ("a",)) == lock_digest(lock, ("a", "c")) != lock_digest(lock, ("b",))
    before = lock_digest(lock, ("a",))
    lock.write_text("a==1\nb==4\n")
    assert lock_digest(lock, ("a",)) == before


def test_sources_of_one_name_have_no_order(tmp_path: Path, project: Path) -> None:
    paths = [tmp_path / folder / "model.py" for folder in ("student", "teacher", "other")]
    for path in paths:
        path.parent.mkdir()
        path.write_text(f"NAME = {path.parent.name!r}\n")
    code = (
        "import sys; from edgeflow.fingerprint import fingerprint; "
        "print(fingerprint('train', [f'{name}:NAME' for name in sys.argv[1:]]))"
    )
    fingerprints = {
        subprocess.run(
            [sys.executable, "-c", code, *(str(path.relative_to(tmp_path)) for path in paths)],
            cwd=tmp_path,
            env={"PYTHONPATH": str(project / "src"), "PYTHONHASHSEED": str(seed)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in range(6)
    }  # fmt: skip
    assert len(fingerprints) == 1

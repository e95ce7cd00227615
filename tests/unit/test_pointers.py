"""DVC's pointer files, and Snakemake's records of jobs, as they are read without either."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from edgeflow import layout, pointers
from edgeflow.errors import DataError
from edgeflow.tracking import artifacts, provenance
from edgeflow.tracking.provenance import Jobs

POINTER = """\
outs:
- md5: 900150983cd24fb0d6963f7d28e17f72
  size: 3
  hash: md5
  path: parts.npz
"""
DIGEST = "ab" * 32


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parts.npz.dvc").write_text(POINTER)
    return tmp_path


def test_a_pointer_covers_its_file_and_what_is_in_its_folder(folder: Path) -> None:
    (folder / "photos.dvc").touch()
    assert pointers.covering(Path("parts.npz")) == Path("parts.npz.dvc")
    assert pointers.covering(Path("photos/good/1.png")) == Path("photos.dvc")
    assert pointers.covering(Path("other.npz")) is None
    assert pointers.covering(folder / "parts.npz") is None  # outside the project as far as its files say
    assert pointers.covering(Path("../parts.npz")) is None
    assert pointers.covering(Path("x" * 300)) is None  # longer than a name can be


def test_data_are_compared_with_their_pointer(folder: Path) -> None:
    pointer = pointers.read(Path("parts.npz.dvc"))
    assert (pointer.out, pointer.folder, pointer.size_bytes) == (Path("parts.npz"), False, 3)
    (folder / "parts.npz").write_bytes(b"abc")
    pointers.check(pointer)
    (folder / "parts.npz").write_bytes(b"abd")  # of the same size
    with pytest.raises(DataError, match=r"'dvc add parts\.npz' takes the data as they are now"):
        pointers.check(pointer)


def test_data_that_did_not_change_are_not_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "parts.npz").write_bytes(b"abc")
    pointer = pointers.read(Path("parts.npz.dvc"))
    pointers.check(pointer)
    monkeypatch.setattr(pointers, "md5", lambda path: pytest.fail(f"{path} was read"))
    pointers.check(pointer)


@pytest.mark.parametrize(
    "text", ["", "outs: []", "outs:\n- path: x", "\xff", "{", "outs:\n- {md5: a, path: b, size: c}"]
)
def test_a_malformed_pointer_is_named(folder: Path, text: str) -> None:
    (folder / "bad.dvc").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=r"bad\.dvc: not a pointer"):
        pointers.read(Path("bad.dvc"))


def test_the_digests_in_a_pointer() -> None:
    text = f"{POINTER}meta:\n  of: x\n  sha256: |\n    {DIGEST}  some/path with two  spaces\n"
    assert artifacts.digests(text) == {"some/path with two  spaces": DIGEST}
    assert artifacts.digests(POINTER) == {}


# --- records of jobs -------------------------------------------------------------------------------------------------


def write_record(output: str, **record: object) -> Path:
    """As Snakemake keeps it: by the encoded path of the output, in parts where that is long."""
    name = base64.urlsafe_b64encode(output.encode()).decode()
    parts = [name[i : i + 200] for i in range(0, len(name), 200)]
    path = provenance.METADATA.joinpath(*(f"@{part}" for part in parts[:-1]), parts[-1])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"incomplete": False, **record}))
    return path


@pytest.mark.parametrize("folders", [1, 12])
def test_records_come_back_as_they_were(folders: int) -> None:
    output = "/".join([layout.RESULTS, *["a_long_name_of_a_folder"] * folders])
    Path(output).mkdir(parents=True)
    path = write_record(output, rule="optimize", input=["a"], params=["'x'"], starttime=1.5)
    before = json.loads(path.read_text())
    write_record(".toolchains/edge.json", rule="toolchain")
    write_record(f"{layout.RESULTS}/gone.json", rule="judge")
    assert [provenance.output_of(name) for name in provenance.collect()] == [output]
    path.write_text(json.dumps({**before, "rule": "another"}))
    marker = Path(".snakemake/incomplete") / path.relative_to(provenance.METADATA)
    marker.parent.mkdir(parents=True)
    marker.touch()
    assert provenance.restore() == 1
    assert json.loads(path.read_text()) == before
    assert not marker.exists()


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_spec_is_found_among_the_parameters(wrapped: bool) -> None:
    spec = json.dumps({"dataset": "digits"})
    params = [repr("0123"), repr({"spec": spec, "toolchain": "edge"}) if wrapped else repr(spec), "<object>"]
    output, made = f"{layout.RESULTS}/a", f"{layout.RESULTS}/b"
    Path(layout.RESULTS).mkdir()
    for path in (output, made):
        Path(path).touch()
    write_record(output, rule="prepare", params=params, input=[".toolchains/edge.json"])
    write_record(made, rule="package", params=[], input=[output])
    jobs = Jobs(provenance.collect())
    assert jobs.specs(made) == {"prepare": {"dataset": "digits"}}
    assert jobs.toolchains() == ["edge"]
    assert jobs.artifact(made, "prepare") == output


def test_a_project_that_cannot_be_written_to_is_read_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").write_bytes(b"one")
    Path(layout.TRACKING).write_text("no folder")  # as little a place for records as one that is read-only
    assert pointers.digests([Path("a")]) == {"a": pointers.md5(Path("a"))}

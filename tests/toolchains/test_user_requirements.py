"""What a user's own code needs beside a toolchain's lock: written once, locked, installed, and part of what counts."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from tests.workflow.conftest import Project, copy_checkout

from edgeflow.errors import ToolchainError
from edgeflow.fingerprint import fingerprint, lock_digest
from edgeflow.registry import file_of
from edgeflow.toolchains import environments

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, features, classes):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(features, classes))

    def forward(self, x):
        return self.layers(x)

def build(input_shape, classes):
    channels, height, width = input_shape
    return Net(channels * height * width, classes)
"""


def wheel(folder: Path, source: str, version: str = "1.0") -> Path:
    """A wheel of a package `mynets` with one module, as PEP 427 has it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"mynets-{version}-py3-none-any.whl"
    info = f"mynets-{version}.dist-info"
    files = {
        "mynets/__init__.py": "",
        "mynets/small.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: mynets\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the environments are that projects share, for one test alone."""
    monkeypatch.setenv("EDGEFLOW_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/toolchains"


def _tiny(folder: Path, content: str) -> tuple[Path, Path]:
    """A project's own lock and where its stamp is to be."""
    (folder / "envs").mkdir(parents=True)
    (folder / "envs/tiny.txt").write_text(content)
    return folder / "envs/tiny.txt", folder / ".toolchains/tiny.json"


def test_projects_with_one_lock_share_an_environment(tmp_path: Path, kept: Path) -> None:
    made = [_tiny(tmp_path / name, "# nothing\n") for name in ("one", "two")]
    for lock, stamp in made:
        environments.create("tiny", lock, stamp)
    environment = [stamp.with_suffix("") for _, stamp in made]
    assert environment[0].resolve() == environment[1].resolve()
    assert environment[0].resolve().parent == kept
    marker = environment[0] / "of_the_first"
    marker.touch()
    environments.create("tiny", *made[1])  # again: what is whole is not made again
    assert marker.exists()
    (environment[0] / "tiny.json").unlink()  # as where a run was killed while it was being filled
    environments.create("tiny", *made[1])
    assert not marker.exists()
    made[0][0].write_text("./some_folder\n")  # nothing of another project may come with it
    assert environments.shared(made[0][0], Path(sys.executable)) is not None  # there is no such folder
    (tmp_path / "some_folder").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert environments.shared(made[0][0], Path(sys.executable)) is None


def test_an_environment_that_nothing_can_be_shared_of_is_the_projects_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_file").touch()
    monkeypatch.setenv("EDGEFLOW_CACHE", str(tmp_path / "a_file"))
    lock, stamp = _tiny(tmp_path / "one", "# nothing\n")
    environments.create("tiny", lock, stamp)
    assert not stamp.with_suffix("").is_symlink()
    assert (stamp.with_suffix("") / "bin/python").exists()


def test_a_toolchain_has_what_its_users_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("envs").mkdir()
    lock, user, stamp = Path("envs/tiny.txt"), Path("envs/tiny.user.txt"), Path(".toolchains/tiny.json")
    lock.write_text("# nothing\n")
    before = lock_digest(lock)
    made = wheel(Path("wheels"), "def build(): return 1\n")
    user.write_text(f"./{made}  # mine\n")
    assert lock_digest(lock) != before
    stamp.parent.mkdir()
    environments.create("tiny", lock, stamp)
    ask = [str(environments.python_of("tiny")), "-c", "from mynets.small import build; print(build())"]
    assert subprocess.run(ask, capture_output=True, text=True, check=True).stdout == "1\n"
    wheel(Path("wheels"), "def build(): return 2\n")  # of the same name and version
    with pytest.raises(ToolchainError, match=r"envs/tiny.txt has changed .*: run 'edgeflow toolchain tiny'"):
        environments.python_of("tiny")
    environments.create("tiny", lock, stamp)
    assert subprocess.run(ask, capture_output=True, text=True, check=True).stdout == "2\n"


def test_a_toolchain_that_could_not_be_made_again_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("envs", ".toolchains"):
        Path(folder).mkdir()
    lock, stamp = Path("envs/tiny.txt"), Path(".toolchains/tiny.json")
    lock.write_text("# nothing\n")
    environments.create("tiny", lock, stamp)
    lock.write_text("./no_such_wheel-1.0-py3-none-any.whl\n")
    with pytest.raises(ToolchainError, match="no_such_wheel"):
        environments.create("tiny", lock, stamp)
    lock.write_text("# nothing\n")
    with pytest.raises(ToolchainError, match="'tiny' is not installed here: run 'edgeflow toolchain tiny'"):
        environments.python_of("tiny")


def test_a_folder_counts_without_what_a_build_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("libs/mynets/mynets/__init__.py", "envs/tiny.txt", "libs/mynets/mynets/data.bin"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("")
    digests = []
    for user in ("./libs/mynets\n", "mynets @ file:./libs/mynets\n", "-e ./libs/mynets\n"):
        Path("envs/tiny.user.txt").write_text(user)
        before = lock_digest(Path("envs/tiny.txt"))
        for left in ("build/lib/x.py", "mynets.egg-info/PKG-INFO", "mynets/__pycache__/x.pyc"):
            Path("libs/mynets", left).parent.mkdir(parents=True, exist_ok=True)
            Path("libs/mynets", left).write_text(user)
        assert lock_digest(Path("envs/tiny.txt")) == before
        Path("libs/mynets/mynets/data.bin").write_text(user)
        digests += [before, lock_digest(Path("envs/tiny.txt"))]
    assert len(set(digests)) == 6


def test_a_module_is_found_and_counts_without_an_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "installed/mynets"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (package / "small.py").write_text("raise RuntimeError('imported')\n")
    (package / "blocks.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(package.parent))
    reference = "mynets.small:build"
    assert file_of(reference) == package / "small.py"
    pinned, here = fingerprint("train", [reference]), fingerprint("train", [reference], installed=True)
    (package / "blocks.py").write_text("x = 2\n")
    assert fingerprint("train", [reference]) == pinned  # the lock of its toolchain says which one it is
    assert fingerprint("train", [reference], installed=True) != here  # EDGEFLOW_ENVS=system
    shutil.rmtree(package)
    assert fingerprint("train", [reference]) == pinned
    assert "mynets" not in sys.modules


@pytest.fixture
def with_package(project: Path, tmp_path: Path, torch_python: Path) -> Project:
    """A project with a model from a package that only its torch toolchain has."""
    made = copy_checkout(tmp_path / "project", project)
    site = torch_python.parent.parent / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    environment = made.folder / ".toolchains/torch"
    environment.unlink()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    (own,) = environment.glob("lib/*/site-packages")
    (own / "torch.pth").write_text(f"{site}\n")  # as if it were installed here, without the minutes
    path = wheel(made.folder / "wheels", NET)
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--offline", "--no-deps", "--python"]
    subprocess.run([*command, str(environment / "bin/python"), str(path)], check=True)
    (made.folder / "envs/torch.user.in").write_text(f"./wheels/{path.name}\n")
    (made.folder / "envs/torch.user.txt").write_text(f"./wheels/{path.name}\n")
    stamp = made.folder / ".toolchains/torch.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made.folder)
        digest = lock_digest(Path("envs/torch.txt"))
    stamp.write_text(json.dumps({**json.loads(stamp.read_text()), "lock_sha256": digest}))
    model = yaml.safe_load((made.folder / "config/models/digits_dscnn.yaml").read_text())
    model.pop("arguments", None)
    model |= {"builder": "mynets.small:build", "training": {"epochs": 1}}
    (made.folder / "config/models/mine.yaml").write_text(yaml.safe_dump(model))
    config = yaml.safe_load((made.folder / "config/config.yaml").read_text())
    (made.folder / "config/config.yaml").write_text(yaml.safe_dump({**config, "models": ["mine"]}))
    return made


@pytest.mark.workflow
@pytest.mark.toolchain
@pytest.mark.xdist_group("workflow")
def test_the_core_environment_needs_nothing_of_a_builder(with_package: Project) -> None:
    ask = subprocess.run([sys.executable, "-c", "import mynets"], capture_output=True, check=False)
    assert ask.returncode != 0
    folder = with_package.folder
    info = "results/train/mine/base/train.json"
    with_package.run(info)
    assert json.loads((folder / info).read_text())["figures"]["parameters"] == 4910
    assert with_package.pending(info) == set()
    wheel(folder / "wheels", NET + "\n# another\n")
    assert with_package.pending(info) == {("train", "mine/base")}

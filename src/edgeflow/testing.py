"""What every format and every converter must keep to, as tests: subclass one in your own, and pytest collects it.

They need the libraries of the plugin's toolchain, so run them there. Without pytest: `failures(TestMine)`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow.errors import DataError
from edgeflow.plugin import Converted, Converter, ConvertJob, Format, Unsupported
from edgeflow.registry import load_reference
from edgeflow.runners import harness
from edgeflow.types.plain import to_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOISE = bytes((i * 167 + 13) % 256 for i in range(4096))  # a file of nobody's format
_IMPORTED = """
import json, sys
from edgeflow.registry import load_reference
before = {name.partition(".")[0] for name in sys.modules}
load_reference(sys.argv[1])
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules} - before - sys.stdlib_module_names)))
"""


class PluginContract:
    """What holds of every plugin."""

    reference: str  # "plugins/mine.py:plugin", or "package.module:plugin" of an installed one

    def test_planning_imports_no_library(self, tmp_path: Path) -> None:
        """Heavy libraries are imported inside functions: planning has none of them."""
        command = [sys.executable, "-c", _IMPORTED, self.reference]
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        _hold(said.returncode == 0, f"{self.reference} cannot be loaded: {said.stderr}")
        own = {
            "edgeflow",
            "edgeflow_project",
            self.reference.partition(".")[0],
            Path(self.reference.split(":")[0]).stem,
        }
        foreign = [name for name in json.loads(said.stdout) if name not in own and not name.startswith("edgeflow_")]
        _hold(not foreign, f"{self.reference} imports {', '.join(foreign)} when it is loaded; import inside functions")


class ConverterContract(PluginContract):
    """A converter, on one small model of yours."""

    target: str  # reference of the format that it makes

    def job(self, output: Path, work: Path) -> ConvertJob:
        """The model to convert, with its signature and one sample of each input."""
        raise NotImplementedError

    def answers(self, job: ConvertJob) -> Mapping[str, NDArray[Any]]:
        """What the model itself answers to `job.example`: output → [1, …]."""
        raise NotImplementedError

    def test_the_file_answers_as_its_source(self, tmp_path: Path) -> None:
        """Within the converter's own tolerance, asked by the names that it gives."""
        job, made = self._converted(tmp_path)
        backend = str(_backend(self._target()))
        binding = to_json(made.binding)
        tensors = {bound["tensor"] for bound in binding["inputs"].values()}
        _hold(len(tensors) == len(binding["inputs"]), "two inputs are bound to one tensor")
        expected = self.answers(job)
        batched = {tensor.name: tensor.batched for tensor in job.signature.inputs}
        given = {name: sample if batched[name] else sample[None] for name, sample in job.example.items()}
        try:
            answers = harness.ask(backend, str(job.output), [given], binding)
        except ValueError as error:
            raise AssertionError(f"the file cannot be asked: {error}") from error
        tolerance = self._plugin().tolerance.relative
        for name, wanted in expected.items():
            found = answers[name]
            _hold(found.shape == wanted.shape, f"output {name} has shape {found.shape}, expected {wanted.shape}")
            scale = float(wanted.max() - wanted.min()) or float(abs(wanted).max())
            distance = float(abs(found.astype("float64") - wanted).max())
            _hold(distance <= tolerance * scale, f"output {name} differs by {distance:.3g} of {scale:.3g}")

    def test_every_name_is_bound_to_one_of_the_file(self, tmp_path: Path) -> None:
        """The binding has all of the source's inputs and outputs, and the file has what they are bound to."""
        job, made = self._converted(tmp_path)
        signature = self._target().signature(job.output)
        sides = (
            (made.binding.inputs, job.signature.inputs, signature.inputs),
            (made.binding.outputs, job.signature.outputs, signature.outputs),
        )
        for bound, source, file in sides:
            _hold({*bound} == {t.name for t in source}, f"bound are {[*bound]}, the source has {source}")
            missing = {each.tensor for each in bound.values()} - {tensor.name for tensor in file}
            _hold(not missing, f"bound to {sorted(missing)}, which the file does not have: {file}")

    def test_the_same_model_gives_the_same_bytes(self, tmp_path: Path) -> None:
        """Else what was made of it would be made again for nothing."""
        first, second = (self._converted(tmp_path / name)[0].output for name in ("first", "second"))
        _hold(first.read_bytes() == second.read_bytes(), "two files of one model differ: strip times, paths and ids")

    def test_nothing_else_is_touched(self, tmp_path: Path) -> None:
        """The source stays what it was, and beside the output there is nothing."""
        work = tmp_path / "work"
        work.mkdir()
        job = self.job(tmp_path / "model", work)
        before = job.source.read_bytes() if job.source is not None and job.source.is_file() else b""
        self._plugin().convert(job)
        after = job.source.read_bytes() if before and job.source is not None else b""
        _hold(before == after, f"{job.source} was changed")
        left = {path.name for path in tmp_path.iterdir()} - {"model", "work", job.source.name if job.source else ""}
        _hold(not left, f"beside the output there is {sorted(left)}; intermediate files go to `work`")

    def _plugin(self) -> Converter:
        plugin: Converter = load_reference(self.reference)
        return plugin

    def _target(self) -> Format:
        plugin: Format = load_reference(self.target)
        return plugin

    def _converted(self, folder: Path) -> tuple[ConvertJob, Converted]:
        (folder / "work").mkdir(parents=True)
        job = self.job(folder / "model", folder / "work")
        made = self._plugin().convert(job)
        if isinstance(made, Unsupported):
            raise AssertionError(f"the model is refused: {made.reason}")
        return job, made


class FormatContract(PluginContract):
    """A format, on one small file or folder of yours."""

    def file(self, folder: Path) -> Path:
        """A sound model, in `folder`."""
        raise NotImplementedError

    def test_it_knows_its_files_and_no_others(self, tmp_path: Path) -> None:
        """By what is in them, and without an exception for whatever there may be."""
        plugin, file = self._plugin(), self.file(tmp_path)
        _hold(plugin.recognizes(file), f"{file.name} is not recognized")
        for other in self._others(tmp_path):
            _hold(not plugin.recognizes(other), f"{other.name} is taken for {plugin.description}")

    def test_what_is_not_sound_is_refused(self, tmp_path: Path) -> None:
        """With a DataError and nothing else: files come from anybody."""
        plugin, file = self._plugin(), self.file(tmp_path)
        plugin.check(file)
        damaged = [*self._others(tmp_path), *(self._truncated(file) if file.is_file() else ())]
        for bad in damaged:
            for read in (plugin.check, plugin.signature):
                try:
                    read(bad)
                except DataError:
                    continue
                raise AssertionError(f"{bad.name} is not refused with a DataError")

    def test_its_runner_calls_everything_the_same(self, tmp_path: Path) -> None:
        """Names, types and shapes of the signature are those that the backend knows."""
        plugin, file = self._plugin(), self.file(tmp_path)
        if plugin.backend is None:
            return
        said, runs = to_json(plugin.signature(file)), harness.signature(str(plugin.backend), str(file))
        for side in ("inputs", "outputs"):
            ours, theirs = ([(t["name"], t["dtype"], len(t["shape"])) for t in from_[side]] for from_ in (said, runs))
            _hold(ours == theirs, f"the signature has {side} {ours}, the runner {theirs}")

    def _plugin(self) -> Format:
        plugin: Format = load_reference(self.reference)
        return plugin

    def _others(self, folder: Path) -> Iterator[Path]:
        for name, content in (("noise", NOISE), ("empty", b""), ("text", b"weights: float32\n")):
            path = folder / f"{name}.bin"
            path.write_bytes(content)
            yield path
        (folder / "nothing_in_it").mkdir(exist_ok=True)
        yield folder / "nothing_in_it"

    def _truncated(self, file: Path) -> Iterator[Path]:
        content = file.read_bytes()
        for part in (1, 2, 3):
            path = file.with_name(f"truncated_{part}{file.suffix}")
            path.write_bytes(content[: len(content) * part // 4])
            yield path


def failures(contract: type[PluginContract]) -> dict[str, str]:
    """Test → what does not hold; {} when the contract is kept. Other errors of the plugin are raised."""
    failed = {}
    for name in dir(contract):
        if name.startswith("test_"):
            with tempfile.TemporaryDirectory() as folder:
                try:
                    getattr(contract(), name)(Path(folder))
                except AssertionError as error:
                    failed[name] = str(error)
    return failed


def _backend(target: Format) -> Path:
    if target.backend is None:
        raise AssertionError(f"{target.description}: no backend runs it, so nothing can be checked")
    return target.backend


def _hold(right: bool, message: str) -> None:
    if not right:
        raise AssertionError(message)

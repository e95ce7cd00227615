"""Golden samples as a package ships them: a few, on their way from raw values to the program's answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow import efpkg
from edgeflow.errors import MismatchError
from edgeflow.plugin import GoldenSamples
from edgeflow.preprocessing import Preprocessing
from edgeflow.runners import harness
from edgeflow.stages import splits
from edgeflow.stages.ladder import Outputs
from edgeflow.types.ladder import Rung
from edgeflow.types.plain import to_json
from edgeflow.types.programs import Program
from edgeflow.types.signatures import Binding, Tensor
from edgeflow.types.variants import SOURCE
from edgeflow.units import show

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FOLDER = "golden"  # in the package
# A package is downloaded: that many samples, fewer where they would take more than this, and at least one.
MOST_SAMPLES = 4
MOST_BYTES = 64 * 2**10
MOST_RAW_BYTES = 4 * 2**20  # of one raw sample; a larger one stays out, photos above all
# Greatest difference of outputs to those of another machine / their range, by type of activations. Kernels that are
# both right add in another order or round ties apart: measured between LiteRT and TFLite Micro on one machine 3e-7 in
# float32, 1e-2 in int8 and 2e-5 in int16 (see their compile_tolerance); machines of another kind get a few times that.
# float16 may be computed in float32 or in itself, 5e-4 a rounding. A model as it is may be any of these.
TOLERANCES = {"float32": 1e-3, "float16": 2e-2, "int8": 0.03, "int16": 1e-3, SOURCE: 0.03}


@dataclass(frozen=True)
class Sources:
    """Where golden samples and what became of them are."""

    golden: Path  # split
    raw: Path  # tensors [1, …] before preprocessing, named "<row in golden>/<input>"
    raw_rows: tuple[int, ...]  # those that are there
    answers: Path  # npz: golden float32[G, K], real values


@dataclass(frozen=True)
class Golden:
    """What goes into the manifest, into the archive, and to the runtime's own files."""

    described: efpkg.Golden
    contents: Mapping[str, bytes]  # path → array, little-endian
    samples: GoldenSamples


def make(sources: Sources, info: Program, how: Preprocessing, activations: str, binding: Binding) -> Golden:
    """Choose samples and follow them; MismatchError when files do not belong together."""
    import numpy as np

    x = splits.whole(sources.golden)
    (answers,) = Outputs.read(sources.answers).golden.values()
    given, output = _tensors(info)
    (bound,) = binding.inputs.values()
    if len(x) != len(answers) or not len(x):
        raise MismatchError(
            f"package: {len(answers)} answers in {sources.answers}, {len(x)} samples in {sources.golden}; "
            "compile the variant again"
        )
    kept = {row: next(iter(samples.values())) for row, samples in splits.raw(sources.raw, sources.raw_rows).items()}
    each = x[0].nbytes + (0 if given.scale is None else x[0].size) + answers[0].nbytes
    rows = _rows(len(x), {row: sample.nbytes for row, sample in kept.items()}, each)
    raw, left_out = _raw([kept[row] for row in rows if row in kept], len(rows))
    prepared = np.ascontiguousarray(x[rows].transpose(0, *(axis + 1 for axis in bound.axes))) if bound.axes else x[rows]
    samples = GoldenSamples(
        scaled=_scaled(prepared, how, channels_last=bool(bound.axes)),
        inputs=encoded(prepared, given),
        outputs=encoded(answers[rows], output),
        tolerance=max(TOLERANCES[activations] * float(np.ptp(answers)), output.scale or 0.0),
        answered_by=_answered(info).evaluated_on,
    )
    return _described(samples, prepared, raw, left_out, info)


def _tensors(info: Program) -> tuple[Tensor, Tensor]:
    if info.signature is None or len(info.signature.inputs) != 1 or len(info.signature.outputs) != 1:
        raise MismatchError(f"package: {info.id}: no signature with one input and one output; compile it again")
    return info.signature.inputs[0], info.signature.outputs[0]


def _answered(info: Program) -> Rung:
    """The rung of what answered: the program, or what it was compiled from."""
    if not info.ladder.rungs or info.ladder.rungs[-1].stage != "compile":
        raise MismatchError(f"package: {info.id}: nothing answered for the program; compile it again")
    return info.ladder.rungs[-1]


def _rows(count: int, raw_bytes: Mapping[int, int], each_bytes: int) -> list[int]:
    """Samples spread over the split, which may be sorted by class: as many as are small enough together."""
    candidates = [row for row, size in sorted(raw_bytes.items()) if size <= MOST_RAW_BYTES] or list(range(count))
    for wanted in range(min(MOST_SAMPLES, len(candidates)), 1, -1):
        rows = [candidates[i * len(candidates) // wanted] for i in range(wanted)]
        if sum(each_bytes + raw_bytes.get(row, 0) for row in rows) <= MOST_BYTES:
            return rows
    return candidates[:1]


def _raw(arrays: list[NDArray[Any]], wanted: int) -> tuple[list[NDArray[Any]], str]:
    """The raw samples of all chosen rows, or why they stay out."""
    largest = max((array.nbytes for array in arrays), default=0)
    if len(arrays) == wanted and largest <= MOST_RAW_BYTES:
        return arrays, ""
    return [], f"a raw sample takes more than {show(MOST_RAW_BYTES, 'byte')}, the most that a package holds of each"


def _scaled(prepared: NDArray[Any], how: Preprocessing, *, channels_last: bool) -> NDArray[np.float32]:
    """Values before they were normalised, as close as float32 gives them back."""
    import numpy as np

    axes = (-1,) if channels_last else (-1, *(1 for _ in how.shape[1:]))
    mean, std = (np.asarray(values, np.float64).reshape(axes) for values in (how.mean, how.std))
    return (prepared * std + mean).astype(np.float32)


def encoded(real: NDArray[np.float32], tensor: Tensor) -> NDArray[Any]:
    """Real values in the type of a tensor, as the runner backends encode; so what they decoded comes back as it was."""
    return harness.encoded(real, to_json(tensor))


def _described(
    samples: GoldenSamples, prepared: NDArray[Any], raw: Sequence[NDArray[Any]], left_out: str, info: Program
) -> Golden:
    given, output = _tensors(info)
    arrays = {
        f"{FOLDER}/input.bin": samples.inputs,
        f"{FOLDER}/output.bin": samples.outputs,
        **{f"{FOLDER}/raw{i}.bin": array for i, array in enumerate(raw)},
    }
    if given.scale is not None:  # else the program takes what was prepared
        arrays[f"{FOLDER}/prepared.bin"] = prepared
    made = {path: efpkg.Array(path, array.dtype.name, array.shape) for path, array in arrays.items()}
    described = efpkg.Golden(
        samples=len(prepared),
        raw=tuple(made[f"{FOLDER}/raw{i}.bin"] for i in range(len(raw))),
        raw_left_out=left_out,
        prepared={given.name: made.get(f"{FOLDER}/prepared.bin", made[f"{FOLDER}/input.bin"])},
        inputs={given.name: made[f"{FOLDER}/input.bin"]},
        outputs={output.name: made[f"{FOLDER}/output.bin"]},
        tolerance={output.name: samples.tolerance},
        answered_by=samples.answered_by,
        artifact_sha256=_answered(info).artifact_sha256,
    )
    return Golden(described, {path: _little_endian(array) for path, array in arrays.items()}, samples)


def _little_endian(array: NDArray[Any]) -> bytes:
    return array.astype(array.dtype.newbyteorder("<")).tobytes()

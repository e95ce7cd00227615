"""Golden samples as a package ships them: a few, on their way from raw values to the program's answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow import efpkg
from edgeflow.errors import MismatchError
from edgeflow.plugin import GoldenSamples
from edgeflow.preprocessing import FLOAT32, Preprocessing
from edgeflow.runners import harness
from edgeflow.runners.tensors import Split
from edgeflow.stages import splits
from edgeflow.stages.ladder import Outputs
from edgeflow.types.ladder import Rung
from edgeflow.types.plain import to_json
from edgeflow.types.programs import Program
from edgeflow.types.signatures import Binding, Bound, Tensor
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
    answers: Path  # outputs.safetensors of what was compiled


@dataclass(frozen=True)
class Golden:
    """What goes into the manifest, into the archive, and to the runtime's own files."""

    described: efpkg.Golden
    contents: Mapping[str, bytes]  # path → array, little-endian
    samples: GoldenSamples


def make(
    sources: Sources, info: Program, preprocessing: Mapping[str, Preprocessing], activations: str, binding: Binding
) -> Golden:
    """Choose samples and follow them; MismatchError when files do not belong together."""
    import numpy as np

    split, answers = splits.opened(sources.golden), Outputs.read(sources.answers).golden
    _, answering = _tensors(info, binding)
    count = len(next(iter(answers.values()), ()))
    if len(split) != count or not count:
        raise MismatchError(
            f"package: {count} answers in {sources.answers}, {len(split)} samples in {sources.golden}; "
            "compile the variant again"
        )
    kept = splits.raw(sources.raw, sources.raw_rows)
    each = _bytes(*_follow(split, answers, [0], info, binding))
    sizes = {row: sum(array.nbytes for array in samples.values()) for row, samples in kept.items()}
    rows = _rows(len(split), sizes, each)
    largest = max((array.nbytes for row in rows for array in kept.get(row, {}).values()), default=0)
    raw, left_out = _raw([kept[row] for row in rows if row in kept], len(rows), largest)
    prepared, inputs, outputs = _follow(split, answers, rows, info, binding)
    samples = GoldenSamples(
        scaled={
            bound.tensor: _scaled(prepared[bound.tensor], preprocessing[name], bound)
            for name, bound in binding.inputs.items()
            if preprocessing[name].dtype == FLOAT32
        },
        inputs=inputs,
        outputs=outputs,
        tolerance={
            bound.tensor: max(
                TOLERANCES[activations] * float(np.ptp(answers[name])),
                answering[bound.tensor].scale or 0.0,
            )
            for name, bound in binding.outputs.items()
        },
        answered_by=_answered(info).evaluated_on,
    )
    return _described(samples, prepared, raw, left_out, info)


def _tensors(info: Program, binding: Binding) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
    """The program's inputs and its outputs by name; MismatchError where the binding speaks of others."""
    sides = (info.signature.inputs, info.signature.outputs) if info.signature else ((), ())
    given, answering = ({tensor.name: tensor for tensor in side} for side in sides)
    for bound, tensors in ((binding.inputs, given), (binding.outputs, answering)):
        if missing := sorted({place.tensor for place in bound.values()} - set(tensors)):
            raise MismatchError(f"package: {info.id}: its signature has no {missing[0]!r}; compile it again")
    return given, answering


Arrays = Mapping[str, "NDArray[Any]"]


def _follow(
    split: Split, answers: Arrays, rows: Sequence[int], info: Program, binding: Binding
) -> tuple[Arrays, Arrays, Arrays]:
    """Of some samples, by the names in the program: prepared, as it takes them, and what it gives."""
    import numpy as np

    names = harness.Names(to_json(info.signature), to_json(binding))
    fed = [names.feed(split.batch(row, row + 1), 0, 1) for row in rows]
    given, answering = _tensors(info, binding)
    prepared = {n: np.stack([each[n][0] if tensor.batched else each[n] for each in fed]) for n, tensor in given.items()}
    inputs = {name: encoded(values, given[name]) for name, values in prepared.items()}
    outputs = {
        bound.tensor: encoded(_turned(answers[name][list(rows)], bound), answering[bound.tensor])
        for name, bound in binding.outputs.items()
    }
    return prepared, inputs, outputs


def _bytes(prepared: Arrays, inputs: Arrays, outputs: Arrays) -> int:
    """What these arrays take in a package: of those that are given as they were prepared there is one file."""
    others = (array for name, array in prepared.items() if array.dtype != inputs[name].dtype)
    return sum(array.nbytes for array in (*others, *inputs.values(), *outputs.values()))


def _turned(samples: NDArray[Any], bound: Bound) -> NDArray[Any]:
    """Samples [N, …] with their axes as in the program."""
    return samples.transpose(0, *(axis + 1 for axis in bound.axes)) if bound.axes else samples


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


def _raw(samples: list[Arrays], wanted: int, largest: int) -> tuple[list[Arrays], str]:
    """The raw samples of all chosen rows, or why they stay out."""
    if len(samples) == wanted and largest <= MOST_RAW_BYTES:
        return samples, ""
    return [], f"a raw sample takes more than {show(MOST_RAW_BYTES, 'byte')}, the most that a package holds of each"


def _scaled(prepared: NDArray[Any], how: Preprocessing, bound: Bound) -> NDArray[np.float32]:
    """Values before they were normalised, as close as float32 gives them back."""
    import numpy as np

    at = bound.axes.index(0) if bound.axes else 0  # of the channels in a sample of the program
    axes = (-1, *(1 for _ in how.shape[at + 1 :]))
    mean, std = (np.asarray(values, np.float64).reshape(axes) for values in (how.mean, how.std))
    return (prepared * std + mean).astype(np.float32)


def encoded(real: NDArray[Any], tensor: Tensor) -> NDArray[Any]:
    """Real values in the type of a tensor, as the runner backends encode; so what they decoded comes back as it was."""
    return harness.encoded(real, to_json(tensor))


def _described(samples: GoldenSamples, prepared: Arrays, raw: Sequence[Arrays], left_out: str, info: Program) -> Golden:
    arrays: dict[str, NDArray[Any]] = {}

    def put(path: str, array: NDArray[Any]) -> efpkg.Array:
        arrays[f"{FOLDER}/{path}"] = array
        return efpkg.Array(f"{FOLDER}/{path}", array.dtype.name, array.shape)

    inputs, outputs = (
        {name: put(path, named[name]) for name, path in _paths(kind, named).items()}
        for kind, named in (("input", samples.inputs), ("output", samples.outputs))
    )
    # the program takes what was prepared, but for those of another type
    others = {name: values for name, values in prepared.items() if values.dtype != samples.inputs[name].dtype}
    written = {name: put(path, others[name]) for name, path in _paths("prepared", prepared).items() if name in others}
    names = list(raw[0]) if raw else []
    described = efpkg.Golden(
        samples=len(next(iter(prepared.values()))),
        raw={
            name: tuple(
                put(f"raw{i}{f'_{at}' if len(names) > 1 else ''}.bin", each[name]) for i, each in enumerate(raw)
            )
            for at, name in enumerate(names)
        },
        raw_left_out=left_out,
        prepared={name: written.get(name, inputs[name]) for name in prepared},
        inputs=inputs,
        outputs=outputs,
        tolerance=samples.tolerance,
        answered_by=samples.answered_by,
        artifact_sha256=_answered(info).artifact_sha256,
    )
    return Golden(described, {path: _little_endian(array) for path, array in arrays.items()}, samples)


def _paths(kind: str, named: Arrays) -> dict[str, str]:
    return {name: f"{kind}{i if len(named) > 1 else ''}.bin" for i, name in enumerate(named)}


def _little_endian(array: NDArray[Any]) -> bytes:
    return array.astype(array.dtype.newbyteorder("<")).tobytes()

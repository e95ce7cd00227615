"""What a manifest claims, held against itself: it may not say more than its own figures do."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise

from edgeflow.efpkg import ustar
from edgeflow.efpkg.manifest import ITEM_BYTES, NAME, Array, Common, Manifest, quote
from edgeflow.figures import bad_end, of_the_machine, task_metrics
from edgeflow.paths import clash
from edgeflow.types.figures import Direction
from edgeflow.types.verdicts import Check, Release, Status

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
MAX_AXES = 8
_SHA256 = re.compile(r"[0-9a-f]{64}")


def problem(manifest: Common) -> str:
    """The first contradiction in a manifest; empty when there is none."""
    return next(_problems(manifest), "")


def _problems(manifest: Common) -> Iterator[str]:
    yield from _names(manifest)
    yield from _files(manifest)
    yield from _digests(manifest)
    yield from _interface(manifest)
    yield from _verdict(manifest)
    if isinstance(manifest, Manifest):
        wrong = [*_binding(manifest)]
        yield from wrong
        yield from _normalisation(manifest)
        if not wrong:  # what follows asks for the tensors of inputs and outputs
            yield from _golden(manifest)


def _names(manifest: Common) -> Iterator[str]:
    for key in ("model", "target", "scheme"):
        value = getattr(manifest, key)
        if not _ID.fullmatch(value):
            yield f"{key} {quote(value)} is not an id"
        if getattr(manifest.verdict, key) != value:
            yield f"verdict.{key} is {quote(getattr(manifest.verdict, key))}, the package's {key} is {value!r}"
    if manifest.release_counter < 1:
        yield f"release_counter is {manifest.release_counter}; the first release is 1"
    if not manifest.runtime.least_versions:
        yield "runtime.least_versions names no library"


def _files(manifest: Common) -> Iterator[str]:
    paths = [file.path for file in manifest.files]
    if conflict := clash([NAME, *paths]):
        yield f"files: {conflict}"
    for before, after in pairwise(paths):
        if after <= before:
            yield f"files: {after!r} after {before!r}: not sorted, or twice"
    for file in manifest.files:
        if not 0 <= file.size_bytes <= ustar.MAX_SIZE_BYTES:
            yield f"files: {file.path!r}: size_bytes is {file.size_bytes}; allowed are 0 to {ustar.MAX_SIZE_BYTES}"
        if not _SHA256.fullmatch(file.sha256):
            yield f"files: {file.path!r}: {quote(file.sha256)} is not a SHA-256"
    if manifest.program not in paths:
        yield f"program {quote(manifest.program)} is not among the files"


def _digests(manifest: Common) -> Iterator[str]:
    """Every figure must be about an artifact of this package: its program, or an ancestor of that."""
    for name, digest in manifest.ancestors.items():
        if not _SHA256.fullmatch(digest):
            yield f"ancestors: {quote(name)}: {quote(digest)} is not a SHA-256"
    program = next((file.sha256 for file in manifest.files if file.path == manifest.program), None)
    if manifest.ancestors.get("program") != program:
        yield f"ancestors: 'program' is not the SHA-256 of {quote(manifest.program)}"
    known = {*manifest.ancestors.values(), *(file.sha256 for file in manifest.files)}
    for measurement in manifest.measurements:
        if measurement.artifact_sha256 not in known:
            yield (
                f"measurement {quote(measurement.metric)} is of artifact {quote(measurement.artifact_sha256)}, "
                "which is neither in the package nor an ancestor"
            )
    for rung in manifest.ladder.rungs:
        if rung.artifact_sha256 not in known:
            yield (
                f"ladder: rung {quote(rung.stage)} is of artifact {quote(rung.artifact_sha256)}, "
                "which is neither in the package nor an ancestor"
            )


def _interface(manifest: Common) -> Iterator[str]:
    """There is an input, and the output that answers, whose values have names."""
    signature, last = manifest.signature, manifest.postprocessing
    outputs = {tensor.name: tensor for tensor in signature.outputs}
    for tensors in (signature.inputs, signature.outputs):
        if len({tensor.name for tensor in tensors}) != len(tensors):
            yield "signature: two tensors have one name"
    if not signature.inputs or not outputs:
        yield "signature has no inputs, or no outputs"
    if (last is None) != (not manifest.labels) and isinstance(manifest, Manifest):
        yield f"{len(manifest.labels)} labels, and postprocessing {quote(last and last.operation)}"
    if last is None:
        return
    if last.output not in outputs:
        yield f"postprocessing.output {quote(last.output)} is not an output of the signature"
    elif isinstance(manifest, Manifest):
        shape = outputs[last.output].shape
        classes = shape[-1] if shape else 1
        if isinstance(classes, int) and classes != len(manifest.labels):
            yield f"labels: {len(manifest.labels)} names for the {classes} values of output {quote(last.output)}"


def _binding(manifest: Manifest) -> Iterator[str]:
    """What the model calls its inputs and outputs is in the program: all of its inputs, and outputs of it."""
    signature = manifest.signature
    for side, tensors, bound in (
        ("inputs", signature.inputs, manifest.binding.inputs),
        ("outputs", signature.outputs, manifest.binding.outputs),
    ):
        by_name = {tensor.name: tensor for tensor in tensors}
        places = sorted(place.tensor for place in bound.values())
        if not places or not {*places} <= {*by_name} or (side == "inputs" and places != sorted(by_name)):
            yield f"binding.{side}: {quote(places)} are not the {side} of the signature, {quote(sorted(by_name))}"
            continue
        for name, place in bound.items():
            if place.axes and sorted(place.axes) != [*range(len(by_name[place.tensor].sample))]:
                yield f"binding.{side}: {quote(name)}: {quote([*place.axes])} are not the axes of {quote(place.tensor)}"
    if {*manifest.preprocessing} != {*manifest.binding.inputs}:
        yield f"preprocessing: {quote(sorted(manifest.preprocessing))} are not the model's inputs"


def _normalisation(manifest: Manifest) -> Iterator[str]:
    several = len(manifest.preprocessing) > 1
    for name, how in manifest.preprocessing.items():
        of = f"preprocessing.{name}" if several else "preprocessing"
        channels = how.shape[0] if how.shape else 1
        for key, values in (("mean", how.mean), ("std", how.std)):
            if len(values) not in (1, channels):
                yield f"{of}.{key} has {len(values)} numbers for {channels} channels"
        if 0 in how.std:
            yield f"{of}.std has a 0, by which nothing is divided"
        for dtype, limits in (how.scale or {}).items():
            if len(limits) != 2 or not limits[0] < limits[1]:
                yield f"{of}.scale: {quote(dtype)}: {quote([*limits])} is no range of two numbers"


def _golden(manifest: Manifest) -> Iterator[str]:
    """Golden samples must be files of the package, of the right size, and fit the signature."""
    golden, binding = manifest.golden, manifest.binding
    sizes = {file.path: file.size_bytes for file in manifest.files}
    if manifest.example is not None and manifest.example not in sizes:
        yield f"example {quote(manifest.example)} is not among the files"
    if golden.samples < 1:
        yield f"golden.samples is {golden.samples}; a package has at least one"
    yield from _raw(manifest)
    signature = manifest.signature
    answered = {place.tensor for place in binding.outputs.values()}
    own = {place.tensor: name for name, place in binding.inputs.items()}
    outputs = [tensor for tensor in signature.outputs if tensor.name in answered]
    sides = {"prepared": signature.inputs, "inputs": signature.inputs, "outputs": outputs}
    for side, tensors in sides.items():
        arrays: Mapping[str, Array] = getattr(golden, side)
        if set(arrays) != {tensor.name for tensor in tensors}:
            yield f"golden.{side}: {quote(sorted(arrays))} are not the tensors of the signature"
            continue
        for tensor in tensors:
            dtype = manifest.preprocessing[own[tensor.name]].dtype if side == "prepared" else tensor.dtype
            if misfit := _misfit(arrays[tensor.name], dtype, (golden.samples, *tensor.sample)):
                yield f"golden.{side}: {quote(tensor.name)}: {misfit}"
    named = {f"{side} {quote(name)}": array for side in sides for name, array in getattr(golden, side).items()}
    raw = {f"raw {i}": array for arrays in golden.raw.values() for i, array in enumerate(arrays)}
    for name, array in {**named, **raw}.items():
        if misfit := _array(array, sizes):
            yield f"golden.{name}: {misfit}"
    if {*golden.tolerance} != {*golden.outputs} or not all(value >= 0 for value in golden.tolerance.values()):
        yield "golden.tolerance is not a number from 0 for each output"
    if golden.artifact_sha256 not in manifest.ancestors.values():
        yield f"golden: answers of artifact {quote(golden.artifact_sha256)}, which is no ancestor"


def _raw(manifest: Manifest) -> Iterator[str]:
    """Raw samples are all there or none, and of types that preprocessing knows."""
    golden = manifest.golden
    if golden.raw and {*golden.raw} != {*manifest.binding.inputs}:
        yield f"golden.raw: {quote(sorted(golden.raw))} are not the model's inputs"
        return
    for name, arrays in golden.raw.items() if golden.raw else [("", ())]:
        if len(arrays) not in (0, golden.samples) or bool(arrays) == bool(golden.raw_left_out):
            left_out = quote(golden.raw_left_out)
            yield f"golden.raw: {len(arrays)} of {golden.samples} samples, and raw_left_out {left_out}"
        how = manifest.preprocessing.get(name)
        for i, array in enumerate(arrays):
            if array.dtype in ITEM_BYTES and how is not None and how.scale and array.dtype not in how.scale:
                yield f"golden.raw {i}: preprocessing.scale says nothing of {array.dtype}"


def _misfit(array: Array, dtype: str, shape: tuple[int | str, ...]) -> str:
    """Why an array is not what the signature says; a text in its shape names an axis of any length."""
    axes = zip(array.shape, shape, strict=False)
    fits = len(array.shape) == len(shape) and all(isinstance(b, str) or a == b for a, b in axes)
    return (
        "" if fits and array.dtype == dtype else f"is {quote(array.dtype)}{[*array.shape]}, expected {dtype}{[*shape]}"
    )


def _array(array: Array, sizes: Mapping[str, int]) -> str:
    """Why a file cannot be the array that it is said to be."""
    if array.path not in sizes:
        return f"{quote(array.path)} is not among the files"
    if array.dtype not in ITEM_BYTES:
        return f"{quote(array.dtype)} is not a type of arrays"
    if len(array.shape) > MAX_AXES or not all(0 < axis <= ustar.MAX_SIZE_BYTES for axis in array.shape):
        return f"{quote([*array.shape])} is not a shape"
    size = math.prod(array.shape) * ITEM_BYTES[array.dtype]
    return "" if size == sizes[array.path] else f"has {size} bytes, {quote(array.path)} has {sizes[array.path]}"


def _verdict(manifest: Common) -> Iterator[str]:
    """A verdict that releases must follow from its checks, and each check from a measurement."""
    verdict = manifest.verdict
    if verdict.release != Release.RELEASED:
        yield f"the verdict is {verdict.release.value!r}; only what is released has a package"
    if verdict.status != Status.PASS:
        yield f"the verdict's status is {verdict.status.value!r}, which releases nothing"
    if manifest.shipped_without != verdict.shipped_without:
        yield "shipped_without differs between the package and its verdict"
    for check in verdict.checks:
        if refusal := _check(check, manifest):
            yield f"check of {quote(check.metric)}: {refusal}"
    task = {*verdict.task}
    if not task:  # of a package of before tasks said what they are known by
        task = task_metrics([*(check.metric for check in verdict.checks), *(m.metric for m in manifest.measurements)])
    if wrong := sorted(metric for metric in task if of_the_machine(metric)):
        yield f"{quote(wrong[0])} is no metric of a task"
    if not any(check.metric in task and check.status == Status.PASS for check in verdict.checks):
        yield "the verdict has no check that the model still does its task; nothing is released without one"


def _check(check: Check, manifest: Common) -> str:
    """Why a check does not allow a release; empty when it does."""
    if check.status == Status.NOT_APPLICABLE:
        return ""
    if check.status == Status.UNMEASURED:
        return "" if check.metric in manifest.shipped_without else "is 'unmeasured', and not in shipped_without"
    if check.status != Status.PASS:
        return f"is {check.status.value!r}"
    return _evidence_problem(check, manifest) or _limit_problem(check)


def _evidence_problem(check: Check, manifest: Common) -> str:
    same = (m for m in manifest.measurements if m.metric == check.metric)
    figures = [m for m in same if (m.value, m.evidence) == (check.value, check.evidence)]
    if not figures:
        return "is 'pass' on a figure that is not among the measurements"
    if check.bound not in [bad_end(m.interval, check.direction) for m in figures]:
        return "is 'pass' on a bound that is not the end of its figure's interval"
    if check.evidence is None or not check.evidence.satisfies(check.evidence_required):
        return f"is 'pass' on weaker evidence than {check.evidence_required.value!r}"
    return ""


def _limit_problem(check: Check) -> str:
    figure = check.value if check.bound is None else check.bound
    if figure is None:
        return "is 'pass' without a figure"
    inside = figure <= check.limit if check.direction == Direction.MAX else figure >= check.limit
    return "" if inside else f"is 'pass' with {figure:g}, beyond its limit {check.limit:g}"

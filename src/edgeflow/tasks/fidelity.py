"""Fidelity: how far a model's answers are from those of the model that it is made from. No labels are asked for.

What stands for "right" is the source's own answer to the same samples. An output of real numbers has a signal-to-noise
ratio in decibel; the task's figure is that of the worst output, with each output beside it. What is either the same or
not, integers and outputs that are always zero, is counted: the ratio of samples that are answered exactly alike.
docs/guide/fidelity.md says what the figures mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from edgeflow.errors import DataError
from edgeflow.figures import ALIKE, ALIKE_IN_PART
from edgeflow.plugin import Comparison, Metric, Score, Task
from edgeflow.stats import no_difference, resampled, samples_for_all_right, wilson
from edgeflow.types.figures import Direction, Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Floats = NDArray[np.float64]

SIGNAL_TO_NOISE, COSINE, AGREEMENT, EXACT = "signal_to_noise_db", "cosine_similarity", "agreement", "exact_match"
MOST_DB = 120.0  # as float32 programs differ from each other: less noise than that says nothing more
SAME = "equal bit for bit"
_CONFIDENCE = 0.95
_CONSTANT = 1e-6  # range / greatest absolute value: an output that is always the same but for rounding
# Deviation between samples / that of all values; int8 has about as much noise, and keeps what all samples share.
_ALIKE = 1e-2
_HARDLY_APART = 0.5  # the same ratio, up to which always the same answer has 6 dB and more: a figure must be above that
_CHUNK = 2**21  # values that are looked at at once: float64 copies of all answers could be large
_ROUNDING = 1e-3  # of a sum of probabilities, also in float16
_BROKEN = 1e100  # the noise of an answer that is not finite: finite itself, so that it can be squared and summed up
# What outputs are called that hold a score for each class.
_SCORES = ("logit", "prob", "score", "softmax", "class", "label", "prediction")
_NO_REALS = "every output is of integers or always zero, which has no noise; what is the same is counted: exact_match"
_NO_EXACT = "every output is of real numbers that vary, which need not be the same to the last bit"
_ONE_CLASS = "the source gives the same class the greatest score for all samples, which decides nothing between them"
_NO_SCORES = (
    "no output is known to hold a score for each class: none has rows that sum to one, or such a name; if one does, "
    "name it with 'output' in the model's configuration"
)


@dataclass(frozen=True)
class _Output:
    """One output of both models on the samples that count."""

    name: str
    reference: Array  # [N, …]
    answers: Array  # of the same shape
    # Float64[N, K] of each sample: noise, signal; product, power, signal. None: it cannot be told by a ratio.
    noise: Floats | None
    likeness: Floats | None
    varies: float | None = None  # between samples / of all values: standard deviations; None of one sample
    conditions: Mapping[str, float | int | str] = field(default_factory=dict)


def score(comparison: Comparison) -> Score:
    """Signal-to-noise ratio of the worst output, with a 95 % interval over samples; where no output has one, the ratio
    of exact matches.

    Raises DataError when names or shapes do not fit, or there is no sample on which the reference is finite.
    """
    outputs, by_output = _signal_to_noise(comparison)
    return _worst(by_output, outputs) if by_output else _worst(_exact(outputs), outputs, EXACT)


def further(comparison: Comparison) -> Mapping[str, Score | str]:
    """Cosine similarity, top-1 agreement and exact matches of the worst output; each of these of each output, where
    there are several. The primary figure of each output too. A text says why there is none.
    """
    outputs, reals = _signal_to_noise(comparison)
    exact = _exact(outputs)
    found: dict[str, Score | str] = {}
    if not reals:
        found[SIGNAL_TO_NOISE] = _NO_REALS
    groups = (
        (COSINE, _cosine(outputs), _NO_REALS),
        (AGREEMENT, _agreements(comparison, outputs), _ONE_CLASS if _scored(comparison, outputs) else _NO_SCORES),
        *([(EXACT, exact, _NO_EXACT)] if reals else []),
    )
    for metric, by_output, absent in groups:
        found[metric] = _worst(by_output, outputs) if by_output else absent
    if len(outputs) > 1:
        for metric, by_output in ((SIGNAL_TO_NOISE, reals), (EXACT, exact), *((m, each) for m, each, _ in groups[:2])):
            found |= {f"{metric}/{name}": figure for name, figure in by_output.items()}
    return found


def agreement(comparison: Comparison) -> float | None:
    """Ratio of samples with the same top-1 answer or the same integers, of the worst output; None where none decides
    anything.
    """
    outputs = _outputs(comparison)
    decided = [*_agreements(comparison, outputs).values(), *_exact(outputs).values()]
    return min((figure.value for figure in decided), default=None)


def least_samples(metric: str, limit: float) -> int | None:
    """Evaluation samples below which not even the same decisions are within a limit; None: no number is enough."""
    if metric in (AGREEMENT, EXACT):
        return samples_for_all_right(limit)
    return 2  # one says nothing of others


def _outputs(comparison: Comparison) -> list[_Output]:
    """Every output, on the samples where the reference is finite in all of them."""
    import numpy as np

    reference, answers = comparison.reference, comparison.answers
    if reference.keys() != answers.keys() or not reference:
        names = [", ".join(sorted(each)) or "none" for each in (reference, answers)]
        raise DataError(f"outputs {names[1]} cannot be held against outputs {names[0]}; expected the same names")
    for name, array in reference.items():
        if answers[name].shape != array.shape:
            raise DataError(f"output {name} has shape {answers[name].shape}, and its reference {array.shape}")
    counts = {len(array) if array.ndim else 0 for array in reference.values()}
    if len(counts) != 1 or counts == {0}:
        raise DataError(f"outputs of {sorted(counts)} samples cannot be compared; expected as many of each, and some")
    counts_here = np.ones(counts.pop(), bool)
    for array in reference.values():
        if array.dtype.kind == "f":
            counts_here &= np.isfinite(array).reshape(len(array), -1).all(axis=1)
    left_out = int((~counts_here).sum())
    if left_out == len(counts_here):
        raise DataError(f"the model that is compared with answers no sample of {left_out} with finite numbers")
    said = {"left_out": f"{left_out} samples to which the source itself answers NaN or infinity"} if left_out else {}
    kept = slice(None) if not left_out else counts_here
    return [_output(name, array[kept], answers[name][kept], said) for name, array in reference.items()]


def _output(name: str, reference: Array, answers: Array, said: Mapping[str, str]) -> _Output:
    """Sums of each sample, over values less the reference's mean: an offset that all of them share says nothing, and
    would hide any noise. Where all values are one, they say nothing but that, and are taken as they are.
    """
    import numpy as np

    varies = _varies(reference)
    conditions = {**said, **({"answers": SAME} if _same(reference, answers) else {}), **_alike(varies)}
    if reference.dtype.kind != "f" or not reference.any():
        return _Output(name, reference, answers, None, None, varies, conditions)
    centre = _centre(reference)
    sums = np.concatenate([_sums(one, other, centre) for one, other in _chunks(reference, answers)])
    noise, signal, *likeness = sums.T
    # below the least noise that counts a sample is as good as any
    noise = np.maximum(noise, signal.mean() * 10 ** (-MOST_DB / 10))
    columns = (np.stack([noise, signal], axis=1), np.stack([*likeness, signal], axis=1))
    return _Output(name, reference, answers, *columns, varies, conditions)


def _centre(reference: Array) -> float:
    import numpy as np

    least, greatest = float(reference.min()), float(reference.max())
    always_one = greatest - least <= _CONSTANT * max(abs(least), abs(greatest))
    return 0.0 if always_one else float(np.mean(reference, dtype="float64"))


def _varies(reference: Array) -> float | None:
    """How far answers are from their mean over the samples, as a part of their standard deviation over all values."""
    import numpy as np

    if len(reference) < 2:
        return None
    centre, mean, between, signal = _centre(reference), 0.0, 0.0, 0.0
    for part, _ in _chunks(reference, reference):
        mean = mean + part.sum(axis=0, dtype="float64") / len(reference)
    for part, _ in _chunks(reference, reference):
        values = part.astype("float64")
        between += float(np.square(values - mean).sum())
        signal += float(np.square(values - centre).sum())
    return math.sqrt(between / signal) if signal else 0.0


def _alike(varies: float | None) -> dict[str, str]:
    """That the source's answers hardly depend on what it is asked, with a figure; nothing where they do.

    The signal is then what all answers share, an offset of each class for instance, and even noise that drowns all that
    tells samples apart is small against it.
    """
    if varies is None or varies > _ALIKE:
        return {}
    if not varies:
        return {ALIKE: "they do not vary from sample to sample"}
    return {ALIKE: f"from sample to sample they vary by {100 * varies:.2g} % of their standard deviation"}


def _sums(reference: Array, answers: Array, centre: float) -> Floats:
    """Noise, signal, product with the signal, power of the answers: float64[n, 4]."""
    import numpy as np

    before = reference.reshape(len(reference), -1).astype("float64") - centre
    after = answers.reshape(len(answers), -1).astype("float64") - centre
    finite = np.isfinite(after)
    known = np.where(finite, after, 0)
    values = (np.square(known - before), np.square(before), known * before, np.square(known))
    sums = np.stack([each.sum(axis=1) for each in values], axis=1)
    sums[~finite.all(axis=1), 0] = _BROKEN
    return sums


def _chunks(reference: Array, answers: Array) -> Iterator[tuple[Array, Array]]:
    rows = max(1, _CHUNK // max(reference[0].size, 1))
    return ((reference[i : i + rows], answers[i : i + rows]) for i in range(0, len(reference), rows))


def _same(reference: Array, answers: Array) -> bool:
    """Equal bit for bit, so that 0 and −0 are told apart."""
    import numpy as np

    if reference.dtype != answers.dtype:
        return False

    def bits(array: Array) -> Array:
        return np.ascontiguousarray(array).view(f"u{array.itemsize}")

    return all(np.array_equal(bits(one), bits(other)) for one, other in _chunks(reference, answers))


def _signal_to_noise(comparison: Comparison) -> tuple[Sequence[_Output], dict[str, Score]]:
    """Every output, and the figure of each that has one, with what it has to be held against."""
    outputs = _outputs(comparison)
    scores = _resampled({o.name: (o, o.noise) for o in outputs}, _decibel, -MOST_DB, MOST_DB)
    known = [replace(o, conditions={**_no_better(o, scores.get(o.name)), **o.conditions}) for o in outputs]
    return known, {o.name: replace(scores[o.name], conditions=o.conditions) for o in known if o.name in scores}


def _no_better(output: _Output, figure: Score | None) -> dict[str, str]:
    """That a figure is not shown to be above that of who always answers with the mean of the source's answers."""
    if figure is None or not output.varies or output.varies > _HARDLY_APART:
        return {}
    always = -20 * math.log10(output.varies)
    if figure.interval.low > always:
        return {}
    apart = f"from sample to sample they vary by {100 * output.varies:.2g} % of their standard deviation"
    return {ALIKE: f"{apart}, always the same answer has {always:.1f} dB, and these are not shown to have more"}


def _cosine(outputs: Sequence[_Output]) -> dict[str, Score]:
    return _resampled({o.name: (o, o.likeness) for o in outputs}, _angle, -1.0, 1.0)


def _resampled(
    outputs: Mapping[str, tuple[_Output, Floats | None]],
    figure: Callable[[Floats], tuple[Floats, Floats]],
    least: float,
    most: float,
) -> dict[str, Score]:
    """A figure of the sums of each output that has any, from `least` to `most`, which is what the same answers have."""
    known = {name: (output, rows) for name, (output, rows) in outputs.items() if rows is not None}
    if not known:
        return {}
    intervals = resampled([(rows, figure) for _, rows in known.values()], _CONFIDENCE)
    scores = {}
    for (name, (output, rows)), interval in zip(known.items(), intervals, strict=True):
        if "answers" in output.conditions:
            scores[name] = Score(most, len(rows), no_difference(most), conditions=output.conditions)
            continue
        value = float(figure(rows.sum(axis=0))[0])
        low, high = (interval.low, interval.high) if interval else (least, most)
        method = interval.method if interval else "one sample"
        kept = Interval(_between(low, least, value), _between(high, value, most), _CONFIDENCE, method)
        scores[name] = Score(_between(value, least, most), len(rows), kept, conditions=output.conditions)
    return scores


def _between(value: float, least: float, most: float) -> float:
    return min(max(value, least), most)


def _decibel(sums: Floats) -> tuple[Floats, Floats]:
    """Of sums of noise and signal [..., 2]."""
    import numpy as np

    sums = np.maximum(sums, 1e-290)
    unit = 10 / math.log(10)
    return unit * np.log(sums[..., 1] / sums[..., 0]), unit * np.array([-1.0, 1.0]) / sums


def _angle(sums: Floats) -> tuple[Floats, Floats]:
    """Cosine, of sums of products, power and signal [..., 3]; 0 where the answers have no power."""
    import numpy as np

    product, power, signal = sums[..., 0], np.maximum(sums[..., 1], 1e-290), np.maximum(sums[..., 2], 1e-290)
    length = np.sqrt(power) * np.sqrt(signal)
    cosine = product / length
    return cosine, np.stack([1 / length, -cosine / (2 * power), -cosine / (2 * signal)], axis=-1)


def _exact(outputs: Sequence[_Output]) -> dict[str, Score]:
    """Ratio of samples that are answered exactly alike, of each output that has no noise."""
    return {o.name: _counted(o, _equal(o)) for o in outputs if o.noise is None}


def _equal(output: _Output) -> Array:
    equal: Array = (output.reference == output.answers).reshape(len(output.reference), -1).all(axis=1)
    return equal


def _agreements(comparison: Comparison, outputs: Sequence[_Output]) -> dict[str, Score]:
    """Ratio of samples with the same top-1 answer, of each output that holds a score for each class."""
    import numpy as np

    found = {}
    for output in outputs:
        scores, others = _as_scores(output.reference), _as_scores(output.answers)
        if scores is None or others is None or not _decides(scores):
            continue
        if not _holds_scores(output.name, scores, comparison.output):
            continue
        alike = (scores.argmax(axis=1) == others.argmax(axis=1)) & np.isfinite(others).all(axis=1)
        found[output.name] = _counted(output, alike)
    return found


def _scored(comparison: Comparison, outputs: Sequence[_Output]) -> bool:
    """Whether any output holds a score for each class, whatever it decides."""
    known = ((output.name, _as_scores(output.reference)) for output in outputs)
    return any(scores is not None and _holds_scores(name, scores, comparison.output) for name, scores in known)


def _decides(scores: Array) -> bool:
    """Whether not all samples have the same class, as sorted scores have, and most networks that are asked noise."""
    best = scores.argmax(axis=1)
    return len(best) < 2 or bool((best != best[0]).any())


def _as_scores(array: Array) -> Array | None:
    """[N, K] of [N, K] or of what has only axes of 1 beside; None for anything else."""
    width = max(array.shape[1:], default=1)
    if array.dtype.kind != "f" or width < 2 or array[0].size != width:
        return None
    return array.reshape(len(array), width)


def _holds_scores(name: str, scores: Array, chosen: str) -> bool:
    if chosen:
        return name == chosen
    if any(word in name.lower() for word in _SCORES):
        return True
    return bool(scores.min() >= 0 and (abs(scores.sum(axis=1, dtype="float64") - 1) <= _ROUNDING).all())


def _counted(output: _Output, right: Array) -> Score:
    """A proportion of samples with its Wilson interval; certain where the answers are equal bit for bit."""
    count, n = int(right.sum()), len(right)
    same = "answers" in output.conditions and count == n
    interval = no_difference(1.0) if same else wilson(count, n, _CONFIDENCE)
    return Score(count / n, n, interval, conditions=output.conditions)


def _worst(by_output: Mapping[str, Score], outputs: Sequence[_Output], metric: str = "") -> Score:
    """The figure of the worst output; its interval begins with the lowest of all and ends with the first to end."""
    name, worst = min(by_output.items(), key=lambda item: (item[1].value, item[1].interval.low))
    low = min(figure.interval.low for figure in by_output.values())
    high = max(worst.value, min(figure.interval.high for figure in by_output.values()))
    said = {**worst.conditions, **_alike_in(outputs)}
    if ALIKE_IN_PART in said:
        said.pop(ALIKE, None)
    if len(by_output) > 1:
        said["worst_output"] = name
    interval = Interval(low, high, worst.interval.confidence, worst.interval.method)
    return Score(worst.value, worst.n, interval, metric, said)


def _alike_in(outputs: Sequence[_Output]) -> dict[str, str]:
    """What is said where the source answers all samples nearly alike, in all its outputs or in some of them."""
    alike = {output.name: str(output.conditions[ALIKE]) for output in outputs if ALIKE in output.conditions}
    if len(alike) == len(outputs):
        return {ALIKE: next(iter(alike.values()))}
    return {ALIKE_IN_PART: "; ".join(f"{name}: {said}" for name, said in alike.items())} if alike else {}


plugin = Task(
    id="fidelity",
    description="the same answers as the model that it is made from; needs no labels",
    metric=SIGNAL_TO_NOISE,
    unit="decibel",
    direction=Direction.MAX,
    about="power of the outputs over that of their difference to the source's; of several outputs the worst",
    default_limit=20.0,
    default_reason="a root mean square error of a tenth of the outputs' standard deviation; a rule of thumb, no figure "
    "of what the model is for",
    score=score,
    agreement=agreement,
    further=further,
    further_metrics={
        COSINE: Metric(
            "ratio", Direction.MAX, "cosine of the angle between the outputs and the source's, less their mean"
        ),
        AGREEMENT: Metric("ratio", Direction.MAX, "ratio of samples with the same greatest score as the source's"),
        EXACT: Metric(
            "ratio",
            Direction.MAX,
            "ratio of samples with exactly the source's answer, of outputs that are integers or always zero",
            default_limit=0.99,
            default_reason="one sample of a hundred may be answered otherwise; a rule of thumb, no figure of what the "
            "model is for",
        ),
    },
    needs_targets=False,
    least_samples=least_samples,
)

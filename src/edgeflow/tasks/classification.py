"""Classification: the class with the greatest output is the answer; the metric is the ratio of right answers.

A sample whose outputs are not all finite has no answer: it counts as wrong, and it agrees with nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeflow.errors import DataError
from edgeflow.plugin import Comparison, Drop, Score, Task
from edgeflow.stats import (
    MOST_NEAR,
    ROUNDING_MARGINS,
    no_difference,
    paired_difference,
    samples_for_all_right,
    samples_for_no_change,
    wilson,
    within_rounding,
)
from edgeflow.types.figures import DROP, Direction

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgeflow.plugin import Answers, Float32, Int64

_NO_ANSWER = -1
# Of the range of the outputs. On the digits float32 programs differ by less than 1e-6 of it, float16 ones by 3e-4 and
# int8 ones by 2e-2.
_ROUNDING = 2e-5


def score(comparison: Comparison) -> Score:
    """Accuracy of the scores float32[N, K] against classes int64[N], with a 95 % Wilson interval.

    Raises DataError when there are no labels or several outputs, the shapes do not fit, or a class is none of the K.
    """
    right = _right(_scores(comparison, comparison.answers), _targets(comparison))
    return Score(int(right.sum()) / len(right), len(right), wilson(int(right.sum()), len(right)))


def drop(comparison: Comparison) -> Drop:
    """Accuracy lost against a reference on the same samples, with Tango's 90 % interval and the counts behind it.

    Outputs that are equal bit for bit are no drop: there is nothing to infer. Where they differ by rounding that comes
    nowhere near a decision, the interval is that of rounding: see `stats.within_rounding`. Answers that are the same on
    these samples for other reasons may differ on others, and Tango's interval says how often.

    Raises DataError as `score` does.
    """
    reference, outputs, y = (
        _scores(comparison, comparison.reference),
        _scores(comparison, comparison.answers),
        _targets(comparison),
    )
    before, after = _right(reference, y), _right(outputs, y)
    lost, gained, n = int((before & ~after).sum()), int((after & ~before).sum()), len(y)
    counts = {"lost": lost, "gained": gained, "n": n}
    if _identical(reference, outputs):
        return Drop(0.0, n, no_difference(), {**counts, "answers": "equal bit for bit"})
    if (near := _near(reference, outputs)) <= MOST_NEAR * n:
        return Drop(0.0, n, within_rounding(near, n), {**counts, "answers": "equal but for rounding", "near": near})
    return Drop((lost - gained) / n, n, paired_difference(lost, gained, n), counts)


def chance(y: Int64) -> float:
    """Accuracy of who looks at no input: the ratio of the most frequent class among the labels int64[N]."""
    import numpy as np

    return float(np.unique(y, return_counts=True)[1].max() / len(y))


def least_samples(metric: str, limit: float) -> int | None:
    """Evaluation samples below which not even a flawless result is within a limit; None: no number is enough.

    `limit` is the least accuracy, or for "accuracy_drop" the greatest drop of a model that answers as before.
    """
    return samples_for_no_change(limit) if metric.endswith(DROP) else samples_for_all_right(limit)


def agreement(comparison: Comparison) -> float:
    """Ratio of samples that get the same answer from both; right or wrong does not matter.

    Raises DataError when the shapes differ, there are several outputs, or no samples.
    """
    return _agreement(_scores(comparison, comparison.reference), _scores(comparison, comparison.answers))


def _agreement(first: Float32, second: Float32) -> float:
    if first.shape != second.shape:
        raise DataError(f"outputs of shape {first.shape} and {second.shape} cannot be compared; expected equal shapes")
    one, other = _answers(first), _answers(second)
    return float(((one == other) & (one != _NO_ANSWER)).mean())


def _scores(comparison: Comparison, answers: Answers) -> Float32:
    """The output that has a score for each class: the one that the configuration names, or the only one."""
    if comparison.output:
        return answers[comparison.output]
    if len(answers) != 1:
        names = ", ".join(answers) or "none"
        raise DataError(f"the model has {len(answers)} outputs ({names}); 'output' in its configuration says which one")
    (scores,) = answers.values()
    return scores


def _targets(comparison: Comparison) -> Int64:
    if comparison.targets is None:
        raise DataError("the samples have no labels, and accuracy is counted by them; give labels, or task: fidelity")
    return comparison.targets


def _answers(outputs: Float32) -> NDArray[Any]:
    """The class per sample, int64[N]; of equal outputs the first class, as argmax on the device would."""
    import numpy as np

    if outputs.ndim != 2 or 0 in outputs.shape:
        raise DataError(f"outputs have shape {outputs.shape}; a classifier gives (samples, classes)")
    return np.where(np.isfinite(outputs).all(axis=1), outputs.argmax(axis=1), _NO_ANSWER)


def _identical(first: Float32, second: Float32) -> bool:
    """True for finite outputs that are equal bit for bit, so that 0 and −0 are told apart."""
    import numpy as np

    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    same = first.view(f"u{first.itemsize}") == second.view(f"u{second.itemsize}")
    return bool(same.all() and np.isfinite(first).all())


def _near(reference: Float32, outputs: Float32) -> int:
    """Samples whose decision has a margin of less than ROUNDING_MARGINS times what could change it.

    That is twice the greatest difference of the outputs. All samples where any decision did change, where outputs are
    not finite, where there is one class, and where the outputs differ by more than float32 programs do: what narrower
    types clip or overflow on other samples is more than these samples show.
    """
    import numpy as np

    if reference.shape[1] < 2 or _agreement(reference, outputs) < 1:
        return len(reference)
    before, after = _on_one_scale(reference, outputs)
    greatest = float(abs(after - before).max())
    if greatest > _ROUNDING * float(np.ptp(before)):
        return len(reference)
    first, second = np.partition(before, -2, axis=1)[:, :-3:-1].T
    return int((first - second < ROUNDING_MARGINS * 2 * greatest).sum())


def _on_one_scale(reference: Float32, outputs: Float32) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both as float64[N, K] on which a difference means the same everywhere: of probabilities the logarithms.

    Near 0 and 1 nothing is seen of what a softmax was given, and an int8 network of easy samples answers as float32.
    """
    import numpy as np

    before, after = reference.astype("float64"), outputs.astype("float64")
    if before.min() < 0 or before.max() > 1 + _ROUNDING:
        return before, after
    least = np.finfo("float32").tiny
    return np.log(np.maximum(before, least)), np.log(np.maximum(after, least))


def _right(outputs: Float32, y: Int64) -> NDArray[np.bool_]:
    """Which samples, bool[N], got the right answer."""
    answers = _answers(outputs)
    if y.shape != answers.shape:
        raise DataError(f"{len(outputs)} outputs and labels of shape {y.shape}; expected one label per sample")
    classes = outputs.shape[1]
    if y.min() < 0 or y.max() >= classes:
        raise DataError(f"labels from {y.min()} to {y.max()}; the model has {classes} classes, 0 to {classes - 1}")
    right: NDArray[np.bool_] = answers == y
    return right


plugin = Task(
    id="classification",
    description="one class per sample; accuracy",
    metric="accuracy",
    about="ratio of right answers on the evaluation split",
    direction=Direction.MAX,
    score=score,
    drop=drop,
    agreement=agreement,
    chance=chance,
    least_samples=least_samples,
)

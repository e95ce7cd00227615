"""What each stage did to the answers of a model, and which layers lose most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from edgeflow.types.figures import Interval
from edgeflow.types.signatures import Binding


@dataclass(frozen=True)
class Network:
    """What a training showed of the network itself (in `train.json`)."""

    without_gradient: tuple[str, ...] = ()  # parameters that were to be trained, and that no loss ever depended on
    softmax_twice: bool = False  # it answers with probabilities, to a loss that takes logits


@dataclass(frozen=True)
class LayerNoise:
    """How much of a layer's signal is left after a lossy step, on the golden inputs."""

    name: str  # "blocks.0.conv1"
    operator: str  # "Conv", "CONV_2D"
    before_db: float | None  # least signal-to-noise ratio among the layers that it reads; None where it reads the input
    after_db: float  # of what it answers
    range_over_median: float  # greatest absolute value of the float activations / their median absolute value


@dataclass(frozen=True)
class Rung:
    """One step of the ladder: the task metric and the distance to the step before it."""

    stage: str  # "train", "convert", "optimize", "compile"
    metric: str  # "accuracy"
    # None: the evaluation samples were not asked. The step was to change nothing, and on the golden ones it did not, or
    # the program answers when it is measured.
    value: float | None
    n: int  # evaluation samples; 0 without a value
    # Greatest absolute difference of the golden outputs to the rung before, None on the first; of several outputs, here
    # and below, that of the one which is farthest from what it was
    golden_max_abs: float | None
    golden_mean_abs: float | None
    # max − min of the golden outputs of the rung before (of this one on the first): the scale of the above
    golden_range: float
    # Ratio of samples with the same decision as the rung before: evaluation samples, golden ones without a value
    agreement: float | None
    tolerance: float | None  # greatest golden_max_abs / golden_range allowed; None where the step is lossy
    tolerance_reason: str
    artifact_sha256: str
    evaluated_on: str  # what ran it: "torch 2.13.0", "onnxruntime 1.32.0", "tflite-micro …"
    operators: Mapping[str, int] = field(default_factory=dict)  # in the file, by name; empty where nothing tells
    noisiest: tuple[LayerNoise, ...] = ()  # the layers that add most noise, most first; () where the step is not lossy
    kept: tuple[str, ...] = ()  # layers that stayed in float32
    golden_n: int = 0  # golden samples
    golden_output: str = ""  # the output that the golden figures are of


@dataclass(frozen=True)
class LayerSensitivity:
    """What quantizing one layer alone costs."""

    name: str
    operator: str
    drop: float  # of the task metric against the float model, on the same samples
    interval: Interval
    output_db: float  # signal-to-noise ratio of the model's outputs


@dataclass(frozen=True)
class Sensitivity:
    """Which layers lose most when they are quantized, and which ones a mixed-precision scheme keeps in float32."""

    model: str
    profile: str
    scheme: str
    metric: str  # "accuracy"
    limit: float  # greatest drop
    n: int  # training samples: what is evaluated later must not have chosen the layers
    blended: float  # ratio of another sample in each, so that they are as hard as the evaluation samples
    drop_quantized: float  # of the model with every layer quantized
    interval_quantized: Interval
    drop_mixed: float  # with the kept layers in float32
    interval_mixed: Interval
    kept: tuple[str, ...]
    layers: tuple[LayerSensitivity, ...]  # most sensitive first
    infeasible: str = ""  # why nothing could be tried; there are no layers then, and the figures mean nothing


@dataclass(frozen=True)
class Ladder:
    """Where accuracy was lost on the way to one artifact."""

    rungs: tuple[Rung, ...]
    infeasible: str = ""  # why no library could make or run what comes after the last rung: the artifact is empty
    binding: Binding | None = None  # of the last artifact, to the names of the model that the ladder begins with

    @property
    def valued(self) -> tuple[tuple[Rung, float], ...]:
        """The rungs with a value, and that; what is between two of them answers as the first does."""
        return tuple((rung, rung.value) for rung in self.rungs if rung.value is not None)

    def extended(self, step: Rung) -> Ladder:
        """This ladder with one more step."""
        return replace(self, rungs=(*self.rungs, step))

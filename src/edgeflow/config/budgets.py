"""Limits on metrics: a budget's key is the metric's name, which also says its unit."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from edgeflow.config import fields as f
from edgeflow.config.problem import Findings, not_one_of
from edgeflow.config.section import Section
from edgeflow.types.figures import Evidence


class Limit(Section):
    """The part that budgets of all units share."""

    max: Any = None
    min: Any = None
    evidence: f.Evidence = Field(description="weakest evidence that may decide: device, simulator, host or estimate")

    @model_validator(mode="after")
    def _one_sided(self) -> Limit:
        if (self.max is None) == (self.min is None):
            raise Findings([("", "needs exactly one of 'max' and 'min'")])
        return self


class FractionLimit(Limit):
    """A limit from 0 to 100 %: a percentage with its sign, or a decimal number below 1."""

    max: f.Fraction | None = Field(None, description="greatest value allowed, e.g. 1 %")
    min: f.Fraction | None = Field(None, description="least value allowed, e.g. 97 %")


class RatioLimit(Limit):
    """A limit on a quotient."""

    max: f.Ratio | None = Field(None, description="greatest value allowed, e.g. 1.05")
    min: f.Ratio | None = Field(None, description="least value allowed")


class TimeLimit(Limit):
    """A limit on a time."""

    max: f.Seconds | None = Field(None, description="greatest value allowed, e.g. 5 ms")
    min: f.Seconds | None = Field(None, description="least value allowed")


class SizeLimit(Limit):
    """A limit on a number of bytes."""

    max: f.Bytes | None = Field(None, description="greatest value allowed, e.g. 256 KiB")
    min: f.Bytes | None = Field(None, description="least value allowed")


class CountLimit(Limit):
    """A limit on a count."""

    max: f.Number | None = Field(None, description="greatest value allowed")
    min: f.Number | None = Field(None, description="least value allowed")


class Budgets(Section):
    """Limits by metric: every metric that edgeflow knows."""

    accuracy: FractionLimit | None = Field(None, description="ratio of right answers on the evaluation split")
    accuracy_drop: FractionLimit | None = Field(
        None, description="accuracy lost against the trained float32 model, paired on the same samples"
    )
    latency_p50_s: TimeLimit | None = Field(None, description="median time of one inference")
    latency_p90_s: TimeLimit | None = Field(None, description="90th percentile of the time of one inference")
    latency_p99_s: TimeLimit | None = Field(None, description="99th percentile of the time of one inference")
    first_inference_s: TimeLimit | None = Field(
        None, description="time to load the program and run it for the first time"
    )
    latency_ratio_fp32: RatioLimit | None = Field(
        None, description="median time as a ratio of the baseline's on the same target"
    )
    memory_peak_bytes: SizeLimit | None = Field(None, description="peak memory above the runtime's own, or the arena")
    size_bytes: SizeLimit | None = Field(None, description="size of the compiled program")
    accelerator_cycles: CountLimit | None = Field(None, description="cycles of the accelerator for one inference")
    cpu_operators: CountLimit | None = Field(None, description="operators that the accelerator leaves to the CPU")


class TaskLimit(Limit):
    """A limit on a figure of a model's task, in the unit that the task says."""

    max: f.Quantity | None = Field(None, description="greatest value allowed, of a metric of which less is better")
    min: f.Quantity | None = Field(None, description="least value allowed, e.g. 20 dB or 99 %")
    evidence: f.Evidence = Field(Evidence.HOST, description="weakest evidence that may decide")


METRICS = tuple(Budgets.model_fields)


def _metric(value: str) -> str:
    if value not in METRICS:
        raise ValueError(not_one_of(value, METRICS))
    return value


Metric: TypeAlias = Annotated[str, AfterValidator(_metric), WithJsonSchema({"type": "string", "enum": list(METRICS)})]

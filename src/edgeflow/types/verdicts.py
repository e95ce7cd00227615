"""What checks and variants come to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from edgeflow.types.figures import Direction, Evidence


class Status(StrEnum):
    """The verdict on one check or on one variant."""

    PASS = "pass"
    FAIL = "fail"
    UNMEASURED = "unmeasured"  # the figure is missing or its evidence too weak
    INSUFFICIENT_EVIDENCE = "insufficient_evidence"  # the interval straddles the limit
    INFEASIBLE = "infeasible"  # no program exists for this variant
    NOT_APPLICABLE = "not_applicable"  # a check only: there is nothing to compare with, e.g. the fp32 baseline itself


class Release(StrEnum):
    """What becomes of a variant."""

    RELEASED = "released"
    HELD = "held"  # nothing failed, but a figure is missing, too weak, or from too few samples
    REJECTED = "rejected"  # a budget failed
    INFEASIBLE = "infeasible"  # no program can exist
    FAILED = "failed"  # a job on the way to it broke: nothing is known of it


@dataclass(frozen=True)
class Check:
    """One budget held against one measurement."""

    metric: str
    status: Status
    limit: float
    unit: str
    direction: Direction
    evidence_required: Evidence
    value: float | None
    bound: float | None  # the end of the interval that was judged, where there is one
    margin: float | None  # limit − judged figure for max, judged figure − limit for min; ≥ 0 is inside
    evidence: Evidence | None
    reason: str  # one sentence with the figures in it
    samples_to_decide: int | None = None  # for insufficient_evidence: n at which the same figures would decide


@dataclass(frozen=True)
class Verdict:
    """Every check of a variant and what follows from them."""

    model: str
    target: str
    scheme: str
    status: Status
    release: Release
    reasons: tuple[str, ...]  # why it is not simply released; empty when it is
    shipped_without: tuple[str, ...]  # metrics that the target accepts to ship without and that are unmeasured
    checks: tuple[Check, ...]
    task: tuple[str, ...] = ()  # metrics that say whether the model does its task: one is decided in a release
    warnings: tuple[str, ...] = ()  # what makes good figures mean little, whatever becomes of the variant

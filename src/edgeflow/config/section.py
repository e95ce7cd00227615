"""What every file and every group of keys in one has in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

from edgeflow.config.problem import Findings

S = TypeVar("S", bound="Section")


class Section(BaseModel):
    """Base of every file and of every group of keys in one."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def hold(section: S, faults: Sequence[tuple[str, str]]) -> S:
    """The section itself when its rules found nothing.

    Raises Findings, which pydantic collects, with (path inside the section, message) each.
    """
    if faults:
        raise Findings(faults)
    return section

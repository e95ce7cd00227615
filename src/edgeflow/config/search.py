"""The part of config/config.yaml that says what `edgeflow search` explores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from edgeflow.config import fields as f
from edgeflow.config.budgets import Metric
from edgeflow.config.section import Section
from edgeflow.config.space import DEFAULT, UNTRAINED, Alternative

MINUTES_10_S = 600.0


class Search(Section):
    """What a search tries, what it looks for, and when it ends; options of the command come first."""

    objective: Metric | None = Field(
        None, description="metric to minimise beside the drop; where time is measured latency_ratio_fp32, else `prefer`"
    )
    trials: f.Count | None = Field(None, description="schemes of the space that are tried; no limit if not given")
    timeout_s: f.Seconds = Field(MINUTES_10_S, description="wall time of one run of the search")
    space: Annotated[tuple[Mapping[str, Any], ...], f.listed(dict[str, Any]), f.not_empty] | None = Field(
        None, description="schemes in which a value may be a list of choices or a range; see docs/guide/search.md"
    )

    def alternatives(self, *, imported: bool) -> tuple[Alternative, ...]:
        """The space that is searched; of a model that is imported, training-time steps are no part of the default."""
        return self.space or (UNTRAINED if imported else DEFAULT)

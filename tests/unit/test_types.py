"""Values survive the way through JSON, and nothing else does."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeflow.types.figures import Direction, Evidence, Interval, Measurement
from edgeflow.types.plain import from_json, to_json
from edgeflow.types.variants import Step
from edgeflow.types.verdicts import Check, Status

finite = st.floats(allow_nan=False, allow_infinity=False)
intervals = st.builds(Interval, finite, finite, finite, st.text())
measurements = st.builds(
    Measurement,
    metric=st.text(),
    value=finite,
    unit=st.text(),
    evidence=st.sampled_from(Evidence),
    device=st.text(),
    artifact_sha256=st.text(),
    method=st.text(),
    n=st.none() | st.integers(),
    interval=st.none() | intervals,
    time=st.none() | st.text(),
    tools=st.dictionaries(st.text(), st.text()),
    conditions=st.dictionaries(st.text(), finite | st.integers() | st.text()),
)


@given(measurements)
def test_a_measurement_survives_json(measurement: Measurement) -> None:
    assert from_json(Measurement, json.loads(json.dumps(to_json(measurement)))) == measurement


def test_evidence_is_ordered() -> None:
    for i, weaker in enumerate(Evidence):
        for j, stronger in enumerate(Evidence):
            assert stronger.satisfies(weaker) == (j <= i)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": 1}, "Interval: unknown key 'colour'; known: low, high, confidence, method"),
        ({"low": "1"}, "Interval.low: expected float, found '1'"),
        ({"low": True}, "Interval.low: expected float, found True"),
        ({"method": None}, "Interval.method: expected str, found None"),
    ],
)
def test_wrong_json_is_refused(change: dict[str, object], message: str) -> None:
    good = {"low": 0, "high": 1.0, "confidence": 0.9, "method": "wilson"}
    assert from_json(Interval, good).low == 0.0
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared below
        from_json(Interval, {**good, **change})
    assert str(caught.value) == message


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ValueError, match="Interval: missing key 'method'"):
        from_json(Interval, {"low": 0, "high": 1, "confidence": 0.9})


def test_options_of_a_step_may_be_pairs_of_names() -> None:
    step = Step("distill", 2, 0.1, {"teacher": "large", "temperature": 4, "features": {"stem": "stem"}})
    assert from_json(Step, to_json(step)) == step
    with pytest.raises(ValueError, match=r"^Step\.options\.features\.stem: expected str, found 3$"):
        from_json(Step, {**to_json(step), "options": {"features": {"stem": 3}}})


def test_unions_and_enums() -> None:
    check = Check("a", Status.PASS, 1.0, "ratio", Direction.MAX, Evidence.HOST, None, None, None, None, "r")
    assert from_json(Check, to_json(check)) == check
    with pytest.raises(ValueError, match=r"^Check\.status: expected one of pass, fail, .*, found 'maybe'$"):
        from_json(Check, {**to_json(check), "status": "maybe"})

"""Bodies of both protocols: whatever comes, it becomes events or a refusal."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.requests import OUTPUT_DATATYPES, BadRequest, parse_infer, parse_predict

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
EVENT = st.fixed_dictionaries(
    {"event_id": st.text() | JSON, "text": st.text() | JSON},
    optional={
        "occurred_at": st.datetimes().map(str) | st.integers(-(10**18), 10**18) | JSON,
        "account": JSON,
        "language": st.sampled_from(["en", "zh-Hans", "x"]) | JSON,
        "media": JSON,
        "context": JSON,
    },
)
TENSOR = st.fixed_dictionaries(
    {
        "name": st.just("event") | JSON,
        "shape": st.sampled_from([[0], [1], [2]]) | JSON,
        "datatype": st.just("BYTES") | JSON,
        "data": st.lists(EVENT.map(lambda one: orjson.dumps(one, default=str).decode()) | JSON)
        | JSON,
    }
)


def dumps(value: object) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # a lone surrogate: orjson writes none, and reads none
        return b"\xff"


def outcome(parse: Callable[[bytes, int], Any], body: object) -> Any:
    """What the parser returns, or the refusal; any other exception fails the test."""
    try:
        return parse(dumps(body), 2)
    except BadRequest as refused:
        return refused


@settings(max_examples=300, deadline=None)
@given(JSON | st.fixed_dictionaries({"instances": st.lists(EVENT, max_size=3) | JSON}))
def test_any_v1_body_becomes_events_or_a_refusal(body: object) -> None:
    result = outcome(parse_predict, body)
    if isinstance(result, BadRequest):
        assert result.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        assert len(str(result)) < 500
    else:
        assert 1 <= len(result) <= 2


@settings(max_examples=300, deadline=None)
@given(
    JSON
    | st.fixed_dictionaries(
        {"inputs": st.lists(TENSOR, max_size=2) | JSON}, optional={"id": JSON, "outputs": JSON}
    )
)
def test_any_v2_body_becomes_events_or_a_refusal(body: object) -> None:
    result = outcome(parse_infer, body)
    if isinstance(result, BadRequest):
        assert len(str(result)) < 500
    else:
        assert 1 <= len(result.events) <= 2
        assert set(result.outputs) <= set(OUTPUT_DATATYPES)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_read(body: bytes) -> None:
    for parse in (parse_predict, parse_infer):
        with pytest.raises(BadRequest):
            parse(body, 2)


def test_aliases_of_the_contract_are_read() -> None:
    body = b'{"instances": [{"id": "e1", "text": "hi", "time": "2026-01-05T12:00:00"}]}'
    (event,) = parse_predict(body, 1)
    assert (event.event_id, str(event.occurred_at)) == ("e1", "2026-01-05 12:00:00+00:00")

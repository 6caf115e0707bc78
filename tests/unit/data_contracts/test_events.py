"""The event contract accepts the minimum and names what breaks it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from data_contracts.errors import ContractViolation
from data_contracts.events import MAX_EVENT_BYTES, parse_event, parse_event_line

MINIMAL = {"event_id": "e1", "text": "hello"}


def test_an_id_and_a_text_are_enough() -> None:
    event = parse_event(MINIMAL)
    assert (event.event_id, event.text, event.account, event.media) == ("e1", "hello", None, ())


def test_short_names_of_id_and_time_are_understood() -> None:
    event = parse_event({"id": "e1", "text": "", "time": "2026-01-05T10:00:00+02:00"})
    assert event.occurred_at == datetime(2026, 1, 5, 8, tzinfo=UTC)


def test_a_time_without_a_zone_is_utc() -> None:
    event = parse_event({**MINIMAL, "occurred_at": "2026-01-05T10:00:00"})
    assert event.occurred_at == datetime(2026, 1, 5, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"event_id": ""}, "event_id"),
        ({"event_id": "a\nb"}, "event_id"),
        ({"text": 5}, "text"),
        ({"text": "x" * 70_000}, "text"),
        ({"language": "english!"}, "language"),
        ({"occurred_at": "yesterday"}, "occurred_at"),
        ({"context": {"nested": {"a": 1}}}, "context"),
        ({"context": {"ratio": float("nan")}}, "context"),
        ({"label": "spam"}, "label"),
        ({"media": [{"kind": "image", "sha256": "0" * 64}]}, "media.0"),
        ({"media": [{"kind": "image", "sha256": "0" * 64, "path": "../x"}]}, "media.0"),
        ({"media": [{"kind": "image", "sha256": "zz", "path": "x"}]}, "media.0.sha256"),
    ],
)
def test_a_broken_field_is_named(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ContractViolation) as caught:
        parse_event({**MINIMAL, **change}, where="day.jsonl:3")
    assert caught.value.field.startswith(field)
    assert str(caught.value).startswith("day.jsonl:3: ")


def test_user_text_does_not_reach_the_message() -> None:
    with pytest.raises(ContractViolation) as caught:
        parse_event({**MINIMAL, "text": "my secret " * 10_000})
    assert "my secret" not in str(caught.value)


@pytest.mark.parametrize("line", [b"{", b"[1]", b"null", b"\xff\xfe", b""])
def test_a_line_that_is_no_object_is_refused(line: bytes) -> None:
    with pytest.raises(ContractViolation, match="line"):
        parse_event_line(line)


def test_a_line_over_the_bound_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(ContractViolation, match="at most"):
        parse_event_line(b" " * (MAX_EVENT_BYTES + 1))


def test_ignored_fields_are_dropped() -> None:
    assert parse_event({**MINIMAL, "label": "spam"}, ignore=("label",)).event_id == "e1"

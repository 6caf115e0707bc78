"""Alertmanager's JSON becomes alerts; who has no token, or sends something else, is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from data_contracts.errors import BadInput
from pipelines import alert_inbox
from pipelines.state import open_state
from serving.incidents.alertmanager import MOST_BYTES, PATH, parse, routes, take

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
BURNS = {
    "status": "firing",
    "labels": {
        "alertname": "WeirUnavailableFast", "severity": "page", "objective": "unavailable",
    },
    "annotations": {"summary": "2% of users' requests got no verdict", "action": "Roll back."},
    "startsAt": "2026-01-05T02:58:00.123456789+01:00",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://prometheus/graph",
    "fingerprint": "f00d",
}  # fmt: skip
BREAKER = BURNS | {
    "status": "resolved",
    "labels": {"alertname": "WeirBreakerOpen", "severity": "critical", "stage": "image"},
}


def body(*alerts: dict[str, Any], **changes: Any) -> bytes:
    content = {
        "version": "4", "groupKey": "{}", "truncatedAlerts": 0, "status": "firing",
        "receiver": "incidents", "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {},
        "externalURL": "http://alertmanager", "alerts": list(alerts),
    }  # fmt: skip
    return json.dumps(content | changes).encode()


def test_labels_are_the_subject_and_the_summary_the_reason() -> None:
    received = parse(body(BURNS, BREAKER))
    (alert,) = received.firing
    assert alert.name == "WeirUnavailableFast"
    assert alert.severity_hint == "page"
    assert alert.subject == {"objective": "unavailable"}
    assert alert.reason == "2% of users' requests got no verdict"
    assert alert.likely_cause == "objective unavailable"
    assert alert.at == datetime(2026, 1, 5, 1, 58, 0, 123456, tzinfo=UTC)
    (over,) = received.over
    assert (over.severity_hint, dict(over.subject)) == ("ticket", {"stage": "image"})
    assert over.likely_cause == "stage image"


def test_an_alert_that_is_over_clears_the_one_that_was_raised(tmp_path: Path) -> None:
    engine = open_state(f"sqlite:///{tmp_path}/state.sqlite")
    alert_inbox.prepare(engine)
    assert take(engine, body(BURNS), NOW) == {"raised": 1, "cleared": 0}
    assert take(engine, body(BURNS | {"status": "resolved"}), NOW) == {"raised": 0, "cleared": 1}
    with engine.connect() as connection:
        raised, cleared = alert_inbox.waiting(connection)
    assert (raised.kind, cleared.kind) == ("raised", "cleared")
    assert raised.fingerprint == cleared.fingerprint
    assert raised.alert == parse(body(BURNS)).firing[0]
    engine.dispose()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "JSON"),
        (body(BURNS, version="3"), "version"),
        (body(BURNS | {"status": "so-so"}), r"alerts\.0\.status"),
        (body(BURNS | {"labels": {"severity": "page"}}), "alertname"),
        (body(BURNS | {"labels": {"alertname": ""}}), "name is empty"),
        (json.dumps({"version": "4"}).encode(), "alerts"),
    ],
)
def test_what_is_no_payload_is_refused_by_name(content: bytes, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        parse(content)


def test_the_endpoint_asks_for_its_token_and_takes_no_book(tmp_path: Path) -> None:
    engine = open_state(f"sqlite:///{tmp_path}/state.sqlite")
    alert_inbox.prepare(engine)
    client = TestClient(Starlette(routes=routes(engine, "t0ken", lambda: NOW)))
    known = {"authorization": "Bearer t0ken"}
    assert client.post(PATH, content=body(BURNS)).status_code == 401
    wrong = client.post(PATH, content=body(BURNS), headers={"authorization": "Bearer no"})
    assert wrong.status_code == 401
    assert client.post(PATH, content=b"x" * (MOST_BYTES + 1), headers=known).status_code == 413
    assert client.post(PATH, content=b"{}", headers=known).status_code == 400
    with engine.connect() as connection:
        assert alert_inbox.waiting(connection) == []
    answer = client.post(PATH, content=body(BURNS, BREAKER), headers=known)
    assert answer.json() == {"raised": 1, "cleared": 1}
    engine.dispose()

"""MLflow's reports: signature, freshness, and the fields that are read."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from data_contracts.errors import BadInput
from serving.approval.report import NotMlflow, check, parse
from serving.webhook_signature import signature

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
WINDOW = timedelta(seconds=300)
BODY = b'{"entity": "model_version_tag"}'


def _headers(at: datetime = NOW, key: str = "s3cret") -> dict[str, str]:
    sent = str(int(at.timestamp()))
    return {
        "x-mlflow-delivery-id": "d-1",
        "x-mlflow-timestamp": sent,
        "x-mlflow-signature": signature(key, "d-1", sent, BODY),
    }


@pytest.mark.parametrize("seconds", [0, 300, -300])
def test_a_signed_report_within_the_window_is_believed(seconds: int) -> None:
    sent_at = NOW + timedelta(seconds=seconds)
    delivery = check(_headers(sent_at), BODY, "s3cret", NOW, WINDOW)
    assert (delivery.id, delivery.sent_at) == ("d-1", sent_at)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"x-mlflow-signature": ""}, "is not the signature of this body"),
        ({"x-mlflow-signature": "v1,AAAA"}, "is not the signature of this body"),
        ({"x-mlflow-signature": "v1,\u00e9"}, "is not the signature of this body"),
        ({"x-mlflow-delivery-id": "d-2"}, "is not the signature of this body"),
        ({"x-mlflow-timestamp": "1767614401"}, "is not the signature of this body"),
        ({"x-mlflow-delivery-id": ""}, "are missing or too long"),
        ({"x-mlflow-delivery-id": "d" * 65}, "are missing or too long"),
        ({"x-mlflow-timestamp": "9" * 13}, "are missing or too long"),
    ],
)
def test_a_forged_report_is_refused(changes: dict[str, str], reason: str) -> None:
    with pytest.raises(NotMlflow, match=reason):
        check({**_headers(), **changes}, BODY, "s3cret", NOW, WINDOW)


def test_another_secret_or_body_is_refused() -> None:
    with pytest.raises(NotMlflow, match="check the secret"):
        check(_headers(key="other"), BODY, "s3cret", NOW, WINDOW)
    with pytest.raises(NotMlflow, match="check the secret"):
        check(_headers(), BODY + b" ", "s3cret", NOW, WINDOW)


@pytest.mark.parametrize("seconds", [301, -301])
def test_a_report_outside_the_window_is_refused(seconds: int) -> None:
    headers = _headers(NOW + timedelta(seconds=seconds))
    with pytest.raises(NotMlflow, match=r"more than 300 s from now.*approval\.window_seconds"):
        check(headers, BODY, "s3cret", NOW, WINDOW)


def test_a_signed_time_that_is_no_time_is_refused() -> None:
    headers = {"x-mlflow-delivery-id": "d", "x-mlflow-timestamp": "\u0661\u0662"}
    headers["x-mlflow-signature"] = signature("s", "d", "\u0661\u0662", b"")
    with pytest.raises(NotMlflow, match="is no unix time"):
        check(headers, b"", "s", NOW, WINDOW)


def test_only_what_is_needed_is_read() -> None:
    data = {"name": "spam", "version": "3", "key": "weir.approval", "value": "approved"}
    report = parse(
        json.dumps({"entity": "model_version_tag", "action": "set", "data": data}).encode()
    )
    assert (report.action, report.data.version) == ("set", "3")
    assert not hasattr(report.data, "value")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"[]", "body"),
        (b'{"entity": "prompt", "action": "set", "data": {}}', "entity"),
        (b'{"entity": "model_version_tag", "action": "set"}', "data"),
        (
            b'{"entity": "model_version_tag", "action": "set", "data": '
            b'{"name": "spam", "version": "3; reboot", "key": "k"}}',
            "data.version",
        ),
    ],
)
def test_a_malformed_report_names_the_field_and_not_the_value(body: bytes, field: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse(body)
    assert str(caught.value).startswith(f"{field}: ")
    assert "reboot" not in str(caught.value)

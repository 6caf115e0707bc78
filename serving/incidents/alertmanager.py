"""Alertmanager's webhook: its JSON of version 4 becomes alerts, and alerts that are over.

Labels become the subject, so an alert of Prometheus keeps one fingerprint however often it is sent.
`summary` is the reason; the objective, stage or DAG that an alert is about is its cause, so that
the burn rates of one objective, or all that one stage does, are one incident.
https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from data_contracts.alerts import SEVERITY_HINTS, Alert, SeverityHint
from data_contracts.errors import BadInput
from pipelines import alert_inbox

PATH = "/webhooks/alertmanager"
MOST_BYTES = 1_048_576
NOT_THE_SUBJECT = ("alertname", "severity")
CAUSES = ("objective", "stage", "dag")  # labels, the first that an alert has
HOLDS = 1.0  # Alertmanager sends no number: the value is that the condition is true


class Sent(BaseModel):
    """One alert of the payload; what else is in it is not needed."""

    model_config = ConfigDict(frozen=True)

    status: Literal["firing", "resolved"]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    startsAt: datetime  # noqa: N815  (Alertmanager's name)


class Payload(BaseModel):
    """What Alertmanager posts for a group."""

    model_config = ConfigDict(frozen=True)

    version: Literal["4"]
    alerts: tuple[Sent, ...]


@dataclass(frozen=True)
class Received:
    """What holds, and what does not any more."""

    firing: tuple[Alert, ...]
    over: tuple[Alert, ...]


def parse(body: bytes) -> Received:
    """Raises BadInput that names the field of a payload that is none of version 4."""
    try:
        sent = Payload.model_validate_json(body).alerts
        return Received(
            tuple(_alert(one) for one in sent if one.status == "firing"),
            tuple(_alert(one) for one in sent if one.status == "resolved"),
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise BadInput(f"{where}: {first['msg']}; send Alertmanager's JSON, version 4") from None
    except (KeyError, ValueError) as error:
        raise BadInput(f"an alert has no name, or no time zone: {error}") from None


def take(engine: Engine, body: bytes, now: datetime) -> Mapping[str, int]:
    """Put what was posted into the inbox; how many alerts hold, and how many are over."""
    received = parse(body)
    over = [alert.fingerprint for alert in received.over]
    return {
        "raised": alert_inbox.put(engine, received.firing, now),
        "cleared": alert_inbox.clear(engine, over, now),
    }


def routes(engine: Engine, token: str, clock: Callable[[], datetime]) -> list[Route]:
    """The endpoint, for who brings the bearer token. Anything but 2xx Alertmanager sends again,
    except 4xx, which it gives up.
    """

    async def webhook(request: Request) -> Response:
        brought = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(brought, f"Bearer {token}".encode()):
            return _said(401, "give the token of WEIR_ALERTMANAGER_TOKEN as a bearer token")
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BYTES:
                return _said(413, f"the body is over {MOST_BYTES} bytes")
        try:
            return JSONResponse(await run_in_threadpool(take, engine, body, clock()))
        except BadInput as error:
            return _said(400, str(error))

    return [Route(PATH, webhook, methods=["POST"])]


def _alert(sent: Sent) -> Alert:
    labels = sent.labels
    return Alert(
        name=labels["alertname"],
        severity_hint=_hint(labels.get("severity")),
        subject={name: value for name, value in labels.items() if name not in NOT_THE_SUBJECT},
        value=HOLDS,
        expected=None,
        low=None,
        high=None,
        at=sent.startsAt.astimezone(UTC),
        reason=sent.annotations.get("summary", ""),
        likely_cause=next((f"{name} {labels[name]}" for name in CAUSES if name in labels), ""),
    )


def _hint(severity: str | None) -> SeverityHint:
    """A severity that is not ours is looked at on the next working day.

    >>> _hint("page"), _hint("critical")
    ('page', 'ticket')
    """
    return next((hint for hint in SEVERITY_HINTS if hint == severity), "ticket")


def _said(status: int, error: str) -> Response:
    return JSONResponse({"error": error}, status_code=status)

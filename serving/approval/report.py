"""What MLflow reports by webhook: is it really MLflow's, is it fresh, and what does it say.

MLflow signs as `webhook_signature` does, with headers of its own. Whoever has the secret can sign
anything, so a report is only a hint to look; it is never an approval itself.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data_contracts.errors import BadInput
from serving.webhook_signature import signature

DELIVERY_ID = "x-mlflow-delivery-id"
TIMESTAMP = "x-mlflow-timestamp"
SIGNATURE = "x-mlflow-signature"
LONGEST_ID = 64  # characters; MLflow's are UUIDs
LONGEST_TIME = 12  # digits of a unix time


class NotMlflow(BadInput):
    """The report is not signed by MLflow, or too old to be believed."""


@dataclass(frozen=True)
class Delivery:
    """One delivery whose signature holds: its id, and when MLflow sent it."""

    id: str
    sent_at: datetime


class Tag(BaseModel):
    """The tag that was set or deleted; its value is not read, for the registry is asked."""

    model_config = ConfigDict(frozen=True)

    name: Annotated[str, Field(max_length=256)]
    version: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}$")]
    key: Annotated[str, Field(max_length=250)]


class Report(BaseModel):
    """The body of MLflow's `model_version_tag.set` and `.deleted`."""

    model_config = ConfigDict(frozen=True)

    entity: Literal["model_version_tag"]
    action: Literal["set", "deleted"]
    data: Tag


def check(
    headers: Mapping[str, str], body: bytes, secret: str, now: datetime, window: timedelta
) -> Delivery:
    """The delivery. Raises NotMlflow: no or a wrong signature, a time outside `window` of now."""
    delivery_id, timestamp = headers.get(DELIVERY_ID, ""), headers.get(TIMESTAMP, "")
    if not (0 < len(delivery_id) <= LONGEST_ID and 0 < len(timestamp) <= LONGEST_TIME):
        raise NotMlflow(f"headers {DELIVERY_ID} and {TIMESTAMP} are missing or too long")
    given = headers.get(SIGNATURE, "")
    expected = signature(secret, delivery_id, timestamp, body)
    if not hmac.compare_digest(given.encode(), expected.encode()):
        raise NotMlflow(f"header {SIGNATURE} is not the signature of this body; check the secret")
    if not timestamp.isdecimal() or not timestamp.isascii():
        raise NotMlflow(f"header {TIMESTAMP} is no unix time")
    sent_at = datetime.fromtimestamp(int(timestamp), UTC)
    if abs(now - sent_at) > window:
        raise NotMlflow(
            f"sent at {sent_at:%Y-%m-%d %H:%M:%S} UTC, more than {window.total_seconds():g} s from "
            "now; check the clocks, or approval.window_seconds"
        )
    return Delivery(delivery_id, sent_at)


def parse(body: bytes) -> Report:
    """Raises BadInput that names the field; the value stays out of the answer and the log."""
    try:
        return Report.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "body"
        raise BadInput(f"{field}: {first['msg']}") from None

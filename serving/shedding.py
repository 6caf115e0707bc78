"""How a request ends that is turned away on purpose: the reason, the status, when to come again."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

from data_contracts.config import Priority
from data_contracts.errors import ServiceUnavailable

Reason = Literal["over_share", "saturated", "displaced", "deadline", "expired", "stopping"]
_SAID: dict[Reason, str] = {
    "over_share": "the class holds its whole share of the waiting room",
    "saturated": "the waiting room is full",
    "displaced": "more urgent requests took the place",
    "deadline": "the answer would come after its deadline",
    "expired": "no worker was free in time",
    "stopping": "the server is stopping",
}


@dataclass(frozen=True)
class Refusal:
    """Why a request is not worked on, and when it may come again."""

    priority: Priority
    reason: Reason
    retry_after_seconds: int

    @property
    def status(self) -> HTTPStatus:
        """429 where this class is over its share, else 503."""
        if self.reason == "over_share":
            return HTTPStatus.TOO_MANY_REQUESTS
        return HTTPStatus.SERVICE_UNAVAILABLE


class Refused(ServiceUnavailable):
    """A request that was shed; `refusal` says how to answer."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(
            f"{refusal.priority} request shed: {_SAID[refusal.reason]}; "
            f"try again in {refusal.retry_after_seconds} s"
        )

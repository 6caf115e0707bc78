"""Who an account is: its age and profile, and what was found out about it."""

from __future__ import annotations

from collections.abc import Sequence
from math import log1p
from typing import NamedTuple

from data_contracts.actions import ActionKind
from data_contracts.events import Event
from pipelines.features.behaviour.moments import days
from pipelines.features.behaviour.signals import created_at, number

NAMES = (
    "account_age_days", "first_seen_days", "posts_log", "verified", "has_avatar", "bio_length",
)  # fmt: skip


class Standing(NamedTuple):
    """Times in microseconds, 0 where unknown. Short, since it is read for every neighbour."""

    created: float = 0.0
    first_seen: float = 0.0
    confirmed: float = 0.0
    reports: float = 0.0

    def seen(self, event: Event, at: int) -> Standing:
        return self._replace(
            created=created_at(event) or self.created, first_seen=self.first_seen or float(at)
        )

    def accused(self, kind: ActionKind) -> Standing:
        """After a report by someone, or after the platform found the account to spam."""
        if kind == "report":
            return self._replace(reports=self.reports + 1)
        return self._replace(confirmed=self.confirmed + 1)

    def age_days(self, at: int) -> float | None:
        """By the platform's word, else since it was first seen."""
        since = self.created or self.first_seen
        return days(at - since) if since else None


def standing_features(standing: Standing, event: Event, at: int) -> dict[str, float | None]:
    made = created_at(event) or standing.created
    posts = number(event, "posts")
    return {
        "account_age_days": days(at - made) if made else None,
        "first_seen_days": days(at - standing.first_seen) if standing.first_seen else None,
        "posts_log": None if posts is None else log1p(posts),
        "verified": number(event, "verified"),
        "has_avatar": number(event, "has_avatar"),
        "bio_length": number(event, "bio_length"),
    }


def share(such: Sequence[bool]) -> float | None:
    """The share that is so; None of nobody.

    >>> share([True, False])
    0.5
    """
    return sum(such) / len(such) if such else None

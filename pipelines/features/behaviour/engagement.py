"""What an account gets for its posts, and what it gives to others'."""

from __future__ import annotations

from math import log1p
from typing import NamedTuple

from data_contracts.actions import ActionKind
from pipelines.features.behaviour.moments import DAY, faded, one_more
from pipelines.features.behaviour.standing import Standing

NAMES = (
    "likes_per_post", "replies_per_post", "views_per_post", "given_day", "reports_log",
    "reports_per_post", "confirmed_spam",
)  # fmt: skip


class Engagement(NamedTuple):
    """Likes, replies and views received; `given_day` fades and is as of `given_at`."""

    likes: float = 0.0
    replies: float = 0.0
    views: float = 0.0
    given_day: float = 0.0
    given_at: float = 0.0

    def gave(self, at: int) -> Engagement:
        return self._replace(
            given_day=one_more(self.given_day, self.given_at, at, DAY),
            given_at=max(self.given_at, float(at)),
        )

    def received(self, kind: ActionKind) -> Engagement:
        return self._replace(
            likes=self.likes + (kind == "like"),
            replies=self.replies + (kind == "reply"),
            views=self.views + (kind == "view"),
        )


def engagement_features(
    engagement: Engagement, standing: Standing, posts: float, at: int
) -> dict[str, float | None]:
    """`posts` seen before this one; without any, nothing is per post."""
    return {
        "likes_per_post": engagement.likes / posts if posts else None,
        "replies_per_post": engagement.replies / posts if posts else None,
        "views_per_post": engagement.views / posts if posts else None,
        "given_day": faded(engagement.given_day, at - engagement.given_at, DAY),
        "reports_log": log1p(standing.reports),
        "reports_per_post": standing.reports / posts if posts else None,
        "confirmed_spam": standing.confirmed,
    }

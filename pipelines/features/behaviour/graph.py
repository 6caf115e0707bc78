"""Whom an account follows and who follows it, and the company that it keeps.

Neighbours are those that the account itself chose (followed, liked, answered): what others do to
it would let an attacker ruin its standing. Only the latest few are known, so shares are of those.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log1p
from typing import NamedTuple

from data_contracts.events import Event
from pipelines.features.behaviour.moments import DAY, HOUR, faded, one_more
from pipelines.features.behaviour.packing import Ring, renewed, without
from pipelines.features.behaviour.signals import number
from pipelines.features.behaviour.standing import Standing, share

FOLLOWED, NEIGHBOURS = 32, 16

NAMES = (
    "followers_log", "following_log", "follower_ratio", "in_degree_log", "out_degree_log",
    "reciprocity", "follows_hour", "unfollows_day", "neighbour_spam_share",
    "neighbour_reported_share",
)  # fmt: skip


class Graph(NamedTuple):
    """Identities lately followed and following, degrees as counted, and fading counts."""

    followed: Ring = ()
    followers: Ring = ()
    neighbours: Ring = ()
    out_degree: float = 0.0
    in_degree: float = 0.0
    follows_hour: float = 0.0
    followed_at: float = 0.0
    unfollows_day: float = 0.0
    unfollowed_at: float = 0.0

    def chose(self, other: int) -> Graph:
        return self._replace(neighbours=renewed(self.neighbours, other, NEIGHBOURS))

    def followed_one(self, other: int, at: int) -> Graph:
        """A second follow of someone lately followed is no new edge."""
        return self.chose(other)._replace(
            followed=renewed(self.followed, other, FOLLOWED),
            out_degree=self.out_degree + (other not in self.followed),
            follows_hour=one_more(self.follows_hour, self.followed_at, at, HOUR),
            followed_at=max(self.followed_at, float(at)),
        )

    def unfollowed_one(self, other: int, at: int) -> Graph:
        return self._replace(
            followed=without(self.followed, other),
            out_degree=max(self.out_degree - 1, 0.0),
            unfollows_day=one_more(self.unfollows_day, self.unfollowed_at, at, DAY),
            unfollowed_at=max(self.unfollowed_at, float(at)),
        )

    def gained(self, other: int) -> Graph:
        return self._replace(
            followers=renewed(self.followers, other, FOLLOWED),
            in_degree=self.in_degree + (other not in self.followers),
        )

    def lost(self, other: int) -> Graph:
        return self._replace(
            followers=without(self.followers, other), in_degree=max(self.in_degree - 1, 0.0)
        )


def graph_features(
    graph: Graph, neighbours: Sequence[Standing], at: int
) -> dict[str, float | None]:
    """`neighbours` are the standings of `graph.neighbours`, as of now."""
    mutual = set(graph.followed) & set(graph.followers)
    return {
        "in_degree_log": log1p(graph.in_degree),
        "out_degree_log": log1p(graph.out_degree),
        "reciprocity": len(mutual) / len(graph.followed) if graph.followed else None,
        "follows_hour": faded(graph.follows_hour, at - graph.followed_at, HOUR),
        "unfollows_day": faded(graph.unfollows_day, at - graph.unfollowed_at, DAY),
        "neighbour_spam_share": share([one.confirmed > 0 for one in neighbours]),
        "neighbour_reported_share": share([one.reports > 0 for one in neighbours]),
    }


def degree_features(graph: Graph, event: Event) -> dict[str, float | None]:
    """By the platform's word where it gives one, else as counted."""
    followers = _told_or_counted(event, "followers", graph.in_degree)
    following = _told_or_counted(event, "following", graph.out_degree)
    return {
        "followers_log": None if followers is None else log1p(followers),
        "following_log": None if following is None else log1p(following),
        "follower_ratio": follower_ratio(followers, following),
    }


def follower_ratio(followers: float | None, following: float | None) -> float | None:
    """The logarithm of followers to followed, one added to each; 0 where they balance.

    >>> follower_ratio(3.0, 3.0)
    0.0
    """
    if followers is None or following is None:
        return None
    return log1p(followers) - log1p(following)


def _told_or_counted(event: Event, key: str, counted: float) -> float | None:
    told = number(event, key)
    return told if told is not None else counted or None

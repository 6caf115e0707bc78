"""What the accounts of one bucket do beside posting: follows, likes, replies, views, reports.

The platform finds some of those that spam, a day or more too late (`confirmed_spam`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import permutations

import numpy as np

from data_contracts.actions import Action, ActionKind
from pipelines.simulation.composition.people import Account
from pipelines.simulation.composition.world import Post

FOLLOWS, FOLLOWS_OF_NEWCOMERS = 3.0, 6.0  # mean number of accounts followed
FOLLOWED_BACK, NEWCOMER_FOLLOWED_BACK = 0.4, 0.15
RING_SHARE = 0.6  # pairs of a ring that follow each other
FOLLOW_DAYS = 20  # before the first day, so far as an account exists
REACTIONS: tuple[tuple[ActionKind, float, float], ...] = (  # mean number a post: to ham, to spam
    ("view", 0.6, 0.6),
    ("like", 0.7, 0.5),
    ("reply", 0.3, 0.15),
    ("report", 0.01, 0.12),
)
CONFIRMED_SHARE = 0.35  # of the accounts that spam
CONFIRMED_AFTER_HOURS = (24.0, 0.6)  # median, spread of the logarithm
PLATFORM = "platform"


@dataclass(frozen=True)
class Crowd:
    """The accounts of one bucket, by the scenes (`plays`) in which they post."""

    plays: Sequence[Sequence[Post]]
    start: datetime
    end: datetime
    rng: np.random.Generator

    def actions(self) -> list[Action]:
        """All actions before `end`, in order of time."""
        accounts = {post.account.name: post.account for play in self.plays for post in play}
        found = [
            *self._follows(list(accounts.values())),
            *(action for play in self.plays for action in self._ring(play)),
            *self._reactions(list(accounts)),
            *self._confirmed(),
        ]
        within = [action for action in found if action.at < self.end]
        return sorted(within, key=lambda action: (action.at, action.account, action.target))

    def _follows(self, accounts: Sequence[Account]) -> Iterator[Action]:
        for account in accounts:
            newcomer = "newcomer" in account.signals
            count = self.rng.poisson(FOLLOWS_OF_NEWCOMERS if newcomer else FOLLOWS)
            back = NEWCOMER_FOLLOWED_BACK if newcomer else FOLLOWED_BACK
            for other in self.rng.choice(len(accounts), int(count)):
                target = accounts[int(other)]
                if target.name != account.name:
                    yield from self._follow(account, target, back)

    def _follow(self, account: Account, target: Account, back: float) -> Iterator[Action]:
        at = self._between(max(account.created_at, target.created_at, self._earliest), self.end)
        yield Action(account.name, "follow", target.name, at, account.device)
        if self.rng.random() < back:
            later = at + timedelta(hours=float(self.rng.exponential(24)))
            yield Action(target.name, "follow", account.name, later, target.device)

    def _ring(self, play: Sequence[Post]) -> Iterator[Action]:
        """Members follow each other before they post, and like each other's posts."""
        members: Mapping[str, Post] = {
            post.account.name: post for post in reversed(play) if "ring" in post.signals
        }
        for one, other in permutations(members.values(), 2):
            if self.rng.random() < RING_SHARE:
                since = max(one.account.created_at, other.account.created_at, self._earliest)
                at = self._between(since, max(since, one.at))
                yield Action(one.account.name, "follow", other.account.name, at, one.account.device)
            if self.rng.random() < RING_SHARE / 2:
                at = other.at + timedelta(minutes=float(self.rng.exponential(60)))
                yield Action(one.account.name, "like", other.account.name, at, one.account.device)

    def _reactions(self, names: Sequence[str]) -> Iterator[Action]:
        for post in (post for play in self.plays for post in play):
            for kind, to_ham, to_spam in REACTIONS:
                count = int(self.rng.poisson(to_spam if post.label == "spam" else to_ham))
                for other in self.rng.choice(len(names), count):
                    at = post.at + timedelta(hours=float(self.rng.exponential(6)))
                    if names[other] != post.account.name:
                        yield Action(names[other], kind, post.account.name, at)

    def _confirmed(self) -> Iterator[Action]:
        """The platform finds an account some time after its first spam."""
        first: dict[str, datetime] = {}
        for post in (post for play in self.plays for post in play if post.label == "spam"):
            name = post.account.name
            first[name] = min(first.get(name, post.at), post.at)
        median, spread = CONFIRMED_AFTER_HOURS
        for name, at in first.items():
            hours = median * float(self.rng.lognormal(0, spread))
            if self.rng.random() < CONFIRMED_SHARE:
                yield Action(PLATFORM, "confirmed_spam", name, at + timedelta(hours=hours))

    @property
    def _earliest(self) -> datetime:
        return self.start - timedelta(days=FOLLOW_DAYS)

    def _between(self, one: datetime, other: datetime) -> datetime:
        span = max(0.0, (other - one).total_seconds())
        return one + timedelta(milliseconds=int(self.rng.uniform(0, span) * 1000))

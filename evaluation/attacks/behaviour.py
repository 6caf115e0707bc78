"""Attacks on the past: slow drip, aged accounts, rotation of devices.

They rewrite the numbers of an event's context: what the platform sends of the account, and what
enrichment would have written under `behaviour.` had the campaign been run so. Nothing is replayed:
other accounts, other posts and `surroundings.` stay as they were, so this is a bound on what such
a campaign changes, not a simulation of it. Only what is there is rewritten.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from math import expm1, log1p

import numpy as np

from data_contracts.events import ContextValue, Event
from evaluation.attacks.base import Family, fitting
from pipelines.feature_store.base import EPOCH
from pipelines.features.behaviour.moments import DAY
from pipelines.features.behaviour.signals import created_at
from pipelines.perturbations.base import check_rate

MOST_TIMES_SLOWER = 24.0  # an hour's posts in a day
OLDEST_DAYS = 3 * 365.0
BOUGHT_POSTS, BOUGHT_FOLLOWERS = 300, 150  # of an account with a history, as they are sold

LARGEST_LOG = 50.0  # of a count that enrichment can write

Number = Callable[[float], float]


class SlowDrip:
    """Spread the posts of an account over up to MOST_TIMES_SLOWER times the time.

    Chu, Gianvecchio, Wang & Jajodia 2012, "Detecting automation of Twitter accounts" (IEEE TDSC
    9), has the rhythm that gives machines away; the slowest bots are missed.
    """

    name = "slow_drip"
    family: Family = "behaviour"

    def applies_to(self, event: Event) -> bool:
        return _has_number(event, _slower(2.0, 0.0))

    def disguise(self, event: Event, strength: float, rng: np.random.Generator) -> Event:
        share = check_rate(strength) * (0.9 + 0.1 * rng.random())  # nobody is quite regular
        return _with_numbers(event, _slower(1 + share * (MOST_TIMES_SLOWER - 1), share))


class AgedAccount:
    """Post from an account that is up to OLDEST_DAYS older, with posts and followers.

    Thomas et al. 2013, "Trafficking Fraudulent Accounts: The Role of the Underground Market in
    Twitter Spam and Abuse" (USENIX Security): aged accounts are sold.
    """

    name = "aged_account"
    family: Family = "behaviour"

    def applies_to(self, event: Event) -> bool:
        return created_at(event) is not None or _has_number(event, _older(1.0, 1.0, 1.0))

    def disguise(self, event: Event, strength: float, rng: np.random.Generator) -> Event:
        share = check_rate(strength) * (0.9 + 0.1 * rng.random())
        days = round(share * OLDEST_DAYS)
        older = _with_numbers(event, _older(days, share * BOUGHT_POSTS, share * BOUGHT_FOLLOWERS))
        made = created_at(event)
        if made is None or made < days * DAY:
            return older
        created = (EPOCH + timedelta(microseconds=made - days * DAY)).isoformat()
        context = older.context | {"account_created_at": created}
        return fitting(event, older.model_copy(update={"context": context}))


class DeviceRotation:
    """Post from another device, which `strength` of the former one's other accounts never used.

    Xie et al. 2008, "Spamming Botnets: Signatures and Characteristics" (SIGCOMM); Cao, Yang, Yu &
    Palow 2014, "Uncovering Large Groups of Active Malicious Accounts" (CCS), for whom shared
    devices and addresses are the trace.
    """

    name = "device_rotation"
    family: Family = "behaviour"

    def applies_to(self, event: Event) -> bool:
        return bool(event.context.get("device")) or _has_number(event, _fewer_on_device(0.5))

    def disguise(self, event: Event, strength: float, rng: np.random.Generator) -> Event:
        rotated = _with_numbers(event, _fewer_on_device(check_rate(strength)))
        device = f"device-{rng.bytes(8).hex()}"
        if not event.context.get("device") or not strength:
            return rotated
        context = rotated.context | {"device": device}
        return fitting(event, rotated.model_copy(update={"context": context}))


def _slower(times: float, share: float) -> Mapping[str, Number]:
    """What the features of rhythm become when every interval is `times` as long."""

    def rarer(count: float) -> float:
        return count / times

    def at_least_one(count: float) -> float:
        return max(1.0, float(round(count / times))) if count >= 1 else count

    def longer(log_seconds: float) -> float:
        return log1p(_counted(log_seconds) * times)

    return {
        **{f"behaviour.{name}": rarer for name in ("posts_hour", "posts_day", "follows_hour")},
        **{f"behaviour.most_in_{span}": at_least_one for span in ("minute", "ten_minutes")},
        **{f"behaviour.{name}": longer for name in ("since_last_log", "interval_mean_log")},
        "behaviour.interval_regularity": lambda alike: alike * (1 - share),
        "behaviour.device_synchrony": lambda in_step: in_step * (1 - share),
    }


def _older(days: float, posts: float, followers: float) -> Mapping[str, Number]:
    """What an account's standing becomes with so many more days, posts and followers."""

    def more(count: float) -> Number:
        return lambda log: log1p(_counted(log) + count)

    return {
        "behaviour.account_age_days": lambda age: age + days,
        "behaviour.first_seen_days": lambda age: age + days,
        "behaviour.posts_log": more(posts),
        "behaviour.posts_seen_log": more(posts),
        "behaviour.followers_log": more(followers),
        "behaviour.in_degree_log": more(followers),
        "posts": lambda count: count + round(posts),
        "followers": lambda count: count + round(followers),
    }


def _fewer_on_device(share: float) -> Mapping[str, Number]:
    """What the features of a device become without `share` of its other accounts."""
    names = (
        "device_accounts_day", "device_accounts_week", "device_spam_share", "device_synchrony",
    )  # fmt: skip
    return {f"behaviour.{name}": lambda count: count * (1 - share) for name in names}


def _counted(log: float) -> float:
    """The count of which `log` is log1p; a log that no count has is taken for the largest."""
    return max(expm1(min(log, LARGEST_LOG)), 0.0)


def _has_number(event: Event, changes: Mapping[str, Number]) -> bool:
    """Whether one of these keys has a number that its change would alter."""
    return any(change(entry) != entry for entry, change in _numbers(event, changes).values())


def _with_numbers(event: Event, changes: Mapping[str, Number]) -> Event:
    found = {key: change(entry) for key, (entry, change) in _numbers(event, changes).items()}
    if not found:
        return event
    context: dict[str, ContextValue] = {**event.context, **found}
    return fitting(event, event.model_copy(update={"context": context}))


def _numbers(event: Event, changes: Mapping[str, Number]) -> dict[str, tuple[float, Number]]:
    return {
        key: (float(entry), change)
        for key, change in changes.items()
        if isinstance(entry := event.context.get(key), int | float) and not isinstance(entry, bool)
    }

"""New campaigns in live traffic: much of one kind that was not there before, and is let through.

`campaign_alerts` is what the hourly monitoring calls. An alert asks people to look and never acts
upon anybody: what is a campaign and what a greeting or a newsletter, their labels decide. A group
whose like reviewers have called ham raises none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.alerts import Alert
from data_contracts.config import Settings
from evaluation.monitoring.campaign_groups import (
    CHANCE,
    FEWEST_SENDERS,
    LEAST_GROWTH,
    SIMILARITY,
    Growth,
    growing,
    is_enough,
    senders,
)
from evaluation.monitoring.campaign_posts import Post, Sides, decided_posts, sides_of
from pipelines import lake
from pipelines.features.text.normalisation import readable
from pipelines.known_campaigns import SAME, KnownCampaign, KnownCampaigns, registry_of
from pipelines.labelling.event_features import EventEncoder, FrozenEncoder, stored_features
from pipelines.labelling.samplers.base import stacked
from pipelines.neighbours import Vectors

NAME = "NewCampaign"
MOST_NOW, MOST_BEFORE = 3_000, 6_000  # posts of a window, and of those before it, that are compared
WINDOWS_BEFORE = 24  # that say what is usual: a day of hours
GUARD_WINDOWS = 1  # between them and now: a campaign's first minutes are not what is usual
LEAST_ALLOWED = 0.2  # of a campaign's posts: the rest is what any filter misses of what it knows
FEWEST_HAM_LABELS = 3  # near a group, and no spam among them: reviewers know it
KNOWN_AS_HAM = 0.9  # of the labels near it, where some are spam
ID_CHARACTERS = 10


@dataclass(frozen=True, eq=False)
class Labelled:
    """What reviewers said: embeddings float32[n, d] and is_spam bool[n]."""

    embeddings: Vectors
    is_spam: np.ndarray


def campaign_alerts(
    settings: Settings, now: datetime, hours: float, encoder: EventEncoder | None = None
) -> list[Alert]:
    """A ticket for each campaign that is new in the `hours` before `now` and gets through.

    Raises MissingPart where the encoder's file cannot be had.
    """
    window = timedelta(hours=hours)
    start, usual_until = now - window, now - window * (1 + GUARD_WINDOWS)
    usual_from = usual_until - window * WINDOWS_BEFORE
    decided = decided_posts(settings.home / "decisions", usual_from, now)
    posts = (one for one in decided if one.at >= start or one.at < usual_until)
    sides = sides_of(posts, start, MOST_NOW, MOST_BEFORE)
    encoder = encoder or FrozenEncoder(settings.data, settings.cache)
    if not is_enough(sides.now, sides.before):
        return []
    vectors = embedded(sides, encoder)
    known = KnownCampaigns(registry_of(settings.home), encoder.version)
    found = growing(sides.now, sides.before, *vectors)
    lately = known.seen_since(now - window * WINDOWS_BEFORE)
    found += going_on(lately, found, sides, vectors[0])
    passed = [one for one in found if is_let_through(one, sides)]
    if not passed:
        return []
    reviewed = labelled(settings, encoder.version)
    alerts = []
    for one in passed:
        if not is_known_ham(one, reviewed):
            first = _first(one, sides)
            new = KnownCampaign(_name(first), first.at, now, one.expected, one.centre)
            alerts.append(_alert(one, sides, known.see(new), now, window))
    known.save(now)
    return alerts


def embedded(sides: Sides, encoder: EventEncoder) -> tuple[Vectors, Vectors]:
    """float32[n, d] of the posts now, and of those before; equal texts are embedded once."""
    texts = [readable(post.text) for post in (*sides.now, *sides.before)]
    distinct = sorted(set(texts))
    vectors = dict(zip(distinct, encoder.embed(distinct), strict=True))
    both = np.stack([vectors[text] for text in texts]).astype(np.float32)
    return both[: len(sides.now)], both[len(sides.now) :]


def going_on(
    lately: Sequence[KnownCampaign], growth: Sequence[Growth], sides: Sides, vectors: Vectors
) -> list[Growth]:
    """Campaigns that were seen lately, do not grow any more, and are still there.

    They are held against what was usual before they began: else each would be over as soon as its
    own first posts are what is usual.
    """
    found = []
    for one in lately:
        if any(float(np.dot(one.centre, other.centre)) >= SAME for other in growth):
            continue
        rows = np.flatnonzero(vectors @ one.centre >= SIMILARITY)
        count = senders(sides.now[row] for row in rows)
        if count >= FEWEST_SENDERS and count >= LEAST_GROWTH * one.expected:
            nothing = np.empty(0, np.int64)
            found.append(Growth(rows, nothing, count, one.expected, CHANCE, one.centre))
    return found


def is_let_through(growth: Growth, sides: Sides) -> bool:
    """Whether what the filter allowed of it is a campaign by itself; the rest needs no eyes."""
    posts = [sides.now[row] for row in growth.now]
    allowed = senders(post for post in posts if post.allowed)
    return _allowed(posts) >= LEAST_ALLOWED and allowed >= max(
        FEWEST_SENDERS, LEAST_GROWTH * growth.expected
    )


def is_known_ham(growth: Growth, reviewed: Labelled) -> bool:
    """Whether reviewers saw enough like it and called it ham."""
    if not len(reviewed.embeddings):
        return False
    near = (reviewed.embeddings @ growth.centre) >= SIMILARITY
    count = int(near.sum())
    return count >= FEWEST_HAM_LABELS and float(np.mean(~reviewed.is_spam[near])) >= KNOWN_AS_HAM


def labelled(settings: Settings, version: str) -> Labelled:
    """The labels of the last `labelling.worth_days` days whose events this encoder embedded."""
    days = lake.days(settings.lake, "labels")[-settings.labelling.worth_days :]
    labels = lake.read(settings.lake, "labels", days).sort_by("observed_at")
    said = dict(zip(labels["event_id"].to_pylist(), labels["label"].to_pylist(), strict=True))
    rows = stored_features(settings.lake, days, version)
    rows = rows.filter(pc.is_in(rows["event_id"], value_set=pa.array(list(said), pa.string())))
    if not rows.num_rows:
        return Labelled(np.empty((0, 0), np.float32), np.empty(0, bool))
    is_spam = np.array([said[one] == "spam" for one in rows["event_id"].to_pylist()])
    return Labelled(stacked(rows["embedding"]), is_spam)


def _alert(
    growth: Growth, sides: Sides, campaign: KnownCampaign, now: datetime, window: timedelta
) -> Alert:
    posts = [sides.now[row] for row in growth.now]
    scale = sides.posts_now / len(sides.now)
    minutes = window.total_seconds() / 60
    accounts = len({post.account for post in posts if post.account})
    return Alert(
        name=NAME,
        severity_hint="ticket",
        subject={"campaign": campaign.id},
        value=float(growth.senders), expected=round(growth.expected, 2), low=None, high=None,
        at=now,
        reason=f"{growth.senders} senders of nearly the same within {minutes:.3g} minutes, "
        f"{growth.expected:.1f} were to be expected (chance {growth.chance:.0e} at most)",
        likely_cause=f"campaign of {'' if scale == 1 else 'about '}{len(posts) * scale:.0f} posts "
        f"from {f'{accounts} accounts' if accounts else 'unknown accounts'}, first seen "
        f"{campaign.first:%Y-%m-%d %H:%M} UTC, allowed {_allowed(posts):.0%}; look at events "
        f"{', '.join(post.event_id for post in posts[:3])}",
    )  # fmt: skip


def _first(growth: Growth, sides: Sides) -> Post:
    rows: list[Post] = [sides.before[row] for row in growth.before]
    rows += [sides.now[row] for row in growth.now]
    return min(rows, key=lambda post: (post.at, post.event_id))


def _name(first: Post) -> str:
    content = first.event_id.encode("utf-8", "surrogatepass")
    return hashlib.sha256(content).hexdigest()[:ID_CHARACTERS]


def _allowed(posts: Sequence[Post]) -> float:
    return sum(post.allowed for post in posts) / len(posts)

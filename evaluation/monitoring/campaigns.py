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
from evaluation.monitoring.campaign_groups import SIMILARITY, Growth, growing, is_enough
from evaluation.monitoring.campaign_posts import Post, Sides, decided_posts, sides_of
from evaluation.monitoring.known_campaigns import KnownCampaigns
from pipelines import lake
from pipelines.features.text.normalisation import readable
from pipelines.labelling.event_features import EventEncoder, FrozenEncoder, stored_features
from pipelines.labelling.samplers.base import stacked
from pipelines.neighbours import Vectors

NAME = "NewCampaign"
MOST_NOW, MOST_BEFORE = 3_000, 6_000  # posts of a window, and of those before it, that are compared
WINDOWS_BEFORE = 24  # that say what is usual: a day of hours
MOSTLY = 0.5  # of a campaign's posts were allowed
FEWEST_HAM_LABELS = 3  # near a group, and no spam among them: reviewers know it
KNOWN_AS_HAM = 0.9  # of the labels near it, where some are spam
REGISTRY = "campaigns.json"
ID_CHARACTERS = 10


@dataclass(frozen=True, eq=False)
class Labelled:
    """What reviewers said: embeddings float32[n, d] and is_spam bool[n]."""

    embeddings: Vectors
    is_spam: np.ndarray


def campaign_alerts(
    settings: Settings, now: datetime, hours: float, encoder: EventEncoder | None = None
) -> list[Alert]:
    """A ticket for each campaign that is new in the `hours` before `now` and mostly allowed.

    Raises MissingPart where the encoder's file cannot be had.
    """
    window = timedelta(hours=hours)
    posts = decided_posts(settings.home / "decisions", now - window * (1 + WINDOWS_BEFORE), now)
    sides = sides_of(posts, now - window, MOST_NOW, MOST_BEFORE)
    encoder = encoder or FrozenEncoder(settings.data, settings.cache)
    found = [one for one in new_campaigns(sides, encoder) if is_let_through(one, sides)]
    if not found:
        return []
    reviewed = labelled(settings, encoder.version)
    known = KnownCampaigns(settings.home / "state" / REGISTRY, encoder.version)
    alerts = [
        _alert(one, sides, known.id_of(one.centre, _name(one, sides), now), now, window)
        for one in found
        if not is_known_ham(one, reviewed)
    ]
    known.save(now)
    return alerts


def new_campaigns(sides: Sides, encoder: EventEncoder) -> list[Growth]:
    """What grew beyond chance, whatever became of it; equal texts are embedded once."""
    if not is_enough(sides.now, sides.before):
        return []
    texts = [readable(post.text) for post in (*sides.now, *sides.before)]
    distinct = sorted(set(texts))
    vectors = dict(zip(distinct, encoder.embed(distinct), strict=True))
    both = np.stack([vectors[text] for text in texts]).astype(np.float32)
    return growing(sides.now, sides.before, both[: len(sides.now)], both[len(sides.now) :])


def is_let_through(growth: Growth, sides: Sides) -> bool:
    """Whether the filter allowed most of it: else it needs nobody's eyes."""
    return _allowed([sides.now[row] for row in growth.now]) >= MOSTLY


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


def _alert(growth: Growth, sides: Sides, campaign: str, now: datetime, window: timedelta) -> Alert:
    posts = [sides.now[row] for row in growth.now]
    scale = sides.posts_now / len(sides.now)
    minutes = window.total_seconds() / 60
    accounts = len({post.account for post in posts if post.account})
    return Alert(
        name=NAME,
        severity_hint="ticket",
        subject={"campaign": campaign},
        value=float(growth.senders), expected=round(growth.expected, 2), low=None, high=None,
        at=now,
        reason=f"{growth.senders} senders of nearly the same within {minutes:.3g} minutes, "
        f"{growth.expected:.1f} were to be expected (chance {growth.chance:.0e})",
        likely_cause=f"campaign of {'' if scale == 1 else 'about '}{len(posts) * scale:.0f} posts "
        f"from {f'{accounts} accounts' if accounts else 'unknown accounts'}, first seen "
        f"{_first(growth, sides).at:%Y-%m-%d %H:%M} UTC, allowed {_allowed(posts):.0%}; look at "
        f"events {', '.join(post.event_id for post in posts[:3])}",
    )  # fmt: skip


def _first(growth: Growth, sides: Sides) -> Post:
    rows: list[Post] = [sides.before[row] for row in growth.before]
    rows += [sides.now[row] for row in growth.now]
    return min(rows, key=lambda post: (post.at, post.event_id))


def _name(growth: Growth, sides: Sides) -> str:
    first = _first(growth, sides).event_id
    return hashlib.sha256(first.encode("utf-8", "surrogatepass")).hexdigest()[:ID_CHARACTERS]


def _allowed(posts: Sequence[Post]) -> float:
    return sum(post.allowed for post in posts) / len(posts)

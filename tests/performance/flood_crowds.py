"""Who posts what matches a bad hash: a crowd that does nothing wrong, and campaigns that do.

Ages of accounts are drawn from those of the people and the bots of Gilani et al. 2016; a "young"
account is 0 to 30 days old. What is simulated is who posts when, not what a platform would see.
"""

from __future__ import annotations

import csv
import gzip
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from data_contracts.config import Data
from data_contracts.events import Event
from evaluation.metrics import Floats, clopper_pearson
from pipelines.catalogue import collection
from pipelines.features.media.hashes import PDQ, ImageHashes
from pipelines.features.surroundings.recognition import Recognition
from pipelines.flood_breaker import Limits, open_flood_breaker
from pipelines.hash_bank import KnownHash, open_hash_bank
from pipelines.known_media import KnownMedia
from tests.performance.image_pairs import WEIR
from tests.performance.quality_parts import Say

ACCOUNTS = "behaviour_twitter_bots_gilani"
START = datetime(2026, 1, 5, tzinfo=UTC)
SPREAD_SECONDS = 6 * 3600
YOUNG_DAYS = 30.0
NEVER = Limits(established_accounts=10**9)
BY_COUNT = Limits(share=0.0, established_after=timedelta(0))

SEEDS = (7, 8, 9)
SYSTEMS = {WEIR: Limits(), "10 accounts of any age": BY_COUNT, "no breaker": NEVER}

Ages = Callable[[int, np.random.Generator], Floats]


@dataclass(frozen=True)
class Posts:
    """`events` posts by `accounts` accounts, whose ages in days `ages` draws."""

    name: str
    is_campaign: bool
    accounts: int
    events: int
    ages: Ages


@dataclass(frozen=True)
class Outcome:
    """`acted`: posts that the hash alone acted on; `opened_after`: posts, None if it never did."""

    events: int
    acted: int
    opened_after: int | None


def scenes(data: Data) -> tuple[Posts, ...]:
    """MissingPart where the accounts are absent."""
    people, bots = _ages(data, "human"), _ages(data, "bot")

    def young(n: int, rng: np.random.Generator) -> Floats:
        return rng.uniform(0, YOUNG_DAYS, n)

    def mixed(share: float, aged: Floats) -> Ages:
        return lambda n, rng: np.where(rng.random(n) < share, rng.choice(aged, n), young(n, rng))

    return (
        Posts("crowd of people", False, 5000, 5000, lambda n, rng: rng.choice(people, n)),
        Posts("crowd, 4 in 10 accounts young", False, 5000, 5000, mixed(0.6, people)),
        Posts("campaign, young accounts", True, 300, 500, young),
        Posts("campaign, 3 in 10 accounts aged", True, 300, 500, mixed(0.3, bots)),
        Posts("campaign, 8 aged accounts", True, 8, 500, lambda n, rng: rng.choice(bots, n)),
        Posts("campaign, all accounts aged", True, 300, 500, lambda n, rng: rng.choice(bots, n)),
    )


def played(
    posts: Posts, bad: str, copies: Sequence[ImageHashes], limits: Limits, seed: int
) -> Outcome:
    """Every post carries one of `copies` of what `bad` is the PDQ of."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/state.sqlite"
        open_hash_bank(url).add(KnownHash(PDQ, bad, "bad", "planted", "bench", START))
        known = KnownMedia.of(open_hash_bank(url))
        recognition = Recognition(known, open_flood_breaker(url, limits))
        acted = [
            _acted(recognition, event, copies[rng.integers(len(copies))])
            for event in _events(posts, rng)
        ]
    opened = next((n for n, act in enumerate(acted) if not act), None)
    return Outcome(len(acted), sum(acted), opened)


def flood_rows(data: Data, copies: Sequence[ImageHashes], say: Say) -> list[dict[str, Any]]:
    """The PDQ of the first copy is planted as bad; everybody posts the copies."""
    rows = []
    for posts in scenes(data):
        for system, limits in SYSTEMS.items():
            seeds = SEEDS if system == WEIR else SEEDS[:1]
            outcomes = [played(posts, copies[0].pdq, copies, limits, seed) for seed in seeds]
            rows.append(_flood_row(posts, system, outcomes))
            say(f"flood breaker: {posts.name}, {system}: {rows[-1]['acted']['value']:.4f} acted on")
    return rows


def flood_goals(floods: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    ours = [row for row in floods if row["system"] == WEIR]
    wronged = max(max(row["acted_posts"]) for row in ours if not row["is_campaign"])
    campaigns = [row for row in ours if row["is_campaign"] and "all accounts" not in row["split"]]
    caught = min(row["acted"]["value"] for row in campaigns)
    return [
        goal(
            "flood-breaker-crowd",
            "A planted bad hash acts on at most 50 of the 5,000 accounts of a crowd",
            50, wronged, wronged <= 50,
        ),
        goal(
            "flood-breaker-campaign",
            "The breaker stays closed for campaigns of few or mostly young accounts",
            1.0, caught, caught == 1.0,
        ),
    ]  # fmt: skip


def goal(name: str, statement: str, target: float, measured: float, met: bool) -> dict[str, Any]:
    return {
        "id": name, "statement": statement, "target": target, "measured": measured, "met": met
    }  # fmt: skip


def _flood_row(posts: Posts, system: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    acted, events = (sum(getattr(o, name) for o in outcomes) for name in ("acted", "events"))
    return {
        "set": "flood breaker, simulated", "system": system, "split": posts.name,
        "is_campaign": posts.is_campaign, "accounts": posts.accounts, "posts": posts.events,
        "seeds": len(outcomes), "acted": asdict(clopper_pearson(acted, events)),
        "acted_posts": [one.acted for one in outcomes],
        "opened_after": [one.opened_after for one in outcomes],
    }  # fmt: skip


def _acted(recognition: Recognition, event: Event, hashes: ImageHashes) -> bool:
    found = recognition.features(event, [hashes])
    recognition.observe(event, [hashes])
    return found["known_bad"] == 1


def _events(posts: Posts, rng: np.random.Generator) -> list[Event]:
    """In order of time; every account posts at least once."""
    ages = posts.ages(posts.accounts, rng)
    extra = rng.integers(posts.accounts, size=posts.events - posts.accounts)
    who = rng.permutation(np.concatenate([np.arange(posts.accounts), extra]))
    times = np.sort(rng.uniform(1, SPREAD_SECONDS, posts.events))
    return [_event(int(a), float(ages[a]), float(at)) for a, at in zip(who, times, strict=True)]


def _event(account: int, age_days: float, at: float) -> Event:
    occurred_at = START + timedelta(seconds=at)
    born = START - timedelta(days=age_days)
    return Event(
        event_id=f"{account} {at}",
        text="",
        account=f"a{account}",
        occurred_at=occurred_at,
        context={"account_created_at": born.isoformat()},
    )


def _ages(data: Data, label: str) -> Floats:
    path: Path = collection(ACCOUNTS, data).paths["data.csv.gz"]
    with gzip.open(path, "rt", encoding="utf-8", newline="") as text:
        rows: list[Mapping[str, str]] = list(csv.DictReader(text))
    return np.array([float(r["age_of_account_in_days"]) for r in rows if r["label"] == label])

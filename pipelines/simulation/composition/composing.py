"""`compose`: one multi-modal traffic out of many sources, with its actions, media and truth.

Pure: the same sources, plan and random numbers give the same bytes; nothing is written until
`Composition.write_media`.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import numpy as np

from data_contracts.actions import Action
from data_contracts.events import ContextValue, Event
from data_contracts.files import write_atomically
from data_contracts.labels import LabelledEvent, LabelName
from pipelines.enrichment import Enrichment
from pipelines.simulation.composition.activity import Crowd
from pipelines.simulation.composition.material import Material, Shelf
from pipelines.simulation.composition.ordinary import ordinary_life
from pipelines.simulation.composition.people import Population, fingerprint
from pipelines.simulation.composition.recipes import ORDINARY_SPAM, TRAINING, recipe
from pipelines.simulation.composition.signals import Signals, carrying
from pipelines.simulation.composition.sources import BUCKETS, Profile, ProfileKind, Sources
from pipelines.simulation.composition.world import Post, World

DATASET = "composed"
CAMPAIGN_POSTS = (5, 12)  # least and most posts of one campaign
TARGETS = 12  # places of a bucket in which people post

Key = TypeVar("Key", str, int)
Say = Callable[[str], None]
Play = list[Post]


@dataclass(frozen=True)
class Plan:
    """How much of what: `spam_share` of the events are spam, `ordinary_share` of that ordinary.

    The rest of the spam is divided evenly among `recipes`. Sources come from `buckets` alone.
    """

    events: int = 6000
    spam_share: float = 0.15
    ordinary_share: float = 0.3
    recipes: tuple[str, ...] = TRAINING
    buckets: tuple[int, ...] = tuple(range(BUCKETS))
    days: int = 10
    first_day: str = "2026-01-05"

    def __post_init__(self) -> None:
        for name in self.recipes:
            recipe(name)
        for share in (self.spam_share, self.ordinary_share):
            if not 0 <= share <= 1:
                raise ValueError(f"share {share} is outside [0, 1]; it is a share of the events")
        if self.days < 6 or not self.buckets:
            raise ValueError(f"{self.days} days, {len(self.buckets)} buckets; give 6 and 1 or more")

    @property
    def start(self) -> datetime:
        return datetime.fromisoformat(self.first_day).replace(tzinfo=UTC)

    def spam(self) -> Counter[str]:
        """How many events of spam each recipe makes."""
        total = round(self.events * self.spam_share)
        ordinary = round(total * self.ordinary_share) if self.recipes else total
        return Counter(_evenly(ordinary, ORDINARY_SPAM)) + Counter(
            _evenly(total - ordinary, self.recipes)
        )


@dataclass(frozen=True)
class Composition:
    """Events and actions in order of time; what only tests and benchmarks know of each event.

    `media` are files by their path under the media root. `recipes` (for ham: the scene),
    `signals` and `groups` are by event id; no model sees them. Rows of one group share texts,
    pictures, accounts and devices; no two groups do.
    """

    events: tuple[Event, ...]
    actions: tuple[Action, ...]
    labels: Mapping[str, LabelName]
    recipes: Mapping[str, str]
    signals: Mapping[str, Signals]
    groups: Mapping[str, str]
    media: Mapping[str, bytes]
    synthetic: frozenset[str] = frozenset()

    def labelled(self) -> list[LabelledEvent]:
        """The events as training and gates read them, in order of time."""
        return [
            LabelledEvent(event, self.labels[event.event_id], DATASET, self.groups[event.event_id])
            for event in self.events
        ]

    def enriched(self, enrichment: Enrichment) -> Composition:
        """The same traffic, each event with what the past says of it as of its time.

        The media must be where the enrichment's reader looks for them: see `write_media`.
        """
        return replace(self, events=tuple(enrichment.enrich_in_order(self.events, self.actions)))

    def write_media(self, root: Path) -> None:
        """Write each file under the media root, unless it is there: its name is its sha256."""
        for path, content in self.media.items():
            if not (root / path).is_file():
                write_atomically(root / path, content)


@dataclass
class _Gathered:
    """What the buckets gave so far."""

    events: list[Event] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    labels: dict[str, LabelName] = field(default_factory=dict)
    recipes: dict[str, str] = field(default_factory=dict)
    signals: dict[str, Signals] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)

    def add(self, event: Event, post: Post, group: str) -> None:
        self.events.append(event)
        self.labels[event.event_id] = post.label
        self.recipes[event.event_id] = post.recipe
        self.signals[event.event_id] = post.signals | post.account.signals
        self.groups[event.event_id] = group


def compose(
    sources: Sources,
    plan: Plan,
    rng: np.random.Generator,
    say: Say = lambda _line: None,
) -> Composition:
    """Traffic of `plan.events` events, exactly `plan.spam()` of them spam.

    Each bucket is a world of its own. `context.composed` marks every event, ham and spam alike;
    it is a string, so that it never is a column of a model (see `pipelines.features.context`).
    """
    gathered, shelf = _Gathered(), Shelf()
    spam = plan.spam()
    ham = _evenly(plan.events - spam.total(), plan.buckets)
    campaigns = _campaigns(spam, plan.buckets, rng)
    for bucket, own in zip(plan.buckets, rng.spawn(len(plan.buckets)), strict=True):
        material = Material(bucket, sources.within({bucket}), shelf, own)
        world = _world(material, plan, own)
        plays = _plays(world, ham[bucket], campaigns[bucket])
        _add_events(gathered, plays, f"{DATASET}-{bucket}", own)
        end = plan.start + timedelta(days=plan.days)
        gathered.actions += Crowd(plays, plan.start, end, own).actions()
        say(f"composed {len(gathered.events)} of {plan.events} events, {len(shelf.files)} files")
    return _in_order(gathered, shelf, sources.synthetic)


def _evenly(total: int, among: Sequence[Key]) -> dict[Key, int]:
    """`total` divided among some keys; the first get one more where it does not divide."""
    return {
        key: total // len(among) + (number < total % len(among)) for number, key in enumerate(among)
    }


def _campaigns(
    spam: Mapping[str, int], buckets: Sequence[int], rng: np.random.Generator
) -> Mapping[int, list[tuple[str, int]]]:
    """Which campaigns (recipe, posts) run in which bucket."""
    found: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for offset, (name, total) in enumerate(sorted(spam.items())):
        number = offset * 3
        while total > 0:
            size = min(total, int(rng.integers(*CAMPAIGN_POSTS, endpoint=True)))
            found[buckets[number % len(buckets)]].append((name, size))
            total, number = total - size, number + 1
    return found


def _world(material: Material, plan: Plan, rng: np.random.Generator) -> World:
    profiles: dict[ProfileKind, list[Profile]] = defaultdict(list)
    for profile in material.sources.profiles:
        profiles[profile.kind].append(profile)
    people = Population(profiles, material.languages, plan.start, rng)
    return World(people, material, plan.start, plan.days, rng)


def _plays(world: World, ham: int, campaigns: Sequence[tuple[str, int]]) -> list[Play]:
    """Ordinary life and campaigns; ham around the campaigns counts as ham."""
    before = ordinary_life(world, ham * 2 // 3)
    attacks = [recipe(name).campaign(world, count) for name, count in campaigns]
    around = sum(post.label == "ham" for play in attacks for post in play)
    return [*before, *attacks, *ordinary_life(world, ham - ham * 2 // 3 - around)]


def _add_events(
    gathered: _Gathered, plays: Sequence[Play], group: str, rng: np.random.Generator
) -> None:
    posts = sorted((post for play in plays for post in play), key=lambda post: post.at)
    places = [fingerprint(rng) for _ in range(TARGETS)]
    copied, written, world = _copied(posts), Counter[str](), fingerprint(rng)
    for number, post in enumerate(posts):
        event = Event(
            event_id=hashlib.sha256(f"{DATASET}-{world}-{number}".encode()).hexdigest()[:16],
            text=post.text,
            occurred_at=post.at.replace(microsecond=0),
            account=post.account.name,
            language=post.account.language,
            media=post.media,
            context=_context(post, written[post.account.name], places, rng),
        )
        written[post.account.name] += 1
        signals = post.signals | (carrying("copied") if number in copied else carrying())
        gathered.add(event, replace(post, signals=signals), group)


def _context(
    post: Post, written: int, places: Sequence[str], rng: np.random.Generator
) -> dict[str, ContextValue]:
    """What the platform sends along; the reactions are those of the first moments."""
    account = post.account
    views = int(rng.poisson(0.5 * np.log1p(account.followers)))
    return {
        **account.context(),
        "posts": account.posts + written,
        "target": places[int(rng.integers(len(places)))],
        "views": views,
        "likes": int(rng.binomial(views, 0.1)),
        "reports": int(rng.random() < (0.03 if post.label == "spam" else 0.005)),
        "composed": "yes",
    }


def _copied(posts: Sequence[Post]) -> Collection[int]:
    """The posts whose text, picture or clip another account posted, too."""
    accounts: dict[str, set[str]] = defaultdict(set)
    keys = [(post.text, *(media.sha256 for media in post.media)) for post in posts]
    for post, found in zip(posts, keys, strict=True):
        for key in found:
            accounts[key].add(post.account.name)
    return {
        number for number, found in enumerate(keys) if any(len(accounts[key]) > 1 for key in found)
    }


def _in_order(gathered: _Gathered, shelf: Shelf, synthetic: frozenset[str]) -> Composition:
    used = {str(media.path) for event in gathered.events for media in event.media}
    return Composition(
        events=tuple(sorted(gathered.events, key=lambda e: (e.occurred_at, e.event_id))),
        actions=tuple(sorted(gathered.actions, key=lambda action: action.at)),
        labels=gathered.labels,
        recipes=gathered.recipes,
        signals=gathered.signals,
        groups=gathered.groups,
        media={path: content for path, content in sorted(shelf.files.items()) if path in used},
        synthetic=synthetic,
    )

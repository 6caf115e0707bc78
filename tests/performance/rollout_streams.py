"""Made traffic of a rollout with a known truth, request by request: what the judge would be told.

Prevalence and languages are those of the replay of `make run` (its three sets: 9,856 messages,
3,433 of them spam, in English and Turkish); `Scenario.prevalence` thins the spam. A canary is the
champion retrained: it changes its mind on some events either way (churn) and is as good, but for
the one regression it may have. Mirrored arms meet the same events, and part of what makes a
request slow is the event's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import log

import numpy as np
from numpy.typing import NDArray

from serving.rollout.analysis import SCORE_CUTS
from serving.rollout.latency_histogram import bins_of

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

LOOK = 250  # canary requests between two looks of the judge
CHUNK_LOOKS = 40
CHUNK = LOOK * CHUNK_LOOKS

LANGUAGES: Mapping[str, tuple[float, float]] = {  # share of traffic, of it spam
    "language=en": (6089 / 9856, 1425 / 6089),
    "language=tr": (3767 / 9856, 2008 / 3767),
}
REPLAYED_PREVALENCE = 3433 / 9856
RECALL, FALSE_POSITIVE_RATE, ERROR_RATE = 0.92, 0.001, 0.002
LOST = 0.015  # of the spam that the champion finds; as much is found that it misses
CURED = 0.5  # of the champion's false positives; as many are new
MEDIAN_MILLISECONDS, SPREAD, SHARED_SPREAD = 12.0, 0.35, 0.35  # log scale: own, the event's
SLOW_SHARE, SLOW_MILLISECONDS, SLOW_SPREAD = 0.03, 45.0, 0.6  # now and then something else waits

LABELLED_SHARE = 0.85  # of what is asked; the rest is never answered
DELAY_REQUESTS = {"acted": 3000.0, "passed": 1500.0}  # mean; what was blocked is reviewed later
AUDIT_EACH_LOOK = 2


@dataclass(frozen=True)
class Scenario:
    """One canary: what is wrong with it, and how much spam there is."""

    name: str
    error_increase: float = 0.0
    latency_factor: float = 1.0
    tail_factor: float = 1.0  # of the 99th percentile; nothing below the 95th moves
    false_positive_increase: float = 0.0
    recall_decrease: float = 0.0
    slice_hit: str = "language=en"  # by the fall of recall; it has less of the spam
    prevalence: float = REPLAYED_PREVALENCE

    @property
    def is_equal(self) -> bool:
        return self == Scenario(self.name, prevalence=self.prevalence)


@dataclass(frozen=True, eq=False)
class Chunk:
    """`CHUNK` requests of one arm: errors bool, milliseconds float64, latency bins, score bins,
    acted bool, is_spam bool, languages int64 (place in LANGUAGES), all [CHUNK].
    """

    errors: Booleans
    milliseconds: Floats
    latency_bins: Integers
    score_bins: Integers
    acted: Booleans
    is_spam: Booleans
    languages: Integers


@dataclass(frozen=True, eq=False)
class _Events:
    languages: Integers
    is_spam: Booleans
    slowness: Floats
    champion_acts: Booleans


def mirrored(scenario: Scenario, rng: np.random.Generator) -> tuple[Chunk, Chunk]:
    """Canary and reference on the same events."""
    events = _events(scenario, rng)
    return _canary(scenario, events, rng), _reference(events, rng)


def live(scenario: Scenario, rng: np.random.Generator) -> tuple[Chunk, Chunk]:
    """Canary and baseline, each on events of its own."""
    return _canary(scenario, _events(scenario, rng), rng), _reference(_events(scenario, rng), rng)


def label_times(
    asked_at: Integers, acted: Booleans, rng: np.random.Generator
) -> tuple[Booleans, Floats]:
    """Whether an answer ever comes, and at which request of the phase."""
    mean = np.where(acted, DELAY_REQUESTS["acted"], DELAY_REQUESTS["passed"])
    answered = rng.random(len(asked_at)) < LABELLED_SHARE
    return answered, asked_at + rng.exponential(mean)


@lru_cache
def champion_quantiles() -> tuple[float, float]:
    """The champion's 95th and 99th percentile, milliseconds, from a million requests."""
    rng = np.random.default_rng(1)
    values = _milliseconds(rng.normal(0, SHARED_SPREAD, 1_000_000), rng)
    p95, p99 = np.quantile(values, [0.95, 0.99])
    return float(p95), float(p99)


def _events(scenario: Scenario, rng: np.random.Generator) -> _Events:
    shares = np.array([share for share, _ in LANGUAGES.values()])
    spam = np.array([spam for _, spam in LANGUAGES.values()])
    spam = spam * scenario.prevalence / REPLAYED_PREVALENCE
    languages = (rng.random(CHUNK) >= shares[0]).astype(np.int64)
    is_spam = rng.random(CHUNK) < spam[languages]
    acts = rng.random(CHUNK) < np.where(is_spam, RECALL, FALSE_POSITIVE_RATE)
    return _Events(languages, is_spam, rng.normal(0, SHARED_SPREAD, CHUNK), acts)


def _reference(events: _Events, rng: np.random.Generator) -> Chunk:
    errors = rng.random(CHUNK) < ERROR_RATE
    return _chunk(events, events.champion_acts, errors, _milliseconds(events.slowness, rng), rng)


def _canary(scenario: Scenario, events: _Events, rng: np.random.Generator) -> Chunk:
    errors = rng.random(CHUNK) < ERROR_RATE + scenario.error_increase
    milliseconds = _milliseconds(events.slowness, rng) * scenario.latency_factor
    if scenario.tail_factor != 1.0:
        p95, p99 = champion_quantiles()
        power = 1 + log(scenario.tail_factor) / log(p99 / p95)
        slow = milliseconds > p95
        milliseconds[slow] = p95 * (milliseconds[slow] / p95) ** power
    acts = _canary_acts(scenario, events, rng)
    return _chunk(events, acts, errors, milliseconds, rng)


def _canary_acts(scenario: Scenario, events: _Events, rng: np.random.Generator) -> Booleans:
    """The champion's mind, changed by the churn of a retrain and by the regression."""
    hit = events.languages == list(LANGUAGES).index(scenario.slice_hit)
    lost = LOST + hit * scenario.recall_decrease / RECALL
    gained = LOST * RECALL / (1 - RECALL)
    new = CURED * FALSE_POSITIVE_RATE / (1 - FALSE_POSITIVE_RATE)
    new += scenario.false_positive_increase
    drops = np.where(events.is_spam, lost, CURED)
    takes = np.where(events.is_spam, gained, new)
    changes = rng.random(CHUNK) < np.where(events.champion_acts, drops, takes)
    return np.asarray(events.champion_acts ^ changes)


def _milliseconds(slowness: Floats, rng: np.random.Generator) -> Floats:
    size = len(slowness)
    usual = MEDIAN_MILLISECONDS * np.exp(slowness + rng.normal(0, SPREAD, size))
    waits = rng.random(size) < SLOW_SHARE
    usual[waits] += SLOW_MILLISECONDS * np.exp(rng.normal(0, SLOW_SPREAD, int(waits.sum())))
    return np.asarray(usual)


def _chunk(
    events: _Events, acted: Booleans, errors: Booleans, milliseconds: Floats,
    rng: np.random.Generator,
) -> Chunk:  # fmt: skip
    """Scores lie on the acted side of one half or on the other, most of them near the ends."""
    distance = 0.5 * rng.random(CHUNK) ** 4
    scores = np.where(acted, 1 - distance, distance)
    return Chunk(
        errors, milliseconds, bins_of(milliseconds),
        np.searchsorted(SCORE_CUTS, scores, side="right").astype(np.int64),
        acted, events.is_spam, events.languages,
    )  # fmt: skip

"""Days of review with honest noise, and days on which somebody flips one campaign.

A day is DAY_LABELS events drawn from the training rows and dealt out to REVIEWERS; a tenth is
labelled twice, and gold questions are 5 % of it. Noise: a reviewer errs at a rate of their own
(beta, mean 2 %), five times as often in the hardest tenth of the rows (nearest to the middle of a
cross-validated linear model of the true labels), and in 10 % of one cluster that they read in
their own way. The attacker is one of the reviewers: besides an honest share of the day, their
batch has the spam that lies nearest to a spam drawn at random, labelled ham.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics import Booleans, Integers
from pipelines.labelling.label_evidence import Answered
from pipelines.neighbours import clusters

DAY_LABELS, REVIEWERS = 2000, 20
DOUBLE_SHARE, GOLD_SHARE = 0.1, 0.05
NOISE, HARD_SHARE, HARDER, OWN_READING = 0.02, 0.1, 5.0, 0.1
CLUSTER_SIZE = 40


@dataclass(frozen=True)
class Attack:
    """`share` of the day's labels is one campaign given to `reviewers`, who flip it if `flips`."""

    name: str
    share: float
    reviewers: int = 1
    flips: bool = True


@dataclass(frozen=True)
class Material:
    """Rows to draw days from: embeddings float32[n, d] of length 1, `spam`, `hard`, `groups`."""

    texts: Sequence[str]
    embeddings: NDArray[np.float32]
    spam: Booleans
    groups: Integers
    hard: Booleans


@dataclass(frozen=True)
class Day:
    """`rows: int64[n]` of the material; the answers; who is guilty; the campaign's rows."""

    rows: Integers
    answered: Answered
    batches: tuple[str, ...]
    guilty: frozenset[str]
    campaign: Integers
    seed_row: int

    def labels(self, without: frozenset[str] = frozenset()) -> tuple[Integers, Booleans]:
        """Rows and labels that training would read: events on which the answers that are left
        agree; contested ones wait for an adjudicator, gold questions are no labels."""
        votes, asked = self._votes(without)
        agreed = (asked > 0) & ((votes == 0) | (votes == asked))
        return self.rows[agreed], votes[agreed] > 0

    def asked_again(
        self, without: frozenset[str], material: Material, rng: np.random.Generator
    ) -> tuple[Integers, Booleans]:
        """As `labels`, after what removal left without an answer was put to honest reviewers."""
        rows, labels = self.labels(without)
        lost = self.rows[self._votes(without)[1] == 0]
        errs = rng.random(len(lost)) < NOISE * np.where(material.hard[lost], HARDER, 1.0)
        return np.append(rows, lost), np.append(labels, material.spam[lost] ^ errs)

    def _votes(self, without: frozenset[str]) -> tuple[Integers, Integers]:
        """How many call each event spam, and how many were asked: int64[n] each."""
        kept = self.answered.where(
            (self.answered.gold < 0) & ~np.isin(self.answered.batches, list(without))
        )
        votes = np.bincount(kept.texts, kept.spam, minlength=len(self.rows)).astype(np.int64)
        return votes, np.bincount(kept.texts, minlength=len(self.rows))


def hardest(embeddings: NDArray[np.float32], spam: Booleans, rng: np.random.Generator) -> Booleans:
    """bool[n]: the rows about which a ridge regression on the true labels is least sure."""
    fold = rng.integers(0, 5, len(spam))
    target = np.where(spam, 1.0, -1.0)
    margin = np.empty(len(spam))
    for number in range(5):
        taught = embeddings[fold != number].astype(np.float64)
        ridge = taught.T @ taught + np.eye(taught.shape[1])
        weights = np.linalg.solve(ridge, taught.T @ target[fold != number])
        margin[fold == number] = embeddings[fold == number] @ weights
    return np.abs(margin) <= np.quantile(np.abs(margin), HARD_SHARE)


def make_day(material: Material, attack: Attack | None, seed: int) -> Day:
    """The same seed gives the same events and the same noise, whatever the attack."""
    rng = np.random.default_rng([seed, 7])
    rows = rng.choice(len(material.spam), DAY_LABELS, replace=False)
    spam, vectors = material.spam[rows], material.embeddings[rows]
    alike = clusters(vectors, DAY_LABELS // CLUSTER_SIZE, seed)[1]
    who = rng.permutation(np.arange(DAY_LABELS) % REVIEWERS)
    seed_row = int(rng.choice(np.flatnonzero(spam)))
    campaign = _campaign(vectors, spam, seed_row, attack)
    errs = _Noise.of(alike, material.hard[rows], rng)
    doubled = np.flatnonzero(rng.random(DAY_LABELS) < DOUBLE_SHARE)
    gold = rng.choice(DAY_LABELS, round(GOLD_SHARE * DAY_LABELS), replace=False)
    shift = rng.integers(1, REVIEWERS, len(doubled))
    asked_gold = rng.integers(0, REVIEWERS, len(gold))
    if attack:
        who[campaign] = np.arange(len(campaign)) % attack.reviewers
    event = np.concatenate([np.arange(DAY_LABELS), doubled, gold])
    reviewer = np.concatenate([who, (who[doubled] + shift) % REVIEWERS, asked_gold])
    said = spam[event] ^ errs.at(event, reviewer, rng)
    if attack and attack.flips:
        said &= ~(np.isin(event, campaign) & (reviewer < attack.reviewers))
    names = np.array([f"day-{seed}/reviewer-{number:02d}" for number in range(REVIEWERS)])
    known = np.where(np.arange(len(event)) < DAY_LABELS + len(doubled), -1, spam[event])
    answered = Answered(
        batches=names[reviewer],
        reviewers=names[reviewer],
        events=rows[event].astype(str),
        spam=said,
        gold=known.astype(np.int8),
        settles=np.zeros(len(event), dtype=bool),
        groups=np.unique(material.groups[rows], return_inverse=True)[1][event],
        clusters=alike[event],
        texts=event,
    )
    guilty = names[: attack.reviewers] if attack and attack.flips else names[:0]
    return Day(
        rows, answered, tuple(names.tolist()), frozenset(guilty.tolist()), campaign, seed_row
    )


def honest_twin(attack: Attack) -> Attack:
    """The same campaign in the same batch, labelled honestly."""
    return replace(attack, name=f"{attack.name}, honestly labelled", flips=False)


def _campaign(
    vectors: NDArray[np.float32], spam: Booleans, seed_row: int, attack: Attack | None
) -> Integers:
    size = round(attack.share * DAY_LABELS) if attack else 0
    candidates = np.flatnonzero(spam)
    near = np.argsort(-(vectors[candidates] @ vectors[seed_row]), kind="stable")
    return candidates[near[:size]]


@dataclass(frozen=True)
class _Noise:
    """Chance of an honest error: by reviewer, hardness, and a cluster that each reads their way."""

    rates: NDArray[np.float64]
    own_cluster: Integers
    alike: Integers
    hard: Booleans

    @classmethod
    def of(cls, alike: Integers, hard: Booleans, rng: np.random.Generator) -> _Noise:
        rates = rng.beta(100 * NOISE, 100 * (1 - NOISE), REVIEWERS)
        return cls(rates, rng.integers(0, alike.max() + 1, REVIEWERS), alike, hard)

    def at(self, event: Integers, reviewer: Integers, rng: np.random.Generator) -> Booleans:
        chance = self.rates[reviewer] * np.where(self.hard[event], HARDER, 1.0)
        own = self.alike[event] == self.own_cluster[reviewer]
        return rng.random(len(event)) < np.where(own, np.maximum(chance, OWN_READING), chance)

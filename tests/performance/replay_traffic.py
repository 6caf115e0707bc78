"""The replay's traffic: ordinary texts day by day, and from one day on a family never seen.

One text stands for each near-duplicate group, so no two texts are copies and whatever is held out
shares no group with what is planted. Ordinary texts come in a seeded ring: none comes back within
the reference window. A family's texts form a ring, too; it comes round after `planted / daily`
days, which only arms that need that many days see.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.feature_extraction.text import HashingVectorizer

from data_contracts.labels import LabelledEvent
from pipelines.features.text.encoder import TextEncoder
from pipelines.labelling.samplers.base import Integers, Vectors
from pipelines.near_duplicates import group_related
from pipelines.neighbours import nearest

INITIAL_HAM, INITIAL_SPAM, THRESHOLD_HAM, CHECK_HAM = 1000, 300, 1500, 1000
HELD_OUT = 0.3  # of the family
NGRAM_COLUMNS, NGRAM_CHARACTERS = 2048, 300
EPOCH = datetime(2026, 1, 5, tzinfo=UTC)


@dataclass(frozen=True, eq=False)
class Corpus:
    """One text a near-duplicate group. features: float32[n, d + NGRAM_COLUMNS], embedding first."""

    features: Vectors
    width: int
    is_spam: NDArray[np.bool_]
    datasets: NDArray[np.str_]
    languages: NDArray[np.str_]

    def embeddings(self, rows: Integers) -> Vectors:
        """float32[len(rows), width]"""
        return np.ascontiguousarray(self.features[rows, : self.width])


@dataclass(frozen=True)
class Family:
    """The `size` texts of a dataset's spam that are closest to its text number `seed_text`."""

    name: str
    dataset: str
    seed_text: int
    size: int


@dataclass(frozen=True)
class Rates:
    """Events a day, and shares of them: known spam, the planted family, what is reviewed."""

    events: int = 1000
    known_spam: float = 0.1
    prevalence: float = 0.01
    review: float = 0.02
    reference_days: int = 7
    quiet_days: int = 2  # of review before the family is planted

    @property
    def budget(self) -> int:
        return round(self.events * self.review)

    @property
    def planted(self) -> int:
        return round(self.events * self.prevalence)


@dataclass(frozen=True, eq=False)
class Roles:
    """Disjoint rows of the corpus: what trains at first, sets and checks the threshold, is
    ordinary traffic (in ring order), is planted (in ring order), and measures recall."""

    initial: Integers
    threshold_ham: Integers
    check_ham: Integers
    ham: Integers
    known_spam: Integers
    planted: Integers
    held_out: Integers


def corpus_of(rows: Sequence[LabelledEvent], encoder: TextEncoder) -> Corpus:
    """Embeddings beside signed hashed character 2-4-grams, each part of unit length."""
    first = np.unique(group_related(rows), return_index=True)[1]
    kept = [rows[row] for row in np.sort(first)]
    embeddings = np.array([encoder.encode(row.event.text) for row in kept], np.float32)
    hashing = HashingVectorizer(
        analyzer="char", ngram_range=(2, 4), n_features=NGRAM_COLUMNS, dtype=np.float32
    )
    grams = hashing.transform([row.event.text[:NGRAM_CHARACTERS] for row in kept])
    return Corpus(
        features=np.hstack([embeddings, grams.toarray()]),
        width=embeddings.shape[1],
        is_spam=np.array([row.is_spam for row in kept]),
        datasets=np.array([row.dataset for row in kept]),
        languages=np.array([row.event.language or "" for row in kept]),
    )


def roles(corpus: Corpus, family: Family, rng: np.random.Generator) -> Roles:
    """Who plays what. None of the family's dataset's spam is anywhere but in the family."""
    own = np.flatnonzero(corpus.is_spam & (corpus.datasets == family.dataset))
    vectors = corpus.embeddings(own)
    centre = vectors[family.seed_text : family.seed_text + 1]
    members = rng.permutation(own[nearest(centre, vectors, family.size)[1][0]])
    ham = rng.permutation(np.flatnonzero(~corpus.is_spam))
    spam = rng.permutation(np.flatnonzero(corpus.is_spam & (corpus.datasets != family.dataset)))
    threshold, check, traffic = np.cumsum([INITIAL_HAM, THRESHOLD_HAM, CHECK_HAM])
    held = round(HELD_OUT * len(members))
    return Roles(
        initial=np.concatenate([ham[:threshold], spam[:INITIAL_SPAM]]),
        threshold_ham=ham[threshold:check],
        check_ham=ham[check:traffic],
        ham=ham[traffic:],
        known_spam=spam[INITIAL_SPAM:],
        planted=members[held:],
        held_out=members[:held],
    )


def day_rows(parts: Roles, rates: Rates, day: int, seed: int) -> Integers:
    """int64[rates.events]: the rows of a day in random order; days below 0 are history."""
    known = round(rates.events * rates.known_spam)
    planted = rates.planted if day >= rates.quiet_days else 0
    counts = (rates.events - known - planted, known, planted)
    rings = (parts.ham, parts.known_spam, parts.planted)
    turns = (day + rates.reference_days, day + rates.reference_days, day - rates.quiet_days)
    rows = [
        np.take(ring, np.arange(turn * count, (turn + 1) * count), mode="wrap")
        for ring, count, turn in zip(rings, counts, turns, strict=True)
    ]
    return np.random.default_rng([seed, day + rates.reference_days]).permutation(
        np.concatenate(rows)
    )


def day_table(corpus: Corpus, rows: Integers, day: int, seed: int) -> pa.Table:
    """The day as the shortlist reads it, not scored yet; events come at any second of the day."""
    seconds = np.random.default_rng([seed, 10_000 + day]).integers(0, 86_400, len(rows))
    times = [EPOCH + timedelta(days=day, seconds=int(second)) for second in seconds]
    vectors = corpus.embeddings(rows)
    none = pa.nulls(len(rows), pa.float64())
    return pa.table(
        {
            "event_id": [event_id(place) for place in range(len(rows))],
            **dict.fromkeys(("score", "prefilter_score", "specialist_score"), none),
            "language": corpus.languages[rows].tolist(),
            "occurred_at": pa.array(times, pa.timestamp("us", tz="UTC")),
            "embedding": pa.FixedSizeListArray.from_arrays(vectors.ravel(), vectors.shape[1]).cast(
                pa.list_(pa.float32())
            ),
        }
    )


def event_id(place: int) -> str:
    """Sorts as the day's rows do."""
    return f"{place:06d}"

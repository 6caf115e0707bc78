"""The systems that `bench-fairness` compares: one ensemble, remedies for it, and a baseline.

Each is trained on the five spam sets' training rows; a remedy may add tweets of ordinary people
and news rooms as ham, read less sharply on unknown ground, or guard its thresholds with tweets.
No row of a fairness set is trained on, and no threshold sees one.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from data_contracts.config import Settings
from data_contracts.events import Event
from data_contracts.labels import LabelledEvent
from evaluation.gates.base import Answers, Contender, answers
from evaluation.metrics import Booleans, Floats
from pipelines.catalogue import read_labelled
from pipelines.near_duplicates import group_related, normalised
from pipelines.splits import grouped_folds
from tests.performance import bench_quality as quality
from training.ensemble import Ensemble
from training.thresholds import threshold_at

ORGANIC = ("behaviour_organic_airline_tweets", "behaviour_organic_health_news_tweets")
ORGANIC_ROWS = 6000  # of each set; half of the groups trains, half guards thresholds
RATE, WANTED_RECALL, NEARER_QUANTILE = 0.001, 0.90, 0.95
OWN, AT_RECALL = "0.1 % out of fold", "recall .90 out of fold"


@dataclass(frozen=True)
class System:
    """What one system says: `scores` and `positive` at each operating point, of every event asked.

    `scores: float64[n]`; `positive[point]: bool[n]`; `recall_out_of_fold` is the worst set's.
    """

    name: str
    training_rows: int
    scores: Floats
    positive: dict[str, Booleans]
    recall_out_of_fold: dict[str, float]


@dataclass(frozen=True)
class Asked:
    """The spam sets divided, ordinary tweets (`for_training` of them), and the events asked."""

    spam: quality.Rows
    organic: tuple[LabelledEvent, ...]
    for_training: Booleans
    events: tuple[Event, ...]

    @property
    def training_ham(self) -> list[LabelledEvent]:
        return [row for row, keep in zip(self.organic, self.for_training, strict=True) if keep]

    @property
    def guards(self) -> list[LabelledEvent]:
        return [row for row, keep in zip(self.organic, self.for_training, strict=True) if not keep]


def organic_tweets(
    settings: Settings, apart_from: Sequence[str], rng: np.random.Generator
) -> tuple[tuple[LabelledEvent, ...], Booleans]:
    """At most ORGANIC_ROWS of each set, none with a text of `apart_from`, and which half trains."""
    never = {normalised(text) for text in apart_from}
    rows: list[LabelledEvent] = []
    for name in ORGANIC:
        read = read_labelled(name, settings.data, settings.cache)
        found = [row for row in read if normalised(row.event.text) not in never]
        drawn = rng.permutation(len(found))[:ORGANIC_ROWS]
        rows += [found[at] for at in sorted(drawn)]
    folds = grouped_folds(group_related(rows), [(row.dataset, row.label) for row in rows], 2, rng)
    return tuple(rows), folds == 0


def ensembles(asked: Asked, laboratory: quality.Laboratory) -> list[System]:
    """The ensemble as it is, and with each remedy."""
    plain, ham = asked.spam.training, asked.training_ham
    both = quality.Rows(
        (*plain.rows, *ham), np.arange(len(plain.rows) + len(ham)),
        np.ones(len(plain.rows) + len(ham), dtype=bool),
    )  # fmt: skip
    systems = []
    for name, rows in (("Weir", plain), ("Weir, tweets as ham", both)):
        laboratory.say(f"{name}: training on {len(rows.rows)} rows")
        ensemble = laboratory.trained(rows)
        laboratory.say(f"{name}: answering {len(asked.events)} texts")
        systems += _with_remedies(name, ensemble, len(rows.rows), asked, laboratory)
    return systems


def baseline(asked: Asked, laboratory: quality.Laboratory) -> System:
    """TF-IDF with logistic regression on the spam sets alone, at the same rates."""
    training = asked.spam.training
    texts = [event.text for event in asked.events]
    split = quality.Split(training.texts, training.labels, quality._inner_folds(training), texts)
    folder = laboratory.settings.cache / "bench-fairness"
    laboratory.say(f"{quality.TFIDF}: {len(training.rows)} rows")
    scores = quality.cached(quality.tfidf_logistic_regression, split, folder)
    sets = np.array([row.dataset for row in training.rows])
    own = quality._quantile_threshold(scores.out_of_fold[~training.labels], RATE)
    cut = _cut_at_recall(scores.out_of_fold, training.labels, sets)
    return System(
        quality.TFIDF, len(training.rows), scores.test,
        {OWN: scores.test >= own, AT_RECALL: scores.test >= cut},
        {
            OWN: _worst_recall(scores.out_of_fold >= own, training.labels, sets),
            AT_RECALL: _worst_recall(scores.out_of_fold >= cut, training.labels, sets),
        },
    )  # fmt: skip


def _with_remedies(
    name: str, ensemble: Ensemble, rows: int, asked: Asked, laboratory: quality.Laboratory
) -> list[System]:
    stored = np.load(io.BytesIO(ensemble.parts.out_of_fold), allow_pickle=False)
    labels, scores = stored["targets"] == 1, stored["scores"]
    spam_sets = np.isin(stored["datasets"], quality.SETS)
    labels, scores, sets = labels & spam_sets, scores, stored["datasets"]
    cut = _cut_at_recall(scores, labels, sets)
    own = _own_positive(ensemble, stored)
    said = _said(ensemble, asked.events)
    recall = {
        OWN: _worst_recall(own, labels, sets),
        AT_RECALL: _worst_recall(scores >= cut, labels, sets),
    }
    plain = System(
        name, rows, said.scores, {OWN: said.positive, AT_RECALL: said.scores >= cut}, recall
    )
    guard = threshold_at(_said(ensemble, [row.event for row in asked.guards]).scores, RATE)
    laboratory.say(f"{name}: tweets set aside ask for a threshold of {guard:.4f}")
    guarded = System(
        f"{name}, guarded thresholds", rows, said.scores,
        {OWN: said.positive & (said.scores >= guard)},
        {OWN: _worst_recall(own & (scores >= guard), labels, sets)},
    )  # fmt: skip
    nearer = _nearer(ensemble, [row.event for row in asked.spam.training.rows], laboratory)
    other = _said(nearer, asked.events)
    wary = System(f"{name}, nearer ground", rows, other.scores, {OWN: other.positive}, {})
    return [plain, guarded, wary]


def _nearer(
    ensemble: Ensemble, events: Sequence[Event], laboratory: quality.Laboratory
) -> Ensemble:
    """The same, trusting its sharp stages only as far as NEARER_QUANTILE of the training texts."""
    distances = [glance.distance for glance in ensemble._text.glances(events)]
    policy = ensemble.parts.policy
    familiar = float(np.quantile(distances, NEARER_QUANTILE))
    unfamiliarity = replace(policy.unfamiliarity, familiar=familiar)
    parts = replace(ensemble.parts, policy=replace(policy, unfamiliarity=unfamiliarity))
    return Ensemble(parts, laboratory.encoder)


def _said(ensemble: Ensemble, events: Sequence[Event]) -> Answers:
    return answers(Contender("Weir", ensemble), events)


def _own_positive(ensemble: Ensemble, stored: np.lib.npyio.NpzFile) -> Booleans:
    """What its own thresholds, by kind of text, say of the out-of-fold scores."""
    thresholds = ensemble.parts.policy.thresholds
    lowest = np.array([thresholds.of(str(segment))[0] for segment in stored["segments"]])
    return np.asarray(stored["scores"] >= lowest)


def _cut_at_recall(scores: Floats, labels: Booleans, sets: np.ndarray) -> float:
    """The highest threshold at which WANTED_RECALL of every set's spam is caught out of fold."""
    cuts = []
    for name in np.unique(sets[labels]):
        spam = np.sort(scores[labels & (sets == name)])[::-1]
        cuts.append(spam[int(np.ceil(WANTED_RECALL * len(spam))) - 1])
    return float(min(cuts))


def _worst_recall(positive: Booleans, labels: Booleans, sets: np.ndarray) -> float:
    shares = [positive[labels & (sets == name)].mean() for name in np.unique(sets[labels])]
    return float(min(shares))

"""One arm's replay: each day score, select, reveal, retrain; recall on what was held out.

The classifier is the same for every arm: logistic regression (C = 10) on the frozen embedding
beside hashed character n-grams, trained on the initial labels and all that the arm chose. Its
threshold lets through `RATE` of false positives on ham that it has not seen. Where an arm asks for
a prefilter and a specialist, these are logistic regressions on the n-grams and on the embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from data_contracts.config import Labelling
from pipelines.labelling import selection_features
from pipelines.labelling.allocation import (
    AUDIT,
    ArmLabels,
    Worth,
    allocate,
    evasions_found,
    measure_worth,
)
from pipelines.labelling.emergence import emergence_column
from pipelines.labelling.evasion import evasion_similarity
from pipelines.labelling.samplers import SAMPLERS, Pool, Portfolio, Selection
from pipelines.labelling.samplers.base import Integers, Vectors
from pipelines.labelling.sampling import prior_and_floors
from pipelines.labelling.shortlist import shortlist
from pipelines.tables import Backend, parquet
from tests.performance.replay_traffic import (
    Corpus,
    Rates,
    Roles,
    day_rows,
    day_table,
    event_id,
)

RATE = 0.01
REACHED, STAYS = 0.9, 3  # recall above it at so many evaluations in a row
RENEWED = ((10, 1), (40, 2), (100, 5))  # until which day the model is renewed every how many days
SELDOM = 10  # days between renewals after that
COVERED = 1000  # of the newest labels: what samplers compare a pool with
WORTH_EVERY = 7  # days between measurements of what the arms' labels were worth
RANDOM, PORTFOLIO, BLIND = "random", "portfolio", "portfolio without emergence"
COMMITTEE = {"disagreement", "doubt", "adversarial", PORTFOLIO, BLIND}
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Point:
    """After so many labels since the family was planted (`own` of them of the family)."""

    labels: int
    own: int
    recall: float
    false_positive_rate: float


@dataclass(frozen=True)
class Curve:
    """What one arm did with one family and seed; `reached`: its labels then, None: never."""

    arm: str
    family: str
    seed: int
    points: tuple[Point, ...]

    @property
    def reached(self) -> int | None:
        return first_to_stay([point.recall for point in self.points], self.points)

    @property
    def passed(self) -> int | None:
        """Its labels at the first evaluation above, whether or not it stayed there."""
        return next((point.labels for point in self.points if point.recall > REACHED), None)


def first_to_stay(recalls: Sequence[float], points: Sequence[Point]) -> int | None:
    """Labels at the first of STAYS evaluations in a row above REACHED."""
    above = np.array(recalls) > REACHED
    for place in range(len(above) - STAYS + 1):
        if above[place : place + STAYS].all():
            return points[place].labels
    return None


@dataclass(frozen=True, eq=False)
class Traffic:
    """The days of one family and seed with their features: made once, used by every arm."""

    corpus: Corpus
    parts: Roles
    rates: Rates
    seed: int
    folder: Path
    backend: Backend
    labelling: Labelling
    _tables: dict[int, pa.Table] = field(default_factory=dict)

    def rows(self, day: int) -> Integers:
        """int64[n]: the corpus rows of the day's events, in the order of their ids."""
        return day_rows(self.parts, self.rates, day, self.seed)

    def table(self, day: int) -> pa.Table:
        """The real shortlist of the day (all of it: it is small), and its emergence."""
        if day not in self._tables:
            before = [self._file(one) for one in range(day - self.rates.reference_days, day)]
            listed = shortlist(
                parquet(self.backend, [self._file(day)]), parquet(self.backend, before),
                budget=self.rates.budget, seed=self.seed, threshold=0.5,
            ).rows  # fmt: skip
            past = np.concatenate(
                [self.rows(one) for one in range(day - self.rates.reference_days, day)]
            )
            new = emergence_column(listed["embedding"], self.corpus.embeddings(past))
            self._tables[day] = listed.append_column("emergence", new)
        return self._tables[day]

    def _file(self, day: int) -> Path:
        path = self.folder / f"{day + self.rates.reference_days:04d}.parquet"
        if not path.exists():
            pq.write_table(day_table(self.corpus, self.rows(day), day, self.seed), path)
        return path


@dataclass
class Labelled:
    """What was labelled so far, in order: corpus rows, arms, chances, and what had evaded."""

    rows: list[int] = field(default_factory=list)
    arms: list[str] = field(default_factory=list)
    chances: list[float] = field(default_factory=list)
    evaded: list[bool] = field(default_factory=list)

    def by_arm(self, corpus: Corpus) -> ArmLabels:
        rows = np.array(self.rows, np.int64)
        arms, chances = np.array(self.arms), np.array(self.chances)
        evaded = np.array(self.evaded, bool)
        return ArmLabels(corpus.embeddings(rows), corpus.is_spam[rows], arms, chances, evaded)


class Model:
    """The classifier and, where asked for, its committee; each starts from its last weights."""

    def __init__(self, corpus: Corpus, parts: Roles, committee: bool) -> None:
        self._corpus, self._parts = corpus, parts
        width = corpus.width
        self._views = [slice(None)] + [slice(width, None), slice(0, width)] * committee
        self._members = [
            LogisticRegression(C=10.0, tol=1e-5, max_iter=300, warm_start=True) for _ in self._views
        ]
        self.threshold = 0.5

    def fit(self, chosen: Sequence[int]) -> None:
        """On the initial labels and these; then the threshold on ham that it has not seen."""
        rows = np.concatenate([self._parts.initial, np.array(chosen, np.int64)])
        features, spam = self._corpus.features[rows], self._corpus.is_spam[rows]
        for view, member in zip(self._views, self._members, strict=True):
            member.fit(features[:, view], spam)
        ham = np.sort(self.scores(self._parts.threshold_ham)[0])
        self.threshold = float(np.nextafter(ham[-1 - int(RATE * len(ham))], 1.0))

    def scores(self, rows: Integers) -> Floats:
        """float64[members, n]: the classifier's first, then prefilter and specialist."""
        features = self._corpus.features[rows]
        return np.array(
            [
                member.predict_proba(features[:, view])[:, 1]
                for view, member in zip(self._views, self._members, strict=True)
            ],
            np.float64,
        )

    def share_caught(self, rows: Integers) -> float:
        return float((self.scores(rows)[0] >= self.threshold).mean())


def replay(arm: str, family: str, traffic: Traffic, days: int) -> Curve:
    """Until recall stays above REACHED, or for `days` after the planting."""
    rates, parts = traffic.rates, traffic.parts
    rng = np.random.default_rng([traffic.seed, *arm.encode()])
    model = Model(traffic.corpus, parts, arm in COMMITTEE)
    model.fit([])
    prior, floors = prior_and_floors(traffic.labelling)
    labelled, shares = Labelled(), prior
    worth: dict[str, Worth] = {}
    points = [_point(0, labelled, model, parts)]
    for day in range(rates.quiet_days + days):
        planted_days = day - rates.quiet_days + 1
        if arm in (PORTFOLIO, BLIND) and day:
            known = labelled.by_arm(traffic.corpus)
            worth = measure_worth(known, rng) if day % WORTH_EVERY == 0 else worth
            shares = dict(allocate(prior, floors, worth, evasions_found(known)).shares)
        _review(arm, traffic, day, model, labelled, shares, rng)
        if planted_days % _renewed_every(planted_days):
            continue
        model.fit(labelled.rows)
        if planted_days > 0:
            points.append(_point(planted_days * rates.budget, labelled, model, parts))
        if first_to_stay([point.recall for point in points], points) is not None:
            break
    return Curve(arm, family, traffic.seed, tuple(points))


def _renewed_every(day: int) -> int:
    return next((every for until, every in RENEWED if day <= until), SELDOM)


def _point(labels: int, labelled: Labelled, model: Model, parts: Roles) -> Point:
    return Point(
        labels,
        int(np.isin(labelled.rows, parts.planted).sum()),
        model.share_caught(parts.held_out),
        model.share_caught(parts.check_ham),
    )


def _review(
    arm: str,
    traffic: Traffic,
    day: int,
    model: Model,
    labelled: Labelled,
    shares: Mapping[str, float],
    rng: np.random.Generator,
) -> None:
    """The day's selection, and the truth about it."""
    rows, budget = traffic.rows(day), traffic.rates.budget
    if arm == RANDOM:
        ids = [event_id(place) for place in range(len(rows))]
        chosen = SAMPLERS["audit"].select(Pool(pa.table({"event_id": ids})), budget, rng)
    else:
        pool = _pool(arm, traffic, day, model, labelled)
        chosen = _select(arm, pool, budget, shares, rng)
    places = [int(one) for one in chosen.event_ids]
    scores = model.scores(rows[places])[0]
    labelled.rows += rows[places].tolist()
    labelled.arms += [draw.arm for draw in chosen.draws]
    labelled.chances += [draw.inclusion_probability or np.nan for draw in chosen.draws]
    labelled.evaded += (traffic.corpus.is_spam[rows[places]] & (scores < model.threshold)).tolist()


def _select(
    arm: str, pool: Pool, budget: int, shares: Mapping[str, float], rng: np.random.Generator
) -> Selection:
    """A single arm spends all; what it cannot spend is drawn at random."""
    if arm in (PORTFOLIO, BLIND):
        arms = {name: SAMPLERS[name] for name in shares if name != AUDIT}
        return Portfolio(arms, shares).select(pool, budget, rng)
    able = min(budget, len(SAMPLERS[arm].eligible(pool)))
    some = SAMPLERS[arm].select(pool, able, rng)
    rest = pool.without(some.event_ids)
    return Selection((*some.draws, *SAMPLERS["audit"].select(rest, budget - able, rng).draws))


def _pool(arm: str, traffic: Traffic, day: int, model: Model, labelled: Labelled) -> Pool:
    """The day's features with this arm's scores, and what its reviewers know by now."""
    corpus, table = traffic.corpus, traffic.table(day)
    table = table.drop_columns(["emergence"]) if arm == BLIND else table
    known = np.array(labelled.rows, np.int64)
    scores = model.scores(traffic.rows(day))
    table = _with(table, {"score": pa.array(scores[0])})
    if len(scores) > 1:
        evasions = corpus.embeddings(known[np.array(labelled.evaded, bool)])
        signals = _signals(scores, model.threshold, traffic.backend)
        signals["evasion_similarity"] = evasion_similarity(table["embedding"], evasions)
        table = _with(table, signals)
    return Pool(table, model.threshold).covering(_newest(corpus, known))


def _newest(corpus: Corpus, known: Integers) -> Vectors:
    return corpus.embeddings(known[-COVERED:])


def _signals(scores: Floats, threshold: float, backend: Backend) -> dict[str, pa.Array]:
    """Disagreement and doubt by the selection's own expressions."""
    names = ("score", "prefilter", "specialist")
    rows = ibis.memtable(
        pa.table({"place": np.arange(scores.shape[1]), **dict(zip(names, scores, strict=True))})
    )
    found = backend.to_pyarrow(
        rows.select(
            "place",
            disagreement=selection_features.disagreement([rows[name] for name in names]),
            doubt=selection_features.doubt(rows.prefilter, rows.specialist, threshold),
        )
    ).sort_by("place")
    return {name: found[name] for name in ("disagreement", "doubt")}


def _with(table: pa.Table, columns: Mapping[str, pa.Array]) -> pa.Table:
    kept = [name for name in table.column_names if name not in columns]
    for name, values in columns.items():
        table = table.select(kept).append_column(name, values)
        kept.append(name)
    return table

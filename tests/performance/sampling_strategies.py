"""What `bench_sampling` compares: Weir's samplers, the portfolio, random, and small-text's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from pipelines.labelling.allocation import AUDIT, ArmLabels, allocate, measure_worth
from pipelines.labelling.samplers import SAMPLERS, Portfolio, Sampler
from tests.performance.sampling_lab import (
    INVERSE_PENALTY,
    Floats,
    Integers,
    Round,
    Strategy,
)

PRIOR = {AUDIT: 0.1, "cluster_margin": 0.8, "diversity": 0.05, "adversarial": 0.05}
FLOORS = {"cluster_margin": 0.05, "diversity": 0.02, "adversarial": 0.02}
MEASURED_EVERY = 1.5  # worth is measured again when labels have grown by half


def random(at: Round, budget: int) -> Integers:
    """What every claim is measured against."""
    return at.rng.choice(at.free, budget, replace=False)


@dataclass(frozen=True)
class One:
    """One of SAMPLERS; before there is a model, cluster representatives."""

    sampler: Sampler
    columns: bool = False

    def __call__(self, at: Round, budget: int) -> Integers:
        if at.model is None:
            return _rows(SAMPLERS["representatives"], at, budget, {})
        return _rows(self.sampler, at, budget, views(at) if self.columns else {})


@dataclass
class OfAll:
    """The portfolio, its shares moved by what each arm's labels turned out to be worth."""

    shares: Mapping[str, float] = field(default_factory=lambda: dict(PRIOR))
    arms: dict[int, str] = field(default_factory=dict)  # of each labelled row
    chances: dict[int, float] = field(default_factory=dict)
    measured_at: int = 0

    def __call__(self, at: Round, budget: int) -> Integers:
        if len(at.labelled) >= MEASURED_EVERY * max(self.measured_at, FEWEST_MEASURED):
            self._measure(at)
        names = [name for name in self.shares if name != AUDIT]
        portfolio = Portfolio({name: SAMPLERS[name] for name in names}, self.shares)
        pool = at.sampled(views(at) if at.model is not None else {})
        draws = portfolio.select(pool, budget, at.rng).draws
        rows = np.array([int(draw.event_id[1:]) for draw in draws], np.int64)
        for row, draw in zip(rows.tolist(), draws, strict=True):
            self.arms[row] = draw.arm
            self.chances[row] = draw.inclusion_probability or np.nan
        return rows

    def _measure(self, at: Round) -> None:
        rows = np.array([row for row in at.labelled if int(row) in self.arms], np.int64)
        labelled = ArmLabels(
            at.bench.vectors[rows], at.bench.answers[rows],
            np.array([self.arms[int(row)] for row in rows]),
            np.array([self.chances[int(row)] for row in rows]),
            np.zeros(len(rows), bool),  # there is no filter yet that could be evaded
        )  # fmt: skip
        self.measured_at = len(at.labelled)
        self.shares = allocate(PRIOR, FLOORS, measure_worth(labelled, at.rng), {}).shares


FEWEST_MEASURED = 80


@dataclass(frozen=True)
class SmallText:
    """A query strategy of small-text on the same embeddings and classifier.

    C. Schroeder et al., "Small-Text: Active Learning for Text Classification in Python", EACL
    2023. Its first batch is random, as its own initialisation is.
    """

    name: str

    def __call__(self, at: Round, budget: int) -> Integers:
        if at.model is None:
            return random(at, budget)
        import small_text

        strategy = getattr(small_text, self.name)()
        np.random.seed(int(at.rng.integers(2**31)))  # small-text draws from it
        answers = at.bench.answers[at.labelled].astype(np.int64)
        fitted = _Fitted(at.model, at.bench.vectors.shape[1])
        dataset = _Rows(at.bench.pooled)
        found = strategy.query(fitted, dataset, at.free, at.labelled, answers, n=budget)
        return np.asarray(found, np.int64)


@dataclass(frozen=True)
class _Rows:
    """As much of a small-text dataset as its strategies read."""

    x: Any

    def __len__(self) -> int:
        return int(self.x.shape[0])

    def __getitem__(self, rows: Any) -> _Rows:
        return _Rows(self.x[rows])


@dataclass(frozen=True)
class _Fitted:
    """As much of a small-text classifier as its strategies call."""

    model: LogisticRegression
    width: int  # of the embeddings, the first columns

    def predict_proba(self, dataset: _Rows) -> Floats:
        chances: Floats = self.model.predict_proba(dataset.x)
        return chances

    def embed(
        self, dataset: _Rows, return_proba: bool = False, pbar: object = None
    ) -> tuple[Floats, Floats]:
        """Not `embeddings=`: small-text 1.4.1 reads those by places of another order."""
        assert return_proba
        return dataset.x[:, : self.width].toarray(), self.predict_proba(dataset)


def views(at: Round) -> dict[str, Floats]:
    """The ensemble's members: n-grams alone as the prefilter, embeddings as a specialist."""
    answers = at.bench.answers[at.labelled]
    specialist, prefilter = (
        LogisticRegression(C=INVERSE_PENALTY, solver="liblinear")
        .fit(part[at.labelled], answers)
        .predict_proba(part)[:, 1]
        for part in (at.bench.vectors, at.bench.ngrams)
    )
    doubt = np.where(prefilter < 0.5, specialist - prefilter, np.nan)
    return {"disagreement": (specialist - prefilter) ** 2 / 4, "doubt": doubt}


def _rows(sampler: Sampler, at: Round, budget: int, columns: dict[str, Floats]) -> Integers:
    pool = at.sampled(columns)
    able = min(budget, len(sampler.eligible(pool)))
    ids = sampler.select(pool, able, at.rng).event_ids
    rows = np.array([int(event_id[1:]) for event_id in ids], np.int64)
    if able < budget:  # an arm that can judge too little: the rest is random
        rest = np.setdiff1d(at.free, rows)
        rows = np.append(rows, at.rng.choice(rest, budget - able, replace=False))
    return rows


def strategies() -> dict[str, Strategy]:
    """A fresh one of each, by the name in the report; the portfolio remembers its labels."""
    weir: dict[str, Strategy] = {
        "random": random,
        "portfolio": OfAll(),
        **{name: One(SAMPLERS[name]) for name in ("cluster_margin", "entropy", "k_centre")},
        "representatives": One(SAMPLERS["representatives"]),
        "disagreement": One(SAMPLERS["disagreement"], columns=True),
        "doubt": One(SAMPLERS["doubt"], columns=True),
    }
    rivals: dict[str, Strategy] = {f"small-text {name}": SmallText(name) for name in RIVALS}
    return {**weir, **rivals}


RIVALS = ("BreakingTies", "EmbeddingKMeans", "GreedyCoreset")
# ContrastiveActiveLearning, by far the slowest, needed 75 labels on SMS where BreakingTies needed
# 46 (6 seeds, batches from two labels); with two classes BreakingTies, LeastConfidence and
# PredictionEntropy are one.

"""The laboratory of `bench_sampling`: one set divided, one classifier, and the labelling loop.

Every strategy is given the same pool, the same frozen embeddings and the same classifier
(logistic regression on the embeddings beside hashed n-grams); only what it asks for differs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import csr_array, csr_matrix, hstack
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression

from data_contracts.labels import LabelledEvent
from evaluation.metrics import average_precision
from pipelines.labelling.samplers import Pool
from pipelines.near_duplicates import group_related

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Vectors = NDArray[np.float32]

INVERSE_PENALTY = 30.0
TEXT_CHARACTERS = 2000
TEST_SHARE = 0.3
FIRST, GROWTH, FEWEST = 10, 0.1, 10  # labels of the first batch; then 10 %, at least ten


@dataclass(frozen=True)
class Corpus:
    """A set as arrays: embeddings float32[n, d], n-gram counts, labels, groups, seconds (NaN)."""

    name: str
    embeddings: Vectors
    counts: csr_matrix
    is_spam: NDArray[np.bool_]
    groups: Integers
    seconds: Floats

    @classmethod
    def of(cls, name: str, rows: Sequence[LabelledEvent], embeddings: Vectors) -> Corpus:
        times = [row.event.occurred_at for row in rows]
        return cls(
            name,
            embeddings,
            _counts([row.event.text[:TEXT_CHARACTERS] for row in rows]),
            np.array([row.is_spam for row in rows], bool),
            group_related(rows),
            np.array([time.timestamp() if time else np.nan for time in times], np.float64),
        )


@dataclass(frozen=True)
class Bench:
    """The pool to label (rows of the corpus) and the test that no strategy sees."""

    corpus: Corpus
    pool: Integers
    test: Integers

    @classmethod
    def divided(cls, corpus: Corpus, seed: int, in_time: bool) -> Bench:
        """By group at random; or, `in_time`, the earlier 40 to 60 % (by seed) against the rest.

        Test rows that resemble a pool row are left out of a division by time (a rolling origin:
        L. J. Tashman, International Journal of Forecasting 16, 2000).
        """
        if in_time:
            order = np.argsort(corpus.seconds, kind="stable")
            order = order[np.isfinite(corpus.seconds[order])]
            cut = int((0.4 + 0.05 * (seed % 5)) * len(order))
            pool, later = order[:cut], order[cut:]
            return cls(corpus, pool, later[~np.isin(corpus.groups[later], corpus.groups[pool])])
        groups = np.random.default_rng([seed, 1]).permutation(np.unique(corpus.groups))
        tested = np.isin(corpus.groups, groups[: int(TEST_SHARE * len(groups))])
        return cls(corpus, np.flatnonzero(~tested), np.flatnonzero(tested))

    @cached_property
    def features(self) -> csr_array:
        """Embeddings beside TF-IDF (weights from the unlabelled pool), all rows of the corpus."""
        weights = TfidfTransformer().fit(self.corpus.counts[self.pool])
        parts = [csr_matrix(self.corpus.embeddings), weights.transform(self.corpus.counts)]
        return csr_array(hstack(parts), dtype=np.float64)

    @cached_property
    def pooled(self) -> csr_array:
        return self.features[self.pool]

    @cached_property
    def tested(self) -> csr_array:
        return self.features[self.test]

    @cached_property
    def vectors(self) -> Vectors:
        return self.corpus.embeddings[self.pool]

    @cached_property
    def ngrams(self) -> csr_array:
        return self.pooled[:, self.vectors.shape[1] :]

    @property
    def answers(self) -> NDArray[np.bool_]:
        """The pool's labels, which only the loop reads, one asked row at a time."""
        return self.corpus.is_spam[self.pool]

    @cached_property
    def full(self) -> float:
        """Average precision on the test with the whole pool labelled."""
        return self.quality(self.fitted(np.arange(len(self.pool))))

    def fitted(self, labelled: Integers) -> LogisticRegression:
        model = LogisticRegression(C=INVERSE_PENALTY, solver="liblinear")
        return model.fit(self.pooled[labelled], self.answers[labelled])

    def quality(self, model: LogisticRegression) -> float:
        scores = model.decision_function(self.tested)
        return average_precision(self.corpus.is_spam[self.test], scores)

    @cached_property
    def table(self) -> pa.Table:
        """The pool as samplers know it, without scores."""
        return pa.table(
            {
                "event_id": [f"e{row:06d}" for row in range(len(self.pool))],
                "embedding": pa.array(list(self.vectors), pa.list_(pa.float32())),
            }
        )


@dataclass(frozen=True)
class Round:
    """What a strategy may look at: labels so far, and the model that they gave (None: none)."""

    bench: Bench
    labelled: Integers
    model: LogisticRegression | None
    rng: np.random.Generator

    @cached_property
    def free(self) -> Integers:
        """Rows of the pool without a label."""
        free = np.ones(len(self.bench.pool), bool)
        free[self.labelled] = False
        return np.flatnonzero(free)

    @cached_property
    def scores(self) -> Floats | None:
        """float64[n]: the model's probability of spam for each row of the pool."""
        if self.model is None:
            return None
        return np.asarray(self.model.predict_proba(self.bench.pooled)[:, 1], np.float64)

    def sampled(self, columns: dict[str, Floats] | None = None) -> Pool:
        """The free rows as a Pool that knows what is labelled."""
        table = self.bench.table.take(pa.array(self.free))
        given = {"score": self.scores, **(columns or {})}
        for name, values in given.items():
            column = pa.nulls(len(self.free), pa.float64()) if values is None else values[self.free]
            table = table.append_column(name, pa.array(column))
        return Pool.of(table).covering(self.bench.vectors[self.labelled])


Strategy = Callable[[Round, int], Integers]


def learning_curve(
    bench: Bench, strategy: Strategy, seed: int, most: int
) -> list[tuple[int, float]]:
    """(labels, average precision) after each batch, until `most` labels or an empty pool.

    A first batch of one kind is followed by random rows until both are there; they count.
    """
    rng = np.random.default_rng([seed, 2])
    labelled: Integers = np.empty(0, np.int64)
    model, curve = None, []
    while len(labelled) < min(most, len(bench.pool)):
        wanted = max(FEWEST, int(GROWTH * len(labelled))) if len(labelled) else FIRST
        wanted = min(wanted, len(bench.pool) - len(labelled))
        chosen = strategy(Round(bench, labelled, model, rng), wanted)
        labelled = _both_kinds(bench, np.concatenate([labelled, chosen]), rng)
        model = bench.fitted(labelled)
        curve.append((len(labelled), bench.quality(model)))
    return curve


def _both_kinds(bench: Bench, labelled: Integers, rng: np.random.Generator) -> Integers:
    while len(np.unique(bench.answers[labelled])) < 2:
        free = np.setdiff1d(np.arange(len(bench.pool)), labelled)
        labelled = np.append(labelled, rng.choice(free))
    return labelled


def _counts(texts: Sequence[str]) -> csr_matrix:
    settings = {"alternate_sign": False, "norm": None, "binary": True}
    characters = HashingVectorizer(
        analyzer="char_wb", ngram_range=(2, 4), n_features=2**16, **settings
    )
    words = HashingVectorizer(analyzer="word", n_features=2**15, **settings)
    return csr_matrix(hstack([characters.transform(texts), words.transform(texts)]))

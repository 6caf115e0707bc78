"""The systems under attack: what each says of events, and the threshold that 1 % of ham reaches."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from data_contracts.config import Hardening
from data_contracts.events import Event
from data_contracts.labels import LabelledEvent
from evaluation.attacks.black_box import Score
from evaluation.attacks.curves import threshold_at
from evaluation.metrics import Booleans, Floats, Integers
from pipelines.features.text import normalisation
from pipelines.features.text.characters import characters, chunks
from pipelines.features.text.encoder import TextEncoder
from pipelines.features.text.vocabulary import Vocabulary
from training.ensemble import Ensemble
from training.stacking import STAGES
from training.text_stack import TextStack
from training.train import Plan, train
from training.tuning import NoTrialLog

RATE = 0.01
HEADS = ("content", "style")


@dataclass(frozen=True)
class System:
    """`score(events) -> float64[n]`, higher is more spam; `thresholds` by dataset."""

    name: str
    score: Score
    thresholds: Mapping[str, float]


@dataclass(frozen=True)
class Workshop:
    """What trainings share. `reading` asks the encoder anew, `encoder` keeps what it read."""

    encoder: TextEncoder
    reading: TextEncoder
    encoder_file: Path
    studies: Path
    seed: int
    folds: int

    def trained(self, rows: Sequence[LabelledEvent], hardening: Hardening) -> Ensemble:
        """An ensemble of text alone; its queries leave nothing in the cache of embeddings."""
        plan = Plan(0, self.folds, self.seed, 0.001, self.studies, hardening=hardening)
        silent = lambda message: None  # noqa: E731
        found = train(rows, self.encoder, self.encoder_file, plan, NoTrialLog(), silent)
        return Ensemble(found.parts, self.reading)


def stored_out_of_fold(trained: Ensemble) -> Any:
    """What it said of its training rows by models that did not see them, by name."""
    return np.load(io.BytesIO(trained.parts.out_of_fold), allow_pickle=False)


def ensemble(name: str, trained: Ensemble) -> System:
    """As it is served, early exit and all; thresholds from its out-of-fold scores of ham."""
    stored = stored_out_of_fold(trained)

    def score(events: Sequence[Event]) -> Floats:
        return np.array([answer.score for answer in trained.assess(events)])

    return System(name, score, _thresholds(stored, stored["scores"]))


def specialist(name: str, trained: Ensemble) -> System:
    """The text specialist of an ensemble alone: the mean log-odds of its two sharp heads."""
    stored = stored_out_of_fold(trained)
    heads = [STAGES.index(head) for head in HEADS]
    stack = TextStack(trained.parts, trained._encoder)

    def score(events: Sequence[Event]) -> Floats:
        found = [stack.understand(glance) for glance in stack.glances(events)]
        return np.array([(one.content + one.style) / 2 for one in found])

    return System(name, score, _thresholds(stored, stored["log_odds"][:, heads].mean(axis=1)))


def tfidf_logistic_regression(name: str, rows: Sequence[LabelledEvent], folds: Integers) -> System:
    """As in `quality_baselines`: characters 2-5, words 1-2, sublinear TF-IDF, L2 (C = 10)."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.pipeline import make_union

    texts, labels = [row.event.text for row in rows], np.array([row.is_spam for row in rows])
    counts = make_union(
        CountVectorizer(analyzer="char", ngram_range=(2, 5), min_df=3, dtype=np.float32),
        CountVectorizer(analyzer="word", ngram_range=(1, 2), min_df=2, dtype=np.float32),
    )
    counted = counts.fit_transform(texts).tocsr()
    out_of_fold = np.zeros(len(rows))
    for fold in np.unique(folds):
        inside = folds != fold
        model = _regression().fit(counted[inside], labels[inside])
        out_of_fold[~inside] = model.decision_function(counted[~inside])
    whole = _regression().fit(counted, labels)

    def score(events: Sequence[Event]) -> Floats:
        read = counts.transform([event.text for event in events])
        return np.asarray(whole.decision_function(read), np.float64)

    datasets = np.array([row.dataset for row in rows])
    return System(name, score, ham_thresholds(datasets, labels, out_of_fold))


@contextmanager
def without_normalisation() -> Iterator[None]:
    """Texts are read without their markup and as they are: nothing folded, nothing repaired."""

    def as_written(_: Vocabulary, texts: Sequence[str]) -> Iterator[tuple[Any, Any]]:
        for part in chunks(texts):
            yield [(text, 0) for text in part], characters(part)

    with (
        patch.object(normalisation, "fold", lambda text: text),
        patch.object(Vocabulary, "repaired_parts", as_written),
    ):
        yield


def ham_thresholds(datasets: NDArray[Any], spam: Booleans, scores: Floats) -> dict[str, float]:
    """By dataset, the threshold that a RATE share of its ham reaches out of fold."""
    return {
        str(name): threshold_at(scores[(datasets == name) & ~spam], RATE)
        for name in np.unique(datasets)
        if RATE * int(((datasets == name) & ~spam).sum()) >= 1
    }


def _thresholds(stored: Any, scores: Floats) -> dict[str, float]:
    return ham_thresholds(stored["datasets"], stored["targets"] == 1, scores)


def _regression() -> Any:
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    return make_pipeline(
        TfidfTransformer(sublinear_tf=True),
        LogisticRegression(C=10, solver="liblinear", random_state=0, max_iter=200),
    )

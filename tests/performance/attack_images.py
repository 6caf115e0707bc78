"""The black-box attacker on spam pictures: the text that OCR reads of them, and the image stages.

The set is ISH (Gao et al. 2008, "Image Spam Hunter", ICASSP): a fifth of its near-duplicate groups
is the test, at most TRAINING images of each label of the rest are learnt from. What stands here for
the ensemble is the mean of the calibrated log-odds of the stages in STAGES, which no disguised copy
has hardened. OCR is not among them: it takes 0.25 s a picture, and the attacker asks thousands of
times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_contracts.config import Settings
from data_contracts.errors import MissingPart
from data_contracts.events import Event
from evaluation.attacks import ATTACKS
from evaluation.attacks.black_box import Search, Weapon, search
from evaluation.attacks.curves import Attacked, threshold_at
from evaluation.metrics import Booleans, Floats, Integers, clopper_pearson
from pipelines.assets import asset_file
from pipelines.features.base import Extractor, Features
from pipelines.features.image.extraction import ImageExtractor
from pipelines.features.image.objects import ObjectsExtractor
from pipelines.features.image.ocr import NOT_INSTALLED, OcrExtractor
from pipelines.features.media.base import MediaReader
from pipelines.features.media.reader import BoundedMediaReader
from pipelines.features.media_feature_cache import FOLDER, CachedExtractor, MediaFeatureCache
from pipelines.image_sets import ISH, LabelledImage, read_images
from pipelines.splits import grouped_folds
from tests.performance.attack_systems import RATE, System
from tests.performance.attack_texts import (
    ALL_ATTACKS,
    QUERIES,
    SEED,
    TFIDF,
    Besieged,
    Say,
    evaded_by,
    plain,
)
from training.calibration import Calibration, fit_calibration
from training.logistic import logit
from training.specialists.base import StageRows
from training.specialists.tabular import TabularFamily

DATASET = "image_spam (ISH)"
STAGES_MEAN = "mean of the image stages"
STAGES: Mapping[str, type[Extractor]] = {"image": ImageExtractor, "objects": ObjectsExtractor}
PICTURES = ("noise", "blur", "crop", "overlay", "recompression")
FOLDS, TRAINING, ATTACKED = 5, 300, 50

Scorer = Callable[[Sequence[Features]], Floats]


@dataclass(frozen=True)
class Pictures:
    """n images with the near-duplicate `groups` int64[n]."""

    images: Sequence[LabelledImage]
    groups: Integers

    @property
    def spam(self) -> Booleans:
        return np.array([image.is_spam for image in self.images], dtype=bool)

    @property
    def events(self) -> list[Event]:
        return [
            Event(event_id=image.sha256, text="", media=(image.reference(),))
            for image in self.images
        ]

    def where(self, rows: Integers) -> Pictures:
        return Pictures([self.images[at] for at in rows], self.groups[rows])

    def drawn(self, most: int) -> Pictures:
        """At most so many of each label."""
        rng = np.random.default_rng(SEED)
        rows = [rng.permutation(np.flatnonzero(self.spam == label))[:most] for label in (0, 1)]
        return self.where(np.sort(np.concatenate(rows)))


def compared(settings: Settings, say: Say) -> Iterator[Besieged]:
    """Both systems on the same pictures. MissingPart where pictures or a model are absent."""
    training, test = _divided(settings)
    say(f"{len(training.images)} pictures to learn from, {len(test.images)} to attack")
    with BoundedMediaReader(None) as media, MediaFeatureCache(settings.cache / FOLDER) as cache:
        for name, system in (
            (TFIDF, _by_text(_made(OcrExtractor, settings, media), training, cache, say)),
            (STAGES_MEAN, _by_stages(settings, media, training, cache, say)),
        ):
            yield _besieged(name, system, test, say)


def _divided(settings: Settings) -> tuple[Pictures, Pictures]:
    images = list(read_images(settings.data, ISH))
    groups = np.unique([image.group for image in images], return_inverse=True)[1]
    whole = Pictures(images, groups)
    rng = np.random.default_rng(SEED)
    is_test = grouped_folds(groups, whole.spam.tolist(), FOLDS, rng) == 0
    training, test = (whole.where(np.flatnonzero(rows)) for rows in (~is_test, is_test))
    return training.drawn(TRAINING), test.drawn(ATTACKED)


def _by_text(
    extractor: Extractor, training: Pictures, cache: MediaFeatureCache, say: Say
) -> System:
    """TF-IDF of characters 2-5 and logistic regression (C = 10) on what OCR read."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    def fit(found: Sequence[Features], spam: Booleans) -> Scorer:
        model = make_pipeline(
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=3),
            LogisticRegression(C=10, solver="liblinear", random_state=0),
        )
        model.fit([features.text for features in found], spam)
        return lambda asked: np.asarray(model.decision_function([one.text for one in asked]))

    found = _extracted(extractor, training, cache, say)
    return _system(TFIDF, extractor, found, training, fit)[0]


def _by_stages(
    settings: Settings, media: MediaReader, training: Pictures, cache: MediaFeatureCache, say: Say
) -> System:
    systems, calibrations, out_of_fold = [], [], []
    for kind in STAGES.values():
        extractor = _made(kind, settings, media)
        found = _extracted(extractor, training, cache, say)
        system, scores = _system(STAGES_MEAN, extractor, found, training, _stage(kind))
        calibrations.append(fit_calibration(scores, training.spam.astype(np.int64)))
        systems.append(system)
        out_of_fold.append(scores)

    def score(events: Sequence[Event]) -> Floats:
        return _mean([system.score(events) for system in systems], calibrations)

    ham = _mean(out_of_fold, calibrations)[~training.spam]
    return System(STAGES_MEAN, score, {DATASET: threshold_at(ham, RATE)})


def _mean(scores: Sequence[Floats], calibrations: Sequence[Calibration]) -> Floats:
    pairs = zip(scores, calibrations, strict=True)
    return np.asarray(np.mean([logit(one.probability(score)) for score, one in pairs], axis=0))


def _system(
    name: str,
    extractor: Extractor,
    found: Sequence[Features],
    training: Pictures,
    fit: Callable[[Sequence[Features], Booleans], Scorer],
) -> tuple[System, Floats]:
    """The system fitted on all of the training, and its out-of-fold scores float64[n]."""
    rng = np.random.default_rng(SEED)
    folds = grouped_folds(training.groups, training.spam.tolist(), FOLDS, rng)
    out_of_fold = np.zeros(len(folds))
    for fold in range(FOLDS):
        inside = np.flatnonzero(folds != fold)
        model = fit([found[at] for at in inside.tolist()], training.spam[inside])
        held_out = np.flatnonzero(folds == fold)
        out_of_fold[held_out] = model([found[at] for at in held_out.tolist()])
    whole = fit(found, training.spam)

    def score(events: Sequence[Event]) -> Floats:
        return whole([extractor.extract(event) for event in events])

    threshold = threshold_at(out_of_fold[~training.spam], RATE)
    return System(name, score, {DATASET: threshold}), out_of_fold


def _stage(kind: type[Extractor]) -> Callable[[Sequence[Features], Booleans], Scorer]:
    """The product's own specialist on the features of one stage."""

    def fit(found: Sequence[Features], spam: Booleans) -> Scorer:
        columns = np.array([features.columns for features in found])
        embeddings = np.array([features.embedding for features in found])
        rows = StageRows(columns, embeddings, spam.astype(np.int64), np.full(len(spam), ISH))
        model = TabularFamily().fit(rows, list(kind.names), {}, seed=SEED)
        return lambda asked: np.array([model.score(one.columns, one.embedding) for one in asked])

    return fit


def _extracted(
    extractor: Extractor, pictures: Pictures, cache: MediaFeatureCache, say: Say
) -> list[Features]:
    cached, found = CachedExtractor(extractor, cache), []
    for number, event in enumerate(pictures.events, 1):
        found.append(cached.extract(event))
        if NOT_INSTALLED in found[-1].notes:
            raise MissingPart("Tesseract's trained data are absent; install tesseract-ocr-eng")
        if number % 200 == 0:
            say(f"{type(extractor).__name__}: {number} of {len(pictures.images)} pictures")
    return found


def _besieged(name: str, system: System, test: Pictures, say: Say) -> Besieged:
    threshold, spam = system.thresholds[DATASET], test.spam
    positive = system.score(test.events) >= threshold
    chosen = np.flatnonzero(spam)
    events = test.where(chosen).events
    weapons = [Weapon(ATTACKS[attack], 1.0) for attack in PICTURES]
    outcomes = search(events, system.score, threshold, weapons, Search(QUERIES, seed=SEED))
    found = Attacked.of(outcomes)
    say(f"{name}: {found.evaded.sum()} of {found.among.sum()} evade")
    clear: dict[str, Any] = {
        "test_rows": len(spam), "test_spam": int(spam.sum()), "attacked": len(events),
        "recall": plain(clopper_pearson(int(positive[spam].sum()), int(spam.sum()))),
        "false_positive_rate": plain(
            clopper_pearson(int(positive[~spam].sum()), int((~spam).sum()))
        ),
        "queries_spent": sum(outcome.queries for outcome in outcomes),
        "evaded_by": evaded_by(outcomes),
    }  # fmt: skip
    return Besieged(name, DATASET, ALL_ATTACKS, clear, found, test.groups[chosen])


def _made(kind: type[Extractor], settings: Settings, media: MediaReader) -> Extractor:
    files = {name: asset_file(name, settings.data, settings.cache) for name in kind.assets}
    return kind(files, media)

"""The systems that are compared on images: baselines, single stages, and all stages together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from evaluation.metrics import Booleans, Floats, Integers
from pipelines.splits import grouped_folds
from tests.performance.image_gallery import Gallery, StageFeatures
from training.calibration import fit_calibration
from training.logistic import logit
from training.specialists.base import StageRows
from training.specialists.tabular import TabularFamily

SEED, FOLDS = 20_260_105, 5
LENGTH = "OCR length alone"
PICTURE_LR, PICTURE_TREES = "picture features, LR", "picture features, trees"
IMAGE, CONTENT = "image specialist", "image specialist without file features"
OBJECTS, OCR, TEXT = "objects", "OCR columns", "OCR text, TF-IDF + LR"
FUSED, TOGETHER = "all stages, mean of calibrated log-odds", "all stages, one model"
FUSED_PARTS = (IMAGE, OBJECTS, OCR, TEXT)

Fit = Callable[[Gallery, Gallery], Floats]


def scored(images: Gallery, known: Booleans) -> dict[str, Floats]:
    """Log-odds of every system by its name, float64[n].

    Each fold is scored by models of the other folds' rows, and only of those that are `known`
    bool[n]: with all of them known this is out of fold, else it is transfer to what is not.
    """
    folds = image_folds(images)
    scores = {name: _out_of_fold(fit, images, folds, known) for name, fit in SYSTEMS.items()}
    scores[FUSED] = _fused([scores[part] for part in FUSED_PARTS], images.spam, folds, known)
    return {LENGTH: ocr_length(images), **scores}


def ocr_length(images: Gallery) -> Floats:
    """The baseline to beat: how much text there is, whatever it says."""
    stage = images.stages["ocr"]
    return np.nan_to_num(
        stage.columns[:, [*stage.families].index("ocr_characters")].astype(np.float64)
    )


def image_folds(images: Gallery) -> Integers:
    """int64[n]: near-duplicates in one fold, sources and labels balanced."""
    strata = list(zip(images.sources.tolist(), images.spam.tolist(), strict=True))
    return grouped_folds(images.groups, strata, FOLDS, np.random.default_rng(SEED))


def _out_of_fold(fit: Fit, images: Gallery, folds: Integers, known: Booleans) -> Floats:
    scores = np.zeros(len(folds))
    for fold in range(FOLDS):
        training = images.where((folds != fold) & known)
        scores[folds == fold] = fit(training, images.where(folds == fold))
    return scores


def _fused(parts: Sequence[Floats], spam: Booleans, folds: Integers, known: Booleans) -> Floats:
    """Mean log-odds; a fold's calibrations are fitted on the scores of the other folds."""
    fused = np.zeros(len(folds))
    for fold in range(FOLDS):
        seen, asked = (folds != fold) & known, folds == fold
        for scores in parts:
            calibration = fit_calibration(scores[seen], spam[seen].astype(np.int64))
            fused[asked] += logit(calibration.probability(scores[asked])) / len(parts)
    return fused


def _specialist(*stages: str, embedding: bool = True, without: str = "") -> Fit:
    """The product's tabular specialist on one stage, or on several side by side.

    `without` names a family of columns that is left out.
    """

    def fit(training: Gallery, asked: Gallery) -> Floats:
        rows = _rows(training, stages, embedding, without)
        names = [name for stage in stages for name in _kept(training.stages[stage], without)]
        specialist = TabularFamily().fit(rows, names, {}, seed=SEED)
        columns, embeddings, _, _ = _rows(asked, stages, embedding, without)
        pairs = zip(columns, embeddings, strict=True)
        return np.array([specialist.score(row, vector) for row, vector in pairs])

    return fit


def _rows(images: Gallery, stages: Sequence[str], embedding: bool, without: str) -> StageRows:
    parts = [images.stages[stage] for stage in stages]
    columns = [part.columns[:, list(_kept(part, without).values())] for part in parts]
    vectors = np.hstack([part.embeddings for part in parts])
    kept = vectors if embedding else vectors[:, :0]
    return StageRows(np.hstack(columns), kept, images.spam.astype(np.int64), images.sources)


def _kept(stage: StageFeatures, without: str) -> dict[str, int]:
    """The places of the columns that are not of the family `without`, by name."""
    places = enumerate(stage.families.items())
    return {name: place for place, (name, family) in places if family != without}


def _picture_regression(training: Gallery, asked: Gallery) -> Floats:
    """Standardised picture features and an L2 logistic regression (C = 1)."""
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = LogisticRegression(max_iter=1000)
    model = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), regression)
    model.fit(training.stages["image"].columns, training.spam)
    scores: Floats = model.decision_function(asked.stages["image"].columns)
    return scores


def _text_regression(training: Gallery, asked: Gallery) -> Floats:
    """TF-IDF of characters 2-5 and an L2 logistic regression (C = 10) on what OCR read."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=3),
        LogisticRegression(C=10, solver="liblinear", random_state=0),
    )
    model.fit(training.texts, training.spam)
    scores: Floats = model.decision_function(asked.texts)
    return scores


SYSTEMS: dict[str, Fit] = {
    PICTURE_LR: _picture_regression,
    PICTURE_TREES: _specialist("image", embedding=False),
    IMAGE: _specialist("image"),
    CONTENT: _specialist("image", without="file"),
    OBJECTS: _specialist("objects"),
    OCR: _specialist("ocr"),
    TEXT: _text_regression,
    TOGETHER: _specialist("image", "objects", "ocr"),
}

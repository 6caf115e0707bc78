"""N-gram weights that lean on how much oftener spam holds an n-gram than ham does.

Wang, Manning 2012, "Baselines and Bigrams: Simple, Good Sentiment and Topic Classification" (ACL):
a linear model on n-grams scaled by their log-count ratio learns from few texts, the plain one from
many. Both read the same n-grams, so their mean is one model and costs what one does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.features.text.ngrams import BUCKETS
from training.ngram_log_odds import MINIMUM_DOCUMENTS, NgramLogOdds, fit_ngram_log_odds

SMOOTHING = 0.1  # texts more of each label with each n-gram
RATIO_STRENGTH = 1.0  # columns scaled by a ratio above 1 need less freedom than plain ones

Rarity = NDArray[np.float32]


def fit_ngrams(
    matrix: Any, targets: NDArray[np.int64], rarity: Rarity, strength: float
) -> NgramLogOdds:
    """The mean of the plain model and of the one on scaled n-grams; CSR float32[n, BUCKETS]."""
    plain = fit_ngram_log_odds(matrix, targets, rarity, strength)
    ratio = log_count_ratio(matrix, targets)
    scaled = fit_ngram_log_odds(matrix.multiply(ratio).tocsr(), targets, rarity, RATIO_STRENGTH)
    unscaled = NgramLogOdds(scaled.weights * ratio, rarity, scaled.intercept)
    return NgramLogOdds.average([plain, unscaled])


def log_count_ratio(matrix: Any, targets: NDArray[np.int64]) -> NDArray[np.float32]:
    """float32[BUCKETS]: ln of the share of spam's n-grams over that of ham's, by texts that hold
    it; 0 for an n-gram of fewer than MINIMUM_DOCUMENTS texts.
    """
    spam, ham = (_documents(matrix[targets == label]) for label in (1, 0))
    shares = [(texts + SMOOTHING) / (texts + SMOOTHING).sum() for texts in (spam, ham)]
    ratio = np.log(shares[0] / shares[1])
    return np.where(spam + ham >= MINIMUM_DOCUMENTS, ratio, 0.0).astype(np.float32)


def _documents(matrix: Any) -> NDArray[np.int64]:
    return np.bincount(matrix.indices, minlength=BUCKETS)

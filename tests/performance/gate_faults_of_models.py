"""Faults of a finished model: what happens to its parts between training and service."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from pipelines.features.text.encoder import Embedding, TextEncoder
from pipelines.features.text.vocabulary import Vocabulary
from training.calibration import Calibration
from training.early_exit import EarlyExit
from training.logistic import logit, sigmoid
from training.ngram_log_odds import NgramLogOdds
from training.parts import Parts
from training.policy import Policy
from training.thresholds import SHARES, Thresholds, threshold_at

SEED = 20_260_105
NEARLY_ONE = 0.999999
Level = Callable[[float], float]


class Permuted:
    """The encoder with its dimensions in another order, as another training run has them."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder

    def encode(self, text: str) -> Embedding:
        vector = self._encoder.encode(text)
        return vector[np.random.default_rng(SEED).permutation(len(vector))]


def with_other_ngram_numbers(parts: Parts, rng: np.random.Generator) -> Parts:
    """Weights and rarities of n-grams in another order: a hash of another version."""
    order, ngrams = rng.permutation(len(parts.ngrams.weights)), parts.ngrams
    shuffled = NgramLogOdds(ngrams.weights[order], ngrams.rarity[order], ngrams.intercept)
    return replace(parts, ngrams=shuffled)


def with_part_of_vocabulary(parts: Parts, rng: np.random.Generator, share: float) -> Parts:
    """The words of an older, smaller corpus."""
    hashes = parts.vocabulary.hashes
    kept = rng.random(len(hashes)) < share
    return replace(parts, vocabulary=Vocabulary(hashes[kept]))


def with_specialist(parts: Parts, rng: np.random.Generator, noise: float, kept: float) -> Parts:
    """Every weight matrix times `kept`, plus `noise` of its own standard deviations."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(parts.specialist)
    for constant in model.graph.initializer:
        weights = numpy_helper.to_array(constant)
        if weights.ndim == 2:
            drawn = rng.normal(0.0, float(weights.std()), weights.shape)
            changed = (kept * weights + noise * drawn).astype(weights.dtype)
            constant.CopyFrom(numpy_helper.from_array(changed, constant.name))
    return replace(parts, specialist=model.SerializeToString())


def with_steeper_scores(parts: Parts, rng: np.random.Generator, slope: float) -> Parts:
    """Log-odds of the final score times `slope`; thresholds move along, decisions stay."""
    policy = parts.policy

    def scaled(one: Calibration) -> Calibration:
        return Calibration(one.slope * slope, one.intercept * slope)

    def level(score: float) -> float:
        return float(sigmoid(slope * logit(np.array([score])))[0])

    changed = replace(policy, calibration=scaled(policy.calibration), early=scaled(policy.early))
    return replace(parts, policy=_with_levels(changed, lambda kind: level))


def with_swapped_thresholds(parts: Parts, rng: np.random.Generator) -> Parts:
    """Each kind of text has the thresholds of the next kind."""
    thresholds = parts.policy.thresholds
    kinds = sorted(thresholds.levels)
    following = zip(kinds, kinds[1:] + kinds[:1], strict=True)
    turned = {kind: thresholds.levels[other] for kind, other in following}
    return _with_thresholds(parts, replace(thresholds, levels=turned))


def with_rate(parts: Parts, rng: np.random.Generator, rate: float) -> Parts:
    """Thresholds at another share of the ham, by the model's own out-of-fold scores."""
    stored = _out_of_fold(parts)
    ham = stored["scores"][stored["targets"] == 0]
    levels = tuple(threshold_at(ham, rate * share) for share in SHARES)
    kinds = dict.fromkeys(parts.policy.thresholds.levels, levels)
    return _with_thresholds(parts, replace(parts.policy.thresholds, levels=kinds))


def with_more_false_positives(
    parts: Parts, rng: np.random.Generator, language: str, points: float
) -> Parts:  # fmt: skip
    """The lowest threshold of one language where `points` more of its ham lie above it."""
    stored, thresholds = _out_of_fold(parts), parts.policy.thresholds
    kinds = [str(kind) for kind in np.unique(stored["segments"]) if kind.endswith(f"/{language}")]
    changed = {}
    for kind in kinds:
        levels = thresholds.of(kind)
        ham = stored["scores"][(stored["targets"] == 0) & (stored["segments"] == kind)]
        rate = float((ham >= levels[0]).mean()) + points
        changed[kind] = (min(float(np.quantile(ham, 1.0 - rate)), levels[0]), *levels[1:])
    return _with_thresholds(parts, replace(thresholds, levels={**thresholds.levels, **changed}))


def silent(parts: Parts, rng: np.random.Generator) -> Parts:
    """No score reaches any threshold."""
    return replace(parts, policy=_with_levels(parts.policy, lambda kind: lambda score: NEARLY_ONE))


def with_turned_early_exit(parts: Parts, rng: np.random.Generator) -> Parts:
    """The bound of clear ham has lost its sign: most spam lies below it, too."""
    turned = EarlyExit(abs(parts.policy.early_exit.clear_ham))
    return replace(parts, policy=replace(parts.policy, early_exit=turned))


def _with_levels(policy: Policy, change: Callable[[str], Level]) -> Policy:
    levels = {
        kind: tuple(map(change(kind), level)) for kind, level in policy.thresholds.levels.items()
    }
    return replace(policy, thresholds=replace(policy.thresholds, levels=levels))


def _with_thresholds(parts: Parts, thresholds: Thresholds) -> Parts:
    return replace(parts, policy=replace(parts.policy, thresholds=thresholds))


def _out_of_fold(parts: Parts) -> dict[str, Any]:
    with np.load(io.BytesIO(parts.out_of_fold), allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}

"""Thresholds at a target false-positive rate, for each kind of text that has enough ham.

The share of ham above the lowest threshold (any action but allow) is the target; the stricter
actions take half, a quarter and a tenth of it. A quantile that rests on a handful of ham is
whatever these few happen to score, so where fewer than FEWEST_EXCEEDANCES may lie above, the
largest hundredth (with few ham the largest twentieth) is taken as an exponential tail (Pickands
1975; Balkema, de Haan 1974). Kinds
are nested: `latin-short/tr` in `latin-short` in ALL. Each is drawn towards the next wider one, the
more so the less ham it has (shrinkage; James, Stein 1961). Ham counts by its weight, 1 / the
chance that it was drawn, and how much there is by the effective number (Kish 1965).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_contracts.verdicts import ACTIONS, SCORE_DECIMALS, Action
from pipelines.features.text.segments import without_language
from training.calibration import LARGEST, SMALLEST
from training.footing import effective_count
from training.logistic import Floats, logit, logit_of, sigmoid, sigmoid_of

ALL = "all"
POSITIVE_ACTIONS: tuple[Action, ...] = ACTIONS[1:]
SHARES = (1.0, 0.5, 0.25, 0.1)  # of the target rate, by POSITIVE_ACTIONS
FEWEST_EXCEEDANCES = 10
TAIL_SHARE = 0.01
FEWEST_IN_TAIL = 10
ENOUGH_HAM = 1000  # below, a hundredth is under ten scores, and thresholds would jump between days
LONGER_TAIL_SHARE = 0.05  # so there the tail is the largest twentieth


@dataclass(frozen=True)
class Thresholds:
    """`levels[kind]`: the lowest score of each of POSITIVE_ACTIONS, ascending; has ALL."""

    target_false_positive_rate: float
    levels: Mapping[str, tuple[float, ...]]

    def of(self, segment: str) -> tuple[float, ...]:
        """Those of the narrowest kind that has its own."""
        kinds = (segment, without_language(segment), ALL)
        return next(self.levels[kind] for kind in kinds if kind in self.levels)

    def action(self, score: float, segment: str, shift: float = 0.0) -> Action:
        """The strictest action whose threshold the score reaches.

        `shift` log-odds are added to every threshold: above 0 fewer events are acted upon.
        """
        levels = self.of(segment)
        if shift:
            levels = tuple(sigmoid_of(logit_of(level) + shift) for level in levels)
        return ACTIONS[sum(score >= level for level in levels)]


def fit_thresholds(
    scores: Floats,
    targets: NDArray[np.int64],
    segments: NDArray[np.str_],
    target_rate: float,
    weights: Floats | None = None,
) -> Thresholds:
    """Fit on out-of-fold probabilities, `segments` as `segment_of` names them.

    `weights` float64[n] (None: all 1) is 1 / the chance of a row's draw; rows of weight 0, which
    a sampler chose, take no part. A kind with less ham than shows one false positive at the
    target rate has no thresholds of its own: it uses those of the next wider kind.
    """
    weights = np.ones(len(scores)) if weights is None else weights
    ham = (targets == 0) & (weights > 0)
    if not ham.any():
        raise ValueError("thresholds at a false-positive rate need ham that has weight")
    fitted = Thresholds(target_rate, {ALL: _levels(scores[ham], weights[ham], target_rate)})
    wide = np.array([without_language(segment) for segment in segments])
    for kind in sorted({*wide.tolist(), *segments.tolist()}):  # a wider kind before a narrower
        of_kind = ham & ((wide == kind) | (segments == kind))
        if (size := effective_count(weights[of_kind])) * target_rate >= 1:
            own = _levels(scores[of_kind], weights[of_kind], target_rate)
            drawn = _drawn(own, fitted.of(kind), size / (size + 1 / target_rate))
            fitted = Thresholds(target_rate, {**fitted.levels, kind: drawn})
    return fitted


def threshold_at(ham_scores: Floats, rate: float, weights: Floats | None = None) -> float:
    """The score that a `rate` share of ham reaches, rounded up to the decimals of a score.

    >>> threshold_at(np.linspace(0.0005, 0.9995, 1000), 0.5)
    0.5
    """
    weights = np.ones(len(ham_scores)) if weights is None else weights
    logits = logit(ham_scores)
    order = np.lexsort((weights, logits))[::-1]  # by weight too: ties must not depend on the order
    logits, counts = logits[order], _counts(weights[order])
    reached = np.cumsum(counts)
    allowed = rate * float(counts.sum()) + 1e-9
    above = int(np.searchsorted(reached, allowed, side="right"))
    if math.floor(allowed) >= FEWEST_EXCEEDANCES and above > 0:
        cut = (logits[above - 1] + logits[above]) / 2
    else:
        cut = _beyond(logits, counts, reached, rate)
    return _rounded_up(float(sigmoid(np.array([cut]))[0]))


def _counts(weights: Floats) -> Floats:
    """The weights, scaled to sum to the effective number of rows; equal ones are exactly 1."""
    relative = weights / weights.max()
    return np.asarray(relative * (effective_count(weights) / relative.sum()))


def _levels(ham_scores: Floats, weights: Floats, target_rate: float) -> tuple[float, ...]:
    levels = [threshold_at(ham_scores, target_rate * share, weights) for share in SHARES]
    return tuple(float(level) for level in np.maximum.accumulate(levels))


def _drawn(own: tuple[float, ...], wider: tuple[float, ...], trust: float) -> tuple[float, ...]:
    """`trust` in `own`, the rest in `wider`: a mean of log-odds, level by level."""
    logits = trust * logit(np.array(own)) + (1 - trust) * logit(np.array(wider))
    return tuple(_rounded_up(float(score)) for score in sigmoid(logits))


def _beyond(descending: Floats, counts: Floats, reached: Floats, rate: float) -> float:
    """The quantile by an exponential tail through the largest logits."""
    total = float(counts.sum())
    share = TAIL_SHARE if total >= ENOUGH_HAM else LONGER_TAIL_SHARE
    wanted = min(max(FEWEST_IN_TAIL, math.ceil(share * total)), total)
    size = min(int(np.searchsorted(reached, wanted - 1e-9)) + 1, len(descending))
    foot = descending[size - 1]
    excess, tail = counts[:size] * (descending[:size] - foot), float(counts[:size].sum())
    scale = max(float(excess.sum()) / tail, 1e-3)
    return float(foot + scale * math.log(max(tail / (rate * total), 1.0)))


def _rounded_up(score: float) -> float:
    unit = 10**SCORE_DECIMALS
    rounded: float = math.ceil(score * unit - 1e-6) / unit
    return min(max(rounded, SMALLEST), round(LARGEST, SCORE_DECIMALS))

"""Precision, recall, false-positive rate and prevalence from audit draws, labelled or not yet.

Every event has a known chance of being drawn, whatever the filter did with it, so a row that
counts as one over its chance makes totals unbiased (Horvitz & Thompson 1952; ratios of them:
Hajek 1971). Labels come late, and later where the filter acted: the rows without one are
non-response. Within a cell (decision, band, days) the labelled rows stand for all drawn
ones, so a row counts as 1 / (chance x response rate of its cell) (weighting-class adjustment:
Little & Rubin 2002, section 3.3; Sarndal, Swensson & Wretman 1992, section 15.6).

Intervals are for the filter on traffic like this, not for these days alone: there is no
finite-population correction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from evaluation.metrics import CONFIDENCE, Booleans, Estimate, Floats, Integers

FEWEST_LABELS = 10  # a stratum with fewer is joined with its neighbour
ACTED, LET_THROUGH = "acted on", "let through"


@dataclass(frozen=True)
class Draws:
    """n events that the audit drew: `days` str[n], `positive` bool[n] (the filter acted on it),
    `chances` float64[n] in (0, 1], `labelled` bool[n], `is_spam` bool[n] (read where labelled),
    `bands` int64[n]: whatever else lateness depends on, in an order in which neighbours are alike,
    such as the action or a band of the score (all 0 where it depends on nothing else).
    """

    days: NDArray[np.str_]
    positive: Booleans
    chances: Floats
    labelled: Booleans
    is_spam: Booleans
    bands: Integers

    def __post_init__(self) -> None:
        columns = (self.positive, self.chances, self.labelled, self.is_spam, self.bands)
        if {len(column) for column in columns} != {len(self.days)}:
            raise ValueError("the columns of the draws differ in length; give one row a draw")
        wrong = self.chances[~((self.chances > 0) & (self.chances <= 1))]
        if len(wrong):
            raise ValueError(f"chance {wrong[0]} is outside (0, 1]; leave out what was chosen")


@dataclass(frozen=True)
class Figure:
    """A share of `of` labelled rows; no estimate where nothing can be said."""

    estimate: Estimate | None
    of: int


@dataclass(frozen=True)
class AuditQuality:
    """What the audit says. Of the `drawn` rows, `unlabelled` wait for their label; `joined`
    strata (day, decision, band) had too few labels and went with a neighbour; `silent` are the
    decisions of which no drawn event has a label yet: figures that rest on them say nothing.
    """

    precision: Figure
    recall: Figure
    false_positive_rate: Figure
    prevalence: Figure
    drawn: int
    unlabelled: int
    joined: int
    silent: tuple[str, ...]


@dataclass(frozen=True)
class _Sample:
    """m labelled rows with `weights` float64[m] and `cells` int64[m]; `spread` float64[cells] is
    the sum of 1 / chance^2 over all drawn rows of a cell: the variance of its estimated size.
    """

    positive: Booleans
    is_spam: Booleans
    weights: Floats
    cells: Integers
    spread: Floats


@dataclass(frozen=True)
class _Kind:
    """Rows that count as hits (or as misses), among those where one could have been: bool[m]."""

    rows: Booleans
    among: Booleans


def estimate_quality(draws: Draws, confidence: float = CONFIDENCE) -> AuditQuality:
    """The four figures with their intervals at `confidence`."""
    cells, joined = response_cells(draws)
    sample, silent = _sample(draws, cells), _silent(draws)
    acted, let_through = sample.positive, ~sample.positive
    caught, missed = (_Kind(sample.is_spam & among, among) for among in (acted, let_through))
    wronged, passed = (_Kind(~sample.is_spam & among, among) for among in (acted, let_through))
    everywhere = np.ones_like(acted)

    def figure(hits: _Kind, misses: _Kind, told: bool) -> Figure:
        of = int((hits.rows | misses.rows).sum())
        return Figure(_estimate(sample, hits, misses, confidence) if told and of else None, of)

    return AuditQuality(
        precision=figure(caught, wronged, ACTED not in silent),
        recall=figure(caught, missed, not silent),
        false_positive_rate=figure(wronged, passed, not silent),
        prevalence=figure(
            _Kind(sample.is_spam, everywhere), _Kind(~sample.is_spam, everywhere), not silent
        ),
        drawn=len(draws.days),
        unlabelled=int((~draws.labelled).sum()),
        joined=joined,
        silent=silent,
    )


def response_cells(draws: Draws) -> tuple[Integers, int]:
    """The cell of each draw, int64[n], and how many strata had to be joined with a neighbour.

    Within a decision, bands with too few labels go with the next band; within a band, days go
    with the next day, until each cell has FEWEST_LABELS.
    """
    cells, used, strata = np.zeros(len(draws.days), np.int64), 0, 0
    for decision in (False, True):
        chosen = np.flatnonzero(draws.positive == decision)
        bands = _joined(draws.bands[chosen], draws.labelled[chosen])
        for band in np.unique(bands):
            rows = chosen[bands == band]
            cells[rows] = used + _joined(draws.days[rows], draws.labelled[rows])
            used = int(cells[rows].max()) + 1
            keys = zip(draws.bands[rows].tolist(), draws.days[rows].tolist(), strict=True)
            strata += len({*keys})
    return cells, strata - used


def odds_interval(
    hits: float, misses: float, scale: float, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Interval of a share whose odds are `scale * hits / misses`, from two effective counts.

    Two Poisson counts, given their sum, are binomial; the interval of that share, scaled as odds,
    is the wanted one, whatever a hit weighs against a miss. The binomial interval is Jeffreys',
    closed where a count is 0 (Brown, Cai & DasGupta 2001).

    >>> low, high = odds_interval(0, 10, 1.0)
    >>> low, round(high, 4)
    (0.0, 0.2172)
    """
    tail = (1 - confidence) / 2
    low = 0.0 if hits == 0 else float(beta.ppf(tail, hits + 0.5, misses + 0.5))
    high = 1.0 if misses == 0 else float(beta.ppf(1 - tail, hits + 0.5, misses + 0.5))
    return _scaled(low, scale), _scaled(high, scale)


def _estimate(sample: _Sample, hits: _Kind, misses: _Kind, confidence: float) -> Estimate:
    """hits / (hits + misses). Each total is a weighted count, hence as good as (sum w)^2 / sum w^2
    plain ones (Fay & Feuer 1997); both are rescaled to the variance that the design gives the log
    odds (as Korn & Graubard 1998 do for shares), which is smaller where cells are alike within.
    """
    hit, missed = (float(sample.weights @ kind.rows) for kind in (hits, misses))
    per_hit, per_miss = (_weight_of_a_count(sample, kind) for kind in (hits, misses))
    shrinkage = 1.0
    if hit and missed:
        variance = _variance(sample, hits.rows / hit - misses.rows / missed)
        shrinkage = variance / (per_hit / hit + per_miss / missed)
    counts = hit / per_hit / shrinkage, missed / per_miss / shrinkage
    low, high = odds_interval(*counts, per_hit / per_miss, confidence)
    return Estimate(hit / (hit + missed), low, high)


def _weight_of_a_count(sample: _Sample, kind: _Kind) -> float:
    """sum w^2 / sum w of the rows, or, where none was seen, of those that could have been."""
    seen = next(rows for rows in (kind.rows, kind.among, sample.weights > 0) if rows.any())
    weights = sample.weights[seen]
    return float(np.sum(weights**2) / weights.sum())


def _variance(sample: _Sample, influence: Floats) -> float:
    """Of the log odds, linearised: which labels came within cells, and how many rows were drawn.

    `influence` float64[m] is the derivative of the log odds by the weight of a row.
    """
    cells, count = sample.cells, len(sample.spread)
    size = np.bincount(cells, sample.weights, count)
    mean = np.bincount(cells, sample.weights * influence, count) / np.maximum(size, 1e-300)
    around = (sample.weights * (influence - mean[cells])) ** 2
    labels = np.bincount(cells, minlength=count)
    within = np.bincount(cells, around, count) * labels / np.maximum(labels - 1, 1)
    return float(np.sum(within + mean**2 * sample.spread))


def _sample(draws: Draws, cells: Integers) -> _Sample:
    count, rows = int(cells.max(initial=-1)) + 1, draws.labelled
    inverse = 1 / draws.chances
    size = np.bincount(cells, inverse, count)
    answered = np.bincount(cells[rows], inverse[rows], count)
    weights = inverse[rows] * (size[cells[rows]] / answered[cells[rows]])
    spread = np.asarray(np.bincount(cells, inverse**2, count), np.float64)
    return _Sample(draws.positive[rows], draws.is_spam[rows], weights, cells[rows], spread)


def _joined(strata: NDArray[np.int64] | NDArray[np.str_], labelled: Booleans) -> Integers:
    """int64[n], from 0: strata in their order, each with the next until FEWEST_LABELS are there.

    >>> labelled = np.array([True] * 12 + [False] * 3 + [True] * 10)
    >>> _joined(np.array([1] * 12 + [2] * 3 + [3] * 10), labelled)[[0, 12, 15]].tolist()
    [0, 1, 1]
    """
    names, places = np.unique(strata, return_inverse=True)
    groups, group, labels, remaining = np.zeros(len(names), np.int64), 0, 0, int(labelled.sum())
    for place, count in enumerate(np.bincount(places[labelled], minlength=len(names)).tolist()):
        groups[place] = group
        labels, remaining = labels + count, remaining - count
        if labels >= FEWEST_LABELS and remaining >= FEWEST_LABELS:
            group, labels = group + 1, 0
    return np.asarray(groups[places], np.int64)


def _silent(draws: Draws) -> tuple[str, ...]:
    decisions = {ACTED: draws.positive, LET_THROUGH: ~draws.positive}
    return tuple(
        name for name, rows in decisions.items() if rows.any() and not draws.labelled[rows].any()
    )


def _scaled(share: float, scale: float) -> float:
    return scale * share / (scale * share + 1 - share)

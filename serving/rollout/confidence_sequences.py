"""Confidence sequences: intervals that hold at every look at once, so looking costs nothing.

An interval here covers the truth at all sample sizes together with the stated chance. Each is a
test turned round: a value stays inside while the likelihood that a mixture over all rates gives
to the counts is less than 1 / alpha times the likelihood that the value gives at best. At the
truth that ratio is at most a martingale of mean one, so it ever reaches 1 / alpha with a chance
of at most alpha (Ville 1939; Robbins 1970; for nuisance parameters Wasserman, Ramdas &
Balakrishnan 2020, "Universal inference"; Howard, Ramdas, McAuliffe & Sekhon 2021).

Counts are numbers of events `k` among trials `n`; both may be fractional where trials stand for
a share of something (see `judged_quality`). `alpha` is the error allowed to each side.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincc, betaln, xlog1py, xlogy

Floats = NDArray[np.float64]

# A third of the mixture expects one event in 2,000, a third one in a hundred, a third is Jeffreys'
# prior, so that neither a rare event nor a gross failure costs much.
RATE_PRIORS = ((0.5, 1000.0), (0.5, 50.0), (0.5, 0.5))
# Strengths, in observations, of the two priors around a known rate: for tens and for thousands.
RANK_STRENGTHS = (16.0, 400.0)
# How far from a quantile, as shares of the room there is, the rates of two arms are taken to be:
# both of them, or one alone; and the logs of the mixture's weights.
APART_BOTH = 0.98 * 0.5 ** np.arange(7.0)
APART_ALONE = 0.98 * 0.25 ** np.arange(4.0)
LOG_PARTS = np.log(np.repeat([0.6 / 7, 0.2 / 4, 0.2 / 4], [7, 4, 4]))
GRID_POINTS = 13
GRID_ROUNDS = (
    3  # the first finds a limit's distance to a factor of two, the others to 1 / 144 of it
)


def log_mixture(k: ArrayLike, n: ArrayLike) -> Floats:
    """Log likelihood of a sequence with `k` events in `n` trials, averaged over all rates.

    >>> round(float(np.exp(log_mixture(1, 1))), 4)  # mean of 1/2, 1/101 and 1/2001
    0.1701
    """
    k, n = np.asarray(k, np.float64), np.asarray(n, np.float64)
    parts = [betaln(k + a, n - k + b) - betaln(a, b) for a, b in RATE_PRIORS]
    mixed: Floats = np.logaddexp.reduce(parts, axis=0) - np.log(len(parts))
    return mixed


def log_rank_evidence(k: ArrayLike, n: float, quantile: float) -> Floats:
    """Log evidence against `quantile` being the chance of what happened `k` of `n` times.

    Beta-binomial mixture around a known rate (Howard & Ramdas 2022, section 4).

    >>> bool(log_rank_evidence(50, 100, 0.5) < 0 < log_rank_evidence(90, 100, 0.5))
    True
    """
    k = np.asarray(k, np.float64)
    shapes = [(strength * quantile, strength * (1 - quantile)) for strength in RANK_STRENGTHS]
    parts = [betaln(k + a, n - k + b) - betaln(a, b) for a, b in shapes]
    mixed = np.logaddexp.reduce(parts, axis=0) - np.log(len(parts))
    evidence: Floats = mixed - xlogy(k, quantile) - xlog1py(n - k, -quantile)
    return evidence


def rate_limits(k: float, n: float, alpha: float) -> tuple[float, float]:
    """Limits of a rate from `k` events in `n` trials.

    >>> rate_limits(0, 0, 0.05)
    (0.0, 1.0)
    >>> low, high = rate_limits(0, 100, 0.05)
    >>> low, round(high, 3)
    (0.0, 0.036)
    """
    _check(k, n)
    if n == 0:
        return 0.0, 1.0
    ceiling = float(log_mixture(k, n)) + float(np.log(alpha))

    def likelihood(rates: Floats) -> Floats:
        return np.asarray(xlogy(k, rates) + xlog1py(n - k, -rates))

    rate = np.array([k / n, k / n])
    low, high = _edges(likelihood, rate, np.array([0.0, 1.0]), np.array([ceiling, ceiling]))
    return float(low), float(high)


def difference_limits(
    k1: ArrayLike, n1: ArrayLike, k2: ArrayLike, n2: ArrayLike, alpha: ArrayLike
) -> tuple[Floats, Floats]:
    """Limits of the first rate minus the second, float64[m] each, for m pairs of counts at once.

    The likelihood of a difference is the best that any two rates so far apart give. Whether zero
    is inside is decided more sharply, on which side the events fell (see `sides_differ`).

    >>> low, high = difference_limits([0, 40], [0, 100], [0, 5], [0, 100], 0.05)
    >>> low.round(2).tolist(), high.round(2).tolist()
    ([-1.0, 0.11], [1.0, 0.58])
    """
    counts = [np.atleast_1d(np.asarray(one, np.float64)) for one in (k1, n1, k2, n2, alpha)]
    k1, n1, k2, n2, alpha = (np.asarray(one) for one in np.broadcast_arrays(*counts))
    _check(k1, n1)
    _check(k2, n2)
    ceiling = log_mixture(k1, n1) + log_mixture(k2, n2) + np.log(alpha)
    rates = [np.divide(k, n, out=np.zeros_like(n), where=n > 0) for k, n in ((k1, n1), (k2, n2))]
    centre = rates[0] - rates[1]
    near = np.concatenate([centre, centre])  # both sides in one go
    far = np.concatenate([np.full_like(centre, -1.0), np.ones_like(centre)])
    first, trials1, second, trials2 = (np.tile(one, 2)[:, None] for one in (k1, n1, k2, n2))

    def likelihood(differences: Floats) -> Floats:
        return _best_log_likelihood(differences, first, trials1, second, trials2)

    low, high = np.split(_edges(likelihood, near, far, np.tile(ceiling, 2)), 2)
    more = sides_differ(k1, n1, k2, n2) >= -np.log(alpha)
    fewer = sides_differ(k2, n2, k1, n1) >= -np.log(alpha)
    tiny = np.finfo(np.float64).tiny
    low = np.where(more, np.maximum(low, tiny), np.minimum(low, 0.0))
    high = np.where(fewer, np.minimum(high, -tiny), np.maximum(high, 0.0))
    nothing = (n1 == 0) | (n2 == 0)
    return np.where(nothing, -1.0, low), np.where(nothing, 1.0, high)


def sides_differ(k1: Floats, n1: Floats, k2: Floats, n2: Floats) -> Floats:
    """Log evidence that the first rate is the higher one: on which side each event fell.

    With equal rates an event falls on the first side with the chance of its share of the trials,
    whatever the rate is (conditional binomial mixture: Lindon & Malek 2022). That is what rare
    events say; frequent ones say a little more. -inf where the second side has more than its
    share.

    >>> one = np.array([1.0])
    >>> float(np.exp(sides_differ(8 * one, 100 * one, 0 * one, 100 * one)).round(1)[0])
    100.5
    """
    trials = n1 + n2
    share = np.divide(n1, trials, out=np.full_like(trials, 0.5), where=trials > 0)
    share = np.clip(share, 1e-12, 1 - 1e-12)
    a, b = k1 + 0.5, k2 + 0.5
    with np.errstate(divide="ignore"):
        above = betaln(a, b) + np.log(betaincc(a, b, share))
        before = betaln(0.5, 0.5) + np.log(betaincc(0.5, 0.5, share))
    evidence = above - before - xlogy(k1, share) - xlog1py(k2, -share)
    return np.where(k1 * (1 - share) > k2 * share, evidence, -inf)


class OrderEvidence:
    """Log evidence that fewer of one arm, and more of another, lie below than a quantile says.

    A mixture of likelihood ratios for rates below the quantile in the first arm, above it in the
    second, or both, far or near; of the mixture only its largest part is taken. It falls with the
    first count and rises with the second, so a count that is only known to lie between two others
    can be replaced by the one that says less.
    """

    def __init__(self, first_size: float, second_size: float, quantile: float) -> None:
        room = min(quantile, 1 - quantile)
        zeros = np.zeros_like(APART_ALONE)
        self._sizes = first_size, second_size
        self._rates = (
            quantile - room * np.concatenate([APART_BOTH, APART_ALONE, zeros]),
            quantile + room * np.concatenate([APART_BOTH, zeros, APART_ALONE]),
        )
        self._quantile = quantile

    def of_first(self, counts: Floats) -> Floats:
        """float64[parts, len(counts)]: to be added to the second's before the largest is taken."""
        return np.asarray(self._ratios(0, counts) + LOG_PARTS[:, None])

    def of_second(self, counts: Floats) -> Floats:
        """float64[parts, len(counts)]"""
        return self._ratios(1, counts)

    def _ratios(self, arm: int, counts: Floats) -> Floats:
        inside = np.log(self._rates[arm] / self._quantile)
        outside = np.log((1 - self._rates[arm]) / (1 - self._quantile))
        fixed = self._sizes[arm] * outside
        return np.asarray(np.multiply.outer(inside - outside, counts) + fixed[:, None])


def _edges(
    likelihood: Callable[[Floats], Floats], near: Floats, far: Floats, ceiling: Floats
) -> Floats:
    """How far from `near` towards `far` the concave log likelihood stays above its ceiling.

    Rounded outwards; `near` itself counts as inside. float64[m] each.
    """
    rows = np.arange(len(near))
    steps = np.append(0.0, 0.5 ** np.arange(GRID_POINTS - 2.0, -1.0, -1.0))
    for _ in range(GRID_ROUNDS):
        grid = near[:, None] + (far - near)[:, None] * steps
        inside = likelihood(grid) > ceiling[:, None]
        inside[:, 0] = True
        last = GRID_POINTS - 1 - np.argmax(inside[:, ::-1], axis=1)
        near, far = grid[rows, last], grid[rows, np.minimum(last + 1, GRID_POINTS - 1)]
        steps = np.linspace(0.0, 1.0, GRID_POINTS)
    return far


def _best_log_likelihood(
    difference: Floats, k1: Floats, n1: Floats, k2: Floats, n2: Floats
) -> Floats:
    """The highest log likelihood of two rates that differ by `difference` (-inf: impossible).

    The second rate is a root of a cubic (Miettinen & Nurminen 1985, appendix).
    """
    total, events = n1 + n2, k1 + k2
    a = np.maximum(total, 1.0)
    b = (n1 + 2 * n2) * difference - total - events
    c = (n2 * difference - total - 2 * k2) * difference + events
    d = k2 * difference * (1 - difference)
    third = b / (3 * a)
    q = third**3 - b * c / (6 * a * a) + d / (2 * a)
    p = np.copysign(np.sqrt(np.maximum(third**2 - c / (3 * a), 0.0)), q)
    cosine = np.divide(q, p**3, out=np.zeros_like(q), where=p != 0)
    angle = (np.pi + np.arccos(np.clip(cosine, -1.0, 1.0))) / 3
    second = 2 * p * np.cos(angle) - third
    second = np.clip(second, np.maximum(0.0, -difference), np.minimum(1.0, 1.0 - difference))
    first = np.clip(second + difference, 0.0, 1.0)
    return np.asarray(
        xlogy(k1, first) + xlog1py(n1 - k1, -first) + xlogy(k2, second) + xlog1py(n2 - k2, -second)
    )


def _check(k: ArrayLike, n: ArrayLike) -> None:
    k, n = np.asarray(k), np.asarray(n)
    if not (np.all(k >= 0) and np.all(k <= n) and np.all(np.isfinite(n))):
        raise ValueError(f"counts need 0 <= events <= trials, got {k} of {n}")

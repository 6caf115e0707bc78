"""How likely a count of disagreements is when nobody means harm.

Honest reviewers do not err independently: one is tired, another reads a rule in his own way, and
a hard campaign is hard for all its events. So counts are beta-binomial: the rate of a batch lies
around the expected one with a `concentration` (as if known from so many answers), which is fitted
on what the others did. J. G. Skellam, "A probability distribution derived from the binomial
distribution by regarding the probability of success as variable", JRSS B 10 (1948).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CONCENTRATIONS = (2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)  # 200: rates of 3 % vary by 1.2 %
FEWEST_COUNTS = 5  # from fewer batches no concentration is fitted
CAUTIOUS = 20.0
LARGEST = 25.0


def tail(disagreements: int, answers: int, rate: float, concentration: float) -> float:
    """The chance of at least so many disagreements; the exact beta-binomial tail.

    >>> round(tail(1, 2, 0.5, 1e6), 4)  # nearly a binomial: 1 - 1/4
    0.75
    >>> tail(2, 2, 0.5, 2.0)  # a uniform rate: 0, 1 and 2 are equally likely
    0.3333333333333333
    """
    from scipy.stats import betabinom

    if not 0 < rate < 1 or concentration <= 0:
        raise ValueError(f"rate {rate} must be inside 0 to 1, concentration {concentration} > 0")
    alpha, beta = rate * concentration, (1 - rate) * concentration
    counts = np.arange(disagreements, answers + 1)  # summed: 1 - cdf knows nothing below 1e-16
    return min(float(betabinom.pmf(counts, answers, alpha, beta).sum()), 1.0)


def outlying(disagreements: Floats, answers: Floats, rates: Floats | float) -> Floats:
    """float64[n]: squared Pearson residuals, each at most LARGEST: one culprit is no dispersion."""
    expected = answers * rates
    residuals = (disagreements - expected) ** 2 / (expected * (1.0 - rates))
    return np.minimum(residuals, LARGEST)


def fitted_concentration(disagreements: Floats, answers: Floats, rates: Floats | float) -> float:
    """The highest of CONCENTRATIONS under which the others' counts (float64[n]) are no surprise.

    By moments: residuals are expected to sum to sum(1 + (answers - 1) / (concentration + 1)).
    CAUTIOUS where the counts are few.
    """
    if len(answers) < FEWEST_COUNTS:
        return CAUTIOUS
    found = outlying(disagreements, answers, rates).sum()
    allowed = [(1.0 + (answers - 1.0) / (c + 1.0)).sum() for c in CONCENTRATIONS]
    fits = [c for c, most in zip(CONCENTRATIONS, allowed, strict=True) if most >= found]
    return fits[-1] if fits else CONCENTRATIONS[0]


def holm(p_values: Sequence[float] | Floats) -> Floats:
    """float64[n]: p-values corrected so that all tests together err no oftener than one would.

    S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scand. J. Stat. 6 (1979).

    >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    given = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(given, kind="stable")
    stepped = np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1))
    corrected = np.empty_like(given)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected

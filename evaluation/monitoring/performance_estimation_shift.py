"""What a window's scores say without a label: a new share of spam, and rows like none before."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from evaluation.metrics import Floats
from evaluation.monitoring.performance_estimation_calibration import Scored
from training.logistic import fit_logistic, logit

MOST_ROUNDS, TOLERANCE = 200, 1e-7
PSEUDO_EVENTS = 50.0  # that hold a slice's share of spam where the reference had it
RIDGE = 5.0
FEWEST_LABELS = 30  # of a slice; what has fewer is new
FAR = 2.5  # times as frequent in the window as among the rows that were labelled


def prior_shift(probabilities: Floats, share: float, held_by: float = PSEUDO_EVENTS) -> float:
    """How much the log-odds of spam rose since spam was `share` of the events.

    Expectation maximisation over one window, `probabilities` float64[n] as calibrated before:
    Saerens, Latinne & Decaestecker 2002, "Adjusting the outputs of a classifier to new a priori
    probabilities"; it assumes that spam and ham each look as they did.

    >>> round(prior_shift(np.array([0.5, 0.5]), 0.5), 6)
    0.0
    """
    now = share
    for _ in range(MOST_ROUNDS):
        spam = now / share * probabilities
        ham = (1 - now) / (1 - share) * (1 - probabilities)
        found = (float(np.sum(spam / (spam + ham))) + held_by * share) / (
            len(probabilities) + held_by
        )
        moved, now = abs(found - now), found
        if moved < TOLERANCE:
            break
    before, after = logit(np.array([share, now]))
    return float(after - before)


def shares(probabilities: Floats, scored: Scored) -> dict[str, float]:
    """Mean probability of spam by slice, strictly between 0 and 1."""
    return {
        name: float(np.clip(probabilities[scored.slices == name].mean(), 1e-6, 1 - 1e-6))
        for name in sorted(set(scored.slices.tolist()))
    }


def shifts_by_slice(
    probabilities: Floats, scored: Scored, before: Mapping[str, float]
) -> dict[str, float]:
    """`prior_shift` of each slice that the reference knows; a mix of slices may move freely."""
    known = (name for name in before if (scored.slices == name).any())
    return {name: prior_shift(probabilities[scored.slices == name], before[name]) for name in known}


def shifted(scored: Scored, shifts: Mapping[str, float]) -> Scored:
    """With each slice's shift added to its log-odds; a slice without one stays."""
    return scored.moved(np.array([shifts.get(name, 0.0) for name in scored.slices.tolist()]))


def unseen_share(labelled: Scored, window: Scored) -> float:
    """The share of the window that hardly any label speaks for, in [0, 1].

    Events of a slice with fewer than FEWEST_LABELS labelled rows count, and events that a
    classifier tells from labelled ones: its odds are the ratio of their densities (Bickel,
    Brueckner & Scheffer 2009, "Discriminative learning under covariate shift"), and from FAR on
    an event is like none that was labelled.
    """
    names, counts = np.unique(labelled.slices, return_counts=True)
    new = ~np.isin(window.slices, names[counts >= FEWEST_LABELS])
    columns = np.vstack([_columns(labelled), _columns(window)])
    columns = (columns - columns.mean(axis=0)) / np.maximum(columns.std(axis=0), 1e-9)
    sizes = len(labelled), len(window)
    weights = np.repeat([min(sizes) / size for size in sizes], sizes)
    targets = np.repeat([0.0, 1.0], sizes)
    coefficients, intercept = fit_logistic(columns, targets, RIDGE, weights)
    far = columns[len(labelled) :] @ coefficients + intercept > np.log(FAR)
    return float((far | new).mean())


def _columns(scored: Scored) -> Floats:
    return np.column_stack([scored.features, np.clip(scored.log_odds, -8, 8), scored.positive])

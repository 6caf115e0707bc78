"""How often honest reviewers contradict the held-back model in each cluster of alike texts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.labelling.beyond_chance import CONCENTRATIONS, Floats
from pipelines.labelling.label_evidence import Answered, Booleans, Integers

CLUSTER_SHAPE = 1.0  # before the others are heard, a cluster's factor varies by 100 %
RATES = 0.005, 0.99  # a person errs once in 200, however sure the model and the others are


@dataclass(frozen=True)
class Cells:
    """The answers of one batch in one cluster: a cell each; all columns are of length m.

    `rates` is how often honest reviewers disagree with the model there, `concentrations` how
    surely. A cluster multiplies the rate that the model's sureness gives by a factor around 1: a
    gamma variable, updated by the others' disagreements in the cluster over the expected ones (the
    gamma-Poisson model; W. DuMouchel, "Bayesian Data Mining in Large Frequency Tables", The
    American Statistician 53, 1999).
    """

    batches: NDArray[np.str_]
    teachers: Integers
    clusters: Integers
    errors: Floats
    answers: Floats
    rates: Floats
    concentrations: Floats

    @classmethod
    def of(cls, labels: Answered, wrong: Booleans, rates: Floats) -> Cells:
        """Count in each cell, and hear what the others said in its cluster."""
        names, batch = np.unique(labels.batches, return_inverse=True)
        keys = np.column_stack([batch, labels.clusters])
        pairs, first, place = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        place, teachers, clusters = place.ravel(), labels.teachers[first], pairs[:, 1]
        errors, expected = counted(place, wrong), counted(place, rates)
        answers = counted(place, np.ones_like(wrong))
        known = CLUSTER_SHAPE + _of_others(errors, clusters, teachers)
        factor = known / (CLUSTER_SHAPE + _of_others(expected, clusters, teachers))
        adjusted = np.clip(factor * expected / answers, *RATES)
        surely = np.maximum((1.0 - adjusted) * known / adjusted, CONCENTRATIONS[0])
        return cls(names[pairs[:, 0]], teachers, clusters, errors, answers, adjusted, surely)

    def batch_totals(self, chosen: Booleans) -> tuple[Floats, Floats, Floats]:
        """Disagreements, answers and expected rate (float64[b] each) of the cells' batches."""
        place = np.unique(self.batches[chosen], return_inverse=True)[1]
        answers = counted(place, self.answers[chosen])
        expected = counted(place, (self.answers * self.rates)[chosen])
        return counted(place, self.errors[chosen]), answers, expected / answers

    def together(self, chosen: Booleans) -> tuple[float, float]:
        """Rate and concentration of the sum over the chosen cells, whose variances add."""
        n, rates = self.answers[chosen], self.rates[chosen]
        between = n**2 @ (rates * (1.0 - rates) / (self.concentrations[chosen] + 1.0))
        rate = float(n @ rates / n.sum())
        same = n.sum() ** 2 * rate * (1.0 - rate) / between - 1.0
        return rate, max(float(same), CONCENTRATIONS[0])


def both(one: float, other: float) -> float:
    """The concentration where two causes of variation act; the variances add, nearly."""
    return one * other / (one + other)


def _of_others(counts: Floats, clusters: Integers, teachers: Integers) -> Floats:
    """float64[m]: what other teachers have in each cell's cluster."""
    keys = np.column_stack([teachers, clusters])
    own = np.unique(keys, axis=0, return_inverse=True)[1].ravel()
    return counted(clusters, counts)[clusters] - counted(own, counts)[own]


def counted(place: Integers, weights: Floats | Booleans) -> Floats:
    """float64[m]: how much weight each place has."""
    return np.bincount(place, weights).astype(np.float64)

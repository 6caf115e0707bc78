"""The fairness gate: does one group's ordinary speech pay for the filter?

Compares false positives of each language with all others together (equalised odds, Hardt et al.
2016, restricted to what harms a user), and asks for some recall in each, since a filter that is
silent in a language leaves its speakers with the spam.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from data_contracts.reports import GateReport, Metric
from evaluation.gates.base import Answers, Contender, answers, counted, measured, report
from evaluation.gates.golden import share
from evaluation.gates.policy import Fairness
from evaluation.gates.suite import Suite
from evaluation.metrics import (
    Booleans,
    Floats,
    false_positive_rate_at,
    newcombe_difference,
    paired_bootstrap,
    wilson,
)


class FairnessGate:
    """False-positive gaps and recall by group, on the ordinary cases."""

    name = "fairness"

    def __init__(self, policy: Fairness) -> None:
        self._policy = policy

    def judge(
        self, suite: Suite, model: Contender, champion: Contender | None, rng: np.random.Generator
    ) -> GateReport:
        ordinary = suite.ordinary
        given = answers(model, ordinary.events)
        before = answers(champion, ordinary.events) if champion else None
        groups = ordinary.slices(self._policy.by)
        judged = self._with_enough_ham(ordinary, groups)
        metrics = [
            counted("groups_with_enough_ham", len(judged), self._policy.minimum_slices),
            *self._rates(ordinary, given, groups),
            *self._recall(ordinary, given, groups),
        ]
        if len(judged) >= self._policy.minimum_slices:
            metrics += self._gaps(ordinary, given, judged)
        if before is not None:
            metrics += self._against(ordinary, given, before, judged, rng)
        details = {
            "champion": champion.name if champion else None,
            "by": self._policy.by,
            "minimum": self._policy.minimum.model_dump(),
        }
        return report(self.name, suite, model, metrics, details)

    def _with_enough_ham(self, suite: Suite, groups: Mapping[str, Booleans]) -> dict[str, Booleans]:
        ham = ~suite.labels
        needed = self._policy.minimum.ham
        return {part: rows for part, rows in groups.items() if int((ham & rows).sum()) >= needed}

    def _rates(
        self, suite: Suite, given: Answers, groups: Mapping[str, Booleans]
    ) -> Iterator[Metric]:
        for part, rows in groups.items():
            labels = suite.labels[rows]
            if (~labels).any():
                estimate = share("false_positive_rate", labels, given.positive[rows])
                yield measured("false_positive_rate", estimate, int((~labels).sum()), part=part)

    def _recall(
        self, suite: Suite, given: Answers, groups: Mapping[str, Booleans]
    ) -> Iterator[Metric]:
        for part, rows in groups.items():
            labels = suite.labels[rows]
            size = int(labels.sum())
            if size:
                rule = self._policy.recall if size >= self._policy.minimum.spam else None
                estimate = share("recall", labels, given.positive[rows])
                yield measured("recall", estimate, size, rule, part=part)

    def _gaps(
        self, suite: Suite, given: Answers, judged: Mapping[str, Booleans]
    ) -> Iterator[Metric]:
        ham = ~suite.labels
        for part, rows in judged.items():
            inside, outside = ham & rows, ham & ~rows
            gap = newcombe_difference(
                wilson(int((given.positive & inside).sum()), int(inside.sum())),
                wilson(int((given.positive & outside).sum()), int(outside.sum())),
            )
            rule = self._policy.false_positive_gap
            yield measured("false_positive_gap", gap, int(inside.sum()), rule, part=part)

    def _against(
        self, suite: Suite, given: Answers, before: Answers, judged: Mapping[str, Booleans],
        rng: np.random.Generator,
    ) -> Iterator[Metric]:  # fmt: skip
        for part, rows in judged.items():
            labels, rule = suite.labels[rows], self._policy.champion
            estimate = paired_bootstrap(
                _difference(labels, given.positive[rows], before.positive[rows]),
                suite.groups[rows],
                rng,
                resamples=self._policy.resamples,
            )
            size = int((~labels).sum())
            yield measured("false_positives_over_champion", estimate, size, rule, part=part)


def _difference(labels: Booleans, new: Booleans, old: Booleans) -> Callable[[Floats], float]:
    def difference(weights: Floats) -> float:
        return false_positive_rate_at(labels, new, weights) - false_positive_rate_at(
            labels, old, weights
        )

    return difference

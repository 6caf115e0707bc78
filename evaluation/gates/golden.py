"""The golden gate: does the model catch what it must, and leave alone what it must?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from data_contracts.reports import GateReport, Metric
from evaluation.gates.base import Answers, Contender, answers, counted, measured, report
from evaluation.gates.policy import FigureName, Golden
from evaluation.gates.suite import Suite
from evaluation.metrics import (
    Booleans,
    Estimate,
    Floats,
    average_precision,
    clopper_pearson,
    curve,
    false_positive_rate_at,
    paired_bootstrap,
    recall_at,
)

CURVE_POINTS = 200


class GoldenGate:
    """Floors on the ordinary cases and their slices, and non-inferiority to the champion."""

    name = "golden"

    def __init__(self, policy: Golden) -> None:
        self._policy = policy

    def judge(
        self, suite: Suite, model: Contender, champion: Contender | None, rng: np.random.Generator
    ) -> GateReport:
        given = answers(model, suite.events)
        before = answers(champion, suite.events) if champion else None
        kinds = suite.slices("kind")
        ordinary = kinds.get("kind=ordinary", np.zeros(len(suite.cases), dtype=bool))
        judged, own = suite.where(ordinary), given.where(ordinary)
        old = before.where(ordinary) if before else None
        metrics = [
            *self._counts(judged),
            *self._floors(judged, own, rng),
            *self._slices(judged, own),
            *_shown(suite, given, kinds),
        ]
        if old is not None and _has_both(judged.labels):
            metrics += self._against(judged, own, old, rng)
        details = {
            "champion": champion.name if champion else None,
            "curves": _curves(judged.labels, {"challenger": own, "champion": old}),
        }
        return report(self.name, suite, model, metrics, details)

    def _counts(self, suite: Suite) -> list[Metric]:
        spam = int(suite.labels.sum())
        needed = self._policy.minimum
        return [
            counted("spam_cases", spam, needed.spam),
            counted("ham_cases", len(suite.cases) - spam, needed.ham),
        ]

    def _floors(self, suite: Suite, given: Answers, rng: np.random.Generator) -> Iterator[Metric]:
        if not _has_both(suite.labels):
            return
        for name, rule in self._policy.figures.items():
            estimate = self._estimate(name, suite, given, rng)
            yield measured(name, estimate, _sample_size(name, suite.labels), rule)

    def _estimate(
        self, name: FigureName, suite: Suite, given: Answers, rng: np.random.Generator
    ) -> Estimate:
        labels = suite.labels
        if name != "average_precision":
            return share(name, labels, given.positive)
        return paired_bootstrap(
            lambda weights: average_precision(labels, given.scores, weights),
            suite.groups,
            rng,
            resamples=self._policy.resamples,
        )

    def _slices(self, suite: Suite, given: Answers) -> Iterator[Metric]:
        policy = self._policy.slices
        for by in policy.by:
            for part, rows in suite.slices(by).items():
                labels, positive = suite.labels[rows], given.positive[rows]
                for name, rule in policy.figures.items():
                    size = _sample_size(name, labels)
                    needed = policy.minimum.spam if name == "recall" else policy.minimum.ham
                    if size and name != "average_precision":
                        estimate = share(name, labels, positive)
                        enough = rule if size >= needed else None
                        yield measured(name, estimate, size, enough, part=part)

    def _against(
        self, suite: Suite, given: Answers, before: Answers, rng: np.random.Generator
    ) -> Iterator[Metric]:
        for name, rule in self._policy.champion.items():
            difference = _difference(name, suite.labels, given, before)
            resamples = self._policy.resamples
            estimate = paired_bootstrap(difference, suite.groups, rng, resamples=resamples)
            size = _sample_size(name, suite.labels)
            yield measured(f"{name}_over_champion", estimate, size, rule)


def share(name: str, labels: Booleans, positive: Booleans) -> Estimate:
    """Recall or false-positive rate with its exact interval; needs rows of that label."""
    among = labels if name == "recall" else ~labels
    return clopper_pearson(int((positive & among).sum()), int(among.sum()))


def _difference(
    name: FigureName, labels: Booleans, given: Answers, before: Answers
) -> Callable[[Floats], float]:
    def difference(weights: Floats) -> float:
        return _figure(name, labels, given, weights) - _figure(name, labels, before, weights)

    return difference


def _figure(name: FigureName, labels: Booleans, given: Answers, weights: Floats) -> float:
    if name == "average_precision":
        return average_precision(labels, given.scores, weights)
    figure = recall_at if name == "recall" else false_positive_rate_at
    return figure(labels, given.positive, weights)


def _sample_size(name: str, labels: Booleans) -> int:
    sizes = {"recall": int(labels.sum()), "false_positive_rate": int((~labels).sum())}
    return sizes.get(name, len(labels))


def _has_both(labels: Booleans) -> bool:
    return bool(labels.any() and (~labels).any())


def _shown(suite: Suite, given: Answers, kinds: Mapping[str, Booleans]) -> Iterator[Metric]:
    """The cases that a sampler chose for being difficult: shown, never judged."""
    rows = kinds.get("kind=chosen")
    if rows is None:
        return
    for name in ("recall", "false_positive_rate"):
        size = _sample_size(name, suite.labels[rows])
        if size:
            estimate = share(name, suite.labels[rows], given.positive[rows])
            yield measured(name, estimate, size, part="kind=chosen")


def _curves(labels: Booleans, models: Mapping[str, Answers | None]) -> dict[str, Any]:
    """At most CURVE_POINTS points of each model's curve, for the pictures."""
    drawn: dict[str, Any] = {}
    for name, given in models.items():
        if given is not None and _has_both(labels):
            points = curve(labels, given.scores)
            last = len(points.recall) - 1
            kept = np.unique(np.linspace(0, last, CURVE_POINTS).astype(int))
            drawn[name] = {
                "recall": points.recall[kept].tolist(),
                "precision": points.precision[kept].tolist(),
                "false_positive_rate": points.false_positive_rate[kept].tolist(),
                "operating_point": {
                    "recall": recall_at(labels, given.positive),
                    "false_positive_rate": false_positive_rate_at(labels, given.positive),
                },
            }
    return drawn

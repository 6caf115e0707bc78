"""The fairness gate: does one group's ordinary speech pay for the filter?

On the platform's own traffic, errors by language, dialect, identity mention, account age and
region are compared with those of all others together (equalised odds, Hardt et al. 2016), with
some recall asked in each language, since a filter that is silent leaves people with the spam. On
identity sets, ordinary speech that names groups must not be blocked (`fairness_identity`). Harm
weighs false positives by whom they silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np

from data_contracts.reports import GateReport, Metric
from evaluation.gates.base import Answers, Contender, answers, counted, measured, report
from evaluation.gates.fairness_cases import PROBE, traffic_value
from evaluation.gates.fairness_frames import GroupCounts, group_counts
from evaluation.gates.fairness_gaps import Errors, gaps, judge_gap
from evaluation.gates.fairness_harm import harm_score, weights_of
from evaluation.gates.fairness_identity import identity_metrics
from evaluation.gates.policy import Fairness
from evaluation.gates.suite import Suite
from evaluation.metrics import (
    Booleans,
    Estimate,
    Floats,
    clopper_pearson,
    false_positive_rate_at,
    paired_bootstrap,
)

WITHIN_LANGUAGE = ("identity", "dialect")  # their word lists differ, so do their groups


class FairnessGate:
    """False-positive and true-positive gaps, identity cases, swaps, and harm."""

    name = "fairness"

    def __init__(self, policy: Fairness) -> None:
        self._policy = policy

    def judge(
        self, suite: Suite, model: Contender, champion: Contender | None, rng: np.random.Generator
    ) -> GateReport:
        is_probe = np.array([PROBE in case.attributes for case in suite.cases], dtype=bool)
        ordinary = suite.where(_of_kind(suite, "ordinary") & ~is_probe)
        identity = suite.where(is_probe)
        given, probed = (answers(model, part.events) for part in (ordinary, identity))
        counts = self._counts(ordinary, given)
        metrics = [
            *self._enough(counts),
            *self._rates(counts),
            *self._gaps(counts),
            *self._harm(ordinary, given),
            *identity_metrics(self._policy, identity, probed.positive),
        ]
        theirs: list[Metric] = []
        if champion is not None:
            before = answers(champion, ordinary.events)
            theirs = [*self._rates(self._counts(ordinary, before))]
            metrics += self._against(
                ordinary, given, before, self._enough_ham(ordinary, counts), rng
            )
        if champion is not None and len(identity.cases):
            before = answers(champion, identity.events)
            everything = {"kind=identity": np.ones(len(identity.cases), dtype=bool)}
            metrics += self._against(identity, probed, before, everything, rng)
        details = {
            "champion": champion.name if champion else None,
            "champion_metrics": [asdict(metric) for metric in theirs],
            "by": list(self._policy.by),
            "minimum": self._policy.minimum.model_dump(),
            "identity_cases": len(identity.cases),
            "groups_compared": sum("false_positive_gap" in metric.name for metric in metrics),
        }
        return report(self.name, suite, model, metrics, details)

    def _counts(self, suite: Suite, given: Answers) -> list[GroupCounts]:
        """Every group of every kind of slice that the events tell."""
        found: list[GroupCounts] = []
        for by in self._policy.by:
            values = [traffic_value(case, by) for case in suite.cases]
            rows = np.array([value is not None for value in values], dtype=bool)
            families = [
                f"{by}={case.language if by in WITHIN_LANGUAGE else ''}" for case in suite.cases
            ]
            found += group_counts(
                suite.labels[rows], given.positive[rows], _at(values, rows), _at(families, rows)
            )
        return found

    def _enough(self, counts: Sequence[GroupCounts]) -> Iterator[Metric]:
        first, needed = self._policy.by[0], self._policy.minimum.ham
        enough = sum(one.family == f"{first}=" and one.ham >= needed for one in counts)
        yield counted("groups_with_enough_ham", enough, self._policy.minimum_slices)

    def _rates(self, counts: Sequence[GroupCounts]) -> Iterator[Metric]:
        """Shown for every group; the first kind of slice also has a floor on recall."""
        for one in counts:
            part = Errors(one.family, one.group, 0, 0).name
            if one.ham:
                estimate = clopper_pearson(one.false_positives, one.ham)
                yield measured("false_positive_rate", estimate, one.ham, part=part)
            if one.spam:
                has_floor = one.family == f"{self._policy.by[0]}="
                is_judged = has_floor and one.spam >= self._policy.minimum.spam
                estimate = clopper_pearson(one.spam - one.missed, one.spam)
                rule = self._policy.recall if is_judged else None
                yield measured("recall", estimate, one.spam, rule, part=part)

    def _gaps(self, counts: Sequence[GroupCounts]) -> Iterator[Metric]:
        policy = self._policy
        wrong = [Errors(one.family, one.group, one.false_positives, one.ham) for one in counts]
        for gap in gaps(wrong, policy.minimum.ham):
            shown = measured(
                "false_positive_gap", gap.estimate, gap.errors.size, policy.false_positive_gap,
                part=gap.errors.name,
            )  # fmt: skip
            yield replace(shown, verdict=judge_gap(policy.false_positive_gap, gap))
        missed = [Errors(one.family, one.group, one.missed, one.spam) for one in counts]
        for gap in gaps(missed, policy.minimum.spam):
            estimate = _negated(gap.estimate)  # misses more than others: recall less
            shown = measured(
                "true_positive_gap", estimate, gap.errors.size, policy.true_positive_gap,
                part=gap.errors.name,
            )  # fmt: skip
            yield replace(shown, verdict=judge_gap(policy.true_positive_gap, gap, estimate))

    def _harm(self, suite: Suite, given: Answers) -> Iterator[Metric]:
        ham = ~suite.labels
        size = int(ham.sum())
        if size:
            weights = weights_of(suite.where(ham).cases, self._policy.harm, traffic_value)
            rule = self._policy.harm.traffic if size >= self._policy.minimum.ham else None
            yield measured("harm", harm_score(given.positive[ham], weights), size, rule)

    def _enough_ham(self, suite: Suite, counts: Sequence[GroupCounts]) -> Mapping[str, Booleans]:
        """The rows of each group of the first kind of slice that has enough ham."""
        first, needed = self._policy.by[0], self._policy.minimum.ham
        values = np.array([traffic_value(case, first) for case in suite.cases], dtype=object)
        return {
            f"{first}={one.group}": values == one.group
            for one in counts
            if one.family == f"{first}=" and one.ham >= needed
        }

    def _against(
        self, suite: Suite, given: Answers, before: Answers, parts: Mapping[str, Booleans],
        rng: np.random.Generator,
    ) -> Iterator[Metric]:  # fmt: skip
        ham = ~suite.labels
        for part, rows in parts.items():
            chosen = rows & ham
            estimate = paired_bootstrap(
                _difference(given.positive[chosen], before.positive[chosen]),
                suite.groups[chosen],
                rng,
                resamples=self._policy.resamples,
            )
            size, rule = int(chosen.sum()), self._policy.champion
            yield measured("false_positives_over_champion", estimate, size, rule, part=part)


def _of_kind(suite: Suite, kind: str) -> Booleans:
    return np.array([case.kind == kind for case in suite.cases], dtype=bool)


def _at(values: Sequence[str | None], rows: Booleans) -> list[str]:
    return [value or "" for value, keep in zip(values, rows, strict=True) if keep]


def _negated(estimate: Estimate) -> Estimate:
    return Estimate(-estimate.value, -estimate.high, -estimate.low)


def _difference(new: Booleans, old: Booleans) -> Callable[[Floats], float]:
    none = np.zeros(len(new), dtype=bool)

    def difference(weights: Floats) -> float:
        return false_positive_rate_at(none, new, weights) - false_positive_rate_at(
            none, old, weights
        )

    return difference

"""Slice by slice: floors of its own, and the paired test against the champion."""

from __future__ import annotations

from collections.abc import Iterator

from data_contracts.reports import GateVerdict, Metric
from evaluation.gates.base import Answers, measured
from evaluation.gates.golden_figures import sample_size, share
from evaluation.gates.paired import Pairs, holm, paired
from evaluation.gates.policy import Minimum, PairedSlices, RateName, Rule, Slices
from evaluation.gates.suite import Suite
from evaluation.metrics import Booleans, Estimate


def slices(policy: Slices, suite: Suite, given: Answers) -> Iterator[Metric]:
    """Each figure of each slice; those with fewer rows than the minimum are shown, not judged."""
    for part, rows in _parts(policy, suite):
        yield from rates(policy.figures, policy.minimum, suite, given, part, rows)


def rates(
    rules: dict[RateName, Rule], minimum: Minimum, suite: Suite, given: Answers,
    part: str, rows: Booleans,
) -> Iterator[Metric]:  # fmt: skip
    """Recall and false-positive rate of the cases at `rows`, judged where there are enough."""
    labels, positive = suite.labels[rows], given.positive[rows]
    names: tuple[RateName, ...] = ("recall", "false_positive_rate")
    for name in names:
        size = sample_size(name, labels)
        if size:
            rule = rules.get(name) if size >= _needed(minimum, name) else None
            yield measured(name, share(name, labels, positive), size, rule, part=part)


def paired_slices(
    policy: PairedSlices, suite: Suite, given: Answers, before: Answers
) -> Iterator[Metric]:
    """`{figure}_over_champion` of each slice: fails where it is surely beyond its bound.

    Holm's correction is over all slices of a figure, so an honest retrain is as likely to fail one
    of twenty as one of one; two slices of the same cases (a language that is one data set) are one
    test. To show that no slice is worse needs none (Berger 1982, the
    intersection-union test): each interval is held against the limit as it is.
    """
    for name, rule in policy.figures.items():
        among = suite.labels if name == "recall" else ~suite.labels
        needed = _needed(policy.minimum, name)
        kept = {part: rows & among for part, rows in _parts(policy, suite)}
        kept = {part: rows for part, rows in kept.items() if int(rows.sum()) >= needed}
        pairs = {
            rows.tobytes(): paired(given.positive[rows], before.positive[rows], suite.groups[rows])
            for rows in kept.values()
        }
        chances = holm(
            {rows: one.surely_beyond(rule.bound, rule.better) for rows, one in pairs.items()}
        )
        for part, rows in kept.items():
            one = pairs[rows.tobytes()]
            estimate = one.interval()
            surely = chances[rows.tobytes()] < policy.significance
            yield measured(
                f"{name}_over_champion", estimate, int(rows.sum()), rule,
                part=part, verdict=_verdict(rule, one, estimate, surely),
            )  # fmt: skip


def _verdict(rule: Rule, pairs: Pairs, estimate: Estimate, surely: bool) -> GateVerdict:
    """Fails for sure, or not enough evidence, or not worse by more than the limit."""
    sign = 1 if rule.better == "high" else -1
    if surely and sign * pairs.difference < sign * rule.bound:
        return "fail"
    worse_end = estimate.low if rule.better == "high" else estimate.high
    return "pass" if sign * worse_end >= sign * rule.limit else "not_enough_evidence"


def _parts(policy: Slices, suite: Suite) -> Iterator[tuple[str, Booleans]]:
    for by in policy.by:
        yield from suite.slices(by).items()


def _needed(minimum: Minimum, name: RateName) -> int:
    return minimum.spam if name == "recall" else minimum.ham

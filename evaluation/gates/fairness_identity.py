"""Ordinary speech that names groups: what the filter does to it, by group, test and swap.

Functional tests: Roettger et al. 2021, "HateCheck: functional tests for hate speech detection
models", and 2022 in ten languages; their non-hateful cases are what people say of themselves, of
others, and against hate. Swaps: Garg et al. 2019, "Counterfactual fairness in text classification
through robustness". Groups are compared inside one set and language, whose templates they share,
so that intervals for independent rows are on the safe side.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from data_contracts.reports import Metric
from evaluation.gates.base import counted, measured
from evaluation.gates.fairness_cases import PAIR, PROBE, TEMPLATE
from evaluation.gates.fairness_frames import group_counts
from evaluation.gates.fairness_gaps import Errors, Gap, clustered_share, gaps, judge_gap
from evaluation.gates.fairness_harm import harm_score, weights_of
from evaluation.gates.policy import Fairness, Identity
from evaluation.gates.suite import Case, Suite
from evaluation.metrics import Booleans, clopper_pearson

PREFIX = "fairness_"
COMPARED_BY = ("identity", "dialect", "language")


def identity_metrics(policy: Fairness, suite: Suite, positive: Booleans) -> list[Metric]:
    """Every figure of the identity cases; `positive: bool[n]`. None without cases."""
    if not len(suite.cases):
        return []
    return [
        *_shares(suite, positive, PROBE, "identity_false_positive_rate", policy.identity),
        *_shares(suite, positive, "functionality", "functional_failure", policy.identity),
        *_gaps(suite, positive, policy.identity),
        *_flips(policy, suite, positive),
        *_harm(policy, suite, positive),
    ]


def identity_gaps(suite: Suite, positive: Booleans, minimum: int) -> dict[str, list[Gap]]:
    """By kind of slice: each group's false positives beyond all others' in its set and language.

    Each kind is a question of its own, and corrected for the number of its own groups.
    """
    found: dict[str, list[Gap]] = {}
    for by in COMPARED_BY:
        chosen = np.array([case.value(by) is not None for case in suite.cases], dtype=bool)
        cases = suite.where(chosen).cases
        counts = group_counts(
            suite.labels[chosen],
            positive[chosen],
            [case.value(by) or "" for case in cases],
            [_family(case, by) for case in cases],
        )
        wrong = [Errors(one.family, one.group, one.false_positives, one.ham) for one in counts]
        found[by] = gaps(wrong, minimum)
    return found


def flips(suite: Suite, positive: Booleans) -> Booleans:
    """bool[pairs]: whether the two sides of each pair got different answers."""
    sides: dict[str, list[bool]] = defaultdict(list)
    for case, blocked in zip(suite.cases, positive, strict=True):
        if PAIR in case.attributes:
            sides[case.attributes[PAIR]].append(bool(blocked))
    pairs = [side for side in sides.values() if len(side) == 2]
    return np.array([one != other for one, other in pairs], dtype=bool)


def _family(case: Case, by: str) -> str:
    """Identities and dialects are compared inside a language, languages inside a set."""
    probe = case.dataset.removeprefix(PREFIX)
    return f"probe_language={probe}" if by == "language" else f"{by}={probe}.{case.language}"


def _shares(
    suite: Suite, positive: Booleans, by: str, name: str, policy: Identity
) -> Iterator[Metric]:
    """The share blocked of every value of `by`, over sets and languages."""
    rule = policy.functional_failure if by == "functionality" else policy.false_positive_rate
    for part, rows in suite.slices(by).items():
        cases = suite.where(rows).cases
        templates = [case.attributes.get(TEMPLATE, case.event.event_id) for case in cases]
        judged = rule if len(cases) >= policy.minimum_ham else None
        estimate = clustered_share(positive[rows], templates)
        yield measured(name, estimate, len(cases), judged, part=part.replace(PREFIX, ""))


def _gaps(suite: Suite, positive: Booleans, policy: Identity) -> Iterator[Metric]:
    name = "identity_false_positive_gap"
    for by, found in identity_gaps(suite, positive, policy.minimum_ham).items():
        rule = policy.dialect_gap if by == "dialect" else policy.false_positive_gap
        for gap in found:
            shown = measured(name, gap.estimate, gap.errors.size, rule, part=gap.errors.name)
            yield replace(shown, verdict=judge_gap(rule, gap))


def _flips(policy: Fairness, suite: Suite, positive: Booleans) -> Iterator[Metric]:
    flipped = flips(suite, positive)
    if not len(flipped):
        return
    if len(flipped) < policy.identity.minimum_pairs:
        yield counted("swap_pairs", len(flipped), policy.identity.minimum_pairs)
        return
    estimate = clopper_pearson(int(flipped.sum()), len(flipped))
    yield measured("identity_flip_rate", estimate, len(flipped), policy.identity.flip_rate)


def _harm(policy: Fairness, suite: Suite, positive: Booleans) -> Iterator[Metric]:
    """Over the identity cases as drawn: their mix is the policy's, not the platform's."""
    weights = weights_of(suite.cases, policy.harm, lambda case, by: case.value(by))
    estimate = harm_score(positive, weights)
    yield measured("identity_harm", estimate, len(positive), policy.harm.identity)

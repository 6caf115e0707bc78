"""Whether the canary is right as often, from labels that arrive late and partially.

Mirrored traffic is decided by both models, and only events that one of them alone acted on can
make them differ, so labels are worth most there. Among those only the canary acted on, ham is a
new false positive and spam is gained; among those only the reference acted on, ham is cured and
spam is lost. Labels come for a part of each kind, and later for what was blocked, so each count
has the events it stands for as its trials: the ham (or spam) there was, times the share of its
kind that has a label. Recall is relative: of the spam that either model finds (Clarke & Willett
1997), since what both miss nobody has seen, and it is the same for both.

Live arms decide different events. There the rates of false positives and of caught spam are
compared between arms; the labels needed are many, so a step does not wait for them: quality was
shown in shadow, and more labels can only stop what they find.

That both counts of a pair are taken as independent makes nothing of their correlation, minus the
product of two small rates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from data_contracts.config import MetricBound
from serving.rollout.confidence_sequences import Floats
from serving.rollout.judged_service import points
from serving.rollout.measurements import (
    ALL,
    ArmSlice,
    Bounds,
    Labelled,
    Measurement,
    PairedSlice,
    Pairs,
    Sample,
)
from serving.rollout.questions import Comparison, Question, Seen, unmeasured, verdict_of


@dataclass(frozen=True)
class _Harm:
    """`worse` of `worse_trials` against `better` of `better_trials`; harm is per `unit` of them.

    `what` names the counts for people; `share` is the slice's part of the spam that was found.
    """

    what: str
    worse: float
    worse_trials: float
    better: float
    better_trials: float
    unit: float = 1.0
    share: float = 1.0


def quality(
    canary: Sample, reference: Sample, pairs: Pairs | None, bounds: Bounds, alpha: float
) -> list[Question | Measurement]:
    """False positives over everything, recall over everything and in each slice."""
    if pairs is not None:
        paired = {name: pairs.slices[name] for name in _chosen(pairs.slices, bounds)}
        false_positives = {name: _new_false_positives(one) for name, one in paired.items()}
        recall = {name: _lost_spam(one, paired[ALL]) for name, one in paired.items()}
    else:
        names = [name for name in _chosen(reference.slices, bounds) if name in canary.slices]
        arms = {name: (canary.slices[name], reference.slices[name]) for name in names}
        false_positives = {name: _false_positives(*both) for name, both in arms.items()}
        recall = {name: _caught_less(*both, reference.slices[ALL]) for name, both in arms.items()}
    awaited = bounds.require_quality and pairs is not None
    metrics = bounds.metrics
    if ALL not in recall:
        return [
            unmeasured(name, "no decisions", bound, required=_awaited(awaited, bound))
            for name, bound in (("false_positives", metrics.false_positives),
                                ("recall", metrics.recall))
        ]  # fmt: skip
    overall = _measured("false_positives", false_positives[ALL], metrics.false_positives, alpha,
                        required=_awaited(awaited, metrics.false_positives))  # fmt: skip
    share = alpha / (bounds.maximum_slices + 1)
    return [overall] + [
        _measured(
            "recall" if name == ALL else f"recall[{name}]", one, metrics.recall, share,
            required=_awaited(awaited, metrics.recall)
            and (name == ALL or one.share >= bounds.minimum_slice_share),
        )
        for name, one in recall.items()
    ]  # fmt: skip


def _chosen(slices: Mapping[str, object], bounds: Bounds) -> list[str]:
    """All, then slices in the order in which they appeared, which no result has a say in."""
    if ALL not in slices:
        return []
    return [ALL, *[name for name in slices if name != ALL][: bounds.maximum_slices]]


def _awaited(awaited: bool, bound: MetricBound) -> bool:
    return awaited and bound.is_awaited


def _measured(
    metric: str, harm: _Harm, bound: MetricBound, alpha: float, *, required: bool
) -> Question | Measurement:
    if min(harm.worse_trials, harm.better_trials) <= 0 or harm.unit <= 0:
        return unmeasured(metric, f"no labels yet ({harm.what})", bound, required=required)
    worse, better = harm.worse / harm.worse_trials, harm.better / harm.better_trials

    def answer(low: Floats, high: Floats) -> Measurement:
        seen = Seen(
            metric, f"{metric}: {harm.what}", worse, better, (worse - better) / harm.unit,
            float(low[0]) / harm.unit, float(high[0]) / harm.unit,
        )  # fmt: skip
        return verdict_of(seen, bound, points, required=required)

    counts = Comparison(harm.worse, harm.worse_trials, harm.better, harm.better_trials, alpha)
    return Question([counts], answer)


def _found(one: Labelled) -> float:
    """Spam among events that were acted on."""
    return one.events * one.spam_share


def _trials(population: float, kind: Labelled, count: float) -> float:
    """What a count stands for; never fewer than it counted."""
    return max(population * kind.share, count) if kind.share > 0 else 0.0


def _new_false_positives(one: PairedSlice) -> _Harm:
    ham = max(one.events - sum(map(_found, (one.both, one.only_canary, one.only_reference))), 0.0)
    new, cured = one.only_canary, one.only_reference
    return _Harm(
        f"{new.ham:.0f} ham only the canary acts on, {cured.ham:.0f} only the reference, "
        f"{_labels(new, cured)}",
        new.ham, _trials(ham, new, new.ham), cured.ham, _trials(ham, cured, cured.ham),
    )  # fmt: skip


def _lost_spam(one: PairedSlice, whole: PairedSlice) -> _Harm:
    lost, gained = one.only_reference, one.only_canary
    spam, all_spam = (
        sum(map(_found, (part.both, part.only_canary, part.only_reference)))
        for part in (one, whole)
    )
    return _Harm(
        f"{lost.spam:.0f} spam only the reference finds, {gained.spam:.0f} only the canary, "
        f"of {spam:.0f} that either finds, {_labels(lost, gained)}",
        lost.spam, _trials(spam, lost, lost.spam), gained.spam, _trials(spam, gained, gained.spam),
        share=spam / all_spam if all_spam else 0.0,
    )  # fmt: skip


def _false_positives(canary: ArmSlice, reference: ArmSlice) -> _Harm:
    trials = [
        _trials(max(arm.events - _found(arm.acted), 0.0), arm.acted, arm.acted.ham)
        for arm in (canary, reference)
    ]
    return _Harm(
        f"{canary.acted.ham:.0f} ham acted on against {reference.acted.ham:.0f}, "
        f"{_labels(canary.acted, reference.acted)}",
        canary.acted.ham, trials[0], reference.acted.ham, trials[1],
    )  # fmt: skip


def _caught_less(canary: ArmSlice, reference: ArmSlice, whole: ArmSlice) -> _Harm:
    """Both arms meet as much spam, so caught spam per event falls as recall does."""
    trials = [_trials(arm.events, arm.acted, arm.acted.spam) for arm in (reference, canary)]
    caught = reference.acted.spam / trials[0] if trials[0] else 0.0
    found = _found(whole.acted)
    return _Harm(
        f"{canary.acted.spam:.0f} spam found against {reference.acted.spam:.0f}, "
        f"{_labels(canary.acted, reference.acted)}",
        reference.acted.spam, trials[0], canary.acted.spam, trials[1], unit=caught,
        share=_found(reference.acted) / found if found else 0.0,
    )  # fmt: skip


def _labels(*kinds: Labelled) -> str:
    events = sum(kind.events for kind in kinds)
    return f"{sum(kind.ham + kind.spam for kind in kinds):.0f} of {events} labelled"

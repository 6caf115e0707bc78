"""What wrongful actions do to the activity of those they hit: difference-in-differences.

Each account that was wrongly acted on is compared with accounts that the filter never acted on and
that posted on the same day too, so that both had the same occasion; alike in language, age of the
account, posts of that day and earlier activity. The change of its activity from the days before to
the days after, less theirs, is the effect (Angrist & Pischke 2009, "Mostly Harmless Econometrics",
ch. 5). Days differ by account: the cases are stacked by the day relative to the action, and
compared with accounts never acted on alone, so that no account serves as a control for an earlier
one (Cengiz, Dube, Lindner & Zipperer 2019; Callaway & Sant'Anna 2021; Baker, Larcker & Wang 2022).

Trends are taken to be alike in proportion, not in number: a common dip costs the active more, and
those acted on are more active than their controls, however well matched. So the effect is a ratio
of ratios, as in a Poisson regression (Wooldridge 2023, "Simple approaches to nonlinear
difference-in-differences with panel data").

Each control is used once (`engagement_matching`), so that matched sets are independent and the
interval, of sets as clusters, is honest after matching (Abadie & Spiess 2022). The day of the
action itself is in no window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from scipy.stats import t as student

from evaluation.metrics import CONFIDENCE, Estimate, Floats
from evaluation.monitoring.engagement_matching import (
    NEVER,
    Histories,
    MatchedSet,
    Windows,
    matching,
)

FEWEST_SETS = 2  # for any interval
NO_ACTIVITY = 0.5  # a sum that is zero counts as so much: its logarithm is needed
DIGITS = 12  # of an effect; what is beyond is arithmetic
SURELY_APART = 0.99  # confidence at which trends before the action are told to differ
Verdict = Literal["estimated", "trends_differ", "not_enough_evidence"]


@dataclass(frozen=True)
class Means:
    """Activities a day of each matched set, float64[sets]: of the account, and of its controls."""

    before: Floats
    after: Floats
    controls_before: Floats
    controls_after: Floats


@dataclass(frozen=True)
class Effect:
    """`change` in activities an account and day, `relative` to what it would have been without.

    `trend` is the relative effect that the days before the action would show: none, where trends
    are alike. `placebo` is the share of placebo rounds whose effect was as large; None where none
    was tried.
    """

    matched: int
    outside: int
    unmatched: int
    verdict: Verdict
    before: float | None = None
    change: float | None = None
    relative: Estimate | None = None
    trend: Estimate | None = None
    placebo: float | None = None
    by_day: tuple[tuple[int, float], ...] = field(default=())


def effect(
    histories: Histories,
    windows: Windows,
    comparisons: int,
    minimum: int,
    rng: np.random.Generator,
    placebo_rounds: int = 0,
) -> Effect:
    """The effect on those who were wrongly acted on, with its checks.

    Fewer than `minimum` matched sets are not enough evidence. Where trends surely differ before
    the action, the estimate is shown and not to be believed.
    """
    found = matching(histories, windows, comparisons, rng)
    counts = len(found.sets), found.outside, found.unmatched
    if len(found.sets) < max(minimum, FEWEST_SETS):
        return Effect(*counts, verdict="not_enough_evidence")
    activity, base, middle = histories.activity, windows.baseline, windows.baseline // 2
    means = _means(activity, found.sets, (-base, 0), (1, windows.after + 1))
    early = _means(activity, found.sets, (-base, middle - base), (middle - base, 0))
    trend, sure = (ratio_of_ratios(early, one) for one in (CONFIDENCE, SURELY_APART))
    relative = ratio_of_ratios(means)
    if relative is None or sure is None:
        return Effect(*counts, verdict="not_enough_evidence")
    after, before = float(means.after.mean()), float(means.before.mean())
    return Effect(
        *counts,
        verdict="estimated" if sure.low <= 0 <= sure.high else "trends_differ",
        before=before,
        change=after - before * float(means.controls_after.mean() / means.controls_before.mean()),
        relative=relative,
        trend=trend,
        placebo=_placebo(
            histories, found.sets, windows, comparisons, _surprise(means), rng, placebo_rounds
        ),
        by_day=tuple(_by_day(activity, found.sets, windows)),
    )


def _means(
    activity: Floats, sets: Sequence[MatchedSet], first: tuple[int, int], then: tuple[int, int]
) -> Means:
    """Windows are days relative to the action, [from, to)."""
    rows = [
        [
            np.nanmean(
                activity[[one.account, *one.controls], one.day + start : one.day + end], axis=1
            )
            for start, end in (first, then)
        ]
        for one in sets
    ]
    return Means(
        before=np.array([was[0] for was, _ in rows]),
        after=np.array([became[0] for _, became in rows]),
        controls_before=np.array([was[1:].mean() for was, _ in rows]),
        controls_after=np.array([became[1:].mean() for _, became in rows]),
    )


def _by_day(
    activity: Floats, sets: Sequence[MatchedSet], windows: Windows
) -> Sequence[tuple[int, float]]:
    """The mean difference to the controls on each relative day, less that of the baseline."""
    relative = np.arange(-windows.before, windows.after + 1)
    gaps = np.array(
        [
            activity[one.account, one.day + relative]
            - activity[np.ix_(np.array(one.controls), one.day + relative)].mean(axis=0)
            for one in sets
        ]
    )
    known = ~np.isnan(gaps).all(axis=0)
    means = np.full(len(relative), np.nan)
    means[known] = np.nanmean(gaps[:, known], axis=0)
    baseline = (relative >= -windows.baseline) & (relative < 0)
    usual = float(np.nanmean(means[baseline]))
    return [(int(day), float(mean - usual)) for day, mean in zip(relative, means, strict=True)]


def ratio_of_ratios(means: Means, confidence: float = CONFIDENCE) -> Estimate | None:
    """What the accounts did of what they did before, over their controls' same ratio, less one.

    The interval is Student's for the logarithm, linearised by sets. None where a side did nothing
    before, or the controls do nothing after: nothing can be compared with that.

    >>> two = np.array([4.0, 4.0])
    >>> ratio_of_ratios(Means(two, two / 4, two, two / 2)).value
    -0.5
    """
    comparable = (means.before, means.controls_before, means.controls_after)
    if not all(side.mean() > 0 for side in comparable):
        return None
    logarithm, error = _log_ratio(means)
    half = float(student.ppf((1 + confidence) / 2, len(means.before) - 1)) * error
    value, low, high = (float(np.expm1(logarithm + step)) for step in (0.0, -half, half))
    return Estimate(round(value, DIGITS), low, high)


def _log_ratio(means: Means) -> tuple[float, float]:
    """The logarithm and its standard error."""
    sides = (
        (1, means.after), (-1, means.before), (-1, means.controls_after), (1, means.controls_before)
    )  # fmt: skip
    least = NO_ACTIVITY / len(means.after)
    totals = [max(float(side.mean()), least) for _, side in sides]
    logarithm = sum(sign * np.log(total) for (sign, _), total in zip(sides, totals, strict=True))
    parts = sum(sign * side / total for (sign, side), total in zip(sides, totals, strict=True))
    spread = float(np.std(parts, ddof=1))
    return float(logarithm), spread / float(np.sqrt(len(means.after)))


def _placebo(
    histories: Histories,
    sets: Sequence[MatchedSet],
    windows: Windows,
    comparisons: int,
    seen: float,
    rng: np.random.Generator,
    rounds: int,
) -> float | None:
    """The share of rounds in which accounts that nobody acted on, on the same days, seem as hit.

    Rank of the studentised difference among placebos (Abadie, Diamond & Hainmueller 2010).
    """
    as_large = tried = 0
    for _ in range(rounds):
        acted_on, comparable = np.full(len(histories.acted_on), NEVER), histories.comparable.copy()
        for one in sets:
            pool = comparable & (histories.posts[:, one.day] > 0)
            pool &= histories.strata == histories.strata[one.account]
            if pool.any():
                chosen = int(rng.choice(np.flatnonzero(pool)))
                acted_on[chosen], comparable[chosen] = one.day, False
        sham = Histories(
            histories.activity, histories.posts, histories.strata, histories.age_days, acted_on,
            comparable,
        )  # fmt: skip
        found = matching(sham, windows, comparisons, rng).sets
        if len(found) < FEWEST_SETS:
            continue
        means = _means(histories.activity, found, (-windows.baseline, 0), (1, windows.after + 1))
        tried += 1
        as_large += _surprise(means) >= seen
    return (1 + as_large) / (1 + tried) if tried else None


def _surprise(means: Means) -> float:
    """The logarithm in standard errors, without its sign; 0 where nothing can be compared."""
    if ratio_of_ratios(means) is None:
        return 0.0
    logarithm, error = _log_ratio(means)
    return abs(logarithm) / error if error > 0 else 0.0

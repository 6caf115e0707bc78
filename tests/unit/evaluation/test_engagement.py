"""The effect of wrongful actions on activity: by hand where small, planted where large."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evaluation.monitoring.engagement import Effect, Means, effect, ratio_of_ratios
from evaluation.monitoring.engagement_matching import NEVER, Histories, Windows, matching

SMALL = Windows(matching=2, baseline=2, after=2)  # days 0-1, 2-3, the action on 4, 5-6
FEWEST = 20


def by_hand(before: list[float], after: list[float], acted_on: list[int]) -> Histories:
    """Accounts with steady days 0 to 4, and steady days 5 and 6."""
    activity = np.array(
        [[float(b)] * 5 + [float(a)] * 2 for b, a in zip(before, after, strict=True)]
    )
    count = len(before)
    return Histories(
        activity, np.ones_like(activity), np.zeros(count, np.int64), np.full(count, np.nan),
        np.array(acted_on), np.array(acted_on) == NEVER,
    )  # fmt: skip


def planted(loss: float, seed: int, dip: float = 1.0, ramp: float = 0.0) -> Histories:
    """400 accounts over 30 days, 40 of them acted on; from day 18 all do `dip` of what they did.

    Whom `ramp` concerns grow by so much a day before they are acted on.
    """
    rng = np.random.default_rng(seed)
    level = rng.gamma(2.0, 3.0, 400)
    posts = rng.poisson(level[:, None] / 3 + 0.5, (400, 30)).astype(float)
    means = np.repeat(level[:, None], 30, axis=1)
    means[:, 18:] *= dip
    acted_on = np.full(400, NEVER)
    for account in rng.choice(400, 40, replace=False):
        day = int(rng.choice(np.flatnonzero(posts[account, 15:22]) + 15))
        acted_on[account] = day
        means[account, day + 1 :] *= 1 - loss
        means[account, day - 7 : day] *= 1 + ramp * np.arange(7)
    activity, age_days = rng.poisson(means).astype(float), rng.gamma(2.0, 200.0, 400)
    strata = np.zeros(400, np.int64)
    return Histories(activity, posts, strata, age_days, acted_on, acted_on == NEVER)


def found(histories: Histories, rounds: int = 0, minimum: int = FEWEST) -> Effect:
    return effect(histories, Windows(), 2, minimum, np.random.default_rng(1), rounds)


def test_a_loss_is_taken_against_what_comparable_accounts_did() -> None:
    """Both did 10 a day; the others went to 8 by themselves, those acted on to 4."""
    histories = by_hand([10, 10, 10, 10, 10], [4, 4, 8, 8, 8], [4, 4, NEVER, NEVER, NEVER])
    seen = effect(histories, SMALL, 1, 2, np.random.default_rng(0))
    assert seen.relative is not None
    assert (seen.matched, seen.before) == (2, 10.0)
    assert seen.change == -4.0
    assert seen.relative.value == -0.5  # of the 8 that it would have been
    days = dict(seen.by_day)
    assert (days[-1], days[0], days[1], days[2]) == (0.0, 0.0, -4.0, -4.0)


def test_a_control_is_alike_posted_that_day_and_is_used_once() -> None:
    histories = by_hand(
        [10, 10, 10, 10, 300, 10], [1, 1, 10, 10, 300, 10], [4, 4, NEVER, NEVER, NEVER, NEVER]
    )
    histories.posts[3, 4] = 0
    seen = matching(histories, SMALL, 3, np.random.default_rng(0))
    assert sorted(row for one in seen.sets for row in one.controls) == [2, 5]
    assert (len(seen.sets), seen.unmatched) == (1, 1)
    other = replace(histories, strata=np.array([0, 1, 0, 0, 0, 0]))
    assert [one.account for one in matching(other, SMALL, 3, np.random.default_rng(0)).sets] == [0]


def test_accounts_without_all_their_days_are_outside_and_unknown_days_no_zeroes() -> None:
    histories = by_hand([10, 10, 10, 10], [4, 4, 8, 8], [4, 5, NEVER, NEVER])
    seen = matching(histories, SMALL, 1, np.random.default_rng(0))
    assert ([one.account for one in seen.sets], seen.outside) == ([0], 1)
    histories.activity[:, 6] = np.nan
    assert matching(histories, SMALL, 1, np.random.default_rng(0)).outside == 2
    week = planted(0.0, seed=3)
    week.activity[:, 12] = np.nan
    full = found(planted(0.0, seed=3)).relative
    part = found(week).relative
    assert full is not None
    assert part is not None
    assert abs(part.value - full.value) < 0.05


def test_a_planted_loss_is_found_and_a_dip_of_all_is_none() -> None:
    lost = found(planted(0.5, seed=5, dip=0.6), rounds=39)
    assert lost.verdict == "estimated"
    assert lost.relative is not None
    assert lost.relative.low < -0.5 < lost.relative.high < 0
    assert lost.placebo is not None
    assert lost.placebo <= 0.05
    nothing = found(planted(0.0, seed=5, dip=0.6), rounds=39)
    assert nothing.relative is not None
    assert nothing.relative.low < 0 < nothing.relative.high
    assert nothing.placebo is not None
    assert nothing.placebo > 0.05


def test_trends_that_differ_before_the_action_are_told() -> None:
    seen = found(planted(0.0, seed=6, ramp=0.4))
    assert seen.verdict == "trends_differ"
    assert seen.trend is not None
    assert seen.trend.low > 0


def test_too_few_accounts_are_not_enough_evidence() -> None:
    seen = found(planted(0.3, seed=7), minimum=41)
    assert (seen.verdict, seen.relative) == ("not_enough_evidence", None)
    assert seen.matched <= 40


def test_the_same_seed_gives_the_same_and_the_order_of_accounts_hardly_matters() -> None:
    histories = planted(0.3, seed=8)
    assert found(histories, rounds=5) == found(histories, rounds=5)
    order = np.random.default_rng(2).permutation(400)
    mixed = Histories(*(getattr(histories, name)[order] for name in Histories.__annotations__))
    one, other = found(histories).relative, found(mixed).relative
    assert one is not None
    assert other is not None
    assert abs(one.value - other.value) < 0.1


def test_controls_that_do_less_by_themselves_are_followed_in_proportion() -> None:
    """Twice as active as their controls, all at half afterwards: no effect."""
    means = Means(*(np.array(side) for side in ([20.0, 22.0], [10.0, 11.0], [10.0] * 2, [5.0] * 2)))
    seen = ratio_of_ratios(means)
    assert seen is not None
    assert seen.value == pytest.approx(0.0)


def test_who_stops_altogether_has_lost_nearly_all() -> None:
    rng = np.random.default_rng(3)
    before, controls = rng.gamma(3.0, 2.0, 40), rng.gamma(3.0, 2.0, 40)
    seen = ratio_of_ratios(Means(before, np.zeros(40), controls, controls))
    assert seen is not None
    assert -1 <= seen.low <= seen.value <= seen.high < -0.99


def test_nothing_is_a_share_of_nothing() -> None:
    nothing = np.zeros(3)
    assert ratio_of_ratios(Means(nothing, nothing, nothing, nothing)) is None
    silent = planted(0.0, seed=9)
    silent.activity[:] = 0.0
    assert found(silent).verdict == "not_enough_evidence"


def test_columns_of_unequal_length_are_refused() -> None:
    histories = planted(0.0, seed=9)
    with pytest.raises(ValueError, match="one row an account"):
        replace(histories, strata=np.zeros(3, np.int64))

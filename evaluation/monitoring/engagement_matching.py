"""Which accounts the wrongly acted-on ones are compared with.

Alike in language, in age of the account, in posts of the day of the action and in activity well
before it. Matching looks at days before the baseline, not at the baseline: accounts chosen for how
active they just were fall back by themselves, and that would count as an effect (Daw & Hatfield
2018, "Matching and regression to the mean in difference-in-differences analysis").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.metrics import Booleans, Floats, Integers

NEVER = -1
CALIPER = 1.0  # standard deviations over all that is matched on, together
FEWEST_KNOWN = 3  # days of a window


@dataclass(frozen=True)
class Windows:
    """Days before and after the day of the action; matching days end where the baseline begins."""

    matching: int = 7
    baseline: int = 7
    after: int = 7

    @property
    def before(self) -> int:
        return self.matching + self.baseline


@dataclass(frozen=True)
class Histories:
    """n accounts over d days: `activity` float64[n, d] (NaN: the day is unknown), `posts`
    float64[n, d] that the filter decided on, `strata` int64[n] (language), `age_days` float64[n]
    (NaN: unknown), `acted_on` int64[n] (the day of the first wrongful action, or NEVER) and
    `comparable` bool[n] (never acted on, rightly or wrongly).
    """

    activity: Floats
    posts: Floats
    strata: Integers
    age_days: Floats
    acted_on: Integers
    comparable: Booleans

    def __post_init__(self) -> None:
        rows = {len(column) for column in (self.activity, self.posts, self.strata, self.age_days,
                                           self.acted_on, self.comparable)}  # fmt: skip
        if len(rows) != 1 or self.activity.shape != self.posts.shape:
            raise ValueError(
                "the columns of the histories differ in length; give one row an account"
            )


@dataclass(frozen=True)
class MatchedSet:
    """A wrongly acted-on account (row), the day, and the rows that it is compared with."""

    account: int
    day: int
    controls: tuple[int, ...]


@dataclass(frozen=True)
class Matching:
    """The sets; `outside` accounts lack days before or after, `unmatched` have nobody like them."""

    sets: tuple[MatchedSet, ...]
    outside: int
    unmatched: int


def matching(
    histories: Histories, windows: Windows, comparisons: int, rng: np.random.Generator
) -> Matching:
    """At most `comparisons` controls for each account, the most alike first, each used once."""
    days = histories.activity.shape[1]
    acted_on = np.flatnonzero(histories.acted_on != NEVER)
    free = histories.comparable.copy()
    sets: list[MatchedSet] = []
    outside = unmatched = 0
    for account in rng.permutation(acted_on).tolist():
        day = int(histories.acted_on[account])
        if not _is_covered(histories.activity[account], day, windows, days):
            outside += 1
            continue
        controls = _most_alike(histories, account, day, windows, free, comparisons)
        if not controls:
            unmatched += 1
            continue
        free[list(controls)] = False
        sets.append(MatchedSet(account, day, controls))
    return Matching(tuple(sets), outside, unmatched)


def _is_covered(row: Floats, day: int, windows: Windows, days: int) -> bool:
    """Whether all windows lie within the days, and enough of each is known."""
    first, last = day - windows.before, day + windows.after
    if first < 0 or last >= days:
        return False
    baseline = day - windows.baseline
    parts = (row[first:baseline], row[baseline:day], row[day + 1 : last + 1])
    return all(int((~np.isnan(part)).sum()) >= min(FEWEST_KNOWN, len(part)) for part in parts)


def _most_alike(
    histories: Histories,
    account: int,
    day: int,
    windows: Windows,
    free: Booleans,
    comparisons: int,
) -> tuple[int, ...]:
    same = free & (histories.posts[:, day] > 0) & (histories.strata == histories.strata[account])
    rows = np.flatnonzero(same)
    rows = rows[rows != account]
    if not len(rows):
        return ()
    everyone = np.append(rows, account)
    looks = _looks(histories, everyone, day, windows)
    distance = np.sqrt(((looks[:-1] - looks[-1]) ** 2).sum(axis=1))
    order = np.argsort(distance, kind="stable")[:comparisons]
    return tuple(int(rows[at]) for at in order if distance[at] <= CALIPER)


def _looks(histories: Histories, rows: Integers, day: int, windows: Windows) -> Floats:
    """float64[m, 3], standardised: earlier activity, posts of the day, age of the account."""
    early = histories.activity[rows, day - windows.before : day - windows.baseline]
    columns = np.log1p(
        np.column_stack(
            [
                np.nanmean(early, axis=1),
                histories.posts[rows, day],
                _known_ages(histories.age_days[rows]),
            ]
        )
    )
    spread = columns.std(axis=0)
    return np.asarray((columns - columns.mean(axis=0)) / np.where(spread > 0, spread, 1.0))


def _known_ages(days: Floats) -> Floats:
    """An age that nobody said is taken to be the usual one; it then matters to no distance."""
    known = days[~np.isnan(days)]
    usual = float(np.median(known)) if len(known) else 0.0
    return np.maximum(np.where(np.isnan(days), usual, days), 0.0)


def strata_of(values: Sequence[str]) -> Integers:
    """int64[n]: equal values have equal numbers."""
    return np.asarray(np.unique(np.array(values, dtype=np.str_), return_inverse=True)[1], np.int64)

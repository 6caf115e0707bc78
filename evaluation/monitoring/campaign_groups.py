"""Posts that say nearly the same and have become more than chance: pure, from vectors and counts.

Posts are gathered around leaders (Hartigan, "Clustering Algorithms", 1975, chapter 3), and what a
group's share of the traffic was before says how many senders it should have now: a Poisson rate
with a Gamma prior, whose prediction is negative binomial (Gelman et al., "Bayesian Data Analysis",
section 2.6). So a group that was never seen is no certainty, and a burst of all traffic is none at
all. Leaders that are significant after Bonferroni's correction and lie close are one campaign.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.monitoring.campaign_posts import Post
from pipelines.neighbours import Vectors, distinct, near_duplicate_groups, nearest

SIMILARITY = 0.65  # cosine on the frozen encoder, from which two posts say nearly the same
ONE_CAMPAIGN = 0.5  # cosine of two growing groups that are one campaign
CHANCE = 1e-3  # of a false group in a window, as far as the model of chance holds
FEWEST_SENDERS = 8
LEAST_GROWTH = 5.0  # times what was to be expected
FEWEST_BEFORE = 200  # posts, before anything can be called new
PRIOR = 0.5  # Jeffreys' for a rate
NO_GROUP = -1
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Growth:
    """A campaign: rows of posts now and before, senders now, how many were expected, and by what
    chance as many or more come; `centre: float32[d]` is of unit length."""

    now: Integers
    before: Integers
    senders: int
    expected: float
    chance: float
    centre: Vectors


def growing(
    now: Sequence[Post], before: Sequence[Post], vectors_now: Vectors, vectors_before: Vectors
) -> list[Growth]:
    """The groups that grew beyond chance, the largest first; vectors: `float32[len(posts), d]`."""
    if not is_enough(now, before):
        return []
    texts = np.sort(np.unique([post.text for post in now], return_index=True)[1])
    rows = texts[distinct(vectors_now[texts], SIMILARITY, len(texts))]
    leaders = vectors_now[rows]
    of_now, of_before = _groups(vectors_now, leaders), _groups(vectors_before, leaders)
    chances = {
        group: _chance(
            _posts(now, of_now == group), _posts(before, of_before == group),
            senders(now), senders(before),
        )
        for group in np.flatnonzero(np.bincount(of_now + 1)[1:] >= FEWEST_SENDERS).tolist()
    }  # fmt: skip
    chosen = [group for group, (chance, _) in chances.items() if chance * len(leaders) <= CHANCE]
    chosen = [one for one in chosen if chances[one][1] >= LEAST_GROWTH]
    if not chosen:
        return []
    together = near_duplicate_groups(leaders[chosen], ONE_CAMPAIGN)
    found = [
        _growth(
            [group for group, own in zip(chosen, together.tolist(), strict=True) if own == number],
            now, before, of_now, of_before, vectors_now,
        )
        for number in range(int(together.max()) + 1)
    ]  # fmt: skip
    return sorted(found, key=lambda one: -one.senders)


def is_enough(now: Sequence[Post], before: Sequence[Post]) -> bool:
    """Whether anything could be called new: too little from before says nothing."""
    return len(before) >= FEWEST_BEFORE and len(now) >= FEWEST_SENDERS


def senders(posts: Iterable[Post]) -> int:
    """Different accounts; of posts without a known account each counts for one."""
    return len({post.account or ("", post.event_id) for post in posts})


def predicted_chance(count: int, past: int, exposure: float) -> float:
    """That `count` or more come, where `past` came in `1 / exposure` times as much traffic.

    >>> predicted_chance(0, 3, 1.0), round(predicted_chance(1, 0, 1.0), 3)
    (1.0, 0.293)
    """
    from scipy.stats import nbinom

    return float(nbinom.sf(count - 1, past + PRIOR, 1 / (1 + exposure)))


def _groups(vectors: Vectors, leaders: Vectors) -> Integers:
    """int64[n]: the nearest leader's number; NO_GROUP where none says nearly the same."""
    similarity, rows = nearest(vectors, leaders, 1)
    return np.where(similarity[:, 0] >= SIMILARITY, rows[:, 0], NO_GROUP)


def _chance(
    now: Sequence[Post], before: Sequence[Post], all_now: int, all_before: int
) -> tuple[float, float]:
    """The chance of so many senders, and how many times the expected they are.

    The leader was chosen for being there, so it proves nothing and does not count.
    """
    count, past = senders(now) - 1, senders(before)
    if count + 1 < FEWEST_SENDERS:
        return 1.0, 0.0
    exposure = all_now / all_before
    return predicted_chance(count, past, exposure), count / ((past + PRIOR) * exposure)


def _posts(posts: Sequence[Post], chosen: NDArray[np.bool_]) -> list[Post]:
    return [post for post, kept in zip(posts, chosen.tolist(), strict=True) if kept]


def _growth(
    groups: Sequence[int],
    now: Sequence[Post],
    before: Sequence[Post],
    of_now: Integers,
    of_before: Integers,
    vectors: Vectors,
) -> Growth:
    rows_now = np.flatnonzero(np.isin(of_now, groups))
    rows_before = np.flatnonzero(np.isin(of_before, groups))
    own = _posts(now, np.isin(of_now, groups))
    past = _posts(before, np.isin(of_before, groups))
    exposure = senders(now) / senders(before)
    centre = vectors[rows_now].sum(axis=0)
    return Growth(
        rows_now, rows_before, senders(own), (senders(past) + PRIOR) * exposure,
        predicted_chance(senders(own) - len(groups), senders(past), exposure),
        (centre / np.linalg.norm(centre)).astype(np.float32),
    )  # fmt: skip

"""Daily histories of accounts, real and simulated, into which an effect of actions is planted.

The real ones are how often 327 accounts of the Internet Research Agency tweeted on each day of
October 2016 (Linvill & Warren 2020, "Troll factories"): real bursts, pauses and common moves of
accounts that one house directed, so a hard case for any comparison. The simulated ones are gamma
levels with a weekly season and a log-normal AR(1) of one's own. Actions against them are simulated
in both: whom they hit, and that they leave out a share of what they would have done.
"""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from data_contracts.config import Data
from evaluation.metrics import Floats
from evaluation.monitoring.engagement_matching import NEVER, Histories, Windows, strata_of
from pipelines.catalogue import collection

TROLLS, FILE = "graph_russian_troll_tweets", "tweets_2016-10.csv.gz"
DAYS = 31
SIMULATED = 1_500
LEVEL = (0.8, 4.0)  # shape and mean of the gamma: activities a day
PERSISTENCE, SPREAD = 0.6, 0.5  # of the logarithm of one's own moves, from day to day
WEEK = 0.25  # amplitude of the weekly season
DIP_DAY, DIP = 18, 0.7  # from then on everybody does so much of what they did


@dataclass(frozen=True)
class Source:
    """`counts` float64[n, DAYS]: what each account did each day; `strata` its language."""

    name: str
    counts: Floats
    strata: np.ndarray


@dataclass(frozen=True)
class Scenario:
    """`by_posts`: the more an account posts that day, the likelier it is acted on. `dip`: a change
    of everybody's activity in the middle of the period.
    """

    loss: float
    by_posts: bool
    dip: bool

    @property
    def name(self) -> str:
        chosen = "by posts" if self.by_posts else "by chance"
        return f"loss {self.loss:.0%}, {chosen}" + (", common dip" if self.dip else "")


def real(data: Data) -> Source:
    """MissingPart where the collection is absent."""
    counted: dict[str, Counter[int]] = {}
    language: dict[str, str] = {}
    path = collection(TROLLS, data).paths[FILE]
    with gzip.open(path, "rt", encoding="utf-8", newline="") as text:
        for row in csv.DictReader(text):
            day = datetime.fromisoformat(row["publish_date"]).day - 1
            counted.setdefault(row["author_id"], Counter())[day] += 1
            language.setdefault(row["author_id"], row["language"])
    names = sorted(counted)
    counts = np.array([[counted[name][day] for day in range(DAYS)] for name in names], np.float64)
    return Source("real (trolls, 2016-10)", counts, strata_of([language[name] for name in names]))


def simulated(rng: np.random.Generator) -> Source:
    shape, mean = LEVEL
    level = rng.gamma(shape, mean / shape, SIMULATED)
    moves = np.zeros((SIMULATED, DAYS))
    moves[:, 0] = rng.normal(0, SPREAD, SIMULATED)
    for day in range(1, DAYS):
        fresh = rng.normal(0, SPREAD * np.sqrt(1 - PERSISTENCE**2), SIMULATED)
        moves[:, day] = PERSISTENCE * moves[:, day - 1] + fresh
    season = 1 + WEEK * np.sin(2 * np.pi * np.arange(DAYS) / 7)
    counts = rng.poisson(level[:, None] * season * np.exp(moves - SPREAD**2 / 2))
    return Source("simulated", counts.astype(np.float64), rng.integers(0, 3, SIMULATED))


def planted(
    source: Source, scenario: Scenario, acted: int, windows: Windows, rng: np.random.Generator
) -> Histories:
    """`acted` accounts are acted on, each on a day on which it posted, and do `loss` less after it.

    Every activity is left out with that chance, so the true relative effect is -`loss`.
    """
    counts = source.counts.copy()
    if scenario.dip:
        counts[:, DIP_DAY:] = rng.binomial(counts[:, DIP_DAY:].astype(np.int64), DIP)
    activity, acted_on = counts.copy(), np.full(len(counts), NEVER)
    for _ in range(acted):
        day = int(rng.integers(windows.before, DAYS - windows.after))
        pool = np.flatnonzero((counts[:, day] > 0) & (acted_on == NEVER))
        weights = counts[pool, day] if scenario.by_posts else np.ones(len(pool))
        account = int(rng.choice(pool, p=weights / weights.sum()))
        acted_on[account] = day
        after = counts[account, day + 1 :].astype(np.int64)
        activity[account, day + 1 :] = rng.binomial(after, 1 - scenario.loss)
    unknown_age = np.full(len(counts), np.nan)
    return Histories(activity, counts, source.strata, unknown_age, acted_on, acted_on == NEVER)

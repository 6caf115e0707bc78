"""Made days with a known truth: a filter that blocks, an audit, a second arm, labels that are late.

Scores are normal: ham around 0, spam around `separation`; the filter acts from `threshold` on.
A day ends, a uniform audit draws `draws` of its events, another arm takes the `chosen` events
nearest to the threshold that the audit left, and every label takes an exponential time whose mean
depends on what the filter did. The estimate is made when the last day is over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from evaluation.audit import Draws, estimate_quality
from evaluation.metrics import Booleans, Estimate, Floats, wilson

FIGURES = ("precision", "recall", "false_positive_rate", "prevalence")


@dataclass(frozen=True)
class Scenario:
    """Rates are shares, delays mean days. `campaign`: prevalence and separation of the last two
    days. `clear_delay`: of events that scored 1 or more above the threshold.
    """

    name: str
    prevalence: float = 0.03
    separation: float = 3.6
    threshold: float = 2.33  # one ham in a hundred
    days: int = 7
    events: int = 20_000
    draws: int = 500
    chosen: int = 500
    passed_delay: float = 0.3
    acted_delay: float = 1.0
    clear_delay: float | None = None
    campaign: tuple[float, float] | None = None


SCENARIOS = (
    Scenario("steady"),
    Scenario("slow reviews of blocked events", separation=3.0, acted_delay=5.0),
    Scenario("campaign in the last two days", prevalence=0.02, campaign=(0.08, 2.0),
             acted_delay=1.5),
    Scenario("clear blocks are reviewed last", prevalence=0.04, clear_delay=8.0),
    Scenario("few positives", prevalence=0.01, draws=300, chosen=300),
)  # fmt: skip


@dataclass(frozen=True)
class Day:
    """Events of one day, bool or float64[n], and the rows that each arm took, int64[k]."""

    scores: Floats
    is_spam: Booleans
    positive: Booleans
    labelled: Booleans
    audited: np.ndarray
    chosen: np.ndarray


def simulate(scenario: Scenario, rng: np.random.Generator) -> list[Day]:
    """The days of one run."""
    return [_day(scenario, number, rng) for number in range(scenario.days)]


def truth(days: list[Day]) -> dict[str, float]:
    """The figures over all events of all days."""
    spam = np.concatenate([day.is_spam for day in days])
    positive = np.concatenate([day.positive for day in days])
    return {
        "precision": float(spam[positive].mean()),
        "recall": float(positive[spam].mean()),
        "false_positive_rate": float(positive[~spam].mean()),
        "prevalence": float(spam.mean()),
    }


Estimates = Mapping[str, Estimate | None]


def weighted(scenario: Scenario, days: list[Day]) -> Estimates:
    """What Weir says: audit draws, by chance and response."""
    drawn = [_drawn(scenario, str(number), day) for number, day in enumerate(days)]
    columns = zip(*drawn, strict=True)
    found = estimate_quality(Draws(*(np.concatenate(column) for column in columns)))
    return {name: getattr(found, name).estimate for name in FIGURES}


def complete_audit(scenario: Scenario, days: list[Day]) -> Estimates:
    """The audit labels that are there, as if none were missing."""
    return _plain([day.audited for day in days], days)


def naive(scenario: Scenario, days: list[Day]) -> Estimates:
    """All labels that are there, of all arms, each counted once."""
    return _plain([np.append(day.audited, day.chosen) for day in days], days)


METHODS: Mapping[str, Callable[[Scenario, list[Day]], Estimates]] = {
    "weighted audit": weighted,
    "audit labels, unweighted": complete_audit,
    "all labels, unweighted": naive,
}


def _day(scenario: Scenario, number: int, rng: np.random.Generator) -> Day:
    prevalence, separation = scenario.prevalence, scenario.separation
    if scenario.campaign is not None and number >= scenario.days - 2:
        prevalence, separation = scenario.campaign
    size = scenario.events if number % 7 < 5 else scenario.events // 2  # a weekend is quiet
    is_spam = rng.random(size) < prevalence
    scores = rng.normal(0.0, 1.0, size) + separation * is_spam
    positive = scores >= scenario.threshold
    audited = rng.choice(size, scenario.draws, replace=False)
    nearness = -np.abs(scores - scenario.threshold)
    nearness[audited] = -np.inf
    chosen = np.argpartition(-nearness, scenario.chosen)[: scenario.chosen]
    delay = np.where(positive, scenario.acted_delay, scenario.passed_delay)
    if scenario.clear_delay is not None:
        delay[_bands(scenario, scores) == 1] = scenario.clear_delay
    labelled = rng.exponential(delay) < scenario.days - number - 0.5
    return Day(scores, is_spam, positive, labelled, audited, chosen)


def _drawn(scenario: Scenario, name: str, day: Day) -> tuple[np.ndarray, ...]:
    """The columns of `Draws` for one day."""
    rows = day.audited
    chances = np.full(len(rows), len(rows) / len(day.scores))
    return (
        np.full(len(rows), name), day.positive[rows], chances, day.labelled[rows],
        day.is_spam[rows], _bands(scenario, day.scores[rows]),
    )  # fmt: skip


def _bands(scenario: Scenario, scores: Floats) -> np.ndarray:
    """1 where labels are later for a reason that the score shows."""
    if scenario.clear_delay is None:
        return np.zeros(len(scores), np.int64)
    return (scores >= scenario.threshold + 1).astype(np.int64)


def _plain(rows: list[np.ndarray], days: list[Day]) -> Estimates:
    labelled = np.concatenate([day.labelled[r] for day, r in zip(days, rows, strict=True)])
    spam, positive = (
        np.concatenate([column[r] for column, r in zip(columns, rows, strict=True)])[labelled]
        for columns in ([day.is_spam for day in days], [day.positive for day in days])
    )
    return {
        "precision": _share(spam, positive),
        "recall": _share(positive, spam),
        "false_positive_rate": _share(positive, ~spam),
        "prevalence": _share(spam, np.ones_like(spam)),
    }


def _share(hits: Booleans, among: Booleans) -> Estimate | None:
    size = int(among.sum())
    return wilson(int((hits & among).sum()), size) if size else None

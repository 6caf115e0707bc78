"""The daily step that chooses what people should look at, and puts it into the label queue.

Each arm's part of the budget follows from what its labels were worth so far; the audit's is
fixed, and grows by the parts of arms that have nothing to judge. The same day, seed, events and
scores choose the same tasks; a day is sampled once, when it is over.

A day that is not over is never pending. By its name it is sampled so far, as often as somebody
asks: its newest events are taken in, and the time-sensitive arm chooses of what nobody was given.
That draw says nothing of the whole day, so the day stays pending.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.config import Labelling, Settings
from data_contracts.errors import ConfigurationError
from pipelines import lake
from pipelines.days import days_to_do, is_unfinished
from pipelines.known_campaigns import KnownCampaigns, centres, registry_of
from pipelines.labelling.allocation import (
    AUDIT,
    Allocation,
    Worth,
    allocate,
    evasions_found,
    measure_worth,
)
from pipelines.labelling.double_labelling import answers_wanted
from pipelines.labelling.event_features import FrozenEncoder
from pipelines.labelling.gold_questions import gold_tasks
from pipelines.labelling.pool import DayPool, PoolMaker
from pipelines.labelling.queue import KnownAnswer, NewTask, open_label_queue
from pipelines.labelling.samplers import Pool, Portfolio, Sampler, Selection, sampler_named
from pipelines.labelling.samplers.base import Vectors
from pipelines.labelling.samplers.interleaved import Interleaved
from pipelines.labelling.samplers.ranked import Ranked
from pipelines.labelling.samplers.temporal import (
    HALF_LIFE_HOURS,
    half_life_hours,
    population_stability_index,
    time_sensitive,
)
from pipelines.labelling.samplers.wrappers import OneACampaign
from pipelines.scoring import GatewayScorer
from pipelines.single_thread import single_thread

LIKE = 0.5  # cosine to a campaign's centre, from which a post may be one of it
LATELY = timedelta(days=1)  # a campaign that nobody saw for longer needs no sample of its own
CAMPAIGN = OneACampaign(Ranked("campaign", "campaign_similarity"))
FEWEST_SCORES = 100  # on each side, before a distance between two days of scores says anything


@dataclass(frozen=True)
class DaySample:
    """What was chosen of one day, and all that led to it.

    `drift` is the population stability index of the day's scores, None with too few to tell.
    """

    day: str
    selection: Selection
    made: DayPool
    allocation: Allocation
    worth: Mapping[str, Worth]
    drift: float | None
    half_life_hours: float
    wanted: int

    @property
    def reason(self) -> str:
        """In one line: how the budget was divided, and what was missing."""
        counts = Counter(draw.arm for draw in self.selection.draws)
        parts = [", ".join(f"{arm} {n}" for arm, n in counts.items())]
        size = len(self.selection.draws)
        if size < self.wanted:
            parts.append(f"the day has only {size} events for a budget of {self.wanted}")
        idle = [arm for arm, share in self.allocation.shares.items() if not share]
        if idle:
            parts.append(f"the audit has the part of {', '.join(idle)}, which can judge no event")
        return "; ".join([*parts, *self.made.gaps])


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """`python -m pipelines sample`: every pending day, or one; a day is sampled once."""
    from pipelines.labelling import sample_report

    labelling = settings.labelling
    if arguments.budget is not None:
        labelling = labelling.model_copy(update={"budget": _checked(arguments.budget)})
    queue = open_label_queue(settings.state_url, labelling.lease_seconds)
    so_far = is_unfinished(arguments.day)
    if so_far:
        _take_in(arguments.day, settings)
    sampled_days = {day for day in queue.progress() if AUDIT in queue.sampled(day)}
    days = days_to_do(
        arguments.day,
        lake.days(settings.lake, "events"),
        lambda day: day in sampled_days or is_unfinished(day) or _is_empty(settings.lake, day),
        where=f"{settings.lake}/events",
    )
    sampled: Counter[str] = Counter()
    size, shares, reasons = 0, {}, []
    encoder = FrozenEncoder(settings.data, settings.cache)
    seen = KnownCampaigns(registry_of(settings.home), encoder.version)
    campaigns = centres(seen.seen_since(datetime.now(UTC) - LATELY))
    with GatewayScorer(settings.serving) as scorer:
        maker = PoolMaker(settings.lake, settings.cache / "sampling", labelling, scorer, encoder)
        for day in days:
            if day not in sampled_days:
                given = queue.events(day)
                sample = (
                    sample_so_far(maker, day, given, campaigns)
                    if so_far
                    else sample_day(maker, day)
                )
                tasks = new_tasks(sample, labelling, queue.known_answers(day))
                queue.enqueue(tasks, datetime.now(UTC))
                sample_report.write(sample, tasks, queue, settings.reports)
                shares[day] = {arm: round(s, 4) for arm, s in sample.allocation.shares.items()}
                reasons.append(f"{day}: {sample.reason}")
            else:
                reasons.append(f"{day}: sampled before")
            sampled.update(queue.sampled(day))
            size += lake.read(settings.lake, "events", [day], ["event_id"]).num_rows
    return {
        "days": days,
        "sampled": dict(sampled),
        "pool": size,
        "shares": shares,
        "reason": " | ".join(reasons),
        "report": str(sample_report.page_of(settings.reports, days[-1])),
    }


def sample_day(maker: PoolMaker, day: str) -> DaySample:
    """Choose `labelling.budget` events of a day, or all where it has fewer; nothing is enqueued.

    Raises ConfigurationError for an arm that is no sampler.
    """
    labelling = maker.labelling
    arms = named_arms(labelling)
    made = maker.make(day)
    with single_thread():
        worth = measure_worth(made.history.by_arm, day_rng(day, labelling.seed, "worth"))
    drift = _drift(made)
    half_life = HALF_LIFE_HOURS if drift is None else half_life_hours(drift)
    if "time_sensitive" in arms:
        arms["time_sensitive"] = time_sensitive(half_life)
    finds = evasions_found(made.history.by_arm)
    divided = allocate(*prior_and_floors(labelling), worth, finds)
    allocation = without_idle(divided, arms, made.pool)
    portfolio = Portfolio(arms, allocation.shares)
    budget = min(labelling.budget, len(made.pool))
    selection = portfolio.select(made.pool, budget, day_rng(day, labelling.seed, "choice"))
    return DaySample(day, selection, made, allocation, worth, drift, half_life, labelling.budget)


def sample_so_far(
    maker: PoolMaker, day: str, given: Collection[str], campaigns: Vectors
) -> DaySample:
    """The budget's worth of what is new in a day that is not over, less what was `given` before.

    `campaigns: float32[n, d]` are the centres of those that monitoring sees: a fifth and more of
    the budget is for posts like theirs.

    No audit: an event's chance in a part of the day is none of the day's.
    """
    quick = maker.labelling.model_copy(update={"flip_candidates": 0})  # no arm here ranks by them
    made = replace(maker, labelling=quick).make(day)
    pool = like_campaigns(made.pool.without(sorted(given)), campaigns)
    arm = Interleaved("time_sensitive", (CAMPAIGN, *time_sensitive().parts))
    budget = min(maker.labelling.budget, len(arm.eligible(pool)))
    selection = arm.select(pool, budget, day_rng(day, maker.labelling.seed, f"so far {len(given)}"))
    because = "the day is not over: what is new in it so far"
    allocation = Allocation({arm.name: 1.0}, {arm.name: because})
    wanted = maker.labelling.budget
    return DaySample(day, selection, made, allocation, {}, None, HALF_LIFE_HOURS, wanted)


def like_campaigns(pool: Pool, campaigns: Vectors) -> Pool:
    """The pool with `campaign_similarity`: the cosine to the nearest centre; null below LIKE."""
    values = np.full(len(pool), np.nan)
    known = np.flatnonzero(pc.is_valid(pool.table["embedding"]).to_numpy())
    if len(campaigns) and len(known):
        values[known] = (pool.embedded().embeddings @ campaigns.T).max(axis=1)
    values[~(values >= LIKE)] = np.nan
    column = pa.array(values, pa.float64(), mask=np.isnan(values))
    return replace(pool, table=pool.table.append_column("campaign_similarity", column))


def new_tasks(
    sample: DaySample, labelling: Labelling, known: Sequence[KnownAnswer]
) -> list[NewTask]:
    """A task of every draw with what the filter thought of it, and gold questions among them.

    No task is marked sensitive: nothing in an event or a verdict says that it is, yet.
    """
    ids = list(sample.selection.event_ids)
    decided = {
        row["event_id"]: row
        for row in sample.made.decided.select(
            ["event_id", "score", "model_version", "reasons"]
        ).to_pylist()
        if row["event_id"] in set(ids)
    }
    unknown = {"score": None, "model_version": None, "reasons": ()}
    tasks = []
    for draw in sample.selection.draws:
        row = decided.get(draw.event_id, unknown)
        tasks.append(
            NewTask(
                draw=draw,
                day=sample.day,
                score=row["score"],
                model_version=row["model_version"],
                reasons=tuple(row["reasons"]),
                answers_wanted=answers_wanted(
                    labelling.seed, draw.event_id, labelling.double_label_share
                ),
            )
        )
    rng = day_rng(sample.day, labelling.seed, "gold")
    return gold_tasks(tasks, known, labelling.gold_share, rng)


def _take_in(day: str, settings: Settings) -> None:
    """What landed or was decided on the day so far, held to the contract and to its expectations.

    Raises BadInput where a critical expectation fails: nobody is shown what may be broken.
    """
    from pipelines import ingestion, validation

    ingestion.run(argparse.Namespace(day=day), settings)
    validation.run(argparse.Namespace(day=day), settings)


def named_arms(labelling: Labelling) -> dict[str, Sampler]:
    """The samplers of `labelling.arms`; ConfigurationError that names the key of one unknown."""
    arms = {}
    for name in labelling.arms:
        try:
            arms[name] = sampler_named(name)
        except ValueError as error:
            raise ConfigurationError(f"labelling.arms.{name}: {error}") from None
    return arms


def prior_and_floors(labelling: Labelling) -> tuple[dict[str, float], dict[str, float]]:
    """Shares of the whole budget by arm, the audit's among them; and the other arms' floors."""
    rest = 1.0 - labelling.audit_share
    prior = {name: rest * arm.share for name, arm in labelling.arms.items()}
    floors = {name: arm.floor for name, arm in labelling.arms.items()}
    return {AUDIT: labelling.audit_share, **prior}, floors


def without_idle(allocation: Allocation, arms: Mapping[str, Sampler], pool: Pool) -> Allocation:
    """The part of an arm that can judge no event goes to the audit, with the reason.

    Before there is a model nothing is more useful than to know what the traffic is like. What
    is idle follows from the pool alone, so the audit's draw stays uniform.
    """
    idle = [name for name, sampler in arms.items() if not len(sampler.eligible(pool))]
    shares = dict(allocation.shares) | dict.fromkeys(idle, 0.0)
    if not idle:
        return allocation
    inherited = sum(allocation.shares[name] for name in idle)
    shares[AUDIT] += inherited
    because = "no event has what this arm ranks by (a score, an embedding): its part is audited"
    reasons = dict(allocation.reasons) | dict.fromkeys(idle, because)
    reasons[AUDIT] += f"; and {inherited:.0%} of arms that can judge no event"
    return Allocation(shares, reasons)


def day_rng(day: str, seed: int, purpose: str) -> np.random.Generator:
    """The day's own stream of chance for a purpose: the same when run again."""
    return np.random.default_rng([seed, int(day.replace("-", "")), *purpose.encode()])


def _drift(made: DayPool) -> float | None:
    now = made.decided["score"].to_numpy()
    if min(len(now), len(made.before)) < FEWEST_SCORES:
        return None
    return population_stability_index(now, made.before)


def _is_empty(folder: Path, day: str) -> bool:
    return int(lake.read(folder, "events", [day], ["event_id"]).num_rows) == 0


def _checked(budget: int) -> int:
    if budget < 1:
        raise ConfigurationError(f"--budget {budget} must be at least 1")
    return budget

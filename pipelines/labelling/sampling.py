"""The daily step that chooses what people should look at, and puts it into the label queue.

The pool is every event of the day, whatever the filter did with it. Scores come from the day's
verdicts, else from a `Scorer`; where no model answers, the whole budget goes to the audit arm.
The same day, seed, events and scores choose the same tasks.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.config import Labelling, Settings
from data_contracts.errors import BadInput, ConfigurationError, ServiceUnavailable
from data_contracts.protocols import Scorer
from pipelines import lake
from pipelines.days import days_to_do
from pipelines.labelling.queue import LabelQueue, NewTask, open_label_queue
from pipelines.labelling.samplers import Pool, Portfolio, Selection, sampler_named
from pipelines.scoring import GatewayScorer

DECISION = ["event_id", "score", "action", "model_version"]
UNKNOWN_THRESHOLD = 0.5


@dataclass(frozen=True)
class DaySample:
    """What was chosen of one day, from how many events, and why it was divided so."""

    selection: Selection
    pool: Pool
    reason: str


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """`python -m pipelines sample`: every pending day, or one; a day is sampled once."""
    labelling = settings.labelling
    if arguments.budget is not None:
        labelling = labelling.model_copy(update={"budget": _checked(arguments.budget)})
    queue = open_label_queue(settings.state_url, labelling.lease_seconds)
    sampled_days = queue.progress().keys()
    days = days_to_do(
        arguments.day,
        lake.days(settings.lake, "events"),
        lambda day: day in sampled_days or _is_empty(settings.lake, day),
        where=f"{settings.lake}/events",
    )
    sampled: Counter[str] = Counter()
    size, reasons = 0, []
    with GatewayScorer(settings.serving) as scorer:
        for day in days:
            if day not in sampled_days:
                sample = sample_day(settings.lake, day, labelling, scorer)
                enqueue(queue, day, sample, datetime.now(UTC))
                reasons.append(f"{day}: {sample.reason}")
            else:
                reasons.append(f"{day}: sampled before")
            sampled.update(queue.sampled(day))
            size += lake.read(settings.lake, "events", [day]).num_rows
    return {"days": days, "sampled": dict(sampled), "pool": size, "reason": "; ".join(reasons)}


def sample_day(folder: Path, day: str, labelling: Labelling, scorer: Scorer) -> DaySample:
    """Choose `labelling.budget` events of a day of the lake `folder`, or all where it has fewer.

    Raises ConfigurationError for a sampler that does not exist or an audit share of 0.
    """
    try:
        chooser = {labelling.sampler: sampler_named(labelling.sampler)}
        share = labelling.audit_share
        portfolio = Portfolio(chooser, {"audit": share, labelling.sampler: 1.0 - share})
    except ValueError as error:
        raise ConfigurationError(f"labelling.sampler or labelling.audit_share: {error}") from None
    events = lake.read(folder, "events", [day])
    stored = current_decisions(lake.read(folder, "verdicts", [day]))
    decisions, gap = _completed(stored, events, scorer)
    pool = _pool(events, decisions)
    budget = min(labelling.budget, len(pool))
    selection = portfolio.select(pool, budget, day_rng(day, labelling.seed))
    return DaySample(selection, pool, _reason(portfolio, pool, labelling.budget, gap))


def enqueue(queue: LabelQueue, day: str, sample: DaySample, now: datetime) -> int:
    """Make a task of every draw, with the score that it was drawn by; how many were new."""
    scored = sample.pool.table.select(["event_id", "score", "model_version"]).to_pylist()
    by_event = {row["event_id"]: row for row in scored}
    tasks = [
        NewTask(
            draw=draw,
            day=day,
            score=by_event[draw.event_id]["score"],
            model_version=by_event[draw.event_id]["model_version"],
        )
        for draw in sample.selection.draws
    ]
    return queue.enqueue(tasks, now)


def day_rng(day: str, seed: int) -> np.random.Generator:
    """The day's own stream of chance: independent between days, the same when run again."""
    return np.random.default_rng([seed, int(day.replace("-", ""))])


def current_decisions(verdicts: pa.Table) -> pa.Table:
    """One row an event: its highest revision, then its latest; mirrored rows never count.

    `verdicts` has the columns of `data_contracts.tables.VERDICTS`; the result those of DECISION.
    """
    live = verdicts.filter(
        pc.and_(pc.invert(verdicts["mirrored"]), pc.not_equal(verdicts["arm"], "shadow"))
    )
    ordered = live.sort_by(
        [
            ("event_id", "ascending"),
            ("revision", "descending"),
            ("decided_at", "descending"),
            ("model_version", "descending"),
            ("arm", "descending"),
        ]
    )
    firsts = ordered.group_by("event_id", use_threads=False).aggregate(
        [(name, "first") for name in DECISION[1:]]
    )
    return firsts.rename_columns(
        {f"{name}_first": name for name in DECISION[1:]} | {"event_id": "event_id"}
    ).select(DECISION)


def operating_threshold(scores: NDArray[np.float64], acted: NDArray[np.bool_]) -> float:
    """The score from which the filter acts, read off its own decisions: float64[n], bool[n].

    It is the score that parts acted-on from allowed events with the fewest exceptions;
    UNKNOWN_THRESHOLD where the filter acted on nothing.

    >>> operating_threshold(np.array([0.1, 0.4, 0.8, 0.9]), np.array([False, False, True, True]))
    0.8
    """
    if not acted.any():
        return UNKNOWN_THRESHOLD
    order = np.argsort(scores, kind="stable")
    ranked, positive = scores[order], acted[order]
    first = np.searchsorted(ranked, ranked, side="left")  # from here on, `score >= ranked[i]`
    acted_below = np.concatenate([[0], np.cumsum(positive)])[first]
    allowed_above = np.concatenate([np.cumsum(~positive[::-1])[::-1], [0]])[first]
    return float(ranked[int(np.argmin(acted_below + allowed_above))])


def _completed(stored: pa.Table, events: pa.Table, scorer: Scorer) -> tuple[pa.Table, str | None]:
    """Decisions for all events: stored, then fresh; and why some are missing, if some are."""
    unscored = events.filter(pc.invert(pc.is_in(events["event_id"], stored["event_id"])))
    if not unscored.num_rows:
        return stored, None
    try:
        fresh = scorer.score([lake.event_of(row) for row in unscored.to_pylist()])
    except (ServiceUnavailable, BadInput) as error:  # a day is never left without its audit
        because = "was refused" if isinstance(error, BadInput) else "found no champion"
        return stored, f"{unscored.num_rows} events have no score: scoring {because} ({error})"
    rows = [{name: getattr(verdict, name) for name in DECISION} for verdict in fresh]
    return pa.concat_tables([stored, pa.Table.from_pylist(rows, schema=stored.schema)]), None


def _pool(events: pa.Table, decisions: pa.Table) -> Pool:
    scores = decisions["score"].to_numpy()
    acted = pc.not_equal(decisions["action"], "allow").to_numpy()
    rows = events.select(["event_id"]).join(decisions, "event_id", join_type="left outer")
    return Pool.of(rows, operating_threshold(scores, acted))


def _reason(portfolio: Portfolio, pool: Pool, wanted: int, gap: str | None) -> str:
    budget = min(wanted, len(pool))
    audited = portfolio.sizes(pool, budget)["audit"]
    short = f"the day has only {len(pool)} events for a budget of {wanted}"
    said = [short] if len(pool) < wanted else []
    said += [gap] if gap is not None else []
    if audited == budget:
        return ", ".join(["all to audit", *said])
    return ", ".join([f"{audited} to audit, the rest near threshold {pool.threshold:g}", *said])


def _is_empty(folder: Path, day: str) -> bool:
    return int(lake.read(folder, "events", [day]).num_rows) == 0


def _checked(budget: int) -> int:
    if budget < 1:
        raise ConfigurationError(f"--budget {budget} must be at least 1")
    return budget

"""What false negatives do: how often people saw, and reported, spam that was let through.

The audit draws among what was let through, so each spam it found stands for as many as its chance
and the labels still awaited say (`evaluation.audit`). The activity log says who viewed whom and not
which post: a view or report counts for the account's latest post before it, within a day.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.verdicts import ACTIONS
from evaluation.audit import Draws
from evaluation.metrics import CONFIDENCE, Estimate, Floats
from evaluation.monitoring.business_histories import read_actions
from evaluation.monitoring.confusion import response_weights
from pipelines import lake
from pipelines.labelling.draws import AuditDraw

WITHIN = timedelta(days=1)
SEEN = ("view", "report")
FEWEST_SPAM = 5  # found among what was let through, for any interval
ROUNDS = 2_000
Times = Mapping[str, Sequence[datetime]]  # account: when


@dataclass(frozen=True)
class Exposure:
    """Of the days: views and reports of let-through spam, estimated, and all of them, counted.

    `share` is spam's share of all views. `spam` labels were found among `labels` of what was let
    through; without enough of them there is no estimate.
    """

    days: tuple[str, ...]
    labels: int
    spam: int
    all_views: int
    all_reports: int
    views: Estimate | None = None
    reports: Estimate | None = None
    share: Estimate | None = None


@dataclass(frozen=True)
class _Passed:
    """A labelled draw that was let through: how much it weighs, who posted it and when."""

    weight: float
    is_spam: bool
    account: str | None
    at: datetime


def exposure(
    lake_folder: Path,
    days: Sequence[str],
    drawn: Iterable[AuditDraw],
    minimum: int,
    rng: np.random.Generator,
) -> Exposure | None:
    """None where the lake knows no activity of any of these days."""
    known = set(lake.days(lake_folder, "actions"))
    covered = [day for day in days if day in known]
    if not covered:
        return None
    draws = [one for one in drawn if one.day in set(covered)]
    passed = _passed(lake_folder, covered, draws)
    accounts = {one.account for one in passed if one.is_spam and one.account}
    seen, totals = _seen(lake_folder, covered, accounts)
    posts = _posts(lake_folder, covered, accounts)
    spam = sum(one.is_spam for one in passed)
    counts = tuple(covered), len(passed), spam, totals["view"], totals["report"]
    if len(passed) < minimum or spam < FEWEST_SPAM:
        return Exposure(*counts)
    views, reports = (
        np.array([one.weight * _times_seen(one, posts, seen[kind]) for one in passed])
        for kind in SEEN
    )
    total = _total(views, rng)
    every = totals["view"]
    share = Estimate(*(min(1.0, v / every) for v in (total.value, total.low, total.high)))
    return Exposure(*counts, total, _total(reports, rng), share if every else None)


def _passed(lake_folder: Path, days: Sequence[str], drawn: Sequence[AuditDraw]) -> list[_Passed]:
    """Labelled draws that were let through, weighed for those that still wait for a label."""
    columns = ["event_id", "label", "inclusion_probability", "observed_at"]
    labels = {
        row["event_id"]: row
        for row in lake.read(lake_folder, "labels", days, columns)
        .sort_by("observed_at")
        .to_pylist()
        if row["inclusion_probability"]
    }
    chances = {one.event_id: one.inclusion_probability for one in drawn}
    chances = {event: row["inclusion_probability"] for event, row in labels.items()} | chances
    rows = [
        (event, day, action)
        for day in days
        for event, action in _actions_on(lake_folder, day, chances).items()
    ]
    if not rows:
        return []
    draws = Draws(
        days=np.array([day for _, day, _ in rows], dtype=np.str_),
        positive=np.array([action != "allow" for _, _, action in rows], bool),
        chances=np.array([chances[event] for event, _, _ in rows], np.float64),
        labelled=np.array([event in labels for event, _, _ in rows], bool),
        is_spam=np.array(
            [event in labels and labels[event]["label"] == "spam" for event, _, _ in rows], bool
        ),
        bands=np.array([ACTIONS.index(action) for _, _, action in rows], np.int64),
    )
    weights = response_weights(draws)
    about = _about(lake_folder, days, [event for event, _, _ in rows])
    return [
        _Passed(float(weights[at]), bool(draws.is_spam[at]), *about[event])
        for at, (event, _, _) in enumerate(rows)
        if not draws.positive[at] and draws.labelled[at] and event in about
    ]


def _actions_on(lake_folder: Path, day: str, wanted: Mapping[str, float]) -> dict[str, str]:
    """The last revision's action on each wanted event of a day; mirrored rows never count."""
    table = lake.read(
        lake_folder, "verdicts", [day], ["event_id", "revision", "action", "mirrored"]
    )
    table = table.filter(pc.is_in(table["event_id"], pa.array(list(wanted), pa.string())))
    rows = table.filter(pc.invert(table["mirrored"])).sort_by("revision").to_pylist()
    return {row["event_id"]: row["action"] for row in rows}


def _about(
    lake_folder: Path, days: Sequence[str], events: Sequence[str]
) -> dict[str, tuple[str | None, datetime]]:
    table = lake.read(lake_folder, "events", days, ["event_id", "account_hash", "occurred_at"])
    chosen = table.filter(pc.is_in(table["event_id"], pa.array(events, pa.string()))).to_pylist()
    return {row["event_id"]: (row["account_hash"], row["occurred_at"]) for row in chosen}


def _posts(lake_folder: Path, days: Sequence[str], accounts: set[str]) -> Times:
    """When each of the accounts posted, in order."""
    found: dict[str, list[datetime]] = defaultdict(list)
    for day in days:
        table = lake.read(lake_folder, "events", [day], ["account_hash", "occurred_at"])
        wanted = pc.is_in(table["account_hash"], pa.array(sorted(accounts), pa.string()))
        for row in table.filter(wanted).to_pylist():
            found[row["account_hash"]].append(row["occurred_at"])
    return {account: sorted(times) for account, times in found.items()}


def _seen(
    lake_folder: Path, days: Sequence[str], accounts: set[str]
) -> tuple[dict[str, Times], dict[str, int]]:
    """By kind: when each of the accounts was seen, in order; and how often anybody was."""
    found: dict[str, dict[str, list[datetime]]] = {kind: defaultdict(list) for kind in SEEN}
    totals = dict.fromkeys(SEEN, 0)
    for day in days:
        for batch in read_actions(lake_folder, day, ["kind", "target", "at"]):
            for kind in SEEN:
                of_kind = batch.filter(pc.equal(batch["kind"], kind))
                totals[kind] += of_kind.num_rows
                wanted = pc.is_in(of_kind["target"], pa.array(sorted(accounts), pa.string()))
                for row in of_kind.filter(wanted).to_pylist():
                    found[kind][row["target"]].append(row["at"])
    return {
        kind: {account: sorted(times) for account, times in by.items()}
        for kind, by in found.items()
    }, totals


def _times_seen(post: _Passed, posts: Times, seen: Times) -> int:
    """How often its account was seen between this post and its next one, within a day."""
    if not post.is_spam or post.account is None:
        return 0
    until = post.at + WITHIN
    own = posts.get(post.account, ())
    after = bisect_right(own, post.at)
    if after < len(own):
        until = min(until, own[after])
    times = seen.get(post.account, ())
    return bisect_right(times, until) - bisect_right(times, post.at)


def _total(weighted: Floats, rng: np.random.Generator) -> Estimate:
    """The sum with its percentile interval, a bootstrap of draws (Efron & Tibshirani 1993)."""
    drawn = rng.multinomial(len(weighted), np.full(len(weighted), 1 / len(weighted)), ROUNDS)
    sums = drawn @ weighted
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(sums, [tail, 1 - tail])
    return Estimate(float(weighted.sum()), float(low), float(high))

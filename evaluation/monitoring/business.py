"""What the filter does to people and to the platform: the section Business of the hourly report.

What wrongful actions cost in engagement (`engagement`), what spam that gets through reaches
(`business_exposure`), what was enforced, and how appeals ended. What cannot be known is a gap with
its reason, never a zero.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from math import isnan
from typing import Any

import numpy as np
import pyarrow.compute as pc
from sqlalchemy import Engine, func, inspect, select

from data_contracts.alerts import Alert
from data_contracts.config import Business, Settings
from evaluation.metrics import Estimate
from evaluation.monitoring.business_appeals import success
from evaluation.monitoring.business_exposure import Exposure, exposure
from evaluation.monitoring.business_histories import read_histories
from evaluation.monitoring.business_wronged import Wronged, wronged_accounts
from evaluation.monitoring.engagement import Effect, effect
from evaluation.monitoring.engagement_matching import Windows
from pipelines import lake
from pipelines.labelling.appeal_records import AppealLimits
from pipelines.labelling.appeal_tables import APPEALS
from pipelines.labelling.appeals import AppealStore
from pipelines.labelling.draws import audit_draws
from pipelines.state import open_state, reading

SEED = 20_260_105
SHOWN = 12  # values of a dimension, the most frequent
PLACEBO_ROUNDS = 99
PLACEBO = 0.05  # an effect that more of the placebos reach is not told
DECIDED = ("upheld", "overturned")
Enforced = Mapping[str, Counter[str]]


def business_report(
    settings: Settings, now: datetime, hours: float, enforced: Enforced
) -> dict[str, Any]:
    """The section, with `gaps` and `alerts`; `enforced` counts the actions of the window."""
    found_effect, wronged = _engagement(settings)
    found_exposure = _exposure(settings)
    since = now - timedelta(hours=hours)
    limits = settings.monitoring.business
    return {
        "engagement": None if found_effect is None else _effect(found_effect, wronged),
        "exposure": None if found_exposure is None else _seen(found_exposure),
        "enforcement": {
            "by": {name: dict(counts.most_common(SHOWN)) for name, counts in enforced.items()},
            "over_time": _over_time(settings),
        },
        "appeals": _appeals(settings, since, now),
        "gaps": [*_effect_gaps(found_effect), *_exposure_gaps(found_exposure)],
        "alerts": [
            alert.as_record()
            for alert in (
                engagement_alert(found_effect, wronged, limits, now),
                exposure_alert(found_exposure, limits, now),
            )
            if alert is not None
        ],
    }


def engagement_alert(
    found: Effect | None, wronged: Sequence[Wronged], limits: Business, at: datetime
) -> Alert | None:
    """Where wrongful actions surely cost more than `maximum_engagement_loss`, and checks agree.

    A ticket: who was driven away was so days ago, and the release of now need not be the cause.
    """
    loss = limits.maximum_engagement_loss
    if found is None or found.verdict != "estimated" or found.relative is None:
        return None
    by_placebo = found.placebo is not None and found.placebo > PLACEBO
    if found.relative.high >= -loss or by_placebo:
        return None
    share = found.relative
    return Alert(
        name="EngagementLost", severity_hint="ticket", subject={"accounts": "wrongly acted on"},
        value=share.value, expected=0.0, low=share.low, high=share.high, at=at,
        reason=f"{found.matched} accounts that were wrongly acted on do {-share.value:.0%} less "
        f"({-share.high:.0%} to {-share.low:.0%}) than accounts like them, surely more than "
        f"{loss:.0%} less",
        likely_cause=f"wrongful actions, known from {_counted(one.source for one in wronged)}; "
        f"by release {_counted(one.release for one in wronged)}",
    )  # fmt: skip


def exposure_alert(found: Exposure | None, limits: Business, at: datetime) -> Alert | None:
    """Where let-through spam surely has more of all views than `maximum_spam_view_share`."""
    allowed = limits.maximum_spam_view_share
    if found is None or found.share is None or found.share.low <= allowed:
        return None
    share = found.share
    return Alert(
        name="FalseNegativesSeen", severity_hint="ticket", subject={"views": "of spam let through"},
        value=share.value, expected=allowed, low=share.low, high=share.high, at=at,
        reason=f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%}) of all views are of spam "
        f"that was let through, surely more than {allowed:.1%}",
        likely_cause=f"spam that is allowed: {found.spam} of {found.labels} audit labels of what "
        "was let through",
    )  # fmt: skip


def _engagement(settings: Settings) -> tuple[Effect | None, Sequence[Wronged]]:
    limits = settings.monitoring.business
    windows = Windows(limits.matching_days, limits.baseline_days, limits.after_days)
    days = lake.days(settings.lake, "actions")[-limits.history_days :]
    wronged = wronged_accounts(settings.lake, settings.state_url, days) if days else ()
    histories = read_histories(settings.lake, wronged, days) if days else None
    if histories is None:
        return None, ()
    rng = np.random.default_rng(SEED)
    found = effect(
        histories, windows, limits.comparisons, settings.monitoring.minimum_samples, rng,
        PLACEBO_ROUNDS,
    )  # fmt: skip
    return found, wronged


def _exposure(settings: Settings) -> Exposure | None:
    days = lake.days(settings.lake, "verdicts")[-settings.monitoring.quality_days :]
    drawn = audit_draws(settings.state_url, days) if days else []
    rng = np.random.default_rng(SEED)
    return exposure(settings.lake, days, drawn, settings.monitoring.minimum_samples, rng)


def _over_time(settings: Settings) -> list[dict[str, Any]]:
    """Decisions of each of the last days by action, from the lake."""
    found = []
    for day in lake.days(settings.lake, "verdicts")[-settings.monitoring.quality_days :]:
        table = lake.read(settings.lake, "verdicts", [day], ["action", "mirrored"])
        actions = table.filter(pc.invert(table["mirrored"]))["action"]
        counts = {row["values"]: row["counts"] for row in actions.value_counts().to_pylist()}
        found.append({"day": day, "actions": dict(sorted(counts.items()))})
    return found


def _appeals(settings: Settings, since: datetime, now: datetime) -> dict[str, Any] | None:
    """Submitted and decided in the window, and success rates; None where nobody ever appealed."""
    ours = settings.appeals
    engine = open_state(settings.state_url)
    try:
        if not inspect(engine).has_table(APPEALS.name):
            return None
        limits = AppealLimits(
            timedelta(days=ours.window_days), timedelta(hours=ours.review_hours),
            timedelta(hours=ours.lease_hours), ours.per_account_per_day,
        )  # fmt: skip
        decided = AppealStore(engine, limits).closed_since(now - timedelta(days=ours.success_days))
        return _in_window(engine, since, now) | {"success": success(decided).as_record()}
    finally:
        engine.dispose()


def _in_window(engine: Engine, since: datetime, now: datetime) -> dict[str, Any]:
    times = {"submitted": APPEALS.c.submitted_at, "decided": APPEALS.c.closed_at}
    found: dict[str, Any] = {}
    with reading(engine) as connection:
        for name, at in times.items():
            query = select(func.count()).where(at >= since, at < now)
            if name == "decided":
                query = query.where(APPEALS.c.state.in_(DECIDED))
            found[name] = int(connection.scalar(query) or 0)
    return found


def _effect(found: Effect, wronged: Sequence[Wronged]) -> dict[str, Any]:
    """What it rests on stands under `of`, as nowhere a series to watch."""
    shown = {name: _plain(getattr(found, name)) for name in ("relative", "trend")}
    return {
        "verdict": found.verdict, "before": found.before, "change": found.change,
        "placebo": found.placebo, **shown,
        "of": {
            "sources": dict(Counter(one.source for one in wronged).most_common()),
            "releases": dict(Counter(one.release for one in wronged).most_common(SHOWN)),
            "matched": found.matched, "outside_the_days": found.outside,
            "unmatched": found.unmatched,
        },
        "by_day": [[day, None if isnan(gap) else gap] for day, gap in found.by_day],
    }  # fmt: skip


def _seen(found: Exposure) -> dict[str, Any]:
    estimates = {name: _plain(getattr(found, name)) for name in ("views", "reports", "share")}
    counts = {name: getattr(found, name) for name in ("labels", "spam", "all_views", "all_reports")}
    return estimates | {"of": counts, "days": list(found.days)}


def _effect_gaps(found: Effect | None) -> Sequence[str]:
    if found is None:
        return ("the lake has no day of actions, so what wrongful actions cost is unknown",)
    if found.verdict == "not_enough_evidence":
        return (
            f"what wrongful actions cost is unknown: {found.matched} accounts have comparable ones "
            f"and enough days before and after ({found.outside} lack days, {found.unmatched} have "
            "nobody like them)",
        )
    if found.verdict == "trends_differ":
        return (
            "wrongly acted-on accounts moved apart from those like them before they were acted on: "
            "do not believe the effect on engagement",
        )
    return ()


def _exposure_gaps(found: Exposure | None) -> Sequence[str]:
    if found is None:
        return ("the lake has no day of actions, so how often spam was seen is unknown",)
    if found.views is None:
        return (
            f"how often spam was seen is unknown: {found.spam} spam among {found.labels} audit "
            "labels of what was let through",
        )
    return ()


def _counted(names: Iterable[str]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in Counter(names).most_common(SHOWN))


def _plain(estimate: Estimate | None) -> dict[str, float] | None:
    return None if estimate is None else asdict(estimate)

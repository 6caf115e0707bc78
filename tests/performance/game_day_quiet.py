"""Ten quiet weeks on a simulated clock: what monitoring and incident response make of nothing.

A SIMULATION: the numbers of each hourly report are drawn, with days, weeks, a wandering level,
counts that vary more than Poisson's and latencies with heavy tails; twelve weeks, the first two to
learn from. Of every hour a sample of events is drawn, too, with the numbers of real accounts, of
which more are of the fake kind at night and at weekends. Everything after the numbers is the
product's: the detectors of the configuration, the alerts they make, the inbox, triage, the incident
store on SQLite, the shipped playbooks and the schedule of who is called. Mitigations are levers in
memory that count how often they were pulled.

A false page is a message that would have reached somebody's pager (webhook) in these weeks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import log10
from pathlib import Path
from typing import Any

import numpy as np

from data_contracts.alerts import Alert
from data_contracts.config import Anomalies, Settings
from evaluation.metrics import wilson
from evaluation.monitoring.anomaly import MULTIVARIATE, UNIVARIATE
from evaluation.monitoring.anomaly.alerting import SUDDEN, Watch
from evaluation.monitoring.anomaly.causes import Cause
from evaluation.monitoring.anomaly.feature_breaks import feature_breaks
from evaluation.monitoring.anomaly.recent import SAMPLED
from evaluation.monitoring.anomaly.series import Floats, Series, from_reports, together
from pipelines import alert_inbox
from pipelines.account_sets import INSTAGRAM, read_accounts
from pipelines.state import open_state
from serving.incidents.escalation import load_on_call
from serving.incidents.notifications import Notifications
from serving.incidents.playbooks import load_playbooks
from serving.incidents.responder import Patience, Responder
from serving.incidents.store import Grouping, IncidentStore
from serving.rollout.leadership import Leadership
from tests.performance.game_day_sets import NUMBERS
from tests.stand_ins.incident_world import Lever, Pager

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
HOUR, HOURS_A_DAY, HOURS_A_WEEK = timedelta(hours=1), 24, 168
LEARNT_WEEKS, WEEKS = 2, 10
ROWS = (LEARNT_WEEKS + WEEKS) * HOURS_A_WEEK
SEEDS = (11, 12, 13)
LEVEL_MEMORY = 0.97
FAKE_ACCOUNTS = 0.12  # share of an hour's events
STEPS_AN_HOUR = 4  # of the responder, while it has something to do
UNKNOWN_CAUSE = Cause()
CALLED_BY = "webhook"


@dataclass(frozen=True)
class Level:
    """About what the numbers of an hour vary, and by how much.

    `decisions` an hour, negative binomial of shape `dispersion`; a rate of positives drawn from a
    beta of `precision`; `latencies` in milliseconds by percentile. `wandering` is the noise of an
    hour in a level that remembers the hour before; `seasonal`: days and weekends differ.
    """

    decisions: float = 2000.0
    positive_rate: float = 0.12
    latencies: Mapping[str, float] = field(
        default_factory=lambda: {"p50": 4.0, "p95": 14.0, "p99": 30.0}
    )
    dispersion: float = 40.0
    precision: float = 600.0
    error_rate: float = 2e-4
    latency_noise: float = 0.03
    wandering: float = 0.02
    seasonal: bool = True


@dataclass
class Clock:
    """The hour that it is in the simulation."""

    now: datetime = BEGIN

    def __call__(self) -> datetime:
        return self.now


@dataclass(frozen=True)
class Quiet:
    """What one run of quiet weeks brought: `pages` are messages to pagers."""

    seed: int
    alerts: int
    pages: int
    incidents: Mapping[str, int]  # by severity
    mitigations: Mapping[str, int]
    about: tuple[str, ...] = field(default=())

    def as_row(self) -> dict[str, Any]:
        return {
            "part": "quiet", "simulation": True, "seed": self.seed, "weeks": WEEKS,
            "alerts": self.alerts, "pages": self.pages, "pages_a_week": self.pages / WEEKS,
            "incidents": dict(self.incidents), "mitigations": dict(self.mitigations),
            "about": list(self.about),
        }  # fmt: skip


def quiet_weeks(settings: Settings, folder: Path, seed: int) -> Quiet:
    """One run; `folder` gets its state database."""
    watched = settings.monitoring.anomalies
    reports = simulated(np.random.default_rng(seed), Level())
    series = from_reports(reports)
    world = World(settings, folder / f"quiet-{seed}.sqlite")
    alerts = 0
    suspicious = set(rows_above(series, watched).tolist())
    windows = Windows.drawn(settings, np.random.default_rng([seed, 1]))
    for row in range(LEARNT_WEEKS * HOURS_A_WEEK, ROWS):
        now = world.clock.now = BEGIN + (row + 1) * HOUR
        found = _alerts(series, row, watched) if row in suspicious else []
        found += feature_breaks(windows.of(row - HOURS_A_DAY), windows.of(row), now)
        alerts += len(found)
        world.hour(found)
    return world.seen(seed, alerts)


@dataclass(frozen=True)
class Windows:
    """Numbers of accounts in each hour's sample of events: real ones, drawn from two kinds."""

    genuine: Mapping[str, Floats]
    fake: Mapping[str, Floats]
    shares: Floats  # of the fake kind, by row
    seed: int

    @classmethod
    def drawn(cls, settings: Settings, rng: np.random.Generator) -> Windows:
        accounts = read_accounts(INSTAGRAM, settings.data)
        genuine, fake = (
            {
                name: np.array([one.raw[column] for one in accounts if one.is_spam == kind])
                for name, column in NUMBERS.items()
            }
            for kind in (False, True)
        )
        wandering = np.exp(_wandering(rng, ROWS, Level()))
        shares = FAKE_ACCOUNTS * wandering * (1.3 - 0.3 * seasons(ROWS))
        return cls(genuine, fake, np.clip(shares, 0.0, 1.0), int(rng.integers(2**31)))

    def of(self, row: int) -> dict[str, Floats]:
        """float64[SAMPLED] by feature, the same whenever it is asked for."""
        rng = np.random.default_rng([self.seed, row])
        fakes = rng.binomial(SAMPLED, self.shares[row])
        first = next(iter(self.genuine))
        chosen = rng.integers(len(self.genuine[first]), size=SAMPLED - fakes)
        others = rng.integers(len(self.fake[first]), size=fakes)
        return {
            name: np.concatenate([values[chosen], self.fake[name][others]])
            for name, values in self.genuine.items()
        }


class World:
    """Incident response on a clock of its own, with levers for mitigations."""

    def __init__(self, settings: Settings, database: Path) -> None:
        ours = settings.incidents
        self.clock, self.pager, self.mail = Clock(), Pager(), Pager()
        self.store = IncidentStore(open_state(f"sqlite:///{database}"), self.clock)
        self.store.prepare()
        leadership = Leadership(self.store.engine, self.clock, seat="incidents")
        leadership.prepare()
        leadership.claim()
        playbooks = load_playbooks(ours.playbooks)
        self.levers = {name: Lever() for name in playbooks.mitigations}
        call = Notifications(
            self.store, load_on_call(ours.on_call), {CALLED_BY: self.pager, "email": self.mail},
            leadership.fence,
        )  # fmt: skip
        self._leadership = leadership
        self._responder = Responder(
            self.store, leadership, playbooks, self.levers,
            Patience(ours.quiet_seconds, ours.hold_seconds, ours.poll_seconds),
            Grouping(ours.same_cause_seconds, ours.reopen_seconds), call, lambda _line: None,
        )  # fmt: skip

    def hour(self, alerts: Sequence[Alert]) -> None:
        """Raise them, and let the responder work until the next hour."""
        alert_inbox.put(self.store.engine, alerts, self.clock())
        if not alerts and not self.store.to_do():
            return
        began = self.clock.now
        for step in range(STEPS_AN_HOUR):
            self.clock.now = began + step * HOUR / STEPS_AN_HOUR
            self._leadership.claim()
            self._responder.step()

    def seen(self, seed: int, alerts: int) -> Quiet:
        incidents = self.store.incidents(over_too=True, most=10_000)
        severities = [one.severity for one in incidents]
        return Quiet(
            seed, alerts, len(self.pager.arrived),
            {name: severities.count(name) for name in dict.fromkeys(severities)},
            {name: len(lever.pulled) for name, lever in self.levers.items() if lever.pulled},
            tuple(f"{one.opened_at:%m-%d %H:%M} {one.severity} {one.title}" for one in incidents),
        )  # fmt: skip


def rows_above(series: Mapping[str, Series], watched: Anomalies) -> np.ndarray:
    """int64[k]: rows at which any score is above its threshold: only there can an alert be.

    A score depends on no later row, so that scoring all at once says what each hour would have.
    """
    threshold = watched.threshold + log10(max(len(series), 1))
    sudden = watched.sudden_threshold + log10(max(len(series), 1))
    above = np.zeros(ROWS, bool)
    for one in series.values():
        above |= UNIVARIATE[watched.detector].scores(one) >= threshold
        above |= SUDDEN.scores(one) >= sudden
    for paths in watched.groups.values():
        if all(path in series for path in paths):
            group = together(series, paths)
            above |= MULTIVARIATE[watched.together].scores(group) >= watched.together_threshold
    return np.flatnonzero(above)


def simulated(
    rng: np.random.Generator,
    level: Level,
    rows: int = ROWS,
    begin: datetime = BEGIN,
    hour: timedelta = HOUR,
) -> list[dict[str, Any]]:
    """Reports in the form of `evaluation.monitoring.monitor.observe`, one every `hour`."""
    season = seasons(rows) if level.seasonal else np.ones(rows)
    mean = level.decisions * season * np.exp(_wandering(rng, rows, level))
    chance = level.dispersion / (level.dispersion + mean)
    decisions = rng.negative_binomial(level.dispersion, chance).clip(min=30)
    rate = level.positive_rate * (1.2 - 0.2 * season) * np.exp(_wandering(rng, rows, level))
    share = rng.beta(level.precision * rate, level.precision * (1 - rate))
    positives = rng.binomial(decisions, share)
    errors = rng.binomial(decisions, level.error_rate * rng.gamma(0.5, 2.0, rows))
    slow = np.exp(_wandering(rng, rows, level) + 0.1 * (season - 1))
    latency = {
        name: usual * slow * np.exp(rng.standard_t(4, rows) * level.latency_noise * (1 + order))
        for order, (name, usual) in enumerate(level.latencies.items())
    }
    return [
        _report(
            begin + (row + 1) * hour, hour,
            (int(decisions[row]), int(positives[row]), int(errors[row])),
            {name: float(values[row]) for name, values in latency.items()},
        )
        for row in range(rows)
    ]  # fmt: skip


def seasons(rows: int) -> Floats:
    """float64[rows], around 1: nights, evenings, weekends."""
    hours = np.arange(rows)
    day = np.sin(2 * np.pi * (hours % HOURS_A_DAY - 9) / HOURS_A_DAY)
    evening = np.exp(-((hours % HOURS_A_DAY - 20) ** 2) / 8)
    weekend = (hours // HOURS_A_DAY) % 7 >= 5
    return np.asarray(1 + 0.5 * day + 0.25 * evening - 0.15 * weekend + 0.1 * weekend * day)


def _report(
    end: datetime, hour: timedelta, counts: tuple[int, int, int], latency: Mapping[str, float]
) -> dict[str, Any]:
    decisions, positives, errors = counts
    rate = _estimate(positives, decisions)
    arm = {"decisions": decisions, "positive_rate": rate, "latency_ms": dict(latency)}
    length = hour / timedelta(hours=1)
    return {
        "window": {"start": (end - hour).isoformat(), "end": end.isoformat(), "hours": length},
        "traffic": {
            "decisions": decisions, "mirrored": 0,
            "actions": {"allow": decisions - positives, "block": positives},
            "positive_rate": rate, "arms": {"stable": arm},
        },
        "errors": {
            "requests": decisions, "errors": errors, "share": _estimate(errors, decisions),
            "arms": {"stable": {"requests": decisions, "errors": errors}},
        },
    }  # fmt: skip


def _alerts(series: Mapping[str, Series], row: int, watched: Anomalies) -> list[Alert]:
    until = {path: one.until(row + 1) for path, one in series.items()}
    return Watch(watched).alerts(until, lambda _path, _time: UNKNOWN_CAUSE)


def _wandering(rng: np.random.Generator, rows: int, level: Level) -> Floats:
    """float64[rows]: a first-order autoregression around 0."""
    found = np.zeros(rows)
    for row in range(1, rows):
        found[row] = LEVEL_MEMORY * found[row - 1] + level.wandering * rng.normal()
    return found


def _estimate(hits: int, count: int) -> dict[str, Any]:
    found = wilson(hits, count)
    return {"value": found.value, "low": found.low, "high": found.high, "of": count}

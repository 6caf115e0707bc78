"""Is it healthy? One word, and why: pure, from what was read and the time.

    incident ▸ unknown ▸ mitigated ▸ degraded ▸ healthy        (the gravest counts)

*Mitigated* is not healthy: something was done that users pay for (the prefilter decides alone,
thresholds are moved, classes are turned away, training stands still) or the cause is still there.
*Unknown* is not healthy either: who cannot look does not know.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from data_contracts.config import StatusPage
from pipelines.switches import (
    ADMISSION_SHARES,
    FREEZE_TRAINING,
    PREFILTER_ONLY,
    THRESHOLD_SHIFT,
    Hold,
    admission_shares,
    threshold_shift,
)
from serving.incidents.triage import Incident, severity_of
from serving.status_page.facts import Dags, Facts, Files, Reading, State
from serving.status_page.hourly_report import Hour

Word = Literal["incident", "unknown", "mitigated", "degraded", "healthy"]
WORDS: tuple[Word, ...] = ("incident", "unknown", "mitigated", "degraded", "healthy")
GRAVE = ("critical", "major")
RESPONDER_SECONDS = 60  # within which a responder that lives has taken an alert
HOUR_SECONDS = 3600
REPORT = "/reports/monitoring/latest.html"
ALL_WELL = "no incident, nothing held back, no alarm, and every source was read"


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be; `link` is where to look, empty where nowhere."""

    word: Word
    what: str
    link: str = ""


@dataclass(frozen=True)
class Health:
    """The gravest word, and every finding, gravest first."""

    word: Word
    findings: tuple[Finding, ...]

    @property
    def reason(self) -> str:
        return self.findings[0].what if self.findings else ALL_WELL


def health(facts: Facts, limits: StatusPage) -> Health:
    """What the facts come to."""
    found = [
        *_of_reading("the state database", facts.state, facts.now, limits),
        *(_of_state(facts.state.value, facts.now) if facts.state.value else ()),
        *_of_reading("the home's files", facts.files, facts.now, limits),
        *(_of_files(facts.files.value, facts.now, limits) if facts.files.value else ()),
        *_of_reading("the hourly report", facts.report, facts.now, limits),
        *_of_report(facts.report, facts.now, limits),
    ]
    if facts.mlflow is not None:
        found += _of_reading("MLflow", facts.mlflow, facts.now, limits)
    if facts.airflow is not None:
        found += _of_reading("Airflow", facts.airflow, facts.now, limits)
        found += _of_dags(facts.airflow.value or Dags())
    found.sort(key=lambda one: WORDS.index(one.word))
    return Health(found[0].word if found else "healthy", tuple(found))


def said_of_switch(holds: tuple[Hold, ...], switch: str) -> str:
    """What the holds of a switch together mean for users."""
    held = [one for one in holds if one.switch == switch]
    if switch == PREFILTER_ONLY:
        return "the prefilter decides alone"
    if switch == FREEZE_TRAINING:
        return "no scheduled training begins"
    if switch == THRESHOLD_SHIFT:
        shift = threshold_shift(held)
        acted = "fewer" if shift > 0 else "more"
        return f"{acted} events are acted upon (thresholds {shift:+g} log-odds)"
    if switch == ADMISSION_SHARES:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in admission_shares(held).items())
        return f"traffic is turned away (of the waiting room: {shares})"
    return f"{switch} is held"


def _of_reading(
    name: str, read: Reading[Any], now: datetime, limits: StatusPage
) -> Iterator[Finding]:
    trouble = read.trouble(now, limits.stale_seconds)
    if trouble:
        yield Finding("unknown", f"{name} {trouble}")


def _of_state(state: State, now: datetime) -> Iterator[Finding]:
    if state.champion is None:
        yield Finding("unknown", "no champion is live: nothing was rolled out yet")
    if not state.responder_leads:
        yield Finding("unknown", "incident response does not run: nobody takes up alerts")
    if not state.controller_leads:
        yield Finding("degraded", "the rollout controller does not run: lost servers stay lost")
    for incident in state.incidents:
        yield from _of_incident(incident)
    for at, alert in state.waiting.oldest:
        waited = (now - at).total_seconds()
        if severity_of(alert) in GRAVE and waited > RESPONDER_SECONDS:
            yield Finding("incident", f"{alert.name} was raised {waited:.0f} s ago, and nobody took"
                          " it up")  # fmt: skip
    for switch in dict.fromkeys(one.switch for one in state.holds):
        yield Finding("mitigated", said_of_switch(state.holds, switch), "#live")
        if switch != FREEZE_TRAINING and not state.heeded.get(switch):  # training asks as it begins
            yield Finding("degraded", f"{switch} is held, and no server heeds it", "#live")
    if state.rollout is not None and state.rollout.phase == "rolling_back":
        yield Finding("degraded", f"version {state.rollout.version} is being rolled back", "#live")


def _of_incident(incident: Incident) -> Iterator[Finding]:
    what = f"incident {incident.id}, {incident.severity}, {incident.state}: {incident.title}"
    link = f"/incidents/{incident.id}"
    if incident.state in ("mitigated", "monitoring") and incident.severity != "notice":
        yield Finding("mitigated", what, link)
    elif incident.severity in GRAVE:
        yield Finding("incident", what, link)
    elif incident.severity == "minor":
        yield Finding("degraded", what, link)


def _of_files(files: Files, now: datetime, limits: StatusPage) -> Iterator[Finding]:
    for name, at in (("the lake", files.lake_written), ("the feature store", files.newest_feature)):
        if at is not None and _hours(at, now) > limits.data_hours:
            yield Finding("degraded", f"{name} has had no news for {_hours(at, now):.0f} h")
    for day in (one for one in files.quarantined if one.day == files.newest_day):
        yield Finding("degraded", f"{day.rows:,} rows of {day.day} are in quarantine", "#needs")


def _of_report(read: Reading[Hour | None], now: datetime, limits: StatusPage) -> Iterator[Finding]:
    hour = read.value
    if hour is None:
        if read.at is not None:
            yield Finding("unknown", "there is no hourly report yet: nothing was measured")
        return
    age = _hours(hour.end, now)
    if age > limits.report_hours:
        what = f"monitoring is stale: its last report ended {age:.1f} h ago"
        yield Finding("unknown", what, REPORT)
    elif not hour.decisions:
        yield Finding("unknown", "no decision was made in the reported hour", REPORT)
    for part in hour.failed:
        yield Finding("unknown", f"not looked at: {part}", REPORT)
    for alarm in hour.alarms:
        yield Finding("degraded", alarm, REPORT)


def _of_dags(found: Dags) -> Iterator[Finding]:
    for component in found.unhealthy:
        yield Finding("degraded", f"Airflow's {component} is not healthy")
    for dag in found.failed:
        yield Finding("degraded", f"the last run of {dag} failed", "#needs")


def _hours(since: datetime, now: datetime) -> float:
    return (now - since).total_seconds() / HOUR_SECONDS

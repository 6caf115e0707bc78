"""`python -m evaluation monitor`: one report of the last window, as JSON and as a page."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import orjson

from data_contracts.alerts import Alert
from data_contracts.config import Monitoring, Settings
from data_contracts.files import write_atomically
from evaluation.monitoring.anomaly.hourly import anomalies, reports
from evaluation.monitoring.anomaly.recent import read_recent
from evaluation.monitoring.business import business_report
from evaluation.monitoring.campaigns import campaign_alerts
from evaluation.monitoring.data import alerts_that_hold, latest_drift
from evaluation.monitoring.evidently_workspace import QUALITY, add_figures, quality_figures
from evaluation.monitoring.model import audit_quality, labelled_days
from evaluation.monitoring.outcomes import outcome_alerts
from evaluation.monitoring.page import page
from evaluation.monitoring.performance_estimation_report import performance_report
from evaluation.monitoring.raised import attempted, hand_over, held, over, shown
from evaluation.monitoring.system import decisions_since, gateway_errors, traffic
from pipelines import lake
from pipelines.labelling.draws import audit_draws

Sources = dict[str, list[Alert] | None]  # who raised alerts; None: it failed, and says nothing


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Write `{home}/reports/monitoring/{time}.json` and `.html`, and `latest.*` beside them.

    Its alerts go to incident response; those that the report before it had, from a window of the
    same length, and that are in this one no more, are over.
    """
    now = datetime.now(UTC)
    hours = arguments.hours or settings.monitoring.window_hours
    folder = settings.reports / "monitoring"
    previous = next(reports(folder, hours), None)
    report, sources = watch(settings, now, hours)
    report["held"] = held(sources, previous)
    hand_over(settings.state_url, _alerts(sources), over(report["held"], previous), now)
    attempted("Evidently's workspace", partial(_keep, settings, report, now), report["gaps"])
    encoded, html = orjson.dumps(report, option=orjson.OPT_INDENT_2), page(report).encode()
    for name in (now.strftime("%Y%m%dT%H%M%SZ"), "latest"):
        write_atomically(folder / f"{name}.json", encoded)
        write_atomically(folder / f"{name}.html", html)
    return report | {"report": str(folder / "latest.json"), "page": str(folder / "latest.html")}


def _keep(settings: Settings, report: Mapping[str, Any], now: datetime) -> None:
    """Last, for it loads a large library and nobody waits for it."""
    figures, kept = quality_figures(report), settings.evidently.kept_runs
    add_figures(settings.home, QUALITY, figures, now, kept)


def observe(settings: Settings, now: datetime, hours: float) -> dict[str, Any]:
    """The report of the `hours` before `now`. Missing evidence is None, never a zero."""
    return watch(settings, now, hours)[0]


def watch(settings: Settings, now: datetime, hours: float) -> tuple[dict[str, Any], Sources]:
    """The report, and its alerts by who raised them. A part that fails is a gap in the report."""
    failures: list[str] = []
    report = _measured(settings, now, hours, failures)
    recent = attempted(
        "reading the decision log",
        lambda: read_recent(settings.home / "decisions", now, timedelta(hours=hours)),
        failures,
    )
    report["business"] = attempted(
        "the section Business",
        lambda: business_report(settings, now, hours, recent.enforced if recent else {}),
        failures,
    )
    monitoring = settings.monitoring
    days = report["quality"]["days"]
    detectors: dict[str, Callable[[], list[Alert]]] = {
        "anomaly detectors": lambda: anomalies(settings, now, hours, report, recent),
        "new campaigns": lambda: campaign_alerts(settings, now, hours),
        "scores against outcomes": lambda: outcome_alerts(
            settings.lake, days, monitoring.minimum_samples, now
        ),
    }
    sources: Sources = {
        name: attempted(name, detect, failures) for name, detect in detectors.items()
    }
    sources |= {name: _told(report[name]) for name in ("performance", "business")}
    drift = report["drift"]
    sources["drift"] = None if drift is None else alerts_that_hold(drift, now)
    report["anomalies"] = [shown(alert) for alert in _alerts(sources)]
    return report | {
        "alarms": alarms(report, monitoring),
        "gaps": [*failures, *gaps(report), *(report["business"] or {"gaps": []})["gaps"]],
    }, sources  # fmt: skip


def _measured(
    settings: Settings, now: datetime, hours: float, failures: list[str]
) -> dict[str, Any]:
    """What is counted and estimated; no judgement yet."""
    start, monitoring = now - timedelta(hours=hours), settings.monitoring
    access_log = settings.home / "logs" / "gateway-access.jsonl"
    days = labelled_days(settings.lake, monitoring.quality_days)
    drawn = audit_draws(settings.state_url, days) if days else []
    decided = lake.days(settings.lake, "verdicts")[-monitoring.quality_days :]
    bounds = {"precision": monitoring.minimum_precision, "recall": monitoring.minimum_recall}
    estimated = attempted(
        "the estimate of performance",
        lambda: performance_report(
            settings.lake, decided, audit_draws(settings.state_url, decided), bounds, now
        ),
        failures,
    )
    return {
        "window": {"start": start.isoformat(), "end": now.isoformat(), "hours": hours},
        "traffic": traffic(decisions_since(settings.home / "decisions", start, now)),
        "errors": gateway_errors(access_log, start, now),
        "quality": audit_quality(settings.lake, days, drawn, monitoring.minimum_samples),
        "drift": latest_drift(settings.reports),
        "performance": estimated,
    }


def _told(section: Mapping[str, Any] | None) -> list[Alert] | None:
    """The alerts that a section of the report holds; None where there is no section."""
    return None if section is None else [Alert.from_record(one) for one in section["alerts"]]


def _alerts(sources: Sources) -> list[Alert]:
    return [alert for alerts in sources.values() for alert in alerts or ()]


def alarms(report: Mapping[str, Any], monitoring: Monitoring) -> list[str]:
    """What needs a person, as sentences."""
    found = []
    share = (report["errors"] or {}).get("share")
    if share and share["low"] > monitoring.maximum_error_share:
        found.append(
            f"{share['value']:.1%} of {share['of']} requests failed, surely more than "
            f"{monitoring.maximum_error_share:.1%}; read logs/gateway-access.jsonl"
        )
    drift = report["drift"]
    if drift and drift["alarm"] and not drift.get("accepted"):
        found.append(
            f"{drift['day']} does not look like the days before it: "
            f"{', '.join(drift['drifted_columns'])}; open reports/drift/{drift['day']}.html"
        )
    found += [
        f"{alert['reason']} ({alert['likely_cause']})"
        for alert in report["anomalies"]
        if alert["severity_hint"] != "info"
    ]
    return found


def gaps(report: Mapping[str, Any]) -> list[str]:
    """What could not be judged, and why."""
    found = []
    if not report["traffic"]["decisions"]:
        found.append("no decision in this window")
    if report["errors"] is None:
        found.append("the gateway keeps no access log here, so errors are unknown")
    versions = report["quality"]["versions"]
    if not any(version["audit_labels"] for version in versions.values()):
        found.append("no decision has an audit label yet, so quality is unknown")
    found += [
        f"{name}: nothing that it {' or '.join(version['no_label_yet'])} has an audit label yet"
        for name, version in versions.items()
        if version["audit_labels"] and version["no_label_yet"]
    ]
    if report["drift"] is None or report["drift"]["verdict"] == "not_enough_evidence":
        found.append("too few days to speak of drift")
    return found

"""`python -m evaluation monitor`: one report of the last window, as JSON and as a page."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from data_contracts.alerts import Alert
from data_contracts.config import Monitoring, Settings
from data_contracts.files import write_atomically
from evaluation.monitoring.data import latest_drift
from evaluation.monitoring.model import audit_quality, labelled_days
from evaluation.monitoring.page import page
from evaluation.monitoring.performance_estimation_report import performance_report
from evaluation.monitoring.system import decisions_since, gateway_errors, traffic
from pipelines import alert_inbox, lake
from pipelines.labelling.draws import audit_draws
from pipelines.state import open_state


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Write `{home}/reports/monitoring/{time}.json` and `.html`, and `latest.*` beside them."""
    now = datetime.now(UTC)
    report = observe(settings, now, arguments.hours or settings.monitoring.window_hours)
    folder = settings.reports / "monitoring"
    encoded, shown = orjson.dumps(report, option=orjson.OPT_INDENT_2), page(report).encode()
    for name in (now.strftime("%Y%m%dT%H%M%SZ"), "latest"):
        write_atomically(folder / f"{name}.json", encoded)
        write_atomically(folder / f"{name}.html", shown)
    _raise(settings.state_url, (report["performance"] or {"alerts": []})["alerts"], now)
    return report | {"report": str(folder / "latest.json"), "page": str(folder / "latest.html")}


def _raise(state_url: str, alerts: Sequence[Mapping[str, Any]], now: datetime) -> None:
    """Hand the alerts to incident response; they hold as long as each report raises them again."""
    if not alerts:
        return
    engine = open_state(state_url)
    try:
        alert_inbox.prepare(engine)
        alert_inbox.put(engine, map(Alert.from_record, alerts), now)
    finally:
        engine.dispose()


def observe(settings: Settings, now: datetime, hours: float) -> dict[str, Any]:
    """The report of the `hours` before `now`. Missing evidence is None, never a zero."""
    start, monitoring = now - timedelta(hours=hours), settings.monitoring
    access_log = settings.home / "logs" / "gateway-access.jsonl"
    days = labelled_days(settings.lake, monitoring.quality_days)
    drawn = audit_draws(settings.state_url, days) if days else []
    decided = lake.days(settings.lake, "verdicts")[-monitoring.quality_days :]
    bounds = {"precision": monitoring.minimum_precision, "recall": monitoring.minimum_recall}
    report: dict[str, Any] = {
        "window": {"start": start.isoformat(), "end": now.isoformat(), "hours": hours},
        "traffic": traffic(decisions_since(settings.home / "decisions", start, now)),
        "errors": gateway_errors(access_log, start, now),
        "quality": audit_quality(settings.lake, days, drawn, monitoring.minimum_samples),
        "drift": latest_drift(settings.reports),
        "performance": performance_report(
            settings.lake, decided, audit_draws(settings.state_url, decided), bounds, now
        ),
    }
    return report | {"alarms": alarms(report, monitoring), "gaps": gaps(report)}


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
    if drift and drift["alarm"]:
        found.append(
            f"{drift['day']} does not look like the days before it: "
            f"{', '.join(drift['drifted_columns'])}; open reports/drift/{drift['day']}.html"
        )
    performance = report["performance"] or {"alerts": []}
    found += [
        f"{alert['reason']} ({alert['likely_cause']})"
        for alert in performance["alerts"]
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

"""Every gauge of the platform by name, with its meaning and labels: rules and dashboards ask these.

A source that cannot be read shows no gauge of its own, never a zero: `absent()` in PromQL finds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily


@dataclass(frozen=True)
class Gauge:
    """What a gauge means, and what its series are told apart by."""

    meaning: str
    labels: tuple[str, ...] = ()


class Sample(NamedTuple):
    """One series now; `labels` are the values in the gauge's order."""

    name: str
    value: float
    labels: tuple[str, ...] = ()


GAUGES = {
    "weir_platform_source_up": Gauge("1 where the source could be read", ("source",)),
    "weir_platform_source_age_seconds": Gauge("Since the source was last read", ("source",)),
    # rollout
    "weir_controller_leads": Gauge("1 while a controller that lives holds the lease"),
    "weir_controller_heartbeat_age_seconds": Gauge("Since the lease was last renewed"),
    "weir_rollout_active": Gauge("1 while a version is being rolled out"),
    "weir_rollout_phase": Gauge("1 for the phase of the newest rollout", ("phase",)),
    "weir_rollout_phase_age_seconds": Gauge("Since the phase of a rollout under way began"),
    # labels
    "weir_label_tasks": Gauge("Label tasks of all days by state", ("state",)),
    "weir_label_oldest_task_age_seconds": Gauge("Since the oldest unsettled task was sampled"),
    "weir_newest_label_age_seconds": Gauge("Since the newest label in the lake was given"),
    # lake
    "weir_lake_day_rows": Gauge("Rows of the newest day that has events", ("table",)),
    "weir_lake_written_age_seconds": Gauge("Since a table's newest day was written", ("table",)),
    # the hourly report
    "weir_monitoring_age_seconds": Gauge("Since the window of the newest report ended"),
    "weir_monitoring_alarms": Gauge("Alarms in the newest report"),
    "weir_drifted_share": Gauge("Share of the columns that drifted, of the newest day compared"),
    "weir_audit_quality": Gauge(
        "Quality of decisions, estimated from audit labels; bound: value, low, high",
        ("figure", "model_version", "bound"),
    ),
    "weir_audit_labels": Gauge("Audit labels that the estimate rests on", ("model_version",)),
    # incidents and appeals
    "weir_incidents_open": Gauge("Incidents that are not resolved", ("severity",)),
    "weir_incident_unacknowledged_age_seconds": Gauge(
        "Since the oldest open incident began that nobody acknowledged", ("severity",)
    ),
    "weir_alerts_waiting": Gauge("Alerts that incident response has not taken yet"),
    "weir_alert_oldest_waiting_age_seconds": Gauge("Since the oldest of them came"),
    "weir_appeals": Gauge("Appeals of all time by state", ("state",)),
    "weir_appeals_overdue": Gauge("Appeals that wait beyond the day that they were promised"),
    "weir_appeals_decided_week": Gauge(
        "Appeals of accounts that were decided in the last seven days", ("state",)
    ),
    # DAGs
    "weir_airflow_healthy": Gauge("1 where Airflow says that it is healthy", ("component",)),
    "weir_dag_failed": Gauge("1 where the newest finished run of a DAG failed", ("dag",)),
    "weir_dag_success_age_seconds": Gauge("Since a run of a DAG last succeeded", ("dag",)),
}


def families(samples: Iterable[Sample]) -> Iterator[Metric]:
    """As Prometheus' client encodes them. KeyError for a name that is not in GAUGES."""
    found: dict[str, GaugeMetricFamily] = {}
    for name, value, labels in samples:
        if name not in found:
            gauge = GAUGES[name]
            found[name] = GaugeMetricFamily(name, gauge.meaning, labels=gauge.labels)
        found[name].add_metric(labels, value)
    yield from found.values()

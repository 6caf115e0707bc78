"""The platform's gauges: what each source shows, and that a broken one costs only its own."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import Engine, Table
from starlette.testclient import TestClient

from data_contracts.alerts import Alert
from data_contracts.config import RolloutStep, load_settings
from data_contracts.tables import TABLES
from pipelines import alert_inbox, lake
from pipelines.labelling.appeal_tables import APPEALS
from pipelines.labelling.queue import NewTask, open_label_queue
from pipelines.labelling.samplers.base import Draw
from pipelines.state import open_state
from serving.incidents.tables import INCIDENTS
from serving.platform_metrics import sources
from serving.platform_metrics.command import application, sources_of
from serving.platform_metrics.gauges import GAUGES, Sample, families
from serving.platform_metrics.watching import Source, Watching
from serving.rollout.leadership import Leadership
from serving.rollout.store import RolloutStore
from serving.rollout.targets.base import Deployment

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
Shown = dict[tuple[str, ...], float]


def shown(samples: Iterable[Sample]) -> Shown:
    """Every sample by its name and labels; each name and its labels are declared."""
    found = list(samples)
    for name, _, labels in found:
        assert len(labels) == len(GAUGES[name].labels), name
    return {(name, *labels): value for name, value, labels in found}


@pytest.fixture
def settings(tmp_path: Path) -> Any:
    return load_settings({"WEIR_HOME": str(tmp_path)})


@pytest.fixture
def engine(settings: Any) -> Iterable[Engine]:
    sources_of(settings)  # makes the tables
    engine = open_state(settings.state_url)
    yield engine
    engine.dispose()


def test_the_rollout_shows_its_phase_and_whether_somebody_leads(engine: Engine) -> None:
    found = shown(sources.rollout(engine, NOW))
    assert found == {("weir_controller_leads",): 0.0, ("weir_rollout_active",): 0.0}
    leadership = Leadership(engine, lambda: NOW - timedelta(seconds=20))
    assert leadership.claim()
    step = RolloutStep(phase="shadow", weight=0, minimum_seconds=1, minimum_requests=1)
    store = RolloutStore(engine, lambda: NOW - timedelta(hours=2))
    store.start(Deployment("models:/spam/7", "7"), [step], ("a", "b", "c"))
    found = shown(sources.rollout(engine, NOW))
    assert found["weir_controller_leads",] == 1
    assert found["weir_controller_heartbeat_age_seconds",] == 20
    assert found["weir_rollout_active",] == 1
    assert found["weir_rollout_phase", "pending"] == 1
    assert sum(value for name, value in found.items() if name[0] == "weir_rollout_phase") == 1
    assert found["weir_rollout_phase_age_seconds",] == 7200
    later = shown(sources.rollout(engine, NOW + timedelta(minutes=5)))
    assert later["weir_controller_leads",] == 0
    assert later["weir_controller_heartbeat_age_seconds",] == 320


def test_the_queue_shows_what_waits_and_since_when(engine: Engine, settings: Any) -> None:
    assert ("weir_label_oldest_task_age_seconds",) not in shown(sources.label_queue(engine, NOW))
    queue = open_label_queue(settings.state_url, 900)
    for event, hours in (("old", 30), ("new", 1)):
        queue.enqueue(
            [NewTask(Draw(event, "audit", 1.0), "2026-01-04")], NOW - timedelta(hours=hours)
        )
    (task,) = queue.lease("reviewer", 1, NOW)
    queue.submit(task.id, "reviewer", "ham", NOW)
    found = shown(sources.label_queue(engine, NOW))
    assert found["weir_label_tasks", "labelled"] == 1
    assert found["weir_label_tasks", "open"] == 1
    assert found["weir_label_tasks", "contested"] == 0
    left = "new" if task.event_id == "old" else "old"
    assert found["weir_label_oldest_task_age_seconds",] == {"new": 3600, "old": 30 * 3600}[left]


def rows(table: str, **columns: list[Any]) -> pa.Table:
    count = len(next(iter(columns.values())))
    defaults = {"string": "x", "int64": 1, "binary": b"x", "timestamp[us, tz=UTC]": NOW}
    filled = {
        field.name: columns.get(field.name, [defaults.get(str(field.type))] * count)
        for field in TABLES[table]
    }
    return pa.table(filled, schema=TABLES[table])


def test_the_lake_shows_its_newest_day_and_the_newest_label(tmp_path: Path) -> None:
    assert shown(sources.lake_tables(tmp_path, NOW)) == {}
    day = "2026-01-04"
    lake.write(tmp_path, "events", day, rows("events", event_id=["a", "b", "c"]))
    lake.write(tmp_path, "quarantine", day, rows("quarantine", line=[7]))
    given = [NOW - timedelta(hours=5), NOW - timedelta(hours=3)]
    lake.write(tmp_path, "labels", "2026-01-03", rows("labels", observed_at=given))
    written = (NOW - timedelta(hours=1)).timestamp()
    for path in tmp_path.rglob("*.parquet"):
        os.utime(path, (written, written))
    found = shown(sources.lake_tables(tmp_path, NOW))
    assert found["weir_lake_day_rows", "events"] == 3
    assert found["weir_lake_day_rows", "quarantine"] == 1
    assert found["weir_lake_day_rows", "labels"] == 0
    assert found["weir_newest_label_age_seconds",] == 3 * 3600
    assert found["weir_lake_written_age_seconds", "labels"] == 3600


def test_the_report_shows_figures_that_have_evidence(tmp_path: Path) -> None:
    path = tmp_path / "latest.json"
    assert shown(sources.monitoring_report(path, NOW)) == {}
    unknown = {"value": None, "of": 3, "verdict": "not_enough_evidence"}
    known = {"value": 0.01, "low": 0.004, "high": 0.03, "of": 300}
    quality = {
        "audit_labels": 300, "precision": unknown, "recall": unknown, "prevalence": unknown,
        "false_positive_rate": known,
    }  # fmt: skip
    report = {
        "window": {"end": (NOW - timedelta(minutes=40)).isoformat()},
        "alarms": ["a", "b"], "drift": None, "quality": {"versions": {"7": quality}},
    }  # fmt: skip
    path.write_bytes(orjson.dumps(report))
    assert shown(sources.monitoring_report(path, NOW)) == {
        ("weir_monitoring_age_seconds",): 2400.0,
        ("weir_monitoring_alarms",): 2.0,
        ("weir_audit_labels", "7"): 300.0,
        ("weir_audit_quality", "false_positive_rate", "7", "value"): 0.01,
        ("weir_audit_quality", "false_positive_rate", "7", "low"): 0.004,
        ("weir_audit_quality", "false_positive_rate", "7", "high"): 0.03,
    }


class Airflow:
    """An emulator of two answers of Airflow's, newest run first."""

    def health(self) -> dict[str, dict[str, Any]]:
        return {
            "scheduler": {"status": "unhealthy"},
            "metadatabase": {"status": "healthy"},
            "triggerer": {"status": None},
        }

    def newest(self) -> list[dict[str, Any]]:
        ended = "2026-01-05T10:00:00Z"
        return [
            {"dag_id": "daily_ingest", "state": "running", "end_date": None},
            {"dag_id": "daily_ingest", "state": "failed", "end_date": "2026-01-05T11:00:00Z"},
            {"dag_id": "daily_ingest", "state": "success", "end_date": ended},
            {"dag_id": "hourly_monitoring", "state": "success", "end_date": ended},
        ]


def test_airflow_shows_how_the_newest_finished_runs_ended() -> None:
    runs: Any = Airflow()
    assert shown(sources.airflow(runs, NOW)) == {
        ("weir_airflow_healthy", "scheduler"): 0.0,
        ("weir_airflow_healthy", "metadatabase"): 1.0,
        ("weir_dag_failed", "daily_ingest"): 1.0,
        ("weir_dag_success_age_seconds", "daily_ingest"): 7200.0,
        ("weir_dag_failed", "hourly_monitoring"): 0.0,
        ("weir_dag_success_age_seconds", "hourly_monitoring"): 7200.0,
    }


def test_alerts_that_nobody_took_are_counted(engine: Engine) -> None:
    alert = Alert("Drift", "ticket", {}, 1.0, None, None, None, NOW, "", "")
    alert_inbox.put(engine, [alert], NOW - timedelta(minutes=10))
    found = shown(sources.incidents(engine, NOW))
    assert found["weir_alerts_waiting",] == 1
    assert found["weir_alert_oldest_waiting_age_seconds",] == 600
    assert found["weir_incidents_open", "critical"] == 0


def test_incidents_are_counted_by_severity_and_the_oldest_unacknowledged_one_shows(
    engine: Engine,
) -> None:
    for hours, severity, state, by in (
        (1, "critical", "open", ""),
        (5, "critical", "acknowledged", "ada"),
        (9, "critical", "resolved", ""),
        (2, "minor", "monitoring", ""),
    ):
        began = NOW - timedelta(hours=hours)
        times = dict.fromkeys(("opened_at", "entered_at", "firing_since", "last_alert_at"), began)
        insert(
            engine, INCIDENTS, title="t", cause="c", severity=severity, state=state, round=0,
            round_began_at=began, flaps=0, attention=0, acknowledged_by=by, playbook="", **times,
        )  # fmt: skip
    found = shown(sources.incidents(engine, NOW))
    assert found["weir_incidents_open", "critical"] == 2
    assert found["weir_incidents_open", "minor"] == 1
    assert found["weir_incident_unacknowledged_age_seconds", "critical"] == 3600
    assert found["weir_incident_unacknowledged_age_seconds", "minor"] == 7200
    assert found["weir_incident_unacknowledged_age_seconds", "major"] == 0


def test_appeals_are_counted_by_state_and_those_that_wait_too_long_apart(engine: Engine) -> None:
    day = timedelta(days=1)
    for number, (state, origin, due, closed) in enumerate(
        (
            ("submitted", "account", NOW - day, None),
            ("submitted", "account", NOW + day, None),
            ("overturned", "account", NOW - 9 * day, NOW - day),
            ("overturned", "account", NOW - 9 * day, NOW - 8 * day),
            ("overturned", "remedy", NOW - 9 * day, NOW - day),
            ("upheld", "account", NOW - 9 * day, NOW - day),
        )
    ):
        insert(
            engine, APPEALS, id=str(number), event_id=str(number), revision=0, account="a",
            action="block", score=0.9, reasons=[], language="en", modality="text",
            model_version="7", threshold_version="1", decided_at=NOW, statement="s",
            origin=origin, state=state, submitted_at=NOW, due_at=due, closed_at=closed,
        )  # fmt: skip
    found = shown(sources.appeals(engine, NOW))
    assert found["weir_appeals", "submitted"] == 2
    assert found["weir_appeals", "overturned"] == 3
    assert found["weir_appeals_overdue",] == 1
    assert found["weir_appeals_decided_week", "overturned"] == 1
    assert found["weir_appeals_decided_week", "upheld"] == 1


def insert(engine: Engine, table: Table, **values: object) -> None:
    with engine.begin() as connection:
        connection.execute(table.insert().values(**values))


def broken(_now: datetime) -> Iterable[Sample]:
    raise OSError("gone")


def test_a_broken_source_costs_only_its_own_gauges_and_says_so_once() -> None:
    said: list[str] = []
    states: dict[str, Source] = {
        "lake": broken,
        "rollout": lambda _now: [Sample("weir_rollout_active", 1.0)],
    }
    watching = Watching(states, lambda: NOW, said.append)
    watching.look()
    watching.look()
    assert said == ["lake cannot be read: OSError: gone"]
    registry = CollectorRegistry()
    registry.register(watching)
    text = generate_latest(registry).decode()
    assert 'weir_platform_source_up{source="lake"} 0.0' in text
    assert 'weir_platform_source_up{source="rollout"} 1.0' in text
    assert "weir_rollout_active 1.0" in text
    states["lake"] = lambda _now: []
    watching.look()
    assert said[1:] == ["lake can be read again"]


def test_health_ends_when_rounds_do() -> None:
    now = [NOW]
    watching = Watching({}, lambda: now[0], print)
    client = TestClient(application(watching, every_seconds=15))
    assert client.get("/health").status_code == 503
    stop = threading.Event()
    stop.set()
    watching.run(stop, 15)
    assert client.get("/health").status_code == 503  # it was told to stop before its first round
    watching.look()
    assert client.get("/health").status_code == 200
    now[0] += timedelta(seconds=46)
    assert client.get("/health").status_code == 503


def test_a_scrape_shows_every_source_of_an_empty_home(settings: Any) -> None:
    said: list[str] = []
    watching = Watching(sources_of(settings), lambda: NOW, said.append)
    watching.look()
    answer = TestClient(application(watching, 15)).get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'weir_platform_source_up{source="lake"} 1.0' in answer.text
    assert 'weir_platform_source_up{source="airflow"} 0.0' in answer.text
    assert len(said) == 1
    assert "WEIR_AIRFLOW_APPROVAL_PASSWORD" in said[0]


def test_a_name_that_is_not_declared_is_no_gauge() -> None:
    with pytest.raises(KeyError):
        list(families([Sample("weir_no_such_thing", 1.0)]))

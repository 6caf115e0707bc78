"""Where the gauges come from: each function reads one source and returns what it shows now."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import orjson
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import Engine, func, select

from data_contracts.tables import partition
from pipelines import lake
from pipelines.alert_inbox import ENTRIES
from pipelines.labelling.appeal_tables import APPEAL_STATES, APPEALS, CLOSED
from pipelines.labelling.queue_tables import STATES, TASKS
from pipelines.state import reading
from serving.approval.airflow import DagRuns
from serving.incidents.tables import INCIDENTS
from serving.incidents.triage import SEVERITIES
from serving.platform_metrics.gauges import Sample
from serving.rollout.leadership import LEADER, Leadership
from serving.rollout.phases import Phase
from serving.rollout.store import RolloutStore

LABEL_DAYS = 14  # of the lake, in which the newest label is looked for
TABLES = ("events", "verdicts", "labels", "quarantine")
BOUNDS = ("value", "low", "high")
FIGURES = ("precision", "recall", "false_positive_rate", "prevalence")
SETTLED = "labelled"
RESOLVED = "resolved"
WEEK_DAYS = 7
SUCCESS, FAILED = "success", "failed"


def rollout(engine: Engine, now: datetime) -> Iterator[Sample]:
    """Who acts on rollouts, and where the newest is."""
    leader = Leadership(engine, lambda: now).leader()
    yield Sample("weir_controller_leads", float(leader is not None))
    with reading(engine) as connection:
        renewed = connection.execute(select(LEADER.c.renewed_at)).scalar()
    if renewed is not None:
        yield Sample("weir_controller_heartbeat_age_seconds", _age(renewed, now))
    newest = RolloutStore(engine).latest()
    yield Sample("weir_rollout_active", float(newest is not None and newest.active))
    if newest is None:
        return
    for phase in get_args(Phase):
        yield Sample("weir_rollout_phase", float(phase == newest.phase), (phase,))
    if newest.active:
        yield Sample("weir_rollout_phase_age_seconds", _age(newest.entered_at, now))


def label_queue(engine: Engine, now: datetime) -> Iterator[Sample]:
    """How many tasks wait, and for how long the oldest."""
    by_state = select(TASKS.c.state, func.count()).group_by(TASKS.c.state)
    oldest = select(func.min(TASKS.c.sampled_at)).where(TASKS.c.state != SETTLED)
    with reading(engine) as connection:
        counted: dict[str, int] = dict(connection.execute(by_state).tuples().all())
        since = connection.execute(oldest).scalar()
    for state in STATES:
        yield Sample("weir_label_tasks", float(counted.get(state, 0)), (state,))
    if since is not None:
        yield Sample("weir_label_oldest_task_age_seconds", _age(since, now))


def incidents(engine: Engine, now: datetime) -> Iterator[Sample]:
    """What is open, what nobody has acknowledged, and what waits to be taken up."""
    columns = (INCIDENTS.c.severity, INCIDENTS.c.round_began_at, INCIDENTS.c.acknowledged_by)
    query = select(*columns).where(INCIDENTS.c.state != RESOLVED)
    waiting = select(func.count(), func.min(ENTRIES.c.received_at)).where(
        ENTRIES.c.incident_id.is_(None)
    )
    with reading(engine) as connection:
        found = connection.execute(query).tuples().all()
        count, oldest = connection.execute(waiting).tuples().one()
    for severity in SEVERITIES:
        began = [began for one, began, by in found if one == severity and not by]
        opened = sum(one == severity for one, _, _ in found)
        yield Sample("weir_incidents_open", float(opened), (severity,))
        age = _age(min(began), now) if began else 0.0
        yield Sample("weir_incident_unacknowledged_age_seconds", age, (severity,))
    yield Sample("weir_alerts_waiting", float(count))
    waited = 0.0 if oldest is None else _age(oldest, now)
    yield Sample("weir_alert_oldest_waiting_age_seconds", waited)


def appeals(engine: Engine, now: datetime) -> Iterator[Sample]:
    """How many there are, how many wait for too long, and how the newest were decided."""
    by_state = select(APPEALS.c.state, func.count()).group_by(APPEALS.c.state)
    overdue = select(func.count()).where(APPEALS.c.state.not_in(CLOSED), APPEALS.c.due_at < now)
    decided = by_state.where(
        APPEALS.c.origin == "account", APPEALS.c.closed_at >= now - timedelta(days=WEEK_DAYS)
    )
    with reading(engine) as connection:
        counted: dict[str, int] = dict(connection.execute(by_state).tuples().all())
        lately: dict[str, int] = dict(connection.execute(decided).tuples().all())
        late = connection.execute(overdue).scalar_one()
    for state in APPEAL_STATES:
        yield Sample("weir_appeals", float(counted.get(state, 0)), (state,))
    for state in ("upheld", "overturned"):
        yield Sample("weir_appeals_decided_week", float(lately.get(state, 0)), (state,))
    yield Sample("weir_appeals_overdue", float(late))


def lake_tables(folder: Path, now: datetime) -> Iterator[Sample]:
    """What the newest day holds, when tables were written, and how old the newest label is."""
    known = lake.days(folder, "events")
    for table in TABLES:
        if known:
            rows = _rows(partition(folder, table, known[-1]) / lake.PART)
            yield Sample("weir_lake_day_rows", float(rows), (table,))
        if days := lake.days(folder, table):
            written = (partition(folder, table, days[-1]) / lake.PART).stat().st_mtime
            age = _age(datetime.fromtimestamp(written, UTC), now)
            yield Sample("weir_lake_written_age_seconds", age, (table,))
    days = lake.days(folder, "labels")[-LABEL_DAYS:]
    newest = pc.max(lake.read(folder, "labels", days, ["observed_at"])["observed_at"]).as_py()
    if newest is not None:
        yield Sample("weir_newest_label_age_seconds", _age(newest, now))


def monitoring_report(path: Path, now: datetime) -> Iterator[Sample]:
    """What the hourly report says; a figure without enough evidence shows nothing."""
    if not path.is_file():
        return
    report: dict[str, Any] = orjson.loads(path.read_bytes())
    ended = datetime.fromisoformat(report["window"]["end"])
    yield Sample("weir_monitoring_age_seconds", _age(ended, now))
    yield Sample("weir_monitoring_alarms", float(len(report["alarms"])))
    share = (report["drift"] or {}).get("drifted_share")
    if share is not None:
        yield Sample("weir_drifted_share", float(share))
    for version, quality in report["quality"]["versions"].items():
        yield from _quality(version, quality)


def airflow(runs: DagRuns, now: datetime) -> Iterator[Sample]:
    """Airflow's own health, and for each of Weir's DAGs how its newest runs ended."""
    for component, health in runs.health().items():
        if (status := health["status"]) is not None:  # None: there is no such component here
            yield Sample("weir_airflow_healthy", float(status == "healthy"), (component,))
    finished: dict[str, list[dict[str, Any]]] = {}
    for run in runs.newest():
        if run["state"] in (SUCCESS, FAILED):
            finished.setdefault(run["dag_id"], []).append(run)
    for dag, ended in sorted(finished.items()):
        yield Sample("weir_dag_failed", float(ended[0]["state"] == FAILED), (dag,))
        succeeded = [run["end_date"] for run in ended if run["state"] == SUCCESS]
        if succeeded:
            age = _age(datetime.fromisoformat(succeeded[0]), now)
            yield Sample("weir_dag_success_age_seconds", age, (dag,))


def _quality(version: str, quality: dict[str, Any]) -> Iterator[Sample]:
    yield Sample("weir_audit_labels", float(quality["audit_labels"]), (version,))
    for figure in FIGURES:
        for bound in BOUNDS:
            value = quality[figure].get(bound)
            if value is not None:
                yield Sample("weir_audit_quality", float(value), (figure, version, bound))


def _rows(path: Path) -> int:
    """From the file's footer alone; 0 where the day has no rows of the table."""
    return int(pq.read_metadata(path).num_rows) if path.is_file() else 0


def _age(since: datetime, now: datetime) -> float:
    return max((now - since).total_seconds(), 0.0)

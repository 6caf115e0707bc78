"""What needs a person, the most urgent first, each with what to do next: pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from data_contracts.config import Settings
from serving.incidents.guidance import SAID_BY_STATE, next_commands
from serving.incidents.playbooks import Playbooks
from serving.incidents.triage import SEVERITIES, Incident, Severity
from serving.status_page.facts import Facts, Files, State
from serving.status_page.health import REPORT
from serving.status_page.links import AIRFLOW, APPEALS, MLFLOW, addresses

Urgency = Literal["now", "today", "soon"]
URGENCIES: tuple[Urgency, ...] = ("now", "today", "soon")
URGENCY_OF: dict[Severity, Urgency] = {
    "critical": "now", "major": "now", "minor": "today", "notice": "soon",
}  # fmt: skip
POST_MORTEM_DAYS = 14


@dataclass(frozen=True)
class Need:
    """`command` is for a terminal, `link` for a browser; one of them at least says what to do."""

    urgency: Urgency
    what: str
    why: str = ""
    command: str = ""
    link: str = ""
    link_text: str = ""


def needs(facts: Facts, playbooks: Playbooks | None, settings: Settings) -> tuple[Need, ...]:
    """Everything that waits for somebody; `playbooks` None: their file cannot be read."""
    found: list[Need] = []
    state, files = facts.state.value, facts.files.value
    if state is not None:
        found += [
            _incident(one, state, playbooks)
            for one in sorted(state.incidents, key=lambda one: SEVERITIES.index(one.severity))
        ]
        found += _of_beginning(state, settings)
        found += _of_response(state)
        found += _of_holds(state)
        found += _of_rollout(state)
        found += _of_appeals(state, facts.now, settings)
        found += _post_mortems(state, files or Files(), facts.now)
    if files is not None:
        found += _of_files(files)
    alarms = facts.report.value.alarms if facts.report.value else ()
    found += [
        Need("today", "An alarm of the hourly report", alarm, "", REPORT, "hourly report")
        for alarm in alarms
    ]
    found += _of_neighbours(facts, settings)
    return tuple(sorted(found, key=lambda one: URGENCIES.index(one.urgency)))


def _incident(incident: Incident, state: State, playbooks: Playbooks | None) -> Need:
    own = [one for one in state.actions if one.incident_id == incident.id]
    playbook = playbooks.named(incident.playbook) if playbooks else None
    commands = next_commands(incident, playbook, own)
    looks = f"; {incident.acknowledged_by} looks at it" if incident.acknowledged_by else ""
    first = f" {playbook.first_look}" if playbook else ""
    return Need(
        _urgency(incident),
        f"Incident {incident.id}, {incident.severity}: {incident.title}",
        f"{incident.state}: {SAID_BY_STATE[incident.state]}{looks}.{first}",
        commands[0]["command"] if commands else "",
        f"/incidents/{incident.id}", "alerts, actions, next steps",
    )  # fmt: skip


def _urgency(incident: Incident) -> Urgency:
    """What somebody looks at already, or is only watched, can wait."""
    urgency = URGENCY_OF[incident.severity]
    if urgency == "now" and (incident.acknowledged_by or incident.state == "monitoring"):
        return "today"
    return urgency


def _of_beginning(state: State, settings: Settings) -> Iterator[Need]:
    if state.champion is None and state.rollout is None:
        yield Need(
            "soon", "No model is live yet",
            "Ingest days and label them; a first training, its gates and an approval follow.", "",
            f"{settings.approval.airflow_url}/dags/daily_ingest", "in Airflow",
        )  # fmt: skip


def _of_response(state: State) -> Iterator[Need]:
    if not state.responder_leads:
        yield Need("now", "Incident response does not run",
                   f"{state.waiting.count} alerts wait; nobody is called.",
                   "python -m serving incidents respond")  # fmt: skip
    if not state.controller_leads and state.champion is not None:
        yield Need("today", "The rollout controller does not run",
                   "Rollouts stand still, and a server that ends is not started again.",
                   "python -m serving controller")  # fmt: skip


def _of_holds(state: State) -> Iterator[Need]:
    """A switch that stayed after its incident was over: users pay, and nobody remembers why."""
    is_open = {one.id for one in state.incidents}
    by_key = {one.key: one for one in state.actions}
    for hold in state.holds:
        action = by_key.get(hold.key)
        if action is not None and action.incident_id not in is_open:
            yield Need(
                "today", f"{action.mitigation} is still held, and incident {action.incident_id} is "
                "over", f"Since {hold.since:%Y-%m-%d %H:%M} UTC: {hold.reason}",
                f"python -m serving incidents undo {action.id}",
                f"/incidents/{action.incident_id}", f"incident {action.incident_id}",
            )  # fmt: skip


def _of_rollout(state: State) -> Iterator[Need]:
    rollout = state.rollout
    if rollout is not None and rollout.phase == "paused":
        yield Need("today", f"Version {rollout.version} is {rollout.label}",
                   f"Since {rollout.entered_at:%Y-%m-%d %H:%M} UTC; resume, or abort.",
                   "python -m serving rollout resume")  # fmt: skip


def _of_appeals(state: State, now: datetime, settings: Settings) -> Iterator[Need]:
    appeals = state.appeals
    link = addresses(settings)[APPEALS]
    if appeals.overdue:
        yield Need("now", f"{_counted(appeals.overdue, 'appeal')} overdue",
                   f"People wait for longer than {settings.appeals.review_hours:g} h.", "",
                   link, "review appeals")  # fmt: skip
    elif appeals.waiting and appeals.first_due is not None:
        hours = (appeals.first_due - now).total_seconds() / 3600
        yield Need("soon", f"{_counted(appeals.waiting, 'appeal')} to review",
                   f"The first is due in {hours:.0f} h.", "", link, "review appeals")  # fmt: skip


def _post_mortems(state: State, files: Files, now: datetime) -> Iterator[Need]:
    for incident in state.over:
        is_recent = (now - incident.entered_at).days < POST_MORTEM_DAYS
        is_grave = incident.severity in ("critical", "major")
        if is_grave and is_recent and incident.id not in files.drafted:
            yield Need(
                "soon", f"Incident {incident.id} is over and has no post-mortem",
                incident.title, f"python -m serving incidents post-mortem {incident.id}",
                f"/incidents/{incident.id}", f"incident {incident.id}",
            )  # fmt: skip


def _of_files(files: Files) -> Iterator[Need]:
    for day in files.quarantined[-1:]:
        rows = sum(one.rows for one in files.quarantined)
        yield Need(
            "today", f"{_counted(rows, 'row')} of {_counted(len(files.quarantined), 'day')} in "
            "quarantine", "They broke their contract and are not used; mend the source, then take "
            "the day in again.", f"python -m pipelines ingest --day {day.day}",
        )  # fmt: skip


def _of_neighbours(facts: Facts, settings: Settings) -> Iterator[Need]:
    challenger = facts.mlflow.value if facts.mlflow else None
    if challenger is not None and challenger.approval is None:
        model = settings.registry.model_name
        yield Need(
            "today", f"Version {challenger.version} waits for approval",
            "It passed its gates. Read its model card, then set the tag weir.approval.", "",
            f"{addresses(settings)[MLFLOW]}/#/models/{model}/versions/{challenger.version}",
            "in MLflow",
        )  # fmt: skip
    dags = facts.airflow.value if facts.airflow else None
    for dag in dags.failed if dags else ():
        yield Need("today", f"The last run of {dag} failed", "Its log says at which step, and why.",
                   "", f"{addresses(settings)[AIRFLOW]}/dags/{dag}", "in Airflow")  # fmt: skip


def _counted(count: int, noun: str) -> str:
    """
    >>> _counted(1, "appeal"), _counted(1200, "row")
    ('1 appeal', '1,200 rows')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"

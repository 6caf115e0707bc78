"""`python -m serving incidents`: what is wrong, what was done, what to do; and the responder."""

from __future__ import annotations

import argparse
import getpass
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from data_contracts.alerts import Alert
from data_contracts.config import Settings
from data_contracts.errors import BadInput
from pipelines import alert_inbox
from serving.incidents.configured import leadership_of, open_incidents, responder_of
from serving.incidents.guidance import lines_of, next_commands
from serving.incidents.notifications import sent_about
from serving.incidents.playbooks import MitigationName, Playbooks, Step, load_playbooks
from serving.incidents.store import IncidentStore
from serving.incidents.triage import SEVERITIES, Incident

Answer = dict[str, object]


def run(arguments: argparse.Namespace, settings: Settings) -> Answer:
    """One verb, several actions; what people read goes to stderr, the JSON to stdout or a file."""
    store = open_incidents(settings)
    actions: dict[str, Callable[[argparse.Namespace, Settings, IncidentStore], Answer]] = {
        "list": _list,
        "show": _show,
        "acknowledge": _acknowledge,
        "note": _note,
        "resolve": _resolve,
        "mitigate": _mitigate,
        "undo": _undo,
        "raise": _raise,
        "respond": _respond,
        "post-mortem": _post_mortem,
    }
    return actions[arguments.action](arguments, settings, store)


def _list(arguments: argparse.Namespace, _settings: Settings, store: IncidentStore) -> Answer:
    found = store.incidents(over_too=arguments.all)
    found.sort(key=lambda one: (one.is_over, SEVERITIES.index(one.severity), -one.id))
    if not found:
        _tell(
            "no incident is open" + ("" if arguments.all else "; --all shows those that are over")
        )
    for one in found:
        who = f", {one.acknowledged_by} looks at it" if one.acknowledged_by else ""
        _tell(f"{one.id:>5}  {one.severity:<8} {one.state:<12} {one.title}{who}")
    for one in found:
        _warn_where_nobody_was_reached(store, one)
    if found:
        _tell(f"what to do next: python -m serving incidents show {found[0].id}")
    _warn_without_responder(store)
    return {"incidents": [_record(one) for one in found]}


def _show(arguments: argparse.Namespace, settings: Settings, store: IncidentStore) -> Answer:
    incident = store.get(_number(arguments))
    playbook = load_playbooks(settings.incidents.playbooks).named(incident.playbook)
    actions, lines = store.actions(incident.id), store.time_line(incident.id)
    firing = store.firing(incident.id, settings.incidents.quiet_seconds)
    for line in lines_of(incident, playbook, actions, lines, firing=firing):
        _tell(line)
    _warn_where_nobody_was_reached(store, incident)
    _warn_without_responder(store)
    return {
        "incident": _record(incident),
        "firing": firing,
        "alerts": _newest(store, incident),
        "actions": [asdict(one) | _times(one.at, one.ended_at) for one in actions],
        "time_line": [asdict(line) | {"at": line.at.isoformat()} for line in lines],
        "next": next_commands(incident, playbook, actions),
    }


def _acknowledge(
    arguments: argparse.Namespace, _settings: Settings, store: IncidentStore
) -> Answer:
    incident = store.acknowledge(_number(arguments), arguments.by or getpass.getuser())
    _tell(f"{incident.acknowledged_by} looks at incident {incident.id}; nobody else is called")
    return {"incident": _record(incident)}


def _note(arguments: argparse.Namespace, _settings: Settings, store: IncidentStore) -> Answer:
    if not arguments.reason:
        raise BadInput("incidents note needs --reason TEXT")
    store.note(_number(arguments), arguments.by or getpass.getuser(), arguments.reason)
    return {"incident": _record(store.get(_number(arguments)))}


def _resolve(arguments: argparse.Namespace, settings: Settings, store: IncidentStore) -> Answer:
    if not arguments.reason:
        raise BadInput("incidents resolve needs --reason TEXT: what it was, and why it is over")
    number = _number(arguments)
    firing = store.firing(number, settings.incidents.quiet_seconds)
    incident = store.resolve(number, arguments.by or getpass.getuser(), arguments.reason)
    if firing:
        _tell("an alert of it still holds: the incident reopens when it is raised again")
    _tell(f"incident {number} is resolved; draft its post-mortem: python -m serving incidents "
          f"post-mortem {number}")  # fmt: skip
    return {"incident": _record(incident), "firing": firing}


def _mitigate(arguments: argparse.Namespace, settings: Settings, store: IncidentStore) -> Answer:
    playbooks = load_playbooks(settings.incidents.playbooks)
    incident = store.get(_number(arguments))
    step = _step_of(playbooks, incident, arguments.mitigation)
    by = arguments.by or getpass.getuser()
    action = store.ask(incident.id, step.mitigation, step.parameters, step.undo, by)
    _tell(f"{step.mitigation} is asked for (action {action.id}); the responder carries it out: "
          f"python -m serving incidents show {incident.id}")  # fmt: skip
    _warn_without_responder(store)
    return {"action": action.id, "mitigation": action.mitigation, "state": action.state}


def _undo(arguments: argparse.Namespace, _settings: Settings, store: IncidentStore) -> Answer:
    action = store.ask_undo(_number(arguments), arguments.by or getpass.getuser())
    _tell(f"undoing of {action.mitigation} (action {action.id}) is asked for")
    _warn_without_responder(store)
    return {"action": action.id, "mitigation": action.mitigation, "state": action.state}


def _raise(arguments: argparse.Namespace, _settings: Settings, store: IncidentStore) -> Answer:
    """Alerts from a file, one JSON object a line, all or none."""
    if arguments.input is None:
        raise BadInput("incidents raise needs --input FILE: JSON Lines, an alert a line")
    alerts = read_alerts(arguments.input)
    return {"raised": alert_inbox.put(store.engine, alerts, datetime.now(UTC))}


def _respond(_arguments: argparse.Namespace, settings: Settings, store: IncidentStore) -> Answer:
    """Respond until SIGTERM or SIGINT; what it holds stays held without it."""
    leadership, stop = leadership_of(store), threading.Event()
    responder = responder_of(settings, store, leadership, _say)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    _say(f"incident responder, playbooks {settings.incidents.playbooks}")
    try:
        responder.run(stop.is_set, stop.wait)
    finally:
        leadership.resign()
    return {"stopped": True}


def _post_mortem(arguments: argparse.Namespace, settings: Settings, store: IncidentStore) -> Answer:
    from serving.incidents.post_mortem import draft

    incident = store.get(_number(arguments))
    playbook = load_playbooks(settings.incidents.playbooks).named(incident.playbook)
    drafted = draft(store, incident, playbook, settings.reports)
    _tell(f"post-mortem: {drafted.path}")
    if drafted.kept:
        _tell(f"kept as a person left them: {', '.join(drafted.kept)}")
    return {
        "path": str(drafted.path),
        "kept": list(drafted.kept),
        "pictures": [str(path) for path in drafted.pictures],
    }


def read_alerts(path: Path) -> list[Alert]:
    """Raises BadInput that names the line and the field."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise BadInput(f"--input {path}: {error.strerror}") from None
    alerts = []
    for number, line in enumerate(lines, start=1):
        try:
            alerts.append(Alert.from_record(orjson.loads(line)))
        except KeyError as error:
            raise BadInput(f"{path}, line {number}: field {error} is missing") from None
        except (ValueError, TypeError, AttributeError) as error:
            raise BadInput(f"{path}, line {number}: {error}") from None
    return alerts


def _step_of(playbooks: Playbooks, incident: Incident, name: str | None) -> Step:
    """A step of the incident's own playbook, with its parameters and limits."""
    playbook = playbooks.named(incident.playbook)
    steps = {} if playbook is None else {step.mitigation: step for step in playbook.steps}
    known: dict[str, Step] = {str(key): step for key, step in steps.items()}
    if name in known:
        return known[name]
    if name in playbooks.mitigations and name in WITHOUT_PARAMETERS:
        return Step(mitigation=name, helps_within_seconds=PATIENCE_SECONDS)
    offered = sorted({*known, *WITHOUT_PARAMETERS})
    raise BadInput(f"--mitigation {name}: give one of {', '.join(offered)}")


PATIENCE_SECONDS = 1800.0
WITHOUT_PARAMETERS: tuple[MitigationName, ...] = (
    "abort_rollout", "roll_back_release", "shadow_for_investigation", "prefilter_only",
    "freeze_training",
)  # fmt: skip


def _number(arguments: argparse.Namespace) -> int:
    if arguments.number is None:
        what = "the number of an action" if arguments.action == "undo" else "an incident's number"
        raise BadInput(f"incidents {arguments.action} needs {what}; see `incidents list`")
    return int(arguments.number)


def _newest(store: IncidentStore, incident: Incident) -> list[Mapping[str, Any]]:
    """The last word of every alert of the incident."""
    seen = {entry.fingerprint: entry.alert for entry in store.alerts(incident.id) if entry.alert}
    return [alert.as_record() for alert in seen.values()]


def _record(incident: Incident) -> dict[str, object]:
    times = ("opened_at", "entered_at", "firing_since", "last_alert_at", "round_began_at")
    record = asdict(incident)
    for name in times:
        record[name] = None if record[name] is None else record[name].isoformat()
    return record


def _times(at: datetime, ended_at: datetime | None) -> dict[str, object]:
    return {"at": at.isoformat(), "ended_at": None if ended_at is None else ended_at.isoformat()}


def _warn_without_responder(store: IncidentStore) -> None:
    if leadership_of(store).leader() is None:
        _tell("nobody responds: start `python -m serving incidents respond`")


def _warn_where_nobody_was_reached(store: IncidentStore, incident: Incident) -> None:
    tried = sent_about(store, incident.id)
    if tried and not any(one.state == "sent" for one in tried) and not incident.acknowledged_by:
        who = ", ".join(sorted({one.person for one in tried}))
        _tell(
            f"nobody could be called about incident {incident.id} ({who}): its time line says why"
        )


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _say(line: str) -> None:
    print(f"{datetime.now().astimezone():%H:%M:%S} {line}", flush=True)

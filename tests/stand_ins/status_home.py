"""A home with an invented history for the status page: a champion, a rollout, incidents, appeals.

Nothing in it is about a real person; the alerts go through the inbox and the responder's own store,
as in production.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Engine

from data_contracts.alerts import Alert, SeverityHint
from data_contracts.config import RolloutStep, Settings, load_settings
from pipelines import alert_inbox, switches
from pipelines.labelling.appeal_tables import METADATA as APPEALS
from pipelines.state import create_tables, open_state
from pipelines.switches import Hold, Name
from serving.incidents.decisions import Action
from serving.incidents.playbooks import load_playbooks
from serving.incidents.store import Grouping, IncidentStore
from serving.rollout.leadership import Leadership
from serving.rollout.phases import Stable
from serving.rollout.store import RolloutStore
from serving.rollout.targets.base import Deployment

GROUPING = Grouping(same_cause_seconds=3600, reopen_seconds=14_400)
STEPS = (RolloutStep(phase="canary", weight=10, minimum_seconds=1, minimum_requests=1),)
MITIGATION_OF = {
    "prefilter_only": "prefilter_only", "threshold_shift": "loosen_thresholds",
    "admission_shares": "shed", "freeze_training": "freeze_training",
}  # fmt: skip
SHARE = {"value": 0.041, "low": 0.036, "high": 0.046, "of": 6400}


def unfenced(_connection: object) -> None:
    """Nobody else acts here."""


@dataclass
class Clock:
    """The machine's, moved back by `back`: leases and reports are compared with the real one."""

    back: timedelta = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) - self.back


@dataclass
class StatusHome:
    """One home; everything it does goes through the parts that would do it."""

    settings: Settings
    engine: Engine
    clock: Clock

    @property
    def rollouts(self) -> RolloutStore:
        return RolloutStore(self.engine, self.clock)

    @property
    def incidents(self) -> IncidentStore:
        return IncidentStore(self.engine, self.clock)

    def lead(self) -> None:
        """A controller and a responder that live: this process."""
        for seat in ("rollouts", "incidents"):
            assert Leadership(self.engine, seat=seat).claim()  # type: ignore[arg-type]

    def champion(self, version: str = "7") -> None:
        self.rollouts.set_stable(Stable("blue", Deployment(f"models:/spam/{version}", version)),
                                 unfenced)  # fmt: skip

    def roll_out(self, version: str = "8") -> None:
        """A rollout under way, still pending."""
        self.rollouts.start(
            Deployment(f"models:/spam/{version}", version), STEPS, ("blue", "green", "red")
        )

    def report(self, *, alarms: tuple[str, ...] = (), ended: timedelta = timedelta(minutes=9),
               **changes: Any) -> None:  # fmt: skip
        """An hourly report, as `evaluation monitor` writes it."""
        end = datetime.now(UTC) - ended
        window = {"start": (end - timedelta(hours=1)).isoformat(), "end": end.isoformat()}
        arm = {"decisions": 6400, "positive_rate": SHARE,
               "latency_ms": {"p50": 1.9, "p95": 7.4, "p99": 21.0},
               "model_versions": {"7": 6400}}  # fmt: skip
        figure = {"value": 0.963, "low": 0.941, "high": 0.978, "of": 412}
        quality = {"audit_labels": 655, "audit_draws": 700, "precision": figure,
                   "recall": {"value": 0.81, "low": 0.77, "high": 0.85, "of": 355},
                   "false_positive_rate": {"value": 0.0011, "low": 0.0003, "high": 0.0026,
                                           "of": 1890}}  # fmt: skip
        content: Mapping[str, Any] = {
            "window": {**window, "hours": 1},
            "traffic": {"decisions": 6400, "mirrored": 0, "actions": {"allow": 6138, "block": 262},
                        "positive_rate": SHARE, "arms": {"stable": arm}, "disagreement": None},
            "errors": {"requests": 6402, "errors": 2, "arms": {},
                       "share": {"value": 0.0003, "low": 0.0001, "high": 0.0011, "of": 6402}},
            "quality": {"days": [], "versions": {"7": quality}},
            "drift": None, "performance": None, "alarms": list(alarms), "gaps": [], **changes,
        }  # fmt: skip
        self.write("reports/monitoring/latest.json", orjson.dumps(content))
        self.write("reports/monitoring/latest.html", b"<!doctype html><title>hour</title>An hour")

    def write(self, path: str, content: bytes) -> Path:
        """A file below the home."""
        file = self.settings.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file

    def answer(self, arm: str = "stable", version: str = "7") -> None:
        """A decision record of an invented event."""
        record = {
            "format": 2, "mirrored": False, "milliseconds": 2.0,
            "decided_at": datetime.now(UTC).isoformat(), "event": {"event_id": "e", "text": "x"},
            "verdict": {"event_id": "e", "arm": arm, "model_version": version, "action": "allow",
                        "threshold_version": "t-3f9c"},
        }  # fmt: skip
        self.write(f"decisions/{arm}-1.jsonl", orjson.dumps(record) + b"\n")

    def alert(self, name: str = "WeirFalsePositiveBurn", hint: SeverityHint = "page",
              cause: str = "", **subject: str) -> None:  # fmt: skip
        """Into the inbox, where whoever watches puts it."""
        alert_inbox.put(self.engine, [
            Alert(name, hint, subject, 0.031, 0.001, 0.0, 0.003, self.clock(),
                  "3.1 % of ordinary messages were acted upon, 0.1 % are expected", cause)
        ], self.clock())  # fmt: skip

    def respond(self) -> list[int]:
        """Alerts become incidents, with the playbook that fits."""
        found = self.incidents.take_alerts(GROUPING, unfenced)
        playbooks = load_playbooks(self.settings.incidents.playbooks)
        for number in found:
            incident = self.incidents.get(number)
            alerts = [entry.alert for entry in self.incidents.alerts(number) if entry.alert]
            playbook = playbooks.for_alerts(alerts)
            if playbook is not None and not incident.playbook:
                self.incidents.choose_playbook(incident, playbook.name, unfenced)
        return found

    def heed(self, switch: Name, servers: int) -> None:
        """So many model servers ask for the switch, as they do every few seconds."""
        for number in range(servers):
            switches.asked(self.engine, [switch], f"server-{number}", self.clock())

    def mitigate(self, number: int, switch: Name, value: Mapping[str, Any], why: str) -> Action:
        """Carried out as the responder does: intent, switch, outcome, state."""
        incidents, incident = self.incidents, self.incidents.get(number)
        name = MITIGATION_OF[switch]
        values = {"step": 0, "mitigation": name, "parameters": {}, "target": {}, "undo": "by_hand",
                  "reason": ""}  # fmt: skip
        action = incidents.intend(incident, values, lambda _: None, unfenced)
        with self.engine.begin() as connection:
            held = Hold(switch, action.key, dict(value), f"weir, incident {number}", why,
                        self.clock())  # fmt: skip
            assert switches.hold(connection, held)
        done = incidents.finish(action, "done", "", unfenced)
        incidents.move(incidents.get(number), "acted", f"{name} is done", unfenced)
        return done


@contextmanager
def status_home(folder: Path, **variables: str) -> Iterator[StatusHome]:
    """Empty but for its tables; MLflow and Airflow are not part of it unless `variables` say so."""
    settings = load_settings(
        {"WEIR_HOME": str(folder), "WEIR__STATUS_PAGE__BESIDE": "[]", **variables}
    )
    engine = open_state(settings.state_url)
    home = StatusHome(settings, engine, Clock())
    home.rollouts.prepare()
    home.incidents.prepare()
    switches.prepare(engine)
    Leadership(engine).prepare()
    create_tables(engine, APPEALS)
    try:
        yield home
    finally:
        engine.dispose()


def at_peace(home: StatusHome) -> None:
    """Everything as it should be."""
    home.clock.back = timedelta(days=3)
    home.champion()
    home.clock.back = timedelta()
    home.lead()
    home.report()
    home.answer()

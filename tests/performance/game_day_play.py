"""One fault after another on the running stack, and what came of each.

The seed of a fault decides when in a monitoring interval it strikes. Detection is the first alert
in the inbox that tells of it; a mitigation counts when the responder wrote that it is done; the
fault is over when no alert of its incident holds and users feel nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import select

from data_contracts.alerts import Alert
from pipelines.alert_inbox import ENTRIES
from pipelines.state import reading
from serving.incidents.triage import SEVERITIES, Incident
from tests.performance.game_day_faults import Fault, harm_now
from tests.performance.game_day_stack import INTERVAL_SECONDS, Stack

DETECTED_WITHIN = 2.0  # intervals
GIVEN_INTERVALS, RECOVERY_INTERVALS, CALM_SECONDS = 2.6, 2.6, 100.0
POLL_SECONDS, SETTLE_SECONDS = 0.5, 8.0
PAGING = ("critical", "major")


@dataclass
class Played:
    """What one fault showed; seconds since it struck, None where it did not come to that."""

    fault: str
    how: str
    is_harmful: bool
    offset_seconds: float
    harm_before: float | None = None
    harm_worst: float | None = None
    detected_seconds: float | None = None
    detected_by: str = ""
    severity: str = ""
    cause: str = ""
    reason: str = ""
    mitigations: list[dict[str, Any]] = field(default_factory=list)
    mitigated_seconds: float | None = None
    mended_seconds: float | None = None
    recovered_seconds: float | None = None
    pages: int = 0
    actions: int = 0  # of the responder since it struck, about whatever incident
    beside: list[str] = field(default_factory=list)  # other incidents that began meanwhile
    expects: tuple[str, ...] = ()
    interval: str = "hour"  # or day: of what monitors this
    detected_days: int | None = None

    @property
    def intervals(self) -> float | None:
        """Until it was detected: hours of the shorter kind, or days."""
        if self.interval == "day":
            return self.detected_days
        return None if self.detected_seconds is None else self.detected_seconds / INTERVAL_SECONDS

    @property
    def detected_in_time(self) -> bool:
        return self.intervals is not None and self.intervals <= DETECTED_WITHIN

    @property
    def mitigated(self) -> bool:
        """Without a person, where the playbook has something for it."""
        done = {one["mitigation"] for one in self.mitigations if one["state"] == "done"}
        return not self.expects or bool(done & set(self.expects))

    def as_row(self) -> dict[str, Any]:
        row = {key: round(v, 3) if isinstance(v, float) else v for key, v in asdict(self).items()}
        derived = {
            "detected_intervals": None if self.intervals is None else round(self.intervals, 2),
            "detected_in_time": self.detected_in_time, "mitigated": self.mitigated,
        }  # fmt: skip
        return {"part": "live", **row, **derived}


def play(
    stack: Stack, fault: Fault, rng: np.random.Generator, say: Callable[[str], None]
) -> Played:
    """From calm to calm."""
    wait_for_calm(stack)
    offset = float(rng.uniform(0, INTERVAL_SECONDS))
    time.sleep((offset - time.time()) % INTERVAL_SECONDS)
    found = Played(fault.name, fault.how, fault.is_harmful, offset, expects=fault.expects)
    found.harm_before = harm_now(fault, stack)
    known = {one.id for one in stack.store.incidents(over_too=True, most=1000)}
    pages_before = len(stack.pager.calls)
    try:
        fault.inject(stack)
        began = time.time()
        say(f"{fault.name}: struck")
        _until_helped(stack, fault, found, began, known)
    finally:  # the next one begins without it
        if fault.mend is not None:
            fault.mend(stack)
    if fault.mend is not None:
        found.mended_seconds = time.time() - began
    _until_over(stack, fault, found, began, known)
    found.pages = len(stack.pager.calls) - pages_before
    found.beside = _beside(stack, known | _incidents_of(stack, fault, began, known))
    found.actions = _actions_since(stack, began)
    say(line(found))
    return found


def _until_helped(stack: Stack, fault: Fault, found: Played, began: float, known: set[int]) -> None:
    """Until it was told of and mitigated, or for as long as it is given."""
    deadline = began + GIVEN_INTERVALS * INTERVAL_SECONDS
    while time.time() < deadline:
        time.sleep(POLL_SECONDS)
        _feel(stack, fault, found)
        if found.detected_seconds is None:
            told = first_told(stack, fault, began, known)
            if told is not None:
                _note(found, *told, began)
        if found.detected_seconds is not None:
            mine = _incidents_of(stack, fault, began, known)
            settled = bool(mine) and note_actions(stack, found, mine, began)
            if settled and found.mitigated:  # a first, lesser incident may have no step for it
                break


def _until_over(stack: Stack, fault: Fault, found: Played, began: float, known: set[int]) -> None:
    """Until no alert of it holds and users feel nothing."""
    deadline = time.time() + RECOVERY_INTERVALS * INTERVAL_SECONDS
    patience = stack.settings.incidents.quiet_seconds
    while time.time() < deadline:
        time.sleep(POLL_SECONDS)
        felt, mine = _feel(stack, fault, found), _incidents_of(stack, fault, began, known)
        if mine:
            note_actions(stack, found, mine, began)
        quiet = not any(stack.store.firing(one, patience) for one in mine)
        if quiet and felt is not None and felt <= fault.most_harm and fault.is_harmful:
            found.recovered_seconds = time.time() - began
            return


def wait_for_calm(stack: Stack) -> None:
    """No incident of a page's weight, and a while of ordinary traffic."""
    deadline = time.time() + CALM_SECONDS
    while time.time() < deadline:
        quiet = stack.settings.incidents.quiet_seconds
        store = stack.store
        loud = [one for one in store.incidents() if store.firing(one.id, quiet)]
        if not [one for one in loud if one.severity in PAGING]:
            break
        time.sleep(POLL_SECONDS)
    time.sleep(SETTLE_SECONDS)


def alerts_since(stack: Stack, began: float) -> list[tuple[float, Alert, int | None]]:
    """Alerts that were raised: when they came, what they say, whose they are."""
    engine = stack.store.engine
    query = select(ENTRIES).where(ENTRIES.c.kind == "raised").order_by(ENTRIES.c.id)
    with reading(engine) as connection:
        rows = connection.execute(query).all()
    return [
        (row.received_at.timestamp(), Alert.from_record(row.alert), row.incident_id)
        for row in rows
        if row.received_at.timestamp() >= began
    ]


def first_told(
    stack: Stack, fault: Fault, began: float, known: set[int]
) -> tuple[float, Alert] | None:
    """The first alert that tells of it and is not an older incident said again."""
    for at, alert, incident in alerts_since(stack, began):
        if fault.is_told_by(alert) and incident not in known:
            return at, alert
    return None


def line(found: Played) -> str:
    """One line for the console."""
    told = "not detected" if found.detected_seconds is None else (
        f"{found.detected_seconds:.0f} s ({found.intervals:.1f} intervals) by {found.detected_by}"
    )  # fmt: skip
    did = ", ".join(f"{one['mitigation']} {one['state']}" for one in found.mitigations) or "nothing"
    over = "-" if found.recovered_seconds is None else f"{found.recovered_seconds:.0f} s"
    return f"{found.fault}: {told}; {found.severity}; did {did}; over {over}; pages {found.pages}"


def _feel(stack: Stack, fault: Fault, found: Played) -> float | None:
    felt = harm_now(fault, stack)
    if felt is not None:
        found.harm_worst = max(felt, found.harm_worst or 0.0)
    return felt


def _note(found: Played, at: float, alert: Alert, began: float) -> None:
    found.detected_seconds = at - began
    found.detected_by = alert.name
    found.cause, found.reason = alert.likely_cause, alert.reason


def _incidents_of(stack: Stack, fault: Fault, began: float, known: set[int]) -> set[int]:
    """Those whose alerts tell of it: new ones, else older ones that it brought back."""
    every = {
        incident for _, alert, incident in alerts_since(stack, began)
        if incident and fault.is_told_by(alert)
    }  # fmt: skip
    return every - known or every


def note_actions(stack: Stack, found: Played, incidents: Collection[int], began: float) -> bool:
    """Note what was done about them; whether something was, or nothing is left to do."""
    store = stack.store
    mine = [store.get(one) for one in sorted(incidents)]
    found.severity = min((one.severity for one in mine), key=SEVERITIES.index)
    found.mitigations = [
        {
            "mitigation": one.mitigation, "state": one.state, "by": one.by,
            "seconds": None if one.ended_at is None else one.ended_at.timestamp() - began,
            "reason": one.reason,
        }
        for incident in mine for one in store.actions(incident.id)
    ]  # fmt: skip
    done = [one["seconds"] for one in found.mitigations if one["state"] == "done"]
    if done and found.mitigated_seconds is None:
        found.mitigated_seconds = min(done)
    settled = all(one["state"] not in ("asked", "intended") for one in found.mitigations)
    return settled and (bool(done) or all(_nothing_automatic(one, began) for one in mine))


def _nothing_automatic(incident: Incident, began: float) -> bool:
    """A while after it was opened without an action: its playbook leaves it to a person."""
    return time.time() - max(began, incident.opened_at.timestamp()) > SETTLE_SECONDS


def _actions_since(stack: Stack, began: float) -> int:
    every = stack.store.incidents(over_too=True, most=1000)
    actions = (action for one in every for action in stack.store.actions(one.id))
    return sum(action.at.timestamp() >= began for action in actions)


def _beside(stack: Stack, known: set[int]) -> list[str]:
    new: Sequence[Incident] = stack.store.incidents(over_too=True, most=1000)
    return [f"{one.severity} {one.title}" for one in new if one.id not in known]

"""What incident response does next about one incident: pure, from what is written and the time.

The responder carries out what `decide` says and asks again. Everything that decides is on disk, so
a responder that died anywhere is replaced by one that knows nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from serving.incidents.playbooks import MitigationName, Playbook, Step, Undo
from serving.incidents.triage import Incident, Signal, hold

ActionState = Literal[
    "asked", "intended", "done", "failed", "refused", "undo_asked", "undo_intended", "undone",
    "undo_failed",
]  # fmt: skip
ENDED: tuple[ActionState, ...] = ("done", "failed", "refused", "undone", "undo_failed")
IN_FORCE: tuple[ActionState, ...] = ("done", "undo_asked", "undo_intended", "undo_failed")
BY_HAND = -1  # the step of what a person asked for


@dataclass(frozen=True)
class Action:
    """One mitigation of one incident, from intent to outcome.

    `target` is exactly what is to be done, settled before it is begun, so that whoever finds the
    intent later can ask the world whether it was done. `key` is unique and names it there.
    """

    id: int
    incident_id: int
    round: int
    step: int
    mitigation: MitigationName
    parameters: dict[str, Any]
    target: dict[str, Any]
    state: ActionState
    key: str
    by: str
    undo: Undo
    reason: str
    at: datetime
    ended_at: datetime | None = None

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED


@dataclass(frozen=True)
class Begin:
    """Begin this step of the playbook."""

    step: int


@dataclass(frozen=True)
class Carry:
    """Take this action to its end: begin what was asked, finish what was begun, undo."""

    action: Action


@dataclass(frozen=True)
class Move:
    """Nothing to do in the world; the incident goes on to another state, for this reason."""

    signal: Signal
    reason: str


Decision = Begin | Carry | Move | None


def decide(
    incident: Incident,
    playbook: Playbook | None,
    actions: Sequence[Action],
    *,
    firing: bool,
    now: datetime,
    hold_seconds: float,
) -> Decision:
    """`actions` are all of the incident, oldest first; `firing`: an alert of it still holds."""
    pending = next((action for action in actions if not action.has_ended), None)
    if pending is not None:
        return Carry(pending)
    own = [action for action in actions if action.round == incident.round]
    if incident.state == "mitigating":
        return _after_action(playbook, own)
    if incident.state == "mitigated":
        return _whether_it_helped(incident, playbook, own, firing)
    if incident.state == "monitoring":
        return _watched(incident, firing, now, hold_seconds)
    if incident.state == "resolved":
        return None
    if not firing:
        return Move("quiet", "no alert holds any more")
    following = next_step(playbook, own)
    return None if following is None else Begin(following)


def next_step(playbook: Playbook | None, own: Sequence[Action]) -> int | None:
    """The first automatic step after those that were tried in this round."""
    if playbook is None:
        return None
    tried = max((action.step for action in own), default=BY_HAND)
    for number, step in enumerate(playbook.steps):
        if number > tried and step.automatic:
            return number
    return None


def proposed(playbook: Playbook | None, own: Sequence[Action]) -> list[Step]:
    """The steps that wait for a person, in their order."""
    if playbook is None:
        return []
    tried = {action.mitigation for action in own}
    return [step for step in playbook.steps if not step.automatic and step.mitigation not in tried]


def has_acted(incident: Incident, actions: Sequence[Action]) -> bool:
    """Whether anything was done about it in this round that still holds."""
    return any(one.round == incident.round and one.state in IN_FORCE for one in actions)


def _after_action(playbook: Playbook | None, own: Sequence[Action]) -> Decision:
    last = own[-1] if own else None
    if last is not None and last.state in IN_FORCE:
        return Move("acted", f"{last.mitigation} is done")
    return _on(playbook, own, "" if last is None else f"{last.mitigation}: {last.reason}")


def _whether_it_helped(
    incident: Incident,
    playbook: Playbook | None,
    own: Sequence[Action],
    firing: bool,
) -> Decision:
    """It did not where an alert is raised after the time it had; silence says nothing yet.

    An alert that came back has the whole time again: a flap alone starts no further step.
    """
    if not firing:
        return Move("quiet", "the alerts are over")
    done = [action for action in own if action.state in IN_FORCE]
    if not done:
        return _on(playbook, own, "what was done was undone, and an alert still holds")
    since = max(done[-1].ended_at or done[-1].at, incident.firing_since)
    allowed = _allowed_seconds(playbook, done[-1])
    if incident.last_alert_at < since + timedelta(seconds=allowed):
        return None
    return _on(playbook, own, f"{done[-1].mitigation} did not help within {allowed:.0f} s")


def _watched(incident: Incident, firing: bool, now: datetime, hold_seconds: float) -> Decision:
    if firing:
        return Move("again", "an alert came back")
    held = hold(hold_seconds, incident.flaps)
    if now - incident.entered_at >= held:
        return Move("held", f"quiet for {held.total_seconds():.0f} s")
    return None


def _on(playbook: Playbook | None, own: Sequence[Action], why: str) -> Decision:
    following = next_step(playbook, own)
    if following is not None:
        return Begin(following)
    return Move("exhausted", f"{why}; no automatic step is left, a person has to act".lstrip("; "))


def _allowed_seconds(playbook: Playbook | None, action: Action) -> float:
    """By its step; what a person asked for has as long as the playbook's most patient step."""
    steps = () if playbook is None else playbook.steps
    if 0 <= action.step < len(steps):
        return steps[action.step].helps_within_seconds
    return max((step.helps_within_seconds for step in steps), default=PATIENCE_SECONDS)


PATIENCE_SECONDS = 1800.0  # for what a person asked for where there is no playbook

"""An incident as somebody reads it at three in the morning: first what to do, then how it came."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from serving.incidents.decisions import IN_FORCE, Action, proposed
from serving.incidents.playbooks import FOR_PEOPLE, Playbook
from serving.incidents.store import Line
from serving.incidents.triage import MEANING, TABLE, Incident

VERB = "python -m serving incidents"
RECENT_LINES = 20
SAID_BY_STATE = {
    "open": "nobody looks at it yet",
    "acknowledged": "a person has to act: no automatic step is left, or none is allowed",
    "mitigating": "the responder acts right now",
    "mitigated": "something was done; it is seen whether that helps",
    "monitoring": "the alerts are over; it is watched before it is resolved",
    "resolved": "it is over",
    "reopened": "it came back after it was resolved",
}


def next_commands(
    incident: Incident, playbook: Playbook | None, actions: Sequence[Action]
) -> list[dict[str, str]]:
    """What a person can do now: a command, and what it does; the most likely one first."""
    found: list[tuple[str, str]] = []
    possible = TABLE[incident.state]
    if "acknowledge" in possible and not incident.acknowledged_by:
        found.append(
            (f"acknowledge {incident.id}", "say that you look at it: nobody else is called")
        )
    own = [action for action in actions if action.round == incident.round]
    if not incident.is_over:
        found += [
            (f"mitigate {incident.id} --mitigation {step.mitigation}", FOR_PEOPLE[step.mitigation])
            for step in proposed(playbook, own)
        ]
        found += [
            (
                f"mitigate {incident.id} --mitigation {action.mitigation}",
                f"try again: {FOR_PEOPLE[action.mitigation]} ({action.state}: {action.reason})",
            )
            for action in own
            if action.state in ("failed", "refused")
        ]
    found += [
        (f"undo {action.id}", f"undo: {FOR_PEOPLE[action.mitigation]}")
        for action in actions
        if action.state in ("done", "undo_failed") and action.mitigation in CAN_BE_UNDONE
    ]
    if "resolve" in possible:
        found.append((f'resolve {incident.id} --reason "…"', "it is over, and why"))
    if incident.is_over:
        found.append((f"post-mortem {incident.id}", "draft, or renew, the post-mortem"))
    return [{"command": f"{VERB} {command}", "does": does} for command, does in found]


CAN_BE_UNDONE = (
    "shadow_for_investigation", "prefilter_only", "loosen_thresholds", "tighten_thresholds", "shed",
    "freeze_training",
)  # fmt: skip


def lines_of(
    incident: Incident,
    playbook: Playbook | None,
    actions: Sequence[Action],
    time_line: Sequence[Line],
    *,
    firing: bool,
) -> Iterator[str]:
    """The page for a terminal."""
    yield f"incident {incident.id}, {incident.severity}: {incident.title}"
    yield f"  {MEANING[incident.severity]}"
    now = "an alert holds" if firing else "no alert holds"
    said = SAID_BY_STATE[incident.state]
    yield f"  {incident.state} since {incident.entered_at:%H:%M:%S} UTC, {now}: {said}"
    if incident.is_flapping:
        yield f"  it flaps: its alerts came back {incident.flaps} times"
    yield f"  likely cause: {incident.cause}"
    if playbook is None:
        yield "  no playbook fits; decide by hand, and write one afterwards"
    else:
        yield f"  first look: {playbook.first_look}"
        yield f"  runbook: {playbook.runbook} (playbook {playbook.name})"
    yield from _held(actions)
    yield "what you can do next:"
    for one in next_commands(incident, playbook, actions):
        yield f"  {one['command']}\n      {one['does']}"
    yield "how it came:"
    if len(time_line) > RECENT_LINES:
        yield f"  ({len(time_line) - RECENT_LINES} earlier lines are in the JSON)"
    for line in time_line[-RECENT_LINES:]:
        yield f"  {line.at:%m-%d %H:%M:%S}  {line.who}: {line.what}"


def _held(actions: Sequence[Action]) -> Iterator[str]:
    held = [action for action in actions if action.state in IN_FORCE]
    if held:
        yield "in force:"
    for action in held:
        since = f"since {action.at:%H:%M:%S} UTC, by {action.by}"
        yield f"  {action.mitigation} {since} (action {action.id})"

"""What an incident is: its states and severities as tables, and which alerts belong together.

    open ─▶ acknowledged ─▶ mitigating ─▶ mitigated ─▶ monitoring ─▶ resolved ─▶ reopened
      ╰───────────────────────▲   ╰─ no step left: back to a person      (an alert came back)

An alert that comes back while its incident is being watched is the same incident, counted as a
flap, and is watched for longer the next time; after its resolution it is reopened. Nothing here
reads a clock or a database.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Literal

from data_contracts.alerts import Alert, SeverityHint
from data_contracts.errors import BadInput

State = Literal[
    "open", "acknowledged", "mitigating", "mitigated", "monitoring", "resolved", "reopened"
]
Signal = Literal["acknowledge", "begin", "acted", "exhausted", "quiet", "again", "held", "resolve"]
Who = Literal["responder", "person"]
WAITING = "waiting"  # for a person: acknowledged where one has, else open
BEFORE = "before"  # where it was before it went quiet: mitigated where something was done

_QUIET: dict[Signal, str] = {"quiet": "monitoring", "resolve": "resolved"}
_WAITS: dict[Signal, str] = {**_QUIET, "acknowledge": "acknowledged", "begin": "mitigating"}
# state → what may happen there → where it leads
TABLE: dict[State, dict[Signal, str]] = {
    "open": _WAITS,
    "acknowledged": {**_QUIET, "begin": "mitigating"},
    "mitigating": {
        "acknowledge": "mitigating",
        "acted": "mitigated",
        "exhausted": WAITING,
        "resolve": "resolved",
    },
    "mitigated": {
        **_QUIET,
        "acknowledge": "mitigated",
        "begin": "mitigating",
        "exhausted": WAITING,
    },
    "monitoring": {
        "acknowledge": "monitoring",
        "again": BEFORE,
        "held": "resolved",
        "resolve": "resolved",
        "begin": "mitigating",
    },
    "resolved": {"again": "reopened"},
    "reopened": _WAITS,
}
# who may say what; the responder decides what follows from alerts and from what it did
WHO_MAY: dict[Signal, tuple[Who, ...]] = {
    "acknowledge": ("person",),
    "resolve": ("person",),
    "begin": ("responder",),
    "acted": ("responder",),
    "exhausted": ("responder",),
    "quiet": ("responder",),
    "again": ("responder",),
    "held": ("responder",),
}

Severity = Literal["critical", "major", "minor", "notice"]
SEVERITIES: tuple[Severity, ...] = ("critical", "major", "minor", "notice")  # gravest first
MEANING: dict[Severity, str] = {
    "critical": "people are silenced, or no verdicts are given: somebody looks at once",
    "major": "the filter surely gets worse for users: somebody looks now",
    "minor": "something is wrong and harms little yet: on the next working day",
    "notice": "worth knowing, nothing to do",
}


@dataclass(frozen=True)
class SeverityRule:
    """`name` is a shell pattern; `subject` patterns must all fit; the first rule that fits counts.

    `hint` None: whatever the alert's own hint.
    """

    severity: Severity
    name: str = "*"
    hint: SeverityHint | None = None
    subject: tuple[tuple[str, str], ...] = ()

    def fits(self, alert: Alert) -> bool:
        return (
            fnmatchcase(alert.name, self.name)
            and self.hint in (None, alert.severity_hint)
            and all(
                key in alert.subject and fnmatchcase(alert.subject[key], pattern)
                for key, pattern in self.subject
            )
        )


SEVERITY_TABLE: tuple[SeverityRule, ...] = (
    # the expensive error first: a false positive silences a person
    SeverityRule("critical", "*FalsePositive*", "page"),
    SeverityRule("critical", "*Precision*", "page"),
    SeverityRule("critical", "*Unavailable*", "page"),
    SeverityRule("critical", "WeirNoServers"),
    # copies decide nothing, so nobody is harmed yet
    SeverityRule("minor", hint="page", subject=(("arm", "shadow"),)),
    SeverityRule("major", hint="page"),
    SeverityRule("minor", hint="ticket"),
    SeverityRule("notice", hint="info"),
)
# keys of a subject that name a part of one trouble, not another trouble
PARTS = ("slice", "language", "region", "modality", "feature", "instance", "pod", "class")
NO_CAUSE = "nothing"  # as a cause begins that is none
IN_PARENTHESES = re.compile(r"\s*\([^)]*\)")
MOST_DOUBLINGS = 3  # of the hold of an alert that flaps: eight times at most
FLAPPING = 3  # returns that make an incident a flapping one


@dataclass(frozen=True)
class Incident:
    """Where an incident is. `round` counts its reopenings, from 0; `flaps` its alerts' returns.

    `entered_at` is when it came into its state, `firing_since` when its alerts last came (back),
    `attention` how many steps of the escalation are skipped because a mitigation did not work.
    """

    id: int
    title: str
    cause: str
    severity: Severity
    state: State
    opened_at: datetime
    entered_at: datetime
    firing_since: datetime
    last_alert_at: datetime
    round: int = 0
    flaps: int = 0
    attention: int = 0
    acknowledged_by: str = ""
    playbook: str = ""
    round_began_at: datetime | None = None

    @property
    def is_over(self) -> bool:
        return self.state == "resolved"

    @property
    def is_flapping(self) -> bool:
        return self.flaps >= FLAPPING

    @property
    def began_at(self) -> datetime:
        """When this round of it began: its opening, or its last reopening."""
        return self.round_began_at or self.opened_at


def severity_of(alert: Alert, table: Sequence[SeverityRule] = SEVERITY_TABLE) -> Severity:
    """By the first rule that fits."""
    return next(rule.severity for rule in table if rule.fits(alert))


def graver(first: Severity, second: Severity) -> Severity:
    """
    >>> graver("minor", "critical")
    'critical'
    """
    return min(first, second, key=SEVERITIES.index)


def move(incident: Incident, signal: Signal, who: Who, *, has_acted: bool = False) -> State:
    """The state that follows. Raises BadInput for what may not happen there, or not by them."""
    if who not in WHO_MAY[signal]:
        raise BadInput(f"incident {incident.id}: {signal} is not for a {who}; it follows by itself")
    target = TABLE[incident.state].get(signal)
    if target is None:
        possible = ", ".join(TABLE[incident.state]) or "nothing"
        raise BadInput(
            f"incident {incident.id} is {incident.state}: no {signal} there (possible: {possible}"
            f"); see `incidents show {incident.id}`"
        )
    return _resolve(target, incident, has_acted)


def cause_key(alert: Alert) -> str:
    """Alerts of one key within the window are one incident: the same cause, or one trouble's parts.

    Of a cause with several clauses the first counts, without figures in parentheses; one that says
    that nothing stands out is none.

    >>> from datetime import UTC, datetime
    >>> alert = Alert("Drift", "ticket", {"slice": "tr", "stage": "ocr"}, 1.0, None, None, None,
    ...               datetime(2026, 1, 5, tzinfo=UTC), "", "")
    >>> cause_key(alert)
    'Drift stage=ocr'
    """
    cause = IN_PARENTHESES.sub("", alert.likely_cause.partition(";")[0]).strip()
    if cause and not cause.startswith(NO_CAUSE):
        return cause
    rest = sorted((key, value) for key, value in alert.subject.items() if key not in PARTS)
    return " ".join([alert.name, *(f"{key}={value}" for key, value in rest)])


def hold(seconds: float, flaps: int) -> timedelta:
    """How long an incident is watched before it is resolved: twice as long with every flap.

    >>> [hold(60, flaps).seconds for flaps in (0, 1, 2, 9)]
    [60, 120, 240, 480]
    """
    return timedelta(seconds=seconds * 2 ** min(flaps, MOST_DOUBLINGS))


def title(alert: Alert) -> str:
    """`WeirBreakerOpen (stage ocr)`: the name, and of what."""
    where = ", ".join(f"{key} {value}" for key, value in sorted(alert.subject.items()))
    return f"{alert.name} ({where})" if where else alert.name


def is_firing(newest: Mapping[str, tuple[str, datetime]], now: datetime, quiet: float) -> bool:
    """`newest`: of every fingerprint, the kind of its newest entry and when it came.

    An alert that nobody cleared is over when it was not put again for `quiet` seconds.
    """
    age = timedelta(seconds=quiet)
    return any(kind == "raised" and now - at <= age for kind, at in newest.values())


def _resolve(target: str, incident: Incident, has_acted: bool) -> State:
    waiting: State = "acknowledged" if incident.acknowledged_by else "open"
    if target == WAITING:
        return waiting
    if target == BEFORE:
        return "mitigated" if has_acted else waiting
    for state in TABLE:
        if state == target:
            return state
    raise ValueError(f"{target!r} is no state")  # a misspelt table

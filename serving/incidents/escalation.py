"""Who is called about an incident and when: the on-call table as data, and a pure reading of it.

The file is `infra/config/on_call.yaml`. Levels come due as time passes, until somebody
acknowledges the incident; a mitigation that did not work brings the next level forward. A person
hears of one incident once within the quiet time, however often it flaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from data_contracts.config import Positive, Seconds, Section
from data_contracts.yaml_files import read_yaml
from serving.incidents.triage import Incident, Severity

Channel = Literal["webhook", "email"]
Whom = Literal["on_call", "next_in_turn", "fallback"]
NOT_CALLED_IN = ("monitoring", "resolved")


class Person(Section):
    """Where somebody is reached. `webhook_variable`: the environment variable with the address."""

    email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")] | None = None
    webhook_variable: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")] | None = None


class Rotation(Section):
    """Each of `people` in turn for `hours`, from `begins` on."""

    begins: AwareDatetime
    hours: Annotated[float, Field(gt=0)]
    people: Annotated[tuple[str, ...], Field(min_length=1)]

    def on_call(self, now: datetime, later: int = 0) -> str:
        """Who has the shift, or the one `later` shifts after it."""
        shift = (now - self.begins) // timedelta(hours=self.hours)
        return self.people[(shift + later) % len(self.people)]


class Level(Section):
    """Whom to call so many seconds after an incident began, by every channel that they have."""

    after_seconds: Annotated[float, Field(ge=0)]
    who: Whom
    by: tuple[Channel, ...]


class OnCall(Section):
    """The whole file."""

    people: dict[str, Person]
    rotation: Rotation
    fallback: str
    quiet_seconds: Seconds
    retry_seconds: Seconds
    attempts: Positive
    escalation: dict[Severity, tuple[Level, ...]]

    @model_validator(mode="after")
    def _know_everybody(self) -> Self:
        unknown = {*self.rotation.people, self.fallback} - set(self.people)
        if unknown:
            raise ValueError(f"{sorted(unknown)} are not among people; add how they are reached")
        for severity, levels in self.escalation.items():
            waits = [level.after_seconds for level in levels]
            if waits != sorted(waits):
                raise ValueError(f"escalation of {severity}: {waits} seconds: let them grow")
        return self

    def name_of(self, who: Whom, at: datetime) -> str:
        """The person who is meant, at this time."""
        if who == "fallback":
            return self.fallback
        return self.rotation.on_call(at, later=1 if who == "next_in_turn" else 0)


@dataclass(frozen=True)
class Call:
    """One message that is due: to whom, at which level, by which channel."""

    level: int
    person: str
    channel: Channel


@dataclass(frozen=True)
class Sent:
    """What became of an earlier one; `state` is sending, sent or failed."""

    round: int
    level: int
    person: str
    channel: Channel
    state: str
    attempts: int
    at: datetime


def due(incident: Incident, sent: Sequence[Sent], on_call: OnCall, now: datetime) -> list[Call]:
    """The messages to send now, the first level first."""
    if incident.acknowledged_by or incident.state in NOT_CALLED_IN:
        return []
    levels = on_call.escalation.get(incident.severity, ())
    waited = (now - incident.began_at).total_seconds()
    passed = sum(level.after_seconds <= waited for level in levels)
    calls: list[Call] = []
    for number, level in enumerate(levels[: passed + incident.attention]):
        for channel in level.by:
            call = Call(number, on_call.name_of(level.who, now), channel)
            if _is_wanted(call, incident, sent, on_call, now):
                calls.append(call)
    return calls


def load_on_call(path: Path) -> OnCall:
    """Raises ConfigurationError that names the field."""
    return read_yaml(OnCall, path, "incidents.on_call")


def _is_wanted(
    call: Call, incident: Incident, sent: Sequence[Sent], on_call: OnCall, now: datetime
) -> bool:
    """Not twice at one level; not again to one person within the quiet time."""
    quiet = timedelta(seconds=on_call.quiet_seconds)
    for one in sent:
        same_level = (one.round, one.level, one.channel) == (
            incident.round, call.level, call.channel,
        )  # fmt: skip
        if same_level:
            return one.state != "sent" and _may_retry(one, on_call, now)
        reached = one.state == "sent" and now - one.at < quiet
        if reached and (one.person, one.channel) == (call.person, call.channel):
            return False
    return True


def _may_retry(one: Sent, on_call: OnCall, now: datetime) -> bool:
    """`sending` is what a responder died over: it may not have arrived, so again, and at once."""
    waited = now - one.at >= timedelta(seconds=on_call.retry_seconds)
    return one.attempts < on_call.attempts and (waited or one.state == "sending")

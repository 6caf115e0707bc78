"""Mitigations that hold a switch: freeze training, prefilter only, thresholds, shedding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine

from pipelines import switches
from pipelines.switches import Hold
from serving.incidents.mitigation import RESPONDER, CannotMitigate, Case, Target
from serving.rollout.store import Clock, Fence

HEEDED_WITHIN = timedelta(minutes=2)  # readers ask every few seconds


@dataclass(frozen=True)
class HeldSwitch:
    """Holds one of `pipelines.switches` while the incident needs it; undone by letting go.

    The hold, its fence and its row in the audit trail are one transaction under the action's key,
    so it is held once, whoever dies when. `heeded_by`: what must have asked for the switch lately,
    else holding it would change nothing.
    """

    engine: Engine
    switch: switches.Name
    value_of: Callable[[Mapping[str, Any]], dict[str, Any]]
    clock: Clock
    heeded_by: str | None = None

    def prepare(self, case: Case) -> Target:
        try:
            value = self.value_of(case.parameters)
        except (ValueError, KeyError, TypeError) as error:
            raise CannotMitigate(str(error)) from None
        self._check_readers()
        reason = f"incident {case.incident.id}: {case.incident.title}"
        return {"key": case.key, "value": value, "reason": reason}

    def is_done(self, target: Target) -> bool:
        return switches.held_by(self.engine, target["key"]) is not None

    def act(self, target: Target, fence: Fence, /) -> None:
        wanted = Hold(
            self.switch, target["key"], target["value"], RESPONDER, target["reason"], self.clock()
        )
        with self.engine.begin() as connection:
            fence(connection)
            switches.hold(connection, wanted)

    def _check_readers(self) -> None:
        lately = self.clock() - HEEDED_WITHIN
        if self.heeded_by and not switches.readers(self.engine, self.switch, lately):
            raise CannotMitigate(
                f"no {self.heeded_by} has asked for the switch {self.switch} within "
                f"{HEEDED_WITHIN.total_seconds():.0f} s, so holding it would change nothing"
            )

    def undo(self, target: Target, fence: Fence, /) -> None:
        with self.engine.begin() as connection:
            fence(connection)
            switches.release(connection, target["key"], RESPONDER, self.clock())

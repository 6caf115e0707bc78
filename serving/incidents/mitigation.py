"""What a mitigation is: prepared, done and undone, each safe to be begun again.

`prepare` reads the world and settles exactly what is to be done; that is written down before it is
done. `is_done` asks the world, not a memory: a responder that was killed between the two finds out,
and does nothing twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from data_contracts.alerts import Alert
from data_contracts.errors import BadInput
from serving.incidents.triage import Incident
from serving.rollout.store import Fence

Target = dict[str, Any]
RESPONDER = "weir-incidents"


class CannotMitigate(BadInput):
    """The mitigation makes no sense here, or may not be done; the message says why."""


@dataclass(frozen=True)
class Case:
    """What a mitigation is told: the incident, what was seen of it, and the action's key."""

    incident: Incident
    alerts: Sequence[Alert]
    parameters: Mapping[str, Any]
    key: str

    def named(self, key: str) -> str | None:
        """What the first alert that says so names, such as the `model_version`."""
        return next((one.subject[key] for one in self.alerts if key in one.subject), None)


class Mitigation(Protocol):
    """`act` and `undo` may be begun again after a crash; both raise WeirError where they fail."""

    def prepare(self, case: Case) -> Target:
        """Exactly what is to be done. Raises CannotMitigate."""

    def is_done(self, target: Target) -> bool:
        """Whether it was done, by whomever."""

    def act(self, target: Target, fence: Fence, /) -> None: ...

    def undo(self, target: Target, fence: Fence, /) -> None: ...

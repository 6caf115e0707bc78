"""Interfaces that one folder calls and another implements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from data_contracts.events import Event
from data_contracts.verdicts import Assessment, Verdict


class Scorer(Protocol):
    """Fresh verdicts for events, in their order; used by samplers and monitoring."""

    def score(self, events: Sequence[Event]) -> Sequence[Verdict]: ...


class Assessor(Protocol):
    """The ensemble's own inference: the same object is trained, gated and served."""

    def assess(self, events: Sequence[Event]) -> Sequence[Assessment]: ...


@runtime_checkable
class SettlingAssessor(Assessor, Protocol):
    """An assessor that knows at once which events need none of its networks."""

    def settled(self, events: Sequence[Event]) -> Sequence[Assessment | None]:
        """What `assess` answers, where it needs no network; None elsewhere."""
        ...


class TrialLog(Protocol):
    """Where the trials of a hyperparameter search are recorded as they end."""

    def trial(
        self,
        stage: str,
        number: int,
        parameters: Mapping[str, object],
        value: float | None,
        state: str,
    ) -> None:
        """One ended trial of a stage's search; `value` is None where it was pruned or failed."""
        ...

    def importances(self, stage: str, shares: Mapping[str, float]) -> None:
        """The part of each parameter in the differences between the stage's trials."""
        ...

"""From events to verdicts: ask the assessor, stamp versions and arm, measure the time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from data_contracts.events import Event
from data_contracts.protocols import Assessor
from data_contracts.verdicts import Arm, Budget, Verdict


@dataclass(frozen=True)
class Decision:
    """The verdicts of one request, in the order of its events, and what deciding took.

    `budgets` are the cost decisions behind each verdict, for its record; empty: nothing bounded.
    """

    verdicts: tuple[Verdict, ...]
    milliseconds: float
    budgets: tuple[Budget, ...] = ()


@dataclass(frozen=True)
class Cascade:
    """The ensemble as one version serves it.

    `model_version` is the registry's number where it is known, else the artefact's own id.
    A verdict depends on its event and the versions, never on its neighbours in `events`.
    """

    assessor: Assessor
    model_version: str
    threshold_version: str
    clock: Callable[[], float] = time.perf_counter

    def decide(self, events: Sequence[Event], arm: Arm = "stable") -> Decision:
        """One verdict an event. Runs in the caller's thread and takes as long as the models."""
        began = self.clock()
        assessments = self.assessor.assess(events)
        verdicts = tuple(
            Verdict.of(
                event.event_id,
                assessment,
                model_version=self.model_version,
                threshold_version=self.threshold_version,
                arm=arm,
            )
            for event, assessment in zip(events, assessments, strict=True)
        )
        return Decision(verdicts, round(1000 * (self.clock() - began), 3))

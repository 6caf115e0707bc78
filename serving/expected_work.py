"""What an event is expected to cost: the unit of work of admission and micro-batching.

In milliseconds as the stages declare them. Only the proportions matter (a picture costs as much as
fifty texts): how long a unit really takes is measured (`serving.drain_rate`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from data_contracts.config import EnsembleStage
from data_contracts.events import Event

TEXT_MILLISECONDS = 0.5  # of what every event goes through


class ExpectedWork:
    """Called with an event; never below TEXT_MILLISECONDS. `deferred` stages run afterwards."""

    def __init__(self, stages: Mapping[str, EnsembleStage], deferred: Collection[str] = ()) -> None:
        self._by_kind: dict[str, float] = {}
        for name, stage in stages.items():
            if name not in deferred:
                known = self._by_kind.get(stage.modality, 0.0)
                self._by_kind[stage.modality] = known + stage.cpu_milliseconds

    def __call__(self, event: Event) -> float:
        if not event.media:
            return TEXT_MILLISECONDS
        kinds = {one.kind for one in event.media}
        return TEXT_MILLISECONDS + sum(self._by_kind.get(kind, 0.0) for kind in kinds)

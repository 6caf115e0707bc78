"""The mitigation that asks people to look: today's events are taken in and sampled now.

It acts upon nobody. What follows are the loop's own steps: labels start the training, which refuses
by itself while it is frozen, and gates and a reviewer stand before any release.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from data_contracts.errors import WeirError
from serving.approval.airflow import DagRuns
from serving.incidents.mitigation import CannotMitigate, Case, Target
from serving.rollout.store import Clock, Fence

DAG = "daily_sampling"
FAILED = "failed"
Runs = Callable[[], DagRuns]  # signs in when it is called, so that a missing password stops nothing


@dataclass(frozen=True)
class SampleNow:
    """One run of the sampling DAG under the action's key; Airflow knows whether it was started.

    `check` raises ValueError for parameters beyond the limits. `runs` None: no Airflow is known.
    """

    runs: Runs | None
    check: Callable[[Mapping[str, Any]], None]
    clock: Clock

    def prepare(self, case: Case) -> Target:
        try:
            self.check(case.parameters)
        except (ValueError, KeyError, TypeError) as error:
            raise CannotMitigate(str(error)) from None
        if self.runs is None:
            raise CannotMitigate("no Airflow is configured; set approval.airflow_url")
        day = self.clock().date().isoformat()
        conf = {"day": day, "budget": case.parameters["budget"]}
        return {"run_id": f"{case.key}__{day}", "conf": conf}

    def is_done(self, target: Target) -> bool:
        """There is such a run, and it did not fail."""
        return self._runs().state_of(target["run_id"]) not in (None, FAILED)

    def act(self, target: Target, _fence: Fence, /) -> None:
        run_id = target["run_id"]
        if self._runs().start(run_id, target["conf"]) == FAILED:
            raise WeirError(f"{DAG} run {run_id} failed; clear its failed task in Airflow")

    def undo(self, _target: Target, _fence: Fence, /) -> None:
        raise CannotMitigate(
            "there is nothing to undo: people were asked to look, and what they said stays; a bad "
            "batch is taken out by: python -m training remove-batch"
        )

    def _runs(self) -> DagRuns:
        if self.runs is None:
            raise CannotMitigate("no Airflow is configured; set approval.airflow_url")
        return self.runs()

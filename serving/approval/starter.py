"""What follows from an approval, or from its end: one DAG run, or one request to abort.

Everything is asked anew of the registry, the rollout store and Airflow, so it may be called any
number of times, by the webhook and by the reconciliation, and by both at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from sqlalchemy import Engine

from data_contracts.errors import BadInput
from pipelines import audit_trail
from serving.approval.airflow import DagRuns
from serving.rollout.store import RolloutStore
from training.approval import Approval
from training.gate_evidence import ROLLOUT_PREFIX
from training.registry import ModelVersion

WHO = "approval receiver"
EVIDENCE_CHARACTERS = 12  # of the evidence's hash, in a run's id
Answer = Literal["started", "already started", "not approved", "waits", "aborting", "nothing to do"]


class Approvals(Protocol):
    """What is asked of the registry. Each may raise ServiceUnavailable."""

    def challenger(self) -> ModelVersion | None: ...
    def is_approved(self, version: str) -> Approval: ...


@dataclass(frozen=True)
class Outcome:
    """What was done about a version, and why or with which run."""

    answer: Answer
    version: str
    detail: str

    def __str__(self) -> str:
        return f"version {self.version}: {self.answer}: {self.detail}"


@dataclass(frozen=True)
class Starter:
    """Starts the DAG of an approved challenger; asks to abort the rollout of a revoked one."""

    approvals: Approvals
    store: RolloutStore
    runs: DagRuns
    trail: Engine
    clock: Callable[[], datetime]

    def act(self, version: str) -> Outcome:
        """What is to be done about this version now."""
        active = self.store.active()
        if active is not None and active.version == version:
            return self._abort_if_revoked(version)
        challenger = self.approvals.challenger()
        if challenger is None or str(challenger.number) != version:
            return Outcome("nothing to do", version, "it is not the challenger")
        approval = self.approvals.is_approved(version)
        if not approval.approved:
            return Outcome("not approved", version, approval.reason)
        if active is not None:
            return Outcome("waits", version, f"version {active.version} is at {active.label}")
        return self._start(challenger, approval)

    def reconcile(self) -> list[Outcome]:
        """Whatever no webhook told: the rollout under way first, then the challenger."""
        active, challenger = self.store.active(), self.approvals.challenger()
        versions = [active.version] if active is not None else []
        versions += [str(challenger.number)] if challenger is not None else []
        return [self.act(version) for version in dict.fromkeys(versions)]

    def _start(self, version: ModelVersion, approval: Approval) -> Outcome:
        number, run_id = str(version.number), run_of(version, approval)
        state = self.runs.start(run_id, {"model": version.uri, "version": number})
        if state is not None:
            hint = "; clear its failed task in Airflow" if state == "failed" else ""
            return Outcome("already started", number, f"run {run_id} is {state}{hint}")
        audit_trail.record(
            self.trail, WHO, f"{ROLLOUT_PREFIX}asked for, approved by {approval.by}", version.uri,
            approval.evidence or "", self.clock(),
        )  # fmt: skip
        return Outcome("started", number, f"run {run_id}")

    def _abort_if_revoked(self, version: str) -> Outcome:
        approval = self.approvals.is_approved(version)
        if not approval.revoked:
            return Outcome("nothing to do", version, "its rollout is under way")
        try:
            self.store.ask("abort", WHO)
        except BadInput as error:  # it ended meanwhile
            return Outcome("nothing to do", version, str(error))
        return Outcome("aborting", version, approval.reason)


def run_of(version: ModelVersion, approval: Approval) -> str:
    """The DAG run's id: one for each approval, so that webhook and reconciliation agree.

    The number is the approval's row in the audit trail; who approves again, asks again.
    """
    evidence = (approval.evidence or "").partition(":")[2][:EVIDENCE_CHARACTERS]
    return f"approval__{version.model}_{version.number}_{evidence}_{approval.entry}"

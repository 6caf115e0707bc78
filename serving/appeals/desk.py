"""What accounts and reviewers may ask of appeals, whatever carries the question: JSON or a form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from data_contracts.errors import BadInput, ContractViolation
from evaluation.monitoring.business_appeals import Success, success
from pipelines.labelling.appeal_records import Appeal, AppealRefused
from pipelines.labelling.appeal_tables import APPEAL_STATES
from pipelines.labelling.appeals import LONGEST_REASON, AppealStore, Decision
from serving.appeals.contested import Verdicts
from serving.appeals.effects import Effects
from serving.appeals.pace import Pace
from serving.appeals.proof import Proof

LONGEST_EVENT_ID = 128
Answer = tuple[int, dict[str, Any]]  # HTTP status and JSON


@dataclass(frozen=True)
class Desk:
    """Each method takes the token of who asks. Raises NoProof, AppealRefused, ContractViolation."""

    store: AppealStore
    verdicts: Verdicts
    proof: Proof
    effects: Effects
    pace: Pace
    longest_statement: int
    clock: Callable[[], datetime]
    since: Callable[[], datetime]  # from when decided appeals count for success rates

    def submit(self, token: str, given: Mapping[str, Any]) -> Answer:
        """201 for a new appeal, 200 for the one that there is."""
        account = self._account(token)
        _only(given, {"event_id", "statement"})
        event_id = _text(given, "event_id", LONGEST_EVENT_ID)
        statement = _text(given, "statement", self.longest_statement)
        now = self.clock()
        standing = self.verdicts.standing(event_id, now)
        if standing is None or standing.contested.account != account:
            raise AppealRefused(
                "unknown", f"event_id = {event_id!r}: no verdict about an event of this account; "
                "check the id, or sign in with the account that posted it",
            )  # fmt: skip
        appeal, is_new = self.store.submit(standing.contested, statement, now)
        return (201 if is_new else 200), self._to_account(appeal)

    def status(self, token: str, appeal_id: str) -> Answer:
        """Of one's own appeal."""
        return 200, self._to_account(self._own(token, appeal_id))

    def withdraw(self, token: str, appeal_id: str) -> Answer:
        account = self._account(token)
        return 200, self._to_account(self.store.withdraw(appeal_id, account, self.clock()))

    def listed(self, token: str, given: Mapping[str, str]) -> Answer:
        """For reviewers: appeals in a state, those that are due first."""
        self.proof.reviewer(token)
        state = given.get("state", "submitted")
        if state not in APPEAL_STATES:
            raise ContractViolation(
                "state", state, "is no state of an appeal", f"give one of {APPEAL_STATES}"
            )
        limit = given.get("limit", "100")
        if not (limit.isdecimal() and 1 <= int(limit) <= 500):
            raise ContractViolation("limit", limit, "is no number of appeals", "give 1 to 500")
        now = self.clock()
        found = self.store.in_state(state, int(limit))
        overdue = self.store.overdue(now)
        return 200, {"appeals": [_listed(one, now) for one in found], "overdue": overdue}

    def read(self, token: str, appeal_id: str) -> Answer:
        """For reviewers: the whole case, with what both the event and its account say."""
        self.proof.reviewer(token)
        appeal = self._known(appeal_id)
        event = self.verdicts.standing(appeal.contested.event_id, self.clock())
        shown = None if event is None else event.event
        return 200, {
            **_listed(appeal, self.clock()),
            "statement": appeal.statement,
            "text": None if shown is None else shown.text,
            "media": [] if shown is None else [one.sha256 for one in shown.media],
            "effects": self.store.effects(appeal.id),
        }

    def take(self, token: str, appeal_id: str) -> Answer:
        reviewer = self.proof.reviewer(token)
        return 200, _listed(self.store.take(appeal_id, reviewer, self.clock()), self.clock())

    def decide(self, token: str, appeal_id: str, given: Mapping[str, Any]) -> Answer:
        """Uphold or overturn, with a reason for the account; its effects are carried out at once,
        or later where they cannot be.
        """
        reviewer = self.proof.reviewer(token)
        _only(given, {"decision", "reason"})
        decision = given.get("decision")
        if decision not in ("uphold", "overturn"):
            raise ContractViolation(
                "decision", decision, "is no decision", "give uphold or overturn"
            )
        why = _text(given, "reason", LONGEST_REASON)
        appeal = self.store.decide(
            appeal_id, cast("Decision", decision), reviewer, why, self.clock()
        )
        self.effects.carry_out()
        return 200, {
            **_listed(appeal, self.clock()), "effects": self.store.effects(appeal.id),
        }  # fmt: skip

    def success(self, token: str) -> Answer:
        """For reviewers: how often appeals are overturned, by reason and slice."""
        self.proof.reviewer(token)
        return 200, self.rates().as_record()

    def rates(self) -> Success:
        return success(self.store.closed_since(self.since()))

    def _account(self, token: str) -> str:
        account = self.proof.account(token)
        wait = self.pace.wait(account)
        if wait is not None:
            raise AppealRefused("too_many", "too many requests of this account; wait", wait)
        return account

    def _own(self, token: str, appeal_id: str) -> Appeal:
        account, appeal = self._account(token), self._known(appeal_id)
        if appeal.contested.account != account:
            raise AppealRefused("unknown", f"appeal {appeal_id[:40]!r} is not known; check its id")
        return appeal

    def _known(self, appeal_id: str) -> Appeal:
        appeal = self.store.find(appeal_id)
        if appeal is None:
            raise AppealRefused("unknown", f"appeal {appeal_id[:40]!r} is not known; check its id")
        return appeal

    def _to_account(self, appeal: Appeal) -> dict[str, Any]:
        """Neither who reviews it nor how sure the model was: the decision, and why."""
        return {
            "appeal": appeal.id,
            "event_id": appeal.contested.event_id,
            "action": appeal.contested.action,
            "reasons": list(appeal.contested.reasons),
            "state": appeal.state,
            "submitted_at": appeal.submitted_at.isoformat(),
            "due_at": appeal.due_at.isoformat(),
            "decided_at": appeal.closed_at.isoformat() if appeal.closed_at else None,
            "why": appeal.why,
        }


def _listed(appeal: Appeal, now: datetime) -> dict[str, Any]:
    about = appeal.contested
    return {
        "appeal": appeal.id,
        "event_id": about.event_id,
        "revision": about.revision,
        "action": about.action,
        "score": about.score,
        "reasons": list(about.reasons),
        "language": about.language,
        "modality": about.modality,
        "model_version": about.model_version,
        "threshold_version": about.threshold_version,
        "origin": appeal.origin,
        "state": appeal.state,
        "submitted_at": appeal.submitted_at.isoformat(),
        "due_at": appeal.due_at.isoformat(),
        "overdue": appeal.is_overdue(now),
        "reviewer": appeal.reviewer,
        "why": appeal.why,
    }


def _only(given: Mapping[str, Any], known: set[str]) -> None:
    if not isinstance(given, Mapping):
        raise BadInput(f"the body is no JSON object; give {', '.join(sorted(known))}")
    for name in given:
        if name not in known:
            raise ContractViolation(
                str(name)[:LONGEST_EVENT_ID], "…", "is not a field of this request",
                f"give {', '.join(sorted(known))}",
            )  # fmt: skip


def _text(given: Mapping[str, Any], name: str, longest: int) -> str:
    """The field; what a user wrote is described in errors, and never shown."""
    value = given.get(name)
    if not isinstance(value, str):
        kind = None if value is None else type(value).__name__
        raise ContractViolation(name, kind, "is no text", f"give 1 to {longest} characters")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ContractViolation(
            name, f"{len(value)} characters", "has lone surrogates", "give Unicode text"
        ) from None
    if not 0 < len(value.strip()) <= longest:
        length = len(value.strip())
        raise ContractViolation(
            name, f"{length} characters", "has the wrong length", f"give 1 to {longest} characters"
        )
    return value.strip()

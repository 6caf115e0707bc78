"""What counts as an approval: decided from a version's tags and the audit trail, nothing else.

A reviewer sets MLflow's tag `weir.approval=approved`. The tag by itself is worth nothing: MLflow's
server plugin must have recorded who set it, that person must be a reviewer who did not train the
model (four eyes), and the gates must have passed exactly this version, on the evidence that lay
there at that moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine

from data_contracts.config import Registry
from pipelines import audit_trail
from pipelines.audit_trail import Entry, Tampering
from training.gate_evidence import (
    APPROVAL_PREFIX,
    APPROVAL_SET,
    APPROVAL_TAG,
    APPROVED,
    GATES_RECORDED,
    MODEL_LOGGED,
    RUN_CREATED,
    TRAINING_TRIGGERED,
    VERSION_CREATED,
    evidence_hash,
    missing_evidence,
    run_subject,
)
from training.registry.versions import ModelVersion
from training.waivers import WaiverRules, waived_without_right

GIVEN = f"{APPROVAL_SET}{APPROVED}"
MADE = (VERSION_CREATED, MODEL_LOGGED, RUN_CREATED, TRAINING_TRIGGERED)


@dataclass(frozen=True)
class Rules:
    """Whose approval counts, on which gates, for how long, and who may waive what they lack."""

    reviewers: frozenset[str]
    required_gates: tuple[str, ...]
    lifetime: timedelta
    waivers: WaiverRules

    @classmethod
    def of(cls, settings: Registry) -> Rules:
        hours = timedelta(hours=settings.approval_lifetime_hours)
        reviewers, waivers = frozenset(settings.reviewers), WaiverRules.of(settings)
        return cls(reviewers, settings.required_gates, hours, waivers)


@dataclass(frozen=True)
class Approval:
    """Whether a version may meet traffic; `reason` says why not, and is empty where it may.

    Three answers, and a fourth that is no answer:

    - `approved`: a rollout may start.
    - `expired`: it was approved, and since then nothing but time went by (the approval's lifetime
      or a waiver's last day). No rollout may start on it; one that started before goes on, and
      may raise weights and become champion.
    - `revoked`, which is neither: the tag was removed or changed, the evidence is another, the
      trail is broken, or there never was an approval. Nothing starts, and a rollout under way is
      rolled back with `reason` ("approval was revoked by ada on …").
    - MLflow or the state database did not answer: `is_approved` raises `ServiceUnavailable`, which
      is neither yes nor no. A rollout stays as it is, exposure neither rises nor falls; ask again.

    `by`, `at` and `evidence` are the approval's while it stands (approved or expired), `entry` is
    the number of its row in the audit trail: a new approval is a new row.
    """

    approved: bool
    version: int
    by: str | None = None
    at: datetime | None = None
    evidence: str | None = None
    reason: str = ""
    expired: bool = False
    entry: int | None = None

    @property
    def revoked(self) -> bool:
        """True where a rollout under way must be rolled back; see the class."""
        return not (self.approved or self.expired)


def decide(
    version: ModelVersion,
    rows: Sequence[Entry],
    tampering: Tampering | None,
    rules: Rules,
    now: datetime,
) -> Approval:
    """Is this version approved? `rows` are the trail's about it, its run and its logged model."""
    own = [row for row in rows if row.subject == version.uri]
    row = latest(own, APPROVAL_PREFIX)
    given_at = now if row is None else row.at
    problem = (
        _tag_problem(version, own)
        or (str(tampering) if tampering else None)
        or _evidence_problem(version, own, rules, given_at)
        or _record_problem(version, row, rules)
    )
    if problem or row is None:
        return Approval(False, version.number, reason=problem or "no record")
    if problem := own_work(version, rows, row.who):
        return Approval(False, version.number, reason=problem)
    late = _too_late(version, row, rules, now)
    return Approval(
        late is None, version.number, row.who, row.at, row.evidence, late or "",
        expired=late is not None, entry=row.number,
    )  # fmt: skip


def own_work(version: ModelVersion, rows: Sequence[Entry], reviewer: str) -> str | None:
    """Four eyes: why this reviewer may not approve the version, or None.

    Who trained is what MLflow's server recorded: who created the run, logged the model and
    registered the version, and who is named as having started the training by hand.
    """
    for subject, what in (
        (version.uri, VERSION_CREATED),
        (version.source, MODEL_LOGGED),
        (run_subject(version.run_id), RUN_CREATED),
    ):
        if not any((row.subject, row.what) == (subject, what) for row in rows):
            return (
                f"nobody is known to have trained it: the trail has no '{what}' of {subject}; "
                "train and register it anew through Weir's MLflow server"
            )
    found = next((row for row in rows if row.who == reviewer and row.what in MADE), None)
    if found is None:
        return None
    return (
        f"four eyes: {reviewer} trained it ({found.what}, {found.subject}); another reviewer must "
        "approve"
    )


def trail_of(trail: Engine, version: ModelVersion) -> list[Entry]:
    """The audit trail's rows about a version, its logged model and its run, in their order."""
    subjects = (version.uri, version.source, run_subject(version.run_id))
    rows = [row for subject in subjects for row in audit_trail.entries(trail, subject)]
    return sorted(rows, key=lambda row: row.number)


def latest(rows: Sequence[Entry], prefix: str) -> Entry | None:
    """The newest row whose words begin so."""
    return next((row for row in reversed(rows) if row.what.startswith(prefix)), None)


def _tag_problem(version: ModelVersion, own: Sequence[Entry]) -> str | None:
    value = version.tags.get(APPROVAL_TAG)
    if value == APPROVED:
        return None
    shown = "is gone" if value is None else f"is {value!r}, not {APPROVED}"
    row = latest(own, APPROVAL_PREFIX)
    if row is None or not any(entry.what == GIVEN for entry in own):
        remedy = f"no tag {APPROVAL_TAG}; a reviewer sets it to {APPROVED} in MLflow"
        return remedy if value is None else f"tag {APPROVAL_TAG} {shown}"
    if row.what == GIVEN:
        return f"approval was revoked: tag {APPROVAL_TAG} {shown}, and no record says by whom"
    return f"approval was revoked by {row.who} on {row.at:%Y-%m-%d %H:%M} UTC: the tag {shown}"


def _evidence_problem(
    version: ModelVersion, own: Sequence[Entry], rules: Rules, at: datetime
) -> str | None:
    missing = missing_evidence(version.tags, rules.required_gates)
    if missing:
        return missing
    row = latest(own, GATES_RECORDED)
    if row is None or row.evidence != evidence_hash(version):
        return "the gates' tags are not what `training promote` recorded; run it again"
    return waived_without_right(version, rules.waivers, at)


def _record_problem(version: ModelVersion, row: Entry | None, rules: Rules) -> str | None:
    if row is None:
        return "the tag has no record of MLflow's server plugin, so nobody is known to have set it"
    if row.what != GIVEN:
        return f"the newest record of the tag says {row.what!r}"
    if row.who not in rules.reviewers:
        return f"{row.who} set the tag and is no reviewer ({', '.join(sorted(rules.reviewers))})"
    if row.evidence != evidence_hash(version):
        return "the gates' evidence changed after the approval; approve it again"
    return None


def _too_late(version: ModelVersion, row: Entry, rules: Rules, now: datetime) -> str | None:
    if found := waived_without_right(version, rules.waivers, now):
        return found
    if now > row.at + rules.lifetime:
        hours = rules.lifetime.total_seconds() / 3600
        return f"the approval of {row.at:%Y-%m-%d %H:%M} UTC ran out after {hours:g} hours"
    return None

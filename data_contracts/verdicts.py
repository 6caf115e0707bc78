"""What Weir decides about an event, and how it came to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Action = Literal["allow", "limit", "challenge", "review", "block"]
ACTIONS: tuple[Action, ...] = ("allow", "limit", "challenge", "review", "block")
Arm = Literal["stable", "baseline", "canary", "shadow"]
SCORE_DECIMALS = 6


@dataclass(frozen=True)
class Stage:
    """One stage of the cascade: whether it ran, its score in [0, 1], and why it was skipped."""

    name: str
    ran: bool
    score: float | None = None
    skipped_because: str | None = None


@dataclass(frozen=True)
class Assessment:
    """The ensemble's own answer: a calibrated probability of spam and the action it calls for."""

    score: float
    action: Action
    reasons: tuple[str, ...]
    stages: tuple[Stage, ...]

    @property
    def is_positive(self) -> bool:
        """Any action but allow counts as positive."""
        return self.action != "allow"


@dataclass(frozen=True)
class Verdict:
    """The decision about one event; a higher `revision` of the same event supersedes."""

    event_id: str
    score: float
    action: Action
    reasons: tuple[str, ...]
    stages: tuple[Stage, ...]
    model_version: str
    threshold_version: str
    arm: Arm = "stable"
    revision: int = 0

    @classmethod
    def of(
        cls,
        event_id: str,
        assessment: Assessment,
        *,
        model_version: str,
        threshold_version: str,
        arm: Arm = "stable",
    ) -> Verdict:
        """The verdict that an assessment by a model version becomes."""
        return cls(
            event_id=event_id,
            score=round(assessment.score, SCORE_DECIMALS),
            action=assessment.action,
            reasons=assessment.reasons,
            stages=assessment.stages,
            model_version=model_version,
            threshold_version=threshold_version,
            arm=arm,
        )

    def revised(self, assessment: Assessment) -> Verdict:
        """The next revision, after a stage that ran later."""
        return replace(
            self,
            score=round(assessment.score, SCORE_DECIMALS),
            action=assessment.action,
            reasons=assessment.reasons,
            stages=assessment.stages,
            revision=self.revision + 1,
        )

    def as_record(self) -> dict[str, Any]:
        """Plain JSON types, as in `verdicts.jsonl` and the lake."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Verdict:
        """The inverse of `as_record`, also after a way through JSON. KeyError, TypeError."""
        stages = tuple(Stage(**stage) for stage in record["stages"])
        return cls(**{**record, "reasons": tuple(record["reasons"]), "stages": stages})


@dataclass(frozen=True)
class DecisionRecord:
    """A verdict with what replay needs: the event (its account hashed) and when it was decided.

    One JSON line each in `{home}/decisions/`; ingestion moves them to the lake. `mirrored`
    records come from shadow traffic and never count as decisions.
    """

    verdict: Verdict
    event: dict[str, Any]
    decided_at: str
    mirrored: bool
    milliseconds: float

    def as_record(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> DecisionRecord:
        """The inverse of `as_record`, also after a way through JSON. KeyError, TypeError."""
        return cls(**{**record, "verdict": Verdict.from_record(record["verdict"])})

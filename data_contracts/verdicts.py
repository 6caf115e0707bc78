"""What Weir decides about an event, and how it came to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Action = Literal["allow", "limit", "challenge", "review", "block"]
ACTIONS: tuple[Action, ...] = ("allow", "limit", "challenge", "review", "block")
Arm = Literal["stable", "baseline", "canary", "shadow"]
SCORE_DECIMALS = 6
RECORD_FORMAT = 2  # of decision records; readers know every earlier one
_SHIFTED_BY = "~"  # between the id of fitted thresholds and what they are shifted by


def shifted_thresholds(version: str, log_odds: float) -> str:
    """The version of thresholds that are shifted for a while.

    >>> shifted_thresholds("thresholds-1f", 0.5), shifted_thresholds("thresholds-1f", 0.0)
    ('thresholds-1f~+0.5', 'thresholds-1f')
    """
    return f"{version}{_SHIFTED_BY}{log_odds:+g}" if log_odds else version


def fitted_thresholds(version: str) -> str:
    """The version of the thresholds as they were fitted, whatever they are shifted by.

    >>> fitted_thresholds("thresholds-1f~+0.5")
    'thresholds-1f'
    """
    return version.partition(_SHIFTED_BY)[0]


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
class Budget:
    """What was decided about the cost of one event beside its content: replay decides the same.

    `milliseconds` bounds the expected CPU of the stages beyond the cheap ones (None: no bound).
    `every_stage` forbids early exits, with the chance at which events are drawn for it.
    `withheld` are stages that were not to be tried, each with the reason: a breaker that is open,
    a time-out, a stage that runs afterwards; and `features`, where the past could not be read.
    `threshold_shift` log-odds were added to every threshold, while incident response held it so.
    """

    milliseconds: float | None = None
    every_stage: bool = False
    every_stage_chance: float | None = None
    withheld: tuple[tuple[str, str], ...] = ()
    threshold_shift: float = 0.0

    def as_record(self) -> dict[str, Any]:
        """Plain JSON types; what says nothing is left out."""
        stored: dict[str, Any] = {}
        if self.milliseconds is not None:
            stored["milliseconds"] = self.milliseconds
        if self.every_stage:
            stored["every_stage"] = True
        if self.every_stage_chance is not None:
            stored["every_stage_chance"] = self.every_stage_chance
        if self.withheld:
            stored["withheld"] = dict(self.withheld)
        if self.threshold_shift:
            stored["threshold_shift"] = self.threshold_shift
        return stored

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Budget:
        """The inverse of `as_record`. TypeError for what is none."""
        return cls(**{**record, "withheld": tuple(record.get("withheld", {}).items())})

    def as_arguments(self) -> dict[str, Any]:
        """The keyword arguments of `assess` that hold an assessor to it."""
        said: dict[str, Any] = {}
        if self.milliseconds is not None:
            said["budget_milliseconds"] = self.milliseconds
        if self.every_stage:
            said["every_stage"] = True
        if self.withheld:
            said["withheld"] = dict(self.withheld)
        if self.threshold_shift:
            said["threshold_shift"] = self.threshold_shift
        return said


UNBOUNDED = Budget()


@dataclass(frozen=True)
class DecisionRecord:
    """A verdict with what replay needs, as one JSON line of `{home}/decisions/` holds it.

    `event` is the event as it was decided: its account hashed, its features of the past with it.
    `event_sha256` is that of its bytes in the line, and `artefact` the artefact's own id, whatever
    number the registry gave it; both None in records of format 1, which also knew no budget.
    `mirrored` records come from shadow traffic and never count as decisions.
    """

    verdict: Verdict
    event: dict[str, Any]
    decided_at: str
    mirrored: bool
    milliseconds: float
    budget: Budget = UNBOUNDED
    artefact: str | None = None
    event_sha256: str | None = None
    format: int = 1

    def as_record(self) -> dict[str, Any]:
        """Plain JSON types; what a record of its format does not know is left out."""
        stored = {
            "verdict": self.verdict.as_record(),
            "event": self.event,
            "decided_at": self.decided_at,
            "mirrored": self.mirrored,
            "milliseconds": self.milliseconds,
        }
        if self.format == 1:
            return stored
        later = {"artefact": self.artefact, "event_sha256": self.event_sha256}
        return {
            "format": self.format, **stored, **later, "budget": self.budget.as_record(),
        }  # fmt: skip

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> DecisionRecord:
        """Of any format up to RECORD_FORMAT, also after a way through JSON.

        Raises KeyError or TypeError for what is no record, ValueError for a later format.
        """
        if record.get("format", 1) > RECORD_FORMAT:
            raise ValueError(f"format {record['format']} is later than {RECORD_FORMAT}")
        return cls(
            **{
                **record,
                "verdict": Verdict.from_record(record["verdict"]),
                "budget": Budget.from_record(record.get("budget", {})),
            }
        )

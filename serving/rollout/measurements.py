"""What the judge is given and what it says: samples in, measurements out. No judging here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from data_contracts.config import Rollout as RolloutSettings
from data_contracts.config import RolloutMetrics, RolloutStep
from data_contracts.reports import GateVerdict
from serving.rollout.latency_histogram import LatencyHistogram

ALL = "all"  # the slice that holds everything
SCORE_CUTS = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98)


@dataclass(frozen=True)
class Labelled:
    """Decided events of one kind, and what people have said so far of those they labelled.

    The labelled ones stand for all of their kind: what is labelled first must not depend on what
    the label will be.
    """

    events: int = 0
    ham: float = 0
    spam: float = 0

    @property
    def share(self) -> float:
        """Of the events, how many have a label; of no events, all."""
        return min((self.ham + self.spam) / self.events, 1.0) if self.events else 1.0

    @property
    def spam_share(self) -> float:
        """Of spam among the labelled; acted-on events without any label are taken for spam."""
        labelled = self.ham + self.spam
        return self.spam / labelled if labelled else 1.0


@dataclass(frozen=True)
class PairedSlice:
    """Events that both models decided, by who acted on them (any action but allow)."""

    events: int
    only_canary: Labelled = Labelled()
    only_reference: Labelled = Labelled()
    both: Labelled = Labelled()


@dataclass(frozen=True)
class ArmSlice:
    """Events that one arm decided, and those that it acted on."""

    events: int
    acted: Labelled = Labelled()


@dataclass(frozen=True)
class Sample:
    """What one arm answered: requests, how many went wrong, and how long the others took.

    `scores`: decisions by the cuts that they reach, `SCORE_CUTS` (one more entry than cuts).
    `guardrails`: by name, requests that led to an appeal, a report or the like. Whatever is None
    or absent was not measured.
    """

    requests: int
    errors: int
    milliseconds: LatencyHistogram | Iterable[float]
    scores: tuple[int, ...] | None = None
    cpu_milliseconds: LatencyHistogram | None = None
    slices: Mapping[str, ArmSlice] = field(default_factory=dict)
    guardrails: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Pairs:
    """Distinct events that both models decided, and on how many only one of them acted.

    Acted is any action but allow, as monitoring counts it: how hard both act is not compared, for
    a model that has learnt more is surer, and that alone is no reason to stop it.
    """

    events: int
    disagreements: int
    slices: Mapping[str, PairedSlice] = field(default_factory=dict)


@dataclass(frozen=True)
class Bounds:
    """What the canary is held to in one step of a rollout of `judged_steps` steps."""

    minimum_requests: int
    judged_steps: int
    confidence: float
    metrics: RolloutMetrics
    require_quality: bool
    minimum_slice_share: float
    maximum_slices: int

    @classmethod
    def of(cls, settings: RolloutSettings, step: RolloutStep, judged_steps: int) -> Bounds:
        """The bounds of a step, as configured."""
        return cls(
            minimum_requests=step.minimum_requests,
            judged_steps=max(judged_steps, 1),
            confidence=settings.confidence,
            metrics=settings.metrics,
            require_quality=settings.require_quality,
            minimum_slice_share=settings.minimum_slice_share,
            maximum_slices=settings.maximum_slices,
        )


@dataclass(frozen=True)
class Measurement:
    """One metric: the two arms' values, the harm with its interval, and what it means.

    It fails when the interval lies wholly beyond `bound` (the tolerance), and passes when it lies
    wholly within `margin`. `required`: the step waits for it. A limit of the interval is None
    where the data set none.
    """

    metric: str
    verdict: GateVerdict
    reason: str
    canary: float | None
    reference: float | None
    estimate: float | None
    low: float | None
    high: float | None
    bound: float
    margin: float | None = None
    required: bool = True


@dataclass(frozen=True)
class Analysis:
    """The verdict over all metrics, its reason, and what it rests on.

    `not_judged`: there was nothing to compare with (full), only counts.
    """

    verdict: GateVerdict | Literal["not_judged"]
    reason: str
    requests: int
    errors: int
    measurements: tuple[Measurement, ...] = ()

    def as_record(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

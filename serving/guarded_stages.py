"""The stages beside the text, each behind its breaker and its bulkhead.

A guarded extractor has the interface of any other, so the ensemble cannot tell. Where its stage
is left out it gives no features and a note, `stage_unavailable:<stage>` or
`stage_timed_out:<stage>`; the ensemble goes on without it, and the note stands in the verdict.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Literal, Protocol

from data_contracts.config import EnsembleStage, StageGuards
from data_contracts.events import Event
from pipelines.features.base import Extractor, Features, no_features
from serving.bulkhead import Bulkhead, BulkheadFullError, CallersThread, LeftBehindError, OwnThreads
from serving.circuit_breaker import CircuitBreaker, Permit, State
from serving.logs import say
from serving.stage_bounds import TIMED_OUT, UNAVAILABLE, current_bounds
from training.stage_sources import StageSources

Outcome = Literal["answered", "slow", "failed", "timed_out", "no_time", "open", "full"]


class StageCounts(Protocol):
    """Where calls of stages and states of breakers are counted, from any thread."""

    def called(self, stage: str, outcome: Outcome, seconds: float) -> None: ...

    def breaker(self, stage: str, state: State) -> None: ...


class Uncounted:
    """For who does not count."""

    def called(self, stage: str, outcome: Outcome, seconds: float) -> None: ...

    def breaker(self, stage: str, state: State) -> None: ...


@dataclass(frozen=True)
class StageTime:
    """What a call is expected to take, and the budget beyond which it has failed, in seconds."""

    expected_seconds: float
    budget_seconds: float

    @classmethod
    def of(cls, stage: EnsembleStage, guards: StageGuards) -> StageTime:
        """By the stage's declared milliseconds."""
        expected = stage.cpu_milliseconds
        budget = max(expected * guards.budget_multiple, guards.minimum_budget_milliseconds)
        return cls(expected / 1000, budget / 1000)


class Guarded(Extractor):
    """Wraps a stage's extractor; safe for threads where that is.

    A call that is cut short by the event's deadline, before its budget was used up, is judged
    when it ends. If it never does, it holds its thread, and a full bulkhead counts as failure.
    """

    assets: ClassVar[tuple[str, ...]] = ()  # these four are the wrapped extractor's
    names: ClassVar[tuple[str, ...]] = ()
    families: ClassVar[Mapping[str, str]] = MappingProxyType({})
    dimensions: ClassVar[int] = 0

    def __init__(
        self,
        stage: str,
        extractor: Extractor,
        breaker: CircuitBreaker,
        bulkhead: Bulkhead,
        allowed: StageTime,
        counts: StageCounts | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        for shared in ("assets", "names", "families", "dimensions"):
            setattr(self, shared, getattr(extractor, shared))
        self._stage = stage
        self._extractor = extractor
        self._breaker = breaker
        self._bulkhead = bulkhead
        self._allowed = allowed
        self._counts: StageCounts = counts or Uncounted()
        self._clock = clock

    def is_present(self, event: Event) -> bool:
        return self._extractor.is_present(event)

    def extract(self, event: Event) -> Features:
        bounds = current_bounds()
        if (why := bounds.withheld.get(self._stage)) is not None:
            return self._nothing(why)
        if not bounds.is_guarded:
            return self._extractor.extract(event)
        remaining = bounds.deadline - self._clock()
        if remaining < self._allowed.expected_seconds:
            return self._without("no_time", 0.0)
        permit = self._breaker.permit()
        if permit is None:
            return self._without("open", 0.0)
        return self._called(event, permit, min(remaining, self._allowed.budget_seconds))

    def _called(self, event: Event, permit: Permit, timeout_seconds: float) -> Features:
        began = self._clock()
        try:
            features = self._bulkhead.run(partial(self._extractor.extract, event), timeout_seconds)
        except BulkheadFullError:
            return self._failed("full", permit, began)
        except LeftBehindError as left:
            if timeout_seconds >= self._allowed.budget_seconds:
                return self._failed("timed_out", permit, began)
            left.call.add_done_callback(partial(self._judge_late, permit, began))
            return self._without("timed_out", self._clock() - began)
        except Exception as error:
            say("the stage {stage} failed", "error", error, stage=self._stage)
            return self._failed("failed", permit, began)
        seconds = self._clock() - began
        is_slow = seconds > self._allowed.budget_seconds
        self._breaker.record(permit, failed=is_slow)
        self._counts.called(self._stage, "slow" if is_slow else "answered", seconds)
        return features

    def _judge_late(self, permit: Permit, began: float, call: Future[Features]) -> None:
        is_over = self._clock() - began > self._allowed.budget_seconds
        self._breaker.record(permit, failed=is_over or call.exception() is not None)

    def _failed(self, outcome: Outcome, permit: Permit, began: float) -> Features:
        self._breaker.record(permit, failed=True)
        return self._without(outcome, self._clock() - began)

    def _without(self, outcome: Outcome, seconds: float) -> Features:
        self._counts.called(self._stage, outcome, seconds)
        is_late = outcome in ("timed_out", "no_time")
        return self._nothing(f"{TIMED_OUT if is_late else UNAVAILABLE}:{self._stage}")

    def _nothing(self, why: str) -> Features:
        return no_features(len(self.names), self.dimensions, why)


@dataclass(frozen=True)
class GuardedSources(StageSources):
    """The configured stages, guarded: `Ensemble.load` takes these as any other sources."""

    guards: StageGuards
    counts: StageCounts

    @classmethod
    def around(
        cls, sources: StageSources, guards: StageGuards, counts: StageCounts | None = None
    ) -> GuardedSources:
        """The same stages and reader of media."""
        return cls(sources.stages, sources.media, guards, counts or Uncounted())

    def extractor(self, name: str, files: Mapping[str, Path]) -> Extractor:
        """The extractor of a configured stage, with a breaker and a bulkhead of its own."""
        stage = self.stages[name]
        is_dear = stage.cpu_milliseconds >= self.guards.own_threads_from_milliseconds
        self.counts.breaker(name, "closed")
        return Guarded(
            name,
            super().extractor(name, files),
            CircuitBreaker(self.guards, partial(self.counts.breaker, name)),
            OwnThreads(name, self.guards.threads) if is_dear else CallersThread(),
            StageTime.of(stage, self.guards),
            self.counts,
        )

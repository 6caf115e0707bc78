"""One stage's breaker, bulkhead and time: what it is asked goes through, or it is left out.

A stage is left out with a reason code, `stage_unavailable:<stage>` or `stage_timed_out:<stage>`,
which stands in the verdict and, as `Budget.withheld`, in its record.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol, TypeVar

from data_contracts.config import EnsembleStage, StageGuards
from serving.bulkhead import Bulkhead, BulkheadFullError, LeftBehindError
from serving.circuit_breaker import CircuitBreaker, Permit, State
from serving.logs import say
from serving.stage_bounds import TIMED_OUT, UNAVAILABLE, current_bounds
from training.stage_sources import LeftOut

T = TypeVar("T")
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
    """What a call is expected to take, and the budget beyond which it has failed, in seconds.

    Of what may be slow without having failed, the budget has no end, and only `patience_seconds`
    bounds what is waited for.
    """

    expected_seconds: float
    budget_seconds: float
    patience_seconds: float = math.inf

    @classmethod
    def of(cls, stage: EnsembleStage, guards: StageGuards) -> StageTime:
        """By the stage's declared milliseconds."""
        expected = stage.cpu_milliseconds
        budget = max(expected * guards.budget_multiple, guards.minimum_budget_milliseconds)
        return cls(expected / 1000, budget / 1000)


class StageGuard:
    """Safe for threads.

    A call that is cut short by the event's deadline, before its budget was used up, is judged
    when it ends. If it never does, it holds its thread, and a full bulkhead counts as failure.
    """

    def __init__(
        self,
        name: str,
        breaker: CircuitBreaker,
        bulkhead: Bulkhead,
        allowed: StageTime,
        counts: StageCounts | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._breaker = breaker
        self._bulkhead = bulkhead
        self._allowed = allowed
        self._counts: StageCounts = counts or Uncounted()
        self._clock = clock

    def run(self, stage: str, work: Callable[[], T]) -> T | LeftOut:
        """What `work` returns, within the bounds of the thread; `stage` is left out otherwise.

        It is counted by the guard's own name: what several stages need has one guard. Raises what
        `work` raises where the bounds guard nothing.
        """
        bounds = current_bounds()
        if (why := bounds.withheld.get(stage)) is not None:
            return LeftOut(why)
        if not bounds.is_guarded:
            return work()
        remaining = bounds.deadline - self._clock()
        if remaining < self._allowed.expected_seconds:
            return self._without(stage, "no_time", 0.0)
        permit = self._breaker.permit()
        if permit is None:
            return self._without(stage, "open", 0.0)
        seconds = min(remaining, self._allowed.budget_seconds, self._allowed.patience_seconds)
        return self._called(stage, work, permit, seconds)

    def timed_out(self, stage: str) -> LeftOut:
        """What is known to take too long is not called again."""
        return self._without(stage, "timed_out", 0.0)

    def _called(
        self, stage: str, work: Callable[[], T], permit: Permit, timeout_seconds: float
    ) -> T | LeftOut:
        began = self._clock()
        try:
            found = self._bulkhead.run(work, timeout_seconds)
        except BulkheadFullError:
            return self._failed(stage, "full", permit, began)
        except LeftBehindError as left:
            if timeout_seconds >= self._allowed.budget_seconds:
                return self._failed(stage, "timed_out", permit, began)
            left.call.add_done_callback(partial(self._judge_late, permit, began))
            return self._without(stage, "timed_out", self._clock() - began)
        except Exception as error:
            say("the stage {stage} failed", "error", error, stage=self._name)
            return self._failed(stage, "failed", permit, began)
        seconds = self._clock() - began
        is_slow = seconds > self._allowed.budget_seconds
        self._breaker.record(permit, failed=is_slow)
        self._counts.called(self._name, "slow" if is_slow else "answered", seconds)
        return found

    def _judge_late(self, permit: Permit, began: float, call: Future[T]) -> None:
        is_over = self._clock() - began > self._allowed.budget_seconds
        self._breaker.record(permit, failed=is_over or call.exception() is not None)

    def _failed(self, stage: str, outcome: Outcome, permit: Permit, began: float) -> LeftOut:
        self._breaker.record(permit, failed=True)
        return self._without(stage, outcome, self._clock() - began)

    def _without(self, stage: str, outcome: Outcome, seconds: float) -> LeftOut:
        self._counts.called(self._name, outcome, seconds)
        is_late = outcome in ("timed_out", "no_time")
        return LeftOut(f"{TIMED_OUT if is_late else UNAVAILABLE}:{stage}")

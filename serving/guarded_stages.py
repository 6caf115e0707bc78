"""The ensemble's stages, each behind its breaker and its bulkhead (`serving.stage_guard`).

A guarded extractor has the interface of any other, so the ensemble cannot tell. Where its stage is
left out it gives no features and the reason as a note; the ensemble goes on without it. The text's
networks (encoder and specialist) have a guard too: without them the prefilter decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, ParamSpec, TypeVar

from data_contracts.config import StageGuards
from data_contracts.events import Event
from pipelines.features.base import Extractor, Features, no_features
from pipelines.features.text.encoder import MAX_PIECES
from pipelines.features.text.intent import ENCODER
from serving.bulkhead import CallersThread, OwnThreads
from serving.circuit_breaker import CircuitBreaker
from serving.guarded_decoding import GuardedDecoding
from serving.stage_guard import StageCounts, StageGuard, StageTime, Uncounted
from serving.thread_priority import MEDIA
from training.fused_policy import TEXT, TEXT_MILLISECONDS
from training.stage_sources import READ_FROM_MEDIA, Guarding, LeftOut, StageSources

P = ParamSpec("P")
T = TypeVar("T")


class Guarded(Extractor):
    """Wraps a stage's extractor; safe for threads where that is. What it reads is decoded first,
    by `decoding`, so that slow files are not the stage's fault.
    """

    assets: ClassVar[tuple[str, ...]] = ()  # these four are the wrapped extractor's
    names: ClassVar[tuple[str, ...]] = ()
    families: ClassVar[Mapping[str, str]] = MappingProxyType({})
    dimensions: ClassVar[int] = 0

    def __init__(
        self,
        stage: str,
        extractor: Extractor,
        guard: StageGuard,
        decoding: GuardedDecoding | None = None,
    ) -> None:
        for shared in ("assets", "names", "families", "dimensions"):
            setattr(self, shared, getattr(extractor, shared))
        self._stage = stage
        self._extractor = extractor
        self._guard = guard
        self._decoding = decoding

    def is_present(self, event: Event) -> bool:
        return self._extractor.is_present(event)

    def extract(self, event: Event) -> Features:
        undecoded = self._decoding.before(self._stage, event) if self._decoding else None
        if undecoded is not None:
            return self._nothing(undecoded)
        found = self._guard.run(self._stage, partial(self._extractor.extract, event))
        return self._nothing(found) if isinstance(found, LeftOut) else found

    def _nothing(self, left_out: LeftOut) -> Features:
        return no_features(len(self.names), self.dimensions, left_out.why)


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
        """The extractor of a configured stage, with a breaker and a bulkhead of its own.

        What encodes text may hang as the text's own networks may, and takes as long.
        """
        stage, extractor = self.stages[name], super().extractor(name, files)
        allowed = StageTime.of(stage, self.guards)
        is_dear = stage.cpu_milliseconds >= self.guards.own_threads_from_milliseconds
        if ENCODER in extractor.assets:
            longest = max(allowed.budget_seconds, self._text_time.budget_seconds)
            allowed, is_dear = StageTime(allowed.expected_seconds, longest), True
        reads_media = stage.modality in READ_FROM_MEDIA
        nice = MEDIA if reads_media else 0
        guard = self._guard(name, allowed, has_own_threads=is_dear, nice=nice)
        decoding = self._decoding[stage.modality] if reads_media else None
        return Guarded(name, extractor, guard, decoding)

    def guarding(self) -> Guarding:
        """One guard for the text's networks, whichever stage needs them."""
        guard = self._guard(TEXT, self._text_time, has_own_threads=True)

        def guarded(stage: str, work: Callable[P, T]) -> Callable[P, T | LeftOut]:
            def run(*arguments: P.args, **named: P.kwargs) -> T | LeftOut:
                return guard.run(stage, partial(work, *arguments, **named))

            return run

        return guarded

    def _guard(
        self, name: str, allowed: StageTime, *, has_own_threads: bool, nice: int = 0
    ) -> StageGuard:
        self.counts.breaker(name, "closed")
        breaker = CircuitBreaker(self.guards, partial(self.counts.breaker, name))
        own = OwnThreads(name, self.guards.threads, nice) if has_own_threads else None
        bulkhead = own or CallersThread()
        return StageGuard(name, breaker, bulkhead, allowed, self.counts)

    @property
    def _text_time(self) -> StageTime:
        """A long text is encoded in MAX_PIECES pieces, each of which takes as long as a short."""
        longest = TEXT_MILLISECONDS * MAX_PIECES * self.guards.budget_multiple
        budget = max(longest, self.guards.minimum_budget_milliseconds)
        return StageTime(TEXT_MILLISECONDS / 1000, budget / 1000)

    @cached_property
    def _decoding(self) -> Mapping[str, GuardedDecoding]:
        """By kind: all stages of the kind share it."""
        return {
            kind: GuardedDecoding.of(kind, self.media, self.guards, self.counts)
            for kind in READ_FROM_MEDIA
        }

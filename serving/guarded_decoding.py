"""Decoding media before the stages that read them run, on an account of its own.

All stages of a kind read the same files, and the first to ask would be blamed for the decoding. A
file may be slow to decode without anything being broken: nobody waits for it longer than
LONGEST_WAIT_SECONDS, its stages are left out of this verdict, and no breaker hears of it. What
fails otherwise, or holds every thread, opens the breaker of the decoding, and of no stage.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from data_contracts.config import StageGuards
from data_contracts.events import Event, MediaReference
from pipelines.features.image.pictures import MOST_PICTURES
from pipelines.features.media.base import MediaReader
from pipelines.features.video.extraction import MOST_VIDEOS
from serving.bulkhead import Bulkhead, OwnThreads
from serving.circuit_breaker import CircuitBreaker
from serving.stage_bounds import current_bounds
from serving.stage_guard import StageCounts, StageGuard, StageTime
from training.stage_sources import LeftOut

MOST: Mapping[str, int] = {"image": MOST_PICTURES, "video": MOST_VIDEOS}  # files of one event
EXPECTED_SECONDS: Mapping[str, float] = {"image": 0.005, "video": 0.05}  # of a small one
LONGEST_WAIT_SECONDS: Mapping[str, float] = {"image": 0.5, "video": 4.0}


class GuardedDecoding:
    """Of one kind, `image` or `video`. The reader keeps what was decoded last for the stages."""

    def __init__(
        self,
        kind: str,
        media: MediaReader,
        guard: StageGuard,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kind = kind
        self._read: Callable[[MediaReference], object] = (
            media.image if kind == "image" else media.video
        )
        self._guard = guard
        self._clock = clock
        self._began: dict[str, float] = {}  # by the sha256 of files that are being decoded

    @classmethod
    def of(
        cls, kind: str, media: MediaReader, guards: StageGuards, counts: StageCounts
    ) -> GuardedDecoding:
        """With threads and a breaker of its own, counted as the stage `decoding_<kind>`."""
        name = f"decoding_{kind}"
        counts.breaker(name, "closed")
        breaker = CircuitBreaker(guards, partial(counts.breaker, name))
        bulkhead: Bulkhead = OwnThreads(name, 2 * guards.threads)  # who gave up holds one
        allowed = StageTime(EXPECTED_SECONDS[kind], math.inf, LONGEST_WAIT_SECONDS[kind])
        return cls(kind, media, StageGuard(name, breaker, bulkhead, allowed, counts))

    def before(self, stage: str, event: Event) -> LeftOut | None:
        """Decode what the stage will read of the event; why it is left out, where that fails.

        A file for which somebody waited in vain is not waited for again until it is decoded.
        """
        files = [one for one in event.media if one.kind == self._kind][: MOST[self._kind]]
        bounds = current_bounds()
        is_bounded = bounds.is_guarded and stage not in bounds.withheld
        if is_bounded and any(map(self._takes_too_long, files)):
            return self._guard.timed_out(stage)
        found = self._guard.run(stage, partial(self._decode, files))
        return found if isinstance(found, LeftOut) else None

    def _takes_too_long(self, file: MediaReference) -> bool:
        began = self._began.get(file.sha256)
        return began is not None and self._clock() - began > LONGEST_WAIT_SECONDS[self._kind]

    def _decode(self, files: Sequence[MediaReference]) -> None:
        for file in files:
            self._began.setdefault(file.sha256, self._clock())
            try:
                self._read(file)
            finally:
                self._began.pop(file.sha256, None)

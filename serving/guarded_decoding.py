"""Decoding media before the stages that read them run, on an account of its own.

All stages of a kind read the same files, and the first to ask would be blamed for the decoding. A
file may be slow to decode without anything being broken: nobody waits for it longer than
LONGEST_WAIT_SECONDS, its stages are left out of this verdict, and no breaker hears of it. What
fails otherwise, or holds every thread, opens the breaker of the decoding, and of no stage.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from data_contracts.config import StageGuards
from data_contracts.events import Event, MediaReference
from pipelines.features.image.pictures import MOST_PICTURES
from pipelines.features.media.base import MediaReader
from pipelines.features.video.extraction import MOST_VIDEOS
from serving.bulkhead import Bulkhead, LeftBehindError, OwnThreads
from serving.circuit_breaker import CircuitBreaker
from serving.stage_bounds import current_bounds
from serving.stage_guard import StageCounts, StageGuard, StageTime
from training.stage_sources import LeftOut

T = TypeVar("T")
MOST: Mapping[str, int] = {"image": MOST_PICTURES, "video": MOST_VIDEOS}  # files of one event
EXPECTED_SECONDS: Mapping[str, float] = {"image": 0.005, "video": 0.05}  # of a small one
LONGEST_WAIT_SECONDS: Mapping[str, float] = {"image": 0.5, "video": 4.0}


class InVain:
    """The files for which somebody waited in vain, until they are decoded. Safe for threads."""

    def __init__(self) -> None:
        self._files: set[str] = set()  # by sha256
        self._lock = threading.Lock()

    def __contains__(self, file: MediaReference) -> bool:
        return file.sha256 in self._files

    def add(self, decoding: DecodingCall) -> None:
        """What the decoding is at, or will begin with: its thread may not have started yet."""
        with self._lock:
            if decoding.at is not None:
                self._files.add(decoding.at.sha256)

    def ended(self, decoding: DecodingCall, file: MediaReference) -> None:
        with self._lock:
            decoding.at = None
            self._files.discard(file.sha256)


class DecodingCall:
    """Reads the files of one call, one after the other, and may be left behind by its caller."""

    def __init__(
        self,
        read: Callable[[MediaReference], object],
        files: Sequence[MediaReference],
        in_vain: InVain,
    ) -> None:
        self.at = files[0] if files else None
        self._read = read
        self._files = files
        self._in_vain = in_vain

    def __call__(self) -> None:
        for file in self._files:
            self.at = file
            try:
                self._read(file)
            finally:
                self._in_vain.ended(self, file)

    def left_behind(self) -> None:
        self._in_vain.add(self)


class TellingBulkhead:
    """Wraps a bulkhead: a decoding hears that nobody waits for it any more."""

    def __init__(self, bulkhead: Bulkhead) -> None:
        self._bulkhead = bulkhead

    def run(self, work: Callable[[], T], timeout_seconds: float) -> T:
        try:
            return self._bulkhead.run(work, timeout_seconds)
        except LeftBehindError:
            if isinstance(work, DecodingCall):
                work.left_behind()
            raise


class GuardedDecoding:
    """Of one kind, `image` or `video`. The reader keeps what was decoded last for the stages.

    The guard's bulkhead is a `TellingBulkhead`.
    """

    def __init__(self, kind: str, media: MediaReader, guard: StageGuard) -> None:
        self._kind = kind
        self._read: Callable[[MediaReference], object] = (
            media.image if kind == "image" else media.video
        )
        self._guard = guard
        self._in_vain = InVain()

    @classmethod
    def of(
        cls, kind: str, media: MediaReader, guards: StageGuards, counts: StageCounts
    ) -> GuardedDecoding:
        """With threads and a breaker of its own, counted as the stage `decoding_<kind>`."""
        name = f"decoding_{kind}"
        counts.breaker(name, "closed")
        breaker = CircuitBreaker(guards, partial(counts.breaker, name))
        threads = OwnThreads(name, 2 * guards.threads)  # who gave up holds one
        allowed = StageTime(EXPECTED_SECONDS[kind], math.inf, LONGEST_WAIT_SECONDS[kind])
        guard = StageGuard(name, breaker, TellingBulkhead(threads), allowed, counts)
        return cls(kind, media, guard)

    def before(self, stage: str, event: Event) -> LeftOut | None:
        """Decode what the stage will read of the event; why it is left out, where that fails.

        A file for which somebody waited in vain is not waited for again until it is decoded,
        however little of it was done by then, and however short the wait.
        """
        files = [one for one in event.media if one.kind == self._kind][: MOST[self._kind]]
        bounds = current_bounds()
        is_bounded = bounds.is_guarded and stage not in bounds.withheld
        if is_bounded and any(file in self._in_vain for file in files):
            return self._guard.timed_out(stage)
        found = self._guard.run(stage, DecodingCall(self._read, files, self._in_vain))
        return found if isinstance(found, LeftOut) else None

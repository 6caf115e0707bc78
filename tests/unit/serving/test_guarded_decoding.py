"""Decoding has an account of its own: a slow file is not the fault of the stages that read it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import ClassVar, TypeVar

import numpy as np
import pytest

from data_contracts.config import EnsembleStage
from data_contracts.errors import ServiceUnavailable
from data_contracts.events import Event, MediaReference
from pipelines.features.base import Extractor, Features
from pipelines.features.media.base import DecodedImage, DecodedVideo, MediaReader, Unreadable
from serving.bulkhead import Bulkhead, CallersThread, LeftBehindError
from serving.circuit_breaker import CircuitBreaker
from serving.guarded_decoding import (
    EXPECTED_SECONDS,
    LONGEST_WAIT_SECONDS,
    DecodingCall,
    GuardedDecoding,
    InVain,
    TellingBulkhead,
)
from serving.guarded_stages import GuardedSources
from serving.stage_bounds import UNGUARDED, StageBounds, within
from serving.stage_guard import StageGuard, StageTime
from tests.unit.serving.test_circuit_breaker import GUARDS, Clock
from tests.unit.serving.test_guarded_stages import Counts, Hanging
from training.stage_sources import LeftOut, StageSources

T = TypeVar("T")
TIMED_OUT, UNAVAILABLE = LeftOut("stage_timed_out:image"), LeftOut("stage_unavailable:image")
HUNG_SECONDS = 0.2
PIXELS = np.zeros((1, 1, 3), np.uint8)


def event(*names: str, kind: str = "image") -> Event:
    """With a file of each name."""
    files = [{"kind": kind, "sha256": name * 64, "path": name} for name in names]
    return Event(event_id="e", text="", media=tuple(map(MediaReference.model_validate, files)))


class Reader:
    """Remembers what it read, and may be told to hang over a kind, or to fail."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.error: Exception | None = None
        self.hangs: str | None = None
        self.during: Callable[[str], None] = lambda _: None
        self.begun, self.over = threading.Event(), threading.Event()

    def image(self, reference: MediaReference) -> DecodedImage | Unreadable:
        self._note("image", reference)
        return DecodedImage(PIXELS, 1, 1, "PNG", 1)

    def video(self, reference: MediaReference) -> DecodedVideo | Unreadable:
        self._note("video", reference)
        return DecodedVideo(PIXELS[None], np.zeros(1), 1.0, 1.0)

    def content(self, reference: object) -> bytes | Unreadable:
        return b""

    def _note(self, kind: str, reference: MediaReference) -> None:
        if self.error:
            raise self.error
        self.read.append(str(reference.path))
        self.during(str(reference.path))
        if self.hangs == kind:
            self.begun.set()
            self.over.wait(60)


class LateThread:
    """A bulkhead whose thread starts only when the test does `late`: the caller is gone by then.

    Calls are answered in the caller's thread while `is_late` is false.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.is_late = True
        self.late: list[Callable[[], object]] = []

    def run(self, work: Callable[[], T], timeout_seconds: float) -> T:
        if not self.is_late:
            return work()
        self.late.append(work)
        self.clock.now += timeout_seconds
        raise LeftBehindError(Future())


class Decoding:
    """A guarded decoding with everything that can be looked at."""

    def __init__(self, bulkhead: Callable[[Clock], Bulkhead] = lambda _: CallersThread()) -> None:
        self.clock = Clock()
        self.reader = Reader()
        self.counts = Counts()
        self.breaker = CircuitBreaker(GUARDS, clock=self.clock)
        self.bulkhead = bulkhead(self.clock)
        allowed = StageTime(EXPECTED_SECONDS["image"], math.inf, LONGEST_WAIT_SECONDS["image"])
        guard = StageGuard(
            "decoding_image", self.breaker, TellingBulkhead(self.bulkhead), allowed,
            self.counts, self.clock,
        )  # fmt: skip
        self.decoding = GuardedDecoding("image", self.reader, guard)

    def before(self, *names: str, bounds: StageBounds | None = None) -> LeftOut | None:
        with within(bounds or StageBounds()):
            return self.decoding.before("image", event(*names))


def test_what_the_stage_will_read_is_decoded_before_it_runs() -> None:
    made = Decoding()
    assert made.before(*"abcdef") is None
    assert made.reader.read == list("abcd")
    with within(StageBounds()):
        assert made.decoding.before("image", event("a", kind="video")) is None
    assert made.reader.read == list("abcd")


def test_a_slow_file_is_not_waited_for_and_no_breaker_hears_of_it() -> None:
    made = Decoding(Hanging)
    for number in range(2 * GUARDS.failures):
        began = made.clock.now
        assert made.before(str(number)) == TIMED_OUT
        assert made.clock.now - began == pytest.approx(LONGEST_WAIT_SECONDS["image"])
    made.clock.now += 60
    assert isinstance(made.bulkhead, Hanging)
    for call in made.bulkhead.calls:
        call.set_result(None)  # type: ignore[arg-type]
    assert made.breaker.state == "closed"
    assert made.counts.called_ == {("decoding_image", "timed_out"): 2 * GUARDS.failures}


def late() -> tuple[Decoding, LateThread]:
    made = Decoding(LateThread)
    assert isinstance(made.bulkhead, LateThread)
    return made, made.bulkhead


def test_a_file_that_nobody_waits_for_any_more_is_not_waited_for_again() -> None:
    made, threads = late()
    assert made.before("a") == TIMED_OUT
    threads.is_late, waited = False, made.clock.now
    assert made.before("a") == TIMED_OUT
    assert made.before("b", "a") == TIMED_OUT
    assert made.clock.now == waited
    assert made.before("b") is None
    assert made.reader.read == ["b"]
    assert made.before("a", bounds=UNGUARDED) is None
    assert made.before("a") is None
    assert made.reader.read == ["b", "a", "a"]


def test_a_thread_that_starts_late_is_not_the_file_tried_a_second_time() -> None:
    made, threads = late()
    assert made.before("a", "b") == TIMED_OUT
    made.clock.now += 60
    for _ in range(3):
        assert made.before("a") == TIMED_OUT
    assert len(threads.late) == 1
    assert made.reader.read == []

    meanwhile: list[LeftOut | None] = []

    def asked_again(name: str) -> None:
        if name == "a":
            meanwhile.append(made.before("a"))

    made.reader.during = asked_again
    threads.is_late = False
    threads.late[0]()
    assert meanwhile == [TIMED_OUT]
    assert made.reader.read == ["a", "b"]
    assert made.before("a") is None


def test_a_wait_cut_short_by_the_deadline_is_in_vain_too() -> None:
    made, threads = late()
    soon = StageBounds(deadline=made.clock.now + 2 * EXPECTED_SECONDS["image"])
    assert made.before("a", bounds=soon) == TIMED_OUT
    threads.is_late = False
    assert made.before("a") == TIMED_OUT
    threads.late[0]()
    assert made.before("a") is None


def test_of_several_files_only_the_one_being_read_was_waited_for_in_vain() -> None:
    """The one before it is decoded, and of the one after it nothing is known."""
    files, in_vain = event(*"abc").media, InVain()
    marked: list[tuple[bool, ...]] = []

    def read(file: MediaReference) -> None:
        if file is files[1]:
            call.left_behind()
        marked.append(tuple(one in in_vain for one in files))

    call = DecodingCall(read, files, in_vain)
    call()
    assert marked == [(False, False, False), (False, True, False), (False, False, False)]
    call.left_behind()  # it had just ended
    assert not any(one in in_vain for one in files)


def test_a_file_that_failed_after_nobody_waited_is_tried_again() -> None:
    made, threads = late()
    assert made.before("a") == TIMED_OUT
    made.reader.error = ServiceUnavailable("the media decoder did not start")
    with pytest.raises(ServiceUnavailable):
        threads.late[0]()
    made.reader.error, threads.is_late = None, False
    assert made.before("a") is None


def test_a_reader_that_fails_opens_the_breaker_of_the_decoding() -> None:
    made = Decoding()
    made.reader.error = ServiceUnavailable("the media decoder did not start")
    assert [made.before("a") for _ in range(GUARDS.failures)] == [UNAVAILABLE] * GUARDS.failures
    assert made.breaker.state == "open"
    with pytest.raises(ServiceUnavailable):
        made.before("a", bounds=UNGUARDED)


def test_for_a_stage_that_is_withheld_or_has_no_time_nothing_is_decoded() -> None:
    made = Decoding()
    for is_guarded in (True, False):
        bounds = StageBounds({"image": "runs_afterwards:image"}, is_guarded=is_guarded)
        assert made.before("a", bounds=bounds) == LeftOut("runs_afterwards:image")
    late = StageBounds(deadline=made.clock.now + EXPECTED_SECONDS["image"] - 0.001)
    assert made.before("a", bounds=late) == TIMED_OUT
    assert made.reader.read == []


# With real threads: two stages of pictures and one of videos over one reader.


class OfImages(Extractor):
    """The stage's own work takes no time."""

    assets: ClassVar[tuple[str, ...]] = ()
    names: ClassVar[tuple[str, ...]] = ("seen",)
    families: ClassVar[Mapping[str, str]] = {"seen": "seen"}
    dimensions: ClassVar[int] = 0
    kind: ClassVar[str] = "image"

    def __init__(self, files: Mapping[str, Path], media: MediaReader) -> None:
        self._media = media

    def is_present(self, event: Event) -> bool:
        return any(one.kind == self.kind for one in event.media)

    def extract(self, event: Event) -> Features:
        return Features(np.ones(1, np.float32), np.zeros(0, np.float32))


class OfVideos(OfImages):
    kind: ClassVar[str] = "video"


def stage(modality: str, extractor: str) -> EnsembleStage:
    return EnsembleStage(
        modality=modality, extractor=f"tests.unit.serving.test_guarded_decoding:{extractor}",
        specialist="training.specialists.tabular:TabularFamily", cpu_milliseconds=10_000,
    )  # fmt: skip


STAGES = {
    "image": stage("image", "OfImages"),
    "objects": stage("image", "OfImages"),
    "video": stage("video", "OfVideos"),
}


class Served:
    """The three stages as they are served; a call says what a stage noted of an event.

    What does not hang is waited for as long as a busy machine may take, what hangs `seconds`.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            "serving.guarded_decoding.LONGEST_WAIT_SECONDS", {"image": 60.0, "video": 60.0}
        )
        self.reader, self.counts = Reader(), Counts()
        sources = GuardedSources.around(StageSources(STAGES, self.reader), GUARDS, self.counts)
        self.stages = {name: sources.extractor(name, {}) for name in STAGES}

    def __call__(self, name: str, event: Event, seconds: float = math.inf) -> tuple[str, ...]:
        with within(StageBounds(deadline=time.monotonic() + seconds)):
            return self.stages[name].extract(event).notes


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    made = Served(monkeypatch)
    yield made
    made.reader.over.set()


def test_a_hung_video_takes_no_stage_of_images_with_it(served: Served) -> None:
    served.reader.hangs = "video"
    for name in "0123456789abcdef":
        assert served("video", event(name, kind="video"), HUNG_SECONDS) in [
            ("stage_timed_out:video",), ("stage_unavailable:video",),
        ]  # fmt: skip
        assert served("image", event(name)) == ()
        assert served("objects", event(name)) == ()
    opened = {stage for stage, state in served.counts.states if state == "open"}
    assert opened == {"decoding_video"}


def test_a_hung_picture_is_waited_for_once_and_opens_no_stages_breaker(served: Served) -> None:
    served.reader.hangs = "image"
    assert served("image", event("a"), HUNG_SECONDS) == ("stage_timed_out:image",)
    assert served.reader.begun.wait(60)  # its thread may start late
    served.reader.hangs = None
    for _ in range(2 * GUARDS.failures):
        assert served("objects", event("a")) == ("stage_timed_out:objects",)
        assert served("image", event("b")) == ()
    assert served.reader.read.count("a") == 1
    assert {state for _, state in served.counts.states} == {"closed"}
    assert served("video", event("a", kind="video")) == ()

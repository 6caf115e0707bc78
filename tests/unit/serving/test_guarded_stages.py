"""Guarded stages: what hangs, fails or has no time is left out, and the verdict says so."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import ClassVar, TypeVar

import numpy as np
import pytest

from data_contracts.config import EnsembleStage, StageGuards
from data_contracts.events import Event
from data_contracts.verdicts import Assessment, Budget
from pipelines.features.base import Features
from serving.bulkhead import BulkheadFullError, CallersThread, LeftBehindError, OwnThreads
from serving.circuit_breaker import CircuitBreaker, State
from serving.guarded_stages import Guarded, GuardedSources
from serving.stage_bounds import (
    UNGUARDED,
    StageBounds,
    WithholdingAssessor,
    current_bounds,
    left_out,
    within,
)
from serving.stage_guard import Outcome, StageGuard, StageTime
from tests.stand_ins.modalities import NoMedia, SoundExtractor
from tests.unit.serving.test_circuit_breaker import GUARDS, Clock
from tests.unit.training.test_fused_ensemble import STAGES, composed
from tests.unit.training.test_train_and_ensemble import WordEncoder, _rows
from training.ensemble import Ensemble
from training.stage_sources import StageSources, TrainingStages
from training.train import Plan, train
from training.tuning import NoTrialLog

T = TypeVar("T")
EVENT = Event(
    event_id="e", text="hi", context={"surroundings.pitch": 1.0, "surroundings.loudness": 2.0}
)
ALLOWED = StageTime(expected_seconds=0.005, budget_seconds=0.02)


class Counts:
    """Remembers."""

    def __init__(self) -> None:
        self.called_: Counter[tuple[str, str]] = Counter()
        self.states: list[tuple[str, State]] = []

    def called(self, stage: str, outcome: Outcome, seconds: float) -> None:
        self.called_[stage, outcome] += 1

    def breaker(self, stage: str, state: State) -> None:
        self.states.append((stage, state))


class Sound(SoundExtractor):
    """Takes `seconds` of the clock, or raises."""

    clock: ClassVar[Clock]
    seconds: float = 0.0
    error: Exception | None = None

    def extract(self, event: Event) -> Features:
        Sound.clock.now += self.seconds
        if self.error:
            raise self.error
        return super().extract(event)


class Full:
    """A bulkhead of which every thread hangs."""

    def run(self, work: Callable[[], T], timeout_seconds: float) -> T:
        raise BulkheadFullError


class Hanging:
    """Leaves every call behind when its time is up; `calls` may end it later."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.calls: list[Future[Features]] = []

    def run(self, work: Callable[[], T], timeout_seconds: float) -> T:
        self.clock.now += timeout_seconds
        call: Future[Features] = Future()
        self.calls.append(call)
        raise LeftBehindError(call)


class Stage:
    """A guarded extractor of sound with everything that can be looked at."""

    def __init__(self, bulkhead: CallersThread | Full | Hanging | None = None) -> None:
        self.clock = Sound.clock = Clock()
        self.sound = Sound({}, NoMedia())
        self.counts = Counts()
        self.breaker = CircuitBreaker(GUARDS, clock=self.clock)
        self.bulkhead = bulkhead or CallersThread()
        if isinstance(self.bulkhead, Hanging):
            self.bulkhead.clock = self.clock
        guard = StageGuard("sound", self.breaker, self.bulkhead, ALLOWED, self.counts, self.clock)
        self.guarded = Guarded("sound", self.sound, guard)

    def notes(self, bounds: StageBounds | None = None) -> tuple[str, ...]:
        """What the stage said of the event; () where it was read."""
        with within(bounds or StageBounds()):
            found = self.guarded.extract(EVENT)
        assert np.isnan(found.columns).all() == bool(found.notes)
        return found.notes


def test_it_looks_like_the_extractor_that_it_guards_and_reads_the_same() -> None:
    stage = Stage()
    found, plain = stage.guarded.extract(EVENT), stage.sound.extract(EVENT)
    assert (stage.guarded.names, stage.guarded.families) == (Sound.names, Sound.families)
    assert stage.guarded.is_present(EVENT)
    assert not stage.guarded.is_present(Event(event_id="e", text="hi"))
    np.testing.assert_array_equal(found.columns, plain.columns)
    assert stage.counts.called_ == {("sound", "answered"): 1}


def test_what_raises_is_left_out_and_then_not_called_any_more() -> None:
    stage = Stage()
    stage.sound.error = RuntimeError("user text")
    for _ in range(GUARDS.failures):
        assert stage.notes() == ("stage_unavailable:sound",)
    stage.sound.error = None
    assert stage.notes() == ("stage_unavailable:sound",)
    stage.clock.now += GUARDS.open_seconds
    assert [stage.notes() for _ in range(GUARDS.probes)] == [(), ()]
    assert stage.breaker.state == "closed"
    assert stage.counts.called_ == {
        ("sound", "failed"): GUARDS.failures, ("sound", "open"): 1, ("sound", "answered"): 2,
    }  # fmt: skip


def test_an_answer_over_the_budget_is_used_and_counts_as_a_failure() -> None:
    stage = Stage()
    stage.sound.seconds = ALLOWED.budget_seconds + 0.001
    assert [stage.notes() for _ in range(GUARDS.failures)] == [()] * GUARDS.failures
    assert stage.breaker.state == "open"
    assert stage.counts.called_["sound", "slow"] == GUARDS.failures


def test_a_call_that_hangs_is_left_behind_at_its_budget() -> None:
    stage = Stage(Hanging(Clock()))
    began = stage.clock.now
    assert stage.notes() == ("stage_timed_out:sound",)
    assert stage.clock.now - began == pytest.approx(ALLOWED.budget_seconds)
    assert [stage.notes() for _ in range(3)] == [
        ("stage_timed_out:sound",), ("stage_timed_out:sound",), ("stage_unavailable:sound",),
    ]  # fmt: skip
    assert stage.breaker.state == "open"


def test_a_full_bulkhead_opens_the_breaker() -> None:
    stage = Stage(Full())
    assert [stage.notes() for _ in range(3)] == [("stage_unavailable:sound",)] * 3
    assert stage.breaker.state == "open"
    assert stage.counts.called_ == {("sound", "full"): 3}


def test_without_time_for_the_stage_it_is_not_begun_and_not_blamed() -> None:
    stage = Stage()
    late = StageBounds(deadline=stage.clock.now + ALLOWED.expected_seconds - 0.001)
    assert [stage.notes(late) for _ in range(5)] == [("stage_timed_out:sound",)] * 5
    assert stage.sound.read == 0
    assert stage.breaker.state == "closed"


@pytest.mark.parametrize(
    ("ends_after", "fails", "state"),
    [(0.005, False, "closed"), (0.005, True, "open"), (0.05, False, "open")],
)
def test_a_call_cut_short_by_the_deadline_is_judged_when_it_ends(
    ends_after: float, fails: bool, state: State
) -> None:
    stage = Stage(Hanging(Clock()))
    assert isinstance(stage.bulkhead, Hanging)
    for _ in range(GUARDS.failures):
        soon = StageBounds(deadline=stage.clock.now + 0.01)
        assert stage.notes(soon) == ("stage_timed_out:sound",)
    assert stage.breaker.state == "closed"
    stage.clock.now += ends_after - 0.01
    for number, call in enumerate(stage.bulkhead.calls):
        stage.clock.now += 0.01 if number == 0 else 0.0
        if fails:
            call.set_exception(RuntimeError())
        else:
            call.set_result(stage.sound.extract(EVENT))
    assert stage.breaker.state == state


def test_a_withheld_stage_gives_its_reason_even_unguarded() -> None:
    stage = Stage()
    for is_guarded in (True, False):
        bounds = StageBounds({"sound": "runs_afterwards"}, is_guarded=is_guarded)
        assert stage.notes(bounds) == ("runs_afterwards",)
    assert stage.notes(StageBounds({"smell": "runs_afterwards"})) == ()


def test_unguarded_a_stage_may_take_its_time_and_its_errors_are_seen() -> None:
    stage = Stage(Full())
    stage.sound.seconds = 60.0
    assert stage.notes(UNGUARDED) == ()
    stage.sound.error = RuntimeError("warm-up")
    with pytest.raises(RuntimeError, match="warm-up"):
        stage.notes(UNGUARDED)


def test_bounds_hold_in_their_block_and_thread_only() -> None:
    bounds, seen = StageBounds({"a": "b"}), list[StageBounds]()
    with within(bounds):
        assert current_bounds() is bounds
        thread = threading.Thread(target=lambda: seen.append(current_bounds()))
        thread.start()
        thread.join()
    assert seen == [StageBounds()]
    assert current_bounds() == StageBounds()


def test_a_budget_is_a_multiple_of_what_the_stage_declares_and_never_tiny() -> None:
    def stage(cpu_milliseconds: float) -> EnsembleStage:
        return STAGES["sound"].model_copy(update={"cpu_milliseconds": cpu_milliseconds})

    assert StageTime.of(stage(100.0), GUARDS) == StageTime(0.1, 0.4)
    assert StageTime.of(stage(0.1), GUARDS) == StageTime(0.0001, 0.02)


# In an ensemble: the composed events, of which only smell and sound together tell spam from ham.


class HangingSound(SoundExtractor):
    """Hangs when it is told to, until the test is over."""

    hang: ClassVar[threading.Event] = threading.Event()
    release: ClassVar[threading.Event] = threading.Event()

    def extract(self, event: Event) -> Features:
        if self.hang.is_set():
            self.release.wait(60)
        return super().extract(event)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained artefact over text, smell and sound."""
    folder = tmp_path_factory.mktemp("guarded")
    encoder = folder / "encoder-file.onnx"
    encoder.write_bytes(b"stands in for an encoder")
    sources = StageSources(STAGES, NoMedia())
    extractors = {name: sources.extractor(name, {}) for name in STAGES}
    rows = [*_rows(), *composed(240, 5)]
    ensemble = train(
        rows, WordEncoder(), encoder, Plan(0, 3, 7, 0.01, folder / "studies"), NoTrialLog(),
        lambda message: None, TrainingStages(STAGES, extractors),
    )  # fmt: skip
    ensemble.save(folder / "model")
    return folder / "model"


@pytest.fixture
def hanging() -> Iterator[Mapping[str, EnsembleStage]]:
    """The stages, with a sound that can hang, so quickly given up that the test does not wait."""
    HangingSound.release.clear()
    named = "tests.unit.serving.test_guarded_stages:HangingSound"
    yield STAGES | {
        "sound": STAGES["sound"].model_copy(update={"extractor": named, "cpu_milliseconds": 5.0})
    }
    HangingSound.hang.clear()
    HangingSound.release.set()


def served(
    model: Path, stages: Mapping[str, EnsembleStage], counts: Counts, guards: StageGuards = GUARDS
) -> Ensemble:
    sources = GuardedSources.around(StageSources(stages, NoMedia()), guards, counts)
    return Ensemble.load(model, WordEncoder(), sources)


def skipped(found: Assessment) -> dict[str, str | None]:
    return {one.name: one.skipped_because for one in found.stages if not one.ran}


def test_guarded_and_healthy_an_ensemble_answers_as_without_guards(
    model: Path, hanging: Mapping[str, EnsembleStage]
) -> None:
    events = [row.event for row in composed(40, 9)]
    plain = Ensemble.load(model, WordEncoder(), StageSources(STAGES, NoMedia()))
    counts = Counts()
    patient = GUARDS.model_copy(update={"minimum_budget_milliseconds": 60_000.0})
    assert served(model, hanging, counts, patient).assess(events) == plain.assess(events)
    assert {outcome for _, outcome in counts.called_} == {"answered"}
    assert sorted(counts.states) == [
        ("smell", "closed"), ("sound", "closed"), ("text", "closed"),
    ]  # fmt: skip


def test_a_specialist_that_hangs_costs_its_own_threads_and_replay_gives_the_same_verdicts(
    model: Path, hanging: Mapping[str, EnsembleStage]
) -> None:
    counts = Counts()
    ensemble = served(model, hanging, counts)
    HangingSound.hang.set()
    events = [row.event for row in composed(40, 9)]
    found = ensemble.assess(events, every_stage=True)
    whys = [skipped(one)["sound"] for one in found]
    assert [why for why, _ in itertools.groupby(whys)] == [
        "stage_timed_out:sound",
        "stage_unavailable:sound",
    ]
    assert whys.count("stage_timed_out:sound") == GUARDS.threads
    assert all(why in one.reasons for why, one in zip(whys, found, strict=True))
    assert counts.called_["sound", "timed_out"] == GUARDS.threads
    assert ("sound", "open") in counts.states
    HangingSound.hang.clear()
    replaying = WithholdingAssessor(ensemble)
    assert replaying.version == ensemble.version
    for event, then in zip(events, found, strict=True):
        budget = Budget(every_stage=True, withheld=left_out(then.stages))
        assert Budget.from_record(budget.as_record()) == budget
        assert replaying.assess([event], **budget.as_arguments()) == [then]


def test_dear_stages_have_threads_of_their_own_and_cheap_ones_stay_with_the_caller() -> None:
    sources = GuardedSources.around(StageSources(STAGES, NoMedia()), GUARDS)
    cheap, dear = sources.extractor("smell", {}), sources.extractor("sound", {})
    assert isinstance(cheap, Guarded)
    assert isinstance(dear, Guarded)
    assert isinstance(cheap._guard._bulkhead, CallersThread)
    assert isinstance(dear._guard._bulkhead, OwnThreads)

"""The text's networks behind their guard: without them the prefilter decides, and replay agrees."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import orjson
import pytest

from data_contracts.config import EnsembleStage, StageGuards
from data_contracts.events import Event
from data_contracts.verdicts import UNBOUNDED
from pipelines.features.base import Extractor, Features
from pipelines.features.text.encoder import Embedding
from pipelines.features.text.intent import ENCODER
from serving.bulkhead import OwnThreads
from serving.cascade import Asked, Cascade, Decided, StageCosts
from serving.decision_records import StoredRecord, UnwrittenRecord, lines_of
from serving.guarded_stages import Guarded, GuardedSources
from serving.replay import Versions, replay_all
from serving.stage_bounds import UNGUARDED, StageBounds, WithholdingAssessor, within
from tests.stand_ins.modalities import NoMedia, SoundExtractor
from tests.unit.serving.test_circuit_breaker import GUARDS
from tests.unit.serving.test_guarded_stages import Counts
from tests.unit.training.test_fused_ensemble import STAGES, composed
from tests.unit.training.test_train_and_ensemble import WordEncoder, _rows
from training.ensemble import Ensemble
from training.stage_sources import StageSources, TrainingStages
from training.train import Plan, train
from training.tuning import NoTrialLog

SAID = "claim your free cash prize"  # what loud pictures say
AT = datetime(2026, 1, 5, 12, tzinfo=UTC)
TIMED_OUT, UNAVAILABLE = "stage_timed_out:text", "stage_unavailable:text"


class TroubledEncoder(WordEncoder):
    """Hangs or fails over texts that hold `trouble`, until it is told otherwise."""

    def __init__(self) -> None:
        self.trouble: str | None = None
        self.fails = False
        self.over = threading.Event()

    def encode(self, text: str) -> Embedding:
        if self.trouble is not None and self.trouble in text:
            if self.fails:
                raise RuntimeError(text)
            self.over.wait(60)
        return super().encode(text)


class TalkingSound(SoundExtractor):
    """What is loud can be read, too."""

    def extract(self, event: Event) -> Features:
        found = super().extract(event)
        loud = float(event.context["surroundings.loudness"]) > 0  # type: ignore[arg-type]
        return found._replace(text=SAID if loud else "", notes=("sound_faint",))


class Meaning(SoundExtractor):
    """Reads text with the encoder, as `meaning` does."""

    assets: ClassVar[tuple[str, ...]] = (ENCODER,)


def stage(extractor: str) -> EnsembleStage:
    named = f"tests.unit.serving.test_guarded_text:{extractor}"
    return STAGES["sound"].model_copy(update={"extractor": named, "cpu_milliseconds": 1.0})


TALKING = STAGES | {"sound": stage("TalkingSound")}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained artefact over text, smell and a sound that can be read."""
    folder = tmp_path_factory.mktemp("guarded")
    encoder = folder / "encoder-file.onnx"
    encoder.write_bytes(b"stands in for an encoder")
    sources = StageSources(TALKING, NoMedia())
    extractors: dict[str, Extractor] = {name: sources.extractor(name, {}) for name in TALKING}
    ensemble = train(
        [*_rows(), *composed(240, 5)], WordEncoder(), encoder,
        Plan(0, 3, 7, 0.01, folder / "studies"), NoTrialLog(), lambda message: None,
        TrainingStages(TALKING, extractors),
    )  # fmt: skip
    assert ensemble.parts.fused is not None
    assert ensemble.parts.fused.stages["sound"].reads_text
    ensemble.save(folder / "model")
    return folder / "model"


class Served:
    """The model with guards, an encoder that can be troubled, and its records."""

    def __init__(self, model: Path, folder: Path, guards: StageGuards = GUARDS) -> None:
        self.counts = Counts()
        self.encoder = TroubledEncoder()
        self._records = folder / "records.jsonl"
        sources = GuardedSources.around(StageSources(TALKING, NoMedia()), guards, self.counts)
        self.ensemble = Ensemble.load(model, self.encoder, sources)
        self.cascade = Cascade(self.ensemble, "7", self.ensemble.threshold_version)
        with within(UNGUARDED):
            self.ensemble.assess([*texts(1), composed(4, 1)[0].event], every_stage=True)

    def decide(self, events: Sequence[Event], deadline: float = float("inf")) -> list[Decided]:
        """As events that must be answered within a time, and record it."""
        bounds = [Asked(event, seconds=0.25, deadline=deadline) for event in events]
        decided = self.cascade.decide_each(bounds)
        self._records.write_bytes(b"".join(
            UnwrittenRecord(
                one.verdict, event, AT, False, 0.1, self.ensemble.version, one.budget
            ).line()
            for event, one in zip(events, decided, strict=True)
        ))  # fmt: skip
        return decided

    def differences(self) -> list[object]:
        """Of the verdicts recorded last from those that a healthy replay gives."""
        self.encoder.trouble = None
        versions = Versions(self.ensemble.version, "7", self.ensemble.threshold_version)
        stored = list(lines_of(self._records))
        assert all(isinstance(one, StoredRecord) for one in stored)
        tally = replay_all(stored, WithholdingAssessor(self.ensemble), versions)
        assert tally.replayed == len(stored)
        return [*tally.different]


@pytest.fixture
def served(model: Path, tmp_path: Path) -> Iterator[Served]:
    made = Served(model, tmp_path)
    yield made
    made.encoder.over.set()


@pytest.fixture
def patient(model: Path, tmp_path: Path) -> Served:
    """For an encoder that fails and does not hang, however busy the machine is."""
    guards = GUARDS.model_copy(update={"minimum_budget_milliseconds": 60_000.0})
    return Served(model, tmp_path, guards)


def why(decided: Decided, name: str = "text") -> str | None:
    return next(one.skipped_because for one in decided.verdict.stages if one.name == name)


def texts(count: int) -> list[Event]:
    """Of which the prefilter alone settles none."""
    return [row.event for row in _rows(2 * count) if row.is_spam]


def test_a_hung_encoder_costs_a_moment_and_the_prefilter_decides(served: Served) -> None:
    served.encoder.trouble = ""
    began = time.monotonic()
    decided = served.decide(texts(20))
    assert time.monotonic() - began < 5.0
    whys = [why(one) for one in decided]
    assert whys == [TIMED_OUT] * GUARDS.threads + [UNAVAILABLE] * (20 - GUARDS.threads)
    for one, said in zip(decided, whys, strict=True):
        prefilter, text, meta_learner = one.verdict.stages
        assert (prefilter.ran, text.ran, meta_learner.ran) == (True, False, False)
        assert one.verdict.score == prefilter.score
        assert said in one.verdict.reasons
        assert one.budget.withheld == (("text", said),)
    assert any(one.verdict.action != "allow" for one in decided)
    assert ("text", "open") in served.counts.states
    assert served.differences() == []


def test_an_encoder_that_fails_is_left_out_and_comes_back(patient: Served) -> None:
    patient.encoder.trouble, patient.encoder.fails = "cash", True
    decided = patient.decide([Event(event_id="a", text="free cash prize call now"),
                             Event(event_id="b", text="win a free prize now today")])  # fmt: skip
    assert [why(one) for one in decided] == [UNAVAILABLE, None]
    assert [one.budget.withheld for one in decided] == [(("text", UNAVAILABLE),), ()]
    assert decided[1].budget is UNBOUNDED
    assert patient.counts.called_["text", "failed"] == 1
    assert patient.differences() == []


def test_beside_other_stages_a_hung_encoder_leaves_the_decision_to_them(served: Served) -> None:
    served.encoder.trouble = ""
    served.cascade = replace(served.cascade, costs=StageCosts(every_stage_share=1.0))
    decided = served.decide([row.event for row in composed(40, 9)])
    asked = [one for one in decided if why(one) in (TIMED_OUT, UNAVAILABLE)]
    assert len(asked) > GUARDS.threads
    for one in asked:
        assert dict(one.budget.withheld)["text"] == why(one)
        assert why(one) in one.verdict.reasons
        assert {stage.name for stage in one.verdict.stages if stage.ran} >= {"smell", "fusion"}
    assert served.differences() == []


def test_where_text_that_was_read_cannot_be_understood_the_stage_that_read_it_is_left_out(
    patient: Served,
) -> None:
    patient.encoder.trouble, patient.encoder.fails = "prize", True
    events = [row.event for row in composed(40, 9)]
    decided = patient.decide(events)
    left_out = [one for one in decided if why(one, "sound") == "stage_unavailable:sound"]
    assert left_out
    for one in left_out:
        assert "stage_unavailable:sound" in one.verdict.reasons
        assert "sound_faint" not in one.verdict.reasons
    assert patient.counts.called_["text", "failed"] > 0
    assert patient.counts.called_["sound", "failed"] == 0
    assert patient.differences() == []


def test_without_time_for_the_encoder_it_is_not_begun(served: Served) -> None:
    event = Event(event_id="a", text="free cash prize call now")
    with within(StageBounds(deadline=time.monotonic() + 0.001)):
        (found,) = served.ensemble.assess([event])
    assert found.reasons[-1] == TIMED_OUT
    assert served.counts.called_ == {("text", "no_time"): 1}
    with within(StageBounds({"text": TIMED_OUT}, is_guarded=False)):
        assert served.ensemble.assess([event]) == [found]


def test_healthy_it_answers_as_without_a_guard(patient: Served, model: Path) -> None:
    plain = Ensemble.load(model, WordEncoder(), StageSources(TALKING, NoMedia()))
    events = [*texts(10), *(row.event for row in composed(40, 9))]
    with within(StageBounds()):
        assert orjson.dumps(patient.ensemble.assess(events)) == orjson.dumps(plain.assess(events))
    assert {outcome for _, outcome in patient.counts.called_} == {"answered"}


def test_a_cheap_stage_that_encodes_text_has_threads_and_the_texts_time() -> None:
    sources = GuardedSources.around(
        StageSources({"meaning": stage("Meaning"), "sound": stage("TalkingSound")}, NoMedia()),
        GUARDS,
    )
    meaning, sound = sources.extractor("meaning", {}), sources.extractor("sound", {})
    assert isinstance(meaning, Guarded)
    assert isinstance(sound, Guarded)
    assert isinstance(meaning._guard._bulkhead, OwnThreads)
    assert not isinstance(sound._guard._bulkhead, OwnThreads)
    assert meaning._guard._allowed.budget_seconds > sound._guard._allowed.budget_seconds

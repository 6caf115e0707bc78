"""An ensemble over text and two modalities, of which only both together tell spam from ham."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from data_contracts.config import EnsembleStage
from data_contracts.errors import BadInput
from data_contracts.events import Event
from data_contracts.labels import LabelledEvent
from data_contracts.protocols import TrialLog
from tests.stand_ins.modalities import NoMedia, SmellExtractor, SoundExtractor
from tests.unit.training.test_train_and_ensemble import WordEncoder, _rows
from training.ensemble import Ensemble
from training.objective import average_precision
from training.stage_sources import StageSources, TrainingStages
from training.train import Plan, train
from training.tuning import NoTrialLog

TABULAR = "training.specialists.tabular:TabularFamily"


class KeptLog(NoTrialLog):
    """The stages whose trials were told, each once."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def trial(self, stage: str, *rest: object) -> None:  # type: ignore[override]
        if stage not in self.stages:
            self.stages.append(stage)


STAGES = {
    "smell": EnsembleStage(
        modality="smell",
        extractor="tests.stand_ins.modalities:SmellExtractor",
        specialist=TABULAR,
        cpu_milliseconds=0.1,
    ),
    "sound": EnsembleStage(
        modality="sound",
        extractor="tests.stand_ins.modalities:SoundExtractor",
        specialist=TABULAR,
        cpu_milliseconds=100.0,
    ),
}
SOURCES = StageSources(STAGES, NoMedia())


def event(number: int, rng: np.random.Generator, *, sour: bool, loud: bool) -> Event:
    """Every text is ordinary; smell and sound are each as common in ham as they can be."""
    words = " ".join(rng.choice(["today", "soon", "later", "early", "maybe"], 3))
    return Event(
        event_id=f"m{number}",
        text=f"see you {words}",
        context={
            "behaviour.sweetness": float(rng.normal(-2.0 if sour else 2.0)),
            "surroundings.pitch": float(rng.normal()),
            "surroundings.loudness": float(rng.normal(2.0 if loud else -2.0)),
        },
    )


def composed(count: int, seed: int) -> list[LabelledEvent]:
    """Spam is sour and loud; ham is either or neither."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        sour, loud = ((True, True), (True, False), (False, True), (False, False))[number % 4]
        one = event(count * seed + number, rng, sour=sour, loud=loud)
        rows.append(LabelledEvent(one, "spam" if sour and loud else "ham", "composed"))
    return rows


def trained(
    folder: Path,
    trials: int = 0,
    rows: Sequence[LabelledEvent] | None = None,
    log: TrialLog | None = None,
) -> Ensemble:
    encoder_file = folder / "encoder-file.onnx"
    encoder_file.write_bytes(b"stands in for an encoder")
    extractors = {
        "smell": SmellExtractor({}, NoMedia()),
        "sound": SoundExtractor({}, NoMedia()),
    }
    return train(
        [*_rows(), *(rows or composed(600, 1))], WordEncoder(), encoder_file,
        Plan(trials, 3, 7, 0.01, folder / "studies"), log or NoTrialLog(), lambda message: None,
        TrainingStages(STAGES, extractors, {}),
    )  # fmt: skip


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Ensemble:
    return trained(tmp_path_factory.mktemp("fused"))


@pytest.fixture(scope="module")
def unseen() -> list[LabelledEvent]:
    return composed(400, 2)


def precision_of(rows: list[LabelledEvent], score: Callable[[Event], float]) -> float:
    scores = np.array([score(row.event) for row in rows])
    return average_precision(scores, np.array([row.is_spam for row in rows], np.int64))


def test_what_no_stage_can_tell_alone_all_can_tell_together(
    ensemble: Ensemble, unseen: list[LabelledEvent]
) -> None:
    def together(one: Event) -> float:
        return ensemble.assess([one], every_stage=True)[0].score

    def alone(one: Event, name: str) -> float:
        stages = ensemble.assess([one], every_stage=True)[0].stages
        return next(stage.score or 0.0 for stage in stages if stage.name == name)

    assert precision_of(unseen, together) > 0.9
    for name in ("text", "smell", "sound"):
        assert precision_of(unseen, lambda one, name=name: alone(one, name)) < 0.75


def test_the_verdict_says_what_ran(ensemble: Ensemble, unseen: list[LabelledEvent]) -> None:
    stages = ensemble.assess([unseen[0].event], every_stage=True)[0].stages
    assert [stage.name for stage in stages] == [
        "prefilter", "text", "smell", "sound", "fusion", "meta_learner",
    ]  # fmt: skip
    assert all(stage.ran for stage in stages)


def test_spam_names_the_stages_that_gave_the_signals(
    ensemble: Ensemble, unseen: list[LabelledEvent]
) -> None:
    acted = [
        found
        for row in unseen
        if row.is_spam and (found := ensemble.assess([row.event])[0]).action != "allow"
    ]
    assert acted
    assert any("signals_of_sound" in found.reasons for found in acted)


def test_a_settled_event_skips_what_is_dear_and_says_why(
    ensemble: Ensemble, unseen: list[LabelledEvent]
) -> None:
    settled = [
        stage
        for row in unseen
        for stage in ensemble.assess([row.event])[0].stages
        if stage.name == "sound" and not stage.ran
    ]
    assert len(settled) > 50
    assert {stage.skipped_because for stage in settled} <= {"clear ham", "clear spam"}


def test_a_budget_leaves_out_what_does_not_fit(
    ensemble: Ensemble, unseen: list[LabelledEvent]
) -> None:
    (found,) = ensemble.assess([unseen[0].event], every_stage=True, budget_milliseconds=50.0)
    by_name = {stage.name: stage for stage in found.stages}
    assert by_name["sound"].skipped_because == "deadline"
    assert by_name["text"].ran


def test_a_missing_modality_is_masked_and_not_shown(ensemble: Ensemble) -> None:
    one = Event(event_id="x", text="see you soon", context={"behaviour.sweetness": -2.0})
    names = [stage.name for stage in ensemble.assess([one], every_stage=True)[0].stages]
    assert "sound" not in names
    assert "smell" in names


def test_text_alone_is_answered_by_the_text_alone(ensemble: Ensemble) -> None:
    names = [s.name for s in ensemble.assess([Event(event_id="x", text="win a prize")])[0].stages]
    assert names == ["prefilter", "text", "meta_learner"]


def test_the_artefact_gives_the_same_verdicts_without_pickle(
    ensemble: Ensemble, unseen: list[LabelledEvent], tmp_path: Path
) -> None:
    ensemble.save(tmp_path / "model")
    loaded = Ensemble.load(tmp_path / "model", WordEncoder(), SOURCES)
    events = [row.event for row in unseen[:40]]
    assert loaded.assess(events) == ensemble.assess(events)
    assert loaded.version == ensemble.version
    assert loaded.threshold_version == ensemble.threshold_version


def test_a_stage_that_is_not_configured_is_named(ensemble: Ensemble, tmp_path: Path) -> None:
    ensemble.save(tmp_path / "model")
    lacking = StageSources({"smell": STAGES["smell"]}, NoMedia())
    with pytest.raises(BadInput, match=r"'sound'.*ensemble\.stages"):
        Ensemble.load(tmp_path / "model", WordEncoder(), lacking)


def test_the_same_rows_and_seed_train_the_same_ensemble(ensemble: Ensemble, tmp_path: Path) -> None:
    assert trained(tmp_path).version == ensemble.version


def test_the_search_goes_stage_after_stage_and_resumes(tmp_path: Path) -> None:
    rows, logs = composed(200, 3), [KeptLog(), KeptLog()]
    first, again = (trained(tmp_path, 2, rows, log) for log in logs)
    assert logs[0].stages == ["text", "smell", "sound", "fusion", "meta_learner"]
    assert logs[1].stages == []
    assert again.training["parameters"] == first.training["parameters"]
    assert first.training["parameters"]["fusion.width"] in (16, 24, 48)


def test_pictures_of_spam_do_not_teach_the_text_models(ensemble: Ensemble) -> None:
    """Composed texts are all alike; the text models learnt from the others alone."""
    training = dataclasses.asdict(ensemble.parts.policy.thresholds)
    assert training["target_false_positive_rate"] == 0.01
    scores = [found.score for found in ensemble.assess([Event(event_id="a", text="see you today")])]
    assert max(scores) < 0.5

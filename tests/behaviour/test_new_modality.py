"""The recipe "A new modality" of CONTRIBUTING, followed: an extractor, a specialist, one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_contracts.config import Settings, load_settings
from tests.stand_ins.modalities import NoMedia
from tests.unit.training.test_fused_ensemble import composed
from tests.unit.training.test_train_and_ensemble import WordEncoder, _rows
from training.ensemble import Ensemble
from training.stage_sources import StageSources, training_stages
from training.train import Plan, train
from training.tuning import NoTrialLog

LINE = (
    "{modality: sound, extractor: 'tests.stand_ins.modalities:SoundExtractor', "
    "specialist: 'tests.stand_ins.modalities:LoudnessFamily', cpu_milliseconds: 5}"
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"WEIR_HOME": str(tmp_path), "WEIR__ENSEMBLE__STAGES__SOUND": LINE})


def test_one_line_of_configuration_brings_a_modality_into_training_and_verdicts(
    settings: Settings, tmp_path: Path
) -> None:
    encoder = tmp_path / "encoder-file.onnx"
    encoder.write_bytes(b"stands in for an encoder")
    rows = composed(240, 5)
    with training_stages(settings, NoMedia()) as stages:
        ensemble = train(
            [*_rows(), *rows], WordEncoder(), encoder, Plan(0, 3, 7, 0.01, tmp_path / "studies"),
            NoTrialLog(), lambda message: None, stages,
        )  # fmt: skip
    ensemble.save(tmp_path / "model")
    sources = StageSources(settings.ensemble.stages, NoMedia())
    served = Ensemble.load(tmp_path / "model", WordEncoder(), sources)
    (found,) = served.assess([rows[0].event], every_stage=True)
    sound = next(stage for stage in found.stages if stage.name == "sound")
    assert sound.ran
    assert sound.score is not None
    assert sound.score > 0.2, "loud events are spam more often than others"

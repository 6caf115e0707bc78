"""The whole ensemble over every stage: trained, kept as files, loaded, and asked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from data_contracts.config import Settings, load_settings
from data_contracts.errors import MissingPart
from data_contracts.events import Event
from pipelines.features.media.reader import BoundedMediaReader
from pipelines.simulation.composition.composing import Composition
from tests.all_modalities import composed, small_ensemble
from tests.malformed_media import generated_sources, malformed_media
from training.ensemble import Ensemble
from training.registry.artefact import refuse_pickles
from training.stage_sources import media_reader, stage_sources

pytestmark = pytest.mark.timeout(600)  # a loaded machine; alone it takes less than a minute
EVENTS, MALFORMED = 400, 54


@dataclass(frozen=True)
class Trained:
    """A model's folder, the traffic that it was trained on, and the settings of both."""

    model: Path
    traffic: Composition
    settings: Settings


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    home = tmp_path_factory.mktemp("all-modalities")
    settings = load_settings({**os.environ, "WEIR_HOME": str(home)})
    with media_reader(settings) as media:
        try:
            traffic = composed(settings, EVENTS, media)
            ensemble = small_ensemble(settings, traffic.labelled(), media, home)
        except MissingPart as missing:
            pytest.skip(str(missing))
        ensemble.save(home / "model")
        yield Trained(home / "model", traffic, settings)


@pytest.fixture(scope="module")
def served(trained: Trained) -> Ensemble:
    return Ensemble.load(trained.model, sources=stage_sources(trained.settings))


def test_every_stage_that_the_traffic_carries_is_in_the_one_artefact(
    trained: Trained, served: Ensemble
) -> None:
    refuse_pickles(trained.model)
    assert served.parts.fused is not None
    assert set(served.parts.fused.stages) >= {
        "surroundings", "behaviour", "meaning", "image", "objects",
    }  # fmt: skip


def test_a_picture_wakes_its_stages_and_a_text_does_not(trained: Trained, served: Ensemble) -> None:
    with_picture = next(event for event in trained.traffic.events if event.media)
    without = next(event for event in trained.traffic.events if not event.media)
    woken, not_woken = (
        {stage.name for stage in found.stages if stage.ran}
        for found in served.assess([with_picture, without], every_stage=True)
    )
    assert {"image", "objects", "behaviour", "surroundings"} <= woken
    assert not {"image", "objects", "ocr"} & not_woken


def test_verdicts_do_not_depend_on_neighbours_or_on_how_often_they_are_asked(
    trained: Trained, served: Ensemble
) -> None:
    events = list(trained.traffic.events[:25])
    together = served.assess(events)
    assert [served.assess([event])[0] for event in reversed(events)][::-1] == together


def test_malformed_media_give_verdicts_with_the_reason(trained: Trained) -> None:
    rng = np.random.default_rng(3)
    files = malformed_media(MALFORMED, rng, generated_sources(rng))
    events = [
        Event(event_id=f"e{number}", text="look", media=(file.reference(),))
        for number, file in enumerate(files)
    ]
    with BoundedMediaReader(None) as reader:
        sources = stage_sources(trained.settings)
        served = Ensemble.load(trained.model, sources=type(sources)(sources.stages, reader))
        verdicts = [served.assess([event])[0] for event in events]
    assert len(verdicts) == MALFORMED
    reasons = {reason for verdict in verdicts for reason in verdict.reasons}
    assert "image_is_not_an_image" in reasons
    assert all(0 <= verdict.score <= 1 for verdict in verdicts)

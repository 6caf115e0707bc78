"""The verb `gate`: what it writes, and whom it compares with."""

from __future__ import annotations

import argparse
import socket
from pathlib import Path

import orjson
import pytest

from data_contracts.config import Settings, load_settings
from data_contracts.errors import BadInput, WeirError
from evaluation.gates import judging
from evaluation.gates.base import Contender
from evaluation.gates.judging import NO_CHAMPION, judge
from tests import gate_cases as made


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{free.getsockname()[1]}"
    environment = {"WEIR_HOME": str(tmp_path), "WEIR__REGISTRY__TRACKING_URI": uri}
    return load_settings(environment)


def asked(model: Path | str, champion: str | None = None) -> argparse.Namespace:
    return argparse.Namespace(model=str(model), champion=champion, suite="golden", dataset=None)


def test_the_report_lies_beside_its_pictures_under_the_models_name(settings: Settings) -> None:
    model = Contender("ensemble-abc", made.PERFECT)
    result = judge("golden", made.two_languages(), model, None, settings, "a note")
    path = Path(result["report"])
    assert path == settings.reports / "gates" / "ensemble-abc" / "golden.json"
    record = orjson.loads(path.read_bytes())
    assert (record["verdict"], record["reasons"]) == ("pass", ["a note"])
    assert "golden-slices.svg" in record["details"]["pictures"]
    assert all((path.parent / name).is_file() for name in record["details"]["pictures"])
    assert record["details"]["seconds"] >= 0


def test_a_folder_can_be_judged_while_no_registry_answers(
    settings: Settings, tmp_path: Path
) -> None:
    champion, note = judging._champion(asked(tmp_path), settings)
    assert champion is None
    assert note is not None
    assert note.startswith(NO_CHAMPION)


def test_a_version_of_the_registry_cannot_be_judged_without_it(settings: Settings) -> None:
    with pytest.raises(WeirError):
        judging._champion(asked("models:/spam/3"), settings)


def test_no_champion_can_be_asked_for(settings: Settings) -> None:
    assert judging._champion(asked("models:/spam/3", "none"), settings) == (None, NO_CHAMPION)


def test_an_absent_model_is_bad_input(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="neither a folder"):
        judging.run(asked(tmp_path / "absent"), settings)


def test_an_unknown_gate_is_bad_input_that_names_the_known_ones(settings: Settings) -> None:
    wanted = argparse.Namespace(model="m", champion="none", suite="vibes", dataset=None)
    with pytest.raises(BadInput, match=r"'vibes'.*golden, adversarial, fairness"):
        judging.run(wanted, settings)

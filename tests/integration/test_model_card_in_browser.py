"""What a reviewer sees in MLflow: the version's page and the model card, in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from playwright.sync_api import Browser, Frame, Page

from data_contracts.command_line import main
from data_contracts.labels import LabelledEvent
from data_contracts.secrets import MLFLOW_REVIEWER_PASSWORD, secret
from evaluation.__main__ import VERBS as EVALUATION_VERBS
from evaluation.gates.base import Contender
from evaluation.gates.judging import judge
from evaluation.gates.suite import suite_of
from evaluation.model_card import HEADLINES
from pipelines import audit_trail
from pipelines.features.text.encoder import Embedding
from pipelines.state import open_state
from tests.gate_cases import labelled
from tests.mlflow_server import TrackingServer, tracking_server
from training import registry
from training.__main__ import VERBS as TRAINING_VERBS
from training.ensemble import Ensemble
from training.train import Plan, train
from training.tuning import NoTrialLog

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]
GATES = ("golden", "adversarial", "fairness")
DESKTOP, PHONE = 1280, 390
WAIT_MILLISECONDS = 60_000
DARK_SOFT = "rgb(169, 175, 184)"  # of the labels of an axis
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


class WordEncoder:
    """A stand-in encoder: the unit sum of one fixed random vector a word."""

    def encode(self, text: str) -> Embedding:
        total = np.zeros(16)
        for word in text.lower().split():
            total += np.random.default_rng(crc32(word.encode())).normal(size=16)
        return (total / max(float(np.linalg.norm(total)), 1e-9)).astype(np.float32)


@dataclass(frozen=True)
class Judged:
    """A version in MLflow with its gates' reports, as `training promote` left it."""

    server: TrackingServer
    number: int
    run_id: str
    card: Path
    gates: str
    verdicts: dict[str, str]
    pictures: int


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judged]:
    """Two small ensembles, trained here; the second judged by the real gates beside the first."""
    rows = [row for language in ("en", "tr") for row in labelled(70, 80, language)]
    asked = [row for row in rows if _number(row) < 40]
    taught = [row for row in rows if _number(row) >= 40]
    folder = tmp_path_factory.mktemp("models")
    with tracking_server(tmp_path_factory.mktemp("weir"), WEIR_TRIGGERED_BY="grace") as server:
        champion = _trained(folder / "champion", taught[::2], seed=1)
        challenger = _trained(folder / "challenger", taught, seed=2)
        first = _verb(server, "training", "register", "--model", str(folder / "champion"))
        registry.set_alias(registry.connect(server.settings), "champion", first["version"])
        version = _verb(server, "training", "register", "--model", str(folder / "challenger"))
        said = [
            judge(
                gate, suite_of(asked), Contender(challenger.version, challenger),
                Contender(champion.version, champion), server.settings,
            )
            for gate in GATES
        ]  # fmt: skip
        reports = [f"--gate={one['report']}" for one in said]
        card = _verb(server, "evaluation", "card", "--model", version["uri"], *reports)
        number = str(version["version"])
        done = _verb(
            server, "training", "promote", "--version", number, *reports, "--card", card["card"]
        )
        yield Judged(
            server, version["version"], version["run_id"], Path(card["card"]), done["gates"],
            done["verdicts"], sum(len(one["pictures"]) for one in said),
        )  # fmt: skip


def _number(row: LabelledEvent) -> int:
    return int(row.event.event_id.rpartition("-")[2])


def _trained(folder: Path, rows: Sequence[LabelledEvent], seed: int) -> Ensemble:
    folder.mkdir()
    encoder = folder.parent / "encoder.onnx"
    encoder.write_bytes(b"stands in for an encoder")
    plan = Plan(0, 3, seed, 0.001, folder.parent / "studies")
    ensemble = train(rows, WordEncoder(), encoder, plan, NoTrialLog(), lambda _message: None)
    ensemble.save(folder)
    return ensemble


def _verb(server: TrackingServer, folder: str, *arguments: str) -> dict[str, Any]:
    verbs = {"training": TRAINING_VERBS, "evaluation": EVALUATION_VERBS}[folder]
    result = server.settings.home / "result.json"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environ.items():
            patch.setenv(name, value)
        assert main(folder, "", verbs, [*arguments, "--result", str(result)]) == 0
    return dict(json.loads(result.read_text()))


@pytest.fixture(params=[DESKTOP, PHONE])
def page(browser: Browser, judged: Judged, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The version's page as the reviewer sees it, at one of two widths, MLflow's panels folded."""
    password = secret(MLFLOW_REVIEWER_PASSWORD, judged.server.settings.home)
    context = browser.new_context(
        viewport={"width": request.param, "height": 900},
        http_credentials={"username": "reviewer", "password": password},
    )
    context.set_default_timeout(WAIT_MILLISECONDS)
    page = context.new_page()
    page.goto(f"{judged.server.uri}/#/models/spam/versions/{judged.number}")
    page.get_by_role("button", name="Close", exact=True).click()
    if request.param == PHONE:
        page.get_by_role("button", name="Toggle sidebar").click()
    yield page
    context.close()


def test_the_versions_page_tells_the_verdict_of_every_gate(
    page: Page, judged: Judged, tmp_path: Path
) -> None:
    page.get_by_role("link", name="Read the model card").wait_for()
    page.screenshot(path=tmp_path / "version.png")
    for gate, verdict in judged.verdicts.items():
        line = page.get_by_role("listitem").filter(has_text=f"{gate} {verdict.replace('_', ' ')}")
        place = line.first.bounding_box()
        assert place is not None, gate
        assert place["x"] > 0
        assert place["x"] + place["width"] <= page.evaluate("innerWidth")


def test_who_started_the_training_by_hand_is_recorded_with_the_version(judged: Judged) -> None:
    trail = open_state(judged.server.settings.state_url)
    rows = audit_trail.entries(trail, f"models:/spam/{judged.number}")
    assert ("grace", "training triggered") in {(row.who, row.what) for row in rows}
    assert ("trainer", "version created") in {(row.who, row.what) for row in rows}


@pytest.mark.parametrize("page", [DESKTOP], indirect=True)  # on a phone MLflow cuts it off
def test_mlflow_shows_the_card_in_its_sandbox(page: Page, judged: Judged, tmp_path: Path) -> None:
    link = page.get_by_role("link", name="Read the model card")
    link.evaluate("link => link.removeAttribute('target')")
    link.click()
    frame = _card(page)
    page.screenshot(path=tmp_path / "artifact.png")
    _check(frame, judged)


def test_the_card_as_a_file_is_readable_in_light_and_dark(
    page: Page, judged: Judged, tmp_path: Path
) -> None:
    with page.expect_download() as download:
        page.get_by_role("link", name="as a file").click()
    file = tmp_path / "model_card.html"
    download.value.save_as(file)
    assert file.read_bytes() == judged.card.read_bytes()
    page.goto(file.as_uri())
    page.screenshot(path=tmp_path / "card.png", full_page=True)
    _check(page.main_frame, judged)
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=tmp_path / "card-dark.png", full_page=True)
    ink = "() => getComputedStyle(document.querySelector('figure svg text')).fill"
    assert page.evaluate(ink) == DARK_SOFT, "pictures follow the page's colours"


def _card(page: Page) -> Frame:
    """The card in MLflow's sandboxed frame."""
    element = page.wait_for_selector("iframe.mlflow-html-iframe", state="visible")
    assert element is not None
    assert "allow-same-origin" not in (element.get_attribute("sandbox") or "allow-same-origin")
    frame = element.content_frame()
    assert frame is not None
    frame.wait_for_selector("h1")
    return frame


def _check(frame: Frame, judged: Judged) -> None:
    """Verdict, figures and pictures are there to be seen, and nothing is wider than the page."""
    assert frame.locator(".verdict strong").inner_text() == HEADLINES[judged.gates]
    assert frame.locator(".verdict").is_visible()
    assert frame.locator("h3").count() == len(GATES)
    assert frame.locator("table.figures >> visible=true").count() >= len(GATES)
    pictures = frame.locator("figure svg >> visible=true")
    assert pictures.count() == judged.pictures
    sizes = [pictures.nth(number).bounding_box() for number in range(judged.pictures)]
    assert all(size and size["width"] > 200 and size["height"] > 80 for size in sizes)
    assert frame.evaluate(OVERFLOW) == 0
    assert re.search(r"models:/spam/\d+", frame.locator("h1").inner_text())

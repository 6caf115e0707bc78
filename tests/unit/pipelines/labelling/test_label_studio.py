"""What goes to Label Studio and what is read from it, without a server of its own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pytest

from data_contracts.errors import ConfigurationError, ServiceUnavailable
from data_contracts.labels import LABEL_NAMES, LabelName
from pipelines.labelling.label_studio_client import PAGE, Annotation, LabelStudio
from pipelines.labelling.label_studio_sync import Fate, fate_of
from pipelines.labelling.label_studio_task import CHOICE, LABELLING, label_of, task_form
from pipelines.labelling.queue import Task
from tests.label_studio_server import choices

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
EVENT = {"event_id": "e", "text": "<b>hi</b>", "language": None, "occurred_at": NOON}


def _task(**changes: Any) -> Task:
    values: dict[str, Any] = {
        "id": 3, "event_id": "e", "day": "2026-01-05", "strategy": "audit", "score": 0.5,
        "model_version": "7", "reasons": ("wording_of_spam",), "sensitive": False,
        "lease_expires_at": NOON,
    }  # fmt: skip
    return Task(**{**values, **changes})


@pytest.mark.parametrize(
    ("labels", "expected"),
    [(["Spam"], "spam"), (["Ham"], "ham"), ([], None), (["Spam", "Ham"], None), (["spam"], None)],
)
def test_an_annotation_is_one_label_or_none(labels: list[str], expected: LabelName | None) -> None:
    asked_to_see = {"from_name": "view", "value": {"choices": ["View the text"]}}
    assert label_of([asked_to_see, *choices(labels)]) == expected


@pytest.mark.parametrize(
    ("cancelled", "label", "answered", "held", "fate"),
    [
        (True, "spam", None, True, "skipped"),
        (False, None, None, True, "unclear"),
        (False, "spam", "spam", True, "known"),
        (False, "spam", "ham", True, "changed"),
        (False, "spam", None, False, "unused"),
        (False, "spam", None, True, "new"),
    ],
)
def test_only_a_clear_unanswered_annotation_of_a_held_task_is_new(
    cancelled: bool, label: LabelName | None, answered: LabelName | None, held: bool, fate: Fate
) -> None:
    annotation = Annotation(id=1, user=1, cancelled=cancelled, result=())
    assert fate_of(annotation, label, answered, held) == fate


def test_the_page_offers_each_label_once_with_a_key_of_its_own() -> None:
    page = ElementTree.fromstring(LABELLING)  # noqa: S314  our own text
    (answer,) = page.findall(".//Choices[@name='label']")
    offered = {choice.get("value"): choice.get("hotkey") for choice in answer}
    assert offered == {CHOICE[name]: name[0] for name in LABEL_NAMES}


def test_no_rule_of_the_style_is_one_that_label_studio_breaks() -> None:
    style = ElementTree.fromstring(LABELLING).findtext("Style")  # noqa: S314
    assert style is not None
    assert ">" not in style
    assert style.count("{") == style.count("}") > 10


def test_a_task_is_covered_unless_it_says_that_it_is_plain() -> None:
    plain = task_form(_task(), EVENT)["data"]
    covered = task_form(_task(sensitive=True), EVENT)["data"]
    assert (bool(plain["plain"]), bool(plain["covered"])) == (True, False)
    assert (bool(covered["plain"]), bool(covered["covered"])) == (False, True)


@pytest.mark.parametrize(("score", "choice"), [(0.5, "Spam"), (0.499, "Ham")])
def test_the_score_becomes_a_prediction(score: float, choice: str) -> None:
    (prediction,) = task_form(_task(score=score), EVENT)["predictions"]
    assert (prediction["score"], prediction["model_version"]) == (score, "7")
    assert prediction["result"][0]["value"]["choices"] == [choice]


def test_a_task_without_a_score_has_no_prediction_and_says_so() -> None:
    form = task_form(_task(score=None, model_version=None, reasons=()), EVENT)
    assert "predictions" not in form
    assert form["data"]["about"]["Model's score"] == "none"
    assert form["data"]["text"] == "<b>hi</b>"


class _Answers(BaseHTTPRequestHandler):
    """Three statuses by path, and a project of PAGE + 1 tasks."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        page = int(parse_qs(url.query).get("page", ["1"])[0])
        ids = range(1, PAGE + 2)[(page - 1) * PAGE : page * PAGE]
        empty = {"meta": None, "overlap": 1, "is_labeled": False, "annotations": []}
        tasks = [{"id": n, **empty} for n in ids]
        self._send(200, {"tasks": tasks, "total": PAGE + 1})

    def do_PATCH(self) -> None:
        self._send(int(self.path.rsplit("/", 1)[1]), {"detail": "a user's text"})

    def log_message(self, *_: object) -> None: ...

    def _send(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture(scope="module")
def studio() -> Iterator[LabelStudio]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield LabelStudio(f"http://127.0.0.1:{server.server_address[1]}", "a-token")
        server.shutdown()


def test_every_page_of_tasks_is_read(studio: LabelStudio) -> None:
    found = studio.tasks(1)
    assert [task.id for task in found] == list(range(1, PAGE + 2))
    assert {task.key for task in found} == {None}


@pytest.mark.parametrize(
    ("status", "error", "remedy"),
    [
        (401, ConfigurationError, "WEIR_LABEL_STUDIO_TOKEN"),
        (403, ConfigurationError, "WEIR_LABEL_STUDIO_TOKEN"),
        (404, ConfigurationError, "infra/review/requirements.txt"),
        (503, ServiceUnavailable, "make status"),
    ],
)
def test_an_error_names_address_status_and_remedy_and_quotes_nothing(
    studio: LabelStudio, status: int, error: type[Exception], remedy: str
) -> None:
    with pytest.raises(error, match=remedy) as raised:
        studio.offer(status, 2)
    assert f"PATCH {studio.url}/api/tasks/{status}: {status}" in str(raised.value)
    assert "user's text" not in str(raised.value)
    assert studio.token not in repr(studio)

"""A real Label Studio server: tasks go there, annotations come back, whatever is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Page, sync_playwright

from data_contracts.command_line import main
from data_contracts.config import PROJECT, Settings, load_settings
from data_contracts.errors import ConfigurationError
from data_contracts.labels import LabelName
from data_contracts.secrets import create_local_secrets, local_secrets
from pipelines import lake
from pipelines.__main__ import VERBS
from pipelines.labelling.label_studio import pseudonym
from pipelines.labelling.label_studio_client import ReviewTask
from pipelines.labelling.queue import LabelQueue, NewTask, open_label_queue
from pipelines.labelling.samplers.base import Draw
from tests.label_studio_server import PASSWORD, ReviewServer, review_server

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]

DAY = "2026-01-05"
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
ADA, BOB = "ada@example.org", "bob@example.org"
CHROMIUM = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
FILTER = "element => getComputedStyle(element).filter"
PARCEL = (
    "Your parcel 4471 waits at the depot.\nConfirm within 24 h: depot.example/4471 & pay "
    '<b>1.99</b> <img src=x onerror="document.title=1">'
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReviewServer]:
    with review_server(tmp_path_factory.mktemp("label-studio")) as running:
        yield running


@dataclass(frozen=True)
class Desk:
    """A Weir home of its own, with a project of its own on the shared server."""

    server: ReviewServer
    settings: Settings
    environ: dict[str, str]

    @property
    def queue(self) -> LabelQueue:
        return open_label_queue(self.settings.state_url, self.settings.labelling.lease_seconds)

    @property
    def project(self) -> int:
        return self.server.studio.ensure_project(self.settings.review.project, {})

    def want(self, event_id: str, text: str = "hello", **task: Any) -> None:
        """An event in the lake, and a task for it in the queue."""
        rows = lake.read(self.settings.lake, "events", [DAY]).to_pylist()
        row = {
            "event_id": event_id, "text": text, "occurred_at": NOON, "account_hash": None,
            "language": "en", "media": "[]", "context": "{}", "source": "gateway",
        }  # fmt: skip
        lake.write(self.settings.lake, "events", DAY, lake.rows("events", [*rows, row]))
        self.enqueue(event_id, **task)

    def enqueue(self, event_id: str, **task: Any) -> None:
        self.queue.enqueue([NewTask(Draw(event_id, "audit", 0.1), DAY, **task)], datetime.now(UTC))

    def sync(self, **environ: str) -> dict[str, Any]:
        """`python -m pipelines review-sync`: what it did, or its exit code."""
        result = self.settings.home / "sync.json"
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**self.environ, **environ}.items():
                patch.setenv(name, value)
            code = main("pipelines", "", VERBS, ["review-sync", "--result", str(result)])
        return dict(json.loads(result.read_text())) if code == 0 else {"exit_code": code}

    def tasks(self) -> dict[str, ReviewTask]:
        """Label Studio's tasks by event; two for one event would be seen here."""
        found = self.server.studio.tasks(self.project)
        by_event = {str(task.key).removeprefix(f"{DAY}/"): task for task in found}
        assert len(by_event) == len(found)
        return by_event

    def annotate(self, email: str, event_id: str, *labels: str, skipped: bool = False) -> int:
        task = self.tasks()[event_id].id
        return int(self.server.reviewer(email).annotate(task, *labels, skipped=skipped)["id"])

    def labels(self) -> dict[str, list[tuple[str, LabelName]]]:
        """Finished labels by event: who gave them, and what they are."""
        found: dict[str, list[tuple[str, LabelName]]] = {}
        for label in self.queue.labels(DAY):
            assert label.source == "label-studio"
            found.setdefault(label.event_id, []).append((label.reviewer, label.label))
        return found

    def name(self, email: str) -> str:
        return pseudonym(email, local_secrets(self.settings.home)["WEIR_ACCOUNT_KEY"])


@pytest.fixture
def desk(server: ReviewServer, tmp_path: Path, request: pytest.FixtureRequest) -> Desk:
    return _desk(server, tmp_path / "home", request.node.name)


@pytest.fixture
def postgresql_desk(
    server: ReviewServer, tmp_path: Path, request: pytest.FixtureRequest, postgres_url: str
) -> Desk:
    """As in production, the queue is in PostgreSQL."""
    return _desk(server, tmp_path / "home", request.node.name, WEIR__STATE__URL=postgres_url)


def _desk(server: ReviewServer, home: Path, name: str, **environ: str) -> Desk:
    environ |= {
        "WEIR_HOME": str(home),
        "WEIR__REVIEW__URL": server.url,
        "WEIR__REVIEW__PROJECT": name[5:55],
        "WEIR_LABEL_STUDIO_TOKEN": server.token,
    }
    settings = load_settings(environ)
    create_local_secrets(settings.home)
    return Desk(server, settings, environ)


def test_what_two_people_say_becomes_labels_and_saying_it_again_changes_nothing(
    desk: Desk,
) -> None:
    desk.want("one", PARCEL, score=0.93, model_version="7", reasons=("short_link",))
    desk.want("both", answers_wanted=2)
    desk.want("elsewhere")
    elsewhere = next(t for t in desk.queue.lease("eve", 9, NOON) if t.event_id == "elsewhere")
    desk.queue.submit(elsewhere.id, "eve", "ham", NOON, source="label-studio")
    desk.queue.expire(NOON + timedelta(hours=1))
    assert desk.sync()["created"] == 2
    assert set(desk.tasks()) == {"one", "both"}
    desk.annotate(ADA, "one", "Spam")
    desk.annotate(ADA, "both", "Ham")
    assert desk.sync()["submitted"] == 2
    assert desk.server.reviewer(ADA).next_task(desk.project) is None
    assert desk.server.reviewer(BOB).next_task(desk.project) == desk.tasks()["both"].id
    desk.annotate(BOB, "both", "Ham")
    assert desk.sync()["submitted"] == 1
    ada, bob = desk.name(ADA), desk.name(BOB)
    expected = {
        "one": [(ada, "spam")],
        "both": sorted([(ada, "ham"), (bob, "ham")]),
        "elsewhere": [("eve", "ham")],
    }
    assert desk.labels() == expected
    before, answers = desk.tasks(), desk.queue.answers()
    again = desk.sync()
    assert {name: again[name] for name in ("leased", "created", "submitted", "released")} == {
        "leased": 0, "created": 0, "submitted": 0, "released": 0,
    }  # fmt: skip
    assert (desk.tasks(), desk.queue.answers(), desk.labels()) == (before, answers, expected)
    assert ADA not in str(desk.queue.answers())


def test_two_people_who_answered_before_the_first_pull_both_count(postgresql_desk: Desk) -> None:
    desk = postgresql_desk
    desk.want("both", answers_wanted=2)
    desk.sync()
    desk.annotate(ADA, "both", "Spam")
    desk.annotate(BOB, "both", "Spam")
    assert desk.sync()["submitted"] == 2
    assert len(desk.labels()["both"]) == 2


KILLED = """
import os, signal, sys
from data_contracts.command_line import main
from pipelines.__main__ import VERBS
from pipelines.labelling import label_studio
class Killed(label_studio.LabelStudio):
    def add(self, project, tasks):
        super().add(project, tasks[:2])
        os.kill(os.getpid(), signal.SIGKILL)
label_studio.LabelStudio = Killed
main("pipelines", "", VERBS, ["review-sync"])
"""


def test_a_sync_killed_among_the_tasks_it_makes_leaves_none_out_and_none_twice(desk: Desk) -> None:
    events = ["a", "b", "c", "d"]
    for event_id in events:
        desk.want(event_id)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED], env={**os.environ, **desk.environ}, cwd=PROJECT, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert set(desk.tasks()) == {"a", "b"}
    desk.annotate(ADA, "a", "Ham")
    done = desk.sync()
    assert (done["created"], done["submitted"]) == (2, 1)
    assert set(desk.tasks()) == set(events)
    assert desk.labels() == {"a": [(desk.name(ADA), "ham")]}


def test_an_annotation_outlives_its_lease_and_waits_for_who_has_the_task_now(desk: Desk) -> None:
    desk.want("late")
    desk.sync()
    desk.annotate(ADA, "late", "Spam")
    after = datetime.now(UTC) + timedelta(hours=desk.settings.review.lease_hours, minutes=1)
    (held,) = desk.queue.lease("eve", 1, after)
    waiting = desk.sync()
    assert (waiting["submitted"], waiting["unused"]) == (0, 1)
    desk.queue.release(held.id, "eve")
    assert desk.sync()["submitted"] == 1
    assert desk.labels() == {"late": [(desk.name(ADA), "spam")]}


def test_what_was_answered_elsewhere_is_shown_to_nobody_until_that_answer_is_removed(
    desk: Desk,
) -> None:
    desk.want("overtaken")
    desk.sync()
    shown = desk.tasks()["overtaken"].id
    assert desk.server.reviewer(ADA).next_task(desk.project) == shown
    after = datetime.now(UTC) + timedelta(hours=desk.settings.review.lease_hours, minutes=1)
    (held,) = desk.queue.lease("eve", 1, after)
    desk.queue.submit(held.id, "eve", "ham", after)
    desk.sync()
    assert desk.server.reviewer(ADA).next_task(desk.project) is None
    desk.queue.set_batch_state(f"{DAY}/eve", "removed", "disagrees with gold", "operator", after)
    desk.sync()
    assert desk.server.reviewer(ADA).next_task(desk.project) == shown


def test_a_changed_annotation_is_reported_and_the_first_answer_stays(desk: Desk) -> None:
    desk.want("fickle")
    desk.sync()
    annotation = desk.annotate(ADA, "fickle", "Spam")
    assert desk.sync()["changed"] == []
    desk.server.reviewer(ADA).change(annotation, "Ham")
    assert desk.sync()["changed"] == [f"{DAY}/fickle by {desk.name(ADA)}"]
    assert desk.labels() == {"fickle": [(desk.name(ADA), "spam")]}


def test_a_skipped_task_is_open_to_others_again(desk: Desk) -> None:
    desk.want("hard")
    desk.sync()
    desk.annotate(ADA, "hard", skipped=True)
    assert desk.sync()["released"] == 1
    assert desk.queue.progress()[DAY]["open"] == 1
    assert desk.server.reviewer(BOB).next_task(desk.project) == desk.tasks()["hard"].id
    desk.annotate(BOB, "hard", "Ham")
    assert desk.sync()["submitted"] == 1
    assert desk.labels() == {"hard": [(desk.name(BOB), "ham")]}


def test_an_annotation_without_one_clear_label_is_no_answer(desk: Desk) -> None:
    desk.want("unclear")
    desk.sync()
    desk.annotate(ADA, "unclear", "Spam", "Ham")
    done = desk.sync()
    assert (done["submitted"], done["unclear"]) == (0, 1)
    desk.annotate(BOB, "unclear", "Ham")
    assert desk.sync()["submitted"] == 1


def test_a_removed_batch_does_not_come_back_and_others_are_asked(desk: Desk) -> None:
    desk.want("poisoned")
    desk.sync()
    desk.annotate(ADA, "poisoned", "Ham")
    desk.sync()
    batch = desk.queue.answers()[0].batch
    desk.queue.set_batch_state(batch, "removed", "disagrees with gold", "operator", NOON)
    assert desk.sync()["submitted"] == 0
    assert desk.labels() == {}
    desk.annotate(BOB, "poisoned", "Spam")
    assert desk.sync()["submitted"] == 1
    assert desk.labels() == {"poisoned": [(desk.name(BOB), "spam")]}


def test_a_task_whose_event_was_erased_is_given_back(desk: Desk) -> None:
    desk.enqueue("erased")
    done = desk.sync()
    assert (done["created"], done["without_event"]) == (0, 1)
    assert desk.queue.progress()[DAY]["open"] == 1


def test_the_models_opinion_is_a_prediction_and_nothing_tells_a_gold_question(
    desk: Desk,
) -> None:
    desk.want("scored", PARCEL, score=0.93, model_version="7", reasons=("a", "b"), gold="spam")
    desk.sync()
    task = httpx.get(
        f"{desk.server.url}/api/tasks/{desk.tasks()['scored'].id}",
        headers={"Authorization": f"Token {desk.server.token}"},
    ).json()
    (prediction,) = task["predictions"]
    assert (prediction["model_version"], prediction["score"]) == ("7", 0.93)
    assert prediction["result"][0]["value"] == {"choices": ["Spam"]}
    assert task["data"]["about"]["Model's reasons"] == "a, b"
    assert task["data"]["text"] == PARCEL
    assert "gold" not in json.dumps([task["data"], task["meta"]])


def test_a_reviewer_reads_the_text_as_it_is_uncovers_it_and_answers_by_keyboard(
    desk: Desk,
) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed (Debian package chromium)")
    desk.want("plain", PARCEL, score=0.9)
    desk.want("covered", "nothing bad at all", sensitive=True)
    desk.sync()
    desk.server.reviewer(ADA)
    asked: list[str] = []
    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM).new_page()
        page.on("request", lambda request: asked.append(urlsplit(request.url).netloc))
        page.goto(f"{desk.server.url}/user/login/?next=/projects/{desk.project}/data?labeling=1")
        page.fill("[name=email]", ADA)
        page.fill("[name=password]", PASSWORD)
        page.keyboard.press("Enter")
        text = page.locator(".weir-text .lsf-object")
        page.locator(".weir-plain h4", has_text="Message").wait_for()
        assert "<b>1.99</b> <img src=x" in text.inner_text()
        assert (page.locator(".weir-text img").count(), page.title()) == (0, "Label Studio")
        assert page.locator(".weir-answer input:checked").count() == 0  # nothing chosen in advance
        assert text.evaluate(FILTER) == "none"
        _press(page, "s")
        page.locator(".weir-covered h4", has_text="Sensitive").wait_for()
        assert text.evaluate(FILTER).startswith("blur")
        page.keyboard.press("v")
        page.locator(".weir-covered input:checked").wait_for(state="attached")
        assert text.evaluate(FILTER) == "none"
        _press(page, "h")
    assert desk.sync()["submitted"] == 2
    ada = desk.name(ADA)
    assert desk.labels() == {"plain": [(ada, "spam")], "covered": [(ada, "ham")]}
    assert set(asked) == {urlsplit(desk.server.url).netloc}


def _press(page: Page, key: str) -> None:
    """Choose an answer and submit it, with two keys."""
    page.keyboard.press(key)
    page.locator(".weir-answer input:checked").wait_for(state="attached")
    with page.expect_response(lambda r: "/annotations" in r.url and r.request.method == "POST"):
        page.keyboard.press("Enter")


def test_a_wrong_token_and_a_server_that_is_down_end_with_their_exit_codes(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert desk.sync(WEIR_LABEL_STUDIO_TOKEN="0" * 40) == {"exit_code": 2}
    assert "401" in capsys.readouterr().err
    assert desk.sync(WEIR__REVIEW__URL="http://127.0.0.1:9") == {"exit_code": 1}
    assert "make review" in capsys.readouterr().err
    with pytest.raises(ConfigurationError, match=r"PATCH .*/api/tasks/0: 404"):
        replace(desk.server.studio).offer(0, 2)


def test_nobody_signs_up_without_the_administrators_link(server: ReviewServer) -> None:
    assert server.is_signed_in(server.reviewer(ADA).session)
    assert not server.is_signed_in(server.sign_up("mallory@example.org"))


def test_no_text_and_no_secret_is_in_the_servers_log(desk: Desk) -> None:
    desk.want("private", "an unmistakable sentence about nothing")
    desk.sync()
    log = desk.server.log
    assert "/api/projects" in log
    assert "unmistakable" not in log
    assert not [v for v in local_secrets(desk.server.settings.home).values() if v in log]

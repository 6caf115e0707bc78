"""A bad batch leaves queue and lake once, on record, and the models that saw it are named."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest

from data_contracts.config import Settings, load_settings
from data_contracts.errors import BadInput
from data_contracts.secrets import MLFLOW_TRAINER_PASSWORD
from pipelines import audit_trail, lake
from pipelines.labelling import collect
from pipelines.labelling.queue import LabelQueue, NewTask, open_label_queue
from pipelines.labelling.samplers.base import Draw
from pipelines.state import open_state
from training import label_removal
from training.lineage import FILE, Lineage, read_lineage, trace, write_lineage

DAY = "2026-01-05"
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
BAD, GOOD = f"{DAY}/mallory", f"{DAY}/ada"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(
        {"WEIR_HOME": str(tmp_path), "WEIR__REGISTRY__TRACKING_URI": "http://127.0.0.1:1"}
    )


@pytest.fixture
def queue(settings: Settings) -> LabelQueue:
    """Four labels, two of them mallory's, in the lake."""
    queue = open_label_queue(settings.state_url, 600)
    tasks = [NewTask(Draw(f"event-{number}", "audit", 1.0), DAY) for number in range(4)]
    queue.enqueue(tasks, NOON)
    for reviewer in ("mallory", "ada"):
        for task in queue.lease(reviewer, 2, NOON):
            queue.submit(task.id, reviewer, "ham", NOON)
    collect.run(argparse.Namespace(day=DAY), settings)
    return queue


def asked(batch: str = BAD, reason: str = "flipped a campaign") -> argparse.Namespace:
    return argparse.Namespace(batch=batch, reason=reason, by="grace")


def batches_in_lake(settings: Settings) -> set[str]:
    return set(lake.read(settings.lake, "labels", [DAY])["batch"].to_pylist())


def test_the_batch_leaves_queue_and_lake_and_stands_in_the_trail(
    settings: Settings, queue: LabelQueue
) -> None:
    assert batches_in_lake(settings) == {BAD, GOOD}
    done = label_removal.run(asked(), settings)
    assert (done["answers"], done["days_rewritten"], done["removed_before"]) == (2, [DAY], False)
    assert batches_in_lake(settings) == {GOOD}
    assert {one.batch: one.state for one in queue.batches()}[BAD] == "removed"
    (row,) = audit_trail.entries(open_state(settings.state_url), f"label batch {BAD}")
    assert (row.who, row.what, row.evidence) == (
        "grace", "removed label batch", "flipped a campaign"
    )  # fmt: skip


def test_removing_again_changes_nothing_and_names_the_models_again(
    settings: Settings, queue: LabelQueue
) -> None:
    write_lineage(settings.home / "models" / "v1", trace(settings, [DAY]))
    first = label_removal.run(asked(), settings)
    again = label_removal.run(asked(), settings)
    assert (again["answers"], again["days_rewritten"], again["recorded"]) == (0, [], False)
    assert again["removed_before"]
    assert again["models"] == first["models"] == [
        {"name": "v1", "certainly": True, "aliases": ()}
    ]  # fmt: skip
    assert len(audit_trail.entries(open_state(settings.state_url))) == 1


def test_what_a_crash_left_undone_is_done_by_the_same_call(
    settings: Settings, queue: LabelQueue
) -> None:
    queue.set_batch_state(BAD, "removed", "flipped a campaign", "grace", NOON)  # then it died
    done = label_removal.run(asked(), settings)
    assert (done["days_rewritten"], done["recorded"]) == ([DAY], True)
    assert batches_in_lake(settings) == {GOOD}


def test_models_that_saw_the_batch_are_told_from_those_that_did_not(
    settings: Settings, queue: LabelQueue
) -> None:
    models = settings.home / "models"
    write_lineage(models / "saw", trace(settings, [DAY]))
    old = trace(settings)
    keep(models / "old-of-that-day", old, {DAY: 4})
    keep(models / "old-of-another-day", old, {"2026-01-04": 4})
    keep(models / "without-labels", old, {})
    (models / "no-lineage").mkdir()
    found = label_removal.run(asked(), settings)["models"]
    assert [(one["name"], one["certainly"]) for one in found] == [
        ("old-of-that-day", False), ("saw", True)
    ]  # fmt: skip
    label_removal.run(asked(), settings)
    write_lineage(models / "trained-after", trace(settings, [DAY]))
    assert "trained-after" not in str(label_removal.run(asked(), settings)["models"])


def test_a_registry_that_cannot_be_asked_is_said_to_be_unasked(
    settings: Settings, queue: LabelQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = label_removal.run(asked(), settings)
    assert said["registry"].startswith("not asked: ")
    assert said["next"].startswith("ask again when MLflow answers")
    monkeypatch.setenv(MLFLOW_TRAINER_PASSWORD, "word")
    assert "does not answer" in label_removal.run(asked(), settings)["registry"]


def test_versions_of_the_registry_are_named_page_by_page_with_their_aliases(
    settings: Settings, queue: LabelQueue, monkeypatch: pytest.MonkeyPatch, registry_url: str
) -> None:
    monkeypatch.setenv(MLFLOW_TRAINER_PASSWORD, "word")
    registry = settings.registry.model_copy(update={"tracking_uri": registry_url})
    said = label_removal.run(asked(), settings.model_copy(update={"registry": registry}))
    assert said["registry"] == "asked"
    assert said["versions"] == [
        {"name": "models:/weir/3", "certainly": True, "aliases": ("champion",)},
        {"name": "models:/weir/1", "certainly": False, "aliases": ()},
    ]
    assert said["next"].endswith("consider rolling back models:/weir/3 (champion)")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (asked(batch="nobody/knows"), "is not in the label queue"),
        (asked(reason="  "), "--reason is empty"),
        (asked(reason="x" * 600), "--reason has 600 characters"),
    ],
)
def test_a_wrong_call_changes_nothing_and_says_why(
    settings: Settings, queue: LabelQueue, given: argparse.Namespace, message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        label_removal.run(given, settings)
    assert batches_in_lake(settings) == {BAD, GOOD}
    assert audit_trail.entries(open_state(settings.state_url)) == []


def keep(folder: Path, lineage: Lineage, batches: dict[str, int]) -> None:
    write_lineage(folder, lineage)
    record = json.loads((folder / FILE).read_text())
    (folder / FILE).write_text(json.dumps({**record, "label_batches": batches}))
    assert read_lineage(folder) is not None


@pytest.fixture
def registry_url() -> Iterator[str]:
    """MLflow's search of model versions, two a page, over a real socket."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Registry)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _version(number: int, batches: dict[str, int], *aliases: str) -> dict[str, object]:
    tags = [{"key": "weir.label_batches", "value": json.dumps(batches)}] if batches else []
    return {
        "name": "weir", "version": str(number), "source": "s", "creation_timestamp": 0,
        "tags": tags, "aliases": list(aliases),
    }  # fmt: skip


class _Registry(BaseHTTPRequestHandler):
    versions = (
        _version(3, {BAD: 2, GOOD: 2}, "champion"),
        _version(2, {GOOD: 2}),
        _version(1, {DAY: 4}),
        _version(0, {}),
    )

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        assert url.path == "/api/2.0/mlflow/model-versions/search"
        start = int(parse_qs(url.query).get("page_token", ["0"])[0])
        following = str(start + 2) if start + 2 < len(self.versions) else ""
        page = self.versions[start : start + 2]
        body = json.dumps({"model_versions": page, "next_page_token": following}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""

"""Labels of appeals beside the audit: they correct it, and never count as chance."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from data_contracts.config import load_settings
from data_contracts.labels import Label
from evaluation.monitoring.model import audit_quality
from pipelines import lake
from pipelines.labelling.appeal_labels import with_appeals
from pipelines.labelling.collect import run as collect_labels
from pipelines.labelling.draws import AuditDraw
from pipelines.labelling.queue import open_label_queue
from pipelines.labelling.queue_records import NewTask
from pipelines.labelling.samplers.base import Draw
from pipelines.state import open_state
from tests.appeal_cases import DAY, NOW, Home, event, line, verdict

AUDITED = Label("e1", "spam", "reviewer", "bea", "audit", 0.25, NOW, f"{DAY}/bea")
APPEALED = Label(
    "e1", "ham", "appeal", "rae", "appeal", None, NOW + timedelta(days=1), f"{DAY}/appeals/rae"
)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    engine = open_state(f"sqlite:///{tmp_path}/state.sqlite")
    yield Home(tmp_path, engine)
    engine.dispose()


def _overturn(home: Home, event_id: str) -> None:
    desk = home.desk()
    _, said = desk.submit(home.token(), {"event_id": event_id, "statement": "x"})
    desk.take(home.reviewer(), said["appeal"])
    desk.decide(home.reviewer(), said["appeal"], {"decision": "overturn", "reason": "fine"})


def test_an_appeal_alone_has_no_chance() -> None:
    assert with_appeals([], [APPEALED]) == [APPEALED]


def test_an_appeal_that_corrects_an_audit_label_keeps_the_draw() -> None:
    audit, corrected = with_appeals([AUDITED], [APPEALED])
    assert audit == AUDITED
    assert corrected == replace(APPEALED, strategy="audit", inclusion_probability=0.25)


def test_an_appeal_does_not_answer_for_another_event() -> None:
    other = replace(AUDITED, event_id="e0")
    assert with_appeals([other], [APPEALED]) == [other, APPEALED]


def test_the_audit_estimate_counts_the_correction_and_not_what_chose_itself(home: Home) -> None:
    """Ten audited blocks, nine right; one is corrected. Five more appeal without being drawn."""
    names = [f"a{n}" for n in range(10)] + [f"s{n}" for n in range(5)]
    events = [event(name, f"words {name}", account=name) for name in names]
    home.record([line(verdict(one.event_id), one) for one in events])
    home.land(events)
    home.ingest()
    home.label({f"a{n}": "spam" for n in range(10)})
    home.clock.forward(hours=1)
    for name in ("a0", *[f"s{n}" for n in range(5)]):
        desk = home.desk()
        _, said = desk.submit(home.token(name), {"event_id": name, "statement": "x"})
        desk.take(home.reviewer(), said["appeal"])
        desk.decide(home.reviewer(), said["appeal"], {"decision": "overturn", "reason": "fine"})
    drawn = [AuditDraw(f"a{n}", DAY, 0.1) for n in range(10)]
    quality = audit_quality(home.lake, [DAY], drawn, 5)["versions"]["7"]
    assert (quality["audit_draws"], quality["audit_labels"]) == (10, 10)
    assert quality["precision"]["value"] == pytest.approx(0.9)
    labelled = {one.event.event_id: one for one in lake.labelled_events(home.lake)}
    assert labelled["a0"].label == "ham"
    assert labelled["a0"].inclusion_probability == 0.1, "it stays in the thresholds' weights"
    assert labelled["s0"].inclusion_probability is None


def test_collecting_labels_keeps_those_of_appeals(home: Home) -> None:
    settings = load_settings({
        "WEIR_HOME": str(home.folder),
        "WEIR__STATE__URL": home.engine.url.render_as_string(hide_password=False),
    })  # fmt: skip
    events = [event("e1", "mine"), event("q1", "queued", account="bob")]
    home.record([line(verdict(one.event_id), one) for one in events])
    home.land(events)
    _overturn(home, "e1")
    queue = open_label_queue(settings.state_url, 60)
    queue.enqueue([NewTask(Draw("q1", "audit", 0.5), DAY)], NOW)
    (task,) = queue.lease("bea", 1, NOW)
    queue.submit(task.id, "bea", "spam", NOW)
    before = lake.read(home.lake, "labels", [DAY]).to_pylist()
    collect_labels(argparse.Namespace(day=DAY), settings)
    after = lake.read(home.lake, "labels", [DAY]).to_pylist()
    assert [one["event_id"] for one in after] == ["e1", "q1"]
    assert before == after[:1]

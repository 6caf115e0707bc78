"""The sample report of a small day: its figures by hand, and a page without a user's words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import orjson
import pyarrow as pa
import pytest

from pipelines.labelling.allocation import Allocation, Worth
from pipelines.labelling.day_decisions import DECISIONS
from pipelines.labelling.label_history import LabelHistory
from pipelines.labelling.pool import DayPool
from pipelines.labelling.queue import Answer, NewTask, open_label_queue
from pipelines.labelling.sample_page import page
from pipelines.labelling.sample_pictures import pictures
from pipelines.labelling.sample_report import page_of, report, write
from pipelines.labelling.samplers import Draw, Pool, Selection
from pipelines.labelling.sampling import DaySample

DAY = "2026-01-06"
NOON = datetime(2026, 1, 6, 12, tzinfo=UTC)
AUDIT_REASON = "fixed <share>"


@pytest.fixture
def sample() -> DaySample:
    """Six events: a, b, c are one campaign; a (audit) and d (diversity) are chosen."""
    vectors = [[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]
    table = pa.table(
        {
            "event_id": list("abcdef"),
            "score": [0.05, 0.05, 0.05, 0.55, 1.0, None],
            "language": ["en", "en", "en", "tr", None, "en"],
            "embedding": pa.array(vectors, pa.list_(pa.float32())),
            "campaign": ["en:1", "en:1", "en:1", "tr:2", ":3", "en:4"],
            "campaign_size": [3, 3, 3, 1, 1, 1],
        }
    )
    draws = (Draw("a", "audit", 1 / 6), Draw("d", "diversity/representatives"))
    history = LabelHistory(
        np.empty((0, 0), np.float32), np.empty(0, bool), np.empty(0, str), np.empty(0),
        np.empty(0, bool),
    )  # fmt: skip
    decided = DECISIONS.empty_table()
    made = DayPool(Pool.of(table, 0.5), decided, history, np.empty(0), ("no <encoder>",))
    shares = {"audit": 0.5, "diversity": 0.5}
    reasons = {"audit": AUDIT_REASON, "diversity": "worth it"}
    worth = {"diversity": Worth(120, 0.02, 0.004)}
    return DaySample(DAY, Selection(draws), made, Allocation(shares, reasons), worth, 0.2, 12.0, 2)


def tasks(sample: DaySample) -> list[NewTask]:
    plain = [NewTask(draw, DAY, answers_wanted=2) for draw in sample.selection.draws]
    return [*plain, NewTask(Draw("g", "audit"), DAY, gold="spam")]


def answer(label: Any, strategy: str, seconds: float, **more: Any) -> Answer:
    fields = {
        "task_id": 1, "event_id": "x", "day": "2026-01-05", "reviewer": "ana", "label": label,
        "batch": "b", "source": "reviewer", "gold": None, "score": None, "strategy": strategy,
        "inclusion_probability": None, "leased_at": NOON - timedelta(seconds=seconds),
        "answered_at": NOON,
    }  # fmt: skip
    return Answer(**(fields | more))


def test_the_figures_are_as_by_hand(sample: DaySample) -> None:
    answers = [
        answer("spam", "audit", 10), answer("ham", "audit", 30),
        answer("ham", "audit", 999, source="label-studio"),
        answer("spam", "audit", 5, gold="spam"),
    ]  # fmt: skip
    found = report(sample, tasks(sample), answers)
    assert found["tasks"] == {"events": 2, "asked_twice": 2, "gold_questions": 1}
    audit, diversity = found["arms"]
    assert (audit["chosen"], audit["reviews"], audit["spam"]) == (1, 3, 1)
    assert audit["median_seconds"] == 20.0  # only leases as long as somebody looked
    assert (diversity["reviews"], diversity["spam_a_review"]) == (0, None)
    assert diversity["parts"] == {"diversity/representatives": 1}
    assert diversity["worth"] == {"labels": 120, "bits": 0.02, "error": 0.004}
    assert found["near_duplicates"] == {"waiting": 2, "repeats": 0}  # b and c
    assert found["languages"]["pool"] == {"en": 4, "tr": 1, "und": 1}
    assert found["scores"]["pool"] == [3, 0, 0, 0, 0, 1, 0, 0, 0, 1]
    assert found["scores"]["arms"]["audit"][0] == 1
    sizes = {one["size"]: (one["campaigns"], one["looked_at"]) for one in found["campaigns"]}
    assert sizes == {"single": (3, 1), "2 to 3": (1, 1), "4 to 10": (0, 0), "more than 10": (0, 0)}
    assert found["learning_curve"] is None


def test_the_page_is_whole_and_escapes_what_it_is_told(sample: DaySample) -> None:
    html = page(report(sample, tasks(sample), []))
    assert "fixed &lt;share&gt;" in html
    assert "no &lt;encoder&gt;" in html
    assert "<share>" not in html
    assert 'src="' not in html
    assert 'href="http' not in html


def test_every_picture_with_figures_is_drawn_as_svg_and_the_same_twice(sample: DaySample) -> None:
    found = report(sample, tasks(sample), [])
    drawn = pictures(found)
    assert set(drawn) == {"scores", "worth", "campaigns", "languages"}
    assert drawn == pictures(found)
    for svg in drawn.values():
        assert ElementTree.fromstring(svg).tag.endswith("svg")  # noqa: S314  our own drawing


def test_page_and_figures_are_written_side_by_side(sample: DaySample, tmp_path: Path) -> None:
    queue = open_label_queue(f"sqlite:///{tmp_path}/q.sqlite", 60)
    path = write(sample, tasks(sample), queue, tmp_path)
    assert path == page_of(tmp_path, DAY) == tmp_path / "sampling" / f"day={DAY}.html"
    assert orjson.loads(path.with_suffix(".json").read_bytes())["day"] == DAY


def test_event_ids_do_not_reach_the_report(sample: DaySample) -> None:
    named = sample.made.pool.table.set_column(
        0, "event_id", pa.array([f"secret-{i}" for i in range(6)])
    )
    made = DayPool(
        Pool.of(named, 0.5), DECISIONS.empty_table(), sample.made.history, np.empty(0), ()
    )
    draws = (Draw("secret-0", "audit", 1 / 6), Draw("secret-3", "diversity/representatives"))
    other = DaySample(DAY, Selection(draws), made, sample.allocation, sample.worth, None, 24.0, 2)
    assert b"secret" not in orjson.dumps(report(other, [], []))

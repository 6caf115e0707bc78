"""A day that is not over: its newest events are looked at on request, and it stays pending."""

from __future__ import annotations

import argparse
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pytest

from data_contracts.config import Settings, load_settings
from data_contracts.errors import NothingToDo
from data_contracts.secrets import ACCOUNT_KEY
from data_contracts.verdicts import DecisionRecord, Verdict
from pipelines import lake
from pipelines.labelling import sampling
from pipelines.labelling.queue import NewTask, open_label_queue
from pipelines.labelling.samplers.base import Draw, Pool

DAY, EVENTS, BUDGET = "2026-01-05", 40, 12
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Forty decided events of a day; no gateway answers and no encoder can be had."""
    monkeypatch.setenv(ACCOUNT_KEY, "key")
    monkeypatch.setenv("WEIR_ASSET_CACHE", str(tmp_path / "no-assets"))
    made = load_settings(
        {
            "WEIR_HOME": str(tmp_path),
            "WEIR__LABELLING__BUDGET": str(BUDGET),
            "WEIR__LABELLING__DOUBLE_LABEL_SHARE": "0",
            "WEIR__DATA__DOWNLOAD": "false",
            "WEIR__SERVING__GATEWAY_PORT": "1",
        }
    )
    (made.home / "decisions").mkdir()
    (made.home / "decisions" / "blue-1.jsonl").write_bytes(
        b"".join(_record(f"e{number:02d}", number / EVENTS) for number in range(EVENTS))
    )
    return made


def _record(event_id: str, score: float) -> bytes:
    verdict = Verdict(event_id, score, "allow", (), (), "1", "t1")
    event = {"event_id": event_id, "text": f"hello from a friend of many years: {event_id}"}
    record = DecisionRecord(verdict, event, f"{DAY}T10:00:00+00:00", False, 1.0)
    return orjson.dumps(record.as_record(), option=orjson.OPT_APPEND_NEWLINE)


def during(monkeypatch: pytest.MonkeyPatch, today: str) -> None:
    for module in ("pipelines.labelling.sampling", "pipelines.ingestion"):
        monkeypatch.setattr(f"{module}.is_unfinished", lambda day: day == today)


def sample(settings: Settings, day: str) -> dict[str, object]:
    return sampling.run(argparse.Namespace(day=day, budget=None), settings)


def sampled(settings: Settings) -> Counter[str]:
    queue = open_label_queue(settings.state_url, settings.labelling.lease_seconds)
    return Counter(queue.sampled(DAY))


def test_a_day_so_far_is_taken_in_and_sampled_again_and_again_without_repeats(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    during(monkeypatch, DAY)
    for round_ in (1, 2):
        sample(settings, DAY)
        counts = sampled(settings)
        assert sum(counts.values()) == round_ * BUDGET
        assert all(name.startswith("time_sensitive/") for name in counts)
    with pytest.raises(NothingToDo):
        sample(settings, "pending")


def test_the_days_own_sampling_still_comes_when_it_is_over_and_its_audit_is_whole(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    during(monkeypatch, DAY)
    sample(settings, DAY)
    during(monkeypatch, "2026-01-06")
    sample(settings, "pending")
    queue = open_label_queue(settings.state_url, settings.labelling.lease_seconds)
    assert sampled(settings)["audit"] > 0
    assert len(queue.events(DAY)) > BUDGET
    with pytest.raises(NothingToDo):
        sample(settings, "pending")


def test_an_event_that_was_looked_at_early_counts_for_the_audit_that_draws_it_later(
    settings: Settings,
) -> None:
    queue = open_label_queue(settings.state_url, 60)
    queue.enqueue([NewTask(Draw("e1", "time_sensitive/novelty"), DAY)], NOW)
    assert queue.enqueue([NewTask(Draw("e1", "audit", 0.25), DAY)], NOW) == 0
    assert queue.sampled(DAY) == {"audit": 1}
    queue.enqueue([NewTask(Draw("e1", "diversity"), DAY)], NOW)  # no chance drew it: nothing new
    queue.enqueue([NewTask(Draw("e1", "audit", 0.75), DAY)], NOW)  # nor does a second chance count
    (task,) = queue.lease("ada", 1, NOW)
    queue.submit(task.id, "ada", "ham", NOW)
    (label,) = queue.labels(DAY)
    assert (label.strategy, label.inclusion_probability) == ("audit", 0.25)
    assert lake.days(settings.lake, "events") == []


def test_posts_like_a_campaign_that_monitoring_sees_are_asked_about() -> None:
    vectors = np.eye(3, dtype=np.float32)[[0, 0, 1, 2]]
    pool = Pool(pa.table({"event_id": ["a", "b", "c", "d"], "embedding": list(vectors)}))
    near = sampling.like_campaigns(pool, np.array([[0.8, 0.6, 0.0]], np.float32))
    assert near.table["campaign_similarity"].to_pylist() == pytest.approx([0.8, 0.8, 0.6, None])
    assert [
        draw.event_id for draw in sampling.CAMPAIGN.select(near, 2, np.random.default_rng(1)).draws
    ][1:] == ["c"]  # no second of the same
    none = sampling.like_campaigns(pool, np.empty((0, 0), np.float32))
    assert len(sampling.CAMPAIGN.eligible(none)) == 0

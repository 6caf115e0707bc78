"""The whole daily sample with `labelling.engine: spark` chooses what it chooses on DuckDB."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from data_contracts.config import Settings, load_settings
from data_contracts.events import Event
from data_contracts.verdicts import Verdict
from pipelines import lake
from pipelines.labelling.pool import PoolMaker
from pipelines.labelling.sampling import DaySample, sample_day

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java 17: none on PATH"),
]
FIRST, SECOND = "2026-01-05", "2026-01-06"
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


class Hashed:
    """Scores and embeds by the text's checksum: the same on every run."""

    version = "hashed-1"

    def score(self, events: Sequence[Event]) -> Sequence[Verdict]:
        return [self._verdict(event) for event in events]

    def embed(self, texts: Sequence[str]) -> list[np.ndarray]:
        rows = [np.random.default_rng(zlib.crc32(one.encode())).normal(size=16) for one in texts]
        return [(row / np.linalg.norm(row)).astype(np.float32) for row in rows]

    def _verdict(self, event: Event) -> Verdict:
        score = zlib.crc32(event.text.encode()) % 1000 / 1000
        action = "block" if score >= 0.8 else "allow"
        return Verdict(event.event_id, score, action, (), (), "1", "t")


def write_day(settings: Settings, day: str, n: int) -> None:
    records = [
        {
            "event_id": f"{day}-{i:04d}", "text": f"message number {i % 150} of somebody",
            "occurred_at": NOON + timedelta(minutes=7 * i), "account_hash": None,
            "language": ("en", "tr", None)[i % 3], "media": "[]", "context": "{}", "source": "s",
        }
        for i in range(n)
    ]  # fmt: skip
    lake.write(settings.lake, "events", day, lake.rows("events", records))


def write_labels(settings: Settings, sample: DaySample) -> None:
    records = [
        {
            "event_id": draw.event_id, "label": "spam" if i % 3 == 0 else "ham", "source": "s",
            "reviewer": "ana", "strategy": draw.strategy, "observed_at": NOON, "batch": "b",
            "inclusion_probability": draw.inclusion_probability,
        }
        for i, draw in enumerate(sample.selection.draws)
    ]  # fmt: skip
    lake.write(settings.lake, "labels", sample.day, lake.rows("labels", records))


def test_the_same_events_are_chosen_for_the_same_reasons(tmp_path: Path) -> None:
    settings = load_settings({"WEIR_HOME": str(tmp_path), "WEIR__LABELLING__BUDGET": "150"})
    both = Hashed()

    def sampled(day: str, engine: str) -> DaySample:
        labelling = settings.labelling.model_copy(update={"engine": engine})
        return sample_day(PoolMaker(settings.lake, tmp_path / engine, labelling, both, both), day)

    for day in (FIRST, SECOND):
        write_day(settings, day, 400)
    write_labels(settings, sampled(FIRST, "duckdb"))
    embedded, clustered = sampled(SECOND, "duckdb"), sampled(SECOND, "spark")
    assert len(clustered.made.history) == 150
    assert clustered.allocation == embedded.allocation
    assert clustered.selection == embedded.selection

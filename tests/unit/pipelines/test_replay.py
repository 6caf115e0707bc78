"""The replay lands every chosen row once, related rows together, and the label nowhere."""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.config import Settings, Traffic, load_settings
from data_contracts.errors import BadInput, ConfigurationError, MissingPart
from data_contracts.events import Event, parse_event_line
from data_contracts.labels import LabelledEvent
from pipelines import landing
from pipelines.simulation.replay import replay, run
from pipelines.simulation.schedule import schedule
from pipelines.simulation.synthetic import synthetic_events

START = datetime(2014, 1, 1, tzinfo=UTC)
TRAFFIC = Traffic(datasets=("a", "b"), days=4, events_per_day=30, first_day="2026-01-05", seed=3)


def row(number: int, dataset: str, *, timed: bool = False) -> LabelledEvent:
    time = START + timedelta(hours=number) if timed else None
    event = Event(event_id=f"{dataset}-{number}", text=f"{dataset} {number}", occurred_at=time)
    return LabelledEvent(event, "ham", dataset)


def settings_at(home: Path, **extra: str) -> Settings:
    nowhere = {"WEIR__DATA__ROOT": str(home / "no-data"), "WEIR__DATA__DOWNLOAD": "false"}
    small = {"WEIR__TRAFFIC__DAYS": "3", "WEIR__TRAFFIC__EVENTS_PER_DAY": "40"}
    return load_settings({"WEIR_HOME": str(home), **nowhere, **small, **extra})


def arguments(days: int | None = None, dataset: list[str] | None = None) -> argparse.Namespace:
    return argparse.Namespace(days=days, dataset=dataset)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), min_size=1, max_size=90),
    st.integers(1, 5),
    st.integers(1, 40),
    st.booleans(),
)
def test_related_rows_never_stand_on_two_days(
    parts: list[tuple[str, int]], days: int, events_per_day: int, timed: bool
) -> None:
    rows = [row(at, name, timed=timed and name == "a") for at, (name, _) in enumerate(parts)]
    groups = np.array([group for _, group in parts], dtype=np.int64)
    placed = schedule(rows, groups, days, events_per_day, np.random.default_rng(0))
    days_of_group = defaultdict(set)
    for item in placed:
        days_of_group[groups[item.row]].add(item.day)
        assert 0 <= item.fraction < 1
        assert 0 <= item.day < days
    assert all(len(found) == 1 for found in days_of_group.values())
    assert len({item.row for item in placed}) == len(placed)
    assert max(Counter(item.day for item in placed).values(), default=0) <= events_per_day + 3


def test_every_day_has_every_set_and_its_events() -> None:
    rows = [row(at, name) for name in ("a", "b") for at in range(200)]
    groups = np.arange(len(rows))
    placed = schedule(rows, groups, 4, 30, np.random.default_rng(0))
    counts = Counter((item.day, rows[item.row].dataset) for item in placed)
    assert counts == {(day, name): 15 for day in range(4) for name in ("a", "b")}


def test_real_times_keep_their_order() -> None:
    rows = [row(at, "a", timed=True) for at in range(100)]
    placed = schedule(rows, np.arange(100), 5, 10, np.random.default_rng(1))
    ordered = sorted(placed, key=lambda item: (item.day, item.fraction))
    assert [item.row for item in ordered] == sorted(item.row for item in ordered)
    assert Counter(item.day for item in placed) == dict.fromkeys(range(5), 10)


def test_the_same_seed_gives_the_same_days_and_another_seed_does_not() -> None:
    rows = synthetic_events(150, seed=1)
    assert replay(rows, TRAFFIC) == replay(rows, TRAFFIC)
    assert replay(rows, TRAFFIC) != replay(rows, TRAFFIC.model_copy(update={"seed": 4}))


def test_landed_lines_keep_the_contract_and_carry_no_label(tmp_path: Path) -> None:
    result = run(arguments(), settings_at(tmp_path))
    assert result["synthetic"] is True
    assert result["events"] == 120
    assert result["languages"] == ["de", "en"]
    truth = {}
    for day in result["days"]:
        table = pq.read_table(tmp_path / "truth" / f"day={day}.parquet")
        truth.update(zip(table["event_id"].to_pylist(), table["label"].to_pylist(), strict=True))
        for path in landing.files(tmp_path, day):
            for line in landing.lines(path, 10_000):
                event = parse_event_line(line.content or b"")
                assert event.occurred_at is not None
                assert event.occurred_at.date().isoformat() == day
                assert "label" not in orjson.loads(line.content or b"")
                assert event.event_id in truth
    assert set(truth.values()) == {"spam", "ham"}


def test_a_second_replay_writes_the_same_bytes_and_a_shorter_one_removes_the_rest(
    tmp_path: Path,
) -> None:
    def content() -> dict[str, bytes]:
        return {
            str(path): path.read_bytes()
            for folder in ("landing", "truth")
            for path in (tmp_path / folder).rglob("*.*")
            if path.is_file()
        }

    run(arguments(), settings_at(tmp_path))
    first = content()
    run(arguments(), settings_at(tmp_path))
    assert content() == first
    foreign = landing.folder(tmp_path, "2026-01-07") / "gateway.jsonl"
    foreign.write_text('{"event_id": "x", "text": "y"}\n')
    run(arguments(days=1), settings_at(tmp_path))
    assert landing.days(tmp_path) == ["2026-01-05", "2026-01-07"]
    assert foreign.is_file()


def test_a_set_named_on_the_command_line_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(MissingPart, match="place the file at"):
        run(arguments(dataset=["text_sms_turkish"]), settings_at(tmp_path))
    with pytest.raises(MissingPart, match="'nonsense' is not in"):
        run(arguments(dataset=["nonsense"]), settings_at(tmp_path))


def test_impossible_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--days 0 is no number of days"):
        run(arguments(days=0), settings_at(tmp_path))
    with pytest.raises(ConfigurationError, match=r"traffic.first_day = 'Monday' is no day"):
        run(arguments(), settings_at(tmp_path, WEIR__TRAFFIC__FIRST_DAY="Monday"))


def test_synthetic_spam_can_be_learnt_but_not_perfectly() -> None:
    rows = synthetic_events(600, seed=2)
    assert rows == synthetic_events(600, seed=2)
    words: dict[str, Counter[str]] = defaultdict(Counter)
    for item in rows[:300]:
        words[item.label].update(set(item.event.text.lower().split()))

    def score(text: str) -> float:
        found = set(text.lower().split())
        return sum(np.log((words["spam"][w] + 1) / (words["ham"][w] + 2)) for w in found)

    scores = np.array([score(item.event.text) for item in rows[300:]])
    spam = np.array([item.is_spam for item in rows[300:]])
    area = float((scores[spam][:, None] > scores[~spam][None, :]).mean())
    assert 0.85 < area < 1.0

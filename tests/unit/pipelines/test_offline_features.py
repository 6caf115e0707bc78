"""Features built offline are those computed online, and a leak of the future is caught."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest

from data_contracts.actions import Action
from data_contracts.errors import BadInput, FutureLeak
from data_contracts.events import Event
from pipelines.action_log import actions_of, write_actions
from pipelines.enrichment import Enrichment
from pipelines.feature_store.offline import (
    build,
    check_point_in_time,
    events_of,
    past_of,
)
from tests.performance import bench_feature_parity as bench

EVENTS = 1000
MIDNIGHT = datetime(2026, 1, 6, tzinfo=UTC)


@pytest.fixture(scope="module")
def log() -> bench.Log:
    return bench.simulated(EVENTS, seed=7)


@pytest.fixture(scope="module")
def built(log: bench.Log) -> list[Event]:
    return bench.fresh().enrich_in_order(log.events, log.actions)


def check(built: list[Event], log: bench.Log) -> None:
    rng = np.random.default_rng(5)
    check_point_in_time(built, log.actions, bench.fresh, sample=100, rng=rng)


def test_online_across_a_restart_equals_offline_to_the_last_bit(
    log: bench.Log, tmp_path: Path
) -> None:
    online = bench.online(log, tmp_path / "states")
    offline = bench.offline(log, tmp_path)
    assert bench.largest_difference(online, offline) == 0
    assert list(online) == list(offline)
    assert len({key for past in offline.values() for key in past}) > 50


def test_a_replay_without_leaks_passes(built: list[Event], log: bench.Log) -> None:
    check(built, log)


def test_a_builder_that_tells_before_it_reads_is_caught(log: bench.Log) -> None:
    hasty, leaked = bench.fresh(), []
    for event in log.events:
        hasty.observe(event)
        leaked.append(hasty.enriched(event))
    with pytest.raises(FutureLeak, match="read every source before it is told"):
        check(leaked, log)


def test_a_label_that_came_later_is_caught(built: list[Event], log: bench.Log) -> None:
    spammers = {action.target for action in log.actions if action.kind == "confirmed_spam"}
    leaked = [
        event.model_copy(
            update={
                "context": event.context
                | {"behaviour.confirmed_spam": float(event.account in spammers)}
            }
        )
        for event in built
    ]
    with pytest.raises(FutureLeak, match=r"behaviour\.confirmed_spam"):
        check(leaked, log)


def test_actions_of_the_whole_day_are_caught(log: bench.Log) -> None:
    eager = bench.fresh()
    for action in log.actions:
        eager.observe_action(action)
    with pytest.raises(FutureLeak, match="use nothing that is later"):
        check(eager.enrich_in_order(log.events, []), log)


def test_the_action_log_comes_back_in_order_over_its_days(tmp_path: Path) -> None:
    second = timedelta(seconds=1)
    late, early = (Action("a", "like", "b", MIDNIGHT + n * second, "phone") for n in (2, 1))
    before = Action("a", "view", "b", MIDNIGHT - second)
    write_actions(tmp_path, "2026-01-06", [late, early])
    write_actions(tmp_path, "2026-01-05", [before])
    assert list(actions_of(tmp_path)) == [before, early, late]


def test_a_broken_action_log_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "actions" / "day=2026-01-05"
    folder.mkdir(parents=True)
    (folder / "part-0.parquet").write_bytes(b"not parquet")
    with pytest.raises(BadInput, match="day=2026-01-05"):
        list(actions_of(tmp_path))


def test_built_features_are_exact_on_disk(log: bench.Log, tmp_path: Path) -> None:
    small = bench.Log(log.events[:50], log.actions)
    bench.write_lake(small, tmp_path / "lake")
    assert build(tmp_path / "lake", bench.fresh(), tmp_path / "past.parquet") == 50
    rows = pq.read_table(tmp_path / "past.parquet").to_pylist()
    replay = bench.fresh().enrich_in_order(list(events_of(tmp_path / "lake")), small.actions)
    assert [(row["event_id"], orjson.loads(row["past"])) for row in rows] == [
        (event.event_id, past_of(event)) for event in replay
    ]


def test_an_enrichment_is_fresh_each_time() -> None:
    assert isinstance(bench.fresh(), Enrichment)
    assert bench.fresh() is not bench.fresh()

"""Drift of a made lake: DuckDB and Spark count alike, and what is found reaches the responder."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.config import Settings, load_settings
from evaluation.monitoring import data
from evaluation.monitoring.drift.bins import Bins
from evaluation.monitoring.drift.columns import CATEGORIES, NUMBERS, described, drawn
from evaluation.monitoring.drift.counting import counted, fitted
from evaluation.monitoring.drift.histograms import SCORE, from_table, kept
from evaluation.monitoring.drift.lake_drift import LakeDrift
from pipelines import alert_inbox, lake
from pipelines.state import open_state
from pipelines.tables import duckdb_backend, held, parquet, spark_backend
from tests.unit.evaluation.made_lake import write_events, write_verdicts

DAYS = [f"2026-01-{number:02d}" for number in range(1, 8)]
WORDS = ("shall we meet", "I am late", "Où es-tu?", "see www.a.com", "OK 10")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Six days and a seventh whose texts are shouted and long; the model acts on shouts."""
    made = load_settings({"WEIR_HOME": str(tmp_path_factory.mktemp("home"))})
    rng = np.random.default_rng(5)
    for day in DAYS:
        shouted = rng.random(300) < (0.9 if day == DAYS[-1] else 0.3)
        texts = [
            f"{WORDS[n % 5]} {n}" if not shout else f"WIN NOW {n} " * 3
            for n, shout in enumerate(shouted)
        ]
        ids = write_events(made.lake, day, texts)
        actions = zip(ids, shouted, strict=True)
        write_verdicts(made.lake, day, {e: "block" if one else "allow" for e, one in actions})
    return made


@pytest.fixture(scope="module")
def watch(settings: Settings) -> LakeDrift:
    return LakeDrift(
        settings.lake,
        settings.home / "none",
        settings.home / "kept",
        settings.home / "scratch",
        settings.monitoring.drift,
    )


@pytest.fixture(scope="module")
def by_duckdb(watch: LakeDrift) -> Iterator[pa.Table]:
    with watch.opened() as backend:
        table = described(backend, watch.lake, DAYS[:-1])
        bins = fitted(table, (*NUMBERS, SCORE), CATEGORIES, DAYS, bins=8, most_categories=3)
        yield bins, _sorted(counted(table, bins))


def _sorted(table: pa.Table) -> list[dict]:
    return table.sort_by([("feature", "ascending"), ("bin", "ascending")]).to_pylist()


def test_every_event_falls_into_one_bin_of_each_feature(by_duckdb) -> None:
    bins, rows = by_duckdb
    for feature in (*NUMBERS, *CATEGORIES, SCORE):
        own = [row for row in rows if row["feature"] == feature]
        assert sum(row["rows"] for row in own) == 6 * 300
        assert sum(row["judged"] for row in own) == 6 * 300
    assert bins.named("language").known == ("en",)


@pytest.mark.services
@pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java")
def test_spark_counts_the_same_in_every_bin(watch: LakeDrift, by_duckdb, tmp_path: Path) -> None:
    """Of features of each kind: counts, shares, matches of a pattern, categories."""
    names = ("uppercase_share", "links", "language")
    bins, rows = by_duckdb
    some = Bins(tuple(bins.named(name) for name in names), bins.days)
    once = {"spark.sql.codegen.wholeStage": "false"}  # compiling costs more than so few rows
    with (
        spark_backend(tmp_path, partitions=1, memory_gib=1.0, more=once) as backend,
        held(described(backend, watch.lake, DAYS[:-1])) as table,
    ):
        found = _sorted(counted(table, some))
    assert found == [row for row in rows if row["feature"] in names]


def test_nulls_numbers_that_are_none_and_new_categories_have_bins_of_their_own(
    tmp_path: Path,
) -> None:
    before = {"x": [1.0, 2.0, 3.0, 4.0], "c": ["a", "a", "b", "b"], "positive": [True] * 4}
    now = {
        "x": [None, float("nan"), 0.0, 1.0, 4.0, 4.5, float("inf")],
        "c": [None, "a", "b", "new", "newer", "b", "b"],
        "positive": [None, True, False, True, True, True, True],
    }
    with duckdb_backend(tmp_path) as backend:
        tables = []
        for place, one in enumerate((before, now)):
            pq.write_table(pa.table(one), tmp_path / f"{place}.parquet")
            tables.append(parquet(backend, [tmp_path / f"{place}.parquet"]))
        bins = fitted(tables[0], ["x"], ["c"], [], bins=2, most_categories=5)
        found = from_table(counted(tables[1], bins), bins)
    assert bins.named("x").names()[0] == "missing"
    assert found["x"].rows.tolist() == [2, 1, 1, 1, 2]  # null and NaN; 0; 1; 4; beyond 4
    assert found["c"].rows.tolist() == [1, 1, 3, 2]
    assert found["c"].judged.sum() == 6
    assert found["c"].positives.tolist() == [0, 1, 2, 2]


def test_a_day_is_counted_once_and_a_sample_is_drawn_by_a_hash(watch: LakeDrift, by_duckdb) -> None:
    bins, _ = by_duckdb
    with watch.opened() as backend:
        table = described(backend, watch.lake, DAYS[:1])
        first = kept(watch.folder, bins, DAYS[0], lambda: counted(table, bins))
        one, again = (set(drawn(table, 20, 7).event_id.to_pyarrow().to_pylist()) for _ in range(2))
    second = kept(watch.folder, bins, DAYS[0], lambda: pytest.fail("counted again"))
    assert all(np.array_equal(first[name].rows, second[name].rows) for name in first)
    assert one == again
    assert len(one) == 20


def test_the_verb_reports_ranked_drift_and_tells_incident_response(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "draw_page", lambda *_: None)  # Evidently's page is tested elsewhere
    result = data.run(argparse.Namespace(day=DAYS[-1]), settings)
    assert {"days", "drifted_share", "drifted_columns", "alarms", "report"} == set(result)
    assert {"uppercase_share", "text_characters", "score"} <= set(result["drifted_columns"])
    assert not {"language", "source"} & set(result["drifted_columns"])
    assert result["alarms"] == [DAYS[-1]]
    record = orjson.loads((settings.reports / "drift" / f"{DAYS[-1]}.json").read_bytes())
    shouts = next(one for one in record["features"] if one["feature"] == "uppercase_share")
    assert shouts["effect"]["positive_rate"] == pytest.approx(0.6, abs=0.1)
    engine = open_state(settings.state_url)
    with engine.connect() as connection:
        alerts = [entry.alert for entry in alert_inbox.waiting(connection)]
    engine.dispose()
    assert alerts
    assert {alert.name for alert in alerts if alert} == {"FeatureDrift"}
    assert {alert.severity_hint for alert in alerts if alert} <= {"ticket", "info"}
    assert "ticket" in {alert.severity_hint for alert in alerts if alert}
    assert lake.has(settings.lake, "events", DAYS[-1])

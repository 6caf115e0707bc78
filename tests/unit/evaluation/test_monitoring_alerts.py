"""The hourly report's alerts: raised every hour, cleared at once, and lost through no failure."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import orjson
import pytest

from data_contracts.alerts import Alert
from data_contracts.config import Settings, load_settings
from evaluation.monitoring import monitor
from evaluation.monitoring.anomaly import hourly, recent
from evaluation.monitoring.anomaly.series import from_reports
from evaluation.monitoring.outcomes import outcome_alerts
from evaluation.monitoring.page import page
from pipelines import alert_inbox
from pipelines.state import open_state, reading
from tests.unit.evaluation.made_lake import decision_line, write_events, write_labels
from tests.unit.evaluation.made_lake import write_verdicts as write_decisions

NOW = datetime(2026, 1, 8, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = "2026-01-05"
DEMONSTRATION = 0.05  # hours


def alert(name: str = "Anomaly", series: str = "errors.share.value") -> Alert:
    reason, likely_cause = "errors.share.value is .5", "release: model_version 7 → 8"
    return Alert(name, "page", {"series": series}, 0.5, 0.01, 0.0, 0.02, NOW, reason, likely_cause)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"WEIR_HOME": str(tmp_path)})


def run(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    found: Sequence[Alert],
    at: datetime = NOW,
    hours: float | None = None,
) -> dict:
    class Clock(datetime):
        @classmethod
        def now(cls, tz=None) -> datetime:  # type: ignore[override]
            return at

    monkeypatch.setattr(monitor, "datetime", Clock)
    monkeypatch.setattr(monitor, "anomalies", lambda *_: list(found))
    return monitor.run(argparse.Namespace(hours=hours), settings)


def fail(*_: object) -> NoReturn:
    raise ValueError("what a user wrote")


def inbox(settings: Settings) -> list[tuple[str, str]]:
    engine = open_state(settings.state_url)
    try:
        alert_inbox.prepare(engine)
        with reading(engine) as connection:
            return [(one.kind, one.fingerprint) for one in alert_inbox.waiting(connection)]
    finally:
        engine.dispose()


def test_an_alert_is_put_with_every_report_and_cleared_by_the_first_without_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors, latency = alert(), alert(series="traffic.arms.stable.latency_ms.p95")
    run(settings, monkeypatch, [errors, latency])
    run(settings, monkeypatch, [errors], NOW + HOUR)
    run(settings, monkeypatch, [], NOW + 2 * HOUR)
    run(settings, monkeypatch, [], NOW + 3 * HOUR)
    assert inbox(settings) == [
        ("raised", errors.fingerprint), ("raised", latency.fingerprint),
        ("raised", errors.fingerprint), ("cleared", latency.fingerprint),
        ("cleared", errors.fingerprint),
    ]  # fmt: skip


def test_a_report_of_another_window_neither_raises_nor_clears_for_this_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(settings, monkeypatch, [alert()])
    run(settings, monkeypatch, [], NOW + HOUR / 60, hours=DEMONSTRATION)
    assert inbox(settings) == [("raised", alert().fingerprint)]


def test_a_detector_that_fails_is_a_gap_and_holds_what_it_held(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(settings, monkeypatch, [alert()])
    monkeypatch.undo()
    monkeypatch.setattr(monitor, "anomalies", fail)
    broken = monitor.run(argparse.Namespace(hours=None), settings)
    gap = next(one for one in broken["gaps"] if one.startswith("anomaly detectors failed"))
    assert "ValueError at test_monitoring_alerts.py:" in gap
    assert "what a user wrote" not in orjson.dumps(broken).decode()
    assert "Traceback" in capsys.readouterr().err
    assert gap.split(" at ")[0] in Path(broken["page"]).read_text()
    assert broken["held"]["anomaly detectors"] == [alert().fingerprint]
    assert inbox(settings) == [("raised", alert().fingerprint)]
    run(settings, monkeypatch, [], datetime.now(UTC) + HOUR)
    assert inbox(settings)[1:] == [("cleared", alert().fingerprint)]


def test_the_page_and_the_alarms_say_what_is_abnormal_why_and_what_to_do(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = replace(alert(), likely_cause="slice: language <b>tr</b>")
    report = run(settings, monkeypatch, [odd])
    assert report["anomalies"][0]["fingerprint"] == odd.fingerprint
    assert report["alarms"] == [f"{odd.reason} ({odd.likely_cause})"]
    html = page(report)
    for said in ("What is abnormal", "&lt;b&gt;tr", "logs/gateway-access.jsonl", odd.reason):
        assert said in html
    stored = orjson.loads(Path(report["report"]).read_bytes())
    assert stored["anomalies"] == report["anomalies"]


def test_the_verb_finds_what_the_detectors_find_in_its_own_hour(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """About 400 decisions in each hour of four weeks, and then none."""
    folder = settings.reports / "monitoring"
    folder.mkdir(parents=True)
    now = datetime.now(UTC)
    for back in range(28 * 24, 0, -1):
        end = now - back * HOUR
        report = {
            "window": {"end": end.isoformat(), "hours": 1},
            "traffic": {"decisions": 400 + back * 31 % 17},
        }
        (folder / f"{end:%Y%m%dT%H%M%SZ}.json").write_bytes(orjson.dumps(report))
    result = monitor.run(argparse.Namespace(hours=None), settings)
    assert {one["subject"].get("series") for one in result["anomalies"]} == {"traffic.decisions"}
    assert result["anomalies"][0]["severity_hint"] == "page"
    assert len(inbox(settings)) == 1


def test_series_are_read_from_windows_of_one_length_at_any_distance(settings: Settings) -> None:
    folder = settings.reports / "monitoring"
    folder.mkdir(parents=True)
    for second in range(0, 600, 120):
        end = NOW + timedelta(seconds=second)
        for hours in (DEMONSTRATION, 1.0):
            at = end + timedelta(seconds=hours)
            report = {"window": {"end": at.isoformat(), "hours": hours}, "n": hours}
            (folder / f"{at:%Y%m%dT%H%M%SZ}.json").write_bytes(orjson.dumps(report))
    (folder / "20260108T130000Z.json").write_bytes(b"{torn")
    found = from_reports(hourly.reports(folder, DEMONSTRATION))["n"]
    assert found.values.ravel().tolist() == [DEMONSTRATION] * 5
    assert set((found.times[1:] - found.times[:-1]).tolist()) == {120.0}


def record_line(event_id: str, at: datetime, context: dict, language: str = "en") -> bytes:
    record = orjson.loads(decision_line(event_id, "allow", at))
    record["verdict"] |= {
        "score": 0.1, "reasons": [], "threshold_version": "t", "revision": 0,
        "stages": [{"name": "text", "ran": True, "score": 0.1, "skipped_because": None}],
    }  # fmt: skip
    record["event"] = {"text": f"words of {event_id}", "language": language, "context": context}
    return orjson.dumps(record) + b"\n"


def test_all_decisions_are_counted_and_few_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent, "SAMPLED", 50)
    monkeypatch.setattr(recent, "LATEST", 30)
    monkeypatch.setattr(recent, "MOST_VALUES", 5)
    folder = tmp_path / "decisions"
    folder.mkdir()
    lines = [
        record_line(f"e{n}", NOW - HOUR + n * HOUR / 1001, {"age": n}, f"l{n % 40}")
        for n in range(1000)
    ]
    (folder / "b-1.jsonl").write_bytes(b"".join(lines[:400]))
    (folder / "a-1.jsonl").write_bytes(b"".join(lines[400:]) + b'{"torn')
    found = recent.read_recent(folder, NOW, HOUR)
    assert found.current.decisions == 1000
    assert len(found.current.rows) == 50
    assert sum(cell.decisions for cell in found.current.tally["language"].values()) == 1000
    assert len(found.current.tally["language"]) == 6
    assert [one.verdict.event_id for one in found.latest] == [f"e{n}" for n in range(970, 1000)]
    assert len(found.versions) <= 61
    ages = [row[0]["age"] for row in found.current.rows]
    assert 300 < sum(ages) / len(ages) < 700  # of the whole window, not of its beginning or end


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    import tracemalloc

    folder = tmp_path / "decisions"
    folder.mkdir()
    peaks = []
    line = record_line("e", NOW - 12 * HOUR, {f"f{n}": n for n in range(40)})
    for count in (500, 10_000):
        (folder / "a-1.jsonl").write_bytes(line * count)
        tracemalloc.start()
        recent.read_recent(folder, NOW, HOUR)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 100_000  # of 20 MB


@pytest.mark.parametrize(("chance", "found"), [(0.5, ["m1"]), (None, [])])
def test_scores_are_held_against_labels_that_came_by_chance_alone(
    tmp_path: Path, chance: float | None, found: list[str]
) -> None:
    ids = write_events(tmp_path, DAY, [f"text {n}" for n in range(60)])
    write_decisions(tmp_path, DAY, dict.fromkeys(ids, "block"))  # scores of .9
    write_labels(tmp_path, DAY, dict.fromkeys(ids, "ham"), chance)
    alerts = outcome_alerts(tmp_path, [DAY], 30, NOW)
    assert [one.subject["model_version"] for one in alerts] == found
    assert outcome_alerts(tmp_path, [DAY], 61, NOW) == []
    write_labels(tmp_path, DAY, dict.fromkeys(ids[:54], "spam"), chance)
    assert outcome_alerts(tmp_path, [DAY], 30, NOW + HOUR) == []

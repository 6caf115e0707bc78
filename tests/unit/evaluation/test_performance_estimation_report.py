"""Slices, matrices, calibration and stages of the live model, its alerts, and the hourly report."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import orjson
import pytest

from data_contracts.config import load_settings
from data_contracts.events import Event
from evaluation.audit import Draws
from evaluation.metrics import Estimate
from evaluation.monitoring import monitor
from evaluation.monitoring.calibration_drift import calibration_window
from evaluation.monitoring.confusion import confusion_over_time
from evaluation.monitoring.page import page
from evaluation.monitoring.performance_estimation import Confusion
from evaluation.monitoring.performance_estimation_alerts import audited_alerts, estimated_alerts
from evaluation.monitoring.performance_estimation_report import performance_report
from evaluation.monitoring.performance_estimation_windows import WindowEstimate
from evaluation.monitoring.slices import quality_by_slice, slices_of
from evaluation.monitoring.stage_disagreement import (
    StageScores,
    stage_changes,
    stage_disagreements,
)
from pipelines import alert_inbox, lake
from pipelines.state import open_state, reading

NOW = datetime(2026, 1, 8, 12, tzinfo=UTC)
BOUNDS = {"precision": 0.9, "recall": 0.5}
DAYS = ("2026-01-05", "2026-01-06", "2026-01-07")


def draws(positive: list[bool], spam: list[bool], labelled: list[bool] | None = None) -> Draws:
    count = len(positive)
    return Draws(
        days=np.full(count, DAYS[0]), positive=np.array(positive), chances=np.full(count, 0.1),
        labelled=np.array(labelled or [True] * count), is_spam=np.array(spam),
        bands=np.zeros(count, np.int64),
    )  # fmt: skip


def test_an_event_stands_in_a_slice_of_each_dimension() -> None:
    event = Event(
        event_id="e", text="hi", language="pt-BR", occurred_at=NOW,
        context={"country": "br", "account_created_at": (NOW - timedelta(days=3)).isoformat()},
    )  # fmt: skip
    found = slices_of(event)
    assert (found["language"], found["modality"], found["region"]) == ("pt", "text", "BR")
    assert found["account_age"] == "under 30 days"
    assert slices_of(Event(event_id="e", text="hi"))["region"] == "unknown"


def test_the_slice_that_is_wrong_is_the_one_that_alerts() -> None:
    """Turkish is acted on wrongly half of the time, English never: one alert, of Turkish."""
    found = draws([True] * 400, [True] * 300 + [False, True] * 50)
    slices = [{"language": "en"}] * 300 + [{"language": "tr"}] * 100
    measured = quality_by_slice(found, slices)
    precision = {one.name: one.precision.estimate for one in measured}
    assert precision["en"] is not None
    assert precision["tr"] is not None
    assert (precision["en"].value, precision["tr"].value) == (1.0, 0.5)
    alerts = audited_alerts("m7", {}, measured, BOUNDS, NOW)
    assert [alert.subject["slice"] for alert in alerts] == ["language=tr"]
    assert alerts[0].severity_hint == "page"
    assert alerts[0].likely_cause == "language=tr under release m7"


def test_slices_need_one_row_a_draw() -> None:
    with pytest.raises(ValueError, match="one for each"):
        quality_by_slice(draws([True], [True]), [])


def test_a_window_s_matrix_counts_late_labels_by_response() -> None:
    """20 acted on, half of them labelled (all spam); 20 let through, all labelled, 5 spam."""
    labelled = [True] * 10 + [False] * 10 + [True] * 20
    spam = [True] * 20 + [True] * 5 + [False] * 15
    (row,) = confusion_over_time(draws([True] * 20 + [False] * 20, spam, labelled))
    assert row.confusion.true_positive == pytest.approx(200.0)
    assert row.confusion.false_negative == pytest.approx(50.0)
    assert (row.labels, row.awaited) == (30, 10)
    assert row.recall is not None
    assert row.recall.value == pytest.approx(0.8)


def test_calibration_error_of_honest_scores_is_chance_and_of_inflated_ones_is_not() -> None:
    rng = np.random.default_rng(1)
    true = rng.beta(0.5, 0.5, 800)
    spam, weights = rng.random(800) < true, np.ones(800)
    honest = calibration_window("d", true, spam, weights, rng)
    inflated = calibration_window("d", np.sqrt(true), spam, weights, rng)
    assert honest is not None
    assert inflated is not None
    assert not honest.drifted
    assert inflated.drifted
    assert inflated.gap < -0.05
    assert honest.error.low <= honest.error.value <= honest.error.high
    assert sum(one.labels for one in honest.bins) == 800
    assert calibration_window("d", true[:20], spam[:20], weights[:20], rng) is None


def test_a_stage_that_starts_to_disagree_is_found_and_a_steady_one_is_not() -> None:
    before = stage_disagreements([StageScores(True, {"text": 0.9, "image": 0.8})] * 200)
    now = stage_disagreements(
        [StageScores(True, {"text": 0.9, "image": 0.8})] * 150
        + [StageScores(True, {"text": 0.9, "image": 0.1})] * 50
    )
    (changed,) = stage_changes(now, before)
    assert changed.stage == "image"
    assert changed.difference.value == pytest.approx(0.25)


def estimate(recall: Estimate, reasons: tuple[str, ...] = ()) -> WindowEstimate:
    return WindowEstimate(Confusion(1, 1, 1, 1), None, recall, (0.0, 0.0), 0.0, None, reasons)


def test_only_what_is_surely_below_its_bound_alerts() -> None:
    surely, perhaps = Estimate(0.3, 0.2, 0.4), Estimate(0.45, 0.3, 0.6)
    (alert,) = estimated_alerts("m7", DAYS[2], estimate(surely), BOUNDS, NOW)
    assert (alert.name, alert.severity_hint) == ("EstimatedRecallLow", "ticket")
    assert "m7" in alert.likely_cause
    assert not estimated_alerts("m7", DAYS[2], estimate(perhaps), BOUNDS, NOW)


def test_an_unreliable_estimate_says_so_and_nothing_else() -> None:
    low = estimate(Estimate(0.3, 0.2, 0.4), ("labels contradict",))
    (alert,) = estimated_alerts("m7", DAYS[2], low, BOUNDS, NOW)
    assert (alert.name, alert.severity_hint) == ("EstimateUnreliable", "info")


def write_day(folder: Path, day: str, rng: np.random.Generator, labels: int) -> None:
    """400 events of calibrated scores in two languages; the first `labels` are audited."""
    scores = rng.beta(0.4, 0.8, 400)
    at = datetime.fromisoformat(day).replace(hour=12, tzinfo=UTC)
    ids = [f"{day}-{number:03d}" for number in range(400)]
    events = [
        {"event_id": name, "text": "hello", "occurred_at": at, "account_hash": None,
         "language": ("en", "tr-TR")[number % 2], "media": "[]", "context": "{}", "source": "made"}
        for number, name in enumerate(ids)
    ]  # fmt: skip
    stages = orjson.dumps([{"name": "text", "ran": True, "score": 0.9}]).decode()
    verdicts = [
        {"event_id": name, "revision": 0, "score": float(score),
         "action": "block" if score > 0.5 else "allow", "reasons": [], "stages": stages,
         "model_version": "m1", "threshold_version": "t1", "arm": "stable", "mirrored": False,
         "decided_at": at}
        for name, score in zip(ids, scores, strict=True)
    ]  # fmt: skip
    found = [
        {"event_id": name, "label": "spam" if rng.random() < score else "ham", "source": "oracle",
         "reviewer": "demo-oracle", "strategy": "audit", "inclusion_probability": 0.5,
         "observed_at": at, "batch": f"{day}/ana"}
        for name, score in list(zip(ids, scores, strict=True))[:labels]
    ]  # fmt: skip
    for table, rows in (("events", events), ("verdicts", verdicts), ("labels", found)):
        lake.write(folder, table, day, lake.rows(table, rows))


def test_a_day_without_labels_is_estimated_and_shown(tmp_path: Path) -> None:
    settings, rng = load_settings({"WEIR_HOME": str(tmp_path)}), np.random.default_rng(5)
    for day, labels in zip(DAYS, (200, 200, 0), strict=True):
        write_day(settings.lake, day, rng, labels)
    report = performance_report(settings.lake, DAYS, [], BOUNDS, NOW)
    assert report is not None
    assert report["release"] == "m1"
    assert [one["day"] for one in report["estimates"]] == list(DAYS[1:])
    audited, unlabelled = report["estimates"]
    assert audited["realised_recall"]["value"] == pytest.approx(audited["recall"]["value"], abs=0.1)
    assert unlabelled["realised_recall"]["value"] is None
    assert 0 < unlabelled["recall"]["low"] < unlabelled["recall"]["high"] < 1
    assert {one["name"] for one in report["slices"]} == {"en", "tr"}
    assert [one["window"] for one in report["calibration"]] == list(DAYS[:2])
    (stage,) = report["stages"]
    assert stage["ran"] == 1200
    observed = monitor.observe(settings, NOW, 1)
    shown = page(observed)
    assert "Estimated before labels: m1" in shown
    assert "language: tr" in shown
    assert any("audited precision" in alarm for alarm in observed["alarms"])


def test_the_hourly_report_hands_its_alerts_to_incident_response(tmp_path: Path) -> None:
    settings, rng = load_settings({"WEIR_HOME": str(tmp_path)}), np.random.default_rng(5)
    write_day(settings.lake, DAYS[0], rng, 200)
    monitor.run(argparse.Namespace(hours=None), settings)
    engine = open_state(settings.state_url)
    with reading(engine) as connection:
        alerts = [entry.alert for entry in alert_inbox.waiting(connection)]
    engine.dispose()
    names = {alert.name for alert in alerts if alert is not None}
    assert "AuditedPrecisionLow" in names
    assert all(alert is not None and "m1" in alert.likely_cause for alert in alerts)


def test_without_decisions_there_is_no_performance(tmp_path: Path) -> None:
    assert performance_report(tmp_path, [], [], BOUNDS, NOW) is None

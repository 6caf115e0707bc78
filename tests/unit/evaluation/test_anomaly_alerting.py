"""From series to alerts: what the last hour's row raises, with which words and severity."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from data_contracts.config import Settings, load_settings
from data_contracts.errors import ConfigurationError
from data_contracts.verdicts import DecisionRecord, Stage, Verdict
from evaluation.monitoring.anomaly import UNIVARIATE
from evaluation.monitoring.anomaly.alerting import Watch, most_unlike
from evaluation.monitoring.anomaly.causes import Cause
from evaluation.monitoring.anomaly.hourly import anomalies
from evaluation.monitoring.anomaly.series import Series
from tests.performance import anomaly_planted as planted

WATCHED = load_settings().monitoring.anomalies
WEEKS = 4
ROWS = WEEKS * 7 * 24
NOW = datetime(2026, 2, 2, 9, tzinfo=UTC)
POSITIVE = "traffic.positive_rate.value"


def nothing(path: str, at: float) -> Cause:
    return Cause()


def rates(last: float | None = None, seed: int = 3) -> Series:
    """An hourly positive rate with a daily season; `last` replaces the last hour's."""
    hours = np.arange(ROWS)
    chance = 0.15 + 0.03 * np.sin(2 * np.pi * hours / 24)
    values = np.random.default_rng(seed).binomial(400, chance) / 400
    if last is not None:
        values[-1] = last
    end = NOW.timestamp()
    return Series.of(POSITIVE, end - (ROWS - 1 - hours) * 3600.0, values)


def test_an_ordinary_hour_raises_nothing() -> None:
    series = {f"s{seed}": rates(seed=seed) for seed in range(5)}
    assert Watch(WATCHED).alerts(series, nothing) == []


def test_an_hour_of_three_times_the_positives_pages_with_what_was_expected() -> None:
    alerts = Watch(WATCHED).alerts({POSITIVE: rates(last=0.5)}, nothing)
    assert [(one.name, one.severity_hint) for one in alerts] == [("Anomaly", "page")]
    alert = alerts[0]
    assert alert.value == 0.5
    assert alert.low is not None
    assert alert.high is not None
    assert alert.expected is not None
    assert 0.1 < alert.expected < 0.2
    assert alert.low < alert.expected < alert.high < 0.5
    assert alert.at == NOW
    assert "nothing stands out" in alert.likely_cause


def test_the_same_anomaly_an_hour_later_is_the_same_alert() -> None:
    series = rates(last=0.5)
    one = Watch(WATCHED).alerts({POSITIVE: series}, nothing)[0]
    later = Series.of(
        POSITIVE, [*series.times, series.times[-1] + 3600], [*series.values[:, 0], 0.5]
    )
    other = Watch(WATCHED).alerts({POSITIVE: later}, nothing)[0]
    assert one.fingerprint == other.fingerprint


def test_errors_after_weeks_without_any_are_abnormal() -> None:
    quiet = rates()
    values = np.zeros(len(quiet))
    values[-1] = 0.05
    series = Series.of("errors.share.value", quiet.times, values)
    assert len(Watch(WATCHED).alerts({"errors.share.value": series}, nothing)) == 1


def test_a_series_that_wakes_nobody_is_a_ticket() -> None:
    alerts = Watch(WATCHED).alerts({"other": rates(last=0.5)}, nothing)
    assert [one.severity_hint for one in alerts] == ["ticket"]


def test_one_hour_far_out_is_told_in_that_hour_and_need_not_last() -> None:
    """Means over spans of hours would say so hours later."""
    sudden = rates(last=0.35)
    slow = WATCHED.model_copy(update={"sudden_threshold": 99.0, "threshold": 99.0})
    assert Watch(slow).alerts({POSITIVE: sudden}, nothing) == []
    at_once = slow.model_copy(update={"sudden_threshold": WATCHED.sudden_threshold})
    assert [one.name for one in Watch(at_once).alerts({POSITIVE: sudden}, nothing)] == ["Anomaly"]


def test_an_anomaly_is_over_in_the_first_ordinary_hour_after_it() -> None:
    """Although means over spans of hours still have its hours in them."""
    usual, hours = rates(), 3
    values = usual.values[:, 0].copy()
    values[-1 - hours : -1] = 0.5
    values[-1] = float(np.median(values))
    ended = Series.of(POSITIVE, usual.times, values)
    threshold = WATCHED.threshold
    assert UNIVARIATE[WATCHED.detector].scores(ended)[-1] >= threshold  # it would still be told
    assert Watch(WATCHED).alerts({POSITIVE: ended.until(len(ended) - 1)}, nothing)
    assert Watch(WATCHED).alerts({POSITIVE: ended}, nothing) == []


def test_a_series_wakes_somebody_on_one_side_only() -> None:
    """More people acted upon is a page; fewer, as in a burst of benign traffic, is none."""
    (above,) = Watch(WATCHED).alerts({POSITIVE: rates(last=0.5)}, nothing)
    (below,) = Watch(WATCHED).alerts({POSITIVE: rates(last=0.0)}, nothing)
    assert (above.severity_hint, below.severity_hint) == ("page", "ticket")


def test_more_series_ask_for_more_surprise() -> None:
    """So that watching a thousand series raises no more false alerts than watching one."""
    odd = rates(last=0.35)
    score = float(UNIVARIATE[WATCHED.detector].scores(odd)[-1])
    changed = {"threshold": score - 0.3, "sudden_threshold": 99.0}
    watch = Watch(WATCHED.model_copy(update=changed))
    assert len(watch.alerts({"odd": odd}, nothing)) == 1
    others = {f"s{seed}": rates(seed=seed) for seed in (5, 6)}
    assert watch.alerts({"odd": odd, **others}, nothing) == []  # 0.3 < log10(3)


def test_columns_that_stop_moving_together_raise_one_alert_that_names_the_odd_one() -> None:
    made = planted.broken_together(np.random.default_rng(1))
    until = made.until(planted.PLANTED + 1)
    series = {
        name: Series.of(name, until.times, until.values[:, at])
        for at, name in enumerate(until.columns)
    }
    watched = WATCHED.model_copy(update={"groups": {"system": planted.COLUMNS}})
    alerts = Watch(watched).alerts(series, nothing)
    assert [(one.name, one.subject) for one in alerts] == [("AnomalyTogether", {"group": "system"})]
    assert most_unlike(until) in alerts[0].reason  # type: ignore[operator]


def test_the_column_that_the_others_belie_is_named() -> None:
    made = planted.broken_together(np.random.default_rng(1)).until(planted.PLANTED)
    values = made.values.copy()
    values[-1] = 1.0 * planted.LOADINGS
    values[-1, 3] = -0.7
    assert most_unlike(Series(made.times, values, made.columns)) == made.columns[3]


@pytest.mark.parametrize("key", ["detector", "together"])
def test_an_unknown_detector_is_refused_by_name(key: str) -> None:
    with pytest.raises(ConfigurationError, match=f"monitoring.anomalies.{key} = 'magic'"):
        Watch(WATCHED.model_copy(update={key: "magic"}))


def record(
    number: int, at: datetime, version: str, language: str, positive: bool
) -> DecisionRecord:
    score = 0.95 if positive else 0.05
    stages = (Stage("text", True, score), Stage("behaviour", True, score))
    verdict = Verdict(
        f"e{number}", score, "block" if positive else "allow", (), stages, version, "t1"
    )
    event = {"text": f"message {number} of {number * 7}", "language": language}
    return DecisionRecord(verdict, event, at.isoformat(), False, 1.0)


def write(settings: Settings, series: Series, records: list[DecisionRecord]) -> None:
    reports = settings.reports / "monitoring"
    reports.mkdir(parents=True)
    for row, value in enumerate(series.values[:, 0]):
        at = series.at(row)
        report: Mapping[str, Any] = {
            "window": {"end": at.isoformat()},
            "traffic": {"positive_rate": {"value": float(value)}},
        }
        (reports / f"{at:%Y%m%dT%H%M%SZ}.json").write_bytes(orjson.dumps(report))
    decisions = settings.home / "decisions"
    decisions.mkdir()
    lines = [orjson.dumps(one.as_record()) + b"\n" for one in records]
    (decisions / "server.jsonl").write_bytes(b"".join(lines) + b'{"torn')


def test_a_release_that_silences_one_language_is_named_with_version_and_language(
    tmp_path: Path,
) -> None:
    settings = load_settings().model_copy(update={"home": tmp_path})
    yesterday, hour = timedelta(days=1), timedelta(hours=1)
    records = []
    for number in range(400):
        language = ("en", "tr")[number % 2]
        minute = timedelta(seconds=9 * (number % 390))
        spam = number % 20 < 2
        records.append(record(number, NOW - yesterday - hour + minute, "7", language, spam))
        silenced = spam or (language == "tr" and number % 4 == 1)
        records.append(record(1000 + number, NOW - hour + minute, "8", language, silenced))
    write(settings, rates(last=0.5), records)
    alerts = anomalies(settings, NOW)
    paged = [one for one in alerts if one.severity_hint == "page"]
    assert [one.subject for one in paged] == [{"series": POSITIVE}]
    assert paged[0].likely_cause.startswith("release: model_version 7 → 8 at 2026-02-02 08:00")
    assert "slice: language tr" in paged[0].likely_cause


def test_without_reports_and_decisions_nothing_is_raised(tmp_path: Path) -> None:
    settings = load_settings().model_copy(update={"home": tmp_path})
    assert anomalies(settings, NOW) == []

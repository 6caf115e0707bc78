"""Which days count as usual: a drift that grows slowly cannot hide, and a person can accept it."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from data_contracts.config import Drift, Settings, load_settings
from data_contracts.errors import BadInput
from data_contracts.files import write_atomically
from evaluation.monitoring import data, monitor
from evaluation.monitoring.drift.reference import accept, day_report, reference
from pipelines import alert_inbox
from pipelines.state import open_state
from tests.unit.evaluation.made_lake import write_events, write_verdicts

DAYS = [f"2026-01-{number:02d}" for number in range(1, 32)]
TOMORROW = "2026-02-01"


@pytest.fixture
def drift() -> Drift:
    return load_settings({}).monitoring.drift


def write_report(folder: Path, day: str, **more: Any) -> None:
    plain = {"day": day, "verdict": "no drift", "embeddings": None, "alerts": []}
    write_atomically(folder / f"{day}.json", orjson.dumps(plain | more))


def test_the_newest_days_count_whether_they_were_judged_or_not(
    tmp_path: Path, drift: Drift
) -> None:
    write_report(tmp_path, DAYS[-1])
    assert reference(TOMORROW, DAYS, tmp_path, drift) == DAYS[-drift.reference_days :]
    assert reference(DAYS[1], DAYS, tmp_path, drift) == DAYS[:1]


def test_a_day_that_drifted_waits_a_week_and_then_counts(tmp_path: Path, drift: Drift) -> None:
    for day in (DAYS[-8], DAYS[-7], DAYS[-1]):
        write_report(tmp_path, day, verdict="drift")
    found = reference(TOMORROW, DAYS, tmp_path, drift)
    assert len(found) == drift.reference_days
    assert not {DAYS[-6], DAYS[-8]} - {*found}
    assert DAYS[-7] in found  # seven days ago
    assert DAYS[-1] not in found
    assert found == DAYS[-drift.reference_days - 1 : -1]


def test_a_day_whose_embeddings_drifted_waits_although_a_later_report_says_so(
    tmp_path: Path, drift: Drift
) -> None:
    write_report(tmp_path, DAYS[-1], embeddings={"day": DAYS[-2], "drifted": True})
    found = reference(TOMORROW, DAYS, tmp_path, drift)
    assert DAYS[-1] in found
    assert DAYS[-2] not in found


def test_from_an_accepted_day_on_every_day_counts_and_none_before(
    tmp_path: Path, drift: Drift
) -> None:
    for day in DAYS[-4:]:
        write_report(tmp_path, day, verdict="drift", alerts=[{}])
    assert not {*DAYS[-4:]} & {*reference(TOMORROW, DAYS, tmp_path, drift)}
    assert accept(tmp_path, DAYS[-3], "ana", "a new market") == DAYS[-3:]
    assert reference(TOMORROW, DAYS, tmp_path, drift) == DAYS[-3:]
    assert accept(tmp_path, DAYS[-3], "ana", "a new market") == DAYS[-3:]
    report = day_report(tmp_path, DAYS[-1])
    assert report is not None
    assert (report["accepted"]["by"], report["accepted"]["since"]) == ("ana", DAYS[-3])


@pytest.mark.parametrize(
    ("day", "said"),
    [(DAYS[3], "no drift report"), ("../alerts", "no drift report"), (DAYS[4], "no alert")],
)
def test_only_a_day_that_raised_an_alert_can_be_accepted(
    day: str, said: str, tmp_path: Path
) -> None:
    write_report(tmp_path, DAYS[4])
    write_report(tmp_path.parent, "alerts", alerts=[{}])
    with pytest.raises(BadInput, match=f"--day {day} .*{said}"):
        accept(tmp_path, day, "ana", "a new market")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in ("draw_page", "add_snapshot"):  # Evidently's page is tested elsewhere
        monkeypatch.setattr(data, name, lambda *_: None)
    return load_settings({"WEIR_HOME": str(tmp_path)})


def write_day(settings: Settings, day: str, shouted: float) -> None:
    """The model acts on shouts."""
    rng = np.random.default_rng(int(day[-2:]))
    shouts = rng.random(400) < shouted
    texts = [f"WIN NOW {n}" if one else f"shall we meet {n}" for n, one in enumerate(shouts)]
    ids = write_events(settings.lake, day, texts)
    actions = {e: "block" if one else "allow" for e, one in zip(ids, shouts, strict=True)}
    write_verdicts(settings.lake, day, actions)


def judged(settings: Settings, day: str) -> dict[str, Any]:
    data.run(argparse.Namespace(day=day), settings)
    report: dict[str, Any] = orjson.loads((settings.reports / "drift" / f"{day}.json").read_bytes())
    return report


def entries(settings: Settings) -> list[alert_inbox.Entry]:
    engine = open_state(settings.state_url)
    try:
        with engine.connect() as connection:
            return alert_inbox.waiting(connection)
    finally:
        engine.dispose()


def test_a_drift_that_grows_day_by_day_is_told_until_a_person_accepts_it(
    settings: Settings,
) -> None:
    calm, growing = DAYS[:10], dict(zip(DAYS[10:13], (0.5, 0.6, 0.7), strict=True))
    for day in calm:
        write_day(settings, day, 0.3)
        judged(settings, day)
    for day, share in growing.items():
        write_day(settings, day, share)
        report = judged(settings, day)
        assert report["verdict"] == "drift", day
        assert report["reference_days"] == calm
    assert report["alarm"]

    now = datetime.now(UTC)
    held = monitor.watch(settings, now, 1)[1]["drift"]
    assert {one.name for one in held or ()} == {"FeatureDrift"}
    assert monitor.watch(settings, now + timedelta(days=3), 1)[1]["drift"] == []

    said = argparse.Namespace(day=DAYS[11], by="ana", reason="a new market")
    result = data.run_accept(said, settings)
    assert result["days"] == DAYS[11:13]
    cleared = {one.fingerprint for one in entries(settings) if one.kind == "cleared"}
    assert cleared == {one.fingerprint for one in held or ()}
    observed, sources = monitor.watch(settings, now, 1)
    assert sources["drift"] == []
    assert not [line for line in observed["alarms"] if "does not look like" in line]
    assert judged(settings, DAYS[12])["accepted"]["reason"] == "a new market", "judged again"
    write_day(settings, DAYS[13], 0.65)
    assert judged(settings, DAYS[13])["reference_days"] == DAYS[11:13]


def test_accepting_needs_a_name_and_a_reason(settings: Settings) -> None:
    with pytest.raises(BadInput, match="--by NAME and --reason"):
        data.run_accept(argparse.Namespace(day=DAYS[0], by="", reason="x"), settings)

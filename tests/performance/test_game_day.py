"""The game day's own parts: what is divided and what is not, what is drawn, what counts as met."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from data_contracts.config import load_settings
from evaluation.monitoring.anomaly.series import from_reports
from evaluation.monitoring.system import Decision, traffic
from serving.incidents.escalation import load_on_call
from serving.incidents.playbooks import load_playbooks
from tests.performance.bench_game_day import as_text, goals
from tests.performance.game_day_faults import faults
from tests.performance.game_day_picture import draw
from tests.performance.game_day_play import Played
from tests.performance.game_day_quiet import Level, Quiet, World, simulated
from tests.performance.game_day_scale import (
    ALERTS,
    read,
    scaled_files,
    scaled_rules,
    variables,
    write,
)
from tests.performance.game_day_stack import INTERVAL_SECONDS
from tests.promtool import NEEDED, promtool
from tests.stand_ins.incident_world import alert

FACTOR = 60.0
NOW = datetime(2026, 1, 5, tzinfo=UTC)
NUMBER = re.compile(r"\[[^]]*\]|(?<=offset )\w+")


@NEEDED
def test_divided_rules_are_rules(tmp_path: Path) -> None:
    for path in sorted(ALERTS.glob("*.yaml")):
        promtool(
            "check", "rules", str(write(scaled_rules(read(path), FACTOR), tmp_path / path.name))
        )


def test_only_windows_and_waits_of_rules_change() -> None:
    for path in sorted(ALERTS.glob("*.yaml")):
        shipped, scaled = read(path), scaled_rules(read(path), FACTOR)
        for before, after in zip(rules_of(shipped), rules_of(scaled), strict=True):
            assert NUMBER.sub("", before["expr"]) == NUMBER.sub("", after["expr"])
            assert before.get("labels") == after.get("labels")
            assert set(before) == set(after)


def test_divided_playbooks_and_schedule_are_read_and_keep_their_limits(tmp_path: Path) -> None:
    shipped = load_settings({})
    named = scaled_files(shipped, FACTOR, tmp_path)
    before = load_playbooks(shipped.incidents.playbooks)
    after = load_playbooks(Path(named["WEIR__INCIDENTS__PLAYBOOKS"]))
    load_on_call(Path(named["WEIR__INCIDENTS__ON_CALL"]))
    for one, other in zip(before.playbooks, after.playbooks, strict=True):
        assert one.match == other.match
        assert [(s.mitigation, s.automatic, s.parameters) for s in one.steps] == [
            (s.mitigation, s.automatic, s.parameters) for s in other.steps
        ]
    hourly = {name: limits.per_hour for name, limits in before.mitigations.items()}
    assert hourly == {name: limits.per_hour for name, limits in after.mitigations.items()}


def test_divided_settings_are_settings() -> None:
    shipped = load_settings({})
    scaled = load_settings(variables(shipped, FACTOR))
    assert scaled.monitoring.window_hours == shipped.monitoring.window_hours / FACTOR
    assert scaled.monitoring.anomalies.threshold == shipped.monitoring.anomalies.threshold
    assert scaled.incidents.hold_seconds == shipped.incidents.hold_seconds / FACTOR


def test_simulated_reports_have_the_series_of_real_ones() -> None:
    decisions = [
        Decision(f"e{at}", "block" if at % 7 == 0 else "allow", "stable", "1", 3.0, False, NOW)
        for at in range(60)
    ]
    real = set(from_reports([{"window": {"end": NOW.isoformat()}, "traffic": traffic(decisions)}]))
    made = simulated(np.random.default_rng(1), Level(), rows=30)
    simulated_series = {path for path in from_reports(made) if path.startswith("traffic")}
    assert simulated_series == {path for path in real if "model_versions" not in path}


def test_a_page_in_the_quiet_world_reaches_a_pager_and_its_playbook_acts(tmp_path: Path) -> None:
    """So that silence in the quiet weeks is no broken wire."""
    world = World(load_settings({}), tmp_path / "world.sqlite")
    world.clock.now = NOW
    world.hour([alert("AuditedFalsePositives", "page", at=NOW)])
    seen = world.seen(1, 1)
    assert seen.pages >= 1
    assert seen.incidents == {"critical": 1}
    assert "roll_back_release" in seen.mitigations or "abort_rollout" in seen.mitigations


def test_quiet_hours_are_quiet_and_a_broken_one_is_not() -> None:
    rng = np.random.default_rng(2)
    rows = simulated(rng, Level(), rows=30, hour=timedelta(hours=1))
    assert len(rows) == 30
    assert all(row["traffic"]["decisions"] >= 30 for row in rows)


def test_goals_are_met_only_by_what_was_seen() -> None:
    seen = played(detected_seconds=1.5 * INTERVAL_SECONDS, mitigations=[done("freeze_training")])
    missed = played(fault="other")
    beyond = 2.1 * INTERVAL_SECONDS
    late = played(fault="late", detected_seconds=beyond, mitigations=[done("freeze_training")])
    by_id = {goal["id"]: goal for goal in goals([seen, missed, late], [])}
    assert by_id["detected"]["missed"] == ["other", "late"]
    assert by_id["mitigated"]["missed"] == ["other"]
    assert not by_id["faults"]["met"]
    burst = played(fault="burst", is_harmful=False, pages=1)
    assert not goals([burst], [])[-1]["met"]
    quiet = Quiet(1, 3, 9, {}, {})
    assert goals([], [quiet])[0]["measured"] == 0.9
    assert goals([], [quiet])[0]["met"]


def test_a_fault_is_told_by_its_own_alerts_only() -> None:
    by_name = {fault.name: fault for fault in faults()}
    release = alert("Anomaly", cause="release: model_version 1 → 2 at 2026-01-05 12:00 UTC")
    assert by_name["bad release"].is_told_by(release)
    assert not by_name["feature gone null"].is_told_by(release)
    assert not by_name["benign burst"].is_told_by(release)


def test_table_and_picture_show_every_fault(tmp_path: Path) -> None:
    rows = [
        played(detected_seconds=90.0, mitigated_seconds=92.0, recovered_seconds=150.0,
               detected_by="FeatureBroken", cause="feature: followers"),
        played(fault="unseen"),
    ]  # fmt: skip
    report = {"rows": [one.as_row() for one in rows], "goals": goals(rows, [])}
    text = as_text(report)
    assert "feature: followers" in text
    assert "NOT MET" in text
    assert "unseen" in draw(rows, tmp_path / "lanes.svg").read_text()


def rules_of(content: dict[str, Any]) -> list[dict[str, Any]]:
    return [rule for group in content["groups"] for rule in group["rules"]]


def played(fault: str = "one", *, is_harmful: bool = True, **values: Any) -> Played:
    return Played(fault, "how", is_harmful, 0.0, expects=("freeze_training",), **values)


def done(mitigation: str) -> dict[str, Any]:
    return {"mitigation": mitigation, "state": "done", "by": "weir", "seconds": 1.0, "reason": ""}

"""What the status page says: one word that is never greener than the truth, and what to do next."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from data_contracts.alerts import Alert
from data_contracts.config import Settings, load_settings
from data_contracts.errors import BadInput
from pipelines.audit_trail import Entry
from pipelines.switches import Hold
from serving.approval.airflow import DagRuns
from serving.incidents.decisions import Action
from serving.incidents.playbooks import load_playbooks
from serving.incidents.triage import Incident, Severity
from serving.incidents.triage import State as IncidentState
from serving.rollout.phases import Rollout
from serving.rollout.targets.base import Deployment
from serving.status_page.facts import (
    Appeals,
    Challenger,
    Champion,
    Dags,
    Day,
    Facts,
    Files,
    Reading,
    State,
    Waiting,
)
from serving.status_page.health import WORDS, Word, health
from serving.status_page.hourly_report import hour_of, read_hour
from serving.status_page.needs import Need, needs
from serving.status_page.neighbours import dags
from serving.status_page.page import status_page, tiles

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
REPORT: dict[str, Any] = {
    "window": {"start": "2026-01-05T10:55:00+00:00", "end": "2026-01-05T11:55:00+00:00"},
    "traffic": {"decisions": 10, "positive_rate": None, "arms": {}},
    "errors": None, "quality": {"versions": {}}, "alarms": [], "gaps": [],
}  # fmt: skip
PEACE = State(
    champion=Champion("7", "models:/spam/7", NOW - timedelta(days=3)),
    controller_leads=True, responder_leads=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings({"WEIR_HOME": "/nowhere"})


def facts(state: State | Reading[State] = PEACE, report: Any = REPORT, **changes: Any) -> Facts:
    read = state if isinstance(state, Reading) else Reading(state, NOW)
    hour = None if report is None else hour_of(report)
    return replace(Facts(NOW, read, Reading(Files(), NOW), Reading(hour, NOW)), **changes)


def incident(severity: Severity = "critical", state: IncidentState = "open", number: int = 3,
             **changes: Any) -> Incident:  # fmt: skip
    return Incident(number, "FalsePositiveBurn", "release", severity, state, NOW - 9 * MINUTE,
                    NOW - 5 * MINUTE, NOW, NOW, playbook="people-silenced", **changes)  # fmt: skip


def hold(switch: str, value: dict[str, Any], key: str = "incident-3-0-0") -> Hold:
    return Hold(switch, key, value, "weir, incident 3", "people are silenced", NOW - 4 * MINUTE)


SWITCHES = [
    hold("prefilter_only", {}),
    hold("threshold_shift", {"log_odds": 0.5}),
    hold("threshold_shift", {"log_odds": -0.3}),
    hold("admission_shares", {"bulk": 0.0}),
    hold("freeze_training", {}),
]


def raised(hint: Any, waited: timedelta) -> Waiting:
    alert = Alert("WeirLatencyBurn", hint, {}, 1.0, None, None, None, NOW, "slow", "")
    return Waiting(1, ((NOW - waited, alert),))


# One word


def test_at_peace_it_is_healthy_and_says_why(settings: Settings) -> None:
    found = health(facts(), settings.status_page)
    assert (found.word, found.findings) == ("healthy", ())
    assert "no incident" in found.reason


@pytest.mark.parametrize("held", SWITCHES, ids=lambda one: f"{one.switch}-{one.value}")
def test_a_switch_that_is_held_is_mitigated_and_never_healthy(
    settings: Settings, held: Hold
) -> None:
    found = health(facts(replace(PEACE, holds=(held,))), settings.status_page)
    assert found.word == "mitigated"
    says = {
        "prefilter_only": "prefilter", "admission_shares": "bulk 0%", "freeze_training": "training",
        "threshold_shift": "fewer" if held.value.get("log_odds", 0) > 0 else "more",
    }  # fmt: skip
    assert says[held.switch] in found.reason


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (incident("critical", "open"), "incident"),
        (incident("major", "acknowledged"), "incident"),
        (incident("critical", "mitigating"), "incident"),
        (incident("major", "reopened"), "incident"),
        (incident("critical", "mitigated"), "mitigated"),
        (incident("major", "monitoring"), "mitigated"),
        (incident("minor", "open"), "degraded"),
        (incident("minor", "mitigated"), "mitigated"),
        (incident("notice", "open"), "healthy"),
    ],
)
def test_an_incident_counts_by_its_severity_and_state(
    settings: Settings, found: Incident, word: Word
) -> None:
    assert health(facts(replace(PEACE, incidents=(found,))), settings.status_page).word == word


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (facts(report=None), "no hourly report"),
        (facts(report={**REPORT, "window": {**REPORT["window"],
                                            "end": "2026-01-05T09:00:00+00:00"}}), "stale"),
        (facts(report={**REPORT, "traffic": {**REPORT["traffic"],
                                             "decisions": 0}}), "no decision"),
        (facts(state=Reading(None, None, "no such file")), "no such file"),
        (facts(state=Reading(PEACE, NOW - 3 * MINUTE)), "last read 180 s ago"),
        (facts(state=Reading()), "not read yet"),
        (facts(files=Reading(Files(), NOW, "disk")), "disk"),
        (facts(report={**REPORT, "gaps": ["new campaigns failed with OSError at x"]}), "campaigns"),
        (facts(airflow=Reading(None, None, "refused")), "Airflow cannot be read: refused"),
        (facts(mlflow=Reading(None, NOW - 10 * MINUTE)), "MLflow was last read 600 s ago"),
        (facts(replace(PEACE, responder_leads=False)), "nobody takes up alerts"),
        (facts(replace(PEACE, champion=None)), "no champion"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)  # fmt: skip
def test_what_cannot_be_known_is_unknown_and_never_healthy(
    settings: Settings, known: Facts, reason: str
) -> None:
    found = health(known, settings.status_page)
    assert (found.word, reason in found.reason) == ("unknown", True), found


def test_an_alert_that_nobody_takes_up_is_an_incident_after_a_minute(settings: Settings) -> None:
    words = [
        health(facts(replace(PEACE, waiting=raised(hint, waited))), settings.status_page).word
        for hint, waited in (("page", 0.5 * MINUTE), ("page", 2 * MINUTE), ("ticket", 2 * MINUTE))
    ]
    assert words == ["healthy", "incident", "healthy"]


def test_lesser_troubles_are_degraded(settings: Settings) -> None:
    old = NOW - timedelta(hours=60)
    for known in (
        facts(report={**REPORT, "alarms": ["1.4% of 10 requests failed"]}),
        facts(replace(PEACE, controller_leads=False)),
        facts(files=Reading(Files(lake_written=old), NOW)),
        facts(files=Reading(Files(newest_feature=old), NOW)),
        facts(files=Reading(Files(newest_day="d", quarantined=(Day("d", 4),)), NOW)),
        facts(airflow=Reading(Dags(failed=("daily_ingest",)), NOW)),
        facts(airflow=Reading(Dags(unhealthy=("scheduler",)), NOW)),
    ):
        assert health(known, settings.status_page).word == "degraded"


def test_the_gravest_word_counts_and_the_rest_is_said_below_it(settings: Settings) -> None:
    state = replace(
        PEACE, incidents=(incident(),), holds=(SWITCHES[0],), controller_leads=False,
        responder_leads=False,
    )  # fmt: skip
    found = health(facts(state), settings.status_page)
    assert list(dict.fromkeys(one.word for one in found.findings)) == list(WORDS[:4])
    assert found.findings[0].link == "/incidents/3"


# What needs people


def wanted(known: Facts, settings: Settings) -> list[Need]:
    playbooks = load_playbooks(settings.incidents.playbooks)
    return list(needs(known, playbooks, settings))


def test_nothing_needs_anybody_at_peace(settings: Settings) -> None:
    assert wanted(facts(), settings) == []


def test_an_open_incident_comes_first_with_its_first_look_and_next_command(
    settings: Settings,
) -> None:
    state = replace(PEACE, incidents=(incident("minor", number=4), incident()),
                    appeals=Appeals(2, 0, NOW + timedelta(hours=5)))  # fmt: skip
    first, second, third = wanted(facts(state), settings)
    assert (first.urgency, first.link) == ("now", "/incidents/3")
    assert first.command == "python -m serving incidents acknowledge 3"
    assert "Read ten of the blocked events" in first.why
    assert (second.urgency, second.link) == ("today", "/incidents/4")
    assert (third.urgency, third.why) == ("soon", "The first is due in 5 h.")


def test_an_incident_that_somebody_looks_at_does_not_call_for_another(settings: Settings) -> None:
    state = replace(PEACE, incidents=(incident(state="acknowledged", acknowledged_by="grace"),))
    (need,) = wanted(facts(state), settings)
    assert (need.urgency, "grace looks at it" in need.why) == ("today", True)


def test_a_switch_that_outlived_its_incident_is_to_be_undone(settings: Settings) -> None:
    held, action = SWITCHES[1], Action(
        12, 3, 0, 0, "loosen_thresholds", {}, {}, "done", "incident-3-0-0", "weir", "by_hand", "",
        NOW,
    )  # fmt: skip
    state = replace(PEACE, holds=(held,), actions=(action,))
    (need,) = wanted(facts(state), settings)
    assert need.command == "python -m serving incidents undo 12"
    assert wanted(facts(replace(state, incidents=(incident(state="mitigated"),))), settings)[0].link


def test_everything_else_that_waits_says_where_or_how(settings: Settings) -> None:
    rollout = Rollout(1, Deployment("models:/spam/8", "8"), "a", "b", settings.rollout.steps[:1],
                      first=False, phase="paused", step=0, entered_at=NOW)  # fmt: skip
    state = replace(
        PEACE, rollout=rollout, appeals=Appeals(3, 1, NOW - MINUTE), responder_leads=False,
        over=(incident(state="resolved", number=1), incident(state="resolved", number=2)),
    )  # fmt: skip
    files = Files(quarantined=(Day("2026-01-04", 40),), drafted=frozenset({1}))
    known = facts(
        state, {**REPORT, "alarms": ["drift"]}, files=Reading(files, NOW),
        mlflow=Reading(Challenger("8", None), NOW),
        airflow=Reading(Dags(failed=("daily_ingest",)), NOW),
    )  # fmt: skip
    found = {one.what: one for one in wanted(known, settings)}
    assert found["1 appeal overdue"].link.endswith(":8603/review")
    assert found["Incident response does not run"].command.endswith("incidents respond")
    assert found["Version 8 is paused in shadow"].command.endswith("rollout resume")
    assert found["Version 8 waits for approval"].link.endswith("/models/spam/versions/8")
    assert found["The last run of daily_ingest failed"].link.endswith("/dags/daily_ingest")
    assert found["40 rows of 1 day in quarantine"].command.endswith("ingest --day 2026-01-04")
    assert found["Incident 2 is over and has no post-mortem"].command.endswith("post-mortem 2")
    assert found["An alarm of the hourly report"].why == "drift"
    assert len(found) == 8
    assert all(one.command or one.link for one in found.values())
    approved = facts(mlflow=Reading(Challenger("8", "approved"), NOW))
    assert wanted(approved, settings) == []


def test_of_every_dag_the_newest_run_that_ended_counts() -> None:
    class Runs(DagRuns):
        def newest(self, limit: int = 100) -> list[dict[str, Any]]:
            return [
                {"dag_id": "a", "state": "running"}, {"dag_id": "a", "state": "failed"},
                {"dag_id": "a", "state": "success"}, {"dag_id": "b", "state": "success"},
                {"dag_id": "b", "state": "failed"}, {"dag_id": "c", "state": "queued"},
            ]  # fmt: skip

        def health(self) -> dict[str, dict[str, Any]]:
            return {"scheduler": {"status": "unhealthy"}, "triggerer": {"status": None},
                    "metadatabase": {"status": "healthy"}}  # fmt: skip

    assert dags(Runs("", "", "")) == Dags(unhealthy=("scheduler",), failed=("a",))


# What is shown


def test_every_figure_stands_beside_what_it_rests_on(settings: Settings) -> None:
    share = {"value": 0.002, "low": 0.001, "high": 0.004, "of": 5120}
    few = {"value": None, "of": 12, "verdict": "not_enough_evidence"}
    report = {
        **REPORT, "traffic": {"decisions": 5120, "positive_rate": share,
                              "arms": {"stable": {"latency_ms": {"p95": 12.4}}}},
        "quality": {"versions": {"7": {"audit_labels": 12, "precision": few, "recall": few,
                                       "false_positive_rate": share}}},
    }  # fmt: skip
    found = {one.name: one for one in tiles(hour_of(report), Files(newest_label=NOW), NOW)}
    assert (found["acted upon"].value, found["acted upon"].rests_on) == (
        "0.20%", "0.10% to 0.40%, n=5,120",
    )  # fmt: skip
    assert (found["precision, version 7"].value, found["precision, version 7"].rests_on) == (
        "unknown", "only 12 cases",
    )  # fmt: skip
    assert found["failed requests"].value == "unknown"
    assert found["lake written"].value == "unknown"
    assert found["newest label"].value == "0 s ago"


def test_what_others_wrote_is_text_and_never_html(settings: Settings) -> None:
    evil = "<script>alert(1)</script>"
    entry = Entry(1, NOW, evil, evil, evil, "", "")
    state = replace(
        PEACE, changes=(entry,), holds=(replace(SWITCHES[0], reason=evil),),
        incidents=(replace(incident(), title=evil),),
    )  # fmt: skip
    known = facts(state)
    shown = status_page(
        known, health(known, settings.status_page), wanted(known, settings), settings
    )
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;") >= 5


def test_without_the_state_database_nothing_is_called_none(settings: Settings) -> None:
    known = facts(Reading(None, None, "down"))
    shown = status_page(known, health(known, settings.status_page), [], settings)
    assert "None is held" not in shown
    assert "Nothing." not in shown
    assert shown.count("Unknown") >= 3


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b'{"window": {}}', b'{"traffic": null}', b"\xff"]
)
def test_a_report_that_is_none_is_named_with_its_remedy(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "latest.json"
    assert read_hour(path) is None
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"latest\.json is no hourly report .* evaluation monitor"):
        read_hour(path)

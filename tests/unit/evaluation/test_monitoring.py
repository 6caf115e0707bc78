"""Monitoring reads files that servers and the lake left, and says what it cannot know."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from data_contracts.config import Settings, load_settings
from data_contracts.errors import BadInput, NothingToDo
from evaluation.monitoring import data, monitor
from evaluation.monitoring.model import audit_quality
from evaluation.monitoring.page import page
from evaluation.monitoring.system import decisions_since, disagreement, gateway_errors, traffic
from pipelines.labelling.draws import AuditDraw
from pipelines.labelling.queue import NewTask, open_label_queue
from pipelines.labelling.samplers import Draw
from tests.unit.evaluation.made_lake import (
    decision_line,
    write_events,
    write_labels,
    write_verdicts,
)

NOW = datetime(2026, 1, 8, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAYS = ("2026-01-05", "2026-01-06", "2026-01-07")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"WEIR_HOME": str(tmp_path)})


def write_log(home: Path, *lines: bytes) -> Path:
    path = home / "decisions" / "a-1.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(lines))
    return path.parent


def test_only_whole_lines_of_the_window_are_read(tmp_path: Path) -> None:
    folder = write_log(
        tmp_path,
        decision_line("old", "allow", NOW - 2 * HOUR),
        decision_line("in", "block", NOW - HOUR / 2),
        b"not json\n",
        decision_line("after", "allow", NOW),
        decision_line("unfinished", "allow", NOW - HOUR / 2)[:-9],
    )
    assert [one.event_id for one in decisions_since(folder, NOW - HOUR, NOW)] == ["in"]


def test_traffic_counts_actions_and_keeps_mirrored_decisions_apart(tmp_path: Path) -> None:
    lines = [
        decision_line(str(n), "block" if n < 2 else "allow", NOW, milliseconds=n) for n in range(8)
    ]
    shadow = [decision_line(str(n), "allow", NOW, arm="shadow") for n in range(4)]
    folder = write_log(tmp_path, *lines, *shadow)
    live = traffic(decisions_since(folder, NOW - HOUR, NOW + HOUR))
    assert (live["decisions"], live["mirrored"]) == (8, 4)
    assert live["actions"] == {"allow": 6, "block": 2}
    assert live["positive_rate"]["value"] == 0.25
    assert live["arms"]["stable"]["latency_ms"]["p50"] == 3.5
    assert live["disagreement"]["value"] == 0.5  # two of four were blocked by the stable arm


def test_without_a_shadow_there_is_no_disagreement() -> None:
    assert disagreement([]) is None
    assert traffic([])["positive_rate"] is None


def test_server_errors_and_lost_connections_count_as_failed(tmp_path: Path) -> None:
    log = tmp_path / "gateway-access.jsonl"
    statuses = [200, 200, 400, 503, 0]
    log.write_bytes(
        b"".join(
            orjson.dumps({"time": "2026-01-08T11:30:00.000000Z", "arm": "canary", "status": status})
            + b"\n"
            for status in statuses
        )
    )
    errors = gateway_errors(log, NOW - HOUR, NOW)
    assert errors is not None
    assert (errors["requests"], errors["errors"]) == (5, 2)
    assert errors["arms"] == {"canary": {"requests": 5, "errors": 2}}
    assert gateway_errors(tmp_path / "absent", NOW - HOUR, NOW) is None


def test_quality_weighs_audit_labels_by_their_chance(tmp_path: Path) -> None:
    day = DAYS[0]
    ids = write_events(tmp_path, day, [f"text {n}" for n in range(80)])
    spam, ham = ids[:40], ids[40:]
    # half of the likely drawn spam is caught, none of the rarely drawn
    write_labels(tmp_path, day, dict.fromkeys(spam[:20], "spam"), chance=1.0)
    write_labels(tmp_path, day, dict.fromkeys(spam[20:], "spam"), chance=0.25)
    write_labels(tmp_path, day, dict.fromkeys(ham, "ham"), chance=1.0)
    caught = {event: "block" if event in spam[:10] else "allow" for event in ids}
    write_verdicts(tmp_path, day, caught)
    write_verdicts(tmp_path, day, dict.fromkeys(ids, "block"), version="shadowed", mirrored=True)
    quality = audit_quality(tmp_path, [day], [], minimum=10)
    assert list(quality["versions"]) == ["m1"]
    found = quality["versions"]["m1"]
    assert found["recall"]["value"] == pytest.approx(10 / (20 + 20 * 4))
    assert found["precision"]["value"] == pytest.approx(1.0)
    assert found["false_positive_rate"]["value"] == pytest.approx(0.0)


def test_chosen_labels_do_not_enter_quality_and_the_latest_revision_counts(tmp_path: Path) -> None:
    day = DAYS[0]
    ids = write_events(tmp_path, day, [f"text {n}" for n in range(20)])
    write_labels(tmp_path, day, dict.fromkeys(ids[:10], "spam"))
    write_labels(tmp_path, day, dict.fromkeys(ids[10:], "spam"), None, "uncertainty")
    write_verdicts(tmp_path, day, dict.fromkeys(ids, "block"))
    write_verdicts(tmp_path, day, dict.fromkeys(ids[:5], "allow"), revision=1)
    found = audit_quality(tmp_path, [day], [], minimum=5)["versions"]["m1"]
    assert (found["audit_labels"], found["recall"]["value"]) == (10, 0.5)
    assert audit_quality(tmp_path, [day], [], 30)["versions"]["m1"]["recall"] == {
        "value": None, "of": 10, "verdict": "not_enough_evidence",
    }  # fmt: skip


def test_draws_that_wait_for_a_label_count_through_those_like_them(tmp_path: Path) -> None:
    """Of 20 draws that were blocked half have a label yet, of 40 allowed ones all.

    Hence a caught spam counts twice: 2 * 10 of 2 * 10 + 10. Without the draws it would be a half.
    """
    day = DAYS[0]
    ids = write_events(tmp_path, day, [f"text {n}" for n in range(60)])
    blocked, allowed = ids[:20], ids[20:]
    write_verdicts(tmp_path, day, dict.fromkeys(blocked, "block") | dict.fromkeys(allowed, "allow"))
    write_labels(tmp_path, day, dict.fromkeys([*blocked[:10], *allowed[:10]], "spam"))
    write_labels(tmp_path, day, dict.fromkeys(allowed[10:], "ham"))
    drawn = [AuditDraw(event_id, day, 0.5) for event_id in ids]
    found = audit_quality(tmp_path, [day], drawn, 10)["versions"]["m1"]
    assert (found["audit_draws"], found["audit_labels"]) == (60, 50)
    assert found["recall"]["value"] == pytest.approx(20 / 30)
    assert found["prevalence"]["value"] == pytest.approx(30 / 60)


def test_actions_whose_labels_are_later_than_others_are_kept_apart(tmp_path: Path) -> None:
    """20 were challenged, all spam and all labelled; 40 blocked, half spam, half of each labelled.

    Precision is (20 + 20) of 60; without the action it would be (20 + 10) of 40.
    """
    day = DAYS[0]
    ids = write_events(tmp_path, day, [f"text {n}" for n in range(80)])
    challenged, blocked, allowed = ids[:20], ids[20:60], ids[60:]
    write_verdicts(
        tmp_path, day,
        dict.fromkeys(challenged, "challenge") | dict.fromkeys(blocked, "block")
        | dict.fromkeys(allowed, "allow"),
    )  # fmt: skip
    write_labels(tmp_path, day, dict.fromkeys([*challenged, *blocked[:10]], "spam"))
    write_labels(tmp_path, day, dict.fromkeys([*blocked[10:20], *allowed], "ham"))
    drawn = [AuditDraw(event_id, day, 0.5) for event_id in ids]
    found = audit_quality(tmp_path, [day], drawn, 10)["versions"]["m1"]
    assert found["precision"]["value"] == pytest.approx(40 / 60)


def test_a_decision_that_no_label_reached_yet_is_told_as_a_gap(settings: Settings) -> None:
    day = DAYS[0]
    ids = write_events(settings.lake, day, [f"text {n}" for n in range(60)])
    write_verdicts(settings.lake, day, {e: "block" if e in ids[:9] else "allow" for e in ids})
    write_labels(settings.lake, day, dict.fromkeys(ids[9:], "ham"))
    queue = open_label_queue(settings.state_url, 60)
    queue.enqueue([NewTask(Draw(event_id, "audit", 0.5), day) for event_id in ids], NOW)
    report = monitor.observe(settings, NOW, hours=1)
    found = report["quality"]["versions"]["m1"]
    assert (found["audit_draws"], found["no_label_yet"]) == (60, ["acted on"])
    assert found["recall"]["verdict"] == "not_enough_evidence"
    assert "m1: nothing that it acted on has an audit label yet" in report["gaps"]
    assert "51 of 60" in page(report)


def test_an_empty_home_gives_a_report_of_gaps_and_a_page(settings: Settings) -> None:
    report = monitor.observe(settings, NOW, hours=1)
    assert report["alarms"] == []
    assert len(report["gaps"]) == 6
    assert orjson.loads(orjson.dumps(report)) == report
    assert "no decision in this window" in page(report)


def test_many_failures_raise_an_alarm_that_says_where_to_look(settings: Settings) -> None:
    report = monitor.observe(settings, NOW, hours=1)
    report["errors"] = {"share": {"value": 0.1, "low": 0.05, "high": 0.2, "of": 100}}
    assert "gateway-access" in monitor.alarms(report, settings.monitoring)[0]
    report["errors"]["share"]["low"] = 0.001
    assert monitor.alarms(report, settings.monitoring) == []


def test_the_verb_writes_the_report_and_its_page(settings: Settings) -> None:
    write_log(settings.home, decision_line("<script>", "allow", datetime.now(UTC)))
    result = monitor.run(argparse.Namespace(hours=None), settings)
    assert orjson.loads(Path(result["report"]).read_bytes())["traffic"]["decisions"] == 1
    shown = Path(result["page"]).read_text()
    assert "http" not in shown
    assert "<script>" not in shown


def test_the_page_escapes_what_it_did_not_write(settings: Settings) -> None:
    write_log(settings.home, decision_line("e", "<b>allow</b></small>", NOW))
    assert "<b>" not in page(monitor.observe(settings, NOW + HOUR / 2, hours=1))


def texts(day: int, word: str, count: int = 80) -> list[str]:
    return [f"{word} {day} {'x' * (number % 40)}" for number in range(count)]


def drift(settings: Settings, day: str = "pending") -> dict:
    return data.run(argparse.Namespace(day=day), settings)


def test_drift_is_found_only_where_there_is_some(settings: Settings) -> None:
    for number, day in enumerate(DAYS):
        write_events(settings.lake, day, texts(number, "shall we meet"))
    write_events(
        settings.lake, "2026-01-08", texts(9, "WIN $$$ 100000 AT http://a.com NOW " * 4), "tr"
    )
    result = drift(settings)
    assert result["days"] == [*DAYS, "2026-01-08"]
    assert {"text_characters", "uppercase_share", "links", "language"} <= set(
        result["drifted_columns"]
    )
    assert result["alarms"] == ["2026-01-08"]
    quiet = orjson.loads((settings.reports / "drift" / f"{DAYS[2]}.json").read_bytes())
    assert (quiet["verdict"], quiet["drifted_columns"]) == ("no drift", [])
    first = orjson.loads((settings.reports / "drift" / f"{DAYS[0]}.json").read_bytes())
    assert first["verdict"] == "not_enough_evidence"
    assert Path(result["report"]).suffix == ".html"
    assert "2026-01-08" in monitor.alarms(monitor.observe(settings, NOW, 1), settings.monitoring)[0]
    with pytest.raises(NothingToDo):
        drift(settings)


def test_a_day_that_the_lake_lacks_is_bad_input(settings: Settings) -> None:
    with pytest.raises(BadInput, match="2026-03-01"):
        drift(settings, "2026-03-01")

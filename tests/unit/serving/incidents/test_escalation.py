"""The on-call table: who has the shift, who is called when, and who is left in peace."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from data_contracts.config import load_settings
from data_contracts.errors import ConfigurationError
from serving.incidents.escalation import Call, Sent, due, load_on_call
from serving.incidents.triage import Incident
from tests.stand_ins.incident_world import START, on_call

INCIDENT = Incident(1, "Bad", "c", "major", "open", START, START, START, START)


def called(incident: Incident = INCIDENT, *sent: Sent, after: float = 0) -> list[str]:
    calls = due(incident, sent, on_call(), START + timedelta(seconds=after))
    return [call.person for call in calls]


def sent(person: str, level: int, *, state: str = "sent", attempts: int = 1, at: float = 0) -> Sent:
    return Sent(0, level, person, "webhook", state, attempts, START + timedelta(seconds=at))


def test_the_shift_changes_hands_every_week_also_before_the_table_begins() -> None:
    rotation = on_call().rotation
    weeks = [rotation.on_call(START + timedelta(days=7 * week)) for week in range(-2, 3)]
    assert weeks == ["bo", "ada", "bo", "ada", "bo"]
    assert rotation.on_call(rotation.begins) == "ada"
    assert rotation.on_call(START, later=1) == "ada"


def test_levels_come_due_as_time_passes() -> None:
    assert called() == ["bo"]
    assert called(INCIDENT, sent("bo", 0), after=299) == []
    assert called(INCIDENT, sent("bo", 0), after=300) == ["ada"]
    assert called(INCIDENT, sent("bo", 0), sent("ada", 1, at=300), after=900) == ["lead"]


def test_a_mitigation_that_failed_brings_the_next_level_forward() -> None:
    assert called(replace(INCIDENT, attention=1), sent("bo", 0), after=5) == ["ada"]


@pytest.mark.parametrize("change", [{"acknowledged_by": "bo"}, {"state": "monitoring"},
                                    {"state": "resolved"}, {"severity": "notice"}])  # fmt: skip
def test_nobody_is_called_when_somebody_looks_or_nothing_is_the_matter(
    change: dict[str, str],
) -> None:
    assert called(replace(INCIDENT, **change), after=5000) == []  # type: ignore[arg-type]


def test_one_person_hears_of_one_incident_once_within_the_quiet_time() -> None:
    again = replace(INCIDENT, round=1, round_began_at=START + timedelta(seconds=600))
    assert called(again, sent("bo", 0), after=600) == []
    assert called(again, sent("bo", 0), after=1800)[0] == "bo"


def test_what_could_not_be_delivered_is_tried_again_a_few_times() -> None:
    failed = sent("bo", 0, state="failed")
    assert called(INCIDENT, failed, after=30) == []
    assert called(INCIDENT, failed, after=60) == ["bo"]
    assert called(INCIDENT, replace(failed, attempts=3), after=60) == []


def test_a_message_that_the_responder_died_over_is_sent_again_at_once() -> None:
    calls = due(INCIDENT, [sent("bo", 0, state="sending")], on_call(), START)
    assert calls == [Call(0, "bo", "webhook")]


def test_the_table_that_comes_with_weir_is_right() -> None:
    table = load_on_call(load_settings({}).incidents.on_call)
    assert set(table.escalation) == {"critical", "major", "minor", "notice"}


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("fallback: lead", "fallback: nobody", "'nobody'.* are not among people"),
        ("after_seconds: 900, who: next", "after_seconds: 9000, who: next", "let them grow"),
        ("hours: 168", "hours: 0", "rotation.hours"),
        ("2026-01-05T08:00:00+00:00", "2026-01-05T08:00:00", "rotation.begins"),
    ],
)
def test_a_wrong_table_fails_when_it_is_read(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    text = load_settings({}).incidents.on_call.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "on_call.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=problem):
        load_on_call(path)

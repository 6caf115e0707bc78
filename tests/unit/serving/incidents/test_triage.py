"""Severities, causes and states, worked by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from data_contracts.alerts import Alert, SeverityHint
from data_contracts.errors import BadInput
from serving.incidents.triage import (
    TABLE,
    WHO_MAY,
    Incident,
    Severity,
    Signal,
    State,
    cause_key,
    is_firing,
    move,
    severity_of,
)
from tests.stand_ins.incident_world import START, alert

INCIDENT = Incident(1, "Bad", "c", "major", "open", START, START, START, START)


@pytest.mark.parametrize(
    ("name", "hint", "subject", "severity"),
    [
        ("FalsePositiveRate", "page", {}, "critical"),
        ("FalsePositiveRate", "ticket", {}, "minor"),
        ("WeirUnavailableFast", "page", {}, "critical"),
        ("WeirNoServers", "page", {}, "critical"),
        ("WeirLatencyFast", "page", {}, "major"),
        ("WeirLatencyFast", "page", {"arm": "shadow"}, "minor"),
        ("Drift", "ticket", {}, "minor"),
        ("Drift", "info", {}, "notice"),
    ],
)
def test_the_first_rule_that_fits_gives_the_severity(
    name: str, hint: SeverityHint, subject: dict[str, str], severity: Severity
) -> None:
    assert severity_of(alert(name, hint, **subject)) == severity


def test_alerts_of_one_cause_or_of_parts_of_one_trouble_belong_together() -> None:
    assert cause_key(alert("A", cause="release 3")) == cause_key(alert("B", cause="release 3"))
    told = "release: model 2 → 3 at noon; slice: language tr (80% of the change)"
    assert cause_key(alert("A", cause=told)) == "release: model 2 → 3 at noon"
    assert cause_key(alert("A", cause="slice: tr (80%)")) == cause_key(
        alert("B", cause="slice: tr (79%)")
    )
    unknown = "nothing stands out in slices, features, stages or releases"
    assert cause_key(alert("A", cause=unknown)) != cause_key(alert("B", cause=unknown))
    assert cause_key(alert("A", slice="tr")) == cause_key(alert("A", slice="en"))
    assert cause_key(alert("A", stage="ocr")) != cause_key(alert("A", stage="image"))
    assert cause_key(alert("A")) != cause_key(alert("B"))


def test_an_alert_is_one_by_name_and_subject_whatever_its_figures_and_order() -> None:
    one = Alert("A", "page", {"a": "1", "b": "2"}, 1.0, None, None, None, START, "x", "y")
    other = Alert("A", "info", {"b": "2", "a": "1"}, 2.0, 1.0, 0.0, 3.0, START, "z", "")
    assert one.fingerprint == other.fingerprint
    assert one.fingerprint != replace(one, name="B").fingerprint
    assert Alert.from_record(one.as_record()) == one


@pytest.mark.parametrize(
    ("change", "problem"),
    [({"name": ""}, "name is empty"), ({"severity_hint": "loud"}, "severity_hint = 'loud'"),
     ({"at": START.replace(tzinfo=None)}, "has no zone")],
)  # fmt: skip
def test_what_is_no_alert_is_refused(change: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        replace(alert(), **change)  # type: ignore[arg-type]


def test_nobody_but_the_responder_says_what_follows_from_alerts() -> None:
    with pytest.raises(BadInput, match="quiet is not for a person"):
        move(INCIDENT, "quiet", "person")
    with pytest.raises(BadInput, match="acknowledge is not for a responder"):
        move(INCIDENT, "acknowledge", "responder")


@pytest.mark.parametrize("state", list(TABLE))
@pytest.mark.parametrize("signal", list(WHO_MAY))
def test_what_the_table_does_not_say_is_refused_with_what_it_does(
    state: State, signal: Signal
) -> None:
    there = replace(INCIDENT, state=state)
    who = WHO_MAY[signal][0]
    if signal in TABLE[state]:
        assert move(there, signal, who) in TABLE
    else:
        with pytest.raises(BadInput, match=f"is {state}: no {signal} there"):
            move(there, signal, who)


def test_what_goes_back_to_people_goes_to_who_looked_at_it_and_what_returns_goes_where_it_was() -> (
    None
):
    mitigating = replace(INCIDENT, state="mitigating")
    assert move(mitigating, "exhausted", "responder") == "open"
    known = replace(mitigating, acknowledged_by="ada")
    assert move(known, "exhausted", "responder") == "acknowledged"
    watched = replace(INCIDENT, state="monitoring")
    assert move(watched, "again", "responder", has_acted=True) == "mitigated"
    assert move(watched, "again", "responder", has_acted=False) == "open"


def test_an_alert_is_over_when_it_was_cleared_or_not_raised_for_the_quiet_time() -> None:
    late = START + timedelta(seconds=61)
    assert is_firing({"a": ("raised", START)}, START + timedelta(seconds=60), 60)
    assert not is_firing({"a": ("raised", START)}, late, 60)
    assert not is_firing({"a": ("cleared", late)}, late, 60)
    assert is_firing({"a": ("cleared", late), "b": ("raised", late)}, late, 60)

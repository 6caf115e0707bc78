"""The responder on a clock of its own: what it does, in which order, and what it leaves alone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from data_contracts.errors import BadInput
from pipelines import audit_trail, switches
from tests.stand_ins.incident_world import IncidentWorld, alert, playbooks

SLOW = alert("Slow", stage="ocr")


@pytest.fixture
def world() -> IncidentWorld:
    return IncidentWorld()


def test_an_alert_becomes_an_incident_that_is_mitigated_watched_and_resolved(
    world: IncidentWorld,
) -> None:
    world.see(SLOW)
    world.step()
    assert world.outcomes(1) == [("abort_rollout", "done")]
    assert world.only().state == "mitigated"
    world.clear(SLOW)
    world.wait(10)
    assert world.only().state == "monitoring"
    world.wait(130)
    assert world.only().state == "resolved"
    assert audit_trail.verify(world.engine) is None


def test_the_same_alert_raised_again_and_again_is_one_incident_and_one_call(
    world: IncidentWorld,
) -> None:
    world.wait(60, SLOW)
    assert world.only().severity == "major"
    assert len(world.store.alerts(1)) == 6
    assert world.lever.pulled == ["incident-1-0-0"]
    assert world.pager.called() == ["bo"]


def test_what_does_not_help_is_followed_by_the_next_automatic_step_and_then_by_a_person(
    world: IncidentWorld,
) -> None:
    world.wait(280, SLOW)
    assert world.outcomes(1) == [("abort_rollout", "done"), ("freeze_training", "done")]
    incident = world.only()
    assert (incident.state, incident.attention) == ("open", 1)
    assert world.pager.called() == ["bo", "ada"]
    assert "did not help" in str(world.store.time_line(1))


def test_silence_of_a_slow_watcher_is_not_taken_for_a_mitigation_that_failed(
    world: IncidentWorld,
) -> None:
    """An hourly report has not yet looked again when the time to help is over."""
    world.see(SLOW)
    world.wait(50)
    assert world.outcomes(1) == [("abort_rollout", "done")]


def test_a_mitigation_that_fails_is_followed_by_the_next_and_calls_the_next_person(
    world: IncidentWorld,
) -> None:
    world.lever.fails = True
    world.see(SLOW)
    world.step()
    assert world.outcomes(1) == [("abort_rollout", "failed"), ("freeze_training", "done")]
    assert world.pager.called() == ["bo", "ada"]
    assert switches.holds(world.engine, switches.FREEZE_TRAINING)[0].key == "incident-1-0-2"


def test_a_step_by_hand_waits_for_a_person_and_is_then_carried_out(world: IncidentWorld) -> None:
    world.see(SLOW)
    world.step()
    assert not switches.holds(world.engine, switches.PREFILTER_ONLY)
    world.store.ask(1, "prefilter_only", {}, "by_hand", "ada")
    world.step()
    (held,) = switches.holds(world.engine, switches.PREFILTER_ONLY)
    assert held.reason == "incident 1: Slow (stage ocr)"
    with pytest.raises(BadInput, match="prefilter_only is done already"):
        world.store.ask(1, "prefilter_only", {}, "by_hand", "ada")
    world.store.ask_undo(2, "ada")
    world.step()
    assert not switches.holds(world.engine, switches.PREFILTER_ONLY)


def test_what_is_to_be_undone_at_the_end_is_undone_when_the_incident_is_resolved(
    world: IncidentWorld,
) -> None:
    world.wait(120, SLOW)
    assert switches.holds(world.engine, switches.FREEZE_TRAINING)
    world.store.resolve(1, "ada", "it was the test")
    world.wait(10)
    assert not switches.holds(world.engine, switches.FREEZE_TRAINING)
    assert world.outcomes(1) == [("abort_rollout", "done"), ("freeze_training", "undone")]


def test_two_incidents_hold_one_switch_apart_and_it_is_off_when_both_let_go(
    world: IncidentWorld,
) -> None:
    world.lever.fails = True
    other = alert("Silenced", cause="labels")
    world.see(SLOW, other)
    world.step()
    assert len(switches.holds(world.engine, switches.FREEZE_TRAINING)) == 2
    world.store.resolve(1, "ada", "over")
    world.wait(10, other)
    assert len(switches.holds(world.engine, switches.FREEZE_TRAINING)) == 1
    world.store.resolve(2, "ada", "over")
    world.step()
    assert not switches.holds(world.engine, switches.FREEZE_TRAINING)


def test_limits_of_an_hour_hold_over_all_incidents_and_are_said() -> None:
    limits = {"abort_rollout": {"per_hour": 1}, "prefilter_only": {"per_hour": 9},
              "freeze_training": {"per_hour": 9}}  # fmt: skip
    world = IncidentWorld(tables=playbooks(mitigations=limits))
    world.see(SLOW, alert("Other"))
    world.step()
    assert world.outcomes(2)[0] == ("abort_rollout", "refused")
    assert "1 times within an hour" in world.store.actions(2)[0].reason
    assert world.outcomes(2)[1] == ("freeze_training", "done")
    world.now += timedelta(hours=2)
    world.see(alert("Third"))
    world.step()
    assert world.outcomes(3) == [("abort_rollout", "done")]


def test_the_limit_of_all_actions_together_holds_too() -> None:
    world = IncidentWorld(tables=playbooks(actions_per_hour=2))
    world.see(*(alert(f"Alert{number}") for number in range(4)))
    world.step()
    done = [one for number in range(1, 5) for one in world.outcomes(number) if one[1] == "done"]
    assert len(done) == 2


def test_a_flapping_alert_is_one_incident_with_a_count_and_a_growing_hold_and_calls_nobody_twice(
    world: IncidentWorld,
) -> None:
    for _ in range(5):
        world.wait(20, SLOW)
        world.clear(SLOW)
        world.wait(60)
    incident = world.only()
    assert (incident.flaps, incident.is_flapping, incident.state) == (4, True, "monitoring")
    assert world.pager.called() == ["bo", "ada"], "nobody acknowledged it for five minutes"
    assert world.lever.pulled == ["incident-1-0-0"], "a flap alone starts no further step"
    world.wait(600)
    assert world.only().state == "monitoring", "held eight times as long by now"
    world.wait(400)
    assert world.only().state == "resolved"


def test_what_comes_back_after_its_resolution_is_reopened_and_calls_again_after_the_quiet_time(
    world: IncidentWorld,
) -> None:
    world.see(SLOW)
    world.step()
    world.clear(SLOW)
    world.wait(200)
    assert world.only().state == "resolved"
    world.wait(100, SLOW)
    incident = world.only()
    assert (incident.round, incident.state) == (1, "mitigated")
    assert world.pager.called() == ["bo"], "within the quiet time nobody is called again"
    assert world.lever.pulled == ["incident-1-0-0", "incident-1-1-0"]


def test_an_alert_of_the_same_cause_joins_and_may_make_the_incident_graver(
    world: IncidentWorld,
) -> None:
    world.see(alert("Slow", "ticket", "release 7"))
    world.step()
    assert world.only().severity == "minor"
    world.see(alert("FalsePositives", "page", "release 7", slice="tr"))
    world.step()
    assert world.only().severity == "critical"
    assert world.lever.pulled == ["incident-1-0-0"]


def test_one_incident_that_cannot_be_worked_on_keeps_nobody_from_the_others(
    world: IncidentWorld,
) -> None:
    world.see(SLOW, alert("Other"))
    world.responder._leadership.claim()
    real = world.store.actions

    def broken(incident_id: int) -> object:
        if incident_id == 1:
            raise RuntimeError("a row that nobody can read")
        return real(incident_id)

    world.store.actions = broken  # type: ignore[method-assign, assignment]
    world.responder.step()
    world.store.actions = real  # type: ignore[method-assign]
    assert world.outcomes(2) == [("abort_rollout", "done")]
    assert any("a row that nobody can read" in line for line in world.said)


def test_acknowledging_stops_the_calls(world: IncidentWorld) -> None:
    world.see(SLOW)
    world.step()
    world.store.acknowledge(1, "bo")
    world.wait(1200, SLOW, every=60)
    assert world.pager.called() == ["bo"]


def test_without_an_acknowledgement_everybody_is_called_once(world: IncidentWorld) -> None:
    world.wait(1200, SLOW, every=60)
    assert world.pager.called() == ["bo", "ada", "lead"]


def test_who_cannot_be_reached_makes_the_next_one_be_called_at_once(world: IncidentWorld) -> None:
    world.pager.fails_for = frozenset({"bo"})
    world.see(SLOW)
    world.wait(20)
    assert world.pager.called() == ["ada"]
    assert "bo could not be called" in str(world.store.time_line(1))

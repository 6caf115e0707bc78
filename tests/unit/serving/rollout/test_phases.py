"""The phase table: every way through a rollout, and every way out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from data_contracts.config import RolloutStep
from data_contracts.errors import ConfigurationError
from serving.rollout.analysis import Analysis
from serving.rollout.phases import (
    TABLE,
    TERMINAL,
    Deadlines,
    Phase,
    Request,
    Rollout,
    Transition,
    check_steps,
    next_phase,
)
from serving.rollout.targets.base import Deployment

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
DEADLINES = Deadlines(start_seconds=90, progress_seconds=240)
SHADOW = RolloutStep(phase="shadow", weight=0, minimum_seconds=15, minimum_requests=100)
TEN = RolloutStep(phase="canary", weight=10, minimum_seconds=15, minimum_requests=40)
FIFTY = RolloutStep(phase="canary", weight=50, minimum_seconds=15, minimum_requests=100)
PASS = Analysis("pass", "all is well", 100, 0)
FAIL = Analysis("fail", "too many errors", 100, 50)
UNKNOWN = Analysis("not_enough_evidence", "no traffic", 0, 0)


def rollout(phase: Phase, step: int = -1, *, applied: bool = True) -> Rollout:
    return Rollout(
        id=1,
        model=Deployment("models:/spam/2", "2"),
        canary_slot="b",
        baseline_slot="c",
        steps=(SHADOW, TEN, FIFTY),
        first=False,
        phase=phase,
        step=step,
        entered_at=NOON,
        applied_at=NOON if applied else None,
    )


def after(
    state: Rollout, seconds: float, analysis: Analysis | None = None, broken: str | None = None
) -> Transition | None:
    return next_phase(state, analysis, NOON + timedelta(seconds=seconds), DEADLINES, broken)


def destination(transition: Transition | None) -> tuple[Phase, int] | None:
    return None if transition is None else (transition.phase, transition.step)


def test_a_rollout_that_always_passes_takes_every_step_in_order() -> None:
    state, seen = rollout("pending"), ["pending"]
    while state.active:
        to = after(state, 20, PASS)
        assert to is not None
        state = replace(state, phase=to.phase, step=to.step)
        seen.append(state.label)
    assert seen == ["pending", "shadow", "canary 10 %", "canary 50 %", "full", "done"]


def test_a_first_champion_has_nothing_to_be_compared_with_and_goes_to_full() -> None:
    assert destination(after(replace(rollout("pending"), first=True), 1)) == ("full", -1)


def test_nothing_moves_before_the_target_has_carried_the_phase_out() -> None:
    for phase, step in (("pending", -1), ("shadow", 0), ("full", 2), ("rolling_back", 1)):
        assert after(rollout(phase, step, applied=False), 20, PASS) is None


def test_a_pass_waits_for_the_least_duration_of_the_step() -> None:
    assert after(rollout("canary", 1), 14.9, PASS) is None
    assert destination(after(rollout("canary", 1), 15, PASS)) == ("canary", 2)


def test_a_failure_does_not_wait() -> None:
    to = after(rollout("canary", 1), 0.1, FAIL)
    assert to == Transition("rolling_back", 1, "too many errors")


def test_no_traffic_is_never_a_pass_and_ends_at_the_deadline_with_its_reason() -> None:
    assert after(rollout("shadow", 0), 240, UNKNOWN) is None
    to = after(rollout("shadow", 0), 241, UNKNOWN)
    assert destination(to) == ("rolling_back", 0)
    assert to is not None
    assert to.reason == "no verdict within 240 s: no traffic"


def test_a_server_that_never_becomes_ready_ends_the_rollout() -> None:
    to = after(rollout("pending", applied=False), 91)
    assert to is not None
    assert (to.phase, to.reason) == ("rolling_back", "no model server was ready within 90 s")


@pytest.mark.parametrize(
    ("phase", "step"), [("pending", -1), ("shadow", 0), ("canary", 2), ("paused", 1), ("full", 2)]
)
def test_every_phase_can_be_aborted_and_ends_as_aborted(phase: Phase, step: int) -> None:
    asked = replace(rollout(phase, step), request="abort")
    assert destination(after(asked, 1, PASS)) == ("rolling_back", step)
    assert destination(after(replace(asked, phase="rolling_back"), 1)) == ("aborted", step)


@pytest.mark.parametrize(
    ("phase", "step"), [("pending", -1), ("shadow", 0), ("canary", 2), ("paused", 1), ("full", 2)]
)
def test_what_is_broken_is_rolled_back_whatever_the_figures_say(phase: Phase, step: int) -> None:
    to = after(rollout(phase, step), 1, PASS, broken="its server died twice")
    assert to == Transition("rolling_back", step, "its server died twice")
    assert destination(after(rollout("rolling_back", step), 1)) == ("rolled_back", step)


def test_a_pause_holds_the_step_without_deadline_and_resume_returns_to_it() -> None:
    asked = replace(rollout("canary", 1), request="pause")
    assert destination(after(asked, 1, PASS)) == ("paused", 1)
    assert after(rollout("paused", 1), 10_000, PASS) is None
    resumed = replace(rollout("paused", 1), request="resume")
    assert destination(after(resumed, 1, PASS)) == ("canary", 1)


def test_a_paused_canary_that_fails_is_rolled_back() -> None:
    assert destination(after(rollout("paused", 1), 1, FAIL)) == ("rolling_back", 1)


def test_promote_skips_the_wait_but_not_a_failure() -> None:
    asked = replace(rollout("canary", 2), request="promote")
    assert destination(after(asked, 0.1, UNKNOWN)) == ("full", 2)
    assert destination(after(asked, 0.1, FAIL)) == ("rolling_back", 2)


@pytest.mark.parametrize("request_", ["pause", "resume", "promote", "abort"])
@pytest.mark.parametrize("phase", TERMINAL)
def test_an_ended_rollout_stays_ended(phase: Phase, request_: Request) -> None:
    ended = replace(rollout(phase, 2), request=request_)
    assert after(ended, 10_000, FAIL, broken="anything") is None


def test_the_table_knows_every_phase_and_every_active_one_has_a_way_out() -> None:
    destinations = {to for row in TABLE.values() for to in row.values()}
    assert destinations - set(TABLE) == {"forward", "back", "end"}
    assert {phase for phase, row in TABLE.items() if not row} == set(TERMINAL)


@pytest.mark.parametrize(
    "steps",
    [
        (TEN, SHADOW),
        (SHADOW, FIFTY, TEN),
        (SHADOW, TEN, TEN),
        (SHADOW, TEN.model_copy(update={"weight": 100})),
        (TEN.model_copy(update={"weight": 0}),),
    ],
)
def test_steps_that_are_no_rollout_are_refused(steps: tuple[RolloutStep, ...]) -> None:
    with pytest.raises(ConfigurationError, match=r"rollout\.steps"):
        check_steps(steps)


def test_the_configured_steps_are_a_rollout() -> None:
    check_steps((SHADOW, TEN, FIFTY))
    assert all(one.weight < other.weight for one, other in pairwise((TEN, FIFTY)))

"""The breaker's states by hand, then against a model of them, with a clock that the test sets."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from data_contracts.config import StageGuards, load_settings
from serving.circuit_breaker import TRANSITIONS, CircuitBreaker, Permit, State

GUARDS = StageGuards(
    budget_multiple=4,
    minimum_budget_milliseconds=20,
    own_threads_from_milliseconds=5,
    threads=2,
    window_calls=6,
    window_seconds=30,
    failures=3,
    open_seconds=5,
    probes=2,
)


class Clock:
    """A clock that the test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Watched:
    """A breaker with its clock and the states that it told of."""

    def __init__(self, guards: StageGuards = GUARDS) -> None:
        self.clock = Clock()
        self.told: list[State] = []
        self.breaker = CircuitBreaker(guards, self.told.append, self.clock)

    def permit(self) -> Permit:
        permit = self.breaker.permit()
        assert permit is not None
        return permit

    def call(self, *outcomes: bool) -> None:
        """Calls that end at once; True is one that failed."""
        for failed in outcomes:
            self.breaker.record(self.permit(), failed=failed)

    def open(self) -> None:
        self.call(*(True,) * GUARDS.failures)
        assert self.breaker.state == "open"

    def cool_down(self) -> None:
        self.clock.now += GUARDS.open_seconds


def test_every_state_can_be_left_and_only_to_a_state_there_is() -> None:
    states = set(get_args(State))
    assert set(TRANSITIONS) == states
    assert {to for one in TRANSITIONS.values() for to in one.values()} == states


def test_it_opens_at_so_many_failures_among_the_last_calls() -> None:
    watched = Watched()
    watched.call(True, True, False, False, False, False, True, True)  # the first are forgotten
    assert watched.breaker.state == "closed"
    watched.call(True)
    assert watched.breaker.state == "open"
    assert watched.breaker.permit() is None
    assert watched.told == ["open"]


def test_failures_of_long_ago_do_not_count() -> None:
    watched = Watched()
    watched.call(True, True)
    watched.clock.now += GUARDS.window_seconds
    watched.call(True, True)
    assert watched.breaker.state == "closed"


def test_after_a_while_one_probe_at_a_time_goes_through() -> None:
    watched = Watched()
    watched.open()
    watched.clock.now += GUARDS.open_seconds - 0.001
    assert watched.breaker.permit() is None
    watched.clock.now += 0.001
    probe = watched.permit()
    assert watched.breaker.permit() is None
    watched.breaker.record(probe, failed=False)
    assert watched.breaker.state == "half_open"
    watched.call(False)
    assert watched.told == ["open", "half_open", "closed"]


def test_a_failed_probe_opens_it_for_another_while() -> None:
    watched = Watched()
    watched.open()
    watched.cool_down()
    watched.call(False, True)
    assert watched.breaker.permit() is None
    watched.cool_down()
    watched.call(False, False)
    assert watched.breaker.state == "closed"


def test_old_failures_are_forgotten_when_it_closes() -> None:
    watched = Watched()
    watched.open()
    watched.cool_down()
    watched.call(False, False, True, True)
    assert watched.breaker.state == "closed"


def test_late_news_of_calls_that_began_before_it_opened_change_nothing() -> None:
    watched = Watched()
    early = [watched.permit() for _ in range(5)]
    watched.open()
    watched.breaker.record(early[0], failed=True)
    watched.cool_down()
    probe = watched.permit()
    watched.breaker.record(early[1], failed=True)
    watched.breaker.record(early[2], failed=False)
    assert watched.breaker.state == "half_open"
    watched.breaker.record(probe, failed=False)
    watched.call(False)
    watched.call(True, True)
    watched.breaker.record(early[3], failed=True)
    assert watched.breaker.state == "closed"


def test_a_probe_that_never_reports_is_given_up() -> None:
    watched = Watched()
    watched.open()
    watched.cool_down()
    lost = watched.permit()
    watched.clock.now += GUARDS.open_seconds
    probe = watched.permit()
    watched.breaker.record(lost, failed=True)
    assert watched.breaker.state == "half_open"
    watched.breaker.record(probe, failed=False)
    watched.call(False)
    assert watched.breaker.state == "closed"


def test_the_configuration_refuses_more_failures_than_calls() -> None:
    with pytest.raises(ValueError, match="7 of the last 6 calls never fail"):
        StageGuards.model_validate(GUARDS.model_dump() | {"failures": 7})
    assert load_settings({}).serving.stage_guards.failures >= 1


class BreakerMachine(RuleBasedStateMachine):
    """Calls begin, end late or never, and time passes; a plain model says what must hold."""

    @initialize()
    def close(self) -> None:
        self.watched = Watched()
        self.calls: list[tuple[Permit, int]] = []  # with the model's own count of spells
        self.state: State = "closed"
        self.spell = 0
        self.failures: list[float] = []  # times of the last calls' failures, inf for successes
        self.succeeded = 0
        self.probe: int | None = None
        self.since = self.probe_since = 0.0

    @rule()
    def begin(self) -> None:
        now = self.watched.clock.now
        permit = self.watched.breaker.permit()
        if self.state == "open" and now >= self.since + GUARDS.open_seconds:
            self.become("half_open")
        if self.state == "open":
            assert permit is None
        elif self.state == "closed":
            assert permit is not None
        elif self.probe == self.spell and now < self.probe_since + GUARDS.open_seconds:
            assert permit is None, "two probes at a time"
        else:
            assert permit is not None, "no probe although none is under way"
            self.spell += self.probe == self.spell
            self.probe, self.probe_since = self.spell, now
        if permit is not None:
            self.calls.append((permit, self.spell))

    @precondition(lambda self: self.calls)
    @rule(which=st.integers(0, 20), failed=st.booleans())
    def end(self, which: int, failed: bool) -> None:
        permit, spell = self.calls.pop(which % len(self.calls))
        self.watched.breaker.record(permit, failed=failed)
        if spell != self.spell:
            return
        if self.state == "closed":
            self.note_call(failed)
        elif self.state == "half_open":
            self.probe = None
            self.succeeded += not failed
            if failed:
                self.become("open")
            elif self.succeeded == GUARDS.probes:
                self.become("closed")

    def note_call(self, failed: bool) -> None:
        now = self.watched.clock.now
        self.failures = [*self.failures, now if failed else -1.0][-GUARDS.window_calls :]
        recent = [at for at in self.failures if at > now - GUARDS.window_seconds and at >= 0]
        if failed and len(recent) >= GUARDS.failures:
            self.become("open")

    @rule(seconds=st.sampled_from([0.1, 1.0, GUARDS.open_seconds, GUARDS.window_seconds]))
    def pass_time(self, seconds: float) -> None:
        self.watched.clock.now += seconds

    def become(self, state: State) -> None:
        self.state, self.spell, self.since = state, self.spell + 1, self.watched.clock.now
        self.failures, self.succeeded, self.probe = [], 0, None

    @invariant()
    def the_state_is_the_models_and_every_change_is_in_the_table(self) -> None:
        assert self.watched.breaker.state == self.state
        path: list[State] = ["closed", *self.watched.told]
        for before, after in pairwise(path):
            assert after in TRANSITIONS[before].values()


TestBreaker = BreakerMachine.TestCase
TestBreaker.settings = settings(
    max_examples=150, stateful_step_count=60, deadline=None, database=None, derandomize=True
)

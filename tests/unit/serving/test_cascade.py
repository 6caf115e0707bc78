"""Verdicts carry their versions and arm, and never depend on their neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from data_contracts.events import Event, parse_event
from data_contracts.verdicts import Assessment
from serving.cascade import Cascade
from tests.stand_ins.capital_letters import CapitalLetters

EVENTS = [parse_event({"event_id": f"e{n}", "text": "A" * n + "b"}) for n in range(5)]


def test_a_verdict_carries_versions_arm_and_the_rounded_score() -> None:
    ticks = iter([1.0, 1.25])
    cascade = Cascade(CapitalLetters(), "7", "thresholds-1", clock=lambda: next(ticks))
    decision = cascade.decide(EVENTS[2:3], "canary")
    (verdict,) = decision.verdicts
    assert decision.milliseconds == 250
    assert (verdict.event_id, verdict.score, verdict.action) == ("e2", 0.666667, "block")
    assert (verdict.model_version, verdict.threshold_version) == ("7", "thresholds-1")
    assert (verdict.arm, verdict.revision) == ("canary", 0)


def test_the_order_and_the_neighbours_do_not_matter() -> None:
    cascade = Cascade(CapitalLetters(), "7", "t")
    together = cascade.decide(EVENTS).verdicts
    backwards = cascade.decide(EVENTS[::-1]).verdicts[::-1]
    alone = tuple(cascade.decide([event]).verdicts[0] for event in EVENTS)
    assert together == backwards == alone


def test_an_assessor_that_drops_an_event_is_an_error_and_no_shifted_verdict() -> None:
    class Forgetful:
        def assess(self, events: Sequence[Event]) -> list[Assessment]:
            return CapitalLetters().assess(events[1:])

    with pytest.raises(ValueError, match="shorter"):
        Cascade(Forgetful(), "7", "t").decide(EVENTS)

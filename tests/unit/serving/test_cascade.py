"""Verdicts carry their versions and arm, and never depend on their neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from data_contracts.events import Event, parse_event
from data_contracts.verdicts import UNBOUNDED, Assessment, Stage
from serving.cascade import Asked, Cascade, StageCosts
from serving.stage_bounds import current_bounds
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


class Reader:
    """Blocks a picture whose words it was let read; says which bounds it was held to."""

    def assess(self, events: Sequence[Event], *, every_stage: bool = False) -> list[Assessment]:
        return [self._assess(event, every_stage) for event in events]

    def _assess(self, event: Event, every_stage: bool) -> Assessment:
        why = current_bounds().withheld.get("ocr")
        reads = bool(event.media) and why is None
        ocr = Stage("ocr", reads, 0.9 if reads else None, why)
        shown = (ocr,) if event.media else ()
        return Assessment(0.9 if reads else 0.1, "block" if reads else "allow", (), shown)


COSTS = StageCosts({"image": 15.0, "ocr": 110.0}, longest_share=0.4)
PICTURE = parse_event(
    {"event_id": "p", "text": "hi", "media": [{"kind": "image", "sha256": "0" * 64, "path": "a"}]}
)


def test_a_stage_that_does_not_fit_runs_afterwards_and_its_verdict_supersedes() -> None:
    cascade = Cascade(Reader(), "7", "t", COSTS)
    (hurried,) = cascade.decide_each([Asked(PICTURE, seconds=0.08)])
    assert hurried.verdict.action == "allow"
    assert hurried.budget.withheld == (("ocr", "runs_afterwards:ocr"),)
    assert cascade.is_to_be_revised(hurried)
    revised = cascade.revised(PICTURE, hurried)
    assert (revised.verdict.action, revised.verdict.revision) == ("block", 1)
    assert revised.budget == UNBOUNDED
    assert not cascade.is_to_be_revised(revised)


def test_with_time_enough_every_stage_answers_at_once() -> None:
    cascade = Cascade(Reader(), "7", "t", COSTS)
    (patient,) = cascade.decide_each([Asked(PICTURE, seconds=0.3)])
    assert (patient.verdict.action, patient.budget) == ("block", UNBOUNDED)


def test_answers_keep_their_order_whatever_is_decided_together() -> None:
    cascade = Cascade(Reader(), "7", "t", StageCosts(every_stage_share=0.5))
    asked = [Asked(event) for event in (EVENTS[0], PICTURE, *EVENTS[1:])]
    together = cascade.decide_each(asked)
    assert [one.verdict.event_id for one in together] == [one.event.event_id for one in asked]
    assert together == [cascade.decide_each([one])[0] for one in asked]


def test_events_drawn_for_every_stage_are_as_many_as_said_and_know_their_chance() -> None:
    cascade = Cascade(Reader(), "7", "t", StageCosts(every_stage_share=0.1))
    events = [parse_event({"event_id": f"e{n}", "text": "hi"}) for n in range(2000)]
    budgets = [one.budget for one in cascade.decide_each([Asked(event) for event in events])]
    drawn = [one for one in budgets if one.every_stage]
    assert 140 < len(drawn) < 260  # 200 are expected; six standard deviations are 80
    assert {one.every_stage_chance for one in drawn} == {0.1}

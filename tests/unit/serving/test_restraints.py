"""What incident response holds a server to: verdicts say so, records replay, letting go ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from sqlalchemy import Engine

from data_contracts.config import load_settings
from data_contracts.errors import ServiceUnavailable
from data_contracts.events import Event, parse_event
from data_contracts.verdicts import Action, Assessment, Stage
from pipelines import switches
from pipelines.state import open_state
from pipelines.switch_reader import SwitchReader
from pipelines.switches import Hold, Name
from serving.cascade import Asked, Cascade, Decided, StageCosts
from serving.decision_log import DecisionLog
from serving.decision_records import StoredRecord, UnwrittenRecord, lines_of
from serving.replay import Versions, replay_all
from serving.restraints import HEEDED, HeededSwitches, Restraints
from serving.shedding import Refused
from serving.stage_bounds import WithholdingAssessor, current_bounds
from serving.verdict_service import Origin, Urgency, VerdictService
from tests.stand_ins.capital_letters import CapitalLetters

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
COSTS = StageCosts({"ocr": 110.0}, ("text",), ("behaviour",), longest_share=0.4)
WORDS = parse_event({"event_id": "w", "text": "Words"})
PICTURE = parse_event(
    {"event_id": "p", "text": "hi", "media": [{"kind": "image", "sha256": "0" * 64, "path": "a"}]}
)
STAGES = ("behaviour", "text", "ocr")


class Shifting:
    """A stage a name, each worth .2 where it may run; blocks at .5, which a shift of 1 lifts."""

    version = "shifting-1"

    def assess(
        self,
        events: Sequence[Event],
        *,
        every_stage: bool = False,
        threshold_shift: float = 0.0,
    ) -> list[Assessment]:
        return [self._assess(event, threshold_shift) for event in events]

    def _assess(self, event: Event, shift: float) -> Assessment:
        withheld = current_bounds().withheld
        names = STAGES if event.media else STAGES[:2]
        stages = tuple(
            Stage(name, name not in withheld, skipped_because=withheld.get(name)) for name in names
        )
        score = 0.2 * (1 + sum(one.ran for one in stages))
        action: Action = "block" if score >= 0.5 + 0.3 * shift else "allow"
        return Assessment(score, action, (), stages)


def held_to(restraints: Restraints) -> Cascade:
    return Cascade(Shifting(), "7", "thresholds-1", COSTS, held=lambda: restraints)


def decided(cascade: Cascade, event: Event = WORDS) -> Decided:
    (found,) = cascade.decide_each([Asked(event)])
    return found


def test_loosened_thresholds_act_less_and_the_verdict_says_by_which() -> None:
    before = decided(held_to(Restraints()))
    loosened = decided(held_to(Restraints(threshold_shift=1.0)))
    assert (before.verdict.action, loosened.verdict.action) == ("block", "allow")
    assert before.verdict.threshold_version == "thresholds-1"
    assert loosened.verdict.threshold_version == "thresholds-1~+1"
    assert loosened.budget.threshold_shift == 1.0


def test_prefilter_only_withholds_every_other_stage_and_revises_nothing() -> None:
    cascade = held_to(Restraints(prefilter_only=True))
    found = decided(cascade, PICTURE)
    assert not any(stage.ran for stage in found.verdict.stages)
    assert dict(found.budget.withheld) == {name: f"stage_switched_off:{name}" for name in STAGES}
    assert not cascade.is_to_be_revised(found)
    assert found.verdict.score == 0.2


def test_a_stage_left_for_afterwards_is_not_run_once_it_is_switched_off() -> None:
    held = Restraints()
    cascade = Cascade(Shifting(), "7", "thresholds-1", COSTS, held=lambda: held)
    (hurried,) = cascade.decide_each([Asked(PICTURE, seconds=0.08)])
    assert cascade.is_to_be_revised(hurried)
    held = Restraints(prefilter_only=True, threshold_shift=0.5)
    revised = cascade.revised(PICTURE, hurried)
    assert not any(stage.ran for stage in revised.verdict.stages)
    assert (revised.verdict.revision, revised.verdict.threshold_version) == (1, "thresholds-1~+0.5")


@pytest.mark.parametrize(
    "restraints",
    [Restraints(True), Restraints(threshold_shift=1.0), Restraints(True, -0.25), Restraints()],
)
def test_records_of_a_restrained_server_replay_to_the_same_bytes(
    tmp_path: Path, restraints: Restraints
) -> None:
    path = tmp_path / "a.jsonl"
    found = [(event, decided(held_to(restraints), event)) for event in (WORDS, PICTURE)]
    path.write_bytes(
        b"".join(
            UnwrittenRecord(
                one.verdict, event, NOW, False, 0.1, Shifting.version, one.budget
            ).line()
            for event, one in found
        )
    )
    stored = [one for one in lines_of(path) if isinstance(one, StoredRecord)]
    versions = Versions(Shifting.version, "7", "thresholds-1")
    tally = replay_all(stored, WithholdingAssessor(Shifting()), versions)
    assert (tally.replayed, tally.equal, tally.skipped_other_version) == (2, 2, 0)
    assert stored[0].verdict == orjson.dumps(found[0][1].verdict)


def test_a_class_that_is_shed_is_refused_and_others_are_not(tmp_path: Path) -> None:
    held = Restraints(shares={"bulk": 0.0})
    log = DecisionLog(tmp_path, "a")
    log.start()
    cascade = Cascade(CapitalLetters(), "7", "t", held=lambda: held)
    service = VerdictService(cascade, log, load_settings().serving)

    async def asks() -> None:
        nonlocal held
        with pytest.raises(Refused) as refused:
            service.turn_away(Urgency("bulk"))
        assert refused.value.refusal.reason == "over_share"
        service.turn_away(Urgency("normal"))
        answer = await service.decide([WORDS], Origin("stable"), 10, Urgency("normal"))
        assert [one.action for one in answer.verdicts] == ["allow"]
        held = Restraints()
        service.turn_away(Urgency("bulk"))

    try:
        asyncio.run(asks())
    finally:
        service.close()
        log.close()


def hold(engine: Engine, name: Name, **value: object) -> None:
    with engine.begin() as connection:
        switches.hold(connection, Hold(name, f"key-{name}", value, "ada", "incident 1", NOW))


def test_what_incidents_hold_reaches_the_server_and_letting_go_ends_it(tmp_path: Path) -> None:
    engine = open_state(f"sqlite:///{tmp_path}/state.sqlite")
    heeded = HeededSwitches(SwitchReader(lambda: engine, HEEDED, "model server x", lambda: NOW))
    heeded.ask()
    assert heeded() == Restraints()
    assert switches.readers(engine, switches.PREFILTER_ONLY, NOW) == ["model server x"]
    hold(engine, switches.PREFILTER_ONLY)
    hold(engine, switches.THRESHOLD_SHIFT, log_odds=0.5)
    hold(engine, switches.ADMISSION_SHARES, bulk=0.0)
    heeded.ask()
    assert heeded() == Restraints(True, 0.5, {"bulk": 0.0})
    with engine.begin() as connection:
        for name in HEEDED:
            switches.release(connection, f"key-{name}", "ada", NOW)
    heeded.ask()
    assert heeded() == Restraints()


def test_a_server_starts_without_the_database_and_is_held_to_nothing() -> None:
    def away() -> Engine:
        raise ServiceUnavailable("the state database does not answer")

    heeded = HeededSwitches(SwitchReader(away, HEEDED, "model server x", lambda: NOW))
    heeded.start()
    assert heeded() == Restraints()
    heeded.close()

"""Accounts are hashed before anything sees them; what cannot be recorded says so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from data_contracts.config import load_settings
from data_contracts.events import Event, parse_event
from data_contracts.verdicts import Action, Assessment, Stage
from serving import metrics
from serving.cascade import Cascade, Decision, StageCosts
from serving.decision_log import DecisionLog, LogLimits
from serving.decision_records import read_records
from serving.replay import replay
from serving.shedding import Refused
from serving.stage_bounds import current_bounds
from serving.verdict_service import Origin, Urgency, VerdictService
from tests.stand_ins.capital_letters import CapitalLetters

EVENT = parse_event({"event_id": "e1", "text": "Hi", "account": "bob", "context": {"a": None}})


class Witness(CapitalLetters):
    """Remembers what it was given."""

    def __init__(self) -> None:
        self.seen: list[Event] = []

    def settled(self, events: Sequence[Event]) -> list[Assessment | None]:
        return [None] * len(events)

    def assess(self, events: Sequence[Event]) -> list[Assessment]:
        self.seen += events
        return super().assess(events)


def decide(
    folder: Path, model: CapitalLetters, limits: LogLimits | None = None, key: bool = True
) -> Decision:
    log = DecisionLog(folder, "a", limits)
    log.start()
    service = VerdictService(
        Cascade(model, "7", "t"),
        log,
        load_settings({}).serving,
        hash_account=(lambda account: account[::-1]) if key else None,
    )
    decision = asyncio.run(service.decide([EVENT], Origin("shadow", mirrored=True), 10))
    service.close()
    log.close()
    return decision


def test_model_and_record_see_the_hash_and_replay_gives_the_same_verdict(tmp_path: Path) -> None:
    model = Witness()
    decision = decide(tmp_path, model)
    (record,) = read_records(next(tmp_path.iterdir()))
    assert model.seen[0].account == record.event["account"] == "bob"[::-1]
    assert record.event["context"] == {"a": None}
    assert (record.verdict, record.mirrored) == (decision.verdicts[0], True)
    assert replay([record], model) == [decision.verdicts[0]]
    assert model.seen[0] == model.seen[1]


def test_without_a_key_accounts_are_left_out_and_counted(tmp_path: Path) -> None:
    before = metrics.ACCOUNTS_DROPPED._value.get()
    model = Witness()
    decide(tmp_path, model, key=False)
    (record,) = read_records(next(tmp_path.iterdir()))
    assert model.seen[0].account is None
    assert "account" not in record.event
    assert metrics.ACCOUNTS_DROPPED._value.get() == before + 1


def test_a_verdict_that_could_not_be_recorded_says_so(tmp_path: Path) -> None:
    decision = decide(tmp_path, CapitalLetters(), LogLimits(buffered_bytes=5))
    assert decision.verdicts[0].reasons[-1] == "decision_not_recorded"
    assert list(read_records(next(tmp_path.iterdir()))) == []


class Deferring(Witness):
    """A stage `ocr` runs where it is not withheld, and finds a shout."""

    def assess(self, events: Sequence[Event]) -> list[Assessment]:
        self.seen += events
        why = current_bounds().withheld.get("ocr")
        stage = Stage("ocr", why is None, 0.9 if why is None else None, why)
        action: Action = "block" if why is None else "allow"
        return [Assessment(0.9 if why is None else 0.1, action, (), (stage,)) for _ in events]


def test_a_stage_left_for_afterwards_puts_a_second_revision_on_record(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path, "a")
    log.start()
    cascade = Cascade(Deferring(), "7", "t", StageCosts({"ocr": 110.0}, longest_share=0.4))
    service = VerdictService(cascade, log, load_settings({}).serving)
    media = [{"kind": "image", "sha256": "0" * 64, "path": "a.png"}]
    picture = parse_event({"event_id": "p", "text": "Hi", "media": media})
    urgency = Urgency("interactive", 0.08, time.monotonic() + 60)
    decision = asyncio.run(service.decide([picture], Origin("stable"), 10, urgency))
    service.close()
    log.close()
    first, second = read_records(next(tmp_path.iterdir()))
    assert first.verdict == decision.verdicts[0]
    assert (first.verdict.action, first.verdict.revision) == ("allow", 0)
    assert (second.verdict.action, second.verdict.revision) == ("block", 1)
    assert first.budget.withheld == (("ocr", "runs_afterwards:ocr"),)


def test_what_cannot_be_answered_in_time_is_refused_and_not_recorded(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path, "a")
    log.start()
    service = VerdictService(Cascade(Witness(), "7", "t"), log, load_settings({}).serving)
    late = Urgency("normal", 0.1, time.monotonic() - 1)
    with pytest.raises(Refused, match="normal request shed"):
        asyncio.run(service.decide([EVENT], Origin("stable"), 10, late))
    service.close()
    log.close()
    assert list(read_records(next(tmp_path.iterdir()))) == []

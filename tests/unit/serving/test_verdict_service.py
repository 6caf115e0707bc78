"""Accounts are hashed before anything sees them; what cannot be recorded says so."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from data_contracts.events import Event, parse_event
from data_contracts.verdicts import Assessment
from serving import metrics
from serving.cascade import Cascade, Decision
from serving.decision_log import DecisionLog, LogLimits
from serving.decision_records import read_records
from serving.replay import replay
from serving.verdict_service import Origin, VerdictService
from tests.stand_ins.capital_letters import CapitalLetters

EVENT = parse_event({"event_id": "e1", "text": "Hi", "account": "bob", "context": {"a": None}})


class Witness(CapitalLetters):
    """Remembers what it was given."""

    def __init__(self) -> None:
        self.seen: list[Event] = []

    def assess(self, events: Sequence[Event]) -> list[Assessment]:
        self.seen += events
        return super().assess(events)


def decide(
    folder: Path, model: CapitalLetters, limits: LogLimits | None = None, key: bool = True
) -> Decision:
    log = DecisionLog(folder, "a", limits)
    log.start()
    service = VerdictService(
        Cascade(model, "7", "t"), log, 1, (lambda account: account[::-1]) if key else None
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

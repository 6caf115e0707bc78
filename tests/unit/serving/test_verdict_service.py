"""Accounts are hashed before anything sees them; what cannot be recorded says so."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from data_contracts.config import Priority, load_settings
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


class Networked(Witness):
    """Its stage named `holds` holds a thread until `go_on` is set, where not withheld."""

    def __init__(self) -> None:
        super().__init__()
        self.holds = "text"
        self.begun, self.go_on = threading.Event(), threading.Event()

    def assess(self, events: Sequence[Event]) -> list[Assessment]:
        withheld = current_bounds().withheld
        stages = []
        for name in ("text", "image") if events[0].media else ("text",):
            if name == self.holds and name not in withheld:
                self.begun.set()
                assert self.go_on.wait(HOLD_SECONDS)
            stages.append(Stage(name, name not in withheld, skipped_because=withheld.get(name)))
        return [Assessment(0.1, "allow", (), tuple(stages)) for _ in events]


class Busy:
    """A service whose threads each hold a long request; a thread is believed to need 50 ms more."""

    def __init__(self, folder: Path) -> None:
        self.model, self.log = Networked(), DecisionLog(folder, "a")
        self.is_closed = False
        self.log.start()
        costs = StageCosts({"image": 13.0}, ("text",))
        settings = load_settings({"WEIR__SERVING__ADMISSION__EXPECTED_MICROSECONDS": "50000"})
        cascade = Cascade(self.model, "7", "t", costs)
        self.service = VerdictService(cascade, self.log, settings.serving)

    async def decided(
        self, event: Event, priority: Priority, *, after: Event, seconds: float = 0.04
    ) -> Decision:
        """The decision about `event` while a thread is at work on `after`."""
        first = asyncio.ensure_future(
            self.service.decide([after], Origin("stable"), 10, Urgency("normal", 60.0, NEVER))
        )
        await asyncio.to_thread(self.model.begun.wait, 10)
        urgency = Urgency(priority, seconds, time.monotonic() + seconds)
        try:
            return await self.service.decide([event], Origin("stable"), 10, urgency)
        finally:
            self.model.go_on.set()
            await first

    def close(self) -> None:
        self.service.close()
        self.log.close()
        self.is_closed = True


NEVER = float("inf")
HOLD_SECONDS = 10.0
PICTURE = parse_event(
    {"event_id": "p", "text": "Hi", "media": [
        {"kind": "image", "sha256": "0" * 64, "path": "a.png"}
    ]}
)  # fmt: skip


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Busy]:
    made = Busy(tmp_path)
    yield made
    if not made.is_closed:
        made.close()


def test_what_is_most_urgent_is_decided_without_networks_where_no_thread_has_time(
    busy: Busy, tmp_path: Path
) -> None:
    hurried = parse_event({"event_id": "urgent", "text": "Hi"})
    decision = asyncio.run(busy.decided(hurried, "interactive", after=EVENT))
    assert decision.budgets[0].withheld == (("text", "runs_afterwards:text"),)
    busy.close()
    records = [one for one in read_records(next(tmp_path.iterdir()))
               if one.verdict.event_id == "urgent"]  # fmt: skip
    assert [(one.verdict.revision, one.verdict.stages[0].ran) for one in records] == [
        (0, False), (1, True),
    ]  # fmt: skip


def test_what_is_less_urgent_is_refused_where_no_thread_has_time(busy: Busy) -> None:
    other = parse_event({"event_id": "other", "text": "Hi"})
    with pytest.raises(Refused, match="normal request shed"):
        asyncio.run(busy.decided(other, "normal", after=EVENT))


def test_no_text_waits_for_a_picture(busy: Busy) -> None:
    busy.model.holds = "image"
    within = HOLD_SECONDS / 2  # a busy machine may be slow, but the picture is not over by then
    decision = asyncio.run(busy.decided(EVENT, "normal", after=PICTURE, seconds=within))
    assert decision.verdicts[0].stages[0].ran


def test_a_picture_for_which_no_thread_has_time_is_decided_by_the_rest(busy: Busy) -> None:
    busy.model.holds = "image"
    other = PICTURE.model_copy(update={"event_id": "other"})
    decision = asyncio.run(busy.decided(other, "normal", after=PICTURE))
    assert decision.budgets[0].withheld == (("image", "runs_afterwards:image"),)

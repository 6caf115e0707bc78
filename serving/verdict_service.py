"""Between a checked request and its verdicts: pseudonyms, batches, records, revisions."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from data_contracts.config import PRIORITIES, Priority, Serving
from data_contracts.events import Event
from data_contracts.verdicts import Arm
from pipelines.feature_store.reading import FEATURES_UNAVAILABLE
from serving import metrics
from serving.afterwards import Afterwards
from serving.cascade import Asked, Cascade, Decided, Decision
from serving.decision_log import NOT_RECORDED, DecisionLog
from serving.decision_records import UnwrittenRecord, artefact_of
from serving.enrichment import NoPast, Past, missing_past, without_past
from serving.expected_work import TEXT_MILLISECONDS, ExpectedWork
from serving.lanes import Lane, MediaCounts, TextCounts, is_hurried
from serving.meter import Meter
from serving.micro_batching import BatchCounts, MicroBatcher
from serving.quick_lane import QuickLane
from serving.shedding import Refused
from serving.thread_priority import MEDIA, give_way


@dataclass(frozen=True)
class Origin:
    """Where a request came from: its arm, and whether its answer has no effect on anyone."""

    arm: Arm
    mirrored: bool = False


class Urgency(NamedTuple):
    """The class of a request, the seconds that it allows, and when they end (`time.monotonic`)."""

    priority: Priority = "normal"
    seconds: float = math.inf
    deadline: float = math.inf

    @property
    def is_in_time(self) -> bool:
        return time.monotonic() <= self.deadline


UNHURRIED = Urgency()
QUICK_CHARACTERS = 4000  # a longer text would hold up the event loop


class VerdictService:
    """Decides what the prefilter settles at once, and all else in a few threads, so that a long
    assessment never holds up the event loop. Media have threads and a queue of their own, so that
    no text waits for a picture; where that queue has no time left, an event is decided without its
    media, which are looked at afterwards.

    `hash_account` turns an account into its keyed hash before anything sees it; None where no
    key is set, then accounts are dropped and counted. `past` adds what the past says, in
    the threads that decide: an event that has one is not settled at once.
    """

    def __init__(
        self,
        cascade: Cascade,
        decision_log: DecisionLog,
        settings: Serving,
        work_of: Callable[[Event], float] | None = None,
        hash_account: Callable[[str], str] | None = None,
        past: Past | None = None,
        meter: Meter | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ):
        self.cascade = cascade
        self._log = decision_log
        self._hash_account = hash_account
        self._past = past or NoPast()
        self._meter = meter or Meter()
        self._now = now
        self._artefact = artefact_of(cascade.assessor)
        self._work_of = work_of or ExpectedWork({})
        counts = TextCounts(self._meter)
        self._texts = self._lane("assess", settings, counts)
        self._media = self._lane("assess-media", settings, MediaCounts(self._meter), MEDIA)
        shares = {name: one.share for name, one in settings.admission.classes.items()}
        self._hurried = QuickLane[Asked, tuple[Event, Decided]](
            self._hurry, settings.batching.maximum_events, shares
        )
        self._quick = QuickLane[Asked, tuple[Event, Decided]](
            self._settle, settings.batching.maximum_events, shares
        )
        for priority in settings.admission.classes:
            waiting = partial(self._waiting, priority)
            self._meter.watch(metrics.QUEUE_DEPTH.labels(priority), waiting)
        self._afterwards = Afterwards(self._revise, settings.waiting_revisions, self._meter)
        self._shares: Mapping[str, float] = {}

    def turn_away(self, urgency: Urgency) -> None:
        """Before a body is read: raises Refused where even a text would be shed."""
        self._heed_shares()
        if not self._has_quick_place(urgency.priority):
            self._texts.batcher.turn_away(urgency.priority, urgency.deadline)

    async def decide(
        self,
        events: Sequence[Event],
        origin: Origin,
        size_bytes: int,
        urgency: Urgency = UNHURRIED,
        client_left: Callable[[], Awaitable[object]] | None = None,
    ) -> Decision:
        """Verdicts for the events of one request, each recorded or marked as not recorded.

        Raises Refused where the request was shed, ClientLeft where nobody waits any more.
        """
        began = time.perf_counter()
        asked = [
            Asked(self._pseudonymous(event), origin.arm, urgency.seconds, urgency.deadline)
            for event in events
        ]
        found = await self._found(asked, urgency, client_left)
        milliseconds = round(1000 * (time.perf_counter() - began), 3)
        return self._recorded(found, origin, size_bytes, milliseconds)

    def close(self) -> None:
        """Shed what waits, finish what has begun, and run the stages that were left."""
        for lane in (self._texts, self._media):
            lane.batcher.close()
        for lane in (self._texts, self._media):
            lane.threads.shutdown(wait=True, cancel_futures=True)
        self._afterwards.close()

    async def _found(
        self,
        asked: Sequence[Asked],
        urgency: Urgency,
        client_left: Callable[[], Awaitable[object]] | None,
    ) -> Sequence[tuple[Event, Decided]]:
        """From the quick lane what it settles, and the rest from the threads."""
        priority = urgency.priority
        if any(one.event.media for one in asked):
            return await self._found_in_media(asked, urgency, client_left)
        has_place = self._has_quick_place(priority, len(asked)) and urgency.is_in_time
        if not (has_place and all(self._may_settle(one.event) for one in asked)):
            return await self._found_in_texts(asked, urgency, client_left)
        settled = await self._quick.submit(asked)
        left = [one for one, found in zip(asked, settled, strict=True) if found is None]
        if not left:
            self._meter.admitted(priority, 0.0)
        rest = iter(await self._found_in_texts(left, urgency, client_left))
        return [next(rest) if found is None else found for found in settled]

    async def _found_in_media(
        self,
        asked: Sequence[Asked],
        urgency: Urgency,
        client_left: Callable[[], Awaitable[object]] | None,
    ) -> Sequence[tuple[Event, Decided]]:
        """With media where there is time for them; else by what needs none, to be revised."""
        try:
            return await self._media.batcher.submit(
                asked, urgency.priority, urgency.deadline, client_left
            )
        except Refused:
            later = [one._replace(media_later=True) for one in asked]
            return await self._found_in_texts(later, urgency, client_left)

    async def _found_in_texts(
        self,
        asked: Sequence[Asked],
        urgency: Urgency,
        client_left: Callable[[], Awaitable[object]] | None,
    ) -> Sequence[tuple[Event, Decided]]:
        """By the threads; what is most urgent is decided at once where they have no time left."""
        try:
            return await self._texts.batcher.submit(
                asked, urgency.priority, urgency.deadline, client_left
            )
        except Refused as shed:
            refusal = shed.refusal
            if not is_hurried(refusal.priority, refusal.reason):
                raise
            if not self._may_hurry(asked, urgency):
                self._meter.shed(refusal.priority, refusal.reason)
                raise
            self._meter.admitted(urgency.priority, 0.0)
            found = await self._hurried.submit(asked)
            return [one for one in found if one is not None]

    def _may_hurry(self, asked: Sequence[Asked], urgency: Urgency) -> bool:
        has_place = self._hurried.has_place(urgency.priority, len(asked))
        is_short = all(len(one.event.text) <= QUICK_CHARACTERS for one in asked)
        return has_place and is_short and urgency.is_in_time

    def _heed_shares(self) -> None:
        """What incident response leaves each class of the waiting rooms."""
        shares = self.cascade.held().shares
        if shares != self._shares:
            self._shares = shares
            for lane in (self._quick, self._hurried):
                lane.limit(shares)
            for batched in (self._texts, self._media):
                batched.batcher.queue.limit(shares)

    def _lane(self, name: str, settings: Serving, counts: BatchCounts, nice: int = 0) -> Lane:
        threads = ThreadPoolExecutor(settings.inference_threads, name, partial(give_way, nice))
        batcher = MicroBatcher[Asked, tuple[Event, Decided]](
            self._decide, threads, settings.inference_threads, settings.admission,
            settings.batching, self._work, counts=counts,
        )  # fmt: skip
        return Lane(threads, batcher)

    def _work(self, asked: Asked) -> float:
        return TEXT_MILLISECONDS if asked.media_later else self._work_of(asked.event)

    def _waiting(self, priority: Priority) -> int:
        return sum(lane.batcher.queue.waiting(priority) for lane in (self._texts, self._media))

    def _has_quick_place(self, priority: Priority, items: int = 1) -> bool:
        """Not while more urgent requests wait for a thread: they share its core with the loop."""
        above = PRIORITIES[: PRIORITIES.index(priority)]
        if any(self._texts.batcher.queue.waiting(one) for one in above):
            return False
        return self._quick.has_place(priority, items)

    def _settle(self, asked: Sequence[Asked]) -> list[tuple[Event, Decided] | None]:
        """Runs in the event loop."""
        return [
            None if found is None else (one.event, found)
            for one, found in zip(asked, self.cascade.settled(asked), strict=True)
        ]

    def _hurry(self, asked: Sequence[Asked]) -> list[tuple[Event, Decided] | None]:
        """Runs in the event loop, without the past: there is no time to ask for it."""
        return [
            (one.event, without_past(found, self._missed(one.event)))
            for one, found in zip(asked, self.cascade.hurried(asked), strict=True)
        ]

    def _missed(self, event: Event) -> tuple[str, ...]:
        return (FEATURES_UNAVAILABLE,) if self._past.is_called_for(event) else ()

    def _may_settle(self, event: Event) -> bool:
        if len(event.text) > QUICK_CHARACTERS or self._past.is_called_for(event):
            return False
        return self.cascade.may_settle(event)

    def _decide(self, asked: Sequence[Asked]) -> list[tuple[Event, Decided]]:
        """Runs in a worker thread; acts on nothing, since it may be called again."""
        read = [self._past.enriched(one.event, one.deadline) for one in asked]
        known = [one._replace(event=found.event) for one, found in zip(asked, read, strict=True)]
        return [
            (found.event, without_past(decided, found.reasons))
            for found, decided in zip(read, self.cascade.decide_each(known), strict=True)
        ]

    def _recorded(
        self,
        found: Sequence[tuple[Event, Decided]],
        origin: Origin,
        size_bytes: int,
        milliseconds: float,
    ) -> Decision:
        now = self._now()
        records = [
            self._record(event, one, origin.mirrored, milliseconds, now) for event, one in found
        ]
        verdicts = tuple(one.verdict for _, one in found)
        budgets = tuple(one.budget for _, one in found)
        if not self._log.append(records, size_bytes):
            self._meter.degraded(NOT_RECORDED)
            verdicts = tuple(replace(one, reasons=(*one.reasons, NOT_RECORDED)) for one in verdicts)
        for event, one in found:
            if not one.budget.withheld:
                continue
            for _, why in one.budget.withheld:
                self._meter.degraded(why.partition(":")[0])
            if self.cascade.is_to_be_revised(one):
                self._afterwards.offer((event, one, origin.mirrored))
        return Decision(verdicts, milliseconds, budgets)

    def _revise(self, left: tuple[Event, Decided, bool]) -> None:
        """The stages that did not fit; the verdict that supersedes goes on record."""
        event, before, mirrored = left
        began = time.perf_counter()
        revised = self.cascade.revised(event, before)
        revised = without_past(revised, missing_past(before.budget))
        milliseconds = round(1000 * (time.perf_counter() - began), 3)
        record = self._record(event, revised, mirrored, milliseconds, self._now())
        self._log.append([record], len(event.text))

    def _record(
        self, event: Event, decided: Decided, mirrored: bool, milliseconds: float, now: datetime
    ) -> UnwrittenRecord:
        """Of an event as it was decided. Only gathers: the log's thread encodes."""
        return UnwrittenRecord(
            decided.verdict, event, now, mirrored, milliseconds, self._artefact, decided.budget,
        )  # fmt: skip

    def _pseudonymous(self, event: Event) -> Event:
        if event.account is None:
            return event
        if self._hash_account is None:
            metrics.ACCOUNTS_DROPPED.inc()
            return event.model_copy(update={"account": None})
        return event.model_copy(update={"account": self._hash_account(event.account)})

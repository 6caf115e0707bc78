"""What stands between a checked request and its verdicts: threads, pseudonyms, records."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from data_contracts.events import Event
from data_contracts.verdicts import UNBOUNDED, Arm
from serving import metrics
from serving.cascade import Cascade, Decision
from serving.decision_log import NOT_RECORDED, DecisionLog
from serving.decision_records import UnwrittenRecord, artefact_of


@dataclass(frozen=True)
class Origin:
    """Where a request came from: its arm, and whether its answer has no effect on anyone."""

    arm: Arm
    mirrored: bool = False


class VerdictService:
    """Decides in a few threads, so that a long assessment never holds up the event loop.

    `hash_account` turns an account into its keyed hash before anything sees it; None where no
    key is set, then accounts are dropped and counted.
    """

    def __init__(
        self,
        cascade: Cascade,
        decision_log: DecisionLog,
        threads: int,
        hash_account: Callable[[str], str] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ):
        self.cascade = cascade
        self._log = decision_log
        self._hash_account = hash_account
        self._now = now
        self._artefact = artefact_of(cascade.assessor)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="assess")

    async def decide(self, events: Sequence[Event], origin: Origin, size_bytes: int) -> Decision:
        """Verdicts for the events of one request, each recorded or marked as not recorded."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._threads, self._decide_and_record, events, origin, size_bytes
        )

    def close(self) -> None:
        """Drop what has not begun, and stop the threads when they are done."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _decide_and_record(
        self, events: Sequence[Event], origin: Origin, size_bytes: int
    ) -> Decision:
        known = [self._pseudonymous(event) for event in events]
        decision = self.cascade.decide(known, origin.arm)
        records = self._records(known, decision, origin)
        return decision if self._log.append(records, size_bytes) else _unrecorded(decision)

    def _records(
        self, events: Sequence[Event], decision: Decision, origin: Origin
    ) -> list[UnwrittenRecord]:
        """Of events as they were decided. Only gathers: the log's thread encodes."""
        decided_at = self._now().isoformat()
        budgets = decision.budgets or (UNBOUNDED,) * len(events)
        return [
            UnwrittenRecord(
                verdict, event, decided_at, origin.mirrored, decision.milliseconds,
                self._artefact, budget,
            )
            for event, verdict, budget in zip(events, decision.verdicts, budgets, strict=True)
        ]  # fmt: skip

    def _pseudonymous(self, event: Event) -> Event:
        if event.account is None:
            return event
        if self._hash_account is None:
            metrics.ACCOUNTS_DROPPED.inc()
            return event.model_copy(update={"account": None})
        return event.model_copy(update={"account": self._hash_account(event.account)})


def _unrecorded(decision: Decision) -> Decision:
    marked = (replace(one, reasons=(*one.reasons, NOT_RECORDED)) for one in decision.verdicts)
    return replace(decision, verdicts=tuple(marked))

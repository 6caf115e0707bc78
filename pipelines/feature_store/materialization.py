"""`materialize`: days of the lake's events and actions, folded into the online store.

A day is folded once, in order of time. How far it is stands in the store and is kept together
with the states that it led to, all or nothing: a run that was stopped goes on where it was, and
one over days that are done changes nothing. Folding cannot be undone, so a day that changed after
it was folded, or comes before one that was, needs an empty store.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from data_contracts.actions import Action
from data_contracts.config import Settings
from data_contracts.errors import BadInput, NothingToDo, WeirError
from data_contracts.events import Event
from pipelines.action_log import actions_of_day
from pipelines.days import is_day, is_unfinished
from pipelines.enrichment import Enrichment, bare, in_order_of_time
from pipelines.feature_store.freshness import newest_event, note_newest
from pipelines.feature_store.offline import days_of_log, events_of_day
from pipelines.feature_store.opening import enrichment_over, open_states
from pipelines.feature_store.states import BatchedStates, StateStore
from pipelines.lake import only_writer

FOLDED_AT_ONCE = 512  # events and actions between two marks of progress
TIMEOUT_SECONDS = 10.0  # of one write of a part: nobody waits for a verdict here
LAST_DAY = "materialized"
LOCK = "materialize.lock"  # of one run at a time, in the home
Fresh = Callable[[StateStore], Enrichment]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Progress:
    """Of one day: how many of its events and actions are folded, and of which files."""

    day: str
    folded: int
    done: bool
    digest: str


@dataclass(frozen=True)
class Count:
    """What one run folded."""

    events: int = 0
    actions: int = 0


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """The step: `from_day` and `to_day` are days or None, the store is the configuration's."""
    from pipelines.features.media.base import MediaLimits
    from pipelines.features.media.reader import BoundedMediaReader

    with (
        only_writer(settings.home, LOCK),
        open_states(settings.feature_store, settings.home, TIMEOUT_SECONDS) as states,
        BoundedMediaReader(settings.media_root, MediaLimits()) as media,
    ):
        days = days_to_fold(settings.lake, states, arguments.from_day, arguments.to_day)
        count = materialize(
            settings.lake, states, lambda over: enrichment_over(over, media), days, _say
        )
        newest = newest_event(states)
    return {
        "days": days, **asdict(count), "engine": settings.feature_store.engine,
        "newest": None if newest is None else newest.isoformat(),
    }  # fmt: skip


def days_to_fold(
    lake: Path, states: StateStore, from_day: str | None, to_day: str | None
) -> list[str]:
    """The days of the lake that are not folded yet, in order, both ends included.

    None begins where the last run ended, and ends with the lake, less a day that is not over: a day
    is folded once. Raises NothingToDo where all are
    folded; BadInput for a name that is no day, a folded day whose files are others now, and one
    that was not folded though a later one was.
    """
    for name, day in (("--from-day", from_day), ("--to-day", to_day)):
        if day is not None and not is_day(day):
            raise BadInput(f"{name} {day!r} is no day; write YYYY-MM-DD")
    last = _last_day(states)
    first = from_day or last or ""
    wanted = [day for day in days_of_log(lake) if first <= day <= (to_day or "9999-12-31")]
    wanted = [day for day in wanted if day == to_day or not is_unfinished(day)]
    pending = [day for day in wanted if not _is_folded(lake, states, day)]
    if pending and last is not None and pending[0] < last:
        raise BadInput(
            f"day {pending[0]} was not folded, and {last} was: states are folded in order of time; "
            "empty the online store and materialize from the first day, or begin later"
        )
    if not pending:
        raise NothingToDo(f"no day is pending: the lake has {len(wanted)} in this range, all done")
    return pending


def materialize(
    lake: Path, states: BatchedStates, fresh: Fresh, days: Sequence[str], say: Say
) -> Count:
    """Fold these days, which must be in order, and say each one that is done.

    Raises WeirError where a source of the past fails: nothing of that part is kept.
    """
    count = Count()
    for day in days:
        folded = _Folding(states, fresh).day(lake, day)
        say(f"{day}: {folded.events} events and {folded.actions} actions")
        count = Count(count.events + folded.events, count.actions + folded.actions)
    return count


class _Pending:
    """A `StateStore` whose writes are kept together, or not at all."""

    def __init__(self, states: BatchedStates) -> None:
        self._states = states
        self._known: dict[str, bytes | None] = {}
        self._written: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        if key not in self._known:
            self._known[key] = self._states.get(key)
        return self._known[key]

    def put(self, key: str, state: bytes) -> None:
        self._known[key] = self._written[key] = state

    def keep(self) -> None:
        self._states.put_many(self._written)
        self._known, self._written = {}, {}


class _Folding:
    """Tells an enrichment over the store of what happened, part by part."""

    def __init__(self, states: BatchedStates, fresh: Fresh) -> None:
        self._pending = _Pending(states)
        self._enrichment = fresh(self._pending)

    def day(self, lake: Path, day: str) -> Count:
        known = _progress(self._pending, day)
        progress = known or Progress(day, 0, False, digest_of(lake, day))
        happened = islice(_happened(lake, day), progress.folded, None)
        count = Count()
        while part := list(islice(happened, FOLDED_AT_ONCE)):
            self._fold(part)
            progress = replace(progress, folded=progress.folded + len(part))
            self._keep(progress)
            events = sum(isinstance(one, Event) for one in part)
            count = Count(count.events + events, count.actions + len(part) - events)
        self._keep(replace(progress, done=True))
        return count

    def _fold(self, part: Sequence[Event | Action]) -> None:
        for one in part:
            if isinstance(one, Action):
                self._enrichment.observe_action(one)
            else:
                self._enrichment.observe(one)
        if self._enrichment.failures:
            raise WeirError(
                f"folding failed ({dict(self._enrichment.failures)}): nothing of this part is "
                "kept; see that the store runs and has room, then run the step again"
            )
        note_newest(self._pending, max(_time(one) for one in part))

    def _keep(self, progress: Progress) -> None:
        self._pending.put(_key(progress.day), orjson.dumps(asdict(progress)))
        self._pending.put(LAST_DAY, progress.day.encode())
        self._pending.keep()


def digest_of(lake: Path, day: str) -> str:
    """SHA-256 over the day's files of events and actions, in the order of their paths."""
    files = [
        path
        for table in ("events", "actions")
        for path in sorted((lake / table / f"day={day}").glob("*.parquet"))
    ]
    found = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()


def _happened(lake: Path, day: str) -> Iterator[Event | Action]:
    return in_order_of_time(map(bare, events_of_day(lake, day)), actions_of_day(lake, day))


def _is_folded(lake: Path, states: StateStore, day: str) -> bool:
    progress = _progress(states, day)
    if progress is not None and progress.digest != digest_of(lake, day):
        raise BadInput(
            f"day {day} changed after {progress.folded} of its events and actions were folded; "
            "empty the online store and materialize from the first day"
        )
    return progress is not None and progress.done


def _progress(states: StateStore, day: str) -> Progress | None:
    packed = states.get(_key(day))
    return None if packed is None else Progress(**orjson.loads(packed))


def _last_day(states: StateStore) -> str | None:
    packed = states.get(LAST_DAY)
    return None if packed is None else packed.decode()


def _key(day: str) -> str:
    return f"{LAST_DAY}:{day}"


def _time(happened: Event | Action) -> datetime:
    at = happened.at if isinstance(happened, Action) else happened.occurred_at
    if at is None:
        raise ValueError("an event of the lake has no time; ingest its day again")
    return at


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)

"""The flood breaker: one bad hash must not block a crowd.

A known-bad hash acts on whoever posts what matches it. Where a match is right, the accounts are
a campaign's: few, or young. Where established accounts take to it in numbers, the hash is more
likely wrong than the crowd. Its breaker then opens: its matches go to review and act no more,
until a reviewer confirms or removes the hash. How far the matches are tells nothing: copies of a
picture at half its size are as far from it (26 of 256 bits) as a look-alike would be.

The states are a table, every transition a row that stays, so a state can be asked as of any
time. Circuit breakers: M. Nygard, "Release It!", 2nd edition, 2018, chapter 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    and_,
    delete,
    func,
    insert,
    select,
    update,
)

from pipelines.hash_bank import HashBank, open_hash_bank
from pipelines.state import UtcTime, create_tables, one_writer_at_a_time, open_state, reading

State = Literal["closed", "open", "confirmed", "removed"]
Step = Literal["flood", "confirm", "doubt", "remove"]
TRANSITIONS: Mapping[tuple[State, Step], State] = {
    ("closed", "flood"): "open",
    ("closed", "confirm"): "confirmed",
    ("closed", "doubt"): "open",
    ("closed", "remove"): "removed",
    ("open", "confirm"): "confirmed",
    ("open", "remove"): "removed",
    ("confirmed", "doubt"): "open",  # an appeal was right: look again
    ("confirmed", "remove"): "removed",
    ("removed", "confirm"): "confirmed",  # by whoever puts it back into the bank
}
ACTS: frozenset[State] = frozenset({"closed", "confirmed"})
ITSELF = "flood breaker"

METADATA = MetaData()
STEPS = Table(
    "flood_breaker_steps",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("value", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", String(255), nullable=False),
    Column("by", String(128), nullable=False),
    Column("at", UtcTime, nullable=False),
    Index("flood_breaker_steps_of", "kind", "value", "id"),
)
CROWD = Table(
    "flood_breaker_crowd",
    METADATA,
    Column("kind", String(32), primary_key=True),
    Column("value", String(64), primary_key=True),
    Column("account", String(256), primary_key=True),
    Column("is_established", Boolean, nullable=False),
    Column("at", UtcTime, nullable=False),
    Index("flood_breaker_crowd_at", "kind", "value", "at"),
)


@dataclass(frozen=True)
class Limits:
    """When a hash has met a crowd: that many established accounts, at least `share` of all.

    Policy, not science: a hijacked or bought account is established too, so the share guards
    against a campaign that owns a few; the number bounds how many are wronged before it opens.
    """

    established_accounts: int = 10
    share: float = 0.5
    window: timedelta = timedelta(hours=24)
    established_after: timedelta = timedelta(days=90)
    crowd: int = 1000  # the latest accounts that are remembered of one hash


class Entry(NamedTuple):
    """A hash of the bank."""

    kind: str
    value: str


@dataclass(frozen=True)
class Sighting:
    """`account` posted what matches `entry`, at `at`.

    `age` is the account's at that time; None where it is unknown, which counts as young.
    """

    entry: Entry
    account: str
    age: timedelta | None
    at: datetime


@dataclass(frozen=True)
class Recheck:
    """An open entry, for a reviewer: why, and since when."""

    entry: Entry
    reason: str
    since: datetime


class Crowd(NamedTuple):
    """Distinct accounts within the window: all, and the established."""

    accounts: int
    established: int


def flood(crowd: Crowd, limits: Limits) -> str | None:
    """Why this crowd is a flood; None where it is none.

    >>> flood(Crowd(accounts=500, established=12), Limits())
    >>> flood(Crowd(accounts=12, established=11), Limits())
    'matched 11 established accounts of 12'
    """
    least = limits.share * crowd.accounts
    if crowd.established >= max(limits.established_accounts, least):
        return f"matched {crowd.established} established accounts of {crowd.accounts}"
    return None


def open_flood_breaker(url: str, limits: Limits | None = None) -> FloodBreaker:
    """The breaker and its bank in the state database at `url`; missing tables are created."""
    bank, engine = open_hash_bank(url), open_state(url)
    create_tables(engine, METADATA)
    return FloodBreaker(engine, bank, limits or Limits())


class FloodBreaker:
    """One breaker for each hash, in a state database whose tables exist (`open_flood_breaker`).

    Every call may be repeated: an account counts once, a step that was taken is not taken again.
    """

    def __init__(self, engine: Engine, bank: HashBank, limits: Limits) -> None:
        self._engine = engine
        self._bank = bank
        self._limits = limits

    def notice(self, sighting: Sighting) -> State:
        """Count a match, open the breaker where it makes a crowd, and give the state after it."""
        entry, limits = sighting.entry, self._limits
        known = self.state(entry)
        if known != "closed":
            return known  # without waiting for a writer: a crowd may be large
        with self._engine.begin() as connection:
            one_writer_at_a_time(connection, f"flood_breaker:{entry.value}")
            state = _state(connection, entry)
            if state != "closed":
                return state
            _remember(connection, sighting, limits)
            reason = flood(_crowd(connection, sighting, limits), limits)
            if reason is None:
                return state
            return _take(connection, entry, "flood", reason, ITSELF, sighting.at)

    def state(self, entry: Entry, as_of: datetime | None = None) -> State:
        """The state now, or as it was when something happened at `as_of`: by steps before it."""
        with reading(self._engine) as connection:
            return _state(connection, entry, as_of)

    def acts(self, entry: Entry, as_of: datetime | None = None) -> bool:
        """Whether a match of the hash alone may act; where not, it goes to review."""
        return self.state(entry, as_of) in ACTS

    def rechecks(self) -> list[Recheck]:
        """The open entries, the oldest first."""
        latest = select(func.max(STEPS.c.id)).group_by(STEPS.c.kind, STEPS.c.value)
        waiting = select(STEPS).where(STEPS.c.id.in_(latest), STEPS.c.state == "open")
        with reading(self._engine) as connection:
            rows = connection.execute(waiting.order_by(STEPS.c.id)).mappings().all()
        return [Recheck(Entry(r["kind"], r["value"]), r["reason"], r["at"]) for r in rows]

    def confirm(self, entry: Entry, by: str, at: datetime, reason: str = "") -> State:
        """The hash is bad indeed: it acts again, and no crowd opens it any more."""
        return self._decide(entry, "confirm", reason or "confirmed as bad", by, at)

    def doubt(self, entry: Entry, by: str, at: datetime, reason: str) -> State:
        """Somebody has reason to look at it (again): the breaker opens."""
        return self._decide(entry, "doubt", reason, by, at)

    def remove(self, entry: Entry, by: str, at: datetime, reason: str = "") -> State:
        """The hash was wrong: it is taken out of the bank."""
        state = self._decide(entry, "remove", reason or "removed as wrong", by, at)
        self._bank.remove(entry.kind, entry.value, by, at)
        return state

    def _decide(self, entry: Entry, step: Step, reason: str, by: str, at: datetime) -> State:
        with self._engine.begin() as connection:
            one_writer_at_a_time(connection, f"flood_breaker:{entry.value}")
            return _take(connection, entry, step, reason, by, at)


def _take(
    connection: Connection, entry: Entry, step: Step, reason: str, by: str, at: datetime
) -> State:
    """ValueError for a step that the state does not know; none where it led here already."""
    before = _state(connection, entry)
    after = TRANSITIONS.get((before, step))
    if after is None:
        if before in {led for (_, taken), led in TRANSITIONS.items() if taken == step}:
            return before
        raise ValueError(
            f"{entry.kind} {entry.value} is {before}, from where {step} is no step; "
            "confirm it first"
        )
    row = {"state": after, "reason": reason, "by": by, "at": at}
    connection.execute(insert(STEPS).values(kind=entry.kind, value=entry.value, **row))
    connection.execute(delete(CROWD).where(_of(CROWD, entry)))
    return after


def _state(connection: Connection, entry: Entry, as_of: datetime | None = None) -> State:
    steps = select(STEPS.c.state).where(_of(STEPS, entry)).order_by(STEPS.c.id.desc()).limit(1)
    if as_of is not None:
        steps = steps.where(STEPS.c.at < as_of)
    state: State | None = connection.execute(steps).scalar()
    return state or "closed"


def _remember(connection: Connection, sighting: Sighting, limits: Limits) -> None:
    """One row an account, of its latest match; the rows stay few."""
    where = and_(_of(CROWD, sighting.entry), CROWD.c.account == sighting.account)
    row = {
        "is_established": sighting.age is not None and sighting.age >= limits.established_after,
        "at": sighting.at,
    }
    if connection.execute(update(CROWD).where(where).values(**row)).rowcount == 0:
        key = {**sighting.entry._asdict(), "account": sighting.account}
        connection.execute(insert(CROWD).values(**key, **row))
        _forget(connection, sighting, limits)


def _forget(connection: Connection, sighting: Sighting, limits: Limits) -> None:
    """Of the hash's crowd, all before the window and all but the latest `limits.crowd`."""
    ours = _of(CROWD, sighting.entry)
    latest = select(CROWD.c.at).where(ours).order_by(CROWD.c.at.desc())
    beyond = connection.execute(latest.offset(limits.crowd).limit(1)).scalar()
    oldest = sighting.at - limits.window
    bound = oldest if beyond is None else max(oldest, beyond)
    connection.execute(delete(CROWD).where(ours, CROWD.c.at <= bound))


def _crowd(connection: Connection, sighting: Sighting, limits: Limits) -> Crowd:
    inside = and_(_of(CROWD, sighting.entry), CROWD.c.at > sighting.at - limits.window)
    counts = select(func.count(), func.count().filter(CROWD.c.is_established))
    accounts, established = connection.execute(counts.where(inside)).one()
    return Crowd(accounts, established)


def _of(table: Table, entry: Entry) -> ColumnElement[bool]:
    return and_(table.c.kind == entry.kind, table.c.value == entry.value)

"""The appeals store: who was acted on asks for a person, and a person decides.

One appeal a verdict and account. Every step is taken from where the appeal stands, in a transaction
with its row of the audit trail and with the effects that it calls for (`serving.appeals.effects`
carries them out): what was decided is never lost, and never decided twice. What users write stays
in the store's `statement`; the trail has its SHA-256.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any, Literal, cast

import orjson
from sqlalchemy import Connection, Engine, RowMapping, func, insert, select, update

from pipelines import audit_trail
from pipelines.labelling.appeal_records import (
    Appeal,
    AppealLimits,
    AppealRefused,
    Contested,
)
from pipelines.labelling.appeal_tables import (
    APPEAL_TRANSITIONS,
    APPEALS,
    CLOSED,
    EFFECTS,
    METADATA,
    PENDING_EFFECTS,
    AppealState,
    AppealStep,
    Effect,
    Origin,
)
from pipelines.state import create_tables, one_writer_at_a_time, reading

DAY = timedelta(days=1)
LONGEST_REASON = 500  # characters of a reviewer's reason
MOST_LISTED = 500
ACCOUNT_SHOWN = 12  # characters of the keyed hash, in the audit trail
Decision = Literal["uphold", "overturn"]
Duty = tuple[Appeal, Effect]


class AppealStore:
    """Appeals behind the few steps that there are; `now` is always given, aware."""

    def __init__(self, engine: Engine, limits: AppealLimits) -> None:
        self._engine = engine
        self._limits = limits

    def prepare(self) -> None:
        """Create the tables where they are missing."""
        create_tables(self._engine, METADATA)
        audit_trail.prepare(self._engine)

    def submit(self, contested: Contested, statement: str, now: datetime) -> tuple[Appeal, bool]:
        """The account's appeal, and whether it is new: asking again changes nothing.

        Raises AppealRefused: nothing was enforced, too late, or too many of this account.
        """
        self._check_contestable(contested, now)
        with self._engine.begin() as connection:
            one_writer_at_a_time(connection, f"appeals:{contested.account}")
            known = _find(connection, contested.appeal_id)
            if known is not None:
                return known, False
            self._check_rate(connection, contested.account, now)
            return self._insert(connection, contested, statement, "account", now), True

    def withdraw(self, appeal_id: str, account: str, now: datetime) -> Appeal:
        """Its account takes it back, before it is decided. Raises AppealRefused."""
        with self._engine.begin() as connection:
            appeal = _held_row(connection, appeal_id)
            if appeal.contested.account != account:
                raise _unknown(appeal_id)
            if appeal.state == "withdrawn":
                return appeal
            return _step(connection, appeal, "withdraw", _shown(account), "withdrawn", now)

    def take(self, appeal_id: str, reviewer: str, now: datetime) -> Appeal:
        """`reviewer` holds it until the lease ends; again for the same one changes nothing."""
        with self._engine.begin() as connection:
            appeal = _free(connection, _held_row(connection, appeal_id), now)
            if appeal.state == "under_review" and appeal.reviewer == reviewer:
                return appeal
            held = {"reviewer": reviewer, "lease_expires_at": now + self._limits.lease}
            return _step(connection, appeal, "take", reviewer, "", now, **held)

    def release(self, appeal_id: str, reviewer: str, now: datetime) -> Appeal:
        """Give it back undecided."""
        with self._engine.begin() as connection:
            appeal = _held_by(_held_row(connection, appeal_id), reviewer, now)
            return _step(connection, appeal, "release", reviewer, "", now, **_NOBODY)

    def decide(
        self, appeal_id: str, decision: Decision, reviewer: str, why: str, now: datetime
    ) -> Appeal:
        """For good; `why` is told to the account. The same decision again changes nothing.

        Raises AppealRefused where `reviewer` does not hold it or it was decided otherwise.
        """
        if not 0 < len(why.strip()) <= LONGEST_REASON:
            raise ValueError(f"why has {len(why.strip())} characters; give 1 to {LONGEST_REASON}")
        with self._engine.begin() as connection:
            appeal = _held_row(connection, appeal_id)
            said = APPEAL_TRANSITIONS["under_review", decision]
            if (appeal.state, appeal.reviewer) == (said, reviewer):
                return appeal
            appeal = _held_by(appeal, reviewer, now)
            return _step(connection, appeal, decision, reviewer, why.strip(), now)

    def grant(self, contested: Contested, by: str, why: str, now: datetime) -> Appeal:
        """A remedy overturns what nobody is looking at; the appeal as it then stands.

        Without an appeal of the account one is opened on its behalf. What a person decided, holds
        or took back stays as it is. Again changes nothing.
        """
        with self._engine.begin() as connection:
            one_writer_at_a_time(connection, f"appeals:{contested.account}")
            appeal = _find(connection, contested.appeal_id)
            if appeal is None:
                appeal = self._insert(connection, contested, "", "remedy", now)
            appeal = _free(connection, appeal, now)
            if appeal.state != "submitted":
                return appeal
            return _step(connection, appeal, "grant", by, why, now, reviewer=by)

    def find(self, appeal_id: str) -> Appeal | None:
        with reading(self._engine) as connection:
            return _find(connection, appeal_id)

    def of_events(self, event_ids: Sequence[str]) -> list[Appeal]:
        """Every appeal about these events."""
        return self._listed(APPEALS.c.event_id.in_(event_ids))

    def decided_by_people(self, event_ids: Sequence[str]) -> dict[str, AppealState]:
        """Of these events, those whose appeal a person upheld or overturned."""
        decided = self._listed(APPEALS.c.event_id.in_(event_ids), *_BY_PEOPLE)
        return {one.contested.event_id: one.state for one in decided}

    def in_state(self, state: AppealState, limit: int = MOST_LISTED) -> list[Appeal]:
        """The first by when they are due."""
        return self._listed(APPEALS.c.state == state, limit=min(limit, MOST_LISTED))

    def closed_since(self, since: datetime) -> list[Appeal]:
        """Upheld and overturned by people since then: what success is counted from."""
        return self._listed(APPEALS.c.closed_at >= since, *_BY_PEOPLE)

    def overdue(self, now: datetime) -> int:
        """How many wait for longer than they should."""
        query = select(func.count()).where(
            APPEALS.c.state.in_(("submitted", "under_review")), APPEALS.c.due_at < now
        )
        with reading(self._engine) as connection:
            return int(connection.scalar(query) or 0)

    def duties(self, limit: int = MOST_LISTED) -> list[Duty]:
        """Effects that were decided and not carried out yet, oldest decisions first."""
        query = (
            select(APPEALS, PENDING_EFFECTS.c.effect)
            .join_from(PENDING_EFFECTS, APPEALS)
            .where(PENDING_EFFECTS.c.done_at.is_(None))
            .order_by(APPEALS.c.closed_at, APPEALS.c.id, PENDING_EFFECTS.c.effect)
            .limit(limit)
        )
        with reading(self._engine) as connection:
            rows = connection.execute(query).mappings().all()
        return [(_appeal(row), cast("Effect", row["effect"])) for row in rows]

    def place(self, appeal: Appeal, day: str) -> None:
        """The lake has its event on that day: there its label belongs."""
        with self._engine.begin() as connection:
            connection.execute(update(APPEALS).where(APPEALS.c.id == appeal.id).values(day=day))

    def fulfil(self, appeal: Appeal, effect: Effect, outcome: str, now: datetime) -> None:
        """The effect is carried out; noted once."""
        with self._engine.begin() as connection:
            done = connection.execute(
                update(PENDING_EFFECTS)
                .where(PENDING_EFFECTS.c.appeal == appeal.id, PENDING_EFFECTS.c.effect == effect)
                .where(PENDING_EFFECTS.c.done_at.is_(None))
                .values(done_at=now, outcome=outcome)
            )
            if done.rowcount:
                _record(connection, appeal, "weir", f"{effect}: {outcome}", now)

    def effects(self, appeal_id: str) -> dict[str, str]:
        """What became of the decision: effect and outcome, empty while it is pending."""
        query = select(PENDING_EFFECTS).where(PENDING_EFFECTS.c.appeal == appeal_id)
        with reading(self._engine) as connection:
            rows = connection.execute(query).mappings().all()
        return {row["effect"]: row["outcome"] if row["done_at"] else "" for row in rows}

    def _listed(self, *where: Any, limit: int | None = None) -> list[Appeal]:
        query = select(APPEALS).where(*where).order_by(APPEALS.c.due_at, APPEALS.c.id).limit(limit)
        with reading(self._engine) as connection:
            return [_appeal(row) for row in connection.execute(query).mappings()]

    def _check_contestable(self, contested: Contested, now: datetime) -> None:
        if contested.action == "allow":
            raise AppealRefused(
                "state", f"event_id = {contested.event_id!r}: nothing was enforced on it (action "
                "allow); there is nothing to appeal",
            )  # fmt: skip
        if now - contested.decided_at > self._limits.window:
            raise AppealRefused(
                "too_late", f"event_id = {contested.event_id!r}: decided at "
                f"{contested.decided_at:%Y-%m-%d}, more than {self._limits.window.days} days ago; "
                "write to the platform's support",
            )  # fmt: skip

    def _check_rate(self, connection: Connection, account: str, now: datetime) -> None:
        allowed = self._limits.per_account_per_day
        newest = connection.scalars(
            select(APPEALS.c.submitted_at)
            .where(APPEALS.c.account == account, APPEALS.c.origin == "account")
            .where(APPEALS.c.submitted_at > now - DAY)
            .order_by(APPEALS.c.submitted_at.desc())
            .limit(allowed)
        ).all()
        if len(newest) == allowed:
            raise AppealRefused(
                "too_many", f"{allowed} appeals of this account within 24 hours are the most; "
                "ask again later", newest[-1] + DAY - now,
            )  # fmt: skip

    def _insert(
        self,
        connection: Connection,
        contested: Contested,
        statement: str,
        origin: Origin,
        now: datetime,
    ) -> Appeal:
        row = {one.name: getattr(contested, one.name) for one in fields(contested)}
        row |= {"reasons": list(contested.reasons), "id": contested.appeal_id, "state": "submitted"}
        row |= {"statement": statement, "origin": origin, "submitted_at": now}
        connection.execute(insert(APPEALS).values(row | {"due_at": now + self._limits.review}))
        appeal = _held_row(connection, contested.appeal_id)
        who = _shown(contested.account) if origin == "account" else "weir"
        _record(connection, appeal, who, "submitted", now)
        return appeal


_NOBODY: dict[str, object] = {"reviewer": None, "lease_expires_at": None}
_BY_PEOPLE = (
    APPEALS.c.state.in_(("upheld", "overturned")),
    APPEALS.c.id.in_(select(PENDING_EFFECTS.c.appeal)),  # a remedy's grant has no effects
)


def _free(connection: Connection, appeal: Appeal, now: datetime) -> Appeal:
    """The appeal, taken back from a reviewer whose lease is over."""
    expires = appeal.lease_expires_at
    if appeal.state != "under_review" or expires is None or now <= expires:
        return appeal
    return _step(connection, appeal, "release", "weir", "", now, **_NOBODY)


def _held_by(appeal: Appeal, reviewer: str, now: datetime) -> Appeal:
    if appeal.state != "under_review":
        remedy = "take it first" if appeal.state == "submitted" else "nothing is left to do"
        raise AppealRefused("state", f"appeal {appeal.id} is {appeal.state}; {remedy}")
    expires = appeal.lease_expires_at
    if appeal.reviewer != reviewer or (expires is not None and now > expires):
        raise AppealRefused(
            "held", f"appeal {appeal.id} is not held by {reviewer} (or no longer); take it again"
        )
    return appeal


def _step(
    connection: Connection,
    appeal: Appeal,
    step: AppealStep,
    who: str,
    why: str,
    now: datetime,
    **values: object,
) -> Appeal:
    """Move it by APPEAL_TRANSITIONS, with the trail's row and the effects to come."""
    after = APPEAL_TRANSITIONS.get((appeal.state, step))
    if after is None:
        held = f" by {appeal.reviewer}" if appeal.state == "under_review" else ""
        raise AppealRefused(
            "held" if held else "state",
            f"appeal {appeal.id} is {appeal.state}{held}, and cannot {step}; choose another",
        )
    if after in CLOSED:
        values |= {"closed_at": now, "why": why, "lease_expires_at": None}
    moved = connection.execute(
        update(APPEALS)
        .where(APPEALS.c.id == appeal.id, APPEALS.c.state == appeal.state)
        .values(state=after, **values)
    )
    if moved.rowcount != 1:
        raise AppealRefused("state", f"appeal {appeal.id} moved meanwhile; read it again")
    duties = [{"appeal": appeal.id, "effect": effect} for effect in EFFECTS.get(step, ())]
    if duties:
        connection.execute(insert(PENDING_EFFECTS), duties)
    _record(connection, appeal, who, f"{appeal.state} → {after}", now, why)
    return _held_row(connection, appeal.id)


def _held_row(connection: Connection, appeal_id: str) -> Appeal:
    """The appeal, locked until the transaction ends. Raises AppealRefused where there is none."""
    query = select(APPEALS).where(APPEALS.c.id == appeal_id).with_for_update()
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise _unknown(appeal_id)
    return _appeal(row)


def _find(connection: Connection, appeal_id: str) -> Appeal | None:
    row = connection.execute(select(APPEALS).where(APPEALS.c.id == appeal_id)).mappings().first()
    return None if row is None else _appeal(row)


def _unknown(appeal_id: str) -> AppealRefused:
    return AppealRefused("unknown", f"appeal {appeal_id[:40]!r} is not known; check its id")


def _appeal(row: RowMapping) -> Appeal:
    about = {one.name: row[one.name] for one in fields(Contested)}
    contested = Contested(**about | {"reasons": tuple(row["reasons"])})
    own = {one.name: row[one.name] for one in fields(Appeal) if one.name != "contested"}
    return Appeal(contested=contested, **own)


def _record(
    connection: Connection, appeal: Appeal, who: str, what: str, now: datetime, why: str = ""
) -> None:
    """Evidence: SHA-256 of what the account wrote and why it was decided so."""
    evidence = hashlib.sha256(orjson.dumps([appeal.statement, why])).hexdigest()
    subject = f"appeal {appeal.id} of event {appeal.contested.event_id}"
    audit_trail.append(connection, who, f"appeal: {what}", subject, evidence, now)


def _shown(account: str) -> str:
    return f"account {account[:ACCOUNT_SHOWN]}"

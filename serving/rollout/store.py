"""Durable rollout state: where each rollout is, how it came there, and who acts on it.

Four tables in the state database: `rollouts` (one row each, the phase it is in),
`rollout_transitions` (append-only, with reasons and measurements), `rollout_measurements` (what
the judge said on the way there), `rollout_stable` (the champion as it stands in traffic). Writes
of the controller name the phase that they leave, and check in the same transaction that their
writer still leads. Starts, requests and transitions stand in the audit trail, written with them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, Protocol, cast

import orjson
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    select,
)

from data_contracts.config import RolloutStep
from data_contracts.errors import BadInput, WeirError
from pipelines import audit_trail
from pipelines.state import UtcTime, create_tables, one_writer_at_a_time, reading
from serving.rollout.analysis import Analysis
from serving.rollout.phases import TERMINAL, Phase, Request, Rollout, Stable, Transition
from serving.rollout.targets.base import Counters, Deployment

METADATA = MetaData()
ROLLOUTS = Table(
    "rollouts",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("version", String, nullable=False),
    Column("model_uri", String, nullable=False),
    Column("canary_slot", String, nullable=False),
    Column("baseline_slot", String, nullable=False),
    Column("steps", JSON, nullable=False),
    Column("first", Boolean, nullable=False),
    Column("phase", String, nullable=False),
    Column("step", Integer, nullable=False),
    Column("entered_at", UtcTime, nullable=False),
    Column("applied_at", UtcTime),
    Column("request", String),
    Column("restarts", Integer, nullable=False),
    Column("reason", String, nullable=False),
    Column("counted_requests", Integer, nullable=False),
    Column("counted_errors", Integer, nullable=False),
)
TRANSITIONS = Table(
    "rollout_transitions",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("rollout_id", Integer, nullable=False, index=True),
    Column("at", UtcTime, nullable=False),
    Column("phase", String, nullable=False),  # the one that was left
    Column("weight", Integer, nullable=False),
    Column("mirror", Boolean, nullable=False),
    Column("seconds", JSON, nullable=False),
    Column("to_phase", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("analysis", JSON, nullable=False),
)
MEASUREMENTS = Table(
    "rollout_measurements",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("rollout_id", Integer, nullable=False, index=True),
    Column("at", UtcTime, nullable=False),
    Column("phase", String, nullable=False),
    Column("weight", Integer, nullable=False),
    Column("analysis", JSON, nullable=False),
)
STABLE = Table(
    "rollout_stable",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("slot", String, nullable=False),
    Column("model_uri", String, nullable=False),
    Column("version", String, nullable=False),
    Column("since", UtcTime, nullable=False),
)
_ONLY = 1
WEIR = "weir"  # who moves a rollout on, unless a person asked for it


class Clock(Protocol):
    def __call__(self) -> datetime: ...


class Fence(Protocol):
    """Raises, inside the transaction of a write, when the writer leads no more."""

    def __call__(self, connection: Connection) -> None: ...


def utc_now() -> datetime:
    return datetime.now(UTC)


class RolloutStore:
    """Rollouts and the stable model, behind the few questions and writes that there are."""

    def __init__(self, engine: Engine, clock: Clock = utc_now) -> None:
        self._engine = engine
        self._clock = clock

    def prepare(self) -> None:
        """Create the tables where they are missing."""
        create_tables(self._engine, METADATA)
        audit_trail.prepare(self._engine)

    def start(
        self,
        model: Deployment,
        steps: Sequence[RolloutStep],
        slots: Sequence[str],
        champion: Deployment | None = None,
    ) -> Rollout:
        """A new rollout, or the one under way for the same version.

        `champion` is the registry's: it becomes the stable model where the store knows none, so
        that nothing goes straight to full beside a champion. Raises BadInput while another
        version is being rolled out.
        """
        with self._engine.begin() as connection:
            one_writer_at_a_time(connection, "rollout")
            active = _active(connection)
            if active is not None and active.version == model.version:
                return active
            if active is not None:
                raise BadInput(
                    f"version {model.version} cannot start: version {active.version} is at "
                    f"{active.label}; wait for it (rollout watch --version {active.version}), "
                    "or end it (rollout abort)"
                )
            if champion is not None and _stable(connection) is None:
                self._write_stable(connection, Stable(slots[0], champion))
            return self._insert(connection, model, steps, slots)

    def active(self) -> Rollout | None:
        """The rollout under way."""
        with reading(self._engine) as connection:
            return _active(connection)

    def latest(self, version: str | None = None) -> Rollout | None:
        """The newest rollout, of this version if one is named."""
        query = select(ROLLOUTS).order_by(ROLLOUTS.c.id.desc()).limit(1)
        if version is not None:
            query = query.where(ROLLOUTS.c.version == version)
        with reading(self._engine) as connection:
            row = connection.execute(query).first()
        return None if row is None else _rollout(row)

    def was_done(self, version: str) -> bool:
        """Whether a rollout of this version once ended in full."""
        query = select(ROLLOUTS.c.id).where(
            ROLLOUTS.c.version == version, ROLLOUTS.c.phase == "done"
        )
        with reading(self._engine) as connection:
            return connection.execute(query.limit(1)).first() is not None

    def history(self, rollout: Rollout) -> list[dict[str, Any]]:
        """Every transition of the rollout, oldest first, as plain JSON types."""
        query = (
            select(TRANSITIONS)
            .where(TRANSITIONS.c.rollout_id == rollout.id)
            .order_by(TRANSITIONS.c.id)
        )
        with reading(self._engine) as connection:
            return [_history_entry(row) for row in connection.execute(query)]

    def measured(self, rollout: Rollout, analysis: Analysis, fence: Fence) -> None:
        """Keep what the judge says of the phase now, so that it can be seen how that came about."""
        with self._engine.begin() as connection:
            fence(connection)
            connection.execute(
                MEASUREMENTS.insert().values(
                    rollout_id=rollout.id,
                    at=self._clock(),
                    phase=rollout.phase,
                    weight=_weight(rollout),
                    analysis=analysis.as_record(),
                )
            )

    def measurements(self, rollout: Rollout) -> list[dict[str, Any]]:
        """What `measured` kept, oldest first: `at`, `phase`, `weight`, and the analysis."""
        query = (
            select(MEASUREMENTS)
            .where(MEASUREMENTS.c.rollout_id == rollout.id)
            .order_by(MEASUREMENTS.c.id)
        )
        with reading(self._engine) as connection:
            return [
                {"at": row.at.isoformat(), "phase": row.phase, "weight": row.weight, **row.analysis}
                for row in connection.execute(query)
            ]

    def stable(self) -> Stable | None:
        with reading(self._engine) as connection:
            return _stable(connection)

    def ask(self, request: Request, by: str = WEIR) -> Rollout:
        """Leave a request of somebody for the controller. Raises BadInput where it makes no sense.

        The last request counts; an abort is never taken back.
        """
        with self._engine.begin() as connection:
            active = _active(connection)
            problem = _refusal(active, request)
            if active is None or problem:
                raise BadInput(f"cannot {request}: {problem}; see `rollout status`")
            _update(connection, active, request=request)
            self._record(connection, active, f"{request} asked for at {active.label}", by)
            return replace(active, request=request)

    def set_stable(self, stable: Stable, fence: Fence) -> None:
        with self._engine.begin() as connection:
            fence(connection)
            self._write_stable(connection, stable)

    def applied(self, rollout: Rollout, counted: Counters, fence: Fence) -> Rollout:
        """The target carries the phase out from now on; `counted`: the canary's answers so far."""
        with self._engine.begin() as connection:
            fence(connection)
            now = self._clock()
            _update(
                connection,
                rollout,
                applied_at=now,
                counted_requests=counted.requests,
                counted_errors=counted.errors,
            )
        return replace(rollout, applied_at=now)

    def counted(self, rollout: Rollout) -> Counters:
        """The canary's answers at the time the phase was applied."""
        query = select(ROLLOUTS).where(ROLLOUTS.c.id == rollout.id)
        with reading(self._engine) as connection:
            row = connection.execute(query).one()
        return Counters(row.counted_requests, row.counted_errors)

    def unapplied(self, rollout: Rollout, fence: Fence, *, restarts: int) -> Rollout:
        """A server was lost: the phase must be carried out again, and evidence begins anew."""
        with self._engine.begin() as connection:
            fence(connection)
            _update(connection, rollout, applied_at=None, restarts=restarts)
        return replace(rollout, applied_at=None, restarts=restarts)

    def advance(
        self, rollout: Rollout, to: Transition, analysis: Analysis | None, fence: Fence
    ) -> Rollout:
        """Write the transition with its reason and measurements; done makes the model stable."""
        with self._engine.begin() as connection:
            fence(connection)
            now = self._clock()
            left = _left(rollout, to, analysis, now)
            connection.execute(TRANSITIONS.insert().values(left))
            moved = replace(rollout, phase=to.phase, step=to.step)
            what = f"{rollout.label} → {moved.label}"
            self._record(connection, rollout, what, evidence=_digest(left))
            request = rollout.request if rollout.request == "abort" else None
            changes = {"phase": to.phase, "step": to.step, "entered_at": now, "applied_at": None}
            reason = rollout.reason if to.phase in ("rolled_back", "aborted") else to.reason
            _refuse_where_asked_meanwhile(connection, rollout)
            _update(connection, rollout, **changes, request=request, reason=reason)
            if to.phase == "done":
                self._write_stable(connection, Stable(rollout.canary_slot, rollout.model))
        return replace(
            rollout,
            phase=to.phase,
            step=to.step,
            entered_at=now,
            applied_at=None,
            request=request,
            reason=reason,
        )

    def _insert(
        self,
        connection: Connection,
        model: Deployment,
        steps: Sequence[RolloutStep],
        slots: Sequence[str],
    ) -> Rollout:
        stable = _stable(connection)
        free = [slot for slot in slots if stable is None or slot != stable.slot]
        if len(free) < 2:
            raise BadInput(f"slots {list(slots)}: a rollout needs three; raise serving.slots")
        values = {
            "version": model.version,
            "model_uri": model.model_uri,
            "canary_slot": free[0],
            "baseline_slot": free[1],
            "steps": [step.model_dump() for step in steps],
            "first": stable is None,
            "phase": "pending",
            "step": -1,
            "entered_at": self._clock(),
            "restarts": 0,
            "reason": "",
            "counted_requests": 0,
            "counted_errors": 0,
        }
        inserted = connection.execute(ROLLOUTS.insert().values(values).returning(ROLLOUTS))
        rollout = _rollout(inserted.one())
        self._record(connection, rollout, "started")
        return rollout

    def _record(
        self,
        connection: Connection,
        rollout: Rollout,
        what: str,
        who: str = WEIR,
        evidence: str = "",
    ) -> None:
        said = f"rollout {rollout.id}: {what}"
        subject = rollout.model.model_uri
        audit_trail.append(connection, who, said, subject, evidence, self._clock())

    def _write_stable(self, connection: Connection, stable: Stable) -> None:
        connection.execute(STABLE.delete())
        values = {"id": _ONLY, "slot": stable.slot, **asdict(stable.model)}
        connection.execute(STABLE.insert().values(**values, since=self._clock()))


def _active(connection: Connection) -> Rollout | None:
    row = connection.execute(select(ROLLOUTS).where(ROLLOUTS.c.phase.not_in(TERMINAL))).first()
    return None if row is None else _rollout(row)


def _stable(connection: Connection) -> Stable | None:
    row = connection.execute(select(STABLE)).first()
    return None if row is None else Stable(row.slot, Deployment(row.model_uri, row.version))


def _rollout(row: Row[Any]) -> Rollout:
    return Rollout(
        id=row.id,
        model=Deployment(row.model_uri, row.version),
        canary_slot=row.canary_slot,
        baseline_slot=row.baseline_slot,
        steps=tuple(RolloutStep.model_validate(step) for step in row.steps),
        first=row.first,
        phase=cast("Phase", row.phase),
        step=row.step,
        entered_at=row.entered_at,
        applied_at=row.applied_at,
        request=cast("Request | None", row.request),
        restarts=row.restarts,
        reason=row.reason,
    )


def _update(connection: Connection, rollout: Rollout, **values: object) -> None:
    """Change the row only where it still is in the phase that the writer saw."""
    changed = connection.execute(
        ROLLOUTS.update()
        .where(ROLLOUTS.c.id == rollout.id)
        .where(ROLLOUTS.c.phase == rollout.phase)
        .where(ROLLOUTS.c.step == rollout.step)
        .values(**values)
    )
    if changed.rowcount != 1:
        raise WeirError(f"rollout {rollout.id} left {rollout.label} meanwhile; read it again")


def _refuse_where_asked_meanwhile(connection: Connection, rollout: Rollout) -> None:
    """What somebody asked for since the rollout was read would be lost with this transition."""
    asked = select(ROLLOUTS.c.request).where(ROLLOUTS.c.id == rollout.id).with_for_update()
    if connection.execute(asked).scalar_one() != rollout.request:
        raise WeirError(f"rollout {rollout.id} got a request meanwhile; read it again")


def _refusal(active: Rollout | None, request: Request) -> str:
    """Why the request makes no sense now; empty where it does."""
    if active is None:
        return "no rollout is under way"
    allowed: dict[Request, tuple[Phase, ...]] = {
        "pause": ("shadow", "canary"),
        "resume": ("paused",),
        "promote": ("shadow", "canary"),
        "abort": ("pending", "shadow", "canary", "paused", "full", "rolling_back"),
    }
    if active.request == "abort" and request != "abort":
        return f"version {active.version} is being aborted"
    if active.phase not in allowed[request]:
        return f"version {active.version} is at {active.label}"
    return ""


def _left(
    rollout: Rollout, to: Transition, analysis: Analysis | None, now: datetime
) -> dict[str, object]:
    step = rollout.current_step
    since = rollout.applied_at or rollout.entered_at
    return {
        "rollout_id": rollout.id,
        "at": now,
        "phase": rollout.phase,
        "weight": _weight(rollout),
        "mirror": step is not None and step.phase == "shadow",
        "seconds": round((now - since).total_seconds(), 3),
        "to_phase": to.phase,
        "reason": to.reason,
        "analysis": {} if analysis is None else analysis.as_record(),
    }


def _weight(rollout: Rollout) -> int:
    """Percent of requests that the candidate answers in this phase."""
    step = rollout.current_step
    return 100 if rollout.phase == "full" else step.weight if step is not None else 0


def _digest(left: Mapping[str, object]) -> str:
    """SHA-256 of a transition, so that the audit trail tells when one was changed later."""
    return hashlib.sha256(orjson.dumps(left, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _history_entry(row: Row[Any]) -> dict[str, Any]:
    analysis = row.analysis or {}
    return {
        "at": row.at.isoformat(),
        "phase": row.phase,
        "weight": row.weight,
        "mirror": row.mirror,
        "requests": analysis.get("requests", 0),
        "errors": analysis.get("errors", 0),
        "seconds": row.seconds,
        "verdict": analysis.get("verdict", "not_judged"),
        "to_phase": row.to_phase,
        "reason": row.reason,
        "measurements": analysis.get("measurements", []),
    }

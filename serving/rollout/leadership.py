"""Who acts: one controller holds a lease in the state database and renews it as it works.

Rollouts and incidents have a seat each; what is said of a controller holds of the responder too.

A lease ends when it is not renewed in time, or at once when its holder is a process of this
machine that is gone. Every write of the holder checks the lease in its own transaction, so a
controller that was paused for too long cannot write over its successor.
"""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import psutil
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    Row,
    Select,
    String,
    Table,
    select,
)

from data_contracts.errors import WeirError
from pipelines.state import UtcTime, create_tables, one_writer_at_a_time, reading
from serving.rollout.store import Clock, utc_now

Seat = Literal["rollouts", "incidents"]
SEATS: dict[Seat, int] = {"rollouts": 1, "incidents": 2}  # the rows of LEADER
LEASE_SECONDS = 60.0  # longer than draining and stopping a server takes
METADATA = MetaData()
LEADER = Table(
    "rollout_leader",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("owner", String, nullable=False),
    Column("machine", String, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("process_started", String, nullable=False),
    Column("renewed_at", UtcTime, nullable=False),
)


class LostLeadershipError(WeirError):
    """Another controller leads now; this one must stop acting."""


@dataclass(frozen=True)
class Leader:
    """Who holds the lease, and for how long it has not been renewed."""

    owner: str
    machine: str
    pid: int
    idle_seconds: float


class Leadership:
    """This process's claim to be the one controller, or whoever else `seat` is for."""

    def __init__(self, engine: Engine, clock: Clock = utc_now, seat: Seat = "rollouts") -> None:
        self._engine = engine
        self._clock = clock
        self._seat = SEATS[seat]
        self._owner = secrets.token_hex(8)

    def prepare(self) -> None:
        """Create the table where it is missing."""
        create_tables(self._engine, METADATA)

    def claim(self) -> bool:
        """Take or renew the lease; False while another live controller holds it."""
        with self._engine.begin() as connection:
            one_writer_at_a_time(connection, "rollout-leader")
            row = connection.execute(self._held()).first()
            if row is not None and row.owner != self._owner and not self._is_over(row):
                return False
            connection.execute(LEADER.delete().where(LEADER.c.id == self._seat))
            connection.execute(LEADER.insert().values(self._mine()))
            return True

    def fence(self, connection: Connection) -> None:
        """Raises LostLeadershipError unless this transaction sees the lease as ours."""
        row = connection.execute(self._held().with_for_update()).first()
        if row is None or row.owner != self._owner:
            raise LostLeadershipError("another controller has taken over; this one ends")

    def resign(self) -> None:
        """Give the lease back, so that the next controller need not wait."""
        with self._engine.begin() as connection:
            connection.execute(LEADER.delete().where(LEADER.c.owner == self._owner))

    def leader(self) -> Leader | None:
        """Who leads now, whoever asks."""
        with reading(self._engine) as connection:
            row = connection.execute(self._held()).first()
        if row is None or self._is_over(row):
            return None
        idle = (self._clock() - row.renewed_at).total_seconds()
        return Leader(row.owner, row.machine, row.pid, idle)

    def _held(self) -> Select[Any]:
        return select(LEADER).where(LEADER.c.id == self._seat)

    def _mine(self) -> dict[str, object]:
        return {
            "id": self._seat,
            "owner": self._owner,
            "machine": socket.gethostname(),
            "pid": os.getpid(),
            "process_started": _started(os.getpid()),
            "renewed_at": self._clock(),
        }

    def _is_over(self, row: Row[Any]) -> bool:
        here = row.machine == socket.gethostname()
        if here and _started(row.pid) != row.process_started:
            return True
        return bool(self._clock() - row.renewed_at > timedelta(seconds=LEASE_SECONDS))


def _started(pid: int) -> str:
    """When the process began, as the system says; empty where there is no such process."""
    try:
        process = psutil.Process(pid)
        gone = process.status() == psutil.STATUS_ZOMBIE
        return "" if gone else f"{process.create_time():.1f}"
    except psutil.Error:
        return ""

"""Instants at which a process can die, and parts that reach one before and after every call.

What a process leaves behind changes only when it calls another part or its transaction commits,
so a crash "at any instruction" is a crash at one of these instants: before a call, after it, before
any statement of SQL, before a commit. `Instants` counts them and lets one planned thing happen.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError

T = TypeVar("T")
Act = Callable[[str], None]


class SimulatedCrash(BaseException):
    """The process is gone: nothing in it may catch this."""


class Instants:
    """Lets `act(where)` happen once, `after` so many instants of the process that is watched.

    An act that itself asks the database waits for the end of the transaction (`alone`).
    """

    def __init__(self) -> None:
        self.reached = 0
        self.in_transaction = False
        self._watching = False
        self._left = 0
        self._at = ""
        self._act: Act | None = None
        self._alone = False

    def plan(self, after: int, act: Act, *, alone: bool, at: str = "") -> None:
        """`at`: only instants of this name count, such as `after set_traffic`."""
        self._left, self._act, self._alone, self._at = after, act, alone, at

    @property
    def planned(self) -> bool:
        return self._act is not None

    def forget(self) -> None:
        self._act = None

    @contextmanager
    def watching(self, on: bool) -> Any:
        """Whether what runs inside reaches instants; an act's own doing reaches none."""
        before, self._watching = self._watching, on
        try:
            yield
        finally:
            self._watching = before

    def reach(self, where: str) -> None:
        if not self._watching:
            return
        self.reached += 1
        if self._act is None or not where.startswith(self._at):
            return
        self._left -= 1
        if self._left >= 0 or (self._alone and self.in_transaction):
            return
        act, self._act = self._act, None
        with self.watching(False):
            act(where)


class Watched:
    """Stands before a part: every call reaches an instant before and after, and is told.

    `before(name, arguments)` may raise in the part's place; `after(name, arguments, result)`
    looks at what the call did.
    """

    def __init__(
        self,
        part: object,
        instants: Instants,
        before: Callable[[str, tuple[Any, ...]], None] = lambda name, arguments: None,
        after: Callable[[str, tuple[Any, ...], Any], None] = lambda name, arguments, result: None,
    ) -> None:
        self._part, self._instants = part, instants
        self._before, self._after = before, after

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._part, name)
        if not callable(attribute):
            return attribute

        def call(*arguments: Any, **named: Any) -> Any:
            self._instants.reach(f"before {name}")
            self._before(name, arguments)
            result = attribute(*arguments, **named)
            self._after(name, arguments, result)
            self._instants.reach(f"after {name}")
            return result

        setattr(self, name, call)
        return call


def watched(part: T, *arguments: Any, **named: Any) -> T:
    return cast("T", Watched(part, *arguments, **named))


def watch_database(engine: Engine, instants: Instants) -> None:
    """Every statement and every commit of the engine is an instant."""

    def begin(_connection: Connection) -> None:
        instants.in_transaction = True

    def end(_connection: Connection) -> None:
        instants.in_transaction = False

    def statement(*arguments: Any) -> None:
        instants.reach(f"statement {arguments[2][:40]}")

    def commit(_connection: Connection) -> None:
        instants.reach("commit")
        instants.in_transaction = False

    event.listen(engine, "begin", begin)
    event.listen(engine, "rollback", end)
    event.listen(engine, "before_cursor_execute", statement)
    event.listen(engine, "commit", commit)


def database_error(where: str) -> None:
    """What SQLAlchemy raises when the state database is gone."""
    raise OperationalError(where, {}, Exception("injected: the state database is gone"))

"""A switch as a running server reads it: asked for beside the work, and always answered at once.

The state database is asked every few seconds, beside the work. Where it does not answer, the last
answer holds, and nobody waits. That the switch is heeded is said in the database, so that
incident response does not hold one that nobody reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import Engine

from pipelines import switches
from pipelines.switches import Hold, Name

EVERY_SECONDS = 5.0
SAY_EVERY = timedelta(minutes=1)


class State(Protocol):
    """Opened at the first question, in the thread that asks: engines do not survive a fork."""

    def __call__(self) -> Engine: ...


class SwitchReader:
    """The holds of some switches, as of the last time that the database answered.

    `reader` names the process. `problem` is why the last question had no answer, empty where it
    had one.
    """

    def __init__(
        self, open_engine: State, names: Sequence[Name], reader: str, clock: Callable[[], datetime]
    ) -> None:
        self._open_engine = open_engine
        self._names = tuple(names)
        self._reader = reader
        self._clock = clock
        self._engine: Engine | None = None
        self._said_at: datetime | None = None
        self._held: dict[Name, tuple[Hold, ...]] = {}
        self.problem = ""

    def holds(self, name: Name) -> tuple[Hold, ...]:
        """Who holds the switch; empty: it is off, or was never answered. Reads no file."""
        return self._held.get(name, ())

    def ask(self) -> None:
        """Once; never raises."""
        try:
            if self._engine is None:
                self._engine = self._open_engine()
                switches.prepare(self._engine)
            found = switches.holds(self._engine, *self._names)
            self._held = {
                name: tuple(one for one in found if one.switch == name) for name in self._names
            }
            self._say_so(self._engine)
            self.problem = ""
        except Exception as error:  # whatever it is, verdicts go on
            self.problem = f"{type(error).__name__}: {error}"

    def _say_so(self, engine: Engine) -> None:
        """Seldom, for every server writes this."""
        now = self._clock()
        if self._said_at is None or now - self._said_at >= SAY_EVERY:
            switches.asked(engine, self._names, self._reader, now)
            self._said_at = now

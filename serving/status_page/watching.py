"""Reads every source beside the page, each in a thread of its own, and keeps what was read last.

A source that hangs or fails costs nothing but itself: the page is answered at once, and says that
it is unknown. So a page costs the sources nothing either, however often it is asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from data_contracts.errors import WeirError
from serving.status_page.facts import Facts, Reading

Source = Callable[[], Any]
LONGEST_PROBLEM = 300


class Watching:
    """`sources` are named as the fields of `Facts`; those that are missing are not part of it."""

    def __init__(
        self,
        sources: Mapping[str, Source],
        clock: Callable[[], datetime],
        say: Callable[[str], None],
    ) -> None:
        self._sources = dict(sources)
        self._clock = clock
        self._say = say
        self._read: dict[str, Reading[Any]] = {name: Reading() for name in self._sources}
        self._stop = threading.Event()

    def start(self, every_seconds: float) -> None:
        """One daemon thread a source."""
        for name in self._sources:
            threading.Thread(
                target=self._keep_reading, args=(name, every_seconds), daemon=True,
                name=f"status-page-{name}",
            ).start()  # fmt: skip

    def stop(self) -> None:
        """No further reads; one that is under way is left behind."""
        self._stop.set()

    def look(self) -> None:
        """Read every source once, here."""
        for name in self._sources:
            self._look_at(name)

    def facts(self) -> Facts:
        """What is known now."""
        return Facts(now=self._clock(), **self._read)

    def _keep_reading(self, name: str, every_seconds: float) -> None:
        while not self._stop.is_set():
            self._look_at(name)
            self._stop.wait(every_seconds)

    def _look_at(self, name: str) -> None:
        before = self._read[name]
        try:
            now = Reading(self._sources[name](), self._clock())
        except Exception as error:  # any: the other sources must still be shown
            now = Reading(before.value, before.at, problem_of(error))
            if before.problem != now.problem:
                self._say(f"{name} cannot be read: {now.problem}")
        else:
            if before.problem:
                self._say(f"{name} can be read again")
        self._read[name] = now


def problem_of(error: Exception) -> str:
    """In one line; of a database only what it said, without the statement and its values."""
    if isinstance(error, SQLAlchemyError):
        return f"the state database: {getattr(error, 'orig', None) or type(error).__name__}"[
            :LONGEST_PROBLEM
        ]
    said = str(error) if isinstance(error, WeirError) else f"{type(error).__name__}: {error}"
    return " ".join(said.split())[:LONGEST_PROBLEM]

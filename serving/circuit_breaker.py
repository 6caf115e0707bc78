"""When a failing stage is left out, and how it comes back: a state machine as a table.

Closed: calls go through, and the last ones are remembered. Open: none go. Half open: one probe
at a time goes, and enough of them in a row close it (Nygard 2007, Release It!, chapter 5). A probe
that never reports would leave a breaker half open for ever; after `open_seconds` another may go.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from data_contracts.config import StageGuards

State = Literal["closed", "open", "half_open"]
Happening = Literal["tripped", "cooled_down", "probe_failed", "probes_succeeded"]
TRANSITIONS: Mapping[State, Mapping[Happening, State]] = {
    "closed": {"tripped": "open"},
    "open": {"cooled_down": "half_open"},
    "half_open": {"probe_failed": "open", "probes_succeeded": "closed"},
}


class Permit(NamedTuple):
    """Leave for one call. It counts only in the spell of one state in which it was given."""

    spell: int


class _Outcome(NamedTuple):
    at: float
    failed: bool


class CircuitBreaker:
    """Safe for threads. `changed` is told each new state, in the thread that brought it about."""

    def __init__(
        self,
        settings: StageGuards,
        changed: Callable[[State], None] = lambda _state: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._changed = changed
        self._clock = clock
        self._lock = threading.Lock()
        self._state: State = "closed"
        self._spell = 0
        self._since = clock()
        self._recent: deque[_Outcome] = deque(maxlen=settings.window_calls)
        self._probe_since: float | None = None
        self._succeeded = 0

    @property
    def state(self) -> State:
        return self._state

    def permit(self) -> Permit | None:
        """Leave for a call, whose outcome must be recorded; None where the stage is left out."""
        spell = self._spell  # read first: without the lock, it may be too old but never too new
        if self._state == "closed":
            return Permit(spell)
        with self._lock:
            return Permit(self._spell) if self._is_admitted(self._clock()) else None

    def record(self, permit: Permit, *, failed: bool) -> None:
        """How the call ended. Late news of an earlier spell changes nothing."""
        with self._lock:
            if permit.spell != self._spell or self._state == "open":
                return
            if self._state == "half_open":
                self._note_probe(failed)
            else:
                self._note_call(failed)

    def _is_admitted(self, now: float) -> bool:
        if self._state == "open" and now >= self._since + self._settings.open_seconds:
            self._happen("cooled_down")
        if self._state != "half_open":
            return self._state == "closed"
        if self._probe_since is not None:
            if now < self._probe_since + self._settings.open_seconds:
                return False
            self._spell += 1  # the probe is given up: its outcome will not count any more
        self._probe_since = now
        return True

    def _note_probe(self, failed: bool) -> None:
        self._probe_since = None
        self._succeeded += 1
        if failed:
            self._happen("probe_failed")
        elif self._succeeded >= self._settings.probes:
            self._happen("probes_succeeded")

    def _note_call(self, failed: bool) -> None:
        now = self._clock()
        self._recent.append(_Outcome(now, failed))
        if not failed:
            return
        oldest = now - self._settings.window_seconds
        failures = sum(one.failed and one.at > oldest for one in self._recent)
        if failures >= self._settings.failures:
            self._happen("tripped")

    def _happen(self, happening: Happening) -> None:
        self._state = TRANSITIONS[self._state][happening]
        self._spell += 1
        self._since = self._clock()
        self._recent.clear()
        self._probe_since, self._succeeded = None, 0
        self._changed(self._state)

"""How often one account may ask anything, in this process: looking up a verdict is not free."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from datetime import datetime, timedelta

PER_MINUTE = 30
MINUTE = timedelta(minutes=1)
MOST_ACCOUNTS = 100_000  # that are remembered; who asked longest ago is forgotten first


class Pace:
    """At most PER_MINUTE calls of one account within a minute."""

    def __init__(self, clock: Callable[[], datetime], per_minute: int = PER_MINUTE) -> None:
        self._clock = clock
        self._per_minute = per_minute
        self._calls: OrderedDict[str, deque[datetime]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, account: str) -> timedelta | None:
        """None where the account may go on, else for how long it has to wait."""
        now = self._clock()
        with self._lock:
            calls = self._calls.setdefault(account, deque(maxlen=self._per_minute))
            self._calls.move_to_end(account)
            if len(self._calls) > MOST_ACCOUNTS:
                self._calls.popitem(last=False)
            if len(calls) == self._per_minute and now - calls[0] < MINUTE:
                return calls[0] + MINUTE - now
            calls.append(now)
            return None

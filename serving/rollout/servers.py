"""Which model servers answer, which are lost, and when one may be started anew."""

from __future__ import annotations

from datetime import datetime, timedelta

from serving.rollout.store import Clock
from serving.rollout.targets.base import Deployment, TrafficTarget

HANGING_SECONDS = 30.0  # without readiness, of a server that has been ready
RESTART_PAUSE_SECONDS = 5.0


class ServerWatch:
    """What one controller has seen of the servers; a new one starts with nothing.

    A server that was never seen ready may take `start_seconds` to load its model.
    """

    def __init__(self, target: TrafficTarget, clock: Clock, start_seconds: float) -> None:
        self._target = target
        self._clock = clock
        self._start_seconds = start_seconds
        self._been_ready: set[str] = set()
        self._unready_since: dict[str, datetime] = {}
        self._restarted: dict[str, datetime] = {}

    def is_ready(self, slot: str) -> bool:
        ready = self._target.ready(slot)
        if ready:
            self._been_ready.add(slot)
            self._unready_since.pop(slot, None)
        else:
            self._unready_since.setdefault(slot, self._clock())
        return ready

    def is_lost(self, slot: str) -> bool:
        """Dead, or without an answer for longer than loading or a stutter takes."""
        if not self._target.alive(slot):
            return True
        loading = 0.0 if slot in self._been_ready else self._start_seconds
        patience = timedelta(seconds=max(HANGING_SECONDS, loading))
        since = self._unready_since.get(slot)
        too_long = since is not None and self._clock() - since > patience
        return too_long and not self._target.ready(slot)

    def may_restart(self, slot: str) -> bool:
        """A server that dies at once is not started in a tight loop."""
        last = self._restarted.get(slot)
        return last is None or self._clock() - last > timedelta(seconds=RESTART_PAUSE_SECONDS)

    def restart(self, slot: str) -> None:
        self.forget(slot)
        self._restarted[slot] = self._clock()
        self._target.restart(slot)

    def forget(self, slot: str) -> None:
        """Another server will stand in the slot."""
        self._been_ready.discard(slot)
        self._unready_since.pop(slot, None)

    def obituary(self, slot: str, model: Deployment) -> str:
        """Why a rollout ends with its server, with the end of that server's log."""
        words = self._target.last_words(slot)
        lines = f"; its log ends: {words}" if words else ""
        return f"the model server of version {model.version} died again after a restart{lines}"

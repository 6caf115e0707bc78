"""Whether the approval of the version under way still stands, asked beside the controller's loop.

A registry that is slow, or down, must not keep the controller from its servers: the question is
put by another thread, and until it is answered the last answer holds. Silence never revokes.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from serving.rollout.store import Clock, utc_now

EVERY_SECONDS = 5.0
T = TypeVar("T")


class Approval(Protocol):
    """Whether a version may meet traffic, and why not.

    `revoked`: it was approved, or so it seemed, and that no longer holds. An approval that only ran
    out is not revoked: a rollout that it began may end.
    """

    @property
    def approved(self) -> bool: ...
    @property
    def revoked(self) -> bool: ...
    @property
    def reason(self) -> str: ...


class AtOnce(Executor):
    """Does what it is given in the caller's thread."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:
            done.set_exception(error)
        return done


class ApprovalWatch:
    """Asks `ask` about the version under way, every five seconds at most, on `beside`."""

    def __init__(
        self, ask: Callable[[str], Approval], beside: Executor, clock: Clock = utc_now
    ) -> None:
        self._ask = ask
        self._beside = beside
        self._clock = clock
        self._version = ""
        self._asked_at: datetime | None = None
        self._question: Future[Approval] | None = None
        self._revocation: str | None = None

    def revocation(self, version: str) -> str | None:
        """Why the version may no longer meet traffic, as far as is known; never waits.

        Raises what the registry raised, once a question; the last answer holds meanwhile.
        """
        if version != self._version:
            self._version, self._asked_at = version, None
            self._question, self._revocation = None, None
        if self._question is None and self._is_due():
            self._asked_at = self._clock()
            self._question = self._beside.submit(self._ask, version)
        if self._question is not None and self._question.done():
            question, self._question = self._question, None
            approval = question.result()
            self._revocation = approval.reason if approval.revoked else None
        return self._revocation

    def _is_due(self) -> bool:
        every = timedelta(seconds=EVERY_SECONDS)
        return self._asked_at is None or self._clock() - self._asked_at >= every

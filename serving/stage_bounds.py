"""What bounds the stages while one event is assessed: withheld ones, the deadline, the guards.

The ensemble's own inference knows nothing of breakers, deadlines and stages that run later. The
bounds stand beside it, in the thread that assesses, and `serving.stage_guard` looks at them.
What was withheld stands in the verdict's stages, so replay withholds the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any, Protocol

from data_contracts.events import Event
from data_contracts.verdicts import Assessment, Stage

UNAVAILABLE, TIMED_OUT, AFTERWARDS = "stage_unavailable", "stage_timed_out", "runs_afterwards"
SWITCHED_OFF = "stage_switched_off"  # by incident response


@dataclass(frozen=True)
class StageBounds:
    """`withheld`: stages not to be tried, with the reason. `deadline`: of `time.monotonic`.

    Without `is_guarded`, stages run however long they take: at warm-up, in replay, and where a
    stage is run after the answer.
    """

    withheld: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    deadline: float = math.inf
    is_guarded: bool = True


UNBOUNDED = StageBounds()
UNGUARDED = StageBounds(is_guarded=False)
_CURRENT: ContextVar[StageBounds] = ContextVar("stage_bounds")


@contextmanager
def within(bounds: StageBounds) -> Iterator[None]:
    """The bounds of every assessment in this block, in this thread."""
    token = _CURRENT.set(bounds)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def current_bounds() -> StageBounds:
    """Those of the thread; UNBOUNDED where none were set."""
    return _CURRENT.get(UNBOUNDED)


def left_out(stages: Iterable[Stage]) -> tuple[tuple[str, str], ...]:
    """The stages that were not tried, or given up, and why, for `Budget.withheld`.

    >>> left_out([Stage("image", False, skipped_because="stage_timed_out:image"),
    ...           Stage("video", False, skipped_because="clear ham"), Stage("text", True, 0.5)])
    (('image', 'stage_timed_out:image'),)
    """
    return tuple(
        (one.name, one.skipped_because)
        for one in stages
        if one.skipped_because in _reasons(one.name)
    )


@cache
def _reasons(stage: str) -> tuple[str, ...]:
    return tuple(f"{code}:{stage}" for code in (UNAVAILABLE, TIMED_OUT, AFTERWARDS, SWITCHED_OFF))


class VersionedAssessor(Protocol):
    """An ensemble: it assesses, and has an id of its own."""

    @property
    def version(self) -> str: ...

    def assess(self, events: Sequence[Event], **arguments: Any) -> Sequence[Assessment]: ...


class WithholdingAssessor:
    """An ensemble that can be told which stages not to try, as replay must tell it.

    Its stages run unguarded: what was left out then is given, and nothing else may be.
    """

    def __init__(self, ensemble: VersionedAssessor) -> None:
        self._ensemble = ensemble

    @property
    def version(self) -> str:
        return self._ensemble.version

    def assess(
        self, events: Sequence[Event], *, withheld: Mapping[str, str] | None = None, **budget: Any
    ) -> Sequence[Assessment]:
        with within(StageBounds(withheld or {}, is_guarded=False)):
            return self._ensemble.assess(events, **budget)

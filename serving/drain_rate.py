"""How fast waiting work is worked off, measured on the batches that end.

Work is a number in the caller's unit: expected CPU milliseconds, or events. All times are seconds
of one monotonic clock that the caller reads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from data_contracts.config import PRIORITIES, Priority

MEMORY_SECONDS = 2.0  # of busy time: older batches count less
GAIN = 1 / 8  # of the deviation, as for round trips in RFC 6298
DEVIATIONS = 2.0  # beyond the mean that a cautious estimate allows for
LARGEST_SHARE = 0.99
# One batch counts for at most so many times what was expected, or so many seconds: one that hung
# for a minute must not make everybody believe that all work takes so long.
LARGEST_SURPRISE, SMALL_SECONDS = 4.0, 0.01
BELIEVED_WORK = 20.0  # units of work that what was believed at first is worth


class FadingRate:
    """A rate that forgets: what came within about the last `memory_seconds`, in units a second.

    >>> rate = FadingRate(memory_seconds=1.0)
    >>> rate.add(3.0, now=0.0)
    >>> rate.rate(now=0.0), round(rate.rate(now=1.0), 3)
    (3.0, 1.104)
    """

    def __init__(self, memory_seconds: float) -> None:
        self._memory_seconds = memory_seconds
        self._sum = 0.0
        self._at = -math.inf

    def add(self, amount: float, now: float) -> None:
        self._sum = self._remembered(now) + amount
        self._at = now

    def rate(self, now: float) -> float:
        return self._remembered(now) / self._memory_seconds

    def _remembered(self, now: float) -> float:
        return self._sum * math.exp((self._at - now) / self._memory_seconds) if self._sum else 0.0


class DrainRate:
    """The measured speed of `workers`, what they hold, and how long waiting work will take.

    `seconds_per_work` is what is believed at first.
    """

    def __init__(
        self, workers: int, seconds_per_work: float, memory_seconds: float = MEMORY_SECONDS
    ) -> None:
        if workers < 1 or seconds_per_work <= 0:
            raise ValueError(
                f"{workers} workers at {seconds_per_work} seconds a unit of work; both above 0"
            )
        self.workers = workers
        self._memory_seconds = memory_seconds
        self._seconds, self._work = seconds_per_work * BELIEVED_WORK, BELIEVED_WORK
        self._deviation = seconds_per_work / 2
        self._begun: dict[int, tuple[float, float, float]] = {}  # began, expected to end, work
        self._batches = 0
        self._busy = {priority: FadingRate(1.0) for priority in PRIORITIES}

    @property
    def seconds_per_work(self) -> float:
        return self._seconds / self._work

    def begin(self, priority: Priority, work: float, now: float) -> int:
        """A worker took so much work; returns the batch's number for `end`."""
        self._batches += 1
        expected = self.seconds(work)
        self._begun[self._batches] = (now, now + expected, work)
        self._busy[priority].add(expected, now)
        return self._batches

    def end(self, batch: int, now: float) -> float:
        """The batch is done; returns the seconds it took."""
        began, _, work = self._begun.pop(batch)
        seconds = now - began
        counted = min(seconds, max(LARGEST_SURPRISE * self.seconds(work), SMALL_SECONDS))
        self._note_deviation(counted / work)
        kept = math.exp(-counted / self._memory_seconds)
        self._seconds = self._seconds * kept + counted
        self._work = self._work * kept + work
        return seconds

    def seconds(self, work: float) -> float:
        """What the work takes one worker, on average."""
        return work * self.seconds_per_work

    def cautious_seconds(self, work: float) -> float:
        """What the work takes one worker at most, nearly always."""
        return work * (self.seconds_per_work + DEVIATIONS * self._deviation)

    def seconds_until_worked_off(self, work: float, priority: Priority, now: float) -> float:
        """Until so much waiting work has begun, behind what the workers hold.

        Higher classes that will come meanwhile go first: work waits longer by one over the share
        of the workers that they leave (Cobham 1954, Priority Assignment in Waiting Line Problems).
        """
        stretched = self.seconds(work) / self.left_share(priority, now)
        return _filled(sorted(self._remaining(now)), stretched)

    def left_share(self, priority: Priority, now: float) -> float:
        """The share of the workers' time that classes above `priority` leave."""
        above = PRIORITIES[: PRIORITIES.index(priority)]
        taken = sum(self._busy[one].rate(now) for one in above) / self.workers
        return 1.0 - min(taken, LARGEST_SHARE)

    def _remaining(self, now: float) -> list[float]:
        """Seconds until each worker is free. Who overran is expected to do so as long again."""
        held = [abs(expected - now) for _, expected, _ in self._begun.values()]
        return [*held, *(0.0,) * (self.workers - len(held))]

    def _note_deviation(self, seconds_per_work: float) -> None:
        found = abs(seconds_per_work - self.seconds_per_work)
        self._deviation += GAIN * (found - self._deviation)


def _filled(free_after: Sequence[float], seconds: float) -> float:
    """When `seconds` of work are used up by workers that are free after so many seconds, sorted.

    Like water into vessels: a worker that hangs takes nothing, and nothing waits for it.

    >>> _filled([0.0, 0.0], 1.0), _filled([0.0, 60.0], 1.0), _filled([0.25, 0.75], 0.0)
    (0.5, 1.0, 0.25)
    """
    held = 0.0
    for count, free in enumerate(free_after, start=1):
        held += free
        level = (seconds + held) / count
        if count == len(free_after) or level <= free_after[count]:
            return level
    return math.inf

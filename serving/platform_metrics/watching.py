"""Looks at every source in turn, keeps what was seen, and shows it to a scrape.

A source that fails or hangs costs its own gauges only, and says so once: `source_up` is 0, and the
age of what was seen grows.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from prometheus_client import Metric

from serving.platform_metrics.gauges import Sample, families

Source = Callable[[datetime], Iterable[Sample]]
MISSED_ROUNDS = 3  # then it is not healthy


@dataclass(frozen=True)
class Seen:
    """The samples of one source, and when it was last read; None where it never was."""

    samples: tuple[Sample, ...] = ()
    at: datetime | None = None
    problem: str | None = None


class Watching:
    """Implements Prometheus' collector; `look` is one round over the sources."""

    def __init__(
        self,
        sources: Mapping[str, Source],
        clock: Callable[[], datetime],
        say: Callable[[str], None],
    ) -> None:
        self._sources = sources
        self._clock = clock
        self._say = say
        self._seen = dict.fromkeys(sources, Seen())
        self._looked_at: datetime | None = None

    def look(self) -> None:
        """Read every source once."""
        for name, source in self._sources.items():
            self._seen[name] = self._read(name, source)
        self._looked_at = self._clock()

    def run(self, stop: threading.Event, every_seconds: float) -> None:
        """Round after round, until `stop` is set."""
        while not stop.is_set():
            self.look()
            stop.wait(every_seconds)

    def is_healthy(self, every_seconds: float) -> bool:
        """Whether rounds still end, however the sources are."""
        if self._looked_at is None:
            return False
        age = self._clock() - self._looked_at
        return age <= timedelta(seconds=MISSED_ROUNDS * every_seconds)

    def collect(self) -> Iterator[Metric]:
        """What was seen last, of each source that could be read then."""
        yield from families(self._samples())

    def _samples(self) -> Iterator[Sample]:
        now = self._clock()
        for name, seen in self._seen.items():
            up = seen.at is not None and seen.problem is None
            yield Sample("weir_platform_source_up", float(up), (name,))
            if seen.at is not None:
                age = (now - seen.at).total_seconds()
                yield Sample("weir_platform_source_age_seconds", age, (name,))
            yield from seen.samples

    def _read(self, name: str, source: Source) -> Seen:
        before = self._seen[name]
        try:
            seen = Seen(tuple(source(self._clock())), self._clock())
        except Exception as error:  # any: the other sources must still be shown
            problem = f"{type(error).__name__}: {error}"
            if before.problem != problem:
                self._say(f"{name} cannot be read: {problem}")
            return Seen((), before.at, problem)
        if before.problem is not None:
            self._say(f"{name} can be read again")
        return seen

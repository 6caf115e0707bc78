"""Counts what happens to every request and verdict, cheaply, and tells Prometheus a little later.

A counter of prometheus_client costs 0.4 µs, in files shared with other workers 0.8 µs, a histogram
2.3 µs, and a verdict over eight stages would touch a dozen of them. Here it is put in a queue, from
any thread and without a lock, and `fold` adds up half a second of them at once.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter as Tally
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from operator import attrgetter

from prometheus_client import Counter, Gauge, Metric

from data_contracts.events import Event
from data_contracts.verdicts import Verdict
from serving import metrics, worker_metrics
from serving.folding import Key, add_row, drained, fold_counts, fold_values, rows
from serving.metrics import FoldedHistogram, counter, histogram

FOLD_SECONDS = 0.5
MOST_REASONS = 200  # different (stage, reason): more would swamp Prometheus, and are `other`
OUTCOMES = {True: "in_time", False: "late"}
RAN = frozenset(("answered", "slow", "failed", "timed_out"))  # calls of a stage that took time
_COUNTS = (metrics.REQUESTS, metrics.SHED, metrics.WITHDRAWN, metrics.SPLITS,
           metrics.FEATURE_READS)  # fmt: skip
_VALUES = (metrics.QUEUE_WAIT, metrics.BATCH_SIZE, metrics.BATCH_SECONDS, metrics.FEATURE_AGE)
_ARM_AND_ACTION = attrgetter("arm", "action")
_STAGE = attrgetter("name", "ran", "skipped_because")
_PAGE = os.sysconf("SC_PAGE_SIZE")

Answer = tuple[str, str, str, str, bool | None]  # protocol, class, arm, content, in time


class Meter:
    """Takes what happens, from any thread. `start` folds every half second until `close`.

    It is the `BatchCounts` of micro-batching and the `StageCounts` of guarded stages.
    """

    def __init__(self, fold_seconds: float = FOLD_SECONDS):
        self._answers: deque[tuple[Answer, float]] = deque()
        self._verdicts: deque[Verdict] = deque()
        self._calls: deque[tuple[tuple[str, str], float]] = deque()
        self._degraded: deque[str] = deque()
        self._counts: dict[Counter, deque[Key]] = {one: deque() for one in _COUNTS}
        self._values: dict[FoldedHistogram, deque[tuple[Key, float]]] = {
            one: deque() for one in _VALUES
        }
        self._known: set[tuple[str, str]] = set()
        self._watched: list[tuple[Gauge, Callable[[], float]]] = []
        self._cpu_seconds = 0.0
        self._folding = threading.Lock()
        self._closing = threading.Event()
        self._fold_seconds = fold_seconds
        self._thread = threading.Thread(target=self._run, name="meter", daemon=True)

    def answered(
        self, protocol: str, priority: str, arm: str, content: str, seconds: float,
        in_time: bool | None = None,
    ) -> None:  # fmt: skip
        """A request got its verdicts; `in_time` is None where it had no deadline."""
        self._answers.append(((protocol, priority, arm, content, in_time), seconds))

    def refused(self, protocol: str, status: str, priority: str, arm: str) -> None:
        """A request got another status than 200, or its client left (`disconnected`)."""
        self._counts[metrics.REQUESTS].append((protocol, status, priority, arm))

    def verdicts(self, verdicts: Iterable[Verdict]) -> None:
        """These were given: by arm and action, and what became of each stage."""
        self._verdicts.extend(verdicts)

    def degraded(self, reason: str) -> None:
        """A verdict had to do without something; `reason` is a code of a small set."""
        self._degraded.append(reason)

    def admitted(self, priority: str, waited_seconds: float) -> None:
        """A request left its queue for a worker."""
        self._values[metrics.QUEUE_WAIT].append(((priority,), waited_seconds))

    def shed(self, priority: str, reason: str) -> None:
        """A request was turned away on purpose."""
        self._counts[metrics.SHED].append((priority, reason))

    def withdrawn(self, priority: str) -> None:
        """A client left while its request waited."""
        self._counts[metrics.WITHDRAWN].append((priority,))

    def decided(self, priority: str, events: int, seconds: float) -> None:
        """A worker decided a batch."""
        self._values[metrics.BATCH_SIZE].append(((priority,), events))
        self._values[metrics.BATCH_SECONDS].append(((priority,), seconds))

    def split(self) -> None:
        """A batch failed, and its events are decided one by one."""
        self._counts[metrics.SPLITS].append(())

    def called(self, stage: str, outcome: str, seconds: float) -> None:
        """A stage was called; it took `seconds` where it ran (RAN)."""
        self._calls.append(((stage, outcome), seconds))

    def breaker(self, stage: str, state: str) -> None:
        """A stage's breaker is now `closed`, `half_open` or `open`."""
        metrics.BREAKER.labels(stage).set(metrics.BREAKER_STATES[state])
        counter(metrics.BREAKER_CHANGES, stage, state).inc()

    def read(self, outcome: str, age_seconds: float | None = None) -> None:
        """A feature read: `hit` (with the row's age), `miss`, `expired` or `error`."""
        self._counts[metrics.FEATURE_READS].append((outcome,))
        if age_seconds is not None:
            self._values[metrics.FEATURE_AGE].append(((), age_seconds))

    def watch(self, gauge: Gauge, value: Callable[[], float]) -> None:
        """From now on `gauge` shows what `value` says whenever things are folded."""
        self._watched.append((gauge, value))

    def start(self) -> None:
        metrics.WORKERS.set(1)
        self._thread.start()

    def close(self) -> None:
        """Fold what is there, and stop."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        self.fold()

    def collect(self) -> Iterator[Metric]:
        """For prometheus_client's encoders: of all workers, of this one up to now."""
        self.fold()
        yield from worker_metrics.shown().collect()

    def fold(self) -> None:
        """Hand on what came since the last time, and look at what is watched."""
        with self._folding:
            self._fold_answers()
            self._fold_verdicts()
            self._fold_calls()
            for count, seen in self._counts.items():
                fold_counts(count, drained(seen))
            for value, observed in self._values.items():
                fold_values(value, drained(observed))
            for gauge, look in self._watched:
                gauge.set(look())
            self._fold_process()

    def _run(self) -> None:
        while not self._closing.wait(self._fold_seconds):
            self.fold()

    def _fold_answers(self) -> None:
        for answer, row in rows(metrics.SECONDS.bounds, drained(self._answers)).items():
            protocol, priority, arm, content, in_time = answer
            count = sum(row[:-1])
            counter(metrics.REQUESTS, protocol, "200", priority, arm).inc(count)
            add_row(histogram(metrics.SECONDS, arm, content, priority), row)
            if in_time is not None:
                counter(metrics.DEADLINES, priority, OUTCOMES[in_time]).inc(count)

    def _fold_verdicts(self) -> None:
        verdicts = drained(self._verdicts)
        fold_counts(metrics.VERDICTS, map(_ARM_AND_ACTION, verdicts))
        stages = chain.from_iterable(verdict.stages for verdict in verdicts)
        for (name, ran, why), count in Tally(map(_STAGE, stages)).items():
            labels = ("ran", "") if ran else ("skipped", self._bounded(name, why or ""))
            counter(metrics.STAGES, name, *labels).inc(count)
        for reason, count in Tally(drained(self._degraded)).items():
            counter(metrics.DEGRADED, self._bounded("", reason)).inc(count)

    def _fold_calls(self) -> None:
        bounds = metrics.STAGE_SECONDS.bounds
        for (stage, outcome), row in rows(bounds, drained(self._calls)).items():
            counter(metrics.STAGE_CALLS, stage, outcome).inc(sum(row[:-1]))
            if outcome in RAN:
                add_row(histogram(metrics.STAGE_SECONDS, stage), row)

    def _bounded(self, stage: str, reason: str) -> str:
        if (stage, reason) not in self._known:
            if len(self._known) >= MOST_REASONS:
                return "other"
            self._known.add((stage, reason))
        return reason

    def _fold_process(self) -> None:
        used = time.process_time()
        metrics.CPU_SECONDS.inc(used - self._cpu_seconds)
        self._cpu_seconds = used
        metrics.RESIDENT_BYTES.set(_resident_bytes())
        metrics.DESCRIPTORS.set(_open_descriptors())


def content_kind(events: Sequence[Event]) -> str:
    """What a request carries, by its dearest event: video, image, text, or account.

    >>> content_kind([Event(event_id="e", text=""), Event(event_id="f", text="hello")])
    'text'
    """
    kinds = {one.kind for event in events for one in event.media}
    if kinds:
        return "video" if "video" in kinds else "image"
    return "text" if any(event.text for event in events) else "account"


def _resident_bytes() -> int:
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123  (twice a second: the cheaper way)
        return int(file.read().split()[1]) * _PAGE


def _open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) - 1  # noqa: PTH208  (without the listing's own)

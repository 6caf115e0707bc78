"""Everything a model server counts, for Prometheus: the names that dashboards and alerts know.

What happens to every verdict is counted through `serving.meter`, which is cheaper; what is rare
goes to these directly. Gauges say how the values of several workers become one
(`serving.worker_metrics`): `livesum` adds, `livemax` takes the largest, `liveall` keeps one a
worker under the label `pid`, which holds the worker's number.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import prometheus_client
from prometheus_client import Counter, Gauge, Histogram

from serving.worker_metrics import divide_by_worker

divide_by_worker()
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series a counter that nothing here reads

REQUEST_BUCKETS = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5,
)  # fmt: skip
STAGE_BUCKETS = (
    0.000_02, 0.000_05, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25,
    1.0, 2.5,
)  # fmt: skip
WAIT_BUCKETS = (0.000_1, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.5, 1.0)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
AGE_BUCKETS = (1, 10, 60, 300, 900, 3600, 21_600, 86_400, 604_800)
BREAKER_STATES = {"closed": 0, "half_open": 1, "open": 2}


class FoldedHistogram(Histogram):
    """A histogram that also takes what was counted elsewhere in the same buckets."""

    @property
    def bounds(self) -> Sequence[float]:
        """The upper bounds of the buckets, the last infinite."""
        return self._upper_bounds

    def add(self, counts: Sequence[int], total: float) -> None:
        """`counts` one a bucket, not cumulated, `total` the sum of the values."""
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)
        self._sum.inc(total)


# requests
REQUESTS = Counter(
    "weir_requests",
    "Inference requests by protocol, HTTP status (or disconnected), priority class and arm",
    ["protocol", "status", "class", "arm"],
)
IN_FLIGHT = Gauge(
    "weir_requests_in_flight", "Inference requests being answered", multiprocess_mode="livesum"
)
SECONDS = FoldedHistogram(
    "weir_request_seconds",
    "From the last byte of a request to the first of its answer, of requests with a verdict; "
    "content: text, image, video, account",
    ["arm", "content", "class"],
    buckets=REQUEST_BUCKETS,
)
DEADLINES = Counter(
    "weir_deadlines", "Verdicts given in_time or late, by priority class", ["class", "outcome"]
)

# verdicts and stages
VERDICTS = Counter("weir_verdicts", "Verdicts by arm and action", ["arm", "action"])
DEGRADED = Counter(
    "weir_degraded_verdicts",
    "Verdicts given without something they should have had, by reason",
    ["reason"],
)
STAGES = Counter(
    "weir_stages",
    "Stages of verdicts by outcome (ran, skipped) and the reason of a skip",
    ["stage", "outcome", "reason"],
)
STAGE_CALLS = Counter(
    "weir_stage_calls",
    "Calls of a stage: answered, slow, failed, timed_out; or not made: no_time, open, full",
    ["stage", "outcome"],
)
STAGE_SECONDS = FoldedHistogram(
    "weir_stage_seconds", "What a call of a stage took", ["stage"], buckets=STAGE_BUCKETS
)
BREAKER = Gauge(
    "weir_breaker_state", "Circuit breaker of a stage: 0 closed, 1 half open, 2 open; of workers "
    "the worst", ["stage"], multiprocess_mode="livemax",
)  # fmt: skip
BREAKER_CHANGES = Counter(
    "weir_breaker_changes", "Changes of a stage's circuit breaker, by the new state",
    ["stage", "state"],
)  # fmt: skip

# admission
QUEUE_DEPTH = Gauge(
    "weir_queue_depth", "Requests that wait, by priority class", ["class"],
    multiprocess_mode="livesum",
)  # fmt: skip
QUEUE_WAIT = FoldedHistogram(
    "weir_queue_wait_seconds", "How long a request waited", ["class"], buckets=WAIT_BUCKETS
)
SHED = Counter(
    "weir_shed",
    "Requests turned away on purpose, by priority class and reason",
    ["class", "reason"],
)
WITHDRAWN = Counter("weir_withdrawn", "Requests whose client left while they waited", ["class"])
BATCH_SIZE = FoldedHistogram(
    "weir_batch_size", "Events that a worker decided together", ["class"], buckets=BATCH_BUCKETS
)
BATCH_SECONDS = FoldedHistogram(
    "weir_batch_seconds", "What deciding a batch took", ["class"], buckets=STAGE_BUCKETS
)
SPLITS = Counter("weir_batch_splits", "Batches that failed and were decided event by event")

RESTRAINTS = Gauge(
    "weir_restraint", "What incident response holds the server to: prefilter_only (1), "
    "threshold_shift (log-odds), classes_shed (how many)", ["kind"], multiprocess_mode="livemax",
)  # fmt: skip

# features of the past
FEATURE_READS = Counter(
    "weir_feature_reads",
    "Reads of the online feature store: hit, miss, expired, error",
    ["outcome"],
)
FEATURE_AGE = FoldedHistogram(
    "weir_feature_age_seconds", "Age of a row when it was read", buckets=AGE_BUCKETS
)
FEATURE_FRESHNESS = Gauge(
    "weir_feature_freshness_seconds", "Since the newest row of a view was written", ["view"],
    multiprocess_mode="livemax",
)  # fmt: skip

# decision records
RECORDS_WRITTEN = Counter("weir_decision_records_written", "Decision records on disk")
RECORDS_LOST = Counter(
    "weir_decision_records_lost", "Decision records given up, by reason", ["reason"]
)
RECORDS_BUFFERED = Gauge(
    "weir_decision_records_buffered_bytes", "Request bytes whose records wait for the disk",
    multiprocess_mode="livesum",
)  # fmt: skip
for _reason in ("crash", "overflow", "closed", "encoding", "disk"):  # a rise from 0 can be seen
    RECORDS_LOST.labels(_reason)
ACCOUNTS_DROPPED = Counter(
    "weir_accounts_dropped", "Accounts left out because there is no key to hash them with"
)

# the process
MODEL = Gauge(
    "weir_model", "1 for the versions that are served", ["model_version", "threshold_version"],
    multiprocess_mode="livemax",
)  # fmt: skip
WORKERS = Gauge("weir_workers", "Worker processes that live", multiprocess_mode="livesum")
RESIDENT_BYTES = Gauge(
    "weir_worker_resident_bytes", "Memory of a worker process", multiprocess_mode="liveall"
)
DESCRIPTORS = Gauge(
    "weir_worker_open_descriptors", "Open file descriptors of a worker process",
    multiprocess_mode="liveall",
)  # fmt: skip
CPU_SECONDS = Counter("weir_worker_cpu_seconds", "CPU time that workers used")


@cache
def counter(metric: Counter, *labels: str) -> Counter:
    """The child with these labels, looked up once; a metric without labels is its own child.

    Only for labels of a known, small set: children are kept for ever.
    """
    return metric.labels(*labels) if labels else metric


@cache
def histogram(metric: FoldedHistogram, *labels: str) -> FoldedHistogram:
    """As `counter`."""
    return metric.labels(*labels) if labels else metric


def set_versions(model_version: str, threshold_version: str) -> None:
    """What is served from now on."""
    for served in list(_served):
        MODEL.labels(*served).set(0)
    _served.clear()
    _served.add((model_version, threshold_version))
    MODEL.labels(model_version, threshold_version).set(1)


_served: set[tuple[str, str]] = set()

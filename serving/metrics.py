"""What a model server counts, for Prometheus; KServe's `/metrics` shows it with its own."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter(
    "weir_requests", "Inference requests by protocol and HTTP status", ["protocol", "status"]
)
IN_FLIGHT = Gauge("weir_requests_in_flight", "Inference requests being answered")
SECONDS = Histogram(
    "weir_request_seconds",
    "From the last byte of a request to the first of its answer",
    ["arm"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56),
)
VERDICTS = Counter("weir_verdicts", "Verdicts by arm and action", ["arm", "action"])
RECORDS_WRITTEN = Counter("weir_decision_records_written", "Decision records on disk")
RECORDS_LOST = Counter(
    "weir_decision_records_lost", "Decision records given up, by reason", ["reason"]
)
ACCOUNTS_DROPPED = Counter(
    "weir_accounts_dropped", "Accounts left out because there is no key to hash them with"
)

"""A worker process that counts one thing a line of its input: `counting_worker`.

`shed CLASS`, `took SECONDS`, `depth N`, `model VERSION`, or `scrape`, which it answers with the
length of what `/metrics` would show and that text; every other line it answers with an empty one.
"""

from __future__ import annotations

import sys

from prometheus_client import generate_latest

from serving import metrics
from serving.meter import Meter


def main() -> None:
    meter = Meter(fold_seconds=3600)
    meter.start()
    for line in sys.stdin:
        word, _, value = line.strip().partition(" ")
        shown = b""
        match word:
            case "shed":
                meter.shed(value, "saturated")
            case "took":
                meter.answered("v2", "normal", "stable", "text", float(value), in_time=True)
            case "depth":
                metrics.QUEUE_DEPTH.labels("bulk").set(float(value))
            case "breaker":
                meter.breaker("image", value)
            case "model":
                metrics.set_versions(value, "t")
            case "scrape":
                shown = generate_latest(meter)
        meter.fold()
        sys.stdout.buffer.write(f"{len(shown)}\n".encode() + shown)
        sys.stdout.flush()


if __name__ == "__main__":
    main()

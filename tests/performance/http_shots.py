"""What a load sends and when, and what came back.

Latency counts from the planned time, so that a server that stalls cannot slow its own load down
(coordinated omission; Tene 2013, "How NOT to Measure Latency").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
EVENT_ID = "event-{:08d}"
HISTOGRAM_EDGES = tuple(round(2 ** (step / 2), 3) for step in range(27))  # milliseconds, to 8 s


@dataclass(frozen=True)
class Load:
    """`times` float64[n], seconds from the start; `picks` int64[n], which of `requests` goes then.

    `names` are the requests' classes. In a request made by `post` around the id
    EVENT_ID.format(0), the shot's own number, counted from `first`, takes the id's place.
    """

    times: Floats
    picks: Integers
    requests: tuple[bytes, ...]
    names: tuple[str, ...]
    first: int = 0

    @classmethod
    def closed(cls, requests: Sequence[bytes], first: int = 0) -> Load:
        """All at once: with few connections, each sends its next request when it has its answer."""
        n = len(requests)
        return cls(np.zeros(n), np.arange(n), tuple(requests), ("",) * n, first)

    def then(self, later: Load, seconds: float) -> Load:
        """This load, and another that begins `seconds` after it."""
        shift = len(self.requests)
        times = np.concatenate([self.times, later.times + seconds])
        picks = np.concatenate([self.picks, later.picks + shift])
        order = np.argsort(times, kind="stable")
        both = (*self.requests, *later.requests), (*self.names, *later.names)
        return Load(times[order], picks[order], *both, self.first)


@dataclass(frozen=True)
class Heard:
    """What came back: seconds from the planned time, NaN where nothing came; the HTTP status, 0
    where none came; whether a refusal was deliberate. `late`: seconds by which the load itself was
    behind its plan. `cpu_seconds` are the load's own.
    """

    names: NDArray[np.str_]
    times: Floats
    seconds: Floats
    statuses: Integers
    deliberate: Booleans
    late: Floats
    cpu_seconds: float
    wall_seconds: float
    bodies: tuple[bytes, ...] = ()

    def where(self, chosen: Booleans) -> Heard:
        """Of the requests chosen, booleans[n]; without bodies."""
        parts = ("names", "times", "seconds", "statuses", "deliberate", "late")
        return replace(self, **{part: getattr(self, part)[chosen] for part in parts}, bodies=())

    def of(self, name: str) -> Heard:
        """Of one class of requests."""
        return self.where(self.names == name)

    def between(self, start: float, end: float) -> Heard:
        """Of the requests planned in that time, seconds from the start."""
        return self.where((self.times >= start) & (self.times < end))

    def share(self, within_seconds: float = np.inf) -> float:
        """Of the requests offered, those answered with 200 in time."""
        return float(((self.statuses == 200) & (self.seconds <= within_seconds)).mean())

    def quantile(self, q: float) -> float:
        """Milliseconds, over all offered; infinite where so many had no answer of 200."""
        seconds = np.where(self.statuses == 200, self.seconds, np.inf)
        return float(1000 * np.quantile(seconds, q, method="higher"))

    def quantiles(self) -> dict[str, float]:
        """Milliseconds over all offered."""
        return {f"p{100 * q:g}": round(self.quantile(q), 1) for q in (0.5, 0.95, 0.99, 0.999)}

    def histogram(self) -> dict[str, int]:
        """Answers of 200 by the upper edge of their latency in milliseconds."""
        seconds = self.seconds[self.statuses == 200]
        edges = (0.0, *HISTOGRAM_EDGES, np.inf)
        counts, _ = np.histogram(1000 * seconds, edges)
        return {f"{edge:g}": int(n) for edge, n in zip(edges[1:], counts, strict=True) if n}

    def by_status(self) -> dict[str, int]:
        """How many had each status; `0` had no answer."""
        return {str(status): n for status, n in sorted(Counter(self.statuses.tolist()).items())}

    def generator(self) -> dict[str, float]:
        """What the load itself took: a busy one would measure itself."""
        return {
            "cpu_microseconds_a_request": round(1e6 * self.cpu_seconds / len(self.seconds), 1),
            "share_of_a_core": round(self.cpu_seconds / self.wall_seconds, 3),
            "late_p99_milliseconds": round(float(1000 * np.quantile(self.late, 0.99)), 2),
        }


def post(path: str, body: bytes, **headers: str) -> bytes:
    """A whole request; underscores in header names become hyphens."""
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = (
        f"POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n{more}"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def poisson(rate: float, seconds: float, rng: np.random.Generator) -> Floats:
    """Arrival times in [0, seconds) at `rate` a second."""
    times = np.cumsum(rng.exponential(1 / rate, int(rate * seconds * 1.5) + 50))
    return np.asarray(times[times < seconds])

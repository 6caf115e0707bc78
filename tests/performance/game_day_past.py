"""The past that the monitor compares the game day with: three weeks of the shorter hour.

Made, and said so: reports are drawn about the level of the first live intervals, in which clients
are steady (one interval of varied ones may be far from their mean), as varied as the clients are
afterwards (`game_day_traffic`); of the day before, decision records of the last interval are
written again under earlier times, so that features and slices have a yesterday.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from data_contracts.config import Settings
from data_contracts.files import write_atomically
from evaluation.monitoring.system import decisions_since, traffic
from tests.performance.game_day_quiet import HOURS_A_DAY, HOURS_A_WEEK, Level, simulated
from tests.performance.game_day_traffic import DISPERSION, PRECISION

WEEKS, SEED = 3, 20_261_130
LATENCY_NOISE = 0.15  # of a machine that other things run on, too
RECORDS_AN_HOUR = 400
LEAST_DECISIONS = 300


def write_past(settings: Settings, now: datetime, seconds: float, intervals: int) -> Level:
    """From the last `intervals` of `seconds`; the level it found. RuntimeError where there was too
    little traffic."""
    hour = timedelta(seconds=seconds)
    seen = traffic(decisions_since(settings.home / "decisions", now - intervals * hour, now))
    decisions = seen["decisions"] / intervals
    if decisions < LEAST_DECISIONS:
        raise RuntimeError(f"{decisions:.0f} decisions in {seconds:.0f} s; the clients stall")
    level = Level(
        decisions=decisions, positive_rate=seen["positive_rate"]["value"],
        latencies=seen["arms"]["stable"]["latency_ms"], dispersion=DISPERSION,
        precision=PRECISION, latency_noise=LATENCY_NOISE, wandering=0.0, seasonal=False,
    )  # fmt: skip
    rows = WEEKS * HOURS_A_WEEK
    begin = now - rows * hour
    folder = settings.reports / "monitoring"
    for report in simulated(np.random.default_rng(SEED), level, rows, begin, hour):
        end = datetime.fromisoformat(report["window"]["end"]).astimezone(UTC)
        name = f"{end:%Y%m%dT%H%M%SZ}.json"
        write_atomically(folder / name, orjson.dumps(report))
    _write_records(settings.home / "decisions", now, hour)
    return level


def _write_records(folder: Path, now: datetime, hour: timedelta) -> None:
    """RECORDS_AN_HOUR of every hour of the day before, drawn from those of the last one."""
    known = [one for one in _records(folder) if now - hour <= _decided(one) < now]
    rng = np.random.default_rng(SEED)
    lines = []
    for back in range(HOURS_A_DAY + 1):
        end = now - (back + 1) * hour
        for place, at in enumerate(rng.integers(len(known), size=RECORDS_AN_HOUR).tolist()):
            decided = end - hour + place * hour / RECORDS_AN_HOUR
            record = {**known[at], "decided_at": decided.isoformat()}
            lines.append(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
    write_atomically(folder / "past-1.jsonl", b"".join(lines))


def _records(folder: Path) -> Iterator[dict[str, Any]]:
    for path in folder.glob("*.jsonl"):
        for line in path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                record = orjson.loads(line)
                if not record["mirrored"]:
                    yield record


def _decided(record: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(record["decided_at"])

"""Features of the past, computed online and offline: the same to the last bit.

    make bench-feature-parity        (or: python -m tests.performance.bench_feature_parity)

A seeded simulation (no real traffic): ordinary accounts by day, clockwork accounts, and a farm of
accounts that share devices, with follows, likes, reports and findings of spam. Online: an LMDB
store, every event read before it is told, the process replaced by a new one in the middle.
Offline: the lake's Parquet, replayed. Then a sample is computed again from the log cut off at each
event's time. CPU and bytes are those of behaviour alone.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from data_contracts.actions import ACTION_KINDS, Action
from data_contracts.config import load_settings
from data_contracts.events import Event
from data_contracts.files import write_atomically
from pipelines import lake as tables
from pipelines.action_log import write_actions
from pipelines.enrichment import Enrichment, in_order_of_time
from pipelines.feature_store.lmdb import LmdbStates
from pipelines.feature_store.offline import check_point_in_time, past_of, replayed
from pipelines.feature_store.states import MemoryStates, StateStore
from pipelines.features.behaviour.state import BehaviourState
from pipelines.features.media.base import MediaReader
from pipelines.features.surroundings.state import SurroundingsState
from tests.performance.provenance import commit

EVENTS, SEED, SAMPLE, DAYS = 10_000, 7, 1000, 5
FIRST = datetime(2026, 1, 5, tzinfo=UTC)
PEOPLE, CLOCKWORK, FARM, DEVICES = 600, 20, 80, 4
ACTIONS_PER_EVENT = 2
SAYINGS = ("good morning", "look at this", "win a prize now", "see you at lunch", "new song out")
NO_MEDIA: MediaReader = None  # type: ignore[assignment]

Past = dict[str, Mapping[str, float]]  # by event


@dataclass(frozen=True)
class Log:
    """What happened, each in order of time."""

    events: list[Event]
    actions: list[Action]


def main() -> int:
    arguments = _arguments()
    settings = load_settings()
    log = simulated(arguments.events, arguments.seed)
    print(f"{len(log.events)} events, {len(log.actions)} actions", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        report = _report(log, Path(folder), arguments.seed)
    path = settings.home / "reports" / "bench-feature-parity.json"
    write_atomically(path, orjson.dumps(report, option=orjson.OPT_INDENT_2))
    print(f"{_table(report)}\n\nreport: {path}")
    return 0


def fresh(states: StateStore | None = None) -> Enrichment:
    """An enrichment that knows nothing, or what `states` hold."""
    kept = states or MemoryStates()
    return Enrichment(BehaviourState(kept), SurroundingsState(kept), NO_MEDIA)


def online(log: Log, folder: Path) -> Past:
    """Read, then told, one by one; the second half in another process over the same store."""
    happened = list(in_order_of_time(log.events, log.actions))
    half = len(happened) // 2
    fresh_processes = multiprocessing.get_context("forkserver")
    fresh_processes.set_forkserver_preload([__name__])  # both begin with what is imported once
    with fresh_processes.Pool(1, maxtasksperchild=1) as processes:
        parts = [
            processes.apply(_served, (part, folder)) for part in (happened[:half], happened[half:])
        ]
    return parts[0] | parts[1]


def offline(log: Log, folder: Path) -> Past:
    """By way of the lake's Parquet and a replay from nothing."""
    write_lake(log, folder / "lake")
    return {event.event_id: past_of(event) for event in replayed(folder / "lake", fresh())}


def write_lake(log: Log, lake: Path) -> None:
    for day in sorted({_day(event.occurred_at) for event in log.events}):
        rows = [_row(event) for event in log.events if _day(event.occurred_at) == day]
        tables.write(lake, "events", day, tables.rows("events", rows))
    for day in sorted({_day(action.at) for action in log.actions}):
        write_actions(lake, day, [action for action in log.actions if _day(action.at) == day])


def largest_difference(first: Past, second: Past) -> float:
    """Of any feature of any event; infinity where one has a feature that the other has not."""
    if first.keys() != second.keys():
        return float("inf")
    pairs = [(first[event], second[event]) for event in first]
    if any(one.keys() != other.keys() for one, other in pairs):
        return float("inf")
    return max(abs(one[key] - other[key]) for one, other in pairs for key in one)


def simulated(events: int, seed: int) -> Log:
    """`events` posts over DAYS days and twice as many actions, in order of time."""
    rng = np.random.default_rng(seed)
    posts = sorted(_posts(events, rng), key=lambda event: (event.occurred_at, event.event_id))
    actions = _actions(events * ACTIONS_PER_EVENT, rng)
    return Log(posts, sorted(actions, key=lambda action: action.at))


def _served(happened: Sequence[Event | Action], folder: Path) -> Past:
    """One process of the online path. Raises RuntimeError where a source failed."""
    past: Past = {}
    with LmdbStates(folder) as states:
        enrichment = fresh(states)
        for one in happened:
            if isinstance(one, Action):
                enrichment.observe_action(one)
            else:
                past[one.event_id] = past_of(enrichment.enriched(one))
                enrichment.observe(one)
    if enrichment.failures:
        raise RuntimeError(f"sources failed: {dict(enrichment.failures)}")
    return past


def _costs(log: Log, folder: Path) -> dict[str, float]:
    """CPU microseconds of behaviour over LMDB: to read an event's past, and to fold it in."""
    read, update = [], []
    with LmdbStates(folder) as states:
        behaviour = BehaviourState(states)
        for one in in_order_of_time(log.events, log.actions):
            if isinstance(one, Action):
                behaviour.observe_action(one)
                continue
            began = time.process_time_ns()
            behaviour.features(one)
            between = time.process_time_ns()
            behaviour.observe_event(one)
            read.append((between - began) / 1000)
            update.append((time.process_time_ns() - between) / 1000)
    return {
        f"{name}_microseconds_{label}": round(float(np.percentile(spent, level)), 1)
        for name, spent in (("read", read), ("update", update))
        for label, level in (("median", 50), ("p99", 99))
    }


def _posts(count: int, rng: np.random.Generator) -> Iterator[Event]:
    for number in range(count):
        kind = rng.choice(["person", "clockwork", "farm"], p=[0.7, 0.1, 0.2])
        account, seconds, device = _who_and_when(str(kind), number, count, rng)
        who = int(account.rpartition(" ")[2])
        context: dict[str, Any] = {
            "account_created_at": (FIRST - timedelta(days=who * 3 + 1)).isoformat(),
            "device": device, "followers": who * 7, "following": who * 3,
            "utc_offset_minutes": (who % 24 - 12) * 60, "has_avatar": who % 5 > 0,
        }  # fmt: skip
        yield Event(
            event_id=f"e{number:06d}",
            account=account,
            text=f"{SAYINGS[rng.integers(len(SAYINGS))]} {rng.integers(100)}",
            occurred_at=FIRST + timedelta(seconds=seconds),
            context=context if rng.random() < 0.9 else {},
        )


def _who_and_when(
    kind: str, number: int, count: int, rng: np.random.Generator
) -> tuple[str, float, str]:
    """People post at any time from a device of their own, farms together from a few devices."""
    if kind == "person":
        who = int(PEOPLE * rng.random() ** 2)
        return f"person {who}", DAYS * 86_400 * float(rng.random()), f"phone {who}"
    if kind == "clockwork":
        return f"clockwork {number % CLOCKWORK}", DAYS * 86_400.0 * number / count, "server"
    burst = 86_400.0 * int(rng.integers(DAYS)) + 3600 * int(rng.integers(24))
    who = int(rng.integers(FARM))
    return f"farm {who}", burst + float(rng.exponential(90)), f"rack {who % DEVICES}"


def _actions(count: int, rng: np.random.Generator) -> Iterator[Action]:
    shares = np.array([0.2, 0.03, 0.25, 0.1, 0.39, 0.02, 0.01])
    names = [f"person {n}" for n in range(PEOPLE)] + [f"farm {n}" for n in range(FARM)]
    for _ in range(count):
        kind = ACTION_KINDS[int(rng.choice(len(ACTION_KINDS), p=shares))]
        who, whom = (names[int(len(names) * rng.random() ** 1.5)] for _ in range(2))
        if kind in ("report", "confirmed_spam"):
            whom = f"farm {rng.integers(FARM)}"
        at = FIRST + timedelta(seconds=DAYS * 86_400 * float(rng.random()))
        yield Action(who, kind, whom, at, "rack 0" if who.startswith("farm") else None)


def _report(log: Log, folder: Path, seed: int) -> dict[str, Any]:
    served, rebuilt = online(log, folder / "states"), offline(log, folder)
    built = fresh().enrich_in_order(log.events, log.actions)
    rng = np.random.default_rng(seed)
    check_point_in_time(built, log.actions, fresh, sample=SAMPLE, rng=rng)
    row = {
        "events": len(log.events), "actions": len(log.actions), "data": f"simulated, seed {seed}",
        "values_compared": sum(map(len, served.values())),
        "features": len({key for past in served.values() for key in past}),
        "largest_difference": largest_difference(served, rebuilt),
        "point_in_time_sample": SAMPLE, **_costs(log, folder / "costs"), **_bytes(log),
    }  # fmt: skip
    return {
        "name": "feature-parity", "commit": commit(), "rows": [row], "goals": [_goal(row)],
    }  # fmt: skip


def _goal(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": "feature-parity",
        "statement": "features computed online and offline are equal bit for bit",
        "target": "difference 0 over 10,000 events",
        "measured": f"{row['largest_difference']:g} over {row['events']} events",
        "met": row["largest_difference"] == 0 and row["events"] >= EVENTS,
    }


def _bytes(log: Log) -> dict[str, float]:
    """Mean and most bytes of packed state, by kind."""
    states = _Weighed()
    for _ in fresh(states).replay(log.events, log.actions):
        pass
    sizes = {
        kind: [size for key, size in states.sizes.items() if key.startswith(kind)]
        for kind in ("account", "standing", "device")
    }
    return {
        f"bytes_of_{kind}_{name}": round(float(of(found)), 1)
        for kind, found in sizes.items()
        for name, of in (("mean", np.mean), ("most", np.max))
    }


class _Weighed(MemoryStates):
    """State in memory, with its size by key."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[str, int] = {}

    def put(self, key: str, state: bytes) -> None:
        self.sizes[key] = len(state)
        super().put(key, state)


def _row(event: Event) -> dict[str, Any]:
    return {
        "event_id": event.event_id, "text": event.text, "occurred_at": event.occurred_at,
        "account_hash": event.account, "language": event.language, "media": "[]",
        "context": orjson.dumps(event.context).decode(), "source": "simulation",
    }  # fmt: skip


def _day(at: datetime | None) -> str:
    return at.date().isoformat() if at else ""


def _table(report: Mapping[str, Any]) -> str:
    lines = [f"{name:<27}{value}" for name, value in report["rows"][0].items()]
    lines += ["", "goals"]
    lines += [
        f"  {'met' if goal['met'] else 'NOT MET':<8}{goal['statement']} ({goal['target']}): "
        f"{goal['measured']}"
        for goal in report["goals"]
    ]
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--seed", type=int, default=SEED)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

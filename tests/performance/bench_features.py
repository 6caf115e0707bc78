"""One read of features: Weir's online stores beside Feast's Redis path.

    make bench-features        (or: python -m tests.performance.bench_features)

The same 50 float64 features of the same 1,000 accounts, made up, in the same Redis (Debian's, on
loopback) and in LMDB; Feast in an environment of its own, with the client that it pins. CPU is the
reader's process and, for Redis, what the server says it spent meanwhile (INFO cpu). Rounds are
interleaved, in an order that rotates; a ratio is that of one round, and the median is told with the
least and the most. What a verdict reads, `enriched(event)`, stands beside it: a seeded simulation,
folded into each store, and events that it had not seen.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import redis

from data_contracts.config import PROJECT, load_settings
from data_contracts.events import Event
from data_contracts.files import write_atomically
from pipelines.enrichment import in_order_of_time
from pipelines.feature_store.base import FeatureView, OnlineStore
from pipelines.feature_store.lmdb import LmdbStates, LmdbStore
from pipelines.feature_store.opening import enrichment_over
from pipelines.feature_store.reading import EventReads, FeatureReader
from pipelines.feature_store.redis import RedisStates, RedisStore
from pipelines.feature_store.states import BatchedStates, MemoryStates
from pipelines.features.media.base import MediaReader
from serving.circuit_breaker import CircuitBreaker
from tests.performance.bench_feature_parity import simulated
from tests.performance.provenance import commit
from tests.redis_server import MISSING, RedisServer

FEAST = "feast[redis]==0.67.0"
ENTITIES, FEATURES, TOGETHER = 1000, 50, 16
READS, ROUNDS, GOAL, SEED = 1000, 7, 10.0, 7
EVENTS, JUDGED, PASSES = 3000, 500, 7
TIMEOUT_SECONDS = 10.0
VIEW = FeatureView("bench", 1, tuple(f"f{n}" for n in range(FEATURES)), timedelta(days=1))
NO_MEDIA: MediaReader = None  # type: ignore[assignment]

Read = Callable[[int, int], float]  # CPU seconds of so many reads of so many entities each
Round = dict[str, float]  # microseconds a read, by path
GOALS = ("lmdb", "redis")
LABELS = {"lmdb": "Weir, LMDB", "redis": "Weir, Redis", "feast": "Feast, Redis"}


def main() -> int:
    arguments = _arguments()
    settings = load_settings()
    python, problem = None, MISSING
    if shutil.which("redis-server") is not None:
        python, problem = _feast_environment(settings.cache / "feast")
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder, ExitStack() as open_:
        report = _report(Path(folder), open_, python, problem, arguments)
    path = settings.reports / "bench-features.json"
    write_atomically(path, orjson.dumps(report, option=orjson.OPT_INDENT_2))
    print(f"{_table(report)}\n\nreport: {path}")
    return 0


def values_of(entity: int) -> list[float]:
    """What every path has of an account; exact in float64."""
    return [entity + column / 64 for column in range(FEATURES)]


def _report(
    folder: Path,
    open_: ExitStack,
    python: Path | None,
    problem: str,
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    if problem == MISSING:
        return _told([], arguments, None, problem, [_goal(name, [], problem) for name in GOALS])
    server = open_.enter_context(RedisServer(folder / "redis"))
    paths: dict[str, Read] = {
        "lmdb": _reads(open_.enter_context(LmdbStore(folder / "rows", VIEW, _now)), None),
        "redis": _reads(
            open_.enter_context(RedisStore(server.url, VIEW, _now, TIMEOUT_SECONDS)), server
        ),
    }
    version = None
    if python is not None:
        feast = open_.enter_context(_Feast(python, folder, server))
        paths["feast"], version = feast.read, feast.version
    single = _rounds(paths, arguments.rounds, arguments.reads, 1)
    together = _rounds(paths, arguments.rounds, max(arguments.reads // TOGETHER, 20), TOGETHER)
    rows = [*_rows(single, 1), *_rows(together, TOGETHER), *_verdict_rows(folder, server)]
    goals = [_goal(name, single, problem) for name in GOALS]
    return _told(rows, arguments, version, problem, goals)


def _told(
    rows: list[dict[str, Any]],
    arguments: argparse.Namespace,
    version: str | None,
    problem: str,
    goals: list[dict[str, Any]],
) -> dict[str, Any]:
    return {
        "name": "features", "commit": commit(), "feast": version, "feast_missing": problem or None,
        "data": f"made up: {ENTITIES} entities of {FEATURES} float64 features",
        "rounds": arguments.rounds, "reads_a_round": arguments.reads,
        "rows": rows, "goals": goals,
    }  # fmt: skip


def _rounds(paths: Mapping[str, Read], rounds: int, reads: int, entities: int) -> list[Round]:
    """The first round warms up and is not kept."""
    orders = _rotated(list(paths), rounds + 1)
    return [
        {name: paths[name](reads, entities) / reads * 1e6 for name in order} for order in orders
    ][1:]


def _reads(store: OnlineStore, server: RedisServer | None) -> Read:
    """Fill the store; how to measure it. Raises RuntimeError where it answers anything else."""
    for entity in range(ENTITIES):
        store.put(f"account-{entity}", values_of(entity), _now())

    def read(reads: int, entities: int) -> float:
        with _server_seconds(server) as spent_there:
            found: Sequence[Any] = ()
            began = time.process_time()
            if entities == 1:
                for number in range(reads):
                    found = [store.get(f"account-{number % ENTITIES}")]
            else:
                for number in range(reads):
                    found = store.get_many(
                        [f"account-{(number + one) % ENTITIES}" for one in range(entities)]
                    )
            spent = time.process_time() - began
        _check([list(row.values) for row in found], reads, entities)
        return spent + spent_there[0]

    return read


def _check(rows: Sequence[Sequence[float]], reads: int, entities: int) -> None:
    wanted = [values_of((reads - 1 + one) % ENTITIES) for one in range(entities)]
    if [list(row) for row in rows] != wanted:
        raise RuntimeError("a path does not answer what was put; its time means nothing")


@contextmanager
def _server_seconds(server: RedisServer | None) -> Iterator[list[float]]:
    """The CPU seconds that Redis spent inside of the block, as its one item."""
    spent = [0.0]
    if server is None:
        yield spent
        return
    with redis.Redis(port=server.port) as client:
        before = _cpu_of(client)
        yield spent
        spent[0] = _cpu_of(client) - before


def _cpu_of(client: Any) -> float:
    told = client.info("cpu")
    return float(told["used_cpu_user"]) + float(told["used_cpu_sys"])


class _Feast:
    """A process in Feast's environment, asked line by line."""

    def __init__(self, python: Path, folder: Path, server: RedisServer) -> None:
        self._server = server
        (folder / "feast").mkdir()
        self._process = subprocess.Popen(
            [str(python), str(Path(__file__).with_name("feast_reads.py")), str(folder / "feast"),
             str(server.port), str(ENTITIES), str(FEATURES)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder,
        )  # fmt: skip
        self.version: str = self._answer()["version"]

    def __enter__(self) -> _Feast:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def read(self, reads: int, entities: int) -> float:
        if self._process.stdin is None:
            raise RuntimeError("the process of Feast has no input")
        with _server_seconds(self._server) as spent_there:
            print(
                json.dumps({"reads": reads, "entities": entities}),
                file=self._process.stdin, flush=True,
            )  # fmt: skip
            answer = self._answer()
        _check(answer["rows"], reads, entities)
        return float(answer["seconds"]) + spent_there[0]

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError("the process of Feast ended; its last lines are above")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _feast_environment(folder: Path) -> tuple[Path | None, str]:
    """Its Python, made where it is not there yet; None and why where it cannot be had."""
    python = folder / "bin" / "python"
    if not (folder / "complete").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        for command in (
            ["venv", str(folder), "--python", sys.executable],
            ["pip", "install", "--python", str(python), FEAST],
        ):
            done = subprocess.run(
                [sys.executable, "-m", "uv", *command],
                cwd=PROJECT, capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode != 0:
                last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
                return None, f"{FEAST} does not install: {last}"
        (folder / "complete").touch()
    return python, ""


def _verdict_rows(folder: Path, server: RedisServer) -> list[dict[str, Any]]:
    """CPU of what a verdict reads, by store, and how many round trips that takes."""
    log = simulated(EVENTS + JUDGED, SEED)
    first = log.events[EVENTS].occurred_at
    past = list(
        in_order_of_time(
            log.events[:EVENTS], [one for one in log.actions if first is None or one.at < first]
        )
    )
    memory = MemoryStates()
    known = enrichment_over(memory, NO_MEDIA)
    for one in past:
        known.observe(one) if isinstance(one, Event) else known.observe_action(one)
    month = timedelta(days=30)
    with (
        LmdbStates(folder / "states") as lmdb_states,
        RedisStates(server.url, month, TIMEOUT_SECONDS) as redis_states,
    ):
        stores: dict[str, BatchedStates] = {
            "memory": memory, "lmdb": lmdb_states, "redis": redis_states,
        }  # fmt: skip
        for states in (lmdb_states, redis_states):
            states.put_many(memory._states)
        passes = [
            {name: _verdicts(name, states, server, log.events[EVENTS:]) for name, states in order}
            for order in _rotated(list(stores.items()), PASSES)
        ]
    return [_verdict_row(name, [one[name] for one in passes]) for name in stores]


def _rotated(items: list[Any], times: int) -> list[list[Any]]:
    return [items[one % len(items) :] + items[: one % len(items)] for one in range(times)]


def _verdicts(
    name: str, states: BatchedStates, server: RedisServer, events: Sequence[Any]
) -> dict[str, float]:
    """One pass over the events: means of an event, in microseconds and in numbers."""
    counted = _Counted(states)
    reads = EventReads(counted)
    breaker = CircuitBreaker(load_settings().serving.stage_guards)
    reader = FeatureReader(reads, enrichment_over(reads, NO_MEDIA), breaker)
    with _server_seconds(server if name == "redis" else None) as spent_there:
        began, began_wall = time.process_time(), time.perf_counter()
        readings = [reader.enriched(event) for event in events]
        cpu, wall = time.process_time() - began, time.perf_counter() - began_wall
    if any(reading.reasons for reading in readings):
        raise RuntimeError(f"{name} failed for an event; its time means nothing")
    return {
        "cpu_microseconds": cpu / len(events) * 1e6,
        "wall_microseconds": wall / len(events) * 1e6,
        "server_cpu_microseconds": spent_there[0] / len(events) * 1e6,
        "round_trips": counted.round_trips / len(events),
        "keys": counted.keys / len(events),
    }


def _verdict_row(name: str, passes: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    return {
        "what": "enriched(event)", "store": name, "events": JUDGED, "passes": len(passes),
        "data": f"simulated, seed {SEED}, {EVENTS} events and their actions before; "
        "medians over passes of an event's mean",
        **{key: round(statistics.median(one[key] for one in passes), 2) for key in passes[0]},
    }  # fmt: skip


class _Counted:
    """A store that counts round trips and keys."""

    def __init__(self, states: BatchedStates) -> None:
        self.round_trips, self.keys = 0, 0
        self.put, self.put_many = states.put, states.put_many
        self._states = states

    def get(self, key: str) -> bytes | None:
        self.round_trips, self.keys = self.round_trips + 1, self.keys + 1
        return self._states.get(key)

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        self.round_trips, self.keys = self.round_trips + 1, self.keys + len(keys)
        return self._states.get_many(keys)


def _rows(rounds: Sequence[Round], entities: int) -> list[dict[str, Any]]:
    return [
        {
            "what": f"{FEATURES} features of {entities} entities", "path": LABELS[name],
            "cpu_microseconds_a_read": round(statistics.median(one[name] for one in rounds), 2),
            "least": round(min(one[name] for one in rounds), 2),
            "most": round(max(one[name] for one in rounds), 2),
            "times_cheaper_than_feast": _shown_ratio(name, rounds),
        }
        for name in rounds[0]
    ]  # fmt: skip


def _shown_ratio(name: str, rounds: Sequence[Round]) -> float | None:
    ratios = _ratios(name, rounds)
    return round(statistics.median(ratios), 1) if ratios else None


def _ratios(name: str, rounds: Sequence[Round]) -> list[float]:
    return [one["feast"] / one[name] for one in rounds if "feast" in one and name != "feast"]


def _goal(name: str, rounds: Sequence[Round], problem: str) -> dict[str, Any]:
    ratios = _ratios(name, rounds)
    median = statistics.median(ratios) if ratios else None
    return {
        "id": f"features-{name}-beside-feast",
        "statement": f"one read of {FEATURES} features ({LABELS[name]}) beside Feast's Redis path",
        "target": f">= {GOAL:g} times cheaper per CPU-second",
        "measured": f"not measured: {problem}" if median is None else (
            f"{median:.1f} times, median of {len(ratios)} rounds "
            f"({min(ratios):.1f} to {max(ratios):.1f})"
        ),
        "met": median is not None and median >= GOAL and len(ratios) >= 5,
    }  # fmt: skip


def _table(report: Mapping[str, Any]) -> str:
    lines = [f"{'features':<30}{'path':<14}{'CPU us a read':>14}{'beside Feast':>14}"]
    lines += [
        f"{row['what']:<30}{row['path']:<14}{row['cpu_microseconds_a_read']:>14}"
        f"{row['times_cheaper_than_feast'] or '':>14}"
        for row in report["rows"] if "path" in row
    ]  # fmt: skip
    lines += ["", f"{'enriched(event)':<30}{'CPU us':>14}{'wall us':>14}{'server':>10}{'trips':>8}"]
    lines += [
        f"{row['store']:<30}{row['cpu_microseconds']:>14}"
        f"{row['wall_microseconds']:>14}{row['server_cpu_microseconds']:>10}"
        f"{row['round_trips']:>8}"
        for row in report["rows"] if "store" in row
    ]  # fmt: skip
    lines += ["", "goals"]
    lines += [
        f"  {'met' if goal['met'] else 'NOT MET':<8}{goal['statement']} ({goal['target']}): "
        f"{goal['measured']}"
        for goal in report["goals"]
    ]
    return "\n".join(lines)


def _now() -> datetime:
    return datetime.now(UTC)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--reads", type=int, default=READS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

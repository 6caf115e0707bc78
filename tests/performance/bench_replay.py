"""Verdicts of one process decided again by another, and compared byte for byte.

    make bench-replay        (or: python -m tests.performance.bench_replay [--verdicts N])

An ensemble of every stage is trained on messages of the text sets and on composed traffic with
media and features of the past (made-up sources). A model server (`python -m serving serve`) decides
the events over HTTP and is stopped; `python -m serving replay`, a process of its own, decides its
records again. Messages are repeated under other ids, in a shuffled order, so both processes compute
a message as often as it comes. `--model DIR` takes an artefact instead of training one.

The cost of a record is CPU of the whole process, both threads and the system calls, from the
verdicts at hand to the lines on disk: the median of ROUNDS over the events of the run.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import numpy as np
import orjson

from data_contracts.config import PROJECT, Settings, load_settings
from data_contracts.errors import MissingPart
from data_contracts.events import Event
from data_contracts.files import write_atomically
from data_contracts.labels import LabelledEvent
from data_contracts.secrets import ACCOUNT_KEY
from pipelines.catalogue import read_labelled
from serving.decision_log import DecisionLog
from serving.decision_records import (
    StoredRecord,
    UnwrittenRecord,
    event_fields,
    lines_of,
    record_files,
)
from tests.all_modalities import composed, small_ensemble
from tests.performance.provenance import commit
from training.stage_sources import media_reader

SETS = ("text_sms_spam_uci", "text_sms_turkish", "text_telegram_chinese", "text_youtube_spam")
VERDICTS, COMPOSED_SHARE, COMPOSED, TRAINED_ON, SEED = 100_000, 0.02, 800, 1000, 20_260_105
BATCH_EVENTS, BATCH_BYTES, ROUNDS, RECORD_MICROSECONDS = 128, 700_000, 5, 40.0
PREDICT = "/v1/models/spam:predict"
PROGRESS_SECONDS = 20.0


@dataclass(frozen=True)
class Served:
    """What the server answered and recorded, and how long deciding took."""

    answered: int
    recorded: int
    lost: int
    seconds: float


def main() -> int:
    arguments = _arguments()
    own = load_settings()
    with tempfile.TemporaryDirectory(prefix="bench-replay-", dir=_made(own.cache)) as folder:
        environment = {**os.environ, "WEIR_HOME": folder, ACCOUNT_KEY: "bench"}
        settings = load_settings(environment)
        try:
            rows = [row for name in SETS for row in read_labelled(name, own.data, own.cache)]
        except MissingPart as missing:
            print(missing, file=sys.stderr)
            return 2
        model, carried = _model(arguments.model, rows, settings)
        events = list(_events(rows, carried, arguments.verdicts))
        served = _decide(events, model, environment)
        replayed = _replay(model, settings.home, environment)
        report = _report(events, served, replayed, settings)
    path = own.reports / "bench-replay.json"
    write_atomically(path, orjson.dumps(report, option=orjson.OPT_INDENT_2))
    print(_table(report))
    print(path)
    return 0


def _model(
    given: Path | None, rows: Sequence[LabelledEvent], settings: Settings
) -> tuple[Path, Sequence[Event]]:
    """The artefact's folder, and composed events whose media lie under the media root."""
    chosen = np.random.default_rng(SEED).permutation(len(rows))[:TRAINED_ON]
    with media_reader(settings) as media:
        traffic = composed(settings, COMPOSED, media, SEED)
        if given is not None:
            return given, traffic.events
        _say(f"training on {TRAINED_ON} messages and {COMPOSED} composed events")
        training = [*(rows[at] for at in chosen), *traffic.labelled()]
        model = settings.home / "model"
        small_ensemble(settings, training, media, settings.home).save(model)
    return model, traffic.events


def _events(rows: Sequence[LabelledEvent], carried: Sequence[Event], count: int) -> Iterator[Event]:
    """`count` events with an id each, messages and composed ones mixed."""
    composed_count = round(COMPOSED_SHARE * count)
    texts = [row.event for row in rows]
    chosen = [texts[at % len(texts)] for at in range(count - composed_count)]
    chosen += [carried[at % len(carried)] for at in range(composed_count)]
    for number, at in enumerate(np.random.default_rng(SEED).permutation(count)):
        yield chosen[at].model_copy(update={"event_id": f"replay-{number}"})


def _decide(events: Sequence[Event], model: Path, environment: Mapping[str, str]) -> Served:
    answered, began = 0, time.monotonic()
    reported = began
    with _server(model, environment) as (process, url):
        began = time.monotonic()
        with httpx.Client(base_url=url, timeout=600) as client:
            for body, size in _bodies(events):
                client.post(PREDICT, content=body).raise_for_status()
                answered += size
                if time.monotonic() - reported > PROGRESS_SECONDS:
                    reported = time.monotonic()
                    rate = answered / (reported - began)
                    _say(f"decided {answered:,} of {len(events):,} ({rate:,.0f}/s)")
        seconds = time.monotonic() - began
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=120)
    counts = orjson.loads(output)
    return Served(answered, counts["decisions"], counts["decisions_lost"], seconds)


def _bodies(events: Sequence[Event]) -> Iterator[tuple[bytes, int]]:
    """Bodies of requests, and how many events each holds."""
    instances: list[bytes] = []
    for event in events:
        instances.append(orjson.dumps(event_fields(event)))
        if len(instances) == BATCH_EVENTS or sum(map(len, instances)) > BATCH_BYTES:
            yield b'{"instances":[' + b",".join(instances) + b"]}", len(instances)
            instances = []
    if instances:
        yield b'{"instances":[' + b",".join(instances) + b"]}", len(instances)


@contextmanager
def _server(
    model: Path, environment: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A model server on a free port; stopped at the end, whatever happens."""
    command = [
        sys.executable, "-m", "serving", "serve", "--model", str(model), "--port", "0",
        "--slot", "replay",
    ]  # fmt: skip
    log = Path(environment["WEIR_HOME"]) / "server.log"
    with log.open("wb") as said:
        process = subprocess.Popen(
            command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, stderr=said
        )
    try:
        yield process, _address(process, log)
    finally:
        process.kill()
        process.wait()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text()):
            return found[0]
        time.sleep(0.2)
    raise RuntimeError(f"the server did not start:\n{log.read_text()}")


def _replay(model: Path, home: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    result = home / "replay.json"
    subprocess.run(
        [sys.executable, "-m", "serving", "replay", "--records", str(home / "decisions"),
         "--model", str(model), "--result", str(result)],
        cwd=PROJECT, env=environment, check=True,
    )  # fmt: skip
    found: dict[str, Any] = orjson.loads(result.read_bytes())
    return found


def _report(
    events: Sequence[Event], served: Served, replayed: Mapping[str, Any], settings: Settings
) -> dict[str, Any]:
    files = record_files([settings.home / "decisions"])
    stored = [one for path in files for one in lines_of(path) if isinstance(one, StoredRecord)]
    size = sum(path.stat().st_size for path in files)
    costs = [_record_microseconds(events, stored, settings.home / "rounds") for _ in range(ROUNDS)]
    equal = replayed["equal"]
    return {
        "name": "replay",
        "commit": commit(),
        "sets": [*SETS, "composed traffic of made-up sources"],
        "model": replayed["model"],
        "rows": [
            {"step": "decided by the server", "verdicts": served.answered,
             "seconds": round(served.seconds, 1)},
            {"step": "recorded, after a clean stop", "verdicts": served.recorded,
             "seconds": None},
            {"step": "decided again by another process", "verdicts": replayed["replayed"],
             "seconds": replayed["seconds"]},
            {"step": "equal to the byte", "verdicts": equal, "seconds": None},
        ],
        "stages_ran": _ran(stored),
        "distinct_texts": len({event.text for event in events}),
        "with_media": sum(bool(event.media) for event in events),
        "bytes_a_record": round(size / max(len(stored), 1)),
        "record_microseconds": {"median": median(costs), "rounds": costs},
        "different": replayed["different"],
        "goals": [
            _goal("replay.equal", f"{VERDICTS:,} verdicts replayed byte for byte across a process "
                  "restart", f">= {VERDICTS:,} equal, none else",
                  {name: replayed[name] for name in
                   ("equal", "differing", "skipped_other_version", "unreadable")},
                  equal >= VERDICTS and equal == served.answered),
            _goal("replay.recorded", "a clean stop loses no record", "recorded = answered",
                  {"answered": served.answered, "recorded": served.recorded, "lost": served.lost},
                  served.recorded == served.answered and served.lost == 0),
            _goal("record.cost", "CPU to build and write a record, microseconds",
                  f"< {RECORD_MICROSECONDS:g}", median(costs),
                  median(costs) < RECORD_MICROSECONDS),
        ],
    }  # fmt: skip


def _goal(
    identity: str, statement: str, target: str, measured: object, met: bool
) -> dict[str, Any]:
    return {
        "id": identity, "statement": statement, "target": target, "measured": measured, "met": met,
    }  # fmt: skip


def _record_microseconds(
    events: Sequence[Event], stored: Sequence[StoredRecord], folder: Path
) -> float:
    """CPU of the process for each record of the run, one request an event."""
    pairs = list(zip(events, (one.record for one in stored), strict=True))
    sizes = [len(event.text) for event in events]
    log = DecisionLog(folder, "round")
    log.start()
    began = time.process_time()
    for (event, then), size in zip(pairs, sizes, strict=True):
        one = UnwrittenRecord(
            then.verdict, event, then.decided_at, False, then.milliseconds, then.artefact,
            then.budget,
        )  # fmt: skip
        log.append([one], size)
    log.close()
    seconds = time.process_time() - began
    for path in folder.glob("*.jsonl"):
        path.unlink()
    return round(1e6 * seconds / len(pairs), 2)


def _ran(stored: Sequence[StoredRecord]) -> dict[str, int]:
    """How many of the verdicts each stage had a part in."""
    ran = Counter(stage.name for one in stored for stage in one.record.verdict.stages if stage.ran)
    return dict(ran.most_common())


def _table(report: Mapping[str, Any]) -> str:
    lines = [f"{'step':36s}{'verdicts':>10s}{'seconds':>10s}"]
    for row in report["rows"]:
        seconds = "" if row["seconds"] is None else f"{row['seconds']:.1f}"
        lines.append(f"{row['step']:36s}{row['verdicts']:>10,}{seconds:>10s}")
    ran = ", ".join(f"{name} {count:,}" for name, count in report["stages_ran"].items())
    cost = report["record_microseconds"]["median"]
    lines += [
        f"stages that ran: {ran}",
        f"{report['distinct_texts']:,} distinct texts; {report['with_media']:,} events with media",
        f"a record: {report['bytes_a_record']} bytes, {cost} µs of CPU",
    ]
    for goal in report["goals"]:
        met = "met" if goal["met"] else "NOT MET"
        lines.append(f"{met:8s}{goal['statement']}: {goal['measured']} ({goal['target']})")
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--verdicts", type=int, default=VERDICTS, metavar="N")
    parser.add_argument("--model", type=Path, metavar="DIR", help="instead of training one")
    return parser.parse_args()


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _say(message: str) -> None:
    print(f"bench-replay: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

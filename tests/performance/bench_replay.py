"""Verdicts of one process decided again by another, and compared byte for byte.

    make bench-replay        (or: python -m tests.performance.bench_replay [--verdicts N])

An ensemble of every stage is trained on messages of the text sets and on composed traffic with
media and features of the past (made-up sources). A model server (`python -m serving serve`), as it
is configured, decides the events over HTTP and is stopped; `python -m serving replay`, a process of
its own, decides its records again. What the server left out by the clock (a stage that did not fit,
timed out or was held back by its breaker) stands in the records as a budget decision; revisions
that came after the answer are records too. Messages are repeated under other ids, in a shuffled
order, so both processes compute a message as often as it comes. `--model DIR` takes an artefact
instead of training one.

The cost of a record is CPU of the whole process, both threads and the system calls, from the
verdicts at hand to the lines on disk: the median of ROUNDS over the first COSTED events.
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
from dataclasses import dataclass, field
from datetime import datetime
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
from data_contracts.verdicts import DecisionRecord
from pipelines.catalogue import read_labelled
from serving.decision_log import DecisionLog
from serving.decision_records import (
    UnwrittenRecord,
    event_fields,
    read_records,
    record_files,
)
from tests.all_modalities import composed, small_ensemble
from tests.performance.provenance import commit
from training.stage_sources import media_reader

SETS = ("text_sms_spam_uci", "text_sms_turkish", "text_telegram_chinese", "text_youtube_spam")
VERDICTS, COMPOSED_SHARE, COMPOSED, TRAINED_ON, SEED = 100_000, 0.02, 800, 1000, 20_260_105
REQUEST_EVENTS, REFUSALS, ROUNDS, COSTED, RECORD_MICROSECONDS = 4, 60, 5, 20_000, 40.0
SHED = (429, 503)
PREDICT = "/v1/models/spam:predict"
HURRY = {"x-weir-deadline-milliseconds": "250"}  # OCR and video do not fit, and run afterwards
PROGRESS_SECONDS = 20.0


@dataclass(frozen=True)
class Served:
    """What the server answered and recorded, how long deciding took, and how many requests it
    refused for the time being; they were sent again.
    """

    answered: int
    recorded: int
    lost: int
    seconds: float
    refused: int


@dataclass
class Recorded:
    """What stands in the records: of them, revisions, and verdicts that a stage had a part in,
    that a budget decision was taken for, by stage and by reason.
    """

    records: int = 0
    revisions: int = 0
    every_stage: int = 0
    ran: Counter[str] = field(default_factory=Counter)
    withheld: Counter[str] = field(default_factory=Counter)

    def add(self, record: DecisionRecord) -> None:
        self.records += 1
        self.revisions += record.verdict.revision > 0
        self.every_stage += record.budget.every_stage
        self.ran.update(stage.name for stage in record.verdict.stages if stage.ran)
        self.withheld.update(why for _, why in record.budget.withheld)


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
    answered = refused = 0
    with _server(model, environment) as (process, url):
        began = reported = time.monotonic()
        with httpx.Client(base_url=url, timeout=600, headers=HURRY) as client:
            for body, size in _bodies(events):
                refused += _ask(client, body)
                answered += size
                if time.monotonic() - reported > PROGRESS_SECONDS:
                    reported = time.monotonic()
                    rate = answered / (reported - began)
                    _say(f"decided {answered:,} of {len(events):,} ({rate:,.0f}/s)")
        seconds = time.monotonic() - began
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=120)
    counts = orjson.loads(output)
    return Served(answered, counts["decisions"], counts["decisions_lost"], seconds, refused)


def _ask(client: httpx.Client, body: bytes) -> int:
    """Until the server has time for it; returns how often it had none."""
    for refused in range(REFUSALS):
        answer = client.post(PREDICT, content=body)
        if answer.status_code not in SHED:
            answer.raise_for_status()
            return refused
        time.sleep(float(answer.headers["retry-after"]))
    raise RuntimeError(f"refused {REFUSALS} times: {answer.text}")


def _bodies(events: Sequence[Event]) -> Iterator[tuple[bytes, int]]:
    """Bodies of requests, and how many events each holds."""
    for start in range(0, len(events), REQUEST_EVENTS):
        instances = [event_fields(event) for event in events[start : start + REQUEST_EVENTS]]
        yield orjson.dumps({"instances": instances}, option=orjson.OPT_UTC_Z), len(instances)


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
    recorded, size = Recorded(), sum(path.stat().st_size for path in files)
    costed = {event.event_id: event for event in events[:COSTED]}
    pairs = []
    for path in files:
        for record in read_records(path):
            recorded.add(record)
            if event := costed.get(record.verdict.event_id):
                pairs.append((event, record))
    costs = [_record_microseconds(pairs, settings.home / "rounds") for _ in range(ROUNDS)]
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
            {"step": "of these, revisions", "verdicts": recorded.revisions, "seconds": None},
            {"step": "decided again by another process", "verdicts": replayed["replayed"],
             "seconds": replayed["seconds"]},
            {"step": "equal to the byte", "verdicts": equal, "seconds": None},
        ],
        "refused_requests": served.refused,
        "stages_ran": dict(recorded.ran.most_common()),
        "withheld": dict(recorded.withheld.most_common()),
        "every_stage": recorded.every_stage,
        "distinct_texts": len({event.text for event in events}),
        "with_media": sum(bool(event.media) for event in events),
        "bytes_a_record": round(size / max(recorded.records, 1)),
        "record_microseconds": {"median": median(costs), "rounds": costs},
        "different": replayed["different"],
        "goals": [
            _goal("replay.equal", f"{VERDICTS:,} verdicts replayed byte for byte across a process "
                  "restart", f">= {VERDICTS:,} equal, none else",
                  {name: replayed[name] for name in
                   ("equal", "differing", "skipped_other_version", "unreadable")},
                  equal >= VERDICTS and equal == served.recorded),
            _goal("replay.recorded", "a clean stop loses no record",
                  "recorded = answered + revisions",
                  {"answered": served.answered, "recorded": recorded.records,
                   "revisions": recorded.revisions, "lost": served.lost},
                  recorded.records == served.answered + recorded.revisions == served.recorded
                  and served.lost == 0),
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


def _record_microseconds(pairs: Sequence[tuple[Event, DecisionRecord]], folder: Path) -> float:
    """CPU of the process for each record, one request an event."""
    sizes = [len(event.text) for event, _ in pairs]
    log = DecisionLog(folder, "round")
    log.start()
    began = time.process_time()
    for (event, then), size in zip(pairs, sizes, strict=True):
        one = UnwrittenRecord(
            then.verdict, event, datetime.fromisoformat(then.decided_at), False,
            then.milliseconds, then.artefact, then.budget,
        )  # fmt: skip
        log.append([one], size)
    log.close()
    seconds = time.process_time() - began
    for path in folder.glob("*.jsonl"):
        path.unlink()
    return round(1e6 * seconds / len(pairs), 2)


def _table(report: Mapping[str, Any]) -> str:
    lines = [f"{'step':36s}{'verdicts':>10s}{'seconds':>10s}"]
    for row in report["rows"]:
        seconds = "" if row["seconds"] is None else f"{row['seconds']:.1f}"
        lines.append(f"{row['step']:36s}{row['verdicts']:>10,}{seconds:>10s}")
    ran = ", ".join(f"{name} {count:,}" for name, count in report["stages_ran"].items())
    left = ", ".join(f"{why} {count:,}" for why, count in report["withheld"].items()) or "none"
    cost = report["record_microseconds"]["median"]
    lines += [
        f"stages that ran: {ran}",
        f"stages withheld: {left}; every stage for {report['every_stage']:,} verdicts; "
        f"{report['refused_requests']:,} requests were refused and sent again",
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

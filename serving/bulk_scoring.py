"""The verb `score`: a file of events to a file of verdicts, in order, in bounded memory."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import orjson

from data_contracts.config import Settings
from data_contracts.errors import BadInput, MissingPart
from data_contracts.events import MAX_EVENT_BYTES, Event, parse_event_line
from data_contracts.files import opened_atomically
from data_contracts.verdicts import Verdict
from serving.artefact import load_cascade
from serving.cascade import Cascade

CHUNK_EVENTS = 256
CHUNK_BYTES = 8_388_608
PROGRESS_SECONDS = 5.0
COLUMNS = (
    "event_id",
    "score",
    "action",
    "reasons",
    "stages",
    "model_version",
    "threshold_version",
)


def score(arguments: argparse.Namespace, settings: Settings) -> dict[str, object]:
    """Score `--input` into `--output`. Raises BadInput for the first line that is wrong."""
    source: Path = arguments.input
    target: Path = arguments.output
    if not source.is_file():
        raise MissingPart(f"--input {source} is no file; give JSON Lines with an event a line")
    if source.stat().st_size == 0:
        raise BadInput(f"--input {source} is empty; give at least one event")
    if target.is_dir():
        raise BadInput(f"--output {target} is a directory; give the name of a file")
    began = time.perf_counter()
    cascade = load_cascade(arguments.model, settings)
    try:
        events = score_file(cascade, source, target)
    except OSError as error:
        raise BadInput(f"{error.filename}: {error.strerror}; mend the path or its rights") from None
    seconds = round(time.perf_counter() - began, 3)
    return {
        "events": events,
        "seconds": seconds,
        "model_version": cascade.model_version,
        "output": str(target),
    }


def score_file(
    cascade: Cascade,
    source: Path,
    target: Path,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Returns how many events were scored; `target` appears only when all of them were."""
    scored, began = 0, clock()
    reported = began
    with source.open("rb") as lines, opened_atomically(target) as output:
        for chunk in _chunks(lines, source):
            for verdict in cascade.decide(chunk).verdicts:
                output.write(_line(verdict))
            scored += len(chunk)
            if clock() - reported > PROGRESS_SECONDS:
                reported = clock()
                rate = scored / (reported - began)
                print(f"scored {scored:,} events ({rate:,.0f}/s)", file=sys.stderr, flush=True)
        if not scored:
            raise BadInput(f"--input {source} holds no event; give at least one line")
    return scored


def _chunks(lines: BinaryIO, source: Path) -> Iterator[list[Event]]:
    chunk: list[Event] = []
    size = 0
    for event, length in _events(lines, source):
        chunk.append(event)
        size += length
        if len(chunk) == CHUNK_EVENTS or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _events(lines: BinaryIO, source: Path) -> Iterator[tuple[Event, int]]:
    """Events with the bytes of their lines; empty lines are passed over."""
    number = 0
    while line := lines.readline(MAX_EVENT_BYTES + 2):
        number += 1
        content = line.strip() if number > 1 else line.removeprefix(b"\xef\xbb\xbf").strip()
        if content:
            where = f"{source}:{number}"
            yield parse_event_line(content, where=where, ignore=("label",)), len(line)


def _line(verdict: Verdict) -> bytes:
    record = {name: getattr(verdict, name) for name in COLUMNS}
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)

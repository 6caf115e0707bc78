"""Scores that are kept: of one model, only what changed since the last gate is scored again.

An answer depends on the event's content alone, and on the model: its files, its configuration and
the code of its inference, which together name the cache's file. Three gates may share a file.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import ClassVar

import orjson

from data_contracts.config import PROJECT
from data_contracts.events import Event
from data_contracts.protocols import Assessor
from data_contracts.verdicts import Assessment, Stage

FOLDER = "gate-scores"
WAIT_SECONDS = 60.0  # for a gate that is writing
INFERENCE = ("data_contracts", "pipelines", "training")  # folders whose code an answer depends on
_ASKED = 500  # keys a query: under SQLite's limit on variables


@dataclass
class Tally:
    """How many answers were known, how many were not, and how often the file was unusable."""

    known: int = 0
    scored: int = 0
    unusable: int = 0


@dataclass(frozen=True)
class ScoreCache:
    """Wraps an assessor. A file that cannot be used is thrown away, and the scores made again."""

    assessor: Assessor
    path: Path
    tally: Tally = field(default_factory=Tally)
    batch: ClassVar[None] = None

    def assess(self, events: Sequence[Event]) -> list[Assessment]:
        """As the assessor answers, which is only asked what it was not asked before."""
        keys = [content_key(event) for event in events]
        found = self._read(keys)
        wanted = {key: event for key, event in zip(keys, events, strict=True) if key not in found}
        fresh = dict(zip(wanted, self.assessor.assess(list(wanted.values())), strict=True))
        self._write(fresh)
        self.tally.known += len(events) - len(wanted)
        self.tally.scored += len(wanted)
        return [found.get(key) or fresh[key] for key in keys]

    def _read(self, keys: Iterable[bytes]) -> dict[bytes, Assessment]:
        try:
            return self._rows(sorted(set(keys)))
        except (sqlite3.Error, ValueError, KeyError, TypeError):
            self._throw_away()
            return {}

    def _rows(self, keys: Sequence[bytes]) -> dict[bytes, Assessment]:
        found: dict[bytes, Assessment] = {}
        with closing(self._opened()) as connection:
            for start in range(0, len(keys), _ASKED):
                asked = keys[start : start + _ASKED]
                marks = ",".join("?" * len(asked))
                query = f"SELECT key, answer FROM answers WHERE key IN ({marks})"  # noqa: S608
                found |= {key: _decoded(answer) for key, answer in connection.execute(query, asked)}
        return found

    def _write(self, fresh: dict[bytes, Assessment]) -> None:
        if not fresh:
            return
        rows = [(key, orjson.dumps(asdict(one))) for key, one in fresh.items()]
        try:
            with closing(self._opened()) as connection, connection:
                connection.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", rows)
        except sqlite3.Error:
            self._throw_away()

    def _opened(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=WAIT_SECONDS)
        connection.execute(
            "CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, answer BLOB) WITHOUT ROWID"
        )
        return connection

    def _throw_away(self) -> None:
        self.tally.unusable += 1
        for path in (self.path, self.path.with_name(f"{self.path.name}-journal")):
            path.unlink(missing_ok=True)


def content_key(event: Event) -> bytes:
    """16 bytes of everything that an answer may depend on, which the event's id is not.

    >>> one, other = Event(event_id="a", text="hi"), Event(event_id="b", text="hi")
    >>> content_key(one) == content_key(other)
    True
    """
    content = event.model_dump(mode="json", exclude={"event_id", "media"})
    media = [[one.kind, one.sha256] for one in event.media]
    encoded = orjson.dumps([content, media], option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(encoded, digest_size=16).digest()


def cache_file(folder: Path, model: str, *depends_on: bytes) -> Path:
    """`{folder}/gate-scores/{model}-{digest}.sqlite`: of the model's files and configuration."""
    digest = hashlib.sha256(b"\0".join([code_digest(), *depends_on])).hexdigest()[:12]
    return folder / FOLDER / f"{model}-{digest}.sqlite"


def forget_others(path: Path, model: str) -> None:
    """Delete what the same model answered by other code or configuration: nobody asks for it."""
    for other in path.parent.glob(f"{model}-*.sqlite*"):
        if not other.name.startswith(path.name):
            other.unlink(missing_ok=True)


@cache
def code_digest() -> bytes:
    """A digest of the code of inference: answers of another version of it are not its own."""
    total = hashlib.sha256()
    for path in sorted(path for name in INFERENCE for path in (PROJECT / name).rglob("*.py")):
        total.update(path.relative_to(PROJECT).as_posix().encode() + b"\0" + path.read_bytes())
    return total.digest()


def _decoded(answer: bytes) -> Assessment:
    record = orjson.loads(answer)
    stages = tuple(Stage(**stage) for stage in record["stages"])
    return Assessment(record["score"], record["action"], tuple(record["reasons"]), stages)

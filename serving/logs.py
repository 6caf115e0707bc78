"""What a model server says on stderr: one line a fact, JSON or text, and nothing a user wrote.

Our own lines are a sentence of fixed words with named fields: `say("slot {slot} is free", slot=3)`.
Of an exception only its type and the places it passed are written, of a line of a library only
where in the code it comes from: messages may quote what a user sent. Lines that repeat are counted
instead of written.
"""

from __future__ import annotations

import hashlib
import logging
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import PurePath
from types import TracebackType
from typing import Any, Literal, TextIO

import orjson

Format = Literal["json", "text"]
Level = Literal["debug", "info", "warning", "error"]
Field = str | int | float | bool | None

OURS = "weir"
BURST, WINDOW_SECONDS = 10, 10.0  # so many alike lines a window are written
MOST_KINDS = 500  # of lines that are told apart; more share one window
_LOGGER = logging.getLogger(OURS)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def say(
    sentence: str, level: Level = "info", error: BaseException | None = None, **fields: Field
) -> None:
    """Write a sentence whose `{names}` are `fields`; it is a literal, never put together.

    Fields are codes, counts, versions and addresses of ours, and ids by `shown_id`.
    """
    _LOGGER.log(logging.getLevelNamesMapping()[level.upper()], sentence, exc_info=error,
                extra={"fields": fields})  # fmt: skip


def shown_id(text: str) -> str:
    """An id of a client's as it may be logged: a UUID as it is, anything else as a hash.

    >>> shown_id("2f1c9d52-0c44-4f0e-9a39-52b1a3a5f2d1")
    '2f1c9d52-0c44-4f0e-9a39-52b1a3a5f2d1'
    >>> shown_id("call me on 555-0100")
    'sha256:25ecb175b852a0c8'
    """
    if _UUID.fullmatch(text):
        return text
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def configure(form: Format, level: Level) -> None:
    """Everything this process logs goes through here from now on, uncaught exceptions too."""
    root = logging.getLogger()
    root.handlers = [handler(form)]
    root.setLevel(logging.WARNING)
    _LOGGER.setLevel(level.upper())
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    sys.unraisablehook = lambda found: _uncaught(found.exc_type, found.exc_value, None)
    threading.excepthook = lambda found: _uncaught(
        found.exc_type, found.exc_value, found.exc_traceback
    )


def handler(form: Format, stream: TextIO | None = None) -> logging.Handler:
    """Writes lines of ours and of libraries to `stream` (stderr), sparingly."""
    made = _Handler(stream or sys.stderr)
    made.setFormatter(_Json() if form == "json" else _Text())
    made.addFilter(Sparing())
    return made


class Sparing(logging.Filter):
    """Lets ten alike lines through every ten seconds; the next after that says how many came."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        super().__init__()
        self._clock = clock
        self._windows: dict[tuple[object, ...], tuple[float, int]] = {}
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        kind: tuple[object, ...] = (record.name, record.pathname, record.lineno, _sentence(record))
        kind += (_error_type(record),)
        now = self._clock()
        with self._lock:
            if kind not in self._windows and len(self._windows) >= MOST_KINDS:
                kind = ()
            began, count = self._windows.get(kind, (now, 0))
            if now - began >= WINDOW_SECONDS:
                record.suppressed = max(0, count - BURST)
                began, count = now, 0
            self._windows[kind] = (began, count + 1)
        return count < BURST


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging's name)
        """The default prints the arguments of the line that failed."""
        self.stream.write(f"serving: a log line of {record.name} could not be written\n")


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        said = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
            **_fields(record),
            **_failure(record),
        }
        return orjson.dumps(said, default=lambda value: type(value).__name__).decode()


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        noted = _failure(record)
        error, places = noted.pop("error", ""), noted.pop("places", ())
        more = "".join(f" {name}={value}" for name, value in noted.items())
        line = f"serving: {_message(record)}{': ' if error else ''}{error}{more}"
        return "\n".join((line, *(f"  {place}" for place in places)))


def _sentence(record: logging.LogRecord) -> str:
    """Of ours as it is; of a library's only a template, which is there where arguments are."""
    is_template = record.name.partition(".")[0] == OURS or bool(record.args)
    return str(record.msg) if is_template else ""


def _message(record: logging.LogRecord) -> str:
    if record.name.partition(".")[0] != OURS:
        place = _place(record.pathname, record.lineno, record.funcName or "?")
        return f"{record.name} says at {place}: {_sentence(record) or '(not shown)'}"
    return _sentence(record).format(**_fields(record))


def _fields(record: logging.LogRecord) -> dict[str, Field]:
    fields: dict[str, Field] = getattr(record, "fields", {})
    return fields


def _failure(record: logging.LogRecord) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if error := _error(record):
        found["error"] = type(error).__name__
        if cause := error.__cause__ or error.__context__:
            found["caused_by"] = type(cause).__name__
        found["places"] = [
            _place(frame.f_code.co_filename, line, frame.f_code.co_name)
            for frame, line in traceback.walk_tb(error.__traceback__)
        ]
    if suppressed := getattr(record, "suppressed", 0):
        found["suppressed"] = suppressed
    return found


def _error(record: logging.LogRecord) -> BaseException | None:
    return record.exc_info[1] if record.exc_info else None


def _error_type(record: logging.LogRecord) -> str:
    return type(_error(record)).__name__


def _place(path: str, line: int, function: str) -> str:
    return f"{'/'.join(PurePath(path).parts[-2:])}:{line} {function}"


def _uncaught(
    kind: type[BaseException], error: BaseException | None, _trace: TracebackType | None
) -> None:
    if not issubclass(kind, KeyboardInterrupt | SystemExit):
        say("something failed that nobody caught", "error", error or kind())

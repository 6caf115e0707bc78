"""Labelled datasets by name: found under the data root, or downloaded and verified.

A local file with another sha256 than the catalogue's is used and reported as not verified (a
part of a set is a good set); a download must match, or it is refused.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from data_contracts.catalogue import (
    Columns,
    DatasetEntry,
    GroupColumn,
    LabelColumn,
    LanguageColumn,
    Layout,
    TimeColumn,
    load_catalogue,
)
from data_contracts.config import Data
from data_contracts.errors import BadInput, ContractViolation, MissingPart
from data_contracts.events import MAX_TEXT_CHARACTERS, ContextValue, Event
from data_contracts.labels import LabelledEvent, LabelName
from pipelines.downloads import download, file_sha256

DIGEST_CHARACTERS = 16


@dataclass(frozen=True)
class Located:
    """The files of one dataset as found: `verified` when every sha256 is the catalogue's."""

    name: str
    paths: tuple[Path, ...]
    sha256: tuple[str, ...]
    verified: bool
    columns: Columns
    layout: Layout
    constants: tuple[Mapping[str, str], ...]


@dataclass(frozen=True)
class Collected:
    """The files of one collection by file name: `verified` when every sha256 is the catalogue's."""

    name: str
    paths: Mapping[str, Path]
    verified: bool


def datasets() -> Mapping[str, DatasetEntry]:
    """Every dataset of the catalogue by name: title, licence, origin, columns."""
    return load_catalogue().datasets


def dataset(name: str) -> DatasetEntry:
    """One entry; MissingPart that lists the known names for any other."""
    known = datasets()
    if name not in known:
        raise MissingPart(
            f"dataset {name!r} is not in data_contracts/catalogue.yaml; "
            f"add an entry, or use one of {', '.join(known)}"
        )
    return known[name]


def collection(name: str, data: Data) -> Collected:
    """The files of a collection under the data root; MissingPart where one is absent.

    As with datasets, files that differ from the catalogue's are used and reported.
    """
    known = load_catalogue().collections
    if name not in known:
        raise MissingPart(
            f"collection {name!r} is not in data_contracts/catalogue.yaml; "
            f"add an entry, or use one of {', '.join(known)}"
        )
    paths, sums = {}, {}
    for relative in known[name].files:
        path = data.root / relative
        if not path.is_file():
            raise MissingPart(
                f"collection {name}: {path} is missing; place it there (origin: "
                f"{known[name].origin}), or set data.root (WEIR__DATA__ROOT) to where it is"
            )
        paths[path.name], sums[relative] = path, file_sha256(path)
    return Collected(name, paths, sums == known[name].files)


def locate(name: str, data: Data, cache: Path) -> Located:
    """The set's files with their real sha256; MissingPart with the remedy where there are none."""
    entry = dataset(name)
    local = data.root / entry.file
    if local.is_file():
        found = file_sha256(local)
        return Located(
            name, (local,), (found,), found == entry.sha256, entry.columns, Layout(), ({},)
        )
    return _downloaded(name, entry, local, data, cache)


def read_labelled(name: str, data: Data, cache: Path) -> list[LabelledEvent]:
    """All rows of a set as labelled events, in file order.

    Event ids are stable (they depend on content, not on position) and say nothing about the
    label. Accounts are as in the set; ingestion hashes them. A text over the contract's bound is
    cut and says so in `context.text_characters`. Raises MissingPart where the set is absent, and
    ContractViolation naming file, line, column and value where a row does not fit.
    """
    located = locate(name, data, cache)
    mapping = _RowMapping(name, located.columns)
    return [
        labelled
        for path, constants in zip(located.paths, located.constants, strict=True)
        for where, row in _rows(path, located.layout)
        if (labelled := mapping.labelled({**row, **constants}, where)) is not None
    ]


def _downloaded(name: str, entry: DatasetEntry, local: Path, data: Data, cache: Path) -> Located:
    remedy = f"place the file at {local}, or set data.root (WEIR__DATA__ROOT) to where it is"
    origin = entry.origin
    if not data.download:
        raise MissingPart(f"dataset {name}: no {local}, and data.download is false; {remedy}")
    if not origin.downloads:
        raise MissingPart(
            f"dataset {name}: no {local}, and its origin ({origin.source}) is not one file "
            f"to download; {remedy}"
        )
    paths, sums = [], []
    for number, file in enumerate(origin.downloads):
        if file.sha256 is None:
            raise MissingPart(
                f"dataset {name}: no {local}, and no sha256 is known for {file.url}, "
                f"so a download could not be verified; {remedy}"
            )
        target = cache / "datasets" / name / f"{number}-{file.sha256[:12]}.csv"
        paths.append(download(file.url, file.sha256, target, part=f"dataset {name}", remedy=remedy))
        sums.append(file.sha256)
    columns = origin.columns or entry.columns
    constants = tuple(file.constants for file in origin.downloads)
    return Located(name, tuple(paths), tuple(sums), True, columns, origin.layout, constants)


def _rows(path: Path, layout: Layout) -> Iterator[tuple[str, dict[str, str]]]:
    """Where (`file line N`) and the fields by column name."""
    with _opened(path, layout.encoding) as text:
        reader = csv.reader(
            text,
            delimiter=layout.delimiter,
            quoting=csv.QUOTE_MINIMAL if layout.quoted else csv.QUOTE_NONE,
        )
        try:
            header = list(layout.header)
            if layout.has_header:
                first = next(filter(None, reader), [])
                header = header or first
            for fields in filter(None, reader):
                where = f"{path.name} line {reader.line_num}"
                yield where, _named(fields, header, layout.rejoin, where)
        except (csv.Error, UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
            raise BadInput(
                f"{path} line {reader.line_num}: not readable as delimited text ({error}); "
                "place an intact file there"
            ) from None


@contextmanager
def _opened(path: Path, encoding: str) -> Iterator[TextIO]:
    with path.open("rb") as probe:
        compressed = probe.read(2) == b"\x1f\x8b"
    opener = gzip.open if compressed else open
    with opener(path, "rt", encoding=encoding, newline="") as text:
        yield text


def _named(
    fields: Sequence[str], header: Sequence[str], rejoin: str | None, where: str
) -> dict[str, str]:
    surplus = len(fields) - len(header)
    if surplus > 0 and rejoin in header:
        at = header.index(rejoin)
        joined = ",".join(fields[at : at + surplus + 1])
        fields = [*fields[:at], joined, *fields[at + surplus + 1 :]]
    if len(fields) != len(header):
        raise ContractViolation(
            "row",
            f"{len(fields)} fields",
            f"the header has {len(header)}",
            "place an intact file at the data root",
            where=where,
        )
    return dict(zip(header, fields, strict=True))


class _RowMapping:
    """Turns the rows of one set into labelled events; counts repeats so that ids stay unique."""

    def __init__(self, name: str, columns: Columns) -> None:
        self._name = name
        self._columns = columns
        self._seen: Counter[str] = Counter()

    def labelled(self, row: Mapping[str, str], where: str) -> LabelledEvent | None:
        """None for a row that the catalogue's `keep` leaves out."""
        columns = self._columns
        if any(_field(row, key, where) not in kept for key, kept in columns.keep.items()):
            return None
        text = "\n".join(_field(row, column, where) for column in columns.text)
        account = _field(row, columns.account, where) if columns.account else ""
        occurred_at = _time(row, columns.time, where)
        event = Event(
            event_id=self._event_id(text, account, occurred_at),
            text=text[:MAX_TEXT_CHARACTERS],
            occurred_at=occurred_at,
            account=account[:256] or None,
            language=_language(row, columns.language, where),
            context=_context(row, columns.context, text, where),
        )
        return LabelledEvent(
            event=event,
            label=_label(row, columns.label, where),
            dataset=self._name,
            group=_group(row, columns.group, where),
        )

    def _event_id(self, text: str, account: str, occurred_at: datetime | None) -> str:
        digest = _digest(self._name, account, str(occurred_at), text)
        self._seen[digest] += 1
        return _digest(digest, str(self._seen[digest]))


def _field(row: Mapping[str, str], column: str, where: str) -> str:
    if column not in row:
        raise ContractViolation(
            column,
            None,
            f"the file has no such column, only {', '.join(row)}",
            "mend the columns of this entry in data_contracts/catalogue.yaml",
            where=where,
        )
    return row[column]


def _label(row: Mapping[str, str], label: LabelColumn | LabelName, where: str) -> LabelName:
    if not isinstance(label, LabelColumn):
        return label
    value = _field(row, label.column, where)
    if value in label.spam:
        return "spam"
    if value in label.ham:
        return "ham"
    raise ContractViolation(
        label.column,
        value,
        f"is none of {', '.join((*label.spam, *label.ham))}",
        "map this value to spam or ham in data_contracts/catalogue.yaml",
        where=where,
    )


def _language(row: Mapping[str, str], language: LanguageColumn | str, where: str) -> str:
    if isinstance(language, str):
        return language
    value = _field(row, language.column, where)
    if value not in language.tags:
        raise ContractViolation(
            language.column,
            value,
            f"is none of {', '.join(language.tags)}",
            "give its language tag in data_contracts/catalogue.yaml",
            where=where,
        )
    return language.tags[value]


def _time(row: Mapping[str, str], time: TimeColumn | None, where: str) -> datetime | None:
    """The row's time in UTC; None where it is empty, unreadable or absurd."""
    if time is None:
        return None
    try:
        value = datetime.fromisoformat(_field(row, time.column, where))
        value = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return value if time.earliest <= value.date() <= time.latest else None


def _group(row: Mapping[str, str], group: GroupColumn | None, where: str) -> str | None:
    if group is None or not (value := _field(row, group.column, where).strip()):
        return None
    return f"{group.namespace}-{_digest(value)}"


def _context(
    row: Mapping[str, str], context: Mapping[str, str], text: str, where: str
) -> dict[str, ContextValue]:
    found: dict[str, ContextValue] = {
        key: _field(row, column, where)[:1024] for key, column in context.items()
    }
    if len(text) > MAX_TEXT_CHARACTERS:
        found["text_characters"] = len(text)
    return found


def _digest(*parts: str) -> str:
    content = "\x00".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(content).hexdigest()[:DIGEST_CHARACTERS]

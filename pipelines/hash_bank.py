"""The hash bank: hashes of content known to be bad, or known to be good, with who said so.

Perceptual hashes (64 bits, e.g. pHash; 256 bits, e.g. PDQ) match within a Hamming distance,
cryptographic ones exactly. Entries are never deleted: a removed one stays, with who removed it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    CheckConstraint,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Index,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    func,
    insert,
    or_,
    select,
    update,
)

from pipelines.features.media.hashes import distances, in_words
from pipelines.state import UtcTime, create_tables, one_writer_at_a_time, open_state, reading

Standing = Literal["bad", "good"]
HASH_BITS = (64, 256)

METADATA = MetaData()
HASHES = Table(
    "hash_bank",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("value", String(64), nullable=False),
    Column("standing", String(8), nullable=False),
    Column("source", String(255), nullable=False),
    Column("added_by", String(128), nullable=False),
    Column("added_at", UtcTime, nullable=False),
    Column("removed_by", String(128)),
    Column("removed_at", UtcTime),
    CheckConstraint("standing IN ('bad', 'good')", name="known_standing"),
)
_IN_FORCE = HASHES.c.removed_at.is_(None)
Index(
    "hash_bank_in_force",
    HASHES.c.kind,
    HASHES.c.value,
    unique=True,
    sqlite_where=_IN_FORCE,
    postgresql_where=_IN_FORCE,
)


@dataclass(frozen=True)
class KnownHash:
    """`value` in lower-case hex (16 digits: 64 bits, 64 digits: 256), of one `kind` of hash."""

    kind: str
    value: str
    standing: Standing
    source: str
    added_by: str
    added_at: datetime


@dataclass(frozen=True)
class Match:
    """A known hash and how many bits it is away."""

    known: KnownHash
    distance_bits: int


@dataclass(frozen=True)
class HashSnapshot:
    """The hashes of one kind and length at one moment: `words` is uint64[n, bits / 64].

    A search compares with all of them, column by column: 5 ms for a million hashes of 256 bits.
    """

    known: tuple[KnownHash, ...]
    words: NDArray[np.uint64]

    @classmethod
    def of(cls, known: tuple[KnownHash, ...], bits: int) -> HashSnapshot:
        written = bytes.fromhex("".join(one.value for one in known))
        words = np.frombuffer(written, ">u8").reshape(len(known), bits // 64)
        return cls(known, np.asfortranarray(words.astype(np.uint64)))

    def nearest(self, value: str, radius_bits: int) -> list[Match]:
        """Those within `radius_bits`, the nearest first; ValueError for another length."""
        _check(value)
        if len(value) != self.words.shape[1] * 16:
            raise ValueError(f"hash of {len(value) * 4} bits, the snapshot has another length")
        bits_away = distances(in_words(value), self.words)
        within = np.flatnonzero(bits_away <= radius_bits)
        order = within[np.argsort(bits_away[within], kind="stable")]
        return [Match(self.known[row], int(bits_away[row])) for row in order]


def open_hash_bank(url: str) -> HashBank:
    """The bank in the state database at `url`; its table is created where it is missing."""
    engine = open_state(url)
    create_tables(engine, METADATA)
    return HashBank(engine)


class HashBank:
    """Known hashes in a state database whose table exists (`open_hash_bank`)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, known: KnownHash) -> bool:
        """Put a hash in force; False where it is already.

        ValueError for a hash that is none, or that is in force with the other standing.
        """
        _check(known.value)
        if known.standing not in ("bad", "good"):
            raise ValueError(f"standing {known.standing!r} is unknown; say bad or good")
        with self._engine.begin() as connection:
            one_writer_at_a_time(connection, "hash_bank")
            present = _found(connection, _in_force(known.kind, HASHES.c.value == known.value))
            if present and present[0].standing != known.standing:
                raise ValueError(
                    f"{known.kind} {known.value} is known as {present[0].standing}, by "
                    f"{present[0].added_by}; remove it before you add it as {known.standing}"
                )
            if not present:
                connection.execute(insert(HASHES).values(**vars(known)))
            return not present

    def remove(self, kind: str, value: str, by: str, at: datetime) -> bool:
        """Take a hash out of force; False where it is in force no more."""
        _check(value)
        with self._engine.begin() as connection:
            removed = connection.execute(
                update(HASHES)
                .where(HASHES.c.kind == kind, HASHES.c.value == value, _IN_FORCE)
                .values(removed_by=by, removed_at=at)
            )
            return removed.rowcount == 1

    def find(self, kind: str, value: str) -> KnownHash | None:
        """The known hash that equals `value`; None where there is none."""
        _check(value)
        with reading(self._engine) as connection:
            found = _found(connection, _in_force(kind, HASHES.c.value == value))
        return found[0] if found else None

    def snapshot(self, kind: str, bits: int, as_of: datetime | None = None) -> HashSnapshot:
        """All hashes of a kind and length, for distance search; take a new one to refresh.

        Those in force now, or at the moment `as_of`, so that an old event is read as it was.
        """
        if bits not in HASH_BITS:
            raise ValueError(f"bits {bits} is none of {HASH_BITS}")
        with reading(self._engine) as connection:
            long = func.length(HASHES.c.value) == bits // 4
            wanted = _in_force(kind, long, _IN_FORCE if as_of is None else _was_in_force(as_of))
            return HashSnapshot.of(tuple(_found(connection, wanted)), bits)


def _in_force(
    kind: str, which: ColumnElement[bool], when: ColumnElement[bool] = _IN_FORCE
) -> Select[tuple[object, ...]]:
    columns = [HASHES.c[name] for name in KnownHash.__dataclass_fields__]
    return select(*columns).where(HASHES.c.kind == kind, which, when).order_by(HASHES.c.id)


def _was_in_force(at: datetime) -> ColumnElement[bool]:
    return (HASHES.c.added_at <= at) & or_(_IN_FORCE, HASHES.c.removed_at > at)


def _found(connection: Connection, wanted: Select[tuple[object, ...]]) -> list[KnownHash]:
    return [KnownHash(**row) for row in connection.execute(wanted).mappings()]


def _check(value: str) -> None:
    hexadecimal = not set(value) - set("0123456789abcdef")
    if not hexadecimal or len(value) * 4 not in HASH_BITS:
        raise ValueError(
            f"hash of {len(value)} characters: give 16 (64 bits) or 64 (256 bits) lower-case "
            "hexadecimal digits"
        )

"""The embedded online store: LMDB, memory-mapped; many readers, one writer, across processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import lmdb

from data_contracts.errors import ConfigurationError, ServiceUnavailable
from pipelines.feature_store.base import FeatureRow, FeatureView, check_row, pack, read_row, unpack

GIBIBYTE = 1 << 30


class LmdbStore:
    """An `OnlineStore` in `folder`. Use it in a `with` statement, opened once a process.

    `clock` gives the aware time that time to live is counted from. `map_bytes` bounds the size
    (address space, not disk); a store that is full raises ConfigurationError.
    """

    def __init__(
        self,
        folder: Path,
        view: FeatureView,
        clock: Callable[[], datetime],
        map_bytes: int = GIBIBYTE,
    ) -> None:
        self.folder = folder
        self.view = view
        self.clock = clock
        self.map_bytes = map_bytes
        self._environment: lmdb.Environment | None = None

    def __enter__(self) -> LmdbStore:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._environment = lmdb.open(str(self.folder), map_size=self.map_bytes, max_readers=256)
        return self

    def __exit__(self, *_: object) -> None:
        self._opened().close()
        self._environment = None

    def get(self, entity: str) -> FeatureRow | None:
        with self._opened().begin() as transaction:
            packed = transaction.get(self.view.key(entity))
        return read_row(packed, self.view, self.clock())

    def get_many(self, entities: Sequence[str]) -> list[FeatureRow | None]:
        with self._opened().begin() as transaction:
            found = [transaction.get(self.view.key(entity)) for entity in entities]
        now = self.clock()
        return [read_row(packed, self.view, now) for packed in found]

    def put(self, entity: str, values: Sequence[float], event_time: datetime) -> bool:
        check_row(self.view, values, event_time, self.clock())
        row, key = FeatureRow(tuple(values), event_time), self.view.key(entity)
        try:
            with self._opened().begin(write=True) as transaction:
                known = transaction.get(key)
                if known is not None and unpack(known).event_time > event_time:
                    return False
                return bool(transaction.put(key, pack(row)))
        except lmdb.MapFullError:
            raise ConfigurationError(
                f"feature store {self.folder} is full at {self.map_bytes} bytes; raise map_bytes"
            ) from None

    def _opened(self) -> lmdb.Environment:
        if self._environment is None:
            raise RuntimeError(f"feature store {self.folder} is not open; use `with LmdbStore(…)`")
        return self._environment


class LmdbStates:
    """A `StateStore` in `folder`. Use it in a `with` statement, opened once a process.

    Writes survive the end of the process at once, and a crash of the machine up to the last
    `flush` (MDB_NOSYNC of LMDB's documentation): the rest is folded again from the log.
    A store that is full raises ConfigurationError, one that cannot be read ServiceUnavailable.
    """

    def __init__(self, folder: Path, map_bytes: int = 16 * GIBIBYTE) -> None:
        self.folder = folder
        self.map_bytes = map_bytes
        self._environment: lmdb.Environment | None = None

    def __enter__(self) -> LmdbStates:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._environment = lmdb.open(
                str(self.folder), map_size=self.map_bytes, max_readers=256, sync=False
            )
        except (lmdb.Error, OSError) as error:
            raise ServiceUnavailable(
                f"state store {self.folder} does not open ({error}); restore it, or delete the "
                "folder and replay the log"
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()
        self._opened().close()
        self._environment = None

    def flush(self) -> None:
        """Write everything through to the disk."""
        self._opened().sync(True)

    def get(self, key: str) -> bytes | None:
        try:
            with self._opened().begin() as transaction:
                state: bytes | None = transaction.get(key.encode())
                return state
        except lmdb.Error as error:
            raise self._down(error) from None

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        try:
            with self._opened().begin() as transaction:
                get = transaction.get
                return [get(key.encode()) for key in keys]
        except lmdb.Error as error:
            raise self._down(error) from None

    def put(self, key: str, state: bytes) -> None:
        self.put_many({key: state})

    def put_many(self, states: Mapping[str, bytes]) -> None:
        try:
            with self._opened().begin(write=True) as transaction:
                for key, state in states.items():
                    transaction.put(key.encode(), state)
        except lmdb.MapFullError:
            raise ConfigurationError(
                f"state store {self.folder} is full at {self.map_bytes} bytes; raise map_bytes"
            ) from None
        except lmdb.Error as error:
            raise self._down(error) from None

    def _down(self, error: Exception) -> ServiceUnavailable:
        return ServiceUnavailable(
            f"state store {self.folder} failed ({error}); see that its disk is there"
        )

    def _opened(self) -> lmdb.Environment:
        if self._environment is None:
            raise ServiceUnavailable(
                f"state store {self.folder} is not open; use `with LmdbStates(…)`"
            )
        return self._environment

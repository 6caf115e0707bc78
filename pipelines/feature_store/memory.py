"""The online store in this process: for tests, and for one process that needs no other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime

from pipelines.feature_store.base import (
    FeatureRow,
    FeatureView,
    check_row,
    pack,
    read_row,
    unpack,
)


class MemoryStore:
    """An `OnlineStore` that holds its rows packed, as the others do. Safe for threads."""

    def __init__(self, view: FeatureView, clock: Callable[[], datetime]) -> None:
        self.view = view
        self.clock = clock
        self._rows: dict[bytes, bytes] = {}
        self._lock = threading.Lock()

    def get(self, entity: str) -> FeatureRow | None:
        return read_row(self._rows.get(self.view.key(entity)), self.view, self.clock())

    def get_many(self, entities: Sequence[str]) -> list[FeatureRow | None]:
        return [self.get(entity) for entity in entities]

    def put(self, entity: str, values: Sequence[float], event_time: datetime) -> bool:
        check_row(self.view, values, event_time, self.clock())
        key, row = self.view.key(entity), FeatureRow(tuple(values), event_time)
        with self._lock:
            known = self._rows.get(key)
            if known is not None and unpack(known).event_time > event_time:
                return False
            self._rows[key] = pack(row)
            return True

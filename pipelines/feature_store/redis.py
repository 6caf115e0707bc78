"""The online store in production: Redis, shared by every model server.

A call is one round trip and waits at most `timeout_seconds` for a connection and as long for the
answer; nothing is tried again here, for the caller has a breaker. Redis forgets by itself what
nobody renewed. The server must have `appendonly yes`, and `maxmemory-policy noeviction`: a store
that forgets at random would be filled twice (redis.io/docs, "Persistence", "Key eviction").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from data_contracts.errors import ConfigurationError, ServiceUnavailable
from pipelines.feature_store.base import (
    EPOCH,
    MICROSECOND,
    FeatureRow,
    FeatureView,
    check_row,
    pack,
    read_row,
)

MILLISECOND = timedelta(milliseconds=1)
GRACE = timedelta(minutes=1)  # kept longer than readers take it for alive: their clocks decide
ROW, STATE = b"weir:row:", "weir:state:"

# Newest event time wins, whoever writes: compared and kept in one step of the server.
KEEP_NEWEST = """
local known = redis.call('GETRANGE', KEYS[1], 0, 7)
if #known == 8 and struct.unpack('<i8', known) > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""


class _Connected:
    """A client from `__enter__` on. Nothing is connected before the first call."""

    def __init__(self, url: str, timeout_seconds: float) -> None:
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._client: Any = None

    def __enter__(self) -> Self:
        try:
            self._client = redis.Redis.from_url(
                self._url,
                socket_timeout=self._timeout_seconds,
                socket_connect_timeout=self._timeout_seconds,
                retry=Retry(NoBackoff(), 0),
                protocol=2,
            )
        except ValueError as error:  # the address holds a password: it is not repeated
            raise ConfigurationError(
                f"the address of Redis is none ({type(error).__name__}); "
                "write redis://[user:password@]host:port/0, or rediss:// for TLS"
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        self._opened().close()
        self._client = None

    def _opened(self) -> Any:
        if self._client is None:
            raise ServiceUnavailable("the feature store is not open; use it in a `with` statement")
        return self._client

    def _asked(self, call: Callable[[Any], Any]) -> Any:
        client = self._opened()
        try:
            return call(client)
        except (RedisError, OSError) as error:
            raise ServiceUnavailable(
                f"Redis does not answer ({type(error).__name__}: {error}); see that it runs, that "
                "its memory is not used up, and that feature_store.timeout_milliseconds is enough"
            ) from None


class RedisStore(_Connected):
    """An `OnlineStore` at `url`. Use it in a `with` statement, opened once a process.

    `clock` gives the aware time that time to live is counted from. Safe for threads. A server
    that does not answer raises ServiceUnavailable within two times `timeout_seconds`.
    """

    def __init__(
        self,
        url: str,
        view: FeatureView,
        clock: Callable[[], datetime],
        timeout_seconds: float = 0.02,
    ) -> None:
        super().__init__(url, timeout_seconds)
        self.view = view
        self.clock = clock
        self._keep_newest: Any = None

    def __enter__(self) -> Self:
        super().__enter__()
        self._keep_newest = self._client.register_script(KEEP_NEWEST)
        return self

    def get(self, entity: str) -> FeatureRow | None:
        key = self._key(entity)
        return read_row(self._asked(lambda client: client.get(key)), self.view, self.clock())

    def get_many(self, entities: Sequence[str]) -> list[FeatureRow | None]:
        keys = [self._key(entity) for entity in entities]
        found = self._asked(lambda client: client.mget(keys)) if keys else []
        now = self.clock()
        return [read_row(packed, self.view, now) for packed in found]

    def put(self, entity: str, values: Sequence[float], event_time: datetime) -> bool:
        now = self.clock()
        check_row(self.view, values, event_time, now)
        left = event_time + self.view.time_to_live + GRACE - now
        keys = [self._key(entity)]
        arguments = [
            (event_time - EPOCH) // MICROSECOND,
            pack(FeatureRow(tuple(values), event_time)),
            max(left // MILLISECOND, 1),
        ]
        return bool(self._asked(lambda client: self._keep_newest(keys, arguments, client)))

    def _key(self, entity: str) -> bytes:
        return ROW + self.view.key(entity)


class RedisStates(_Connected):
    """A `BatchedStates` at `url`. Use it in a `with` statement, opened once a process.

    A state that was not written for `time_to_live` is forgotten. Safe for threads. A server that
    does not answer raises ServiceUnavailable within two times `timeout_seconds`.
    """

    def __init__(self, url: str, time_to_live: timedelta, timeout_seconds: float = 0.02) -> None:
        if time_to_live < MILLISECOND:
            raise ValueError(f"time_to_live {time_to_live} must be a millisecond at least")
        super().__init__(url, timeout_seconds)
        self._lives_milliseconds = time_to_live // MILLISECOND

    def get(self, key: str) -> bytes | None:
        state: bytes | None = self._asked(lambda client: client.get(STATE + key))
        return state

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        named = [STATE + key for key in keys]
        return list(self._asked(lambda client: client.mget(named))) if named else []

    def put(self, key: str, state: bytes) -> None:
        self._asked(lambda client: client.set(STATE + key, state, px=self._lives_milliseconds))

    def put_many(self, states: Mapping[str, bytes]) -> None:
        self._asked(lambda client: self._kept(client, states))

    def _kept(self, client: Any, states: Mapping[str, bytes]) -> None:
        with client.pipeline(transaction=True) as transaction:
            for key, state in states.items():
                transaction.set(STATE + key, state, px=self._lives_milliseconds)
            transaction.execute()

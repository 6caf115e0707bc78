"""The file in memory that passes a file's bytes one way and its pixels the other.

Both sides read by copying: what the other side does to the file later changes nothing that was
read, and a file that is cut meanwhile is an error, not a fault of the process.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from data_contracts.errors import WeirError


class ExchangeCut(WeirError):
    """The exchange file is shorter than was said."""


def new_exchange() -> int:
    """An empty file that lives in memory and has no name: its descriptor (memfd_create(2))."""
    return os.memfd_create("weir-media")


def write_parts(exchange: int, parts: Iterable[bytes]) -> None:
    """Put the parts, one after the other, in place of what is there."""
    os.ftruncate(exchange, 0)
    offset = 0
    for part in parts:
        rest = memoryview(part)
        while rest:
            written = os.pwrite(exchange, rest, offset)
            rest, offset = rest[written:], offset + written


def read_into(exchange: int, target: memoryview, offset: int = 0) -> None:
    """Fill `target` (bytes) from `offset` on; ExchangeCut where there is too little."""
    while target:
        read = os.preadv(exchange, [target], offset)
        if read == 0:
            raise ExchangeCut(f"nothing at byte {offset} of the exchange file; decode again")
        target, offset = target[read:], offset + read

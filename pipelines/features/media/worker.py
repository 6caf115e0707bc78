"""The decoding process: takes one file at a time, answers with pixels or the reason for none.

    python -m pipelines.features.media.worker CHANNEL EXCHANGE LIMITS

CHANNEL and EXCHANGE are inherited descriptors (a SOCK_SEQPACKET socket, a file in memory),
LIMITS the fields of MediaLimits in JSON. It ends when the other side closes the channel. What
the kernel holds it to, see setrlimit(2), is set before the first untrusted byte is read.
"""

from __future__ import annotations

import json
import math
import os
import resource
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from pipelines.features.media.answers import (
    IMAGE,
    READY,
    REQUEST_BYTES,
    VIDEO,
    Answer,
    Request,
    header_and_parts,
    longest_answer_bytes,
)
from pipelines.features.media.base import MediaLimits, Unreadable
from pipelines.features.media.exchange import read_into, write_parts
from pipelines.features.media.images import decode_image
from pipelines.features.media.videos import decode_video

OPEN_FILES = 16
FIRST_TO_GO = 1000  # when the machine runs out of memory, see proc_pid_oom_score_adj(5)


def main(arguments: list[str]) -> None:
    channel, exchange = socket.socket(fileno=int(arguments[0])), int(arguments[1])
    limits = MediaLimits(**json.loads(arguments[2]))
    decoders: Mapping[int, Callable[[bytes, MediaLimits], Answer]] = {
        IMAGE: decode_image,
        VIDEO: decode_video,
    }
    _confine(limits)
    channel.send(READY)
    while packed := channel.recv(REQUEST_BYTES):
        request = Request.unpacked(packed)
        _allow_seconds(limits.timeout_seconds)
        content = _content(exchange, request.length)
        answer = _answer(decoders[request.kind], content, limits)
        header, parts = header_and_parts(request.number, answer)
        write_parts(exchange, parts)
        channel.send(header.packed())


def _answer(
    decode: Callable[[bytes, MediaLimits], Answer], content: bytes, limits: MediaLimits
) -> Answer:
    try:
        return decode(content, limits)
    except MemoryError:
        return Unreadable("media_memory_exceeded")


def _content(exchange: int, length: int) -> bytes:
    content = bytearray(length)
    read_into(exchange, memoryview(content))
    return bytes(content)


def _confine(limits: MediaLimits) -> None:
    _at_most(resource.RLIMIT_AS, _address_space() + limits.memory_bytes)
    _at_most(resource.RLIMIT_FSIZE, longest_answer_bytes(limits))
    _at_most(resource.RLIMIT_NOFILE, OPEN_FILES)
    _at_most(resource.RLIMIT_NPROC, 0)
    _at_most(resource.RLIMIT_CORE, 0)
    Path("/proc/self/oom_score_adj").write_text(str(FIRST_TO_GO))


def _at_most(what: int, bound: int) -> None:
    resource.setrlimit(what, (bound, bound))


def _allow_seconds(seconds: float) -> None:
    """CPU seconds from now on; the kernel ends a process that takes more (SIGXCPU)."""
    used = sum(os.times()[:2])
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(used + seconds), resource.RLIM_INFINITY))


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main(sys.argv[1:])

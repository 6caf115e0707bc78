"""The other side of the decoding process: starts it, asks it, ends it when it must be ended.

Nothing the worker says is trusted: headers are checked against the limits, pixels are copied.
"""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import struct
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

from data_contracts.errors import ServiceUnavailable
from pipelines.features.media.answers import (
    FORMATS,
    HEADER_BYTES,
    IMAGE,
    READY,
    REASONS,
    UNREADABLE,
    VIDEO,
    Header,
    Request,
)
from pipelines.features.media.base import DecodedImage, DecodedVideo, MediaLimits, Unreadable
from pipelines.features.media.exchange import ExchangeCut, new_exchange, read_into, write_parts

Decoded = DecodedImage | DecodedVideo | Unreadable

WORKER = "pipelines.features.media.worker"
PROJECT = Path(__file__).parents[3]
START_SECONDS = 60.0
FILES_OF_A_WORKER = 1000  # then a fresh one, so that nothing a file left behind lasts
TIME_OUT, DIED = Unreadable("media_timeout"), Unreadable("media_decoder_died")


class Decoder:
    """One worker process, for one thread at a time; made by `start_decoder`."""

    def __init__(
        self, worker: subprocess.Popen[bytes], channel: socket.socket, exchange: int,
        limits: MediaLimits,
    ) -> None:  # fmt: skip
        self._worker = worker
        self._channel = channel
        self._exchange = exchange
        self._limits = limits
        self._files = 0

    @property
    def is_spent(self) -> bool:
        """Whether the next file needs another decoder; this one is then to be closed."""
        return self._worker.poll() is not None or self._files >= FILES_OF_A_WORKER

    @property
    def worker(self) -> int:
        return self._worker.pid

    def decode(self, kind: int, content: bytes) -> Decoded:
        """IMAGE or VIDEO; a worker that dies, overruns or answers nonsense is ended."""
        self._files += 1
        request = Request(self._files, kind, len(content))
        try:
            header = self._asked(request, content)
            return self._received(header, request)
        except TimeoutError:
            return self._ended(TIME_OUT)
        except (OSError, struct.error, ExchangeCut, _Nonsense):
            return self._ended(DIED)

    def close(self) -> None:
        """End the worker, whatever it does."""
        self._worker.kill()
        self._worker.wait()
        if self._exchange >= 0:
            self._channel.close()
            os.close(self._exchange)
            self._exchange = -1

    def _asked(self, request: Request, content: bytes) -> Header:
        write_parts(self._exchange, (content,))
        self._channel.settimeout(self._limits.timeout_seconds)
        self._channel.send(request.packed())
        return Header.unpacked(self._channel.recv(HEADER_BYTES))

    def _received(self, header: Header, request: Request) -> Decoded:
        _check(header, request, self._limits)
        if header.kind == UNREADABLE:
            return Unreadable(REASONS[header.code])
        found = self._image(header) if header.kind == IMAGE else self._video(header)
        write_parts(self._exchange, ())
        return found

    def _image(self, header: Header) -> DecodedImage:
        shape = (header.height, header.width, 3)
        self._check_length(math.prod(shape))
        rgb = np.empty(shape, np.uint8)
        read_into(self._exchange, rgb.data.cast("B"))
        rgb.flags.writeable = False
        stored = (header.stored_width, header.stored_height)
        name, notes = FORMATS[header.code], header.named_notes()
        return DecodedImage(rgb, *stored, name, header.frames, notes)

    def _video(self, header: Header) -> DecodedVideo:
        shape = (header.frames, header.height, header.width, 3)
        times, rgb = np.empty(header.frames, np.float64), np.empty(shape, np.uint8)
        self._check_length(times.nbytes + rgb.nbytes)
        read_into(self._exchange, times.data.cast("B"))
        read_into(self._exchange, rgb.data.cast("B"), times.nbytes)
        if not np.isfinite(times).all():
            raise _Nonsense
        rgb.flags.writeable = times.flags.writeable = False
        rates = (header.duration_seconds, header.frames_per_second)
        return DecodedVideo(rgb, times, *rates, header.named_notes())

    def _check_length(self, expected: int) -> None:
        if os.fstat(self._exchange).st_size != expected:
            raise _Nonsense

    def _ended(self, reason: Unreadable) -> Unreadable:
        self._worker.kill()
        took_too_long = self._worker.wait() == -signal.SIGXCPU
        return TIME_OUT if took_too_long else reason


class _Nonsense(Exception):
    """The worker said what no sound worker says."""


def start_decoder(limits: MediaLimits) -> Decoder:
    """A worker that is ready; ServiceUnavailable where it does not come up."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    exchange = new_exchange()
    with theirs:
        descriptors = (theirs.fileno(), exchange)
        worker = subprocess.Popen(
            [sys.executable, "-m", WORKER, *map(str, descriptors), json.dumps(asdict(limits))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=descriptors,
            cwd=PROJECT,
            env={},  # no secrets for a process that reads what users send
            start_new_session=True,
        )
    decoder = Decoder(worker, ours, exchange, limits)
    if not _comes_up(ours):
        decoder.close()
        raise ServiceUnavailable(
            f"the media decoder did not start within {START_SECONDS:.0f} s; run "
            f"`python -m {WORKER}` in the project to see whether Pillow and PyAV are installed"
        )
    return decoder


def _comes_up(channel: socket.socket) -> bool:
    channel.settimeout(START_SECONDS)
    try:
        return channel.recv(len(READY)) == READY
    except OSError:
        return False


def _check(header: Header, request: Request, limits: MediaLimits) -> None:
    if header.number != request.number or header.kind not in (UNREADABLE, request.kind):
        raise _Nonsense
    is_sound = {
        UNREADABLE: header.code < len(REASONS),
        IMAGE: header.code < len(FORMATS) and _fits(header, limits.image_side),
        VIDEO: 1 <= header.frames <= limits.frames and _fits(header, limits.frame_side),
    }
    rates = (header.duration_seconds, header.frames_per_second)
    if not is_sound[header.kind] or not all(map(math.isfinite, rates)):
        raise _Nonsense


def _fits(header: Header, side: int) -> bool:
    return 1 <= header.width <= side and 1 <= header.height <= side

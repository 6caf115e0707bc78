"""A worker that answers nonsense is ended: here the test plays the worker."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator

import pytest

from pipelines.features.media.answers import IMAGE, UNREADABLE, VIDEO, Header
from pipelines.features.media.base import DecodedImage, MediaLimits, Unreadable
from pipelines.features.media.decoder import Decoded, Decoder
from pipelines.features.media.exchange import new_exchange, write_parts

LIMITS = MediaLimits(image_side=100, frame_side=50, frames=4, timeout_seconds=0.2)
SOUND = Header(1, IMAGE, 0, 0, 1, 2, 1, 2, 1)
DIED, TIME_OUT = Unreadable("media_decoder_died"), Unreadable("media_timeout")


class PlayedWorker:
    """Its answer lies ready before it is asked."""

    def __init__(self) -> None:
        ours, self.channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.exchange = new_exchange()
        self.process = subprocess.Popen(["sleep", "600"])
        self.decoder = Decoder(self.process, ours, self.exchange, LIMITS)

    def answered(self, header: bytes, content: bytes = b"") -> Decoded:
        self.channel.send(header)
        return self.decoder.decode(IMAGE, content)


@pytest.fixture
def worker() -> Iterator[PlayedWorker]:
    played = PlayedWorker()
    yield played
    played.decoder.close()
    played.channel.close()


def test_a_sound_answer_is_pixels(worker: PlayedWorker) -> None:
    found = worker.answered(SOUND.packed(), b"abcdef")  # what was sent lies there as pixels
    assert isinstance(found, DecodedImage)
    assert found.rgb.tolist() == [[[97, 98, 99], [100, 101, 102]]]
    assert (found.width, found.height, found.format, found.frames) == (2, 1, "JPEG", 1)
    assert not found.rgb.flags.writeable
    assert not worker.decoder.is_spent


def test_a_reason_is_passed_on(worker: PlayedWorker) -> None:
    assert worker.answered(Header(1, UNREADABLE, 0).packed()) == Unreadable("media_memory_exceeded")


@pytest.mark.parametrize(
    "header",
    [
        b"short",
        SOUND._replace(number=2).packed(),
        SOUND._replace(kind=9).packed(),
        SOUND._replace(kind=VIDEO).packed(),
        SOUND._replace(code=99).packed(),
        SOUND._replace(kind=UNREADABLE, code=99).packed(),
        SOUND._replace(width=0).packed(),
        SOUND._replace(width=101).packed(),
        SOUND._replace(height=2**32 - 1).packed(),
        SOUND._replace(duration_seconds=float("nan")).packed(),
        SOUND._replace(width=3).packed(),
    ],
)
def test_nonsense_ends_the_worker(worker: PlayedWorker, header: bytes) -> None:
    assert worker.answered(header, b"abcdef") == DIED
    assert worker.decoder.is_spent
    assert worker.process.poll() is not None


def test_silence_ends_the_worker(worker: PlayedWorker) -> None:
    assert worker.decoder.decode(IMAGE, b"abc") == TIME_OUT
    assert worker.decoder.is_spent


def test_a_closed_channel_is_a_worker_that_died(worker: PlayedWorker) -> None:
    worker.channel.close()
    assert worker.decoder.decode(IMAGE, b"abc") == DIED


def test_closing_twice_is_closing_once(worker: PlayedWorker) -> None:
    worker.decoder.close()
    worker.decoder.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(worker.exchange)


def test_what_was_read_does_not_change_afterwards(worker: PlayedWorker) -> None:
    found = worker.answered(SOUND.packed(), b"abcdef")
    write_parts(worker.exchange, (b"ghijkl",))
    assert isinstance(found, DecodedImage)
    assert found.rgb[0, 0].tolist() == [97, 98, 99]

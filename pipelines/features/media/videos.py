"""Decoding a video with PyAV, in the decoding process: evenly sampled frames, bounded.

All packets are read first: they are small, and they say what a header may lie about (how many
frames there are, when each is shown). Then only those are decoded that lead to a wanted frame,
from the last key frame before it on. FFmpeg's documentation, "Format options", has the lists of
allowed demuxers, decoders and protocols.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from pipelines.features.media.answers import VideoPixels
from pipelines.features.media.base import MediaLimits, Unreadable
from pipelines.features.media.packets import Timeline, read_timeline

DEMUXERS = "mov,mp4,matroska,webm,gif,avi,flv,mpegts"
CODECS = (
    "h264", "hevc", "vp8", "libvpx", "vp9", "libvpx-vp9", "av1", "libdav1d", "mpeg4",
    "mpeg2video", "mpeg1video", "h263", "flv", "msmpeg4", "msmpeg4v2", "wmv1", "wmv2", "mjpeg",
    "gif", "png", "rawvideo",
)  # fmt: skip
FIRST_BYTES = (b"\x1a\x45\xdf\xa3", b"GIF8", b"FLV\x01")
BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip")  # ISO/IEC 14496-12
DECODED_PIXELS = 2_000_000_000  # of all frames that are decoded on the way, about 3 s
SHARE_OF_TIME = 0.5  # of the time-out, after which no further frame is looked for
TURNS = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}

Clock = Callable[[], float]


def decode_video(
    content: bytes, limits: MediaLimits, clock: Clock = time.monotonic
) -> VideoPixels | Unreadable:
    """At most `limits.frames` frames, their longer side at most `limits.frame_side`.

    MemoryError where the process may not have what it takes.
    """
    options = {
        "format_whitelist": DEMUXERS,
        "codec_whitelist": ",".join(CODECS),
        "protocol_whitelist": "none",
        "max_pixels": str(limits.pixels),
        "threads": "1",
    }
    try:
        with av.open(BytesIO(content), options=options, metadata_errors="ignore") as container:
            return _sampled(container, limits, clock)
    except MemoryError:
        raise
    except av.error.FFmpegError:
        return Unreadable("video_damaged" if _begins_as_video(content) else "video_is_not_a_video")


def _sampled(
    container: InputContainer, limits: MediaLimits, clock: Clock
) -> VideoPixels | Unreadable:
    stream = _picture_stream(container)
    if stream is None:
        return Unreadable("video_has_no_frames")
    decoder = stream.codec_context
    if decoder is None or decoder.codec.name not in CODECS:
        return Unreadable("video_codec_unknown")
    pixels = decoder.width * decoder.height
    if pixels > limits.pixels:
        return Unreadable("video_too_many_pixels")
    decoder.thread_type, decoder.thread_count = "NONE", 1
    timeline = read_timeline(container, stream, limits.video_seconds)
    if not timeline.packets:
        return Unreadable("video_has_no_frames")
    wanted = timeline.within(timeline.evenly(limits.frames), DECODED_PIXELS // max(1, pixels))
    end = clock() + SHARE_OF_TIME * limits.timeout_seconds
    reading = Reading(decoder, timeline, lambda: clock() > end)
    return _pixels(reading, wanted, limits, _declared_seconds(container, stream))


def _pixels(
    reading: Reading, wanted: Sequence[int], limits: MediaLimits, declared_seconds: float
) -> VideoPixels | Unreadable:
    timeline = reading.timeline
    kept: list[Image.Image] = []
    times: list[float] = []
    for tick, frame in reading.frames(wanted):
        kept.append(_upright(frame, limits.frame_side, kept))
        times.append(timeline.seconds_at(tick))
    if not kept:
        return Unreadable("video_damaged" if reading.is_damaged else "video_has_no_frames")
    is_noted = {
        "video_cut": timeline.is_cut or reading.is_cut,
        "video_damaged": timeline.is_broken or reading.is_damaged,
    }
    seconds = timeline.seconds
    return VideoPixels(
        tuple(image.tobytes() for image in kept), tuple(times), kept[0].size,
        max(seconds, declared_seconds) if timeline.is_cut else seconds,
        len(timeline.packets) / seconds if seconds > 0 else 0.0,
        tuple(note for note, applies in is_noted.items() if applies),
    )  # fmt: skip


class Reading:
    """Decodes wanted packets of a timeline, forward only; damage is noted and passed over."""

    def __init__(
        self, decoder: VideoCodecContext, timeline: Timeline, is_over: Callable[[], bool]
    ) -> None:
        self.timeline = timeline
        self.is_damaged = False
        self.is_cut = False
        self._decoder = decoder
        self._is_over = is_over
        self._position = 0
        self._ready: deque[VideoFrame] = deque()

    def frames(self, wanted: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
        """For each wanted packet, the first frame shown at its time or later, once, and when."""
        reached = None
        for position in wanted:
            tick = self.timeline.ticks[position]
            if reached is not None and reached >= tick:
                continue
            frame = self._frame(position, tick)
            if frame is None:
                return
            reached = tick if frame.pts is None else int(frame.pts)
            yield reached, frame

    def _frame(self, position: int, tick: int) -> VideoFrame | None:
        start = self.timeline.key_before(position)
        if start > self._position:
            self._decoder.flush_buffers()
            self._ready.clear()
            self._position = start
        while self._has_more():
            frame = self._ready.popleft()
            if frame.pts is None or frame.pts >= tick:
                return frame
        return None

    def _has_more(self) -> bool:
        """Whether a frame is ready, after decoding as many packets as that takes."""
        while not self._ready and self._position <= len(self.timeline.packets):
            if self._is_over():
                self.is_cut = True
                return False
            self._ready.extend(self._decoded())
            self._position += 1
        return bool(self._ready)

    def _decoded(self) -> list[VideoFrame]:
        """What the next packet gives; after the last, what the decoder still holds."""
        packets = self.timeline.packets
        packet = packets[self._position] if self._position < len(packets) else None
        try:
            return self._decoder.decode(packet)
        except MemoryError:
            raise
        except av.error.FFmpegError:
            self.is_damaged = True
            return []


def _picture_stream(container: InputContainer) -> VideoStream | None:
    """The first stream of moving pictures: a cover picture is none."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    return None


def _upright(frame: VideoFrame, side: int, before: Sequence[Image.Image]) -> Image.Image:
    """The frame in RGB, turned as its file says; all of a video in the size of the first."""
    turn = TURNS.get(round(frame.rotation) % 360)
    width, height = before[0].size if before else _turned(_fitting(frame, side), turn)
    width, height = _turned((width, height), turn)
    small = frame.reformat(width, height, "rgb24", interpolation="AREA", threads=1)
    image: Image.Image = small.to_image()  # type: ignore[no-untyped-call]
    return image if turn is None else image.transpose(turn)


def _turned(size: tuple[int, int], turn: Image.Transpose | None) -> tuple[int, int]:
    return size if turn in (None, Image.Transpose.ROTATE_180) else (size[1], size[0])


def _fitting(frame: VideoFrame, side: int) -> tuple[int, int]:
    ratio = min(1.0, side / max(frame.width, frame.height))
    return max(1, round(frame.width * ratio)), max(1, round(frame.height * ratio))


def _declared_seconds(container: InputContainer, stream: VideoStream) -> float:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return float(container.duration or 0) / float(av.time_base)


def _begins_as_video(content: bytes) -> bool:
    is_avi = content[:4] == b"RIFF" and content[8:12] == b"AVI "
    return is_avi or content[4:8] in BOXES or content.startswith(FIRST_BYTES)

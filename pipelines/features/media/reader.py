"""Reads the media of events: from the reference to pixels, decoded in processes of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath
from threading import Lock
from types import TracebackType
from typing import Self, cast

from data_contracts.events import MediaReference
from pipelines.features.media.answers import IMAGE, VIDEO
from pipelines.features.media.base import DecodedImage, DecodedVideo, MediaLimits, Unreadable
from pipelines.features.media.contents import content_of
from pipelines.features.media.decoder import Decoded, Decoder, start_decoder
from pipelines.features.media.recent import RecentlyDecoded

RECENT_BYTES = 134_217_728
IMAGE_SECONDS = 5.0  # of one image, at most: 40 million pixels took one
EXTENSIONS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".gif": "GIF", ".webp": "WEBP",
    ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF",
}  # fmt: skip


class BoundedMediaReader:
    """A MediaReader for any number of threads, with one worker a kind that starts at its first
    file: images do not wait for a video.

    A worker that dies or overruns is replaced. Pixels are read-only, since readers share them.
    A process that forks makes a reader of its own.
    """

    def __init__(
        self,
        media_root: Path | None,
        limits: MediaLimits | None = None,
        recent_bytes: int = RECENT_BYTES,
    ) -> None:
        self._media_root = media_root
        self._limits = limits or MediaLimits()
        self._recent = RecentlyDecoded(recent_bytes)
        seconds = min(IMAGE_SECONDS, self._limits.timeout_seconds)
        self._workers = {
            IMAGE: _Worker(replace(self._limits, timeout_seconds=seconds)),
            VIDEO: _Worker(self._limits),
        }
        self._last = self._workers[IMAGE]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def image(self, reference: MediaReference) -> DecodedImage | Unreadable:
        """The first frame, upright, in RGB on white; ServiceUnavailable where no worker starts."""
        found = cast("DecodedImage | Unreadable", self._decoded(IMAGE, reference))
        return found if isinstance(found, Unreadable) else _with_extension_noted(found, reference)

    def video(self, reference: MediaReference) -> DecodedVideo | Unreadable:
        """Evenly sampled frames; ServiceUnavailable where no worker starts."""
        return cast("DecodedVideo | Unreadable", self._decoded(VIDEO, reference))

    def content(self, reference: MediaReference) -> bytes | Unreadable:
        """The bytes that the reference means, undecoded."""
        return content_of(reference, self._media_root, self._limits.bytes)

    @property
    def worker(self) -> int | None:
        """The process id of the worker that was asked last, for who watches what it takes; None
        before the first.
        """
        return self._last.process

    def close(self) -> None:
        """End the workers; the next file starts another."""
        for worker in self._workers.values():
            with worker.one_file_at_a_time:
                worker.end()

    def _decoded(self, kind: int, reference: MediaReference) -> Decoded:
        content = self.content(reference)
        if isinstance(content, Unreadable):
            return content
        key = (kind, reference.sha256)
        known = self._recent.find(key)
        if known is not None:
            return known
        worker = self._workers[kind]
        with worker.one_file_at_a_time:
            found = self._recent.find(key)
            if found is None:
                self._last = worker
                found = worker.decode(kind, content)
            self._recent.keep(key, found)
        return found


class _Worker:
    """The decoding process of one kind; for who holds `one_file_at_a_time`."""

    def __init__(self, limits: MediaLimits) -> None:
        self.one_file_at_a_time = Lock()
        self._limits = limits
        self._decoder: Decoder | None = None

    @property
    def process(self) -> int | None:
        return None if self._decoder is None else self._decoder.worker

    def decode(self, kind: int, content: bytes) -> Decoded:
        if self._decoder is None or self._decoder.is_spent:
            self.end()
            self._decoder = start_decoder(self._limits)
        return self._decoder.decode(kind, content)

    def end(self) -> None:
        if self._decoder is not None:
            self._decoder.close()
            self._decoder = None


def _with_extension_noted(image: DecodedImage, reference: MediaReference) -> DecodedImage:
    """Notes a file name that says one format where the file has another."""
    extension = PurePosixPath(reference.path or "").suffix.lower()
    if EXTENSIONS.get(extension, image.format) == image.format:
        return image
    return image._replace(notes=(*image.notes, "image_wrong_extension"))

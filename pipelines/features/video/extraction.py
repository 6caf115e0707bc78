"""The stage `video`: the sequence of frames, how they look, and their pooled embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from data_contracts.events import Event
from pipelines.features.base import Features, no_features
from pipelines.features.image.efficientnet import DIMENSIONS
from pipelines.features.image.network import ImageEncoder
from pipelines.features.image.pictures import combined
from pipelines.features.media.base import DecodedVideo, MediaReader, Unreadable
from pipelines.features.video.bars import picture_of
from pipelines.features.video.frames import Floats, novel_frames, read_frames
from pipelines.features.video.sequence import FRAME_NAMES, SEQUENCE_NAMES, sequence_features

ENCODER = "efficientnet-lite0"
MOST_VIDEOS = 4  # of one event; later ones are not read
MOST_EMBEDDED = 8  # frames of one event: the network is what costs
TOO_MANY = "videos_not_read"
EMBEDDED_NAMES = ("embedding_spread", "embedding_farthest")


class ReadVideo(NamedTuple):
    """`columns` float32[SEQUENCE_NAMES and FRAME_NAMES]; `embeddings` float32[k, DIMENSIONS] of
    the novel frames, and `shares` float32[k] of the video that each stands for."""

    columns: Floats
    embeddings: Floats
    shares: Floats


class VideoExtractor:
    """Columns are the largest over the event's videos; the embedding pools frames of them all.

    It is the mean of the frames' embeddings, then the deviation of the frame farthest from it:
    one foreign frame leaves the mean as it was and shows in the deviation.
    """

    assets: ClassVar[tuple[str, ...]] = (ENCODER,)
    names: ClassVar[tuple[str, ...]] = (*SEQUENCE_NAMES, *FRAME_NAMES, *EMBEDDED_NAMES)
    families: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(SEQUENCE_NAMES, "sequence"),
        **dict.fromkeys((*FRAME_NAMES, *EMBEDDED_NAMES), "frames"),
    }
    dimensions: ClassVar[int] = 2 * DIMENSIONS

    def __init__(self, files: Mapping[str, Path], media: MediaReader) -> None:
        self._files = files
        self._media = media

    @cached_property
    def _encoder(self) -> ImageEncoder:
        return ImageEncoder(self._files[ENCODER])

    def is_present(self, event: Event) -> bool:
        return any(reference.kind == "video" for reference in event.media)

    def extract(self, event: Event) -> Features:
        videos, notes = self._videos(event)
        if not videos:
            return no_features(len(self.names), self.dimensions, *notes)
        most = max(MOST_EMBEDDED // len(videos), 1)
        read = [self._read(video, most) for video in videos]
        embedding, spread, farthest = pooled(
            np.concatenate([one.embeddings for one in read]),
            np.concatenate([one.shares for one in read]),
        )
        columns = combined([one.columns for one in read], np.max)
        return Features(
            np.append(columns, np.array([spread, farthest], np.float32)), embedding, notes
        )

    def _videos(self, event: Event) -> tuple[list[DecodedVideo], tuple[str, ...]]:
        wanted = [reference for reference in event.media if reference.kind == "video"]
        read = [self._media.video(reference) for reference in wanted[:MOST_VIDEOS]]
        notes = [TOO_MANY] if len(wanted) > MOST_VIDEOS else []
        for video in read:
            notes += [video.reason] if isinstance(video, Unreadable) else video.notes
        good = [video for video in read if not isinstance(video, Unreadable) and len(video.rgb)]
        return good, tuple(dict.fromkeys(notes))

    def _read(self, video: DecodedVideo, most: int) -> ReadVideo:
        picture = picture_of(video.rgb)
        readings = read_frames(video.rgb, picture)
        distances = readings.distances()
        novel = novel_frames(distances, most)
        nearest = distances[novel].argmin(axis=0)
        shares = np.bincount(nearest, minlength=len(novel)) / len(nearest)
        embeddings = [self._encoder.encode(picture.of(video.rgb[frame])) for frame in novel]
        columns = sequence_features(video, picture, readings, distances)
        return ReadVideo(
            np.array(columns, np.float32), np.array(embeddings), shares.astype(np.float32)
        )


def pooled(embeddings: Floats, shares: Floats) -> tuple[Floats, float, float]:
    """Mean and largest deviation, float32[2 * d]; mean and largest distance from the mean.

    `embeddings` float32[k, d]; `shares` float32[k] weigh them. Distances are relative to the mean.

    >>> pooled(np.array([[1, 0], [3, 0]], np.float32), np.array([0.75, 0.25], np.float32))[0]
    array([1.5, 0. , 1.5, 0. ], dtype=float32)
    """
    shares = shares / shares.sum()
    mean = shares @ embeddings
    away = embeddings - mean
    lengths = np.linalg.norm(away, axis=1) / max(float(np.linalg.norm(mean)), 1e-6)
    embedding = np.concatenate([mean, away[lengths.argmax()]])
    return embedding, float(shares @ lengths), float(lengths.max())

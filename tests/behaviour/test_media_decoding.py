"""What every reader of media must do with what users send; a real worker process decodes."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_contracts.events import MediaReference
from pipelines.features.media.answers import VIDEO
from pipelines.features.media.base import (
    DecodedImage,
    DecodedVideo,
    MediaLimits,
    MediaReader,
    Unreadable,
)
from pipelines.features.media.reader import BoundedMediaReader
from tests.malformed_media import (
    clip,
    encoded,
    generated_sources,
    malformed_media,
    media_reference,
    png,
)

READERS: dict[str, Callable[[Path], BoundedMediaReader]] = {"bounded": BoundedMediaReader}
REASON = re.compile(r"(media|image|video)(_[a-z0-9]+)+")
MEBIBYTE = 1 << 20
MANY_PIXELS = png(4000, 4000, 1, 0, zlib.compress(bytes(501 * 4000)))
SEED = 20_260_105


def picture(shade: int = 200, width: int = 30, height: int = 20) -> bytes:
    return encoded(Image.new("RGB", (width, height), (shade, 0, 0)), "PNG")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("media")


@pytest.fixture(scope="module", params=READERS)
def reader(request: pytest.FixtureRequest, root: Path) -> Iterator[MediaReader]:
    with READERS[request.param](root) as made:
        yield made


def test_an_image_is_pixels(reader: MediaReader) -> None:
    found = reader.image(media_reference(picture()))
    assert isinstance(found, DecodedImage)
    assert found.rgb.shape == (20, 30, 3)
    assert found.rgb.dtype == np.uint8
    assert (found.rgb == (200, 0, 0)).all()
    assert found[1:] == (30, 20, "PNG", 1, ())


def test_a_video_is_frames_and_their_times(reader: MediaReader) -> None:
    content = clip(np.random.default_rng(SEED), "mp4", frames=12)
    found = reader.video(media_reference(content, "video"))
    assert isinstance(found, DecodedVideo)
    assert found.rgb.shape == (12, 64, 64, 3)
    assert found.times_seconds == pytest.approx(np.arange(12) / 12)
    assert (found.duration_seconds, found.frames_per_second) == (1.0, 12.0)


def test_one_reference_gives_one_answer(reader: MediaReader) -> None:
    reference = media_reference(picture(90))
    first, second = reader.image(reference), reader.image(reference)
    assert isinstance(first, DecodedImage)
    assert isinstance(second, DecodedImage)
    assert first.rgb.tobytes() == second.rgb.tobytes()


def test_a_known_digest_does_not_vouch_for_other_bytes(reader: MediaReader) -> None:
    known, other = media_reference(picture(10)), media_reference(picture(11))
    reader.image(known)
    forged = known.model_copy(update={"bytes": other.bytes})
    assert reader.image(forged) == Unreadable("media_sha256_differs")


def test_a_wrong_extension_is_noted(reader: MediaReader, root: Path) -> None:
    content = picture(77)
    for name, notes in (("a.png", ()), ("a.jpg", ("image_wrong_extension",)), ("a", ())):
        (root / name).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        found = reader.image(MediaReference(kind="image", sha256=digest, path=name))
        assert isinstance(found, DecodedImage)
        assert found.notes == notes


def test_the_bytes_are_given_undecoded(reader: MediaReader) -> None:
    assert reader.content(media_reference(b"anything")) == b"anything"


def test_malformed_files_give_pixels_or_a_reason(reader: MediaReader) -> None:
    rng = np.random.default_rng(SEED)
    for file in malformed_media(60, rng, generated_sources(rng)):
        read = reader.image if file.kind == "image" else reader.video
        found = read(file.reference())
        if isinstance(found, Unreadable):
            assert REASON.fullmatch(found.reason), file.name
        else:
            assert found.rgb.size > 0, file.name
            assert all(REASON.fullmatch(note) for note in found.notes), file.name


def test_threads_share_a_reader(reader: MediaReader) -> None:
    shades = [number % 8 * 30 for number in range(40)]
    references = [media_reference(picture(shade, 64, 64)) for shade in shades]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(reader.image, references))
    assert [int(one.rgb[0, 0, 0]) for one in found if isinstance(one, DecodedImage)] == shades


def test_what_takes_more_memory_than_allowed_has_a_reason() -> None:
    with BoundedMediaReader(None, MediaLimits(memory_bytes=32 * MEBIBYTE)) as reader:
        found = reader.image(media_reference(MANY_PIXELS))
        assert found == Unreadable("media_memory_exceeded")
        assert isinstance(reader.image(media_reference(picture())), DecodedImage)


def test_a_worker_that_hangs_is_replaced_and_the_file_has_a_reason() -> None:
    with BoundedMediaReader(None, MediaLimits(timeout_seconds=1.0)) as reader:
        reader.image(media_reference(picture(1)))
        os.kill(_worker_of(reader), signal.SIGSTOP)
        assert reader.image(media_reference(picture(2))) == Unreadable("media_timeout")
        assert isinstance(reader.image(media_reference(picture(3))), DecodedImage)


def test_images_do_not_wait_for_a_video_that_hangs() -> None:
    with BoundedMediaReader(None) as reader, ThreadPoolExecutor(1) as threads:
        first = clip(np.random.default_rng(SEED), "mp4", frames=2)
        reader.video(media_reference(first, "video"))
        hung = _worker_of(reader)
        os.kill(hung, signal.SIGSTOP)
        second = clip(np.random.default_rng(SEED + 1), "mp4", frames=2)
        waiting = threads.submit(reader.video, media_reference(second, "video"))
        while not reader._workers[VIDEO].one_file_at_a_time.locked():
            time.sleep(0.001)
        assert isinstance(reader.image(media_reference(picture(4))), DecodedImage)
        assert not waiting.done()
        os.kill(hung, signal.SIGCONT)
        assert isinstance(waiting.result(), DecodedVideo)


def test_a_worker_that_was_killed_is_replaced() -> None:
    with BoundedMediaReader(None) as reader:
        reader.image(media_reference(picture(1)))
        first = _worker_of(reader)
        os.kill(first, signal.SIGKILL)
        os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
        assert isinstance(reader.image(media_reference(picture(2))), DecodedImage)
        assert _worker_of(reader) != first


def test_a_closed_reader_leaves_no_worker() -> None:
    reader = BoundedMediaReader(None)
    reader.close()
    with reader:
        reader.image(media_reference(picture(3)))
        worker = _worker_of(reader)
    assert not Path(f"/proc/{worker}").exists()


def _worker_of(reader: BoundedMediaReader) -> int:
    assert reader.worker is not None
    return reader.worker

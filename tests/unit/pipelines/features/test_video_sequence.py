"""What the order of frames says, on sequences whose answer is plain."""

import numpy as np
import pytest

from pipelines.features.media.base import DecodedVideo
from pipelines.features.video.bars import picture_of
from pipelines.features.video.frames import Floats, novel_frames, read_frames
from pipelines.features.video.sequence import (
    FRAME_NAMES,
    SEQUENCE_NAMES,
    inserted_shots,
    loop_frames,
    repeats,
    sequence_features,
    shots_of,
)

NAMES = (*SEQUENCE_NAMES, *FRAME_NAMES)


def _distances(*shown: float) -> Floats:
    """Of frames that are each one shade of grey."""
    grey = np.array(shown, np.float32)
    return np.abs(grey[:, None] - grey)


def _features(rgb: np.ndarray, seconds: float = 10.0) -> dict[str, float]:
    times = np.linspace(0, seconds, len(rgb), endpoint=False)
    video = DecodedVideo(rgb.astype(np.uint8), times, seconds, 25.0)
    picture = picture_of(video.rgb)
    readings = read_frames(video.rgb, picture)
    found = sequence_features(video, picture, readings, readings.distances())
    return dict(zip(NAMES, found, strict=True))


def test_a_cut_begins_a_shot_and_steady_motion_does_not() -> None:
    assert shots_of(np.array([0.0, 0.4, 0.0, 0.0], np.float32)).tolist() == [0, 2, 5]
    assert shots_of(np.full(6, 0.2, np.float32)).tolist() == [0, 7]


def test_one_frame_is_one_shot() -> None:
    assert shots_of(np.zeros(0, np.float32)).tolist() == [0, 1]


def test_a_short_shot_between_two_alike_is_inserted() -> None:
    distances = _distances(0.1, 0.1, 0.9, 0.1, 0.1)
    assert inserted_shots(np.array([0, 2, 3, 5]), distances, 1) == [1]


def test_a_shot_of_two_frames_is_inserted_only_where_two_are_short() -> None:
    distances = _distances(0.1, 0.1, 0.9, 0.9, 0.1, 0.1)
    assert inserted_shots(np.array([0, 2, 4, 6]), distances, 1) == []
    assert inserted_shots(np.array([0, 2, 4, 6]), distances, 2) == [1]


def test_what_stands_between_two_insertions_is_not_inserted() -> None:
    distances = _distances(0.1, 0.1, 0.1, 0.9, 0.1, 0.1, 0.9, 0.1, 0.1)
    assert inserted_shots(np.array([0, 3, 4, 6, 7, 9]), distances, 4) == [1, 3]


def test_a_short_shot_between_two_that_differ_is_not_inserted() -> None:
    distances = _distances(0.1, 0.1, 0.5, 0.9, 0.9)
    assert inserted_shots(np.array([0, 2, 3, 5]), distances, 1) == []


def test_a_frame_repeats_only_after_something_else() -> None:
    assert repeats(_distances(0.1, 0.1, 0.9, 0.1)).tolist() == [False, False, False, True]


def test_a_loop_is_found_by_its_period() -> None:
    assert loop_frames(_distances(*[0.0, 0.3, 0.6, 0.9] * 4)) == 4


@pytest.mark.parametrize("shown", [[0.5] * 8, list(np.linspace(0, 1, 12)), [0.2]])
def test_a_still_or_a_steady_change_is_no_loop(shown: list[float]) -> None:
    assert loop_frames(_distances(*shown)) == 0


def test_novel_frames_are_one_of_each_kind_in_order() -> None:
    assert novel_frames(_distances(0.1, 0.1, 0.1, 0.9, 0.5), 8) == [0, 3, 4]
    assert novel_frames(_distances(0.1, 0.1, 0.1, 0.9, 0.5), 2) == [0, 3]


def test_a_still_video_is_still_and_has_one_shot() -> None:
    frame = np.random.default_rng(7).integers(0, 256, (1, 48, 64, 3))
    found = _features(np.repeat(frame, 10, axis=0))
    assert found["still_share"] == 1
    assert found["shots"] == 1
    assert found["motion_most"] == 0
    assert found["shortest_shot_seconds"] == pytest.approx(10)


def test_an_inserted_frame_of_twenty_is_counted() -> None:
    frames = np.full((20, 48, 64, 3), 40)
    frames[9] = 220
    found = _features(frames)
    assert found["inserted_shots"] == 1
    assert found["inserted_share"] == pytest.approx(0.05)


def test_black_and_flat_frames_are_shares_of_all() -> None:
    frames = np.random.default_rng(7).integers(0, 256, (4, 48, 64, 3))
    frames[0], frames[1] = 0, 128
    found = _features(frames)
    assert found["black_share"] == pytest.approx(0.25)
    assert found["flat_share"] == pytest.approx(0.5)


def test_stripes_as_narrow_as_strokes_look_like_writing() -> None:
    frames = np.full((4, 128, 128, 3), 255)
    frames[0], frames[2, :64, ::2] = 0, 0
    found = _features(frames)
    assert found["text_most"] == pytest.approx(0.5, abs=0.05)
    assert found["text_jump"] == found["text_most"]


@pytest.mark.parametrize("frames", [1, 2, 3, 64])
def test_every_feature_is_finite_for_any_number_of_frames(frames: int) -> None:
    found = _features(np.random.default_rng(frames).integers(0, 256, (frames, 9, 7, 3)))
    assert np.isfinite(list(found.values())).all()

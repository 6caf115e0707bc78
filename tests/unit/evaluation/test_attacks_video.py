"""Edits of clips: what becomes of their length, their size and their frames."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from data_contracts.events import Event, MediaReference
from evaluation.attacks import ATTACKS
from evaluation.attacks.media import media_under, reference
from evaluation.attacks.video import Clip, at_speed, with_bars, with_stills, written
from pipelines.features.media.base import DecodedVideo

FRAMES, RATE = 16, 8.0


@cache
def clip() -> Clip:
    ramp = np.linspace(0, 200, 64).astype(np.uint8)
    frame = np.broadcast_to(ramp[None, :, None], (48, 64, 3))
    return Clip([np.ascontiguousarray(frame + step) for step in range(FRAMES)], RATE)


def decoded(media: MediaReference) -> DecodedVideo:
    found = media_under().video(media)
    assert isinstance(found, DecodedVideo)
    return found


def attacked(name: str, strength: float, seed: int) -> DecodedVideo:
    event = Event(event_id="e1", text="", media=(reference("video", written(clip())),))
    after = ATTACKS[name].disguise(event, strength, np.random.default_rng(seed))
    return decoded(after.media[0])


def test_the_same_clip_gives_the_same_file() -> None:
    assert written(clip()) == written(clip())


def test_twice_the_speed_takes_half_the_time_with_the_same_frames() -> None:
    fast = decoded(reference("video", written(at_speed(clip(), 2.0))))
    assert len(fast.rgb) == FRAMES
    assert fast.duration_seconds == pytest.approx(FRAMES / RATE / 2)


def test_the_strongest_change_of_speed_is_double_or_half() -> None:
    seconds = {round(attacked("speed", 1.0, seed).duration_seconds, 2) for seed in range(6)}
    assert seconds == {1.0, 4.0}


def test_bars_add_their_share_and_leave_the_picture_between_them() -> None:
    framed = with_bars(clip(), across=0.5, down=0.0, colour=(0, 0, 0))
    assert framed.frames[0].shape == (48, 96, 3)
    assert (framed.frames[3][:, 16:80] == clip().frames[3]).all()
    assert not framed.frames[3][:, :16].any()


def test_stills_lengthen_the_clip_by_four_tenths_of_a_second_each() -> None:
    longer = with_stills(clip(), 3, np.random.default_rng(1))
    assert len(longer.frames) == FRAMES + 3 * 3
    own = [frame.tobytes() for frame in clip().frames]
    kept = [frame.tobytes() for frame in longer.frames if frame.tobytes() in own]
    assert kept == own


def test_a_clip_that_cannot_be_read_stays() -> None:
    event = Event(event_id="e1", text="", media=(reference("video", b"no clip"),))
    assert ATTACKS["speed"].disguise(event, 1.0, np.random.default_rng(1)) == event

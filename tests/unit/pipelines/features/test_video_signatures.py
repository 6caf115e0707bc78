"""Video signatures: copies align, others do not, and what is stored comes back."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.feature_store.states import MemoryStates
from pipelines.features.media.base import DecodedVideo
from pipelines.features.video.alignment import NO_MATCH, longest_chain, similarity
from pipelines.features.video.known_videos import KnownVideos
from pipelines.features.video.sequence_hash import CROPS, WORDS, VideoSignature, signature

Frames = NDArray[np.uint8]


def _scenes(seed: int, frames: int = 24) -> Frames:
    """A view that wanders over a large picture of soft blobs: uint8[frames, 96, 128, 3]."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (40, 60, 3))
    picture = coarse.repeat(16, axis=0).repeat(16, axis=1).astype(np.uint8)
    tops = np.linspace(0, 500, frames).astype(int)
    lefts = (np.sin(np.linspace(0, 5, frames)) * 400 + 400).astype(int)
    return np.stack(
        [picture[top : top + 96, left : left + 128] for top, left in zip(tops, lefts, strict=True)]
    )


def _video(rgb: Frames, seconds: float = 12.0, start: float = 0.0) -> DecodedVideo:
    times = start + np.linspace(0, seconds, len(rgb), endpoint=False)
    return DecodedVideo(rgb, times, seconds, 25.0)


def _random(rng: np.random.Generator, frames: int, spacing: float = 0.5) -> VideoSignature:
    hashes = rng.integers(0, 2**64, (frames, CROPS, WORDS), np.uint64)
    return VideoSignature(np.arange(frames, dtype=np.float32) * spacing, hashes, frames * spacing)


def test_a_video_is_a_copy_of_itself_at_speed_one() -> None:
    own = signature(_video(_scenes(1)))
    match = similarity(own, own)
    assert match.is_copy
    assert match.score == 1
    assert match.speed == pytest.approx(1)
    assert match.offset_seconds == pytest.approx(0, abs=0.5)


def test_unrelated_videos_do_not_match() -> None:
    assert similarity(signature(_video(_scenes(1))), signature(_video(_scenes(2)))) == NO_MATCH


def test_speed_and_offset_of_a_copy_are_found() -> None:
    original = _random(np.random.default_rng(7), 40)
    shown = slice(10, 30)
    copy = VideoSignature(
        (original.times_seconds[shown] - 5) / np.float32(2), original.hashes[shown], 5.0
    )
    match = similarity(copy, original)
    assert match.score == 1
    assert match.speed == pytest.approx(2, rel=0.1)
    assert match.offset_seconds == pytest.approx(5, abs=0.75)


def test_frames_inserted_at_several_places_leave_a_copy() -> None:
    rng = np.random.default_rng(7)
    original, foreign = _random(rng, 40), _random(rng, 1)
    places = np.repeat([5, 18, 31], 3)
    hashes = np.insert(original.hashes, places, foreign.hashes, axis=0)
    copy = VideoSignature(np.arange(49, dtype=np.float32) * 0.5, hashes, 24.5)
    assert similarity(copy, original).score == 1
    assert similarity(original, copy).speed == pytest.approx(1.2, abs=0.15)


def test_a_chain_may_stand_still_in_one_video_and_never_goes_back() -> None:
    alike = np.array([[1, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]], bool)
    assert longest_chain(alike) == ([0, 0, 1], [0, 1, 3])


@pytest.mark.parametrize("seed", range(5))
def test_no_chain_meets_more_rows_and_columns_than_the_one_found(seed: int) -> None:
    alike = np.random.default_rng(seed).random((5, 4)) < 0.4
    rows, columns = longest_chain(alike)
    assert all(alike[rows, columns])
    assert rows == sorted(rows)
    assert columns == sorted(columns)
    assert len(set(rows)) + len(set(columns)) == _most_met(alike)


def _most_met(alike: NDArray[np.bool_]) -> int:
    """By trying every set of alike pairs that never goes back."""
    pairs = list(zip(*np.nonzero(alike), strict=True))
    chains = [[pair] for pair in pairs]
    best = 0
    while chains:
        chain = chains.pop()
        best = max(best, sum(len(set(line)) for line in zip(*chain, strict=True)))
        last = chain[-1]
        later = [one for one in pairs if one > last and one[1] >= last[1]]
        chains += [[*chain, one] for one in later]
    return best


def test_the_same_frames_in_another_order_are_no_copy() -> None:
    rng = np.random.default_rng(7)
    original = _random(rng, 40)
    mixed = VideoSignature(
        original.times_seconds, original.hashes[rng.permutation(40)], original.duration_seconds
    )
    assert not similarity(original, mixed).is_copy


@pytest.mark.parametrize("kept", [0.9, 0.8])
def test_a_crop_of_the_middle_is_a_copy(kept: float) -> None:
    frames = _scenes(1)
    top, left = round(96 * (1 - kept) / 2), round(128 * (1 - kept) / 2)
    cropped = frames[:, top : 96 - top, left : 128 - left]
    assert similarity(signature(_video(frames)), signature(_video(cropped))).is_copy


def test_grey_with_bars_is_a_copy() -> None:
    frames = _scenes(1)
    grey = frames.mean(axis=3, keepdims=True).repeat(3, axis=3).astype(np.uint8)
    barred = np.zeros((len(frames), 140, 128, 3), np.uint8)
    barred[..., :] = (200, 30, 30)
    barred[:, 22:118] = grey
    assert similarity(signature(_video(frames)), signature(_video(barred))).is_copy


def test_similarity_is_the_same_from_both_sides() -> None:
    original, trimmed = signature(_video(_scenes(1))), signature(_video(_scenes(1)[6:20], 7.0))
    assert similarity(original, trimmed).score == similarity(trimmed, original).score > 0.9


@pytest.mark.parametrize("frames", [0, 1, 24])
def test_a_signature_comes_back_from_its_bytes(frames: int) -> None:
    one = _random(np.random.default_rng(7), frames)
    again = VideoSignature.unpack(one.pack())
    assert again.pack() == one.pack()
    assert (again.hashes == one.hashes).all()


@pytest.mark.parametrize("spoilt", [b"", b"no signature at all", b"cut"])
def test_other_bytes_are_refused_by_name(spoilt: bytes) -> None:
    with pytest.raises(ValueError, match="make it again"):
        VideoSignature.unpack(spoilt)
    with pytest.raises(ValueError, match="make it again"):
        VideoSignature.unpack(_random(np.random.default_rng(7), 3).pack() + spoilt + b"\0")


def test_flat_frames_have_no_signature_and_match_nothing() -> None:
    flat = signature(_video(np.full((8, 64, 64, 3), 90, np.uint8)))
    assert len(flat.hashes) == 0
    assert similarity(flat, flat) == NO_MATCH
    assert similarity(flat, signature(_video(_scenes(1)))) == NO_MATCH


def test_a_known_video_is_found_by_its_copy_alone() -> None:
    known = KnownVideos(MemoryStates())
    for seed in range(5):
        known.add(f"{seed:064x}", signature(_video(_scenes(seed))))
    found = known.copies(signature(_video(_scenes(3)[::2])))
    assert [one.sha256 for one in found] == [f"{3:064x}"]
    assert known.copies(signature(_video(_scenes(9)))) == []


def test_adding_again_changes_nothing() -> None:
    states = MemoryStates()
    known = KnownVideos(states)
    one = signature(_video(_scenes(1)))
    known.add("ab" * 32, one)
    before = dict(states._states)
    known.add("ab" * 32, one)
    assert states._states == before


def test_a_list_of_a_common_frame_stays_short() -> None:
    known, one = KnownVideos(states := MemoryStates()), _random(np.random.default_rng(7), 1)
    for number in range(70):
        known.add(f"{number:064x}", one)
    listed = [value for key, value in states._states.items() if key.startswith("video.band.")]
    assert {len(value) for value in listed} == {64 * 32}


def test_a_video_without_frames_is_kept_and_finds_nothing() -> None:
    known, nothing = KnownVideos(MemoryStates()), _random(np.random.default_rng(7), 0)
    known.add("ab" * 32, nothing)
    assert known.copies(nothing) == []

"""The stage `video`, with a small real network and videos that are arrays."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from data_contracts.events import Event, MediaReference
from pipelines.features.image.efficientnet import DIMENSIONS, SIDE
from pipelines.features.media.base import DecodedImage, DecodedVideo, Unreadable
from pipelines.features.video.extraction import VideoExtractor, pooled


class _Given:
    """Videos by sha256; anything else is missing."""

    def __init__(self, videos: Mapping[str, DecodedVideo | Unreadable]) -> None:
        self._videos = videos

    def video(self, reference: MediaReference) -> DecodedVideo | Unreadable:
        return self._videos.get(reference.sha256, Unreadable("media_missing"))

    def image(self, reference: MediaReference) -> DecodedImage | Unreadable:
        return Unreadable("media_missing")

    def content(self, reference: MediaReference) -> bytes | Unreadable:
        return Unreadable("media_missing")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A network whose embedding is the mean colour, spread over its dimensions."""
    from onnx import TensorProto, helper, numpy_helper

    spread = np.zeros((3, DIMENSIONS), np.float32)
    spread[[0, 1, 2], [0, 1, 2]] = 1
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["rgb"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["pixels"], ["colour"], axes=[1, 2], keepdims=0),
            helper.make_node("MatMul", ["colour", "spread"], ["embedding"]),
        ],
        "mean_colour",
        [helper.make_tensor_value_info("rgb", TensorProto.UINT8, ["n", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", DIMENSIONS])],
        [numpy_helper.from_array(spread, "spread")],
    )
    opset = [helper.make_opsetid("", 17)]
    path = tmp_path_factory.mktemp("network") / "mean_colour.onnx"
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    path.write_bytes(model.SerializeToString())
    return {"efficientnet-lite0": path}


def _video(*greys: int, notes: tuple[str, ...] = ()) -> DecodedVideo:
    rgb = np.stack([np.full((40, 60, 3), grey, np.uint8) for grey in greys])
    return DecodedVideo(rgb, np.arange(len(greys), dtype=float), float(len(greys)), 25.0, notes)


def _event(*names: str, kind: str = "video") -> Event:
    media = [{"kind": kind, "sha256": name * 64, "path": f"{name}.mp4"} for name in names]
    return Event.model_validate({"event_id": "e1", "text": "", "media": media})


def _extractor(files: dict[str, Path], **videos: DecodedVideo | Unreadable) -> VideoExtractor:
    return VideoExtractor(files, _Given({name * 64: video for name, video in videos.items()}))


def test_only_events_with_a_video_are_its_business(files: dict[str, Path]) -> None:
    extractor = _extractor(files)
    assert extractor.is_present(_event("a"))
    assert not extractor.is_present(_event("a", kind="image"))
    assert not extractor.is_present(_event())


def test_one_inserted_frame_shows_in_the_deviation_and_hardly_in_the_mean(
    files: dict[str, Path],
) -> None:
    found = _extractor(files, a=_video(*[40] * 10, 240, *[40] * 9)).extract(_event("a"))
    mean, deviation = found.embedding[:3], found.embedding[DIMENSIONS : DIMENSIONS + 3]
    assert mean.tolist() == [50, 50, 50]
    assert deviation.tolist() == [190, 190, 190]
    assert found.columns[VideoExtractor.names.index("inserted_shots")] == 1


def test_every_column_has_a_family_and_a_finite_number(files: dict[str, Path]) -> None:
    found = _extractor(files, a=_video(10, 200, 90)).extract(_event("a"))
    assert set(VideoExtractor.families) == set(VideoExtractor.names)
    assert set(VideoExtractor.families.values()) == {"sequence", "frames"}
    assert found.columns.shape == (len(VideoExtractor.names),)
    assert found.embedding.shape == (VideoExtractor.dimensions,)
    assert found.columns.dtype == found.embedding.dtype == np.float32
    assert np.isfinite(found.columns).all()


def test_what_cannot_be_read_is_noted_and_has_no_features(files: dict[str, Path]) -> None:
    found = _extractor(files, a=Unreadable("video_truncated")).extract(_event("a"))
    assert found.notes == ("video_truncated",)
    assert np.isnan(found.columns).all()
    assert not found.embedding.any()


def test_a_video_beside_an_unreadable_one_is_still_read(files: dict[str, Path]) -> None:
    alone = _extractor(files, a=_video(10, 200)).extract(_event("a"))
    beside = _extractor(files, a=_video(10, 200, notes=("video_cut",))).extract(_event("b", "a"))
    assert beside.notes == ("media_missing", "video_cut")
    assert np.array_equal(alone.columns, beside.columns)


def test_of_two_videos_the_largest_of_each_column_counts(files: dict[str, Path]) -> None:
    extractor = _extractor(files, a=_video(10, 10), b=_video(10, 200))
    both = extractor.extract(_event("a", "b")).columns
    single = [extractor.extract(_event(name)).columns for name in "ab"]
    sequence = slice(0, -2)
    assert np.array_equal(both[sequence], np.maximum(*single)[sequence])


def test_videos_beyond_the_fourth_are_not_read_and_that_is_noted(files: dict[str, Path]) -> None:
    videos = {name: _video(10, 200) for name in "abcde"}
    found = _extractor(files, **videos).extract(_event(*"abcde"))
    assert found.notes == ("videos_not_read",)


def test_the_answer_is_the_same_again(files: dict[str, Path]) -> None:
    extractor = _extractor(files, a=_video(*range(0, 250, 9)))
    first, again = (extractor.extract(_event("a")) for _ in range(2))
    assert first.embedding.tobytes() == again.embedding.tobytes()
    assert first.columns.tobytes() == again.columns.tobytes()


def test_the_mean_is_weighed_by_what_each_frame_stands_for() -> None:
    embeddings = np.array([[1, 0], [5, 0]], np.float32)
    embedding, spread, farthest = pooled(embeddings, np.array([0.75, 0.25], np.float32))
    assert embedding.tolist() == [2, 0, 3, 0]
    assert (spread, farthest) == (0.75, 1.5)

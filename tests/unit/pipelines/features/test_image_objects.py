"""Boxes are counted once, and both networks get a picture as they were trained on."""

from __future__ import annotations

import numpy as np

from pipelines.features.image.objects import (
    CLASSES,
    COUNTS,
    FACES,
    NAMES,
    ObjectsExtractor,
    counted,
    detector_input,
    distinct,
    divided,
    nsfw_input,
)


def test_a_box_that_overlaps_a_better_one_is_dropped() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 8], [20, 20, 30, 30], [0, 0, 10, 4]], np.float32)
    scores = np.array([0.6, 0.9, 0.3, 0.2], np.float32)
    assert distinct(boxes, scores).tolist() == [1, 2]  # 0 shares 80 of 100 with 1; 3 is too weak


def test_boxes_that_overlap_little_are_both_kept() -> None:
    boxes = np.array([[0, 0, 10, 10], [6, 0, 16, 10]], np.float32)
    assert distinct(boxes, np.array([0.5, 0.4], np.float32)).tolist() == [0, 1]  # 40 of 160


def test_an_answer_is_boxes_by_their_corners_and_scores_by_class() -> None:
    answer = np.zeros((4 + len(CLASSES), 2), np.float32)
    answer[:4, 0] = [50, 60, 20, 40]
    answer[4 + FACES[0], 0] = 0.8
    boxes, scores = divided(answer)
    assert boxes[0].tolist() == [40, 40, 60, 80]
    assert scores.shape == (2, len(CLASSES))
    assert scores[0, FACES[0]] == np.float32(0.8)


def test_faces_and_bodies_are_counted_apart() -> None:
    scores = np.zeros((2, len(CLASSES)), np.float32)
    scores[0, CLASSES.index("face_male")] = 0.9
    scores[1, CLASSES.index("belly_exposed")] = 0.5
    boxes = np.array([[0, 0, 160, 160], [300, 300, 400, 400]], np.float32)
    found = counted(boxes, scores, np.zeros((100, 100, 3), np.uint8))
    assert dict(zip(COUNTS, found.tolist(), strict=True)) == {
        "detections": 2, "faces": 1, "bodies": 1, "exposures": 1, "largest_box_share": 0.25,
    }  # fmt: skip


def test_the_detector_sees_the_whole_picture_at_the_upper_left_of_a_square() -> None:
    seen = detector_input(np.full((50, 100, 3), 255, np.uint8))
    assert seen.shape == (3, 320, 320)
    assert seen[:, :160].min() == 1
    assert seen[:, 160:].max() == 0


def test_the_other_network_sees_blue_first_less_the_means() -> None:
    seen = nsfw_input(np.tile(np.array([255, 0, 0], np.uint8), (30, 60, 1)))
    assert seen.shape == (224, 224, 3)
    assert seen[0, 0].tolist() == [-104, -117, 255 - 123]


def test_every_column_has_a_family() -> None:
    assert tuple(ObjectsExtractor.families) == NAMES

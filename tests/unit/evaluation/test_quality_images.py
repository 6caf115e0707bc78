"""The image part of the benchmark learns from other groups only, and from known rows only."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.metrics import Floats
from tests.performance import image_systems
from tests.performance.image_gallery import Gallery, StageFeatures
from tests.performance.image_systems import FUSED_PARTS, LENGTH, image_folds, scored
from tests.performance.quality_images import PUBLISHED


def gallery(rows: int) -> Gallery:
    """Two rows a group; the length of the text tells spam from ham."""
    spam = np.arange(rows) % 4 < 2
    length = spam.astype(np.float32)[:, None]
    stage = StageFeatures({"ocr_characters": "ocr"}, length, np.zeros((rows, 0), np.float32))
    texts = np.array([str(row) for row in range(rows)], dtype=object)
    return Gallery(spam, np.array(["a"] * rows), np.arange(rows) // 2, texts, {"ocr": stage})


def test_near_duplicates_share_a_fold() -> None:
    images = gallery(40)
    folds = image_folds(images)
    assert (folds[::2] == folds[1::2]).all()
    assert len(set(folds)) == image_systems.FOLDS


def test_a_row_is_scored_by_models_of_other_groups_and_of_known_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = gallery(40)
    known = np.arange(40) >= 20

    def fit(training: Gallery, asked: Gallery) -> Floats:
        assert not set(training.groups) & set(asked.groups)
        assert training.groups.min() >= 10
        return np.where(asked.spam, 2.0, -2.0)

    monkeypatch.setattr(image_systems, "SYSTEMS", dict.fromkeys(FUSED_PARTS, fit))
    scores = scored(images, known)
    assert (scores[LENGTH] == images.spam).all()
    assert (scores[image_systems.FUSED][images.spam] > 0).all()
    assert (scores[image_systems.FUSED][~images.spam] < 0).all()


def test_every_published_figure_names_its_source() -> None:
    assert all(source and figure for _, _, figure, source in PUBLISHED)

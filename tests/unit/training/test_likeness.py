"""The nearest known spam and ham."""

from __future__ import annotations

import numpy as np
import pytest

from training import likeness
from training.likeness import SCALE, Directions, Likeness

PLAIN = Directions(np.zeros(2, np.float32), np.eye(2, dtype=np.float32))


def _to(texts: list[list[float]], targets: list[int]) -> Likeness:
    rng = np.random.default_rng(0)
    return Likeness.to(np.array(texts, np.float32), np.array(targets), PLAIN, rng)


def test_the_score_is_the_difference_of_two_cosines() -> None:
    known = _to([[1.0, 0.0], [0.6, 0.8]], [1, 0])
    assert known.score(np.array([2.0, 0.0], np.float32)) == pytest.approx(SCALE * (1 - 0.6))
    assert known.score(np.array([0.0, 1.0], np.float32)) == pytest.approx(SCALE * (0 - 0.8))


def test_only_the_nearest_of_each_count() -> None:
    ham, far = [[0.0, 1.0]], [[-1.0, 0.0]] * 50
    known = _to(ham + [[1.0, 0.0]] * 5 + far, [0] + [1] * 55)
    assert known.score(np.array([1.0, 0.0], np.float32)) == pytest.approx(SCALE)


def test_without_one_of_the_labels_nothing_is_said() -> None:
    assert _to([[1.0, 0.0]], [0]).score(np.array([1.0, 0.0], np.float32)) == 0.0


def test_the_main_directions_are_those_in_which_texts_differ() -> None:
    rng = np.random.default_rng(1)
    texts = rng.normal(size=(500, 3)) * [0.1, 5.0, 1.0] + 7.0
    axes = np.abs(Directions.of(texts.astype(np.float32)).axes)
    np.testing.assert_allclose(axes[:, 0], [0, 1, 0], atol=0.05)


def test_a_text_scores_alone_as_among_others() -> None:
    rng = np.random.default_rng(2)
    texts = rng.normal(size=(60, 8)).astype(np.float32)
    known = Likeness.to(texts, np.arange(60) % 2, Directions.of(texts), rng)
    alone = [known.score(text) for text in texts]
    np.testing.assert_allclose(known.scores(texts), alone, atol=1e-5)


def test_of_a_label_with_many_texts_some_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likeness, "MOST", 4)
    known = _to([[1.0, 0.0]] * 9 + [[0.0, 1.0]] * 3, [1] * 9 + [0] * 3)
    assert (len(known.spam), len(known.ham)) == (4, 3)

"""The exported specialist scores as the trained one."""

from __future__ import annotations

import numpy as np

from training.specialists.text import (
    SpecialistParameters,
    TextSpecialist,
    fit_text_specialist,
    mean_scores,
)
from training.specialists.text_onnx import OnnxSpecialist, export_specialist

SMALL = SpecialistParameters(width=16, epochs=8)


def _rows() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 2, 120)
    embeddings = rng.normal(size=(120, 8)).astype(np.float32)
    embeddings[:, 0] += 2 * targets - 1
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings, rng.normal(size=(120, 5)).astype(np.float32), targets


def _fitted(seed: int) -> TextSpecialist:
    return fit_text_specialist(*_rows(), SMALL, seed=seed)


def test_all_heads_learn_what_the_embedding_tells() -> None:
    embeddings, lexical, targets = _rows()
    scores = _fitted(1).scores(embeddings, lexical)
    for head in range(3):
        assert scores[targets == 1, head].mean() > scores[targets == 0, head].mean() + 0.1


def test_the_same_seed_trains_the_same_networks() -> None:
    embeddings, lexical, _ = _rows()
    first, second = (_fitted(1).scores(embeddings, lexical) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_the_exported_model_gives_the_mean_of_the_members() -> None:
    embeddings, lexical, _ = _rows()
    members = [_fitted(1), _fitted(2)]
    exported = OnnxSpecialist(export_specialist(members))
    found = [exported.scores(embeddings[row], lexical[row]) for row in range(10)]
    expected = mean_scores(members, embeddings[:10], lexical[:10])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_the_same_members_export_the_same_bytes() -> None:
    members = [_fitted(1)]
    assert export_specialist(members) == export_specialist(members)


def test_a_constant_column_does_no_harm() -> None:
    embeddings, lexical, targets = _rows()
    lexical[:, 0] = 7.0
    fitted = fit_text_specialist(embeddings, lexical, targets, SMALL, seed=1)
    assert np.isfinite(fitted.scores(embeddings, lexical)).all()

"""The learning curve: judged on the audit alone, on campaigns that the probe was not taught."""

from __future__ import annotations

import numpy as np

from pipelines.labelling.label_history import LabelHistory
from pipelines.labelling.learning_curve import learning_curve


def history(n: int = 300, width: int = 24, seed: int = 1) -> LabelHistory:
    """Two clouds of unit vectors, spam and ham; every other label is of the audit."""
    rng = np.random.default_rng(seed)
    is_spam = rng.random(n) < 0.4
    vectors = rng.normal(size=(n, width)) / np.sqrt(width)
    vectors[:, 0] += np.where(is_spam, 1.0, -1.0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    audit = np.arange(n) % 2 == 0
    return LabelHistory(
        vectors.astype(np.float32),
        is_spam,
        np.where(audit, "audit", "diversity"),
        np.where(audit, 0.25, np.nan),
        np.zeros(n, bool),
    )


def test_labels_that_tell_spam_from_ham_are_seen_to_teach() -> None:
    curve = learning_curve(history(), np.random.default_rng(0))
    assert curve is not None
    assert (curve.judged_on, curve.everything[-1].labels, curve.audit[-1].labels) == (150, 300, 150)
    assert [point.labels for point in curve.everything] == sorted(
        {point.labels for point in curve.everything}
    )
    assert curve.everything[-1].average_precision > 0.97


def test_labels_by_chance_teach_nothing_even_of_copies_of_what_is_judged() -> None:
    """Were a copy of a judged row taught, the probe would know its answer by heart.

    Chance alone moves one such figure by some .06 (150 rows), the mean of five by half of that.
    """
    once = history(150, width=256, seed=3)  # room enough to learn every row by heart
    above = []
    for seed in range(5):
        shuffled = np.random.default_rng(seed).permutation(once.is_spam)
        both = LabelHistory(
            np.concatenate([once.embeddings, once.embeddings]),
            np.concatenate([shuffled, shuffled]),
            np.repeat(np.array(["audit", "diversity"]), 150),
            np.repeat(np.array([0.25, np.nan]), 150),
            np.zeros(300, bool),
        )
        curve = learning_curve(both, np.random.default_rng(seed))
        assert curve is not None
        above.append(curve.everything[-1].average_precision - curve.spam / curve.judged_on)
    assert abs(np.mean(above)) < 0.15, above


def test_too_small_an_audit_has_no_curve() -> None:
    assert learning_curve(history(60), np.random.default_rng(0)) is None


def test_the_same_seed_draws_the_same_curve() -> None:
    one, other = (learning_curve(history(), np.random.default_rng(5)) for _ in range(2))
    assert one == other
